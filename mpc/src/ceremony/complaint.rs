//! Between dealing and acknowledgement: a member says that a dealer gave it no good share, and everyone can see whether that is so.
//!
//! Body: `dealer (2) ‖ shared point (33) ‖ proof that it is the shared one (64)`.
//!
//! The shared point opens that one encrypted share, for everybody. Either it is no good, and its dealer is convicted, or it is, and whoever
//! complained is. Nobody has to answer, and an honest member gives away only a share that was of no use.

use k256::ProjectivePoint;

use super::announce::DecryptionKey;
use super::context::Context;
use super::dealing::Dealing;
use super::equality::{Claim, EqualityProof};
use super::fault::FaultKind;
use super::seed::CeremonySeed;
use super::share_encryption::{Route, SharedPoint};
use crate::member::MemberId;
use crate::wire::{Reader, WireError, compress};

/// Whose share of which dealing is meant.
pub(super) struct Case<'a> {
    pub(super) context: &'a Context,
    pub(super) accuser: MemberId,
    /// The accuser's, of this ceremony.
    pub(super) encryption: &'a ProjectivePoint,
    pub(super) dealer: MemberId,
    pub(super) dealing: &'a Dealing,
}

/// What became of a complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The dealer is guilty of this.
    Dealer(FaultKind),
    /// The accuser is.
    Accuser(FaultKind),
}

/// Whom a complaint is about: looked at before anything costs.
pub(super) fn accused(body: &[u8]) -> Result<MemberId, WireError> {
    Reader::new(body).member()
}

impl Case<'_> {
    pub(super) fn route(&self) -> Route<'_> {
        Route {
            context: self.context,
            dealer: self.dealer,
            recipient: self.accuser,
            ephemeral: &self.dealing.ephemeral,
            encryption: self.encryption,
        }
    }

    fn claim<'a>(&'a self, shared: &'a ProjectivePoint) -> Claim<'a> {
        Claim {
            context: self.context,
            prover: self.accuser,
            dealer: self.dealer,
            encryption: self.encryption,
            ephemeral: &self.dealing.ephemeral,
            shared,
        }
    }

    /// The body of the accuser's complaint.
    pub(super) fn complain(&self, decryption: &DecryptionKey, seed: &CeremonySeed) -> Vec<u8> {
        let shared = self.dealing.ephemeral * *decryption.0;
        let proof = EqualityProof::new(&decryption.0, &self.claim(&shared), seed);
        let mut body = self.dealer.number().to_be_bytes().to_vec();
        body.extend(compress(&shared).expect("the group has prime order"));
        body.extend(proof.to_bytes());
        body
    }

    /// Who is in the wrong.
    pub(super) fn judge(&self, body: &[u8]) -> Verdict {
        let (shared, proof) = match read(body) {
            Ok(parsed) => parsed,
            Err(why) => return Verdict::Accuser(why.into()),
        };
        if !proof.verifies(&self.claim(&shared)) {
            return Verdict::Accuser(FaultKind::UnprovenComplaint { dealer: self.dealer });
        }
        let sealed = self.dealing.shares.get(&self.accuser);
        let share =
            sealed.zip(SharedPoint::of(&shared)).and_then(|(sealed, s)| self.route().open(&s, sealed));
        match share {
            None => Verdict::Dealer(FaultKind::UndecryptableShare { recipient: self.accuser }),
            Some(share) if self.dealing.commitment.promises(self.accuser, &share) => {
                Verdict::Accuser(FaultKind::FalseComplaint { dealer: self.dealer })
            }
            Some(_) => Verdict::Dealer(FaultKind::BadShare { recipient: self.accuser }),
        }
    }
}

fn read(body: &[u8]) -> Result<(ProjectivePoint, EqualityProof), WireError> {
    let mut reader = Reader::new(body);
    reader.member()?;
    let shared = reader.point()?;
    let proof = EqualityProof::read(&mut reader)?;
    reader.finish()?;
    Ok((shared, proof))
}
