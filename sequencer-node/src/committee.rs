//! Who is in the committee of which epoch, for what the shell tells clients and keeps.
//!
//! **To be replaced** by what the core says, once it knows the members of each epoch: until then they are the founders in all of them,
//! and this module is the only place that assumes so.

use ordering_types::chain_spec::Committee;
use ordering_types::{SignedHandover, Succession, ValidatorId};

/// A handover with the members that it names by their hash.
pub(crate) fn succession(founders: &Committee, signed: SignedHandover) -> Succession {
    Succession { signed, members: founders.clone() }
}

/// Whether a validator is in the present committee.
pub(crate) fn is_member(founders: &Committee, validator: ValidatorId) -> bool {
    founders.key(validator).is_some()
}
