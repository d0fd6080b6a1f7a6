//! The last step: a member says that it holds its share of the key that the log defines.
//!
//! Body: `digest of the candidate (32)`.

use super::fault::FaultKind;
use crate::wire::Reader;

/// Which candidate is acknowledged.
pub(super) fn read(body: &[u8]) -> Result<[u8; 32], FaultKind> {
    let mut reader = Reader::new(body);
    let digest = reader.array()?;
    reader.finish()?;
    Ok(digest)
}
