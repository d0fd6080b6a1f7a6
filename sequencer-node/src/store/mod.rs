//! The data folder.
//!
//! ```text
//!   lock                        held by the running process, says which
//!   fresh                       made by `init`, gone after the first start
//!   wal.redb                    votes, burnt nonces, secrets (encrypted), founding, start counter; durable commits only
//!   segments/chunks-<n>.log     chunks, append-only
//!   segments/blocks-<n>.log     decided blocks, group signatures, sealed batches; append-only
//!   store.redb                  index of the segments; derived, rebuilt from them when missing
//! ```
//!
//! **Rules.** A record counts once [`Store::sync`] returned: segments are synced first, then `wal.redb` commits, with
//! the segments' lengths in it. So at a restart everything below those lengths must be whole (else the folder is
//! damaged and the node refuses to start), and everything above may be torn (and is cut at the first bad record). A
//! failed write or sync is final: the process ends rather than guess what is on disk.
//!
//! `wal.redb` commits only when there is something for it (votes, burns, secrets, the founding) and at a clean stop: a
//! second sync for every chunk would buy nothing against a crash. So after a crash, what the newest syncs wrote to the
//! segments alone (chunks, blocks, signatures, batches) lies above the lengths. A disk that kept its promise still has
//! all of it; one that lost it may not be found out: the tail is then cut as torn, as if it had never been here.
//!
//! **Restart.** A key without its `wal.redb` never votes: the node refuses to start, unless `init` has just made the
//! folder. The index lags behind the segments and is brought up to date before the core starts.

mod ids;
mod index;
mod indexer;
mod lock;
mod log;
mod prune;
mod reader;
mod record;
mod recovery;
mod secret;
#[cfg(test)]
mod tests;
mod wal;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use lock::FRESH_FILE;
pub(crate) use reader::{Found, Reader};
pub(crate) use recovery::{OpenOptions, Opened, WAL_FILE, open};
pub(crate) use writer::Store;

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Another process holds it.
    #[error("data folder {} is in use by process {holder}; stop that one first", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// Process id, as the holder wrote it.
        holder: String,
    },
    /// Key present, state missing.
    #[error(
        "{} is missing, but the node key exists: a validator without the record of its votes could vote twice. \
         Restore the folder, or, if this key has never run anywhere, make the folder with `sequencer-node init`",
        .0.display()
    )]
    StateMissing(PathBuf),
    /// Made for another key or network.
    #[error("data folder {} belongs to {found}, this node is {expected}", folder.display())]
    OtherOwner {
        /// The folder.
        folder: PathBuf,
        /// Who it belongs to.
        found: String,
        /// Who asks.
        expected: String,
    },
    /// A record that was on disk once is not any more.
    #[error(
        "{}: damaged at byte {offset}: {why}. Everything there had been written; restore the folder from the disk's \
         own backup or remove this validator: an old copy of the folder is not safe",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// Derived data is damaged.
    #[error("{}: damaged at byte {offset}. It is only an index: stop the node, delete it and start again", file.display())]
    BadIndex {
        /// The file.
        file: PathBuf,
        /// Where.
        offset: u64,
    },
    /// A secret does not decrypt.
    #[error("the secrets in {} do not open with this key: {what}", file.display())]
    Secret {
        /// The file.
        file: PathBuf,
        /// Which.
        what: &'static str,
    },
    /// The genesis file's limits allow blocks that the store does not.
    #[error("a record of {0} bytes: the store takes 1 to {max} bytes", max = log::MAX_RECORD_BYTES)]
    RecordLength(usize),
    /// A nonce would be used again.
    #[error("a signing nonce was about to be used a second time")]
    NonceReused,
    /// Reading or writing failed.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database library failed.
    #[error("{}: {source}", file.display())]
    Database {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
}

impl StoreError {
    fn io(file: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let file = file.to_owned();
        move |source| Self::Io { file, source }
    }

    fn database<E: Into<redb::Error>>(file: &Path) -> impl FnOnce(E) -> Self + use<E> {
        let file = file.to_owned();
        move |source| Self::Database { file, source: Box::new(source.into()) }
    }
}
