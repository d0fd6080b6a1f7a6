//! From one epoch's committee and key to the next: what validators say in the log before the switch, and what the outgoing committee
//! signs after it, for L1 and for light clients.
//!
//! ```text
//!   epoch vote     u64 new epoch │ 33 new key │ 32 committee hash │ u32 sharing │ 65 the new key's signature over Domain::readiness
//!   handover       keccak256( key x │ key y │ first batch │ first height │ committee hash ), five words; Domain::handover binds it
//!   committee hash keccak256( abi.encode(address[]) ), addresses of the members in ascending order of their ids
//! ```
//!
//! A vote proves that the new key can sign, whoever casts it: nobody is switched to a key that nobody can use.

use serde::{Deserialize, Serialize};

use crate::chain_spec::{Committee, MAX_VALIDATORS};
use crate::group::{GroupError, GroupKey, GroupSignature};
use crate::preimage::{Domain, number_word};
use crate::{Address, Digest, Epoch, Height};

/// Bytes of an encoded [`EpochVote`].
pub const EPOCH_VOTE_LEN: usize = 8 + 33 + 32 + 4 + 65;

/// A key and who holds its shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NextEpoch {
    /// The epoch that they are for.
    pub epoch: Epoch,
    /// The key.
    pub key: GroupKey,
    /// The members, as L1 names them: [`committee_hash`].
    pub committee: Digest,
}

/// A key, as one ceremony shared it. A key that is kept is shared anew for each epoch, and shares of two sharings do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SharedKey {
    /// The key.
    pub key: GroupKey,
    /// Which of an epoch's ceremonies shared it, from 1; 0 for a fresh key, of which there is no other sharing.
    pub sharing: u32,
}

impl SharedKey {
    /// A key that one ceremony made and no other shares.
    pub const fn fresh(key: GroupKey) -> Self {
        Self { key, sharing: 0 }
    }
}

/// A validator's word, in the log, that the next epoch may begin: the key is made, and it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochVote {
    /// What may begin.
    pub next: NextEpoch,
    /// Of its key: [`SharedKey::sharing`].
    pub sharing: u32,
    /// The new key's, over [`Domain::readiness`].
    pub test: GroupSignature,
}

impl EpochVote {
    /// The fixed layout.
    pub fn encode(&self) -> Vec<u8> {
        let NextEpoch { epoch, key, committee } = &self.next;
        let (epoch, sharing) = (epoch.get().to_be_bytes(), self.sharing.to_be_bytes());
        [epoch.as_slice(), key.as_bytes(), committee.as_ref(), &sharing, self.test.as_bytes()].concat()
    }

    /// Reads the layout; `None` for other bytes, and for a key that is no point.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (epoch, rest) = bytes.split_first_chunk::<8>()?;
        let (key, rest) = rest.split_first_chunk::<33>()?;
        let (committee, rest) = rest.split_first_chunk::<32>()?;
        let (sharing, test) = rest.split_first_chunk::<4>()?;
        let next = NextEpoch {
            epoch: Epoch::new(u64::from_be_bytes(*epoch)),
            key: GroupKey::from_bytes(*key).ok()?,
            committee: Digest::new(*committee),
        };
        let test = GroupSignature::new(test.try_into().ok()?);
        Some(Self { next, sharing: u32::from_be_bytes(*sharing), test })
    }

    /// The key, as it is shared.
    pub const fn shared_key(&self) -> SharedKey {
        SharedKey { key: self.next.key, sharing: self.sharing }
    }

    /// Whether the new key signed its test.
    pub fn verify(&self, domain: &Domain) -> Result<(), GroupError> {
        self.next.key.verify(domain.readiness(&self.next), &self.test)
    }
}

/// Where the next epoch begins, and with which key. At most one is ever signed for an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The new epoch, its key and its committee.
    pub next: NextEpoch,
    /// Number of its first batch.
    pub first_batch: u64,
    /// Its first height.
    pub first_height: Height,
}

impl Handover {
    /// What the outgoing committee signs.
    pub fn digest(&self, domain: &Domain) -> Digest {
        let Self { next, first_batch, first_height } = self;
        let (x, y) = next.key.coordinates();
        let numbers = [number_word(*first_batch), number_word(first_height.get())];
        let content = Digest::keccak256(&[&x, &y, numbers.as_flattened(), next.committee.as_ref()]);
        domain.handover(next.epoch, content)
    }
}

/// A handover, signed by the key of the epoch before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHandover {
    /// What is signed.
    pub handover: Handover,
    /// By the outgoing key.
    pub signature: GroupSignature,
}

impl SignedHandover {
    /// Whether the outgoing key signed it.
    pub fn verify(&self, domain: &Domain, outgoing: &GroupKey) -> Result<(), GroupError> {
        outgoing.verify(self.handover.digest(domain), &self.signature)
    }
}

/// A signed handover, and the members behind its committee hash: all that it takes to follow the network into the next epoch. Their numbers are
/// not signed: whoever gives them other ones only calls them by other names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// Signed by the outgoing key.
    pub signed: SignedHandover,
    /// The new epoch's members.
    pub members: Committee,
}

/// Why a succession proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// Not signed by the key of the epoch before.
    #[error(transparent)]
    Signature(#[from] GroupError),
    /// The members are others than those that were signed.
    #[error("the members are not those of the committee that was handed over to")]
    Members,
}

impl Succession {
    /// Whether the outgoing key handed over to these members.
    pub fn verify(&self, domain: &Domain, outgoing: &GroupKey) -> Result<(), SuccessionError> {
        let Self { signed, members } = self;
        if members.len() > MAX_VALIDATORS || committee_hash(members) != signed.handover.next.committee {
            return Err(SuccessionError::Members);
        }
        Ok(signed.verify(domain, outgoing)?)
    }
}

/// A committee as L1 names it.
pub fn committee_hash(committee: &Committee) -> Digest {
    let addresses: Vec<Address> = committee.iter().map(|(_, key)| key.address()).collect();
    address_hash(addresses.iter())
}

/// The same of the members' addresses, which the caller has in the right order.
pub fn address_hash<'a>(addresses: impl ExactSizeIterator<Item = &'a Address>) -> Digest {
    let mut words = vec![number_word(32), number_word(addresses.len() as u64)];
    for address in addresses {
        let mut word = [0; 32];
        word[12..].copy_from_slice(address.as_bytes());
        words.push(word);
    }
    Digest::keccak256(&[words.as_flattened()])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{SecretKey, ValidatorId};

    fn key() -> GroupKey {
        let public = SecretKey::from_bytes([7; 32]).unwrap().public_key();
        GroupKey::from_bytes(public.to_bytes()).unwrap()
    }

    fn next() -> NextEpoch {
        NextEpoch { epoch: Epoch::new(3), key: key(), committee: Digest::sha256(&[b"members"]) }
    }

    #[test]
    fn a_vote_survives_and_cut_or_longer_ones_are_none() {
        let vote = EpochVote { next: next(), sharing: 3, test: GroupSignature::new([5; 65]) };
        let bytes = vote.encode();
        assert_eq!(bytes.len(), EPOCH_VOTE_LEN);
        assert_eq!(EpochVote::decode(&bytes), Some(vote));
        (0..bytes.len()).for_each(|end| assert_eq!(EpochVote::decode(&bytes[..end]), None, "cut at {end}"));
        assert_eq!(EpochVote::decode(&[bytes.as_slice(), &[0]].concat()), None);
        let mut no_point = bytes;
        no_point[8] = 9;
        assert_eq!(EpochVote::decode(&no_point), None);
        assert!(vote.verify(&Domain { l1_chain_id: 1, inbox: crate::Address::default() }).is_err());
    }

    #[test]
    fn a_handover_is_bound_to_all_that_it_says() {
        let domain = Domain { l1_chain_id: 1, inbox: crate::Address::default() };
        let good = Handover { next: next(), first_batch: 9, first_height: Height::new(70) };
        let others = [
            Handover { first_batch: 10, ..good },
            Handover { first_height: Height::new(71), ..good },
            Handover { next: NextEpoch { epoch: Epoch::new(4), ..next() }, ..good },
            Handover { next: NextEpoch { committee: Digest::ZERO, ..next() }, ..good },
        ];
        for other in others {
            assert_ne!(other.digest(&domain), good.digest(&domain), "{other:?}");
        }
        assert_ne!(good.digest(&Domain { l1_chain_id: 2, ..domain }), good.digest(&domain));
    }

    #[test]
    fn a_succession_is_signed_for_its_members() {
        let domain = Domain { l1_chain_id: 1, inbox: crate::Address::default() };
        let member =
            |n: u8| (ValidatorId::new(n.into()), SecretKey::from_bytes([n; 32]).unwrap().public_key());
        let members = Committee::new([1, 2, 3, 4].map(member).into());
        let next = NextEpoch { committee: committee_hash(&members), ..next() };
        let handover = Handover { next, first_batch: 9, first_height: Height::new(70) };
        let signed = SignedHandover { handover, signature: GroupSignature::new([5; 65]) };
        let check = |members| Succession { signed, members }.verify(&domain, &key()).unwrap_err();
        assert!(matches!(check(members), SuccessionError::Signature(_)));
        assert_eq!(check(Committee::new([1, 2, 3, 5].map(member).into())), SuccessionError::Members);
    }

    #[test]
    fn a_committee_is_named_by_its_addresses_in_order_of_ids() {
        let key = |n: u8| SecretKey::from_bytes([n; 32]).unwrap().public_key();
        let of = |ids: [(u16, u8); 2]| {
            committee_hash(&Committee::new(BTreeMap::from(ids.map(|(id, n)| (ValidatorId::new(id), key(n))))))
        };
        assert_eq!(of([(1, 1), (2, 2)]), of([(3, 1), (9, 2)]));
        assert_ne!(of([(1, 1), (2, 2)]), of([(1, 2), (2, 1)]));
    }
}
