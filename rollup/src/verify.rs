//! Checks that need no connection: what a node says is believed only with the right signatures.
//!
//! | what | proven by | needs |
//! |---|---|---|
//! | an ordered block, of any epoch | precommits of n − f validators | the chain specification |
//! | the first group key | ECDSA signatures of n − f validators | the chain specification |
//! | the key of a later epoch | one group signature: the handover | the key of the epoch before |
//! | a soft confirmation | one group signature over it or a block that descends from it | the key of the signed block's epoch |
//! | a sealed batch | one group signature | the key of the batch's epoch |
//! | one transaction's place | a Merkle path to a header's `tx_root` | that header, proven |
//!
//! A checked thing is a [`Verified`]: only this module makes one. [`Keys`] holds the key of each epoch.
//!
//! The validators are the founders in all epochs; handovers change the group key alone.

use std::ops::Deref;
use std::sync::Arc;

use batcher_format::SealedBatch;
use ordering_types::block::InclusionProof;
use ordering_types::certificate::CertificateError;
use ordering_types::chain_spec::Committee;
use ordering_types::group::GroupError;
use ordering_types::preimage::Domain;
use ordering_types::{ChainSpec, Digest, Epoch, Header, Height, SignedHandover, TxId};

use crate::wire::{Certified, Confirmation, Founding, MAX_ABOVE, OrderedBlock};

mod keys;

pub use keys::{Keys, MAX_KEYS, UnknownEpoch};

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
    /// Signed with a key that is not known here.
    #[error(transparent)]
    Unknown(#[from] UnknownEpoch),
    /// A handover to epoch 0, which is founded.
    #[error("a handover to epoch 0, whose key the founders sign")]
    FirstEpoch,
    /// Not the handover that comes next.
    #[error("the handover is to epoch {got}, the next one is to epoch {expected}")]
    NotNext {
        /// After the newest known one.
        expected: Epoch,
        /// By the handover.
        got: Epoch,
    },
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

/// All that a client must know beforehand: what the chain specification says of the network, and keys, if it has some
/// from L1.
#[derive(Clone, Debug)]
pub struct Network {
    spec: Arc<ChainSpec>,
    hash: Digest,
    committee: Committee,
    trusted: Option<Keys>,
}

impl Network {
    /// The network of a chain specification.
    pub fn new(spec: Arc<ChainSpec>) -> Self {
        let (hash, committee) = (spec.hash(), spec.committee());
        Self { spec, hash, committee, trusted: None }
    }

    /// Clients begin with these keys instead of the founding's: what came before need not be learnt.
    pub fn trusting(self, keys: Keys) -> Self {
        Self { trusted: Some(keys), ..self }
    }

    /// The keys to begin with; without any, the founding is asked for.
    pub const fn trusted(&self) -> Option<&Keys> {
        self.trusted.as_ref()
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

    /// The founding committee, which is that of every epoch.
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
        certificate.verify(&self.domain(), &self.committee)?;
        if !block.is_consistent() {
            return Err(VerifyError::TxRoot);
        }
        Ok(Verified(block))
    }

    /// Checks the first group key against the founders' signatures.
    pub fn founding(&self, founding: Founding) -> Result<Verified<Founding>, VerifyError> {
        let (x, y) = founding.key.coordinates();
        let digest = self.domain().initialise(Epoch::new(0), x, y);
        let valid = founding.signatures.iter().filter(|(id, signature)| {
            self.committee.key(**id).is_some_and(|key| key.verify_as_l1(digest, signature))
        });
        let (got, quorum) = (valid.count(), self.committee.quorum());
        if got < quorum {
            return Err(VerifyError::Founding { got, quorum });
        }
        Ok(Verified(founding))
    }

    /// Checks that the key of the epoch before signed this handover.
    pub fn handover(
        &self,
        keys: &Keys,
        signed: SignedHandover,
    ) -> Result<Verified<SignedHandover>, VerifyError> {
        let next = signed.handover.next.epoch;
        let outgoing = next.get().checked_sub(1).map(Epoch::new).ok_or(VerifyError::FirstEpoch)?;
        signed.verify(&self.domain(), &*keys.of(outgoing)?)?;
        Ok(Verified(signed))
    }

    /// Checks that the group signed the block that `certified` names.
    pub fn certified(&self, keys: &Keys, certified: Certified) -> Result<Verified<Certified>, VerifyError> {
        let digest = self.domain().block(certified.epoch, certified.height, certified.header);
        keys.of(certified.epoch)?.verify(digest, &certified.signature)?;
        Ok(Verified(certified))
    }

    /// Checks a soft confirmation: the group signed this header, or one that descends from it, maybe in a later epoch.
    pub fn confirmed(
        &self,
        keys: &Keys,
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
        let digest = self.domain().block(signed.epoch, signed.height, hash);
        keys.of(signed.epoch)?.verify(digest, signature)?;
        Ok(Verified(header))
    }

    /// Checks that the group signed this batch with this carrier.
    pub fn sealed(
        &self,
        keys: &Keys,
        batch: Arc<SealedBatch>,
    ) -> Result<Verified<Arc<SealedBatch>>, VerifyError> {
        keys.of(batch.header.epoch)?.verify(batch.digest(&self.domain()), &batch.signature)?;
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
