//! The vocabulary of the network: what every crate means by a height, a chunk, a cut, a header.
//!
//! This crate holds *data and its verification*, never behaviour over time: a rollup that links it can
//! check everything the network claims without linking the network.
//!
//! | module | holds |
//! |---|---|
//! | [`ids`] | heights, epochs, validators, rollups, lanes |
//! | [`digest`] | 32-byte digests and the two hash functions |
//! | [`merkle`] | the RFC 6962 tree behind `tx_root`, with inclusion proofs |
//! | [`transaction`] | one transaction of one rollup |
//! | [`chunk`] | a run of transactions in one validator's lane |
//! | [`cut`] | the consensus value: one tip for each lane that advanced |
//! | [`header`], [`block`] | what a decided cut expands to |
//! | [`vote`], [`certificate`] | signed votes, and quorums of them |
//! | [`preimage`] | every byte string that anyone in the network ever signs |
//! | [`group`] | the committee's one key and its FROST signatures |
//! | [`forced`] | the forced-inclusion queue of L1 |
//! | [`registry`] | the registry of L1, and reports of what is seen there |
//! | [`handover`] | from one epoch's committee and key to the next |
//! | [`chain_spec`] | the genesis file: validators, rollups, limits |
//! | [`time`] | the clock that hosts hand to pure cores |
//! | [`codec`] | the only place that names the wire codec |

pub mod block;
pub mod certificate;
pub mod chain_spec;
pub mod chunk;
pub mod codec;
pub mod cut;
pub mod digest;
pub mod forced;
pub mod group;
pub mod handover;
pub mod header;
pub mod ids;
pub mod key;
pub mod merkle;
pub mod preimage;
pub mod registry;
pub mod time;
pub mod transaction;
pub mod vote;

pub use block::{Block, RollupSection};
pub use certificate::CommitCertificate;
pub use chain_spec::ChainSpec;
pub use chunk::Chunk;
pub use cut::{Cut, LaneTip, ParentCommit, SystemMessage};
pub use digest::Digest;
pub use forced::{ForcedEntry, ForcedLeaf, ForcedMessage, ForcedTelling, QueueMark};
pub use group::{GroupKey, GroupSignature};
pub use handover::{EpochVote, Handover, NextEpoch, SharedKey, SignedHandover, Succession};
pub use header::{Header, L1Reference};
pub use ids::{Epoch, Height, Incarnation, LaneId, LaneSequence, RollupId, Round, ValidatorId};
pub use key::{Address, PublicKey, SecretKey, Signature};
pub use registry::{L1Report, Registered, Registry};
pub use time::Time;
pub use transaction::{Transaction, TxId};
pub use vote::{SignedVote, Vote, VoteKind};
