//! Commit certificates: a quorum of precommits for one header.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::chain_spec::Committee;
use crate::key::Signature;
use crate::preimage::Domain;
use crate::{Digest, Epoch, Height, Round, ValidatorId};

/// Most signatures in one certificate.
pub const MAX_CERTIFICATE_SIGNATURES: usize = 256;

/// Why a certificate proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A signer outside the committee.
    #[error("validator {0} is not in the committee")]
    Stranger(ValidatorId),
    /// A signer counted twice.
    #[error("validator {0} signs twice")]
    Duplicate(ValidatorId),
    /// A signature that does not verify.
    #[error("signature of validator {0} does not verify")]
    Signature(ValidatorId),
    /// Fewer signers than the quorum.
    #[error("{got} signatures, {quorum} needed")]
    NoQuorum {
        /// Valid signatures found.
        got: usize,
        /// n − f.
        quorum: usize,
    },
}

/// n − f precommits for one header, of one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitCertificate {
    /// Epoch.
    pub epoch: Epoch,
    /// Height.
    pub height: Height,
    /// The round that decided.
    pub round: Round,
    /// Hash of the decided header.
    pub header: Digest,
    /// Precommit signatures, in ascending order of validator.
    pub signatures: Vec<(ValidatorId, Signature)>,
}

impl CommitCertificate {
    /// Checks that a quorum of `committee` signed.
    pub fn verify(&self, domain: &Domain, committee: &Committee) -> Result<(), CertificateError> {
        let quorum = committee.quorum();
        if self.signatures.len() < quorum || self.signatures.len() > committee.len() {
            return Err(CertificateError::NoQuorum { got: self.signatures.len(), quorum });
        }
        let digest = domain.vote(true, self.epoch, self.height, self.round, Some(self.header));
        let mut seen = BTreeSet::new();
        for (id, signature) in &self.signatures {
            let key = committee.key(*id).ok_or(CertificateError::Stranger(*id))?;
            if !seen.insert(*id) {
                return Err(CertificateError::Duplicate(*id));
            }
            if !key.verify(digest, signature) {
                return Err(CertificateError::Signature(*id));
            }
        }
        Ok(())
    }
}
