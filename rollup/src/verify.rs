//! Checks that need no connection: what a node says is believed only with the right signatures.
//!
//! | what | proven by | needs |
//! |---|---|---|
//! | an ordered block | precommits of n − f validators | the chain specification |
//! | the group key | ECDSA signatures of n − f validators | the chain specification |
//! | a soft confirmation | one group signature over it or a block that descends from it | the group key |
//! | a sealed batch | one group signature | the group key |
//! | one transaction's place | a Merkle path to a header's `tx_root` | that header, proven |
//!
//! A checked thing is a [`Verified`]: only this module makes one.

use std::ops::Deref;
use std::sync::Arc;

use batcher_format::SealedBatch;
use ordering_types::block::InclusionProof;
use ordering_types::certificate::CertificateError;
use ordering_types::chain_spec::Committee;
use ordering_types::group::GroupError;
use ordering_types::preimage::Domain;
use ordering_types::{ChainSpec, Digest, Epoch, GroupKey, Header, Height, TxId};

use crate::wire::{Certified, Confirmation, Founding, MAX_ABOVE, OrderedBlock};

/// Proof that the value inside was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Why something is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header of another network.
    #[error("the header is of another chain specification")]
    ChainSpec,
    /// An epoch whose committee is not known here.
    #[error("epoch {0} is unknown: only the founding committee's is")]
    Epoch(Epoch),
    /// A certificate for something else.
    #[error("the certificate is for another header")]
    OtherHeader,
    /// No quorum behind it.
    #[error("certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// Lists or transactions that do not stand under the header.
    #[error("rollups or transactions do not stand under the header's tx_root")]
    TxRoot,
    /// No quorum behind the founding key.
    #[error("founding key: {got} valid signatures, {quorum} needed")]
    Founding {
        /// Valid signatures.
        got: usize,
        /// n − f.
        quorum: usize,
    },
    /// Headers that do not lead from a block to the one that is signed.
    #[error("header {0} does not follow from the one before it")]
    Unlinked(Height),
    /// More headers than a confirmation may have.
    #[error("{0} headers above the block, at most {MAX_ABOVE} allowed")]
    TooManyAbove(usize),
    /// The group signature.
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// All that a client must know beforehand: what the chain specification says of the network.
#[derive(Clone, Debug)]
pub struct Network {
    spec: Arc<ChainSpec>,
    hash: Digest,
    committee: Committee,
}

impl Network {
    /// The network of a chain specification.
    pub fn new(spec: Arc<ChainSpec>) -> Self {
        let (hash, committee) = (spec.hash(), spec.committee());
        Self { spec, hash, committee }
    }

    /// The specification.
    pub fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    /// Its hash.
    pub const fn hash(&self) -> Digest {
        self.hash
    }

    /// What signatures are bound to.
    pub fn domain(&self) -> Domain {
        self.spec.domain()
    }

    /// The founding committee. (Epochs rotate it once there are handovers.)
    pub const fn committee(&self) -> &Committee {
        &self.committee
    }

    /// Checks an ordered block: its certificate, and that everything it lists stands under its header.
    pub fn ordered(&self, block: Arc<OrderedBlock>) -> Result<Verified<Arc<OrderedBlock>>, VerifyError> {
        let header = &block.header;
        if header.chain_spec != self.hash {
            return Err(VerifyError::ChainSpec);
        }
        let certificate = &block.certificate;
        let same = certificate.epoch == header.epoch && certificate.height == header.height;
        if !same || certificate.header != header.hash() {
            return Err(VerifyError::OtherHeader);
        }
        if header.epoch != Epoch::new(0) {
            return Err(VerifyError::Epoch(header.epoch));
        }
        certificate.verify(&self.domain(), &self.committee)?;
        if !block.is_consistent() {
            return Err(VerifyError::TxRoot);
        }
        Ok(Verified(block))
    }

    /// Checks the first group key against the founders' signatures.
    pub fn founding(&self, founding: &Founding) -> Result<Verified<GroupKey>, VerifyError> {
        let (x, y) = founding.key.coordinates();
        let digest = self.domain().initialise(Epoch::new(0), x, y);
        let valid = founding.signatures.iter().filter(|(id, signature)| {
            self.committee.key(**id).is_some_and(|key| key.verify_as_l1(digest, signature))
        });
        let (got, quorum) = (valid.count(), self.committee.quorum());
        if got < quorum {
            return Err(VerifyError::Founding { got, quorum });
        }
        Ok(Verified(founding.key))
    }

    /// Checks that the group signed the block that `certified` names.
    pub fn certified(
        &self,
        key: &Verified<GroupKey>,
        certified: Certified,
    ) -> Result<Verified<Certified>, VerifyError> {
        let digest = self.domain().block(certified.epoch, certified.height, certified.header);
        key.verify(digest, &certified.signature)?;
        Ok(Verified(certified))
    }

    /// Checks a soft confirmation: the group signed this header, or one that descends from it.
    pub fn confirmed(
        &self,
        key: &Verified<GroupKey>,
        header: Header,
        confirmation: &Confirmation,
    ) -> Result<Verified<Header>, VerifyError> {
        let Confirmation { above, signature } = confirmation;
        if header.chain_spec != self.hash {
            return Err(VerifyError::ChainSpec);
        }
        if above.len() > MAX_ABOVE {
            return Err(VerifyError::TooManyAbove(above.len()));
        }
        let (mut signed, mut hash) = (&header, header.hash());
        for next in above {
            if next.parent != hash || next.height != signed.height.next() {
                return Err(VerifyError::Unlinked(next.height));
            }
            (signed, hash) = (next, next.hash());
        }
        key.verify(self.domain().block(signed.epoch, signed.height, hash), signature)?;
        Ok(Verified(header))
    }

    /// Checks that the group signed this batch with this carrier.
    pub fn sealed(
        &self,
        key: &Verified<GroupKey>,
        batch: Arc<SealedBatch>,
    ) -> Result<Verified<Arc<SealedBatch>>, VerifyError> {
        key.verify(batch.digest(&self.domain()), &batch.signature)?;
        Ok(Verified(batch))
    }
}

/// Whether a transaction stands at its place in a proven block.
pub fn included(header: &Verified<Header>, id: TxId, proof: &InclusionProof) -> bool {
    proof.verify(id, header.tx_root)
}

impl Verified<Arc<OrderedBlock>> {
    /// The block's header, proven with it.
    pub fn header(&self) -> Verified<Header> {
        Verified(self.0.header.clone())
    }
}
