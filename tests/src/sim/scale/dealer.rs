//! A dealer who knows the whole key: for measurements only.
//!
//! ```text
//!   stored key material = u32 sharing: 0, as of every fresh key │ u16 member │ 32 share │ 33 group key │ u16 t │ u16 n │ n × (u16 member │ 33 verifying share)
//! ```

use k256::elliptic_curve::ops::Reduce;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use k256::{ProjectivePoint, Scalar, U256};
use ordering_types::{Digest, GroupKey};

/// A group key, and each member's material as a node stores it. Members are numbered from 1.
pub(super) fn deal(members: u16, threshold: u16, seed: u64) -> (GroupKey, Vec<Vec<u8>>) {
    let coefficient = |number: u16| {
        let bytes = Digest::sha256(&[b"dealer", &seed.to_be_bytes(), &number.to_be_bytes()]);
        <Scalar as Reduce<U256>>::reduce_bytes(bytes.as_bytes().into())
    };
    let coefficients: Vec<Scalar> = (0..threshold).map(coefficient).collect();
    let share = |member: u16| {
        let x = Scalar::from(u64::from(member));
        coefficients.iter().rev().fold(Scalar::ZERO, |sum, coefficient| sum * x + coefficient)
    };
    let key = point(&share(0));
    let mut public = key.to_vec();
    public.extend(threshold.to_be_bytes());
    public.extend(members.to_be_bytes());
    for member in 1..=members {
        public.extend(member.to_be_bytes());
        public.extend(point(&share(member)));
    }
    let material = |member: u16| {
        let secret = share(member).to_bytes();
        [[0; 4].as_slice(), &member.to_be_bytes(), secret.as_slice(), &public].concat()
    };
    let key = GroupKey::from_bytes(key).expect("the key is a point");
    (key, (1..=members).map(material).collect())
}

fn point(secret: &Scalar) -> [u8; 33] {
    let point = (ProjectivePoint::GENERATOR * secret).to_affine().to_encoded_point(true);
    point.as_bytes().try_into().expect("a compressed point has 33 bytes")
}
