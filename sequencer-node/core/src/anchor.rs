//! What a checkpoint carries beside the ordering core's state, so that the other parts can go on there: the founding, the handovers of the
//! epochs that the state remembers, and the batch that ends with the checkpoint's block.
//!
//! All prove themselves: n − f validators of the genesis file signed the first group key for the contract, each key signed the handover to the next, and that
//! of its epoch the batch, which names the block, whose header commits to the state and so to the committee that decided it. A node that
//! knows a later key already needs only the handovers after it. The batch
//! is the parent of the next, so a node that goes on here checks and signs every batch from the next one on.
//!
//! # Caveat
//! Keys of long ago prove what they sign for as long as nobody gets hold of a threshold of their shares. Shares are erased when an epoch is not remembered any
//! more, so that takes a threshold of members who kept theirs.

use std::collections::BTreeMap;

use batcher_format::{BatchHeader, SealedBatch, signing_digest};
use ordering::api::{Checkpoint, EpochBook};
use ordering_types::chain_spec::Committee;
use ordering_types::codec;
use ordering_types::preimage::Domain;
use ordering_types::{
    CommitCertificate, Digest, Epoch, GroupKey, GroupSignature, Handover, Header, Signature, SignedHandover,
    Succession, ValidatorId,
};
use serde::{Deserialize, Serialize};

use crate::api::Founding;
use crate::founding::FOUNDING_EPOCH;

/// The context of a checkpoint, decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The committee's first key.
    pub founding: Founding,
    /// To all epochs after the newest that the asker knows, as far as they are signed; ascending.
    pub handovers: Vec<Succession>,
    /// The batch that ends here.
    pub batch: BatchHeader,
    /// The carrier that the committee signed with it.
    pub carrier: Digest,
    /// Over both.
    pub signature: GroupSignature,
}

/// Why an anchor holds nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// Bytes that are none.
    #[error("it does not decode: {0}")]
    Decode(#[from] codec::DecodeError),
    /// Too few validators signed the key.
    #[error("no quorum signed its key")]
    Founding,
    /// A handover that the key before did not sign, or that the state contradicts.
    #[error("its handovers do not lead from one key to the next")]
    Handover,
    /// No handover leads to the key with which the batch is signed.
    #[error("the key of its batch's epoch is not proven")]
    Key,
    /// The batch ends elsewhere.
    #[error("its batch does not end with the checkpoint's block")]
    Batch,
    /// The key did not sign the batch.
    #[error("the committee did not sign its batch")]
    Signature,
}

impl Anchor {
    /// Reads an anchor; nothing is checked.
    ///
    /// # Errors
    /// For bytes that are none.
    pub fn decode(context: &[u8]) -> Result<Self, AnchorError> {
        Ok(codec::decode(context, ordering::checkpoint::MAX_CONTEXT_BYTES)?)
    }

    /// Checks that it belongs to this checkpoint. `founders` are the validators of the genesis file, `known` the keys that this node knows by itself.
    pub(crate) fn check(
        &self,
        checkpoint: &Checkpoint,
        domain: &Domain,
        founders: &Committee,
        known: BTreeMap<Epoch, GroupKey>,
    ) -> Result<(), AnchorError> {
        let Founding { key, signatures } = &self.founding;
        let (x, y) = key.coordinates();
        let digest = domain.initialise(FOUNDING_EPOCH, x, y);
        let signed = |(id, signature): &(&ValidatorId, &Signature)| {
            founders.key(**id).is_some_and(|key| key.verify_as_l1(digest, signature))
        };
        if signatures.iter().filter(signed).count() < founders.quorum() {
            return Err(AnchorError::Founding);
        }
        let keys = self.keys(known, domain)?;
        let Self { batch, carrier, signature, .. } = self;
        let header = &checkpoint.header;
        if (batch.last_height, batch.last_header, batch.epoch) != (header.height, header.hash(), header.epoch)
        {
            return Err(AnchorError::Batch);
        }
        let key = keys.get(&batch.epoch).ok_or(AnchorError::Key)?;
        key.verify(signing_digest(domain, batch, *carrier), signature).map_err(|_| AnchorError::Signature)?;
        self.check_state(&checkpoint.snapshot)
    }

    /// The keys to which handovers lead from those that are known.
    fn keys(
        &self,
        mut keys: BTreeMap<Epoch, GroupKey>,
        domain: &Domain,
    ) -> Result<BTreeMap<Epoch, GroupKey>, AnchorError> {
        keys.insert(FOUNDING_EPOCH, self.founding.key);
        for succession in &self.handovers {
            let next = succession.signed.handover.next;
            let outgoing = next.epoch.get().checked_sub(1).map(Epoch::new);
            let key = outgoing.and_then(|epoch| keys.get(&epoch)).ok_or(AnchorError::Handover)?;
            if succession.verify(domain, key).is_err()
                || keys.insert(next.epoch, next.key).is_some_and(|k| k != next.key)
            {
                return Err(AnchorError::Handover);
            }
        }
        Ok(keys)
    }

    /// What the state remembers of the same epochs is the same.
    fn check_state(&self, snapshot: &[u8]) -> Result<(), AnchorError> {
        let book = EpochBook::of_snapshot(snapshot).ok_or(AnchorError::Handover)?;
        let remembered: BTreeMap<Epoch, Handover> =
            book.starts().filter_map(|start| Some((start.epoch, start.handover()?))).collect();
        let agrees = |Succession { signed: SignedHandover { handover, .. }, .. }: &Succession| {
            remembered.get(&handover.next.epoch).is_none_or(|known| known == handover)
        };
        if self.handovers.iter().all(agrees) { Ok(()) } else { Err(AnchorError::Handover) }
    }
}

/// A checkpoint for a peer, from the block with which this batch ends. `handovers` are those to the epochs after the newest that the peer knows,
/// ascending.
pub fn checkpoint(
    (header, certificate): (Header, CommitCertificate),
    snapshot: bytes::Bytes,
    founding: Founding,
    handovers: Vec<Succession>,
    batch: &SealedBatch,
) -> Checkpoint {
    let anchor = Anchor {
        founding,
        handovers,
        batch: batch.header.clone(),
        carrier: batch.encoded.carrier().hash(),
        signature: batch.signature,
    };
    Checkpoint { header, certificate, snapshot, context: codec::encode(&anchor).into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use frost_secp256k1::SigningKey;
    use ordering::api::{EpochStart, Members};
    use ordering_types::{Address, Height, L1Reference, SecretKey};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use ordering_types::SharedKey;

    use super::*;

    const DOMAIN: Domain = Domain { l1_chain_id: 1337, inbox: Address::new([0xaa; 20]) };

    fn validator(n: u16) -> SecretKey {
        SecretKey::from_bytes([u8::try_from(n).unwrap(); 32]).unwrap()
    }

    fn header() -> Header {
        Header {
            version: 1,
            chain_spec: Digest::ZERO,
            epoch: Epoch::new(0),
            height: Height::new(40),
            parent: Digest::ZERO,
            time_ms: 7,
            l1_reference: L1Reference::default(),
            forced_cursor: 0,
            cut: Digest::ZERO,
            tx_root: Digest::ZERO,
            tx_count: 0,
            state_root: Digest::ZERO,
            seals_batch: true,
        }
    }

    fn group(seed: u64) -> SigningKey {
        SigningKey::new(&mut ChaCha8Rng::seed_from_u64(seed))
    }

    fn key(seed: u64) -> GroupKey {
        let public: frost_secp256k1::VerifyingKey = (&group(seed)).into();
        GroupKey::from_bytes(public.serialize().unwrap().try_into().unwrap()).unwrap()
    }

    fn sign(seed: u64, digest: Digest) -> GroupSignature {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let signature = group(seed).sign(&mut rng, digest.as_ref()).serialize().unwrap();
        GroupSignature::new(signature.try_into().unwrap())
    }

    fn start(epoch: u64, key: Option<GroupKey>) -> EpochStart {
        let first_height = Height::new(1 + 10 * epoch);
        EpochStart {
            epoch: Epoch::new(epoch),
            key: key.map(SharedKey::fresh),
            members: Members::new(committee()),
            first_height,
            first_batch: 1 + epoch,
        }
    }

    /// A state that knows these epochs, laid out as ordering does.
    fn checkpoint_of(before: Vec<EpochStart>, present: EpochStart) -> Checkpoint {
        let nothing = (None::<u64>, None::<u64>, None::<u64>, None::<u64>, [0_u64; 3], None::<u64>);
        let book = (present, nothing, before);
        let queue = (ordering_types::QueueMark::default(), 0_u64);
        let l1 = (None::<u64>, 0_u64, None::<Digest>, 0_u64, queue);
        let lanes = BTreeMap::<ordering_types::LaneId, (ordering_types::LaneSequence, Digest)>::new();
        let batch = (4_u64, Height::new(41), 0_u64, 0_u32, 0_u64, 0_u64);
        let reputation = (BTreeMap::<ValidatorId, (u8, Height)>::new(), Vec::<ValidatorId>::new());
        let system = BTreeMap::<ValidatorId, u64>::new();
        let snapshot = codec::encode(&(book, l1, lanes, system, batch, Digest::ZERO, reputation));
        let certificate = CommitCertificate {
            epoch: Epoch::new(0),
            height: Height::new(40),
            round: ordering_types::Round::new(0),
            header: header().hash(),
            signatures: vec![],
        };
        Checkpoint { header: header(), certificate, snapshot: snapshot.into(), context: bytes::Bytes::new() }
    }

    /// In the first epoch.
    fn checkpoint() -> Checkpoint {
        checkpoint_of(vec![], start(0, None))
    }

    /// Founded by these validators, signed with a key of this number.
    fn anchor(founders: &[u16], signer: u64) -> Anchor {
        let first = key(1);
        let (x, y) = first.coordinates();
        let founder =
            |n: &u16| (ValidatorId::new(*n), validator(*n).sign(DOMAIN.initialise(FOUNDING_EPOCH, x, y)));
        let batch = BatchHeader {
            number: 3,
            parent: Digest::ZERO,
            epoch: Epoch::new(0),
            first_height: Height::new(30),
            last_height: Height::new(40),
            last_header: header().hash(),
            last_time_ms: 7,
            forced_cursor: 0,
            l1_reference: 0,
        };
        let carrier = Digest::sha256(&[b"blobs"]);
        let digest = signing_digest(&DOMAIN, &batch, carrier);
        Anchor {
            founding: Founding { key: first, signatures: founders.iter().map(founder).collect() },
            handovers: vec![],
            batch,
            carrier,
            signature: sign(signer, digest),
        }
    }

    fn committee() -> Committee {
        Committee::new((1..=4).map(|n| (ValidatorId::new(n), validator(n).public_key())).collect())
    }

    /// With the handovers to epochs 1 and 2 signed by these keys, and a batch of this epoch signed by that.
    fn rotated(outgoing: [u64; 2], epoch: u64, signer: u64) -> (Checkpoint, Anchor) {
        let starts = [start(0, None), start(1, Some(key(2))), start(2, Some(key(3)))];
        let mut anchor = anchor(&[1, 2, 4], 1);
        let mut checkpoint = checkpoint_of(starts[..2].to_vec(), starts[2].clone());
        checkpoint.header.epoch = Epoch::new(epoch);
        (anchor.batch.epoch, anchor.batch.last_header) = (Epoch::new(epoch), checkpoint.header.hash());
        anchor.signature = sign(signer, signing_digest(&DOMAIN, &anchor.batch, anchor.carrier));
        anchor.handovers = starts[1..]
            .iter()
            .zip(outgoing)
            .map(|(start, outgoing)| {
                let handover = start.handover().unwrap();
                let signature = sign(outgoing, handover.digest(&DOMAIN));
                Succession { signed: SignedHandover { handover, signature }, members: committee() }
            })
            .collect();
        (checkpoint, anchor)
    }

    #[test]
    fn over_epochs_each_key_signs_the_handover_to_the_next_and_the_batches_of_its_own() {
        let knowing = |known: &[(u64, u64)], (checkpoint, anchor): &(Checkpoint, Anchor)| {
            let known = known.iter().map(|(epoch, seed)| (Epoch::new(*epoch), key(*seed))).collect();
            anchor.check(checkpoint, &DOMAIN, &committee(), known)
        };
        let check = |both: &(Checkpoint, Anchor)| knowing(&[], both);
        let good = rotated([1, 2], 2, 3);
        assert_eq!(check(&good), Ok(()));
        let (checkpoint, mut other) = rotated([1, 2], 2, 3);
        other.batch.epoch = Epoch::new(1);
        assert_eq!(check(&(checkpoint, other)), Err(AnchorError::Batch), "of another epoch than its block");
        assert_eq!(check(&rotated([1, 2], 1, 2)), Ok(()), "the last block of the epoch before");
        assert_eq!(check(&rotated([1, 2], 2, 2)), Err(AnchorError::Signature), "by the key before");
        assert_eq!(check(&rotated([1, 2], 3, 3)), Err(AnchorError::Key), "of an epoch to come");
        assert_eq!(check(&rotated([1, 1], 2, 3)), Err(AnchorError::Handover), "by another key");
        let (checkpoint, mut anchor) = rotated([1, 2], 2, 3);
        anchor.handovers.pop();
        let unsigned = (checkpoint.clone(), anchor.clone());
        assert_eq!(check(&unsigned), Err(AnchorError::Key), "nobody's word for the key of its epoch");
        anchor.handovers.clear();
        let bare = (checkpoint, anchor);
        assert_eq!(knowing(&[(2, 3)], &bare), Ok(()), "to who knows it already");
        assert_eq!(knowing(&[(2, 2)], &bare), Err(AnchorError::Signature), "who knows another");
        assert_eq!(knowing(&[(1, 9)], &good), Err(AnchorError::Handover), "to who knows that it is another");
        let (checkpoint, mut anchor) = rotated([1, 2], 2, 3);
        let handover = Handover { first_batch: 99, ..anchor.handovers[1].signed.handover };
        anchor.handovers[1].signed =
            SignedHandover { handover, signature: sign(2, handover.digest(&DOMAIN)) };
        assert_eq!(check(&(checkpoint, anchor)), Err(AnchorError::Handover), "not what the state says");
    }

    #[test]
    fn an_anchor_is_signed_by_quorum_and_key_and_ends_with_its_block() {
        let check = |anchor: &Anchor| anchor.check(&checkpoint(), &DOMAIN, &committee(), BTreeMap::new());
        let good = anchor(&[1, 2, 4], 1);
        assert_eq!(check(&good), Ok(()));
        assert_eq!(Anchor::decode(&codec::encode(&good)), Ok(good.clone()));
        assert_eq!(check(&anchor(&[1, 2], 1)), Err(AnchorError::Founding));
        assert_eq!(check(&anchor(&[1, 2, 5], 1)), Err(AnchorError::Founding), "a stranger");
        let mut forged = good.clone();
        let one = *forged.founding.signatures.values().next().unwrap();
        forged.founding.signatures.values_mut().for_each(|signature| *signature = one);
        assert_eq!(check(&forged), Err(AnchorError::Founding));
        assert_eq!(check(&anchor(&[1, 2, 4], 2)), Err(AnchorError::Signature), "another key");
        let mut other = good.clone();
        other.carrier = Digest::ZERO;
        assert_eq!(check(&other), Err(AnchorError::Signature));
        let mut other = good.clone();
        other.batch.last_height = Height::new(39);
        assert_eq!(check(&other), Err(AnchorError::Batch));
        let mut other = good;
        other.batch.last_header = Digest::ZERO;
        assert_eq!(check(&other), Err(AnchorError::Batch));
        assert!(matches!(Anchor::decode(b"junk"), Err(AnchorError::Decode(_))));
    }
}
