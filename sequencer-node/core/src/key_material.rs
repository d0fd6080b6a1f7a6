//! How key material is laid out for the host's encrypted store: which sharing of the key it is, the share, then the group's public data.

use mpc::{GroupPublic, KEY_SHARE_LEN, KeyError, KeyMaterial, KeyShare};
use zeroize::Zeroizing;

pub(crate) fn encode(sharing: u32, material: &KeyMaterial) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(sharing.to_be_bytes().to_vec());
    bytes.extend_from_slice(material.share().to_bytes().as_slice());
    bytes.extend_from_slice(&material.public().to_bytes());
    bytes
}

pub(crate) fn decode(bytes: &[u8]) -> Result<(u32, KeyMaterial), KeyError> {
    let (sharing, rest) = bytes.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    let (share, public) = rest.split_at_checked(KEY_SHARE_LEN).unwrap_or((rest, &[]));
    let material = KeyMaterial::new(KeyShare::from_bytes(share)?, GroupPublic::from_bytes(public)?)?;
    Ok((u32::from_be_bytes(*sharing), material))
}
