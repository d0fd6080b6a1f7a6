//! What convinces everybody that a validator misbehaved: its own signatures, and nothing that an accuser says.

use mpc::signing::{Accusation, Judgement, Meaningless};
use mpc::{GroupPublic, KeyError, MemberId};
use ordering_types::chain_spec::Committee;
use ordering_types::preimage::Domain;
use ordering_types::{Digest, Epoch, Signature, SignedVote, ValidatorId};
use serde::{Deserialize, Serialize};

/// Proof of a misdeed. [`Evidence::verify`] says whether it is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Two votes of one validator for one height, round and step, over different values.
    Votes {
        /// One.
        first: SignedVote,
        /// The other.
        second: SignedVote,
    },
    /// A wrong share of a group signature, for which its signer vouched.
    Share(WrongShare),
}

/// A share, what it answers, under which key, and its signer's word for all three.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongShare {
    /// Who signed.
    pub validator: ValidatorId,
    /// Epoch of the key.
    pub epoch: Epoch,
    /// The key's public data, as [`GroupPublic::to_bytes`] lays it out.
    #[serde(with = "hex")]
    pub group: Vec<u8>,
    /// The package that was to be signed.
    #[serde(with = "hex")]
    pub package: Vec<u8>,
    /// The share.
    #[serde(with = "hex")]
    pub share: [u8; 32],
    /// The signer's, over [`Domain::signature_share`].
    pub voucher: Signature,
}

/// Why something is no evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The accused is no validator of this network.
    #[error("validator {0} is not in the committee")]
    Unknown(ValidatorId),
    /// Two votes that an honest validator may cast.
    #[error("the two votes do not contradict each other: {0}")]
    NoConflict(&'static str),
    /// A signature is not the accused's.
    #[error("{0} is not signed by validator {1}")]
    NotSigned(&'static str, ValidatorId),
    /// The public data does not parse.
    #[error("the key's public data: {0}")]
    Group(#[from] KeyError),
    /// The package and the key do not belong together.
    #[error(transparent)]
    Package(#[from] Meaningless),
    /// There is nothing wrong with the share.
    #[error("the share is right")]
    RightShare,
}

impl Evidence {
    /// Who is accused.
    pub fn culprit(&self) -> ValidatorId {
        match self {
            Self::Votes { first, .. } => first.vote.validator,
            Self::Share(wrong) => wrong.validator,
        }
    }

    /// In which epoch: of its committee the accused must be.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Votes { first, .. } => first.vote.epoch,
            Self::Share(wrong) => wrong.epoch,
        }
    }

    /// What kind of misdeed it is, in one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Votes { .. } => "votes",
            Self::Share(_) => "share",
        }
    }

    /// Bytes of what differs in length, for who counts what waits.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Votes { .. } => 0,
            Self::Share(wrong) => wrong.group.len() + wrong.package.len(),
        }
    }

    /// Whether it proves what it says, before anybody who knows the network and its validators' keys.
    pub fn verify(&self, domain: &Domain, committee: &Committee) -> Result<(), Unproven> {
        match self {
            Self::Votes { first, second } => verify_votes(first, second, domain, committee),
            Self::Share(wrong) => wrong.verify(domain, committee),
        }
    }
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Votes { first, .. } => {
                let vote = first.vote;
                write!(
                    f,
                    "validator {} signed two {:?}s for height {}, round {}",
                    vote.validator, vote.kind, vote.height, vote.round
                )
            }
            Self::Share(wrong) => {
                write!(f, "validator {} signed a wrong share in epoch {}", wrong.validator, wrong.epoch)
            }
        }
    }
}

fn verify_votes(
    first: &SignedVote,
    second: &SignedVote,
    domain: &Domain,
    committee: &Committee,
) -> Result<(), Unproven> {
    let (a, b) = (first.vote, second.vote);
    let place = |vote: ordering_types::Vote| (vote.validator, vote.kind, vote.epoch, vote.height, vote.round);
    if place(a) != place(b) {
        return Err(Unproven::NoConflict("validator, step, epoch, height or round differ"));
    }
    if a.digest(domain) == b.digest(domain) {
        return Err(Unproven::NoConflict("both are for the same value"));
    }
    let key = committee.key(a.validator).ok_or(Unproven::Unknown(a.validator))?;
    let unsigned = [("the first vote", first), ("the second vote", second)]
        .into_iter()
        .find(|(_, vote)| !vote.verify(domain, key));
    unsigned.map_or(Ok(()), |(what, _)| Err(Unproven::NotSigned(what, a.validator)))
}

impl WrongShare {
    fn verify(&self, domain: &Domain, committee: &Committee) -> Result<(), Unproven> {
        let unknown = Unproven::Unknown(self.validator);
        let key = committee.key(self.validator).ok_or_else(|| unknown.clone())?;
        let culprit = MemberId::new(self.validator.get()).ok_or(unknown)?;
        let group = GroupPublic::from_bytes(&self.group)?;
        let (epoch, package) = (self.epoch.get(), self.package.clone());
        let accusation = Accusation { culprit, epoch, package, share: self.share };
        let Judgement::Wrong { package } = accusation.judge(&group)? else {
            return Err(Unproven::RightShare);
        };
        let group = Digest::sha256(&[&self.group]);
        let vouched = domain.signature_share(self.epoch, group, Digest::new(package), self.share);
        if key.verify(vouched, &self.voucher) {
            Ok(())
        } else {
            Err(Unproven::NotSigned("the share", self.validator))
        }
    }
}

#[cfg(test)]
mod tests;
