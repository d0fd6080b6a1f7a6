//! Every byte string that anyone in the network signs, laid out by hand.
//!
//! All digests are Keccak-256 over 32-byte words, so that Solidity computes them with `abi.encode`. Word 0 is the
//! protocol's name, word 1 the kind, words 2 and 3 the L1 chain and the inbox contract: a signature for one network,
//! kind, epoch or number is worthless for any other.
//!
//! | kind | signed by | words after the first four |
//! |---|---|---|
//! | 1 block | committee | epoch, height, header hash |
//! | 2 batch | committee | epoch, batch number, keccak(batch id ‖ carrier hash) |
//! | 3 handover | committee | epoch, new epoch, [`Handover`](crate::handover::Handover)'s content |
//! | 4 readiness | committee | new epoch, new epoch, keccak(key x ‖ key y ‖ committee hash) |
//! | 5 allow | committee | epoch, nonce of the registry's list, keccak(owner ‖ allowed); the contract is the registry |
//! | 16 initialise | validator | epoch, key x, key y |
//! | 17 prevote, 18 precommit | validator | epoch, height, round, value id |
//! | 19 proposal | validator | epoch, height, round, valid round + 1, value id |
//! | 20 system message | validator | sender, sequence, sha256(payload) |
//! | 21 client session | validator | validator, keying material of the TLS session |
//! | 22 peer session | validator | signer, the other validator, keying material of the TLS session |
//! | 23 recover | validator | epoch, key x, key y |
//! | 24 register | validator | 0, owner, keccak(endpoint); the contract is the registry |
//! | 25 signature share | validator | epoch, sha256(group's public data), package hash, share |

use crate::handover::NextEpoch;
use crate::{Address, Digest, Epoch, Height, Round, ValidatorId};

/// "mpc-sequencer/v1", left-aligned in a word.
const NAME: [u8; 32] = *b"mpc-sequencer/v1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// What the committee's one key signs. Nothing else ever is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum GroupKind {
    /// A block header: the soft confirmation.
    Block = 1,
    /// A sealed batch.
    Batch = 2,
    /// The next committee's key.
    Handover = 3,
    /// Test of a new key before it is switched to.
    Readiness = 4,
}

/// The network that signatures are for: an L1 chain and the inbox contract on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    /// EIP-155 chain id of the L1.
    pub l1_chain_id: u64,
    /// Address of `SequencerInbox`.
    pub inbox: Address,
}

pub(crate) fn number_word(number: u64) -> [u8; 32] {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&number.to_be_bytes());
    word
}

impl Domain {
    fn digest(&self, kind: u8, words: &[[u8; 32]]) -> Digest {
        let mut address = [0; 32];
        address[12..].copy_from_slice(self.inbox.as_bytes());
        let head = [NAME, number_word(u64::from(kind)), number_word(self.l1_chain_id), address];
        Digest::keccak256(&[head.as_flattened(), words.as_flattened()])
    }

    /// What the committee signs with its FROST key. `number` is the height, batch number or new epoch.
    pub fn group(&self, kind: GroupKind, epoch: Epoch, number: u64, content: Digest) -> Digest {
        self.digest(kind as u8, &[number_word(epoch.get()), number_word(number), content.to_bytes()])
    }

    /// What the committee signs to confirm a block softly.
    pub fn block(&self, epoch: Epoch, height: Height, header: Digest) -> Digest {
        self.group(GroupKind::Block, epoch, height.get(), header)
    }

    /// What a committee signs with its key when the next epoch begins; `content` says with what.
    pub fn handover(&self, next: Epoch, content: Digest) -> Digest {
        let outgoing = Epoch::new(next.get().saturating_sub(1));
        self.group(GroupKind::Handover, outgoing, next.get(), content)
    }

    /// What the holders of a new key sign with it to show that they can.
    pub fn readiness(&self, next: &NextEpoch) -> Digest {
        let (x, y) = next.key.coordinates();
        let content = Digest::keccak256(&[&x, &y, next.committee.as_ref()]);
        self.group(GroupKind::Readiness, next.epoch, next.epoch.get(), content)
    }

    /// What a validator signs to give the contract its first group key.
    pub fn initialise(&self, epoch: Epoch, key_x: [u8; 32], key_y: [u8; 32]) -> Digest {
        self.digest(16, &[number_word(epoch.get()), key_x, key_y])
    }

    /// What a validator signs to have the contract replace the key of `epoch`, which no longer signs.
    pub fn recover(&self, epoch: Epoch, key_x: [u8; 32], key_y: [u8; 32]) -> Digest {
        self.digest(23, &[number_word(epoch.get()), key_x, key_y])
    }

    /// What a validator signs to vote. `value` is `None` for nil, which is laid out as zero.
    pub fn vote(
        &self,
        precommit: bool,
        epoch: Epoch,
        height: Height,
        round: Round,
        value: Option<Digest>,
    ) -> Digest {
        self.digest(
            if precommit { 18 } else { 17 },
            &[
                number_word(epoch.get()),
                number_word(height.get()),
                number_word(u64::from(round.get())),
                value.unwrap_or(Digest::ZERO).to_bytes(),
            ],
        )
    }

    /// What a proposer signs. `valid_round` is the round in which the value had a quorum of prevotes, if any.
    pub fn proposal(
        &self,
        epoch: Epoch,
        height: Height,
        round: Round,
        valid_round: Option<Round>,
        value: Digest,
    ) -> Digest {
        self.digest(
            19,
            &[
                number_word(epoch.get()),
                number_word(height.get()),
                number_word(u64::from(round.get())),
                number_word(valid_round.map_or(0, |r| u64::from(r.get()) + 1)),
                value.to_bytes(),
            ],
        )
    }

    /// What a validator signs to show a client who it is. `keying_material` is exported from their TLS session
    /// (RFC 8446 section 7.5), so the signature is worthless on any other connection.
    pub fn client_session(&self, validator: ValidatorId, keying_material: [u8; 32]) -> Digest {
        self.digest(21, &[number_word(u64::from(validator.get())), keying_material])
    }

    /// What two validators each sign to show the other who they are on a connection of their own. Keying material as
    /// for [`client_session`](Self::client_session); the two names in this order keep one proof from serving as the other.
    pub fn peer_session(&self, signer: ValidatorId, other: ValidatorId, keying_material: [u8; 32]) -> Digest {
        let word = |id: ValidatorId| number_word(u64::from(id.get()));
        self.digest(22, &[word(signer), word(other), keying_material])
    }

    /// What a validator signs beside its share of a group signature: that it is its answer to this package under this key.
    pub fn signature_share(&self, epoch: Epoch, group: Digest, package: Digest, share: [u8; 32]) -> Digest {
        self.digest(25, &[number_word(epoch.get()), group.to_bytes(), package.to_bytes(), share])
    }

    /// What a validator signs to speak to the committee through the log.
    pub fn system_message(&self, sender: ValidatorId, sequence: u64, payload: &[u8]) -> Digest {
        self.digest(
            20,
            &[
                number_word(u64::from(sender.get())),
                number_word(sequence),
                Digest::sha256(&[payload]).to_bytes(),
            ],
        )
    }
}
