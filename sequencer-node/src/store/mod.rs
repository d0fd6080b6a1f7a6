//! The data folder.
//!
//! ```text
//!   lock                        held by the running process, says which
//!   fresh                       made by `init`, gone after the first start
//!   wal.redb                    rare and never lost: owner, start counter, secrets (encrypted), founding, and which
//!                               part of the journal is known to be synced
//!   segments/journal-<n>.log    everything else, append-only: chunks, entries of the consensus log, used nonces, blocks
//!                               (without their transactions), group signatures, sealed batches
//!   store.redb                  index of the journal; derived, made again from it when missing
//!   ids/<first>-<last>.run      which block holds a transaction; derived, made again from the blocks
//!   archive/<n>.batches         sealed batches of segment n, which is gone
//! ```
//!
//! **Journal.** A transaction is written once, in its chunk; a block's record names the chunks that it covers and what
//! it leaves out of them, and reading a block puts it together again. Records gather in groups; a group is one write
//! and one `fdatasync`, and begins with a mark that only this folder's writer can make:
//!
//! ```text
//!   file = head, with the end of the file before │ group │ group │ …        group = mark │ record │ record │ …
//! ```
//!
//! **Rules.** A record counts once [`Store::sync`] returned. Before a group is written, or a file begun, everything
//! before it is synced. So at a restart a bad record is damage, and the node refuses to start, if a later mark or file
//! exists; otherwise it stands in the last group, which a crash may have torn, and is cut from there on. What a disk
//! lost or spoilt of that last group after its sync cannot be told from a torn one; so the journal's end is noted in
//! `wal.redb`, once a second and at a clean stop, off the path of votes, and below that everything must be whole. A
//! failed write or sync is final: the process ends rather than guess what is on disk.
//!
//! **Forgetting.** Blocks leave the index once they are old and sealed, and, where the node sees L1, final there; a segment goes, oldest first, once no height
//! that is kept needs a record in it: not its own, not a chunk that it covers, not an entry of the log of an undecided
//! height. Undecided chunks in it are written again at the journal's end first, and sealed batches are
//! copied into a file of the archive, once: they have a retention of their own. That of the archive removes whole files, oldest first.
//!
//! **Restart.** A key without its `wal.redb` never votes: the node refuses to start, unless `init` has just made the
//! folder. The index lags behind the journal and is brought up to date before the core starts.

mod archive;
mod carry;
mod filing;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod ids;
mod index;
mod indexer;
mod journal;
mod lock;
mod posted;
mod prune;
mod reader;
mod record;
mod recovery;
mod retired;
mod scan;
mod secret;
mod segments;
#[cfg(test)]
pub(crate) mod tests;
mod wal;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use filing::Retention;
pub(crate) use lock::{FRESH_FILE, REPLACED_FILE};
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
         If it was moved or its disk is not mounted, bring it back. If it is lost, and no process with this key runs or can come \
         back, `sequencer-node data new` makes an empty one; never start from an old copy",
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
    /// A file of the archive is damaged.
    #[error("{}: damaged at byte {offset}. It only holds old batches, which other nodes have, too: delete it", file.display())]
    BadArchive {
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
        what: String,
    },
    /// The genesis file's limits allow blocks that the store does not.
    #[error("a record of {0} bytes: the store takes 1 to {max} bytes", max = segments::MAX_RECORD_BYTES)]
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
