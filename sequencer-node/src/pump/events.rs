//! What subscribers hear.

use std::sync::Arc;

use rollup::wire::Certified;

use crate::core_api::Decided;

/// Something that happened, durable here.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A block is ordered; once a height, ascending.
    Ordered(Arc<Decided>),
    /// A block is softly confirmed.
    Certified(Certified),
}

/// Events that a subscriber may lag behind; then it reads the store, or is cut.
pub(super) const MAX_LAG: usize = 256;
