//! The validator's key as the signing machine sees it.

use mpc::GroupPublic;
use mpc::signing::{Identity, Voucher};
use ordering_types::preimage::Domain;
use ordering_types::{Digest, Epoch, SecretKey};

/// Vouches for this validator's shares of one group key's signatures.
pub(crate) struct Vouching {
    domain: Domain,
    epoch: Epoch,
    group: Digest,
    key: SecretKey,
}

impl Vouching {
    pub(crate) fn new(domain: Domain, epoch: Epoch, group: &GroupPublic, key: SecretKey) -> Self {
        Self { domain, epoch, group: Digest::sha256(&[&group.to_bytes()]), key }
    }
}

impl Identity for Vouching {
    fn vouch(&self, package: &[u8; 32], share: &[u8; 32]) -> Voucher {
        let digest = self.domain.signature_share(self.epoch, self.group, Digest::new(*package), *share);
        *self.key.sign(digest).as_bytes()
    }
}
