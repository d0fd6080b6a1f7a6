//! The dealing engine: shares a secret among the members of a ceremony.
//!
//! For a fresh key the secret is random and the sum over all dealers is the key. For resharing it will be the dealer's old
//! share; nothing else here differs.

use std::collections::BTreeMap;

use k256::elliptic_curve::Field;
use k256::{ProjectivePoint, Scalar};
use zeroize::Zeroizing;

use super::context::Context;
use super::dealing::statement;
use super::polynomial::{Commitment, Polynomial};
use super::proof::{Proof, Purpose};
use super::seed::CeremonySeed;
use super::share_encryption::{Route, SharedPoint};
use crate::member::MemberId;
use crate::wire::{compress, count_of};

const CONSTANT_LABEL: &[u8] = b"constant";
const POLYNOMIAL_LABEL: &[u8] = b"polynomial";
const EPHEMERAL_LABEL: &[u8] = b"ephemeral key";

/// A dealer's secrets for one ceremony.
pub(super) struct Dealer {
    me: MemberId,
    polynomial: Polynomial,
    ephemeral: Zeroizing<Scalar>,
}

impl Dealer {
    /// A dealer of a random constant, for a fresh key.
    pub(super) fn fresh(context: &Context, me: MemberId, seed: &CeremonySeed) -> Self {
        let constant = Zeroizing::new(Scalar::random(&mut seed.stream(&context.digest, CONSTANT_LABEL)));
        Self::of_constant(context, me, seed, &constant)
    }

    /// A dealer of a given constant.
    pub(super) fn of_constant(
        context: &Context,
        me: MemberId,
        seed: &CeremonySeed,
        constant: &Scalar,
    ) -> Self {
        let mut stream = seed.stream(&context.digest, POLYNOMIAL_LABEL);
        let polynomial = Polynomial::with_constant(constant, context.threshold, &mut stream);
        let ephemeral = Zeroizing::new(Scalar::random(&mut seed.stream(&context.digest, EPHEMERAL_LABEL)));
        Self { me, polynomial, ephemeral }
    }

    pub(super) fn commitment(&self) -> Commitment {
        self.polynomial.commit()
    }

    /// The body of the dealing to members with these encryption keys.
    pub(super) fn deal(
        &self,
        context: &Context,
        encryption_keys: &BTreeMap<MemberId, ProjectivePoint>,
        seed: &CeremonySeed,
    ) -> Vec<u8> {
        let commitment = self.commitment();
        let ephemeral = ProjectivePoint::GENERATOR * *self.ephemeral;

        let mut body = count_of(commitment.points().len()).to_vec();
        body.extend(count_of(encryption_keys.len()));
        for point in commitment.points().iter().chain([&ephemeral]) {
            body.extend(compress(point).expect("random points are not the identity"));
        }
        for (recipient, encryption) in encryption_keys {
            let route =
                Route { context, dealer: self.me, recipient: *recipient, ephemeral: &ephemeral, encryption };
            let shared = SharedPoint::new(&self.ephemeral, encryption).expect("the group has prime order");
            body.extend(route.seal(&shared, &self.polynomial.share_of(*recipient)));
        }

        let constant = Zeroizing::new(self.polynomial.constant());
        let proofs = [
            Proof::new(&constant, &statement(context, Purpose::Constant, self.me, &body), seed),
            Proof::new(&self.ephemeral, &statement(context, Purpose::EphemeralKey, self.me, &body), seed),
        ];
        for proof in proofs {
            body.extend(proof.to_bytes());
        }
        body
    }
}
