//! Bytes to blobs and back, as OP Stack rollups do since Ecotone
//! (<https://specs.optimism.io/protocol/derivation.html#blob-encoding>). Not the packing of [`crate::blob`]: there the blobs of a batch are one
//! stream, here each stands for itself.
//!
//! ```text
//!   stream:     u8 version (0) │ u24 length │ data │ zeros, 130,048 bytes in all
//!   127 bytes:  a0…a30 │ x │ b0…b30 │ y │ c0…c30 │ z │ d0…d30
//!   elements:   00‖x&63, a… │ 00‖(x>>6)<<4|y&15, b… │ 00‖z&63, c… │ 00‖(z>>6)<<4|y>>4, d…
//! ```

use crate::blob::{BLOB_BYTES, Blob, USABLE_BYTES};

/// Most bytes that one blob holds.
pub const MAX_DATA_BYTES: usize = USABLE_BYTES - PREFIX_BYTES;

const VERSION: u8 = 0;
const PREFIX_BYTES: usize = 4;
const ELEMENT_BYTES: usize = 32;
/// Bytes of the stream that are whole in one element.
const PART_BYTES: usize = ELEMENT_BYTES - 1;
/// Bytes of the stream that four elements hold, and the bytes that they are.
const GROUP_BYTES: usize = 127;
const GROUP_ELEMENT_BYTES: usize = 4 * ELEMENT_BYTES;

/// Why bytes do not fit into a blob, or a blob is not of this coding. A reader skips such a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// More than [`MAX_DATA_BYTES`].
    #[error("{0} bytes, at most {MAX_DATA_BYTES} fit into a blob")]
    TooLong(usize),
    /// An element with one of its two highest bits set.
    #[error("a field element above 2^254")]
    Element,
    /// Another coding.
    #[error("blob coding version {0} is unknown")]
    Version(u8),
    /// Something behind the data.
    #[error("non-zero bytes behind the data")]
    Padding,
}

/// Lays data out in one blob.
pub fn pack(data: &[u8]) -> Result<Blob, BlobError> {
    if data.len() > MAX_DATA_BYTES {
        return Err(BlobError::TooLong(data.len()));
    }
    let [_, length @ ..] = (data.len() as u32).to_be_bytes();
    let mut stream = Vec::with_capacity(PREFIX_BYTES + data.len());
    stream.push(VERSION);
    stream.extend_from_slice(&length);
    stream.extend_from_slice(data);
    let mut blob = vec![0_u8; BLOB_BYTES];
    for (group, elements) in stream.chunks(GROUP_BYTES).zip(blob.chunks_exact_mut(GROUP_ELEMENT_BYTES)) {
        pack_group(group, elements);
    }
    Ok(Blob::from_bytes(&blob).expect("a blob's length is right by construction"))
}

fn pack_group(bytes: &[u8], elements: &mut [u8]) {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    let (x, y, z) = (byte(PART_BYTES), byte(2 * PART_BYTES + 1), byte(3 * PART_BYTES + 2));
    let tops = [x & 63, (x >> 6) << 4 | y & 15, z & 63, (z >> 6) << 4 | y >> 4];
    // One of the three bytes that are taken apart stands behind each of the first three parts.
    let parts = bytes.chunks(PART_BYTES + 1).map(|part| part.get(..PART_BYTES).unwrap_or(part));
    let mut parts = parts.fuse();
    for (element, top) in elements.chunks_exact_mut(ELEMENT_BYTES).zip(tops) {
        let Some((first, rest)) = element.split_first_mut() else { continue };
        *first = top;
        for (to, from) in rest.iter_mut().zip(parts.next().unwrap_or_default()) {
            *to = *from;
        }
    }
}

/// The data of one blob.
pub fn unpack(blob: &Blob) -> Result<Vec<u8>, BlobError> {
    let mut stream = Vec::with_capacity(USABLE_BYTES);
    for elements in blob.as_bytes().chunks_exact(GROUP_ELEMENT_BYTES) {
        unpack_group(elements, &mut stream)?;
    }
    let Some(([version, length @ ..], rest)) = stream.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(BlobError::Padding);
    };
    if *version != VERSION {
        return Err(BlobError::Version(*version));
    }
    let [high, middle, low] = *length;
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    let (data, padding) = rest.split_at_checked(length).ok_or(BlobError::TooLong(length))?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(BlobError::Padding);
    }
    Ok(data.to_vec())
}

fn unpack_group(elements: &[u8], stream: &mut Vec<u8>) -> Result<(), BlobError> {
    let mut tops = [0_u8; 4];
    for (element, top) in elements.chunks_exact(ELEMENT_BYTES).zip(&mut tops) {
        *top = element.first().copied().unwrap_or_default();
        if *top > 63 {
            return Err(BlobError::Element);
        }
    }
    let [a, b, c, d] = tops;
    let between = [a | (b >> 4) << 6, b & 15 | d << 4, c | (d >> 4) << 6];
    for (index, element) in elements.chunks_exact(ELEMENT_BYTES).enumerate() {
        stream.extend_from_slice(element.get(1..).unwrap_or_default());
        stream.extend(between.get(index));
    }
    Ok(())
}
