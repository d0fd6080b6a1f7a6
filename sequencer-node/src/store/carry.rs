//! Undecided chunks on their way out of a segment that is to be removed: the pruner finds them, the writer writes them
//! again at the journal's end.

use std::sync::{Arc, Mutex, PoisonError};

use ordering_types::Chunk;

/// Most chunks on the way at once.
pub(super) const MAX_CARRIED: usize = 32;

/// Shared by the pruner and the writer.
#[derive(Clone, Debug, Default)]
pub(super) struct Carry(Arc<Mutex<Vec<Chunk>>>);

impl Carry {
    /// Hands chunks to the writer, unless it has not yet taken the last ones.
    pub(super) fn offer(&self, chunks: Vec<Chunk>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            *waiting = chunks;
        }
    }

    /// What the writer is to write again.
    pub(super) fn take(&self) -> Vec<Chunk> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
