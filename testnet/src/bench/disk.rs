//! What a durable write costs on the bench's disk: append 4 KiB, fdatasync, many times.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

const WRITES: usize = 200;
const WRITE_BYTES: usize = 4_096;

/// The median, in microseconds, before anything else runs.
pub(super) fn fsync_p50_us(folder: &Path) -> io::Result<u64> {
    let path = folder.join("fsync-probe");
    let mut file = OpenOptions::new().create_new(true).append(true).open(&path)?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let began = Instant::now();
        file.write_all(&[0x5a; WRITE_BYTES])?;
        file.sync_data()?;
        times.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    std::fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times.get(WRITES / 2).copied().unwrap_or_default())
}
