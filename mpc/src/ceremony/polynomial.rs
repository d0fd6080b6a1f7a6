//! Shamir's secret sharing with Feldman's commitments.

use k256::elliptic_curve::Field;
use k256::elliptic_curve::ops::LinearCombinationExt;
use k256::{ProjectivePoint, Scalar};
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::member::{MemberId, Threshold};
use crate::wire::{POINT_LEN, compress};

/// A secret polynomial of degree `t − 1`; its value at zero is the secret.
pub(super) struct Polynomial(Zeroizing<Vec<Scalar>>);

impl Polynomial {
    /// With a given constant and random other coefficients.
    pub(super) fn with_constant(
        constant: &Scalar,
        threshold: Threshold,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Self {
        let mut coefficients = Zeroizing::new(Vec::with_capacity(threshold.count()));
        coefficients.push(*constant);
        coefficients.extend((1..threshold.get()).map(|_| Scalar::random(&mut *rng)));
        Self(coefficients)
    }

    pub(super) fn constant(&self) -> Scalar {
        self.0.first().copied().unwrap_or(Scalar::ZERO)
    }

    /// The share of `member`: the value there, by Horner's rule.
    pub(super) fn share_of(&self, member: MemberId) -> Zeroizing<Scalar> {
        let at = member.scalar();
        Zeroizing::new(self.0.iter().rev().fold(Scalar::ZERO, |sum, coefficient| sum * at + coefficient))
    }

    pub(super) fn commit(&self) -> Commitment {
        Commitment(self.0.iter().map(|coefficient| ProjectivePoint::GENERATOR * coefficient).collect())
    }
}

/// Public points, one for each coefficient. The length is the threshold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Commitment(Vec<ProjectivePoint>);

impl Commitment {
    /// From points of which the caller has checked that there are exactly `t`.
    pub(super) fn from_points(points: Vec<ProjectivePoint>) -> Self {
        Self(points)
    }

    pub(super) fn points(&self) -> &[ProjectivePoint] {
        &self.0
    }

    pub(super) fn constant(&self) -> ProjectivePoint {
        self.0.first().copied().unwrap_or(ProjectivePoint::IDENTITY)
    }

    /// The public point of `member`'s share: Horner's rule, where each step multiplies by a 16-bit number only.
    pub(super) fn share_of(&self, member: MemberId) -> ProjectivePoint {
        let at = member.number();
        self.0.iter().rev().fold(ProjectivePoint::IDENTITY, |sum, point| times_small(&sum, at) + point)
    }

    /// Whether `share` is the one that `member` was promised.
    pub(super) fn promises(&self, member: MemberId, share: &Scalar) -> bool {
        ProjectivePoint::GENERATOR * share == self.share_of(member)
    }

    pub(super) fn compressed_share_of(&self, member: MemberId) -> Option<[u8; POINT_LEN]> {
        compress(&self.share_of(member))
    }
}

impl Commitment {
    /// Coefficient by coefficient; all have the ceremony's length.
    pub(super) fn sum<'a>(commitments: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum: Vec<ProjectivePoint> = Vec::new();
        for Self(points) in commitments {
            sum.resize(points.len(), ProjectivePoint::IDENTITY);
            sum.iter_mut().zip(points).for_each(|(sum, point)| *sum += point);
        }
        Self(sum)
    }

    /// The same, each counted so often.
    pub(super) fn weighted(terms: &[(Scalar, &Self)]) -> Self {
        let length = terms.first().map_or(0, |(_, commitment)| commitment.0.len());
        let coefficient = |at: usize| {
            let pairs: Vec<(ProjectivePoint, Scalar)> = terms
                .iter()
                .filter_map(|(weight, commitment)| Some((*commitment.0.get(at)?, *weight)))
                .collect();
            ProjectivePoint::lincomb_ext(pairs.as_slice())
        };
        Self((0..length).map(coefficient).collect())
    }
}

/// Double and add. Variable time: both sides are public.
fn times_small(point: &ProjectivePoint, by: u16) -> ProjectivePoint {
    let bits = u16::BITS - by.leading_zeros();
    (0..bits).rev().fold(ProjectivePoint::IDENTITY, |sum, bit| {
        let doubled = sum.double();
        if by >> bit & 1 == 1 { doubled + point } else { doubled }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::secret_stream::SecretStream;

    fn member(number: u16) -> MemberId {
        MemberId::new(number).unwrap()
    }

    #[test]
    fn small_multiples_are_multiples() {
        for by in [0, 1, 2, 3, 255, 256, 4097, u16::MAX] {
            let expected = ProjectivePoint::GENERATOR * Scalar::from(u64::from(by));
            assert_eq!(times_small(&ProjectivePoint::GENERATOR, by), expected);
        }
    }

    #[test]
    fn commitments_commit_to_shares() {
        let threshold = Threshold::new(5, 7).unwrap();
        let mut rng = SecretStream::derive(&[3; 32], &[b"test"]);
        let first = Polynomial::with_constant(&Scalar::from(11_u64), threshold, &mut rng);
        let second = Polynomial::with_constant(&Scalar::from(13_u64), threshold, &mut rng);
        let sum = Commitment::sum([&first.commit(), &second.commit()]);
        for number in [1, 2, 7, 300, u16::MAX] {
            let share = *first.share_of(member(number)) + *second.share_of(member(number));
            assert_eq!(ProjectivePoint::GENERATOR * share, sum.share_of(member(number)));
        }
        assert_eq!(sum.constant(), ProjectivePoint::GENERATOR * Scalar::from(24_u64));
        assert_eq!(sum.points().len(), 5);
    }
}
