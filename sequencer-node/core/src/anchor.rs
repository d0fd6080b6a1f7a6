//! What a checkpoint carries beside the ordering core's state, so that the other parts can go on there: the founding, and the batch that
//! ends with the checkpoint's block.
//!
//! Both prove themselves from the genesis file: n − f validators signed the group key for the contract, and that key signed the batch. The batch
//! is the parent of the next, so a node that goes on here checks and signs every batch from the next one on.

use batcher_format::{BatchHeader, SealedBatch, signing_digest};
use ordering::api::Checkpoint;
use ordering_types::chain_spec::Committee;
use ordering_types::codec;
use ordering_types::preimage::Domain;
use ordering_types::{CommitCertificate, Digest, GroupSignature, Header, Signature, ValidatorId};
use serde::{Deserialize, Serialize};

use crate::api::Founding;
use crate::founding::FOUNDING_EPOCH;

/// The context of a checkpoint, decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The committee's key.
    pub founding: Founding,
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

    /// Checks that it belongs to this block of this committee.
    pub(crate) fn check(
        &self,
        header: &Header,
        domain: &Domain,
        committee: &Committee,
    ) -> Result<(), AnchorError> {
        let Founding { key, signatures } = &self.founding;
        let (x, y) = key.coordinates();
        let digest = domain.initialise(FOUNDING_EPOCH, x, y);
        let signed = |(id, signature): &(&ValidatorId, &Signature)| {
            committee.key(**id).is_some_and(|key| key.verify_as_l1(digest, signature))
        };
        if signatures.iter().filter(signed).count() < committee.quorum() {
            return Err(AnchorError::Founding);
        }
        let Self { batch, carrier, signature, .. } = self;
        if batch.last_height != header.height || batch.last_header != header.hash() {
            return Err(AnchorError::Batch);
        }
        key.verify(signing_digest(domain, batch, *carrier), signature).map_err(|_| AnchorError::Signature)
    }
}

/// A checkpoint for a peer, from the block with which this batch ends.
pub fn checkpoint(
    (header, certificate): (Header, CommitCertificate),
    snapshot: bytes::Bytes,
    founding: Founding,
    batch: &SealedBatch,
) -> Checkpoint {
    let anchor = Anchor {
        founding,
        batch: batch.header.clone(),
        carrier: batch.encoded.carrier_hash(),
        signature: batch.signature,
    };
    Checkpoint { header, certificate, snapshot, context: codec::encode(&anchor).into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use frost_secp256k1::SigningKey;
    use ordering_types::{Address, Epoch, GroupKey, Height, L1Reference, SecretKey};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

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
            cut: Digest::ZERO,
            tx_root: Digest::ZERO,
            tx_count: 0,
            state_root: Digest::ZERO,
            seals_batch: true,
        }
    }

    /// Founded by these validators, signed with a key of this number.
    fn anchor(founders: &[u16], signer: u64) -> Anchor {
        let group = |seed| SigningKey::new(&mut ChaCha8Rng::seed_from_u64(seed));
        let public: frost_secp256k1::VerifyingKey = (&group(1)).into();
        let key = GroupKey::from_bytes(public.serialize().unwrap().try_into().unwrap()).unwrap();
        let (x, y) = key.coordinates();
        let sign =
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
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let signature = group(signer).sign(&mut rng, digest.as_ref()).serialize().unwrap();
        Anchor {
            founding: Founding { key, signatures: founders.iter().map(sign).collect() },
            batch,
            carrier,
            signature: GroupSignature::new(signature.try_into().unwrap()),
        }
    }

    #[test]
    fn an_anchor_is_signed_by_quorum_and_key_and_ends_with_its_block() {
        let committee =
            Committee::new((1..=4).map(|n| (ValidatorId::new(n), validator(n).public_key())).collect());
        let check = |anchor: &Anchor| anchor.check(&header(), &DOMAIN, &committee);
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
