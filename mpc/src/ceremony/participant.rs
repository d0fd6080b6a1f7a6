//! The secrets of one who takes part, and what it says.

use std::collections::BTreeMap;

use k256::{ProjectivePoint, Scalar};
use zeroize::Zeroizing;

use super::announce::DecryptionKey;
use super::candidate::Candidate;
use super::complaint::Case;
use super::context::Context;
use super::dealer::Dealer;
use super::dealing::Dealing;
use super::seed::CeremonySeed;
use super::share_encryption::SharedPoint;
use crate::keys::{KeyMaterial, KeyShare};
use crate::member::MemberId;

/// One who deals, or is to hold a share, or both.
pub(super) struct Participant {
    pub(super) me: MemberId,
    pub(super) seed: CeremonySeed,
    pub(super) decryption: Option<DecryptionKey>,
    pub(super) dealer: Option<Dealer>,
    /// What each dealer gave us, if it opens; not yet checked.
    received: BTreeMap<MemberId, Option<Zeroizing<Scalar>>>,
}

impl Participant {
    /// With the share of the old key if it holds one.
    pub(super) fn new(context: &Context, me: MemberId, seed: CeremonySeed, old: Option<&KeyShare>) -> Self {
        let decryption = context.members.contains(&me).then(|| DecryptionKey::derive(context.id, &seed));
        let dealer = match &context.old {
            Some(_) => old.map(|old| Dealer::of_constant(context, me, &seed, old.secret())),
            None => Some(Dealer::fresh(context, me, &seed)),
        };
        Self { me, seed, decryption, dealer, received: BTreeMap::new() }
    }

    /// Our share of the candidate, or the dealers to complain of.
    pub(super) fn check(
        &mut self,
        context: &Context,
        candidate: &Candidate,
        dealings: &[(MemberId, &Dealing)],
        encryption: &ProjectivePoint,
    ) -> Result<KeyMaterial, Vec<MemberId>> {
        for (dealer, dealing) in dealings {
            self.receive(context, *dealer, dealing, encryption);
        }
        if let Some(material) = self.total(candidate) {
            return Ok(material);
        }
        let is_bad = |(dealer, dealing): &&(MemberId, &Dealing)| {
            let share = self.received.get(dealer).and_then(Option::as_ref);
            !share.is_some_and(|share| dealing.commitment.promises(self.me, share))
        };
        Err(dealings.iter().filter(is_bad).map(|(dealer, _)| *dealer).collect())
    }

    fn receive(
        &mut self,
        context: &Context,
        dealer: MemberId,
        dealing: &Dealing,
        encryption: &ProjectivePoint,
    ) {
        let Some(decryption) = self.decryption.as_ref().filter(|_| !self.received.contains_key(&dealer))
        else {
            return;
        };
        let case = Case { context, accuser: self.me, encryption, dealer, dealing };
        let share = dealing.shares.get(&self.me).and_then(|sealed| {
            let shared = SharedPoint::new(&decryption.0, &dealing.ephemeral)?;
            case.route().open(&shared, sealed)
        });
        self.received.insert(dealer, share);
    }

    /// The weighted sum of what we received, if it is what the sum of the commitments promises.
    fn total(&self, candidate: &Candidate) -> Option<KeyMaterial> {
        let mut total = Zeroizing::new(Scalar::ZERO);
        for (dealer, weight) in &candidate.weights {
            let share = self.received.get(dealer)?.as_ref()?;
            *total += **share * weight;
        }
        KeyMaterial::new(KeyShare::new(self.me, total), candidate.public.clone()).ok()
    }

    /// The body of a complaint about one of them.
    pub(super) fn complain(&self, case: &Case<'_>) -> Option<Vec<u8>> {
        Some(case.complain(self.decryption.as_ref()?, &self.seed))
    }
}
