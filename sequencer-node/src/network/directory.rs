//! Whom a node talks to, and who of them is the committee. It changes while the node runs.

use std::collections::{BTreeMap, BTreeSet};

use ordering_types::{ChainSpec, PublicKey, ValidatorId};

use super::handle::NetworkError;
use super::{address, identity};

/// Most peers of one node: four whole committees of different validators. A directory that names more is cut.
pub(crate) const MAX_PEERS: usize = 400;

/// Whom a node talks to. It may name the node itself, who is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    /// All of them: members, validators that wait for their first epoch, members of late epochs that others still ask.
    pub(crate) peers: BTreeMap<ValidatorId, PeerInfo>,
    /// Whom [`Recipient::All`](crate::core_api::Recipient) means. Who is not in `peers` is not reached.
    pub(crate) committee: BTreeSet<ValidatorId>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerInfo {
    /// Who it is. Another key under the same number is another peer.
    pub(crate) key: PublicKey,
    /// Where it says it is: `/ip4/127.0.0.1/udp/9101/quic-v1`, with or without `/p2p/` and its peer id. If it is anything else, the peer
    /// has to dial.
    pub(crate) address: String,
}

impl Directory {
    /// The founding committee as `me` sees it: all others have addresses that can be dialled.
    pub(crate) fn of_genesis(spec: &ChainSpec, me: ValidatorId) -> Result<Self, NetworkError> {
        let mut directory = Self::default();
        for validator in &spec.validators {
            let checked = address::dialable(&validator.address, &identity::peer_id(&validator.key));
            if let Err(why) = checked.map(drop)
                && validator.id != me
            {
                let address = validator.address.clone();
                return Err(NetworkError::Address { validator: validator.id, address, why });
            }
            let info = PeerInfo { key: validator.key, address: validator.address.clone() };
            directory.peers.insert(validator.id, info);
            directory.committee.insert(validator.id);
        }
        Ok(directory)
    }

    /// Whom the node with this number and key takes as peers: members of the committee before others, then small numbers before large
    /// ones; each key once, and at most [`MAX_PEERS`].
    pub(super) fn admitted(&self, me: ValidatorId, own: PublicKey) -> BTreeMap<ValidatorId, &PeerInfo> {
        let (members, others): (Vec<_>, Vec<_>) =
            self.peers.iter().filter(|(id, _)| **id != me).partition(|(id, _)| self.committee.contains(id));
        let mut keys = BTreeSet::from([own]);
        let each_key_once = members.into_iter().chain(others).filter(|(_, info)| keys.insert(info.key));
        each_key_once.take(MAX_PEERS).map(|(id, info)| (*id, info)).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ordering_types::SecretKey;

    use super::*;

    fn key(seed: u16) -> PublicKey {
        let mut secret = [1; 32];
        secret[..2].copy_from_slice(&seed.to_be_bytes());
        SecretKey::from_bytes(secret).unwrap().public_key()
    }

    fn directory(peers: impl IntoIterator<Item = (u16, u16)>, committee: &[u16]) -> Directory {
        let info = |key| PeerInfo { key, address: String::new() };
        Directory {
            peers: peers.into_iter().map(|(id, seed)| (ValidatorId::new(id), info(key(seed)))).collect(),
            committee: committee.iter().map(|id| ValidatorId::new(*id)).collect(),
        }
    }

    fn admitted(directory: &Directory) -> Vec<u16> {
        directory.admitted(ValidatorId::new(1), key(1)).into_keys().map(ValidatorId::get).collect()
    }

    #[test]
    fn nobody_is_its_own_peer_and_no_key_is_two() {
        // 4 has this node's key, 5 that of 2, and 3 that of 6, who is a member.
        let directory = directory([(1, 1), (2, 2), (3, 6), (4, 1), (5, 2), (6, 6), (7, 7)], &[1, 2, 6, 99]);
        assert_eq!(admitted(&directory), [2, 6, 7]);
    }

    #[test]
    fn too_many_are_cut_but_the_committee_is_not() {
        let last = 2 + u16::try_from(MAX_PEERS).unwrap();
        let admitted = admitted(&directory((2..=last).map(|id| (id, id)), &[last]));
        assert_eq!(admitted.len(), MAX_PEERS);
        assert!(admitted.contains(&last) && !admitted.contains(&(last - 1)));
    }
}
