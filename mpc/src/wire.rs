//! The byte layout of every message: big-endian, fixed width, no trailing bytes.
//!
//! Points are 33-byte compressed SEC1 with tag 2 or 3. k256 (and so frost) also reads the 33-byte *compact* form, tag 5,
//! which would give one point two encodings; here it is refused.

use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::sec1::{FromEncodedPoint, ToEncodedPoint};
use k256::{AffinePoint, EncodedPoint, ProjectivePoint, Scalar};

use crate::member::MemberId;

/// Bytes of a point.
pub(crate) const POINT_LEN: usize = 33;
/// Bytes of a scalar.
pub(crate) const SCALAR_LEN: usize = 32;

/// Why bytes do not parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Fewer bytes than the layout needs.
    #[error("message is cut short")]
    Short,
    /// More bytes than the layout needs.
    #[error("message has trailing bytes")]
    Trailing,
    /// A tag or version that is not known.
    #[error("unknown tag {0}")]
    Tag(u8),
    /// A count or length outside its bounds.
    #[error("length {got} where at most {limit} is possible")]
    Length {
        /// What the message says.
        got: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Not a compressed point of the curve other than the identity.
    #[error("not a point of the curve")]
    Point,
    /// Not a canonical scalar.
    #[error("not a canonical scalar")]
    Scalar,
    /// A member number of zero, or numbers not strictly ascending.
    #[error("member numbers are not valid")]
    Member,
}

/// Reads a message from its front.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn remaining(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(WireError::Short)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(WireError::Short)?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn member(&mut self) -> Result<MemberId, WireError> {
        MemberId::new(self.u16()?).ok_or(WireError::Member)
    }

    pub(crate) fn point(&mut self) -> Result<ProjectivePoint, WireError> {
        decompress(&self.array()?)
    }

    pub(crate) fn scalar(&mut self) -> Result<Scalar, WireError> {
        scalar(&self.array()?)
    }

    /// A 16-bit count of things, at most `limit`.
    pub(crate) fn count(&mut self, limit: usize) -> Result<usize, WireError> {
        let got = usize::from(self.u16()?);
        if got > limit { Err(WireError::Length { got, limit }) } else { Ok(got) }
    }

    pub(crate) fn finish(self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError::Trailing) }
    }
}

/// Compresses a point; `None` for the identity, which has no place on the wire.
pub(crate) fn compress(point: &ProjectivePoint) -> Option<[u8; POINT_LEN]> {
    point.to_affine().to_encoded_point(true).as_bytes().try_into().ok()
}

/// Reads a compressed point (tag 2 or 3, on the curve).
pub(crate) fn decompress(bytes: &[u8; POINT_LEN]) -> Result<ProjectivePoint, WireError> {
    let [tag, ..] = bytes;
    if !matches!(tag, 2 | 3) {
        return Err(WireError::Point);
    }
    let encoded = EncodedPoint::from_bytes(bytes).map_err(|_| WireError::Point)?;
    Option::<AffinePoint>::from(AffinePoint::from_encoded_point(&encoded))
        .map(ProjectivePoint::from)
        .ok_or(WireError::Point)
}

/// Reads a scalar below the group order.
pub(crate) fn scalar(bytes: &[u8; SCALAR_LEN]) -> Result<Scalar, WireError> {
    Option::<Scalar>::from(Scalar::from_repr((*bytes).into())).ok_or(WireError::Scalar)
}

/// The 32 bytes of a scalar.
pub(crate) fn scalar_bytes(scalar: &Scalar) -> [u8; SCALAR_LEN] {
    scalar.to_bytes().into()
}

/// A 16-bit count for a collection whose size this crate itself bounds.
pub(crate) fn count_of(len: usize) -> [u8; 2] {
    u16::try_from(len).expect("every list here is bounded below 2^16").to_be_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn one_point_has_one_encoding() {
        let bytes = compress(&ProjectivePoint::GENERATOR).unwrap();
        assert_eq!(decompress(&bytes).unwrap(), ProjectivePoint::GENERATOR);
        for tag in [0, 1, 4, 5, 6, 7, 255] {
            let mut other = bytes;
            other[0] = tag;
            assert_eq!(decompress(&other), Err(WireError::Point), "tag {tag}");
        }
        assert_eq!(compress(&ProjectivePoint::IDENTITY), None);
        assert_eq!(decompress(&[0; 33]), Err(WireError::Point));
    }

    #[test]
    fn scalars_are_canonical() {
        assert_eq!(scalar(&[0xff; 32]), Err(WireError::Scalar));
        assert_eq!(scalar(&scalar_bytes(&-Scalar::ONE)).unwrap(), -Scalar::ONE);
    }

    #[test]
    fn readers_stop_at_the_end() {
        let mut reader = Reader::new(&[0, 7, 1]);
        assert_eq!(reader.count(6), Err(WireError::Length { got: 7, limit: 6 }));
        assert_eq!(reader.u16(), Err(WireError::Short));
        assert_eq!(reader.finish(), Err(WireError::Trailing));
    }
}
