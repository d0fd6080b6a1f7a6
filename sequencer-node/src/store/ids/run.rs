//! One immutable run in a file.
//!
//! ```text
//!   file  = page* │ fence* │ tail
//!   page  = 8 check │ 1 to 146 × entry │ zeros          4096 bytes; check = first bytes of sha256(the rest)
//!   entry = 16 key │ u64 height │ u32 place             never all zeros: heights start at 1
//!   fence = first 8 bytes of a page's first key
//!   tail  = "mpc-seq/idrun/01" │ u64 first height │ u64 last height │ u64 entries │ 8 check of fences and tail
//! ```
//!
//! The file gets its name (`<first>-<last>.run`) once it is synced. Fences stay in memory: a lookup reads the one page
//! where the key can be, and its neighbour if the key begins there.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ordering_types::Digest;

use super::memory::newest;
use super::{Entry, StoreError};

const PAGE_BYTES: usize = 4096;
const CHECK_BYTES: usize = 8;
const ENTRY_BYTES: usize = 28;
const ENTRIES_A_PAGE: usize = (PAGE_BYTES - CHECK_BYTES) / ENTRY_BYTES;
const MAGIC: &[u8; 16] = b"mpc-seq/idrun/01";
const TAIL_BYTES: usize = 16 + 8 + 8 + 8 + CHECK_BYTES;
const BUFFER_BYTES: usize = 1 << 20;
const UNFINISHED: &str = "unfinished";

/// An open run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) path: PathBuf,
    file: File,
    /// Lowest height covered.
    pub(super) first: u64,
    /// Highest height covered.
    pub(super) last: u64,
    /// Number of entries.
    pub(super) entries: u64,
    fences: Vec<u64>,
}

impl Run {
    /// The newest entry with this key.
    pub(super) fn find(&self, key: u128) -> Result<Option<Entry>, StoreError> {
        let fence = fence(key);
        let mut found = None;
        // Equal keys may begin in the page before the first that starts with them.
        let start = self.fences.partition_point(|other| *other < fence).saturating_sub(1);
        for (page, _) in self.fences.iter().enumerate().skip(start).take_while(|(_, other)| **other <= fence)
        {
            found = newest(&self.page(page)?, key).or(found);
        }
        Ok(found)
    }

    /// Number of pages.
    pub(super) const fn pages(&self) -> usize {
        self.fences.len()
    }

    /// Entries of one page.
    pub(super) fn page(&self, page: usize) -> Result<Vec<Entry>, StoreError> {
        let mut bytes = [0; PAGE_BYTES];
        let offset = (page * PAGE_BYTES) as u64;
        self.file.read_exact_at(&mut bytes, offset).map_err(StoreError::io(&self.path))?;
        let broken = || StoreError::BadIndex { file: self.path.clone(), offset };
        let (stored, rest) = bytes.split_first_chunk().ok_or_else(broken)?;
        if *stored != check(&[rest]) {
            return Err(broken());
        }
        Ok(rest.chunks_exact(ENTRY_BYTES).map_while(decode).collect())
    }
}

fn fence(key: u128) -> u64 {
    (key >> 64) as u64
}

fn check(parts: &[&[u8]]) -> [u8; CHECK_BYTES] {
    *Digest::sha256(parts).as_bytes().first_chunk().expect("a digest has 32 bytes")
}

fn encode(entry: Entry) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    let (key, rest) = bytes.split_at_mut(16);
    let (height, place) = rest.split_at_mut(8);
    key.copy_from_slice(&entry.key.to_be_bytes());
    height.copy_from_slice(&entry.height.to_be_bytes());
    place.copy_from_slice(&entry.place.to_be_bytes());
    bytes
}

/// `None` for the zeros after the last entry.
fn decode(bytes: &[u8]) -> Option<Entry> {
    let (key, rest) = bytes.split_first_chunk()?;
    let (height, rest) = rest.split_first_chunk()?;
    let height = u64::from_be_bytes(*height);
    let place = u32::from_be_bytes(rest.try_into().ok()?);
    (height != 0).then_some(Entry { key: u128::from_be_bytes(*key), height, place })
}

/// Writes a run of sorted entries and syncs it.
pub(super) fn write(
    folder: &Path,
    heights: (u64, u64),
    entries: impl Iterator<Item = Result<Entry, StoreError>>,
) -> Result<Run, StoreError> {
    let (first, last) = heights;
    let path = folder.join(format!("{first:012}-{last:012}.run"));
    let unfinished = path.with_extension(UNFINISHED);
    let failed = || StoreError::io(&unfinished);
    let file = File::create(&unfinished).map_err(failed())?;
    let mut output = BufWriter::with_capacity(BUFFER_BYTES, &file);
    let (mut fences, mut count) = (Vec::new(), 0_u64);
    let mut page = Vec::with_capacity(PAGE_BYTES);
    for entry in entries {
        let entry = entry?;
        if page.is_empty() {
            fences.push(fence(entry.key));
        }
        page.extend_from_slice(&encode(entry));
        count += 1;
        if page.len() == ENTRIES_A_PAGE * ENTRY_BYTES {
            write_page(&mut output, &mut page).map_err(failed())?;
        }
    }
    if !page.is_empty() {
        write_page(&mut output, &mut page).map_err(failed())?;
    }
    output.write_all(&ending(&fences, heights, count)).and_then(|()| output.flush()).map_err(failed())?;
    drop(output);
    file.sync_all().map_err(failed())?;
    fs::rename(&unfinished, &path).map_err(failed())?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io(folder))?;
    // The file above is open for writing only.
    let file = File::open(&path).map_err(StoreError::io(&path))?;
    Ok(Run { path, file, first, last, entries: count, fences })
}

fn write_page(output: &mut impl Write, page: &mut Vec<u8>) -> std::io::Result<()> {
    page.resize(PAGE_BYTES - CHECK_BYTES, 0);
    output.write_all(&check(&[page]))?;
    output.write_all(page)?;
    page.clear();
    Ok(())
}

/// Fences and tail.
fn ending(fences: &[u64], (first, last): (u64, u64), entries: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = fences.iter().flat_map(|fence| fence.to_be_bytes()).collect();
    bytes.extend_from_slice(MAGIC);
    for number in [first, last, entries] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&check(&[&bytes]));
    bytes
}

/// Opens a run; `None` if it is not whole.
fn open(path: &Path) -> Result<Option<Run>, StoreError> {
    let file = File::open(path).map_err(StoreError::io(path))?;
    let length = file.metadata().map_err(StoreError::io(path))?.len();
    let mut tail = [0; TAIL_BYTES];
    let Some(tail_at) = length.checked_sub(TAIL_BYTES as u64) else { return Ok(None) };
    file.read_exact_at(&mut tail, tail_at).map_err(StoreError::io(path))?;
    let number = |at: usize| {
        let bytes = tail.get(at..).and_then(<[u8]>::first_chunk).expect("numbers stand inside the tail");
        u64::from_be_bytes(*bytes)
    };
    let (first, last, entries) = (number(16), number(24), number(32));
    let pages = entries.div_ceil(ENTRIES_A_PAGE as u64);
    let expected = pages.checked_mul(PAGE_BYTES as u64 + 8);
    if !tail.starts_with(MAGIC) || expected != Some(tail_at) || first > last {
        return Ok(None);
    }
    let mut bytes = vec![0; (pages * 8) as usize];
    file.read_exact_at(&mut bytes, pages * PAGE_BYTES as u64).map_err(StoreError::io(path))?;
    let (numbers, stored) = tail.split_at(TAIL_BYTES - CHECK_BYTES);
    if stored != check(&[&bytes, numbers]) {
        return Ok(None);
    }
    let (chunks, _) = bytes.as_chunks();
    let fences = chunks.iter().map(|fence| u64::from_be_bytes(*fence)).collect();
    Ok(Some(Run { path: path.to_owned(), file, first, last, entries, fences }))
}

/// Opens the runs that cover heights from at most `first` on without a gap, and none beyond `last`; removes the rest.
pub(super) fn open_all(folder: &Path, first: u64, last: u64) -> Result<Vec<Run>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::io(folder))? {
        let path = entry.map_err(StoreError::io(folder))?.path();
        let run = if path.extension().is_some_and(|e| e == "run") { open(&path)? } else { None };
        match run {
            Some(run) if run.last >= first && run.last <= last => found.push(run),
            _ => remove(&path)?,
        }
    }
    // Of a merge that a crash kept from removing what it merged, the larger one comes first and counts.
    found.sort_unstable_by_key(|run| (run.first, u64::MAX - run.last));
    let mut next = None;
    let mut runs = Vec::new();
    for run in found {
        if next.map_or(run.first <= first, |next| run.first == next) {
            next = Some(run.last + 1);
            runs.push(run);
        } else {
            remove(&run.path)?;
        }
    }
    Ok(runs)
}

pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(path)(e)),
        _ => Ok(()),
    }
}
