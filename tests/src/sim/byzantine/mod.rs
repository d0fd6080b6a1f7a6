//! Validators that lie.
//!
//! A liar runs the same core as everybody else; what leaves it passes through its [`Lie`]s, which hold the validator's key and may change,
//! sign, drop, delay or add whatever they like. Where only the core can tell a convincing lie, it is what the core hears that is changed. One idea a file:
//!
//! | module | what it does |
//! |---|---|
//! | [`equivocating_proposer`] | proposes one cut to some and another to the rest |
//! | [`equivocating_voter`] | votes for a value to some and for nil or another to the rest |
//! | [`lane_equivocator`] | forks its own lane |
//! | [`data_withholder`] | keeps its chunks to itself and says that it sent them |
//! | [`silent`] | says nothing, to some or to all |
//! | [`delayer`] | says everything late |
//! | [`garbage`] | sends noise, and honest messages with a few bits turned |
//! | [`wrong_root`] | proposes headers that its cuts do not expand to, and votes for them |
//! | [`report_liar`] | claims to hold what does not exist, and to have decided what nobody did |
//! | [`sync_liar`] | answers peers that catch up with forged heights |
//! | [`chunk_forger`] | proposes chunks of its own making in the lanes of others |
//! | [`encoder`] | encodes batches that say something else than the blocks |
//! | [`wrong_share`] | answers signing packages with wrong shares |
//!
//! Two whole instances of one validator ("twins") need no code here: see [`Plan::twins`](super::Plan::twins).

pub mod chunk_forger;
pub mod data_withholder;
pub mod delayer;
pub mod encoder;
pub mod equivocating_proposer;
pub mod equivocating_voter;
pub mod garbage;
pub mod lane_equivocator;
pub mod report_liar;
pub mod silent;
pub mod sync_liar;
pub mod wrong_root;
pub mod wrong_share;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use node_core::api::{Class, JobResult, Recipient};
use ordering_types::preimage::Domain;
use ordering_types::{Chunk, Digest, Epoch, SecretKey, ValidatorId};
use rand_chacha::ChaCha8Rng;

use super::faults::Faults;
use chunk_forger::Forgeries;

/// A way of lying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // The module's table says it.
pub enum Lie {
    EquivocatingProposer,
    EquivocatingVoter,
    LaneEquivocator,
    DataWithholder,
    Silent,
    Delayer,
    Garbage,
    WrongRoot,
    ReportLiar,
    SyncLiar,
    Encoder,
    ChunkForger,
    WrongShare,
}

/// One message on its way out.
#[derive(Clone, Debug)]
pub struct Sent {
    /// To whom.
    pub to: Recipient,
    /// On which stream.
    pub class: Class,
    /// The message.
    pub bytes: Bytes,
    /// How long it is held back.
    pub delay: Duration,
}

/// What a lie may use.
pub struct Scene<'a> {
    /// The liar.
    pub me: ValidatorId,
    /// Its key.
    pub key: &'a SecretKey,
    /// The network.
    pub domain: Domain,
    /// SHA-256 of the public data of the newest group key of each epoch that it holds a share of.
    pub groups: BTreeMap<Epoch, Digest>,
    /// Every other validator.
    pub peers: &'a [ValidatorId],
    /// The run's randomness.
    pub rng: &'a mut ChaCha8Rng,
    /// Where it is counted.
    pub faults: &'a mut Faults,
}

impl Scene<'_> {
    /// Sends one message to peers of even number and another to the rest.
    fn split(&self, class: Class, even: &Bytes, odd: &Bytes) -> Vec<Sent> {
        let to = |peer: &ValidatorId| Sent {
            to: Recipient::One(*peer),
            class,
            bytes: if peer.get().is_multiple_of(2) { even.clone() } else { odd.clone() },
            delay: Duration::ZERO,
        };
        self.peers.iter().map(to).collect()
    }
}

impl Lie {
    /// Every way.
    pub const ALL: [Self; 13] = [
        Self::EquivocatingProposer,
        Self::EquivocatingVoter,
        Self::LaneEquivocator,
        Self::DataWithholder,
        Self::Silent,
        Self::Delayer,
        Self::Garbage,
        Self::WrongRoot,
        Self::ReportLiar,
        Self::SyncLiar,
        Self::Encoder,
        Self::ChunkForger,
        Self::WrongShare,
    ];

    /// What leaves in place of one message.
    pub fn speak(self, scene: &mut Scene<'_>, message: Sent) -> Vec<Sent> {
        match self {
            Self::EquivocatingProposer => equivocating_proposer::speak(scene, message),
            Self::EquivocatingVoter => equivocating_voter::speak(scene, message),
            Self::LaneEquivocator => lane_equivocator::speak(scene, message),
            Self::DataWithholder => data_withholder::speak(scene, message),
            Self::Silent => silent::speak(scene, message),
            Self::Delayer => delayer::speak(scene, message),
            Self::Garbage => garbage::speak(scene, message),
            Self::WrongRoot => wrong_root::speak(scene, message),
            Self::ReportLiar => report_liar::speak(scene, message),
            Self::SyncLiar => sync_liar::speak(scene, message),
            Self::WrongShare => wrong_share::speak(scene, message),
            Self::Encoder | Self::ChunkForger => vec![message],
        }
    }

    /// What its own core hears of a message, and a chunk that was made up for it.
    pub fn hear(
        self,
        scene: &mut Scene<'_>,
        forgeries: &mut Forgeries,
        message: Bytes,
    ) -> (Bytes, Option<Chunk>) {
        match self {
            Self::ChunkForger => chunk_forger::hear(scene, forgeries, message),
            _ => (message, None),
        }
    }

    /// What its own core is told of a job.
    pub fn work(self, scene: &mut Scene<'_>, result: JobResult) -> JobResult {
        match self {
            Self::Encoder => encoder::work(scene, result),
            _ => result,
        }
    }
}
