//! What makes a wrong share provable: its signer vouches for it in its own name.
//!
//! A signer answers only packages that hold its own commitment, so one signature says all: this share, to this package, under this
//! key. If the share is wrong, whoever has the three can show it to anybody ([`Accusation::judge`]).

use super::package::Package;
use super::round;
use crate::keys::GroupPublic;
use crate::member::MemberId;
use crate::wire::WireError;

/// A signature with a member's identity key; what it looks like is the identity's business.
pub type Voucher = [u8; 65];

/// A member's identity beside its key share: what the others know it by, whatever keys come and go.
pub trait Identity: Send {
    /// Signs that `share` is this member's answer to the package with this hash.
    fn vouch(&self, package: &[u8; 32], share: &[u8; 32]) -> Voucher;
}

/// What somebody says of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accusation {
    /// Whose share it is said to be.
    pub culprit: MemberId,
    /// Epoch of the key.
    pub epoch: u64,
    /// The package that it answers, as it was sent.
    pub package: Vec<u8>,
    /// The share.
    pub share: [u8; 32],
}

/// What became of an accusation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The share does not verify. Its signer is guilty if it vouched for it with this package hash.
    Wrong {
        /// SHA-256 over domain, epoch and package.
        package: [u8; 32],
    },
    /// The share is as it should be.
    Right,
}

/// Why an accusation says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Meaningless {
    /// The package does not parse.
    #[error("the package is malformed: {0}")]
    Malformed(#[from] WireError),
    /// Its signers are not of this key, too few, too many, or without the accused.
    #[error("the accused could not have answered this package")]
    NotSignable,
}

impl Accusation {
    /// Whether the share is wrong, under the group's public data.
    pub fn judge(&self, public: &GroupPublic) -> Result<Judgement, Meaningless> {
        let package = Package::parse(&self.package)?;
        let are_members = package.signers.keys().all(|member| public.verifying_share(*member).is_some());
        let is_asked = package.signers.contains_key(&self.culprit);
        if !are_members || !is_asked || package.signers.len() != public.threshold().count() {
            return Err(Meaningless::NotSignable);
        }
        let commitments = package.commitments()?;
        Ok(if round::is_share(&package.digest, &commitments, self.culprit, &self.share, public) {
            Judgement::Right
        } else {
            Judgement::Wrong { package: package.hash(self.epoch) }
        })
    }
}
