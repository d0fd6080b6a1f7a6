//! The ledger on its way from the bench's client to the bench: one file, hand-laid-out, since it has millions of entries.
//!
//! ```text
//!   u64 headers │ headers × (u64 height, 32 hash) │ u32 rollups │ rollups × (u32 id, u64 count, count × (u64 height, 32 id))
//! ```
//! All integers are big-endian.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use ordering_types::{Digest, RollupId};

use crate::load::Ledger;

/// Height and hash.
const ENTRY: usize = 40;

/// Writes a ledger.
pub(crate) fn write(path: &Path, ledger: &Ledger) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(ledger.headers.len() as u64).to_be_bytes())?;
    for (height, hash) in &ledger.headers {
        entry(&mut file, *height, hash)?;
    }
    let rollups = u32::try_from(ledger.ordered.len()).map_err(io::Error::other)?;
    file.write_all(&rollups.to_be_bytes())?;
    for (rollup, placed) in &ledger.ordered {
        file.write_all(&rollup.get().to_be_bytes())?;
        file.write_all(&(placed.len() as u64).to_be_bytes())?;
        for (height, id) in placed {
            entry(&mut file, *height, id)?;
        }
    }
    file.flush()
}

fn entry(file: &mut impl Write, height: u64, hash: &Digest) -> io::Result<()> {
    file.write_all(&height.to_be_bytes())?;
    file.write_all(hash.as_bytes())
}

/// Reads a ledger.
pub(crate) fn read(path: &Path) -> io::Result<Ledger> {
    parse(&std::fs::read(path)?).ok_or_else(|| io::Error::other("the client's ledger is damaged"))
}

fn parse(bytes: &[u8]) -> Option<Ledger> {
    let mut rest = bytes;
    let mut ledger = Ledger::default();
    let headers = number(&mut rest)?;
    ledger.headers.extend(entries(&mut rest, headers)?);
    let rollups = u32::from_be_bytes(take(&mut rest)?);
    for _ in 0..rollups {
        let rollup = RollupId::new(u32::from_be_bytes(take(&mut rest)?));
        let count = number(&mut rest)?;
        ledger.ordered.insert(rollup, entries(&mut rest, count)?.collect());
    }
    rest.is_empty().then_some(ledger)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, later) = rest.split_first_chunk()?;
    *rest = later;
    Some(*first)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_be_bytes)
}

fn entries<'a>(rest: &mut &'a [u8], count: u64) -> Option<impl Iterator<Item = (u64, Digest)> + use<'a>> {
    let length = usize::try_from(count).ok()?.checked_mul(ENTRY)?;
    let (all, later) = rest.split_at_checked(length)?;
    *rest = later;
    let entry = |bytes: &[u8]| {
        let (height, hash) = bytes.split_first_chunk()?;
        Some((u64::from_be_bytes(*height), Digest::new(*hash.first_chunk()?)))
    };
    Some(all.chunks_exact(ENTRY).filter_map(entry))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn the_ledger_survives_the_way_between_processes() {
        let mut ledger = Ledger::default();
        ledger.headers.insert(3, Digest::new([3; 32]));
        ledger.ordered.insert(RollupId::new(7), vec![(3, Digest::new([1; 32])), (3, Digest::new([2; 32]))]);
        ledger.ordered.insert(RollupId::new(8), Vec::new());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("told");
        write(&path, &ledger).unwrap();
        assert_eq!(read(&path).unwrap(), ledger);
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(parse(&[bytes, vec![0]].concat()), None);
        assert_eq!(parse(&[0xff; 64]), None);
    }
}
