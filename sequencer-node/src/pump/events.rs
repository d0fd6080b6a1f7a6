//! What subscribers hear.

use std::sync::Arc;

use batcher_format::SealedBatch;
use ordering_types::{Digest, GroupSignature, Height};

use crate::core_api::Decided;

/// Something that happened, durable here.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A block is ordered; once a height, ascending.
    Ordered(Arc<Decided>),
    /// A block is softly confirmed.
    Certified {
        /// Which.
        height: Height,
        /// Its header hash.
        header: Digest,
        /// The group's signature.
        signature: GroupSignature,
    },
    /// A batch is signed.
    Sealed(Arc<SealedBatch>),
}

/// Events that a subscriber may lag behind; then it reads the store, or is cut.
pub(super) const MAX_LAG: usize = 1_024;
