//! One process a data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::StoreError;

const LOCK_FILE: &str = "lock";
/// Marks a folder that `init` or `data new` made and no node has used.
pub(crate) const FRESH_FILE: &str = "fresh";
/// Marks for ever a folder that took the place of a lost one: what its key voted before is not in it.
pub(crate) const REPLACED_FILE: &str = "replaced";

/// Held while the process lives; the OS lets go of it however the process ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for its drop")] File);

impl Lock {
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(StoreError::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who it is only makes the message better.
                let _ = Read::by_ref(&mut file).take(64).read_to_string(&mut holder);
                let holder = if holder.trim().is_empty() { "(unknown)" } else { holder.trim() };
                return Err(StoreError::Locked { folder: folder.to_owned(), holder: holder.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(StoreError::io(&path)(source)),
        }
        file.set_len(0).map_err(StoreError::io(&path))?;
        file.rewind().map_err(StoreError::io(&path))?;
        writeln!(file, "{}", std::process::id()).map_err(StoreError::io(&path))?;
        Ok(Self(file))
    }
}
