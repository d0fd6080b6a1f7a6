//! Files of sealed batches whose blocks are forgotten: L1 forgets blobs, and who reads from L1 later asks here.
//!
//! ```text
//!   <n>.batches = "mpc-seq/archive1" │ record* │ entry* │ u32 number of entries │ 8 check      (integers big-endian)
//!   record      = as in the journal, at its place in this file
//!   entry       = u64 number │ u64 time of its last block, ms │ u64 offset │ u32 length
//!   check       = start of sha256(u64 n ‖ entries ‖ u32 number of entries)
//! ```
//!
//! A file holds the batches of one segment of the journal, and has its number. It is written under another name, synced, and renamed: it exists whole or
//! not at all, and never changes. Nothing here is needed to vote: a file that is missing or damaged is one that this node does not serve.

use std::fs::{self, File};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use batcher_format::SealedBatch;
use bytes::Bytes;
use ordering_types::Digest;

use super::StoreError;
use super::record;
use super::segments::{Checked, HEAD_BYTES, Kind, Location, MAX_RECORD_BYTES, checked, head_of};

const MAGIC: &[u8; 16] = b"mpc-seq/archive1";
const SUFFIX: &str = ".batches";
/// Of a file that is being written.
const UNFINISHED: &str = ".unfinished";
const ENTRY_BYTES: usize = 8 + 8 + 8 + 4;
const TAIL_BYTES: usize = 4 + CHECK_BYTES;
const CHECK_BYTES: usize = 8;
/// Most batches of one file: those of a segment, however small, are fewer.
const MAX_ENTRIES: usize = 1 << 20;

/// A batch in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filed {
    /// The batch's number.
    pub(super) number: u64,
    /// Time of its last block, milliseconds since 1970.
    pub(super) time_ms: u64,
    /// Its record; the segment is the file's number.
    pub(super) at: Location,
}

/// A whole file, as its end tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) file: u64,
    pub(super) batches: Vec<Filed>,
    /// Length of the file.
    pub(super) bytes: u64,
}

/// The files in their folder.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    folder: PathBuf,
}

impl Archive {
    /// Makes the folder if there is none, and removes what was never finished.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(StoreError::io(folder))?;
        let archive = Self { folder: folder.to_owned() };
        for name in archive.names()?.iter().filter(|name| name.ends_with(UNFINISHED)) {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(StoreError::io(&path))?;
        }
        Ok(archive)
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = || StoreError::io(&self.folder);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed())? {
            names.extend(entry.map_err(failed())?.file_name().into_string());
        }
        Ok(names)
    }

    /// Numbers of the files, ascending.
    pub(super) fn list(&self) -> Result<Vec<u64>, StoreError> {
        let names = self.names()?;
        let mut all: Vec<u64> =
            names.iter().filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok()).collect();
        all.sort_unstable();
        Ok(all)
    }

    pub(super) fn path(&self, file: u64) -> PathBuf {
        self.folder.join(format!("{file:010}{SUFFIX}"))
    }

    fn damaged(&self, file: u64, offset: u64) -> StoreError {
        StoreError::BadArchive { file: self.path(file), offset }
    }

    /// One batch.
    pub(super) fn read(&self, at: Location) -> Result<SealedBatch, StoreError> {
        let path = self.path(at.segment);
        let file = File::open(&path).map_err(StoreError::io(&path))?;
        if at.length > MAX_RECORD_BYTES {
            return Err(self.damaged(at.segment, at.offset));
        }
        let mut bytes = vec![0; HEAD_BYTES + at.length as usize];
        file.read_exact_at(&mut bytes, at.offset).map_err(StoreError::io(&path))?;
        let bytes = Bytes::from(bytes);
        match bytes.first_chunk().and_then(|head| checked(at, head, bytes.slice(HEAD_BYTES..))) {
            Some(Checked::Other(Kind::Sealed, payload)) => {
                record::decode(&payload).map_err(|_| self.damaged(at.segment, at.offset))
            }
            _ => Err(self.damaged(at.segment, at.offset)),
        }
    }

    /// What a file holds, by its end; the batches themselves are not read.
    pub(super) fn contents(&self, number: u64) -> Result<Contents, StoreError> {
        let path = self.path(number);
        let file = File::open(&path).map_err(StoreError::io(&path))?;
        let length = file.metadata().map_err(StoreError::io(&path))?.len();
        let read = |offset: u64, bytes: usize| -> Result<Vec<u8>, StoreError> {
            let mut all = vec![0; bytes];
            file.read_exact_at(&mut all, offset).map_err(StoreError::io(&path))?;
            Ok(all)
        };
        let bad = || self.damaged(number, length);
        let tail = length.checked_sub(TAIL_BYTES as u64).ok_or_else(bad)?;
        let end = read(tail, TAIL_BYTES)?;
        let (count, check) = end.split_first_chunk::<4>().ok_or_else(bad)?;
        let count = u32::from_be_bytes(*count) as usize;
        let start = tail.checked_sub((count * ENTRY_BYTES) as u64).filter(|_| count <= MAX_ENTRIES);
        let entries = read(start.ok_or_else(bad)?, count * ENTRY_BYTES)?;
        if check != check_of(number, &entries) {
            return Err(bad());
        }
        let batches = entries.chunks_exact(ENTRY_BYTES).map(|entry| read_entry(number, entry));
        let batches = batches.collect::<Option<_>>().ok_or_else(bad)?;
        Ok(Contents { file: number, batches, bytes: length })
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, file: u64) -> Result<(), StoreError> {
        let path = self.path(file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io(&path)(error)),
            _ => Ok(()),
        }
    }
}

fn read_entry(file: u64, entry: &[u8]) -> Option<Filed> {
    let (number, rest) = entry.split_first_chunk()?;
    let (time_ms, rest) = rest.split_first_chunk()?;
    let (offset, length) = rest.split_first_chunk()?;
    Some(Filed {
        number: u64::from_be_bytes(*number),
        time_ms: u64::from_be_bytes(*time_ms),
        at: Location {
            segment: file,
            offset: u64::from_be_bytes(*offset),
            length: u32::from_be_bytes(length.try_into().ok()?),
        },
    })
}

fn check_of(file: u64, entries: &[u8]) -> [u8; CHECK_BYTES] {
    let count = (entries.len() / ENTRY_BYTES) as u32;
    let digest = Digest::sha256(&[&file.to_be_bytes(), entries, &count.to_be_bytes()]);
    *digest.as_bytes().first_chunk().expect("a digest has 32 bytes")
}

/// A file in the making.
#[derive(Debug)]
pub(super) struct Unfinished {
    archive: Archive,
    number: u64,
    path: PathBuf,
    file: File,
    offset: u64,
    batches: Vec<Filed>,
}

impl Unfinished {
    /// Begins the file with this number anew.
    pub(super) fn begin(archive: &Archive, number: u64) -> Result<Self, StoreError> {
        let path = archive.folder.join(format!("{number:010}{UNFINISHED}"));
        let mut file = File::create(&path).map_err(StoreError::io(&path))?;
        file.write_all(MAGIC).map_err(StoreError::io(&path))?;
        file.seek(SeekFrom::End(0)).map_err(StoreError::io(&path))?;
        let archive = archive.clone();
        Ok(Self { archive, number, path, file, offset: MAGIC.len() as u64, batches: Vec::new() })
    }

    /// Appends a batch, in the encoding of its record.
    pub(super) fn append(&mut self, (number, time_ms): (u64, u64), payload: &[u8]) -> Result<(), StoreError> {
        let length = u32::try_from(payload.len()).map_err(|_| StoreError::RecordLength(payload.len()))?;
        let at = Location { segment: self.number, offset: self.offset, length };
        let head = head_of(at, Kind::Sealed, Digest::sha256(&[payload]));
        self.write(&head)?;
        self.write(payload)?;
        self.offset = at.end();
        self.batches.push(Filed { number, time_ms, at });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(StoreError::io(&self.path))
    }

    /// What was appended is on disk then. Often, so that no sync has much to do: votes wait for the same disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(StoreError::io(&self.path))
    }

    /// Ends the file; then it is there, whatever happens.
    pub(super) fn finish(mut self) -> Result<Contents, StoreError> {
        let mut entries = Vec::with_capacity(self.batches.len() * ENTRY_BYTES);
        for Filed { number, time_ms, at } in &self.batches {
            for word in [number, time_ms, &at.offset] {
                entries.extend_from_slice(&word.to_be_bytes());
            }
            entries.extend_from_slice(&at.length.to_be_bytes());
        }
        let count = (self.batches.len() as u32).to_be_bytes();
        let check = check_of(self.number, &entries);
        self.write(&entries)?;
        self.write(&count)?;
        self.write(&check)?;
        self.file.sync_all().map_err(StoreError::io(&self.path))?;
        let path = self.archive.path(self.number);
        fs::rename(&self.path, &path).map_err(StoreError::io(&path))?;
        let folder = &self.archive.folder;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io(folder))?;
        let bytes = self.offset + (entries.len() + TAIL_BYTES) as u64;
        Ok(Contents { file: self.number, batches: self.batches, bytes })
    }
}
