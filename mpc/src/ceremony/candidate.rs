//! The key that the dealings so far come to.

use std::collections::{BTreeMap, BTreeSet};

use k256::Scalar;
use sha2::{Digest, Sha256};

use super::context::Context;
use super::dealing::Dealing;
use super::polynomial::Commitment;
use crate::keys::GroupPublic;
use crate::member::MemberId;

const DOMAIN: &[u8] = b"mpc-sequencer/v1/candidate";

/// The first dealings in log order that make a key, and what they make.
pub(super) struct Candidate {
    /// How often each dealer's polynomial counts.
    pub(super) weights: BTreeMap<MemberId, Scalar>,
    pub(super) public: GroupPublic,
    /// Names all of it. Two sets of dealers share an old key differently: the key alone would not tell.
    pub(super) digest: [u8; 32],
    /// The time of the block with which there was enough for it.
    pub(super) since: u64,
}

impl Candidate {
    /// `None` if the key would be the identity, or so many shares that too few are left.
    pub(super) fn new(context: &Context, dealings: &[(MemberId, &Dealing)], since: u64) -> Option<Self> {
        let dealers: BTreeSet<MemberId> = dealings.iter().map(|(dealer, _)| *dealer).collect();
        let weight = |dealer: MemberId| {
            let weight = context.old.as_ref().map(|_| at_zero(dealer, &dealers));
            (dealer, weight.unwrap_or(Scalar::ONE))
        };
        let weights: BTreeMap<_, _> = dealers.iter().map(|dealer| weight(*dealer)).collect();
        let terms: Vec<_> = dealings
            .iter()
            .map(|(dealer, dealing)| {
                (weights.get(dealer).copied().unwrap_or(Scalar::ONE), &dealing.commitment)
            })
            .collect();
        let sum = match context.old {
            Some(_) => Commitment::weighted(&terms),
            None => Commitment::sum(terms.into_iter().map(|(_, commitment)| commitment)),
        };
        let public = derive_public(context, &sum)?;
        let digest = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(context.digest)
            .chain_update(public.to_bytes())
            .finalize()
            .into();
        Some(Self { weights, public, digest, since })
    }

    pub(super) fn is_of(&self, dealings: &[(MemberId, &Dealing)]) -> bool {
        dealings.len() == self.weights.len()
            && dealings.iter().all(|(dealer, _)| self.weights.contains_key(dealer))
    }
}

/// Lagrange's coefficient of `member` among `others` (itself with them) for the value at zero.
fn at_zero(member: MemberId, others: &BTreeSet<MemberId>) -> Scalar {
    let mut above = Scalar::ONE;
    let mut below = Scalar::ONE;
    for other in others.iter().filter(|other| **other != member) {
        above *= other.scalar();
        below *= other.scalar() - member.scalar();
    }
    above * below.invert().unwrap_or(Scalar::ZERO)
}

/// The last dealer that counts can make one member's verifying share the identity, since only constants are proven: that member is left out.
/// If it was cheated it finds a bad share among its dealings, and complains; if it helped, it has no share.
fn derive_public(context: &Context, sum: &Commitment) -> Option<GroupPublic> {
    let key = crate::wire::compress(&sum.constant())?;
    let share = |member: &MemberId| Some((*member, sum.compressed_share_of(*member)?));
    let shares: BTreeMap<_, _> = context.members.iter().filter_map(share).collect();
    GroupPublic::new(context.threshold.get(), key, shares).ok()
}
