//! Bytes to blobs and back.
//!
//! A blob is 4,096 field elements of 32 bytes, each below a prime just under 2^255. Four elements hold 127 bytes:
//! 31 whole bytes each, and 6 bits of the last three bytes at the top of each (so every element is below 2^254).
//!
//! ```text
//!   127 bytes:  a0…a30 │ b0…b30 │ c0…c30 │ d0…d30 │ x y z
//!   elements:   00‖x>>2, a0…a30 │ 00‖(x&3)<<4|y>>4, b… │ 00‖(y&15)<<2|z>>6, c… │ 00‖z&63, d…
//!
//!   the stream over all blobs:  u8 version (1) │ u32 payload length │ payload │ zeros
//! ```
//!
//! Packing is canonical: as few blobs as hold the payload, everything unused is zero, and [`unpack`] refuses anything
//! else. So payload and blobs determine each other.

use crate::columns::Columns;

/// Bytes of a blob.
pub const BLOB_BYTES: usize = 131_072;
/// Bytes that one blob holds.
pub const USABLE_BYTES: usize = BLOB_BYTES / GROUP_ELEMENT_BYTES * GROUP_BYTES;
/// Most blobs that a batch may take.
pub const MAX_BLOBS: usize = 6;
/// Most bytes of one payload.
pub const MAX_PAYLOAD_BYTES: usize = MAX_BLOBS * USABLE_BYTES - PREFIX_BYTES;

const VERSION: u8 = 1;
const PREFIX_BYTES: usize = 5;
const ELEMENT_BYTES: usize = 32;
/// Bytes that four field elements hold, and the bytes that they are.
const GROUP_BYTES: usize = 127;
const GROUP_ELEMENT_BYTES: usize = 4 * ELEMENT_BYTES;

/// The 131,072 bytes of one blob. On the heap: a few of them on a thread's stack would overflow it.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob(Box<c_kzg::Blob>);

impl Blob {
    /// From exactly [`BLOB_BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BlobError> {
        let blob = c_kzg::Blob::from_bytes(bytes).map_err(|_| BlobError::BlobLength(bytes.len()))?;
        Ok(Self(Box::new(blob)))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// As the KZG library takes it.
    pub(crate) const fn as_kzg(&self) -> &c_kzg::Blob {
        &self.0
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Blob")
    }
}

/// Why bytes do not fit into blobs, or blobs hold no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Longer than [`MAX_PAYLOAD_BYTES`].
    #[error("payload of {0} bytes, at most {MAX_PAYLOAD_BYTES} fit into {MAX_BLOBS} blobs")]
    TooLong(usize),
    /// Not the length of a blob.
    #[error("{0} bytes are no blob of {BLOB_BYTES}")]
    BlobLength(usize),
    /// No blobs, or more than [`MAX_BLOBS`].
    #[error("{0} blobs, 1 to {MAX_BLOBS} allowed")]
    Count(usize),
    /// An element with a bit set above the 254th.
    #[error("a field element above 2^254")]
    Element,
    /// A packing that this code does not know.
    #[error("blob packing version {0} is unknown")]
    Version(u8),
    /// A length that asks for another number of blobs.
    #[error("payload length {length} does not take {blobs} blobs")]
    Length {
        /// What the prefix says.
        length: usize,
        /// How many blobs there are.
        blobs: usize,
    },
    /// Something behind the payload.
    #[error("non-zero bytes behind the payload")]
    Padding,
}

/// Number of blobs that a payload of this length takes.
pub const fn blobs_for(payload: usize) -> usize {
    (payload + PREFIX_BYTES).div_ceil(USABLE_BYTES)
}

/// Lays a payload out in as few blobs as hold it.
pub fn pack(payload: &[u8]) -> Result<Vec<Blob>, BlobError> {
    let length = u32::try_from(payload.len()).map_err(|_| BlobError::TooLong(payload.len()))?;
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(BlobError::TooLong(payload.len()));
    }
    let mut stream = Vec::with_capacity(PREFIX_BYTES + payload.len());
    stream.push(VERSION);
    stream.extend_from_slice(&length.to_be_bytes());
    stream.extend_from_slice(payload);
    Ok(stream.chunks(USABLE_BYTES).map(pack_one).collect())
}

fn pack_one(bytes: &[u8]) -> Blob {
    let mut blob = vec![0_u8; BLOB_BYTES];
    for (group, elements) in bytes.chunks(GROUP_BYTES).zip(blob.chunks_mut(GROUP_ELEMENT_BYTES)) {
        let mut whole = [0; GROUP_BYTES];
        for (to, from) in whole.iter_mut().zip(group) {
            *to = *from;
        }
        let [low @ .., x, y, z] = &whole;
        let tops = [x >> 2, (x & 3) << 4 | y >> 4, (y & 15) << 2 | z >> 6, z & 63];
        let parts = low.chunks_exact(ELEMENT_BYTES - 1).zip(tops);
        for (element, (part, top)) in elements.chunks_exact_mut(ELEMENT_BYTES).zip(parts) {
            let Some((first, rest)) = element.split_first_mut() else { continue };
            *first = top;
            rest.copy_from_slice(part);
        }
    }
    Blob::from_bytes(&blob).expect("a blob's length is right by construction")
}

/// The payload that these blobs carry together, in order.
pub fn unpack(blobs: &[Blob]) -> Result<Vec<u8>, BlobError> {
    if blobs.is_empty() || blobs.len() > MAX_BLOBS {
        return Err(BlobError::Count(blobs.len()));
    }
    let mut stream = Vec::with_capacity(blobs.len() * USABLE_BYTES);
    for blob in blobs {
        unpack_one(blob, &mut stream)?;
    }
    let mut columns = Columns(&stream);
    let short = |_| BlobError::Count(0);
    let version = columns.byte().map_err(short)?;
    if version != VERSION {
        return Err(BlobError::Version(version));
    }
    let length = columns.u32().map_err(short)? as usize;
    let wrong_length = BlobError::Length { length, blobs: blobs.len() };
    if length > MAX_PAYLOAD_BYTES || blobs_for(length) != blobs.len() {
        return Err(wrong_length);
    }
    let payload = columns.take(length).map_err(|_| wrong_length)?;
    if columns.0.iter().any(|byte| *byte != 0) {
        return Err(BlobError::Padding);
    }
    Ok(payload.to_vec())
}

fn unpack_one(blob: &Blob, stream: &mut Vec<u8>) -> Result<(), BlobError> {
    for group in blob.as_bytes().chunks_exact(GROUP_ELEMENT_BYTES) {
        let mut tops = [0_u8; 4];
        for (element, to) in group.chunks_exact(ELEMENT_BYTES).zip(&mut tops) {
            let Some((top, part)) = element.split_first() else { continue };
            if *top > 63 {
                return Err(BlobError::Element);
            }
            *to = *top;
            stream.extend_from_slice(part);
        }
        let [a, b, c, d] = tops;
        stream.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect()
    }

    fn patched(blob: &Blob, at: usize, byte: u8) -> Blob {
        let mut bytes = blob.as_bytes().to_vec();
        bytes[at] = byte;
        Blob::from_bytes(&bytes).unwrap()
    }

    #[test]
    fn every_boundary_length_comes_back_in_the_fewest_blobs() {
        for (length, blobs) in [
            (0, 1),
            (1, 1),
            (126, 1),
            (127, 1),
            (USABLE_BYTES - 5, 1),
            (USABLE_BYTES - 4, 2),
            (MAX_PAYLOAD_BYTES, MAX_BLOBS),
        ] {
            let payload = noise(length, 7);
            let packed = pack(&payload).unwrap();
            assert_eq!(packed.len(), blobs, "{length} bytes");
            assert_eq!(blobs_for(length), blobs);
            assert_eq!(unpack(&packed).unwrap(), payload);
        }
        let longer = vec![0; MAX_PAYLOAD_BYTES + 1];
        assert_eq!(pack(&longer), Err(BlobError::TooLong(longer.len())));
    }

    #[test]
    fn only_the_canonical_packing_is_read() {
        let packed = pack(&noise(1_000, 3)).unwrap();
        let blob = &packed[0];
        let one = |blob: Blob| unpack(&[blob]);
        assert_eq!(one(patched(blob, 0, 64)), Err(BlobError::Element));
        assert_eq!(one(patched(blob, 1, 2)), Err(BlobError::Version(2)));
        assert_eq!(one(patched(blob, BLOB_BYTES - 1, 1)), Err(BlobError::Padding));
        assert_eq!(one(patched(blob, 3, 2)), Err(BlobError::Length { length: 131_072 + 1_000, blobs: 1 }));
        let two = [blob.clone(), pack(&[]).unwrap()[0].clone()];
        assert_eq!(unpack(&two), Err(BlobError::Length { length: 1_000, blobs: 2 }));
        assert_eq!(unpack(&[]), Err(BlobError::Count(0)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn whatever_unpacks_packs_to_itself(seed: u64, length in 0..40_000_usize, at in 0..BLOB_BYTES, byte: u8) {
            let payload = noise(length, seed);
            let packed = pack(&payload).unwrap();
            prop_assert_eq!(&unpack(&packed).unwrap(), &payload);
            let bent = [patched(&packed[0], at, byte)];
            if let Ok(other) = unpack(&bent) {
                prop_assert!(pack(&other).unwrap() == bent);
            }
        }
    }
}
