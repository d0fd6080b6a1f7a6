//! The validators that the registry on L1 lists, as the network agrees on them: who may be drawn into a committee.
//!
//! ```text
//!   root    keccak256( abi.encode( (uint16 id, address node, bytes32 keccak256(endpoint))[] ) ), as ValidatorRegistry.root()
//!   report  u64 L1 block number │ 32 L1 block hash │ after that block: 32 root of the registry │ u64 epoch of the inbox
//!             │ u64 entries of the forced-inclusion queue │ 32 its accumulator
//! ```
//!
//! L1 knows a validator by the address of its key. The key itself is in the endpoint, whose last part is `/p2p/` and the libp2p
//! peer id: the identity multihash of a secp256k1 key, in base58.

use serde::{Deserialize, Serialize};

use crate::chain_spec::{MAX_VALIDATORS, Validator};
use crate::codec::{self, DecodeError};
use crate::preimage::number_word;
use crate::{Address, Digest, Epoch, L1Reference, PublicKey, QueueMark, ValidatorId};

/// Most bytes of an endpoint; the contract's limit.
pub const MAX_ENDPOINT_BYTES: usize = 256;
/// Most bytes of an encoded registry.
pub const MAX_REGISTRY_BYTES: usize = MAX_VALIDATORS * (MAX_ENDPOINT_BYTES + 32) + 8;
/// Bytes of an encoded [`L1Report`].
pub const L1_REPORT_LEN: usize = 8 + 32 + 32 + 8 + 8 + 32;

/// What stands before a compressed secp256k1 key in its peer id: identity multihash, length 37, protobuf fields type 2 and data.
const PEER_ID_HEAD: [u8; 6] = [0x00, 0x25, 0x08, 0x02, 0x12, 0x21];

/// One active validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Its number.
    pub id: ValidatorId,
    /// Address of its validator key.
    pub node: Address,
    /// Where peers reach it: a libp2p address that ends with its peer id.
    pub endpoint: String,
}

/// All active validators, in ascending order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    active: Vec<Registered>,
}

/// Why a list is no registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The bytes are none.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// More than the contract lists.
    #[error("{0} active validators, at most {MAX_VALIDATORS}")]
    Count(usize),
    /// Ids are positive and ascending.
    #[error("validator {0} is out of order")]
    Order(ValidatorId),
    /// The contract takes no such endpoint.
    #[error("validator {0} has an endpoint that the contract refuses")]
    Endpoint(ValidatorId),
}

impl Registry {
    /// Checks what the contract guarantees.
    pub fn new(active: Vec<Registered>) -> Result<Self, RegistryError> {
        if active.len() > MAX_VALIDATORS {
            return Err(RegistryError::Count(active.len()));
        }
        let mut last = ValidatorId::new(0);
        for Registered { id, endpoint, .. } in &active {
            if *id <= last {
                return Err(RegistryError::Order(*id));
            }
            let plain = endpoint.bytes().all(|byte| byte.is_ascii_graphic());
            if endpoint.is_empty() || endpoint.len() > MAX_ENDPOINT_BYTES || !plain {
                return Err(RegistryError::Endpoint(*id));
            }
            last = *id;
        }
        Ok(Self { active })
    }

    /// In ascending order of ids.
    pub fn active(&self) -> &[Registered] {
        &self.active
    }

    /// The encoding that is told in the log.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads the encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, RegistryError> {
        let Self { active } = codec::decode(bytes, MAX_REGISTRY_BYTES)?;
        Self::new(active)
    }

    /// What the contract's `root()` says of this list.
    pub fn root(&self) -> Digest {
        let mut words = vec![number_word(32), number_word(self.active.len() as u64)];
        for Registered { id, node, endpoint } in &self.active {
            let mut address = [0; 32];
            address[12..].copy_from_slice(node.as_bytes());
            let endpoint = Digest::keccak256(&[endpoint.as_bytes()]);
            words.extend([number_word(id.get().into()), address, *endpoint.as_bytes()]);
        }
        Digest::keccak256(&[words.as_flattened()])
    }

    /// Those whose keys are known: the endpoint says it, or the genesis file does. The others cannot be drawn, and have only themselves to blame.
    pub fn candidates(&self, founders: &[Validator]) -> Vec<Validator> {
        let known = |one: &Registered| {
            let founder = || founders.iter().find(|v| v.id == one.id).map(|v| v.key);
            let key = key_of_endpoint(&one.endpoint).or_else(founder)?;
            (key.address() == one.node).then(|| Validator { id: one.id, key, address: one.endpoint.clone() })
        };
        self.active.iter().filter_map(known).collect()
    }
}

/// The key in the peer id at the end of a libp2p address.
pub fn key_of_endpoint(endpoint: &str) -> Option<PublicKey> {
    let (_, peer_id) = endpoint.rsplit_once("/p2p/")?;
    let mut bytes = [0; PEER_ID_HEAD.len() + 33];
    let written = bs58::decode(peer_id).onto(bytes.as_mut_slice()).ok()?;
    let key = bytes.strip_prefix(&PEER_ID_HEAD).filter(|_| written == bytes.len())?;
    PublicKey::from_bytes(key).ok()
}

/// The peer id of a key, as it stands at the end of an endpoint.
pub fn peer_id(key: &PublicKey) -> String {
    bs58::encode([PEER_ID_HEAD.as_slice(), &key.to_bytes()].concat()).into_string()
}

/// What a validator saw on L1 at a finalized block; said in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct L1Report {
    /// The block.
    pub block: L1Reference,
    /// [`Registry::root`] after it; zero if the network has no registry.
    pub registry: Digest,
    /// Whose key the inbox has then: all handovers up to it, and all batches before, are final.
    pub epoch: Epoch,
    /// The forced-inclusion queue after it.
    pub queue: QueueMark,
}

impl L1Report {
    /// The fixed layout.
    pub fn encode(&self) -> Vec<u8> {
        let (number, epoch) = (self.block.number.to_be_bytes(), self.epoch.get().to_be_bytes());
        let queue = self.queue.to_bytes();
        [number.as_slice(), self.block.hash.as_ref(), self.registry.as_ref(), &epoch, &queue].concat()
    }

    /// Reads the layout; `None` for other bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let (registry, rest) = rest.split_first_chunk::<32>()?;
        let (epoch, rest) = rest.split_first_chunk::<8>()?;
        let (count, accumulator) = rest.split_first_chunk::<8>()?;
        let block = L1Reference { number: u64::from_be_bytes(*number), hash: Digest::new(*hash) };
        let epoch = Epoch::new(u64::from_be_bytes(*epoch));
        let accumulator = Digest::new(accumulator.try_into().ok()?);
        let queue = QueueMark { count: u64::from_be_bytes(*count), accumulator };
        Some(Self { block, registry: Digest::new(*registry), epoch, queue })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn registered(n: u8) -> Registered {
        let key = SecretKey::from_bytes([n; 32]).unwrap().public_key();
        let endpoint = format!("/ip4/127.0.0.1/udp/{}/quic-v1/p2p/{}", 9_100 + u16::from(n), peer_id(&key));
        Registered { id: ValidatorId::new(n.into()), node: key.address(), endpoint }
    }

    #[test]
    fn a_registry_survives_and_what_the_contract_refuses_is_none() {
        let registry = Registry::new((1..=3).map(registered).collect()).unwrap();
        assert_eq!(Registry::decode(&registry.encode()), Ok(registry.clone()));
        let bytes = registry.encode();
        (0..bytes.len()).for_each(|end| assert!(Registry::decode(&bytes[..end]).is_err(), "cut at {end}"));
        let of = |change: fn(&mut Vec<Registered>)| {
            let mut list: Vec<_> = (1..=3).map(registered).collect();
            change(&mut list);
            Registry::new(list).unwrap_err()
        };
        assert_eq!(of(|l| l.swap(0, 1)), RegistryError::Order(ValidatorId::new(1)));
        assert_eq!(of(|l| l[0].id = ValidatorId::new(0)), RegistryError::Order(ValidatorId::new(0)));
        assert_eq!(of(|l| l[1].endpoint.clear()), RegistryError::Endpoint(ValidatorId::new(2)));
        assert_eq!(of(|l| l[1].endpoint = "a b".to_owned()), RegistryError::Endpoint(ValidatorId::new(2)));
        assert_eq!(of(|l| l[1].endpoint = "a".repeat(257)), RegistryError::Endpoint(ValidatorId::new(2)));
        let many = (1..=101).map(|n| Registered { id: ValidatorId::new(n), ..registered(1) }).collect();
        assert_eq!(Registry::new(many), Err(RegistryError::Count(101)));
    }

    /// By hand: `cast keccak` over the head of an empty list.
    #[test]
    fn the_root_is_over_every_field() {
        let root = |list: Vec<Registered>| Registry::new(list).unwrap().root();
        let good = root(vec![registered(1), registered(2)]);
        assert_ne!(root(vec![registered(1)]), good);
        let moved = Registered { endpoint: "/ip4/1.2.3.4".to_owned(), ..registered(2) };
        assert_ne!(root(vec![registered(1), moved]), good);
        let renamed = Registered { id: ValidatorId::new(3), ..registered(2) };
        assert_ne!(root(vec![registered(1), renamed]), good);
        let replaced = Registered { node: registered(3).node, ..registered(2) };
        assert_ne!(root(vec![registered(1), replaced]), good);
        let empty = Digest::keccak256(&[[number_word(32), number_word(0)].as_flattened()]);
        assert_eq!(root(vec![]), empty);
    }

    #[test]
    fn a_key_stands_at_the_end_of_its_endpoint() {
        let key = SecretKey::from_bytes([7; 32]).unwrap().public_key();
        assert_eq!(key_of_endpoint(&registered(7).endpoint), Some(key));
        assert!(peer_id(&key).starts_with("16Uiu2HA"));
        for bad in ["", "/p2p/", "/p2p/16Uiu2HA", "/ip4/127.0.0.1/udp/1/quic-v1"] {
            assert_eq!(key_of_endpoint(bad), None, "{bad}");
        }
        assert_eq!(key_of_endpoint(&format!("/p2p/{}a", peer_id(&key))), None);
        assert_eq!(key_of_endpoint(&format!("/p2p/{}", "z".repeat(200))), None);
    }

    #[test]
    fn a_report_survives_and_cut_or_longer_ones_are_none() {
        let block = L1Reference { number: 77, hash: Digest::sha256(&[b"block"]) };
        let queue = QueueMark { count: 4, accumulator: Digest::sha256(&[b"queue"]) };
        let report = L1Report { block, registry: Digest::sha256(&[b"root"]), epoch: Epoch::new(3), queue };
        let bytes = report.encode();
        assert_eq!(bytes.len(), L1_REPORT_LEN);
        assert_eq!(L1Report::decode(&bytes), Some(report));
        (0..bytes.len()).for_each(|end| assert_eq!(L1Report::decode(&bytes[..end]), None, "cut at {end}"));
        assert_eq!(L1Report::decode(&[bytes.as_slice(), &[0]].concat()), None);
    }
}
