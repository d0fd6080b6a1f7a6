//! What the index knows of batches whose blocks are forgotten: they stand in the journal until their segment goes, then in the [archive](super::archive).

use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::StoreError;
use super::archive::Contents;
use super::index::{Index, Place, SEALED};
use super::segments::Location;

/// Number → (whether it stands in the archive, where).
const RETIRED: TableDefinition<u64, (bool, Place)> = TableDefinition::new("retired");
/// File of the archive → (time of its newest batch in milliseconds since 1970, bytes).
const FILES: TableDefinition<u64, (u64, u64)> = TableDefinition::new("archive_files");
/// (File of the archive, number of a batch in it).
const IN_FILE: TableDefinition<(u64, u64), ()> = TableDefinition::new("archive_batches");
/// Batches retired in one step: as many blocks are forgotten, and seldom more than one batch ends with each.
const RETIRED_A_STEP: usize = 1_024;

/// Where a sealed batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shelf {
    Journal(Location),
    Archive(Location),
}

/// A file of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) file: u64,
    /// Time of its newest batch, milliseconds since 1970.
    pub(super) newest_ms: u64,
    pub(super) bytes: u64,
}

/// Makes the tables.
pub(super) fn prepare(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(RETIRED)?;
    transaction.open_table(FILES)?;
    transaction.open_table(IN_FILE)?;
    Ok(())
}

/// Retires the oldest batches, at most so many, if they end at `height` or before. True: none of those is left.
pub(super) fn retire(
    transaction: &WriteTransaction,
    height: u64,
    at_most: usize,
) -> Result<bool, redb::Error> {
    let mut sealed = transaction.open_table(SEALED)?;
    let mut retired = transaction.open_table(RETIRED)?;
    for _ in 0..at_most {
        if sealed.first()?.is_none_or(|(_, row)| row.value().1 > height) {
            return Ok(true);
        }
        if let Some((number, row)) = sealed.pop_first()? {
            retired.insert(number.value(), (false, row.value().0))?;
        }
    }
    Ok(false)
}

impl Index {
    fn change<T>(
        &self,
        run: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let inner = || -> Result<T, redb::Error> {
            let transaction = self.database.begin_write()?;
            let result = run(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        inner().map_err(StoreError::database(&self.path))
    }

    fn look<T>(
        &self,
        run: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let inner = || run(&self.database.begin_read()?);
        inner().map_err(StoreError::database(&self.path))
    }

    /// Retires some of the batches that end before `first`. True: none of those is left.
    pub(super) fn retire_before(&self, first: u64) -> Result<bool, StoreError> {
        let waits = self.look(|t| {
            let sealed = t.open_table(SEALED)?;
            Ok(sealed.first()?.is_some_and(|(_, row)| row.value().1 < first))
        })?;
        if !waits {
            return Ok(true);
        }
        self.change(|transaction| retire(transaction, first.saturating_sub(1), RETIRED_A_STEP))
    }

    /// Where a sealed batch stands, if it is held.
    pub(super) fn shelf(&self, number: u64) -> Result<Option<Shelf>, StoreError> {
        self.look(|t| {
            if let Some(row) = t.open_table(SEALED)?.get(number)? {
                return Ok(Location::from_bytes(&row.value().0).map(Shelf::Journal));
            }
            let row = t.open_table(RETIRED)?.get(number)?.map(|row| row.value());
            Ok(row.and_then(|(filed, place)| {
                Location::from_bytes(&place).map(if filed { Shelf::Archive } else { Shelf::Journal })
            }))
        })
    }

    /// A file of the archive is whole: its batches are read from there. Gives the bytes that it had before, if it was known.
    pub(super) fn filed(&self, contents: &Contents) -> Result<u64, StoreError> {
        let Contents { file, batches, bytes } = contents;
        let newest = batches.iter().map(|batch| batch.time_ms).max().unwrap_or_default();
        self.change(|transaction| {
            let mut retired = transaction.open_table(RETIRED)?;
            let mut inside = transaction.open_table(IN_FILE)?;
            for batch in batches {
                retired.insert(batch.number, (true, batch.at.to_bytes()))?;
                inside.insert((*file, batch.number), ())?;
            }
            let mut files = transaction.open_table(FILES)?;
            let before = files.insert(file, (newest, *bytes))?;
            Ok(before.map_or(0, |row| row.value().1))
        })
    }

    /// Forgets a file of the archive, and what stands nowhere else.
    pub(super) fn unfile(&self, file: u64) -> Result<(), StoreError> {
        self.change(|transaction| {
            let mut retired = transaction.open_table(RETIRED)?;
            let mut inside = transaction.open_table(IN_FILE)?;
            for row in inside.range((file, 0)..=(file, u64::MAX))? {
                let (_, number) = row?.0.value();
                let place = retired.get(number)?.map(|row| row.value());
                let here = |place: Place| Location::from_bytes(&place).is_some_and(|at| at.segment == file);
                if place.is_some_and(|(filed, place)| filed && here(place)) {
                    retired.remove(number)?;
                }
            }
            inside.retain_in((file, 0)..=(file, u64::MAX), |_, ()| false)?;
            transaction.open_table(FILES)?.remove(file)?;
            Ok(())
        })
    }

    /// The files of the archive, oldest first.
    pub(super) fn files(&self) -> Result<Vec<Known>, StoreError> {
        self.look(|t| {
            let mut all = Vec::new();
            for row in t.open_table(FILES)?.iter()? {
                let (file, row) = row?;
                let (newest_ms, bytes) = row.value();
                all.push(Known { file: file.value(), newest_ms, bytes });
            }
            Ok(all)
        })
    }

    /// The oldest of them.
    pub(super) fn oldest_file(&self) -> Result<Option<Known>, StoreError> {
        self.look(|t| {
            let files = t.open_table(FILES)?;
            Ok(files.first()?.map(|(file, row)| {
                let (newest_ms, bytes) = row.value();
                Known { file: file.value(), newest_ms, bytes }
            }))
        })
    }
}
