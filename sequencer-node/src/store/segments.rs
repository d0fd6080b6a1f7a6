//! The journal's files and how one record stands in them.
//!
//! ```text
//!   file   = "mpc-seq/journal1" │ u64 end of the file before │ 16 mark │ record*
//!   record = u32 length │ u8 kind │ 8 check │ length bytes                     (integers big-endian)
//!   mark   = first bytes of sha256(the folder's key ‖ u64 segment ‖ u64 offset ‖ u64 end of the file before, or 0)
//! ```
//!
//! A record's check is the start of the payload's SHA-256, mixed with its segment, offset, length and kind: neither a
//! record of another place nor zeros pass for one. A chunk's SHA-256 is its digest, so nothing is hashed for it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ordering_types::{Chunk, Digest};

use super::StoreError;

const MAGIC: &[u8; 16] = b"mpc-seq/journal1";
const NAME: &str = "journal-";
/// Bytes of a mark.
pub(super) const MARK_BYTES: usize = 16;
/// Bytes before a file's first record.
pub(super) const FILE_HEAD_BYTES: usize = MAGIC.len() + 8 + MARK_BYTES;
/// Bytes before a record's payload.
pub(super) const HEAD_BYTES: usize = 4 + 1 + CHECK_BYTES;
const CHECK_BYTES: usize = 8;
/// Longest record: the head of a full block with its ids, or a sealed batch.
pub(super) const MAX_RECORD_BYTES: u32 = 48 << 20;

/// A place between records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Number of the file, from 1.
    pub(super) segment: u64,
    /// Byte in the file.
    pub(super) offset: u64,
}

impl Position {
    /// Before a segment's first record.
    pub(super) const fn start_of(segment: u64) -> Self {
        Self { segment, offset: FILE_HEAD_BYTES as u64 }
    }

    pub(super) fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.segment) << 64 | u128::from(self.offset)).to_be_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self { segment: (both >> 64) as u64, offset: both as u64 }
    }
}

/// Where one record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Location {
    /// Number of the file.
    pub(super) segment: u64,
    /// First byte of the record.
    pub(super) offset: u64,
    /// Bytes of the payload.
    pub(super) length: u32,
}

impl Location {
    pub(super) const BYTES: usize = 20;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (segment, rest) = bytes.split_at_mut(8);
        let (offset, length) = rest.split_at_mut(8);
        segment.copy_from_slice(&self.segment.to_be_bytes());
        offset.copy_from_slice(&self.offset.to_be_bytes());
        length.copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (segment, rest) = bytes.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        Some(Self {
            segment: u64::from_be_bytes(*segment),
            offset: u64::from_be_bytes(*offset),
            length: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }

    /// The place after it.
    pub(super) const fn end(&self) -> u64 {
        self.offset + HEAD_BYTES as u64 + self.length as u64
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Begins a group: everything before it was synced before it was written.
    Group = 1,
    Chunk = 2,
    Wal = 3,
    Burn = 4,
    Block = 5,
    Certified = 6,
    Sealed = 7,
    Checkpoint = 8,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Group,
        Self::Chunk,
        Self::Wal,
        Self::Burn,
        Self::Block,
        Self::Certified,
        Self::Sealed,
        Self::Checkpoint,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A record that passed its check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// Decoding hashes a chunk anyway.
    Chunk(Chunk),
    Other(Kind, Bytes),
}

/// The head of a record at `at`, whose payload has the SHA-256 `digest`.
pub(super) fn head_of(at: Location, kind: Kind, digest: Digest) -> [u8; HEAD_BYTES] {
    let start = digest.as_bytes().first_chunk().expect("a digest has 32 bytes");
    let place = mix(mix(mix(at.segment) ^ at.offset) ^ (u64::from(at.length) << 8 | kind as u64));
    let check = u64::from_be_bytes(*start) ^ place;
    let mut head = [0; HEAD_BYTES];
    let (length, rest) = head.split_at_mut(4);
    let (kind_byte, stored) = rest.split_at_mut(1);
    length.copy_from_slice(&at.length.to_be_bytes());
    kind_byte.fill(kind as u8);
    stored.copy_from_slice(&check.to_be_bytes());
    head
}

/// One-to-one, so a change of any one field of a place changes the check.
const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Length of the payload behind a head, if it may be one.
pub(super) fn length_in(head: &[u8; HEAD_BYTES]) -> Option<u32> {
    let (length, _) = head.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length);
    (length != 0 && length <= MAX_RECORD_BYTES).then_some(length)
}

/// The record, if its check holds.
pub(super) fn checked(at: Location, head: &[u8; HEAD_BYTES], payload: Bytes) -> Option<Checked> {
    let kind = Kind::of(*head.get(4)?)?;
    if kind == Kind::Chunk {
        let chunk = Chunk::decode(payload).ok()?;
        return (*head == head_of(at, kind, chunk.digest())).then_some(Checked::Chunk(chunk));
    }
    (*head == head_of(at, kind, Digest::sha256(&[&payload]))).then_some(Checked::Other(kind, payload))
}

/// The journal's files in their folder.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    /// Random: nobody who sends chunks can make bytes in them that pass for a mark.
    key: [u8; 32],
}

impl Segments {
    pub(super) fn new(folder: &Path, key: [u8; 32]) -> Self {
        Self { folder: folder.to_owned(), key }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, segment: u64) -> PathBuf {
        self.folder.join(format!("{NAME}{segment:010}.log"))
    }

    /// Numbers of the files that exist, ascending.
    pub(super) fn list(&self) -> Result<Vec<u64>, StoreError> {
        let failed = || StoreError::io(&self.folder);
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            let number = name.to_str().and_then(|n| n.strip_prefix(NAME)?.strip_suffix(".log"));
            all.extend(number.and_then(|n| n.parse::<u64>().ok()));
        }
        all.sort_unstable();
        Ok(all)
    }

    /// What only this folder's writer can write at this place.
    pub(super) fn mark(&self, at: Position, before: u64) -> [u8; MARK_BYTES] {
        let numbers = [at.segment, at.offset, before].map(u64::to_be_bytes);
        let digest = Digest::sha256(&[&self.key, numbers.as_flattened()]);
        *digest.as_bytes().first_chunk().expect("a digest has 32 bytes")
    }

    /// The head of a file; `before` is where the file before it ends.
    pub(super) fn file_head(&self, segment: u64, before: u64) -> [u8; FILE_HEAD_BYTES] {
        let mut head = [0; FILE_HEAD_BYTES];
        let (magic, rest) = head.split_at_mut(MAGIC.len());
        let (end, mark) = rest.split_at_mut(8);
        magic.copy_from_slice(MAGIC);
        end.copy_from_slice(&before.to_be_bytes());
        mark.copy_from_slice(&self.mark(Position { segment, offset: 0 }, before));
        head
    }

    /// Where the file before ends, from a good head.
    pub(super) fn before(&self, segment: u64, head: &[u8; FILE_HEAD_BYTES]) -> Option<u64> {
        let before = u64::from_be_bytes(*head.get(MAGIC.len()..)?.first_chunk()?);
        (*head == self.file_head(segment, before)).then_some(before)
    }

    /// Reads one record and checks it.
    pub(super) fn read(&self, at: Location) -> Result<Checked, StoreError> {
        let path = self.path(at.segment);
        let file = File::open(&path).map_err(StoreError::io(&path))?;
        if at.length > MAX_RECORD_BYTES {
            return Err(self.damaged(at.segment, at.offset, "impossible length"));
        }
        let mut record = vec![0; HEAD_BYTES + at.length as usize];
        file.read_exact_at(&mut record, at.offset).map_err(StoreError::io(&path))?;
        let record = Bytes::from(record);
        let payload = record.slice(HEAD_BYTES..);
        let head = record.first_chunk();
        head.and_then(|head| checked(at, head, payload))
            .ok_or_else(|| self.damaged(at.segment, at.offset, "check does not match"))
    }

    pub(super) fn damaged(&self, segment: u64, offset: u64, why: &str) -> StoreError {
        StoreError::Damaged { file: self.path(segment), offset, why: why.to_owned() }
    }
}
