//! Step 3: a member says which group key it has a verified share of.
//!
//! Body: `group key (33)`.

use super::fault::FaultKind;
use crate::keys::GroupPublic;
use crate::wire::Reader;

pub(super) fn body(public: &GroupPublic) -> Vec<u8> {
    public.key().to_vec()
}

/// Checks an acknowledgement against the key that the log defines.
pub(super) fn verify(public: &GroupPublic, body: &[u8]) -> Result<(), FaultKind> {
    let mut reader = Reader::new(body);
    let key: [u8; 33] = reader.array()?;
    reader.finish()?;
    if key == public.key() { Ok(()) } else { Err(FaultKind::WrongGroupKey) }
}
