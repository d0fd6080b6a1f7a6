//! Checks that need no connection: what a node says is believed only with the right signatures.
//!
//! | what | proven by | needs |
//! |---|---|---|
//! | an ordered block | precommits of n − f members of its epoch | these members |
//! | the first group key | ECDSA signatures of n − f founders | the chain specification |
//! | key and members of a later epoch | one group signature: the handover | the key of the epoch before |
//! | a soft confirmation | one group signature over it or a block that descends from it | the key of the signed block's epoch |
//! | a sealed batch | one group signature | the key of the batch's epoch |
//! | one transaction's place | a Merkle path to a header's `tx_root` | that header, proven |
//!
//! A checked thing is a [`Verified`]: only this module makes one. [`Keys`] holds key and members of each epoch.
//!
//! Epoch 0 is the founders', whom the chain specification names; its blocks are checked without any key. Who starts with a key
//! from L1 knows that epoch's members only by their hash, and is told them by any node.

use std::ops::Deref;
use std::sync::Arc;

use batcher_format::SealedBatch;
use ordering_types::block::InclusionProof;
use ordering_types::certificate::CertificateError;
use ordering_types::chain_spec::Committee;
use ordering_types::group::GroupError;
use ordering_types::handover::SuccessionError;
use ordering_types::preimage::Domain;
use ordering_types::{ChainSpec, Digest, Epoch, Header, Height, PublicKey, Succession, TxId, ValidatorId};

use crate::wire::{Certified, Confirmation, Founding, MAX_ABOVE, OrderedBlock};

mod keys;
mod quorum;

pub use keys::{Keys, MAX_KEYS, MembersError, UnknownEpoch};

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
    /// Signed with a key, or by members, that are not known here.
    #[error(transparent)]
    Unknown(#[from] UnknownEpoch),
    /// Members that the outgoing committee did not hand over to.
    #[error("the members are not those that the handover to epoch {0} names by their hash")]
    Members(Epoch),
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
    founders: Arc<Committee>,
    trusted: Option<Keys>,
}

impl Network {
    /// The network of a chain specification.
    pub fn new(spec: Arc<ChainSpec>) -> Self {
        let (hash, founders) = (spec.hash(), Arc::new(spec.committee()));
        Self { spec, hash, founders, trusted: None }
    }

    /// Clients begin with these keys instead of the founding's: what came before need not be learnt. Blocks of epochs before, but for
    /// the founders', cannot be checked then.
    pub fn trusting(self, mut keys: Keys) -> Self {
        keys.introduce_founders(&self.founders);
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

    /// The founding committee, which is that of epoch 0.
    pub fn founders(&self) -> &Committee {
        &self.founders
    }

    /// The members of an epoch; the founders' needs no keys.
    pub fn members<'a>(
        &'a self,
        keys: impl Into<Option<&'a Keys>>,
        epoch: Epoch,
    ) -> Result<&'a Committee, UnknownEpoch> {
        if epoch == Epoch::new(0) {
            return Ok(&self.founders);
        }
        let none = UnknownEpoch::Later { epoch, newest: Epoch::new(0) };
        keys.into().ok_or(none)?.members(epoch)
    }

    /// Whether a validator may have this key, as far as the chain specification says: founders have the keys that it names, and
    /// those keys are nobody else's.
    pub fn may_be(&self, validator: ValidatorId, key: &PublicKey) -> bool {
        self.founders.iter().all(|(id, founder)| (id == validator) == (founder == key))
    }

    /// Checks an ordered block: its certificate, by the members of its epoch, and that everything it lists stands under its header.
    pub fn ordered<'a>(
        &'a self,
        keys: impl Into<Option<&'a Keys>>,
        block: Arc<OrderedBlock>,
    ) -> Result<Verified<Arc<OrderedBlock>>, VerifyError> {
        let header = &block.header;
        if header.chain_spec != self.hash {
            return Err(VerifyError::ChainSpec);
        }
        let certificate = &block.certificate;
        let same = certificate.epoch == header.epoch && certificate.height == header.height;
        if !same || certificate.header != header.hash() {
            return Err(VerifyError::OtherHeader);
        }
        quorum::check(certificate, &self.domain(), self.members(keys, header.epoch)?)?;
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
            self.founders.key(**id).is_some_and(|key| key.verify_as_l1(digest, signature))
        });
        let (got, quorum) = (valid.count(), self.founders.quorum());
        if got < quorum {
            return Err(VerifyError::Founding { got, quorum });
        }
        Ok(Verified(founding))
    }

    /// Checks that the key of the epoch before handed over to these members.
    pub fn succession(
        &self,
        keys: &Keys,
        succession: Succession,
    ) -> Result<Verified<Succession>, VerifyError> {
        let next = succession.signed.handover.next.epoch;
        let outgoing = next.get().checked_sub(1).map(Epoch::new).ok_or(VerifyError::FirstEpoch)?;
        let outgoing = keys.of(outgoing)?;
        if succession.members.is_empty() {
            return Err(VerifyError::Members(next));
        }
        match succession.verify(&self.domain(), &outgoing) {
            Ok(()) => Ok(Verified(succession)),
            Err(SuccessionError::Members) => Err(VerifyError::Members(next)),
            Err(SuccessionError::Signature(error)) => Err(error.into()),
        }
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
