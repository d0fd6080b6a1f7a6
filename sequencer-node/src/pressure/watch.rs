//! Looks every second: L1, the store, the disk, the core.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::blind::Blindness;
use super::readings::{Readings, Unposted};
use super::valve::Valve;
use crate::core_api::Status;
use crate::l1::{Posted, PostedView};
use crate::pump::Handle;
use crate::store::{Reader, StoreError};

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What is looked at.
pub(crate) struct Watch {
    /// What the looks are for.
    pub(crate) valve: Arc<Valve>,
    /// The core.
    pub(crate) handle: Handle,
    /// The store.
    pub(crate) reader: Reader,
    /// The data folder.
    pub(crate) folder: PathBuf,
    /// Which batches L1 has; none without an endpoint.
    pub(crate) posted: Option<watch::Receiver<PostedView>>,
}

/// What one look leaves for the next.
#[derive(Clone, Copy, Default)]
struct Memory {
    blindness: Blindness,
    /// The oldest unposted batch, and when it ended, in milliseconds since 1970: its record is read once.
    oldest: Option<(u64, u64)>,
}

impl Watch {
    /// Looks once, and then on until the runtime ends.
    pub(crate) async fn start(self) {
        let watch = Arc::new(self);
        let memory = look(&watch, Memory::default()).await;
        tokio::spawn(async move {
            let mut memory = memory;
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                memory = look(&watch, memory).await;
            }
        });
    }

    /// Reads the disk: off the runtime's threads.
    fn readings(&self, status: &Status, memory: &mut Memory) -> Result<Readings, StoreError> {
        Ok(Readings {
            unposted: self.posted(memory)?.map(|posted| self.unposted(posted, memory)).transpose()?,
            free_disk: free_disk(&self.folder),
            // Before there is a key nothing can be signed, and who catches up asks for what is signed long ago; the core's own limit holds.
            unsigned_batches: if status.founded && !status.syncing { status.open_batches as u64 } else { 0 },
            unsigned_bytes: status.open_bytes,
        })
    }

    /// What L1 has, if this node can know. Tells the store up to where it may forget.
    fn posted(&self, memory: &mut Memory) -> Result<Option<Posted>, StoreError> {
        let Some(view) = self.posted.as_ref().map(|posted| *posted.borrow()) else { return Ok(None) };
        let newest = self.reader.range()?.map(|(_, newest)| newest);
        let header = newest.map(|newest| self.reader.header(newest)).transpose()?.flatten();
        let reference = header.map_or(0, |(header, _)| header.l1_reference.number);
        let blind = memory.blindness.look(view.answered.elapsed(), reference);
        let finalized = view.posted.map_or(0, |posted| posted.finalized);
        self.reader.set_final_batch(Some(finalized).filter(|_| !blind));
        Ok(view.posted.filter(|_| !blind))
    }

    fn unposted(&self, posted: Posted, memory: &mut Memory) -> Result<Unposted, StoreError> {
        let held = self.reader.unposted(posted.latest)?;
        if memory.oldest.is_none_or(|(number, _)| number != held.oldest) {
            let batch = self.reader.sealed(held.oldest)?;
            memory.oldest = batch.map(|batch| (batch.header.number, batch.header.last_time_ms));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ended = memory.oldest.map(|(_, ended)| Duration::from_millis(ended));
        let oldest = ended.map_or(Duration::ZERO, |ended| now.saturating_sub(ended));
        Ok(Unposted { batches: held.batches, bytes: held.bytes, oldest })
    }
}

async fn look(watch: &Arc<Watch>, mut memory: Memory) -> Memory {
    let (status, looking) = (watch.handle.status(), Arc::clone(watch));
    let members = status.committee.len();
    let reading = tokio::task::spawn_blocking(move || {
        let readings = looking.readings(&status, &mut memory);
        (readings, memory)
    });
    // It fails only while the runtime ends.
    let Ok((readings, memory)) = reading.await else { return memory };
    match readings {
        Ok(readings) => watch.valve.look(readings, members),
        Err(error) => tracing::error!(%error, "cannot read the store to see what L1 lacks; check the disk"),
    }
    memory
}

/// Bytes that the file system has for this process.
fn free_disk(folder: &std::path::Path) -> Option<u64> {
    let system = rustix::fs::statvfs(folder).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}
