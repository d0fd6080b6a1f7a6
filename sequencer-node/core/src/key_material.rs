//! How key material is laid out for the host's encrypted store: the share, then the group's public data.

use mpc::{GroupPublic, KEY_SHARE_LEN, KeyError, KeyMaterial, KeyShare};
use zeroize::Zeroizing;

pub(crate) fn encode(material: &KeyMaterial) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(material.share().to_bytes().to_vec());
    bytes.extend_from_slice(&material.public().to_bytes());
    bytes
}

pub(crate) fn decode(bytes: &[u8]) -> Result<KeyMaterial, KeyError> {
    let (share, public) = bytes.split_at_checked(KEY_SHARE_LEN).unwrap_or((bytes, &[]));
    KeyMaterial::new(KeyShare::from_bytes(share)?, GroupPublic::from_bytes(public)?)
}
