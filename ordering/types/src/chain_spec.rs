//! The genesis file: who founds the network, which rollups it serves, and the limits all must agree on.
//!
//! It is a TOML file that people read and write; its hash (over a canonical encoding, not over the text) is in every
//! header and every handshake, so two nodes with different files never talk past each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::preimage::Domain;
use crate::transaction::MAX_TRANSACTION_BYTES;
use crate::{Address, Chunk, Digest, PublicKey, RollupId, ValidatorId, codec};

/// Most validators that a genesis file may name.
pub const MAX_VALIDATORS: usize = 100;
/// Most rollups that a genesis file may name.
pub const MAX_ROLLUPS: usize = 1_024;

/// Bytes that the blobs of one batch hold (six blobs of 130,048 usable bytes, less what a payload begins with). What
/// is sealed must always fit, compressed or not.
pub const BATCH_CAPACITY_BYTES: u64 = 6 * 130_048 - 256;
/// Bytes that one L1 transaction carries for rollups with data policy `calldata`: pools take 128 KiB, and the call has some words beside it.
pub const INLINE_CAPACITY_BYTES: u64 = 100_000;
/// Most bytes that one block takes in a batch beside its transactions.
pub const BLOCK_OVERHEAD_BYTES: u64 = 128;
/// Most bytes that one rollup takes in one block of a batch beside its transactions.
pub const SECTION_OVERHEAD_BYTES: u64 = 72;

/// What a rollup's transactions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RollupKind {
    /// Signed Ethereum transactions: decoded, chain id checked, signature recovered at admission.
    Evm,
    /// Bytes that only the rollup understands.
    Opaque,
}

/// Where a rollup's transactions become available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataPolicy {
    /// On L1, in blobs, which L1 forgets after some weeks.
    Blob,
    /// On L1, in the calldata of the transaction that posts the batch, for ever.
    Calldata,
    /// With the committee; L1 has only the commitment (a validium).
    Committee,
}

/// One rollup of the genesis file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollup {
    /// Its number.
    pub id: RollupId,
    /// A name for people.
    pub name: String,
    /// What its transactions are.
    pub kind: RollupKind,
    /// EIP-155 chain id; wallets find it at `/rollup/<chain id>`.
    pub chain_id: u64,
    /// Where its data goes.
    pub data: DataPolicy,
    /// Most bytes of its transactions that one block may hold.
    pub quota_bytes_per_block: u32,
}

/// One founding validator of the genesis file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// Its registry number, from 1.
    pub id: ValidatorId,
    /// Its key: votes, libp2p identity, registry address.
    pub key: PublicKey,
    /// libp2p address, such as `/ip4/127.0.0.1/udp/9100/quic-v1`.
    pub address: String,
}

/// Numbers that change what a cut expands to or when it is proposed, and so must be agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Duplicate window: a transaction is ordered once within this many blocks.
    pub duplicate_window_blocks: u32,
    /// Most chunks of one lane that one cut may cover.
    pub chunks_per_lane_per_cut: u32,
    /// Most bytes of transactions of all rollups that one block may hold.
    pub block_bytes: u32,
    /// Most bytes of transactions with data policy `blob` that one block may hold.
    pub blob_bytes_per_block: u32,
    /// A batch is sealed before the raw bytes bound for blobs in it could exceed this.
    pub blob_bytes_per_batch: u32,
    /// Most bytes of transactions with data policy `calldata` that one block may hold.
    pub calldata_bytes_per_block: u32,
    /// A batch is sealed before the raw bytes bound for calldata in it could exceed this.
    pub calldata_bytes_per_batch: u32,
    /// Most blocks in one batch.
    pub blocks_per_batch: u32,
    /// A batch is sealed by the first block whose time is this long after the batch's first block.
    pub batch_interval_ms: u32,
    /// With nothing to order, a block is proposed this long after the last.
    pub idle_block_interval_ms: u32,
    /// A proposal from further in the future than this is not voted for yet.
    pub max_clock_drift_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            duplicate_window_blocks: 4_096,
            chunks_per_lane_per_cut: 64,
            block_bytes: 16 << 20,
            // The least that holds any transaction, with room to spare: the more of a batch that one block may take, the sooner the batch must end.
            blob_bytes_per_block: 160 << 10,
            // The rest of six blobs is for the heads of its blocks.
            blob_bytes_per_batch: 512 << 10,
            calldata_bytes_per_block: 16 << 10,
            // The rest of a transaction is for what names the blocks, of three rollups.
            calldata_bytes_per_batch: 40 << 10,
            blocks_per_batch: 256,
            batch_interval_ms: 4_000,
            idle_block_interval_ms: 1_000,
            max_clock_drift_ms: 2_000,
        }
    }
}

/// How long a key ceremony waits for whom, by the times of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ceremony {
    /// From its beginning: who has not announced itself by then gets no share of the key, if a quorum has.
    pub announce_ms: u32,
    /// From when there are enough dealings: who has not acknowledged or objected by then is not waited for, if a quorum has
    /// acknowledged.
    pub acknowledge_ms: u32,
    /// From its beginning: an attempt without a key by then is given up, and the next begins.
    pub attempt_ms: u32,
}

impl Default for Ceremony {
    fn default() -> Self {
        Self { announce_ms: 60_000, acknowledge_ms: 60_000, attempt_ms: 600_000 }
    }
}

impl Ceremony {
    fn validate(&self) -> Result<(), ChainSpecError> {
        if self.announce_ms == 0 || self.acknowledge_ms == 0 {
            return Err(ChainSpecError::Ceremony("nobody can answer in no time"));
        }
        // Besides the two waits, what is dealt and acknowledged takes time to be ordered.
        let waits = u64::from(self.announce_ms) + u64::from(self.acknowledge_ms);
        if u64::from(self.attempt_ms) < 2 * waits {
            return Err(ChainSpecError::Ceremony(
                "attempt_ms must be at least twice announce_ms and acknowledge_ms together",
            ));
        }
        Ok(())
    }
}

/// What becomes of the key when an epoch ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyPolicy {
    /// Each epoch has another: what former members hold is worth nothing.
    #[default]
    Fresh,
    /// It stays, shared anew among the members of the next epoch: whoever checks signatures elsewhere need not follow the epochs.
    Keep,
}

/// How long a committee and its key serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Epochs {
    /// An epoch has at least this many blocks.
    pub blocks: u64,
    /// And lasts at least this long, by the times of its blocks. How many blocks that is depends on how much there is to order.
    pub interval_ms: u64,
    /// The next key is made during this last part of it; for three quarters of that, validators that are away are waited for, so that who restarts
    /// meanwhile gets its share. An epoch whose successor has no key yet goes on.
    pub ceremony_ms: u64,
    /// Most members of a committee; of more active validators that are ready, each epoch has another sample.
    pub max_committee: u16,
    /// Another key each epoch, or the same.
    pub key: KeyPolicy,
}

impl Default for Epochs {
    fn default() -> Self {
        Self {
            blocks: 1,
            interval_ms: 86_400_000,
            ceremony_ms: 1_800_000,
            max_committee: 100,
            key: KeyPolicy::Fresh,
        }
    }
}

impl Epochs {
    fn validate(&self) -> Result<(), ChainSpecError> {
        if self.blocks == 0 {
            return Err(ChainSpecError::Epochs("an epoch has at least one block"));
        }
        if self.ceremony_ms > self.interval_ms {
            return Err(ChainSpecError::Epochs("ceremony_ms is a part of interval_ms"));
        }
        if !(4..=MAX_VALIDATORS).contains(&usize::from(self.max_committee)) {
            return Err(ChainSpecError::Epochs("max_committee is 4 to 100"));
        }
        Ok(())
    }
}

/// What the committee looks at on L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct L1View {
    /// Validators report the finalized blocks whose numbers this divides.
    pub report_blocks: u64,
}

impl Default for L1View {
    fn default() -> Self {
        Self { report_blocks: 32 }
    }
}

impl L1View {
    const fn validate(&self) -> Result<(), ChainSpecError> {
        if self.report_blocks == 0 {
            return Err(ChainSpecError::L1("report_blocks is at least 1"));
        }
        Ok(())
    }
}

/// The genesis file. The default has what may be left out of the file, and nothing else: nobody founds it and it serves nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainSpec {
    /// A name for people; also keeps two networks with the same members apart.
    pub network: String,
    /// EIP-155 chain id of the L1.
    pub l1_chain_id: u64,
    /// Address of `SequencerInbox` on it.
    pub inbox: Address,
    /// Address of `ValidatorRegistry` on it; without one, the founders are the committee for ever.
    #[serde(default)]
    pub registry: Option<Address>,
    /// Agreed numbers.
    #[serde(default)]
    pub limits: Limits,
    /// How long key ceremonies wait.
    #[serde(default)]
    pub ceremony: Ceremony,
    /// How long a committee and its key serve.
    #[serde(default)]
    pub epochs: Epochs,
    /// What the committee looks at on L1.
    #[serde(default)]
    pub l1: L1View,
    /// The founding validators.
    pub validators: Vec<Validator>,
    /// The rollups served.
    pub rollups: Vec<Rollup>,
}

/// Why a genesis file cannot found a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainSpecError {
    /// Fewer than four validators tolerate no fault.
    #[error(
        "{0} validators: at least 4 are needed to survive one fault, at most {MAX_VALIDATORS} are allowed"
    )]
    ValidatorCount(usize),
    /// Validator ids start at 1 and are unique.
    #[error("validator id {0} is zero or used twice")]
    ValidatorId(ValidatorId),
    /// One key, two validators.
    #[error("validator {0} has the key of another one")]
    ValidatorKey(ValidatorId),
    /// Too many rollups.
    #[error("{0} rollups, at most {MAX_ROLLUPS} allowed")]
    RollupCount(usize),
    /// Two rollups with one id or one chain id.
    #[error("rollup {0}: id or chain id used twice")]
    RollupId(RollupId),
    /// A batch that could not be posted.
    #[error(
        "a full batch could need {got} bytes, its blobs hold {BATCH_CAPACITY_BYTES}: lower blob_bytes_per_batch or \
         blocks_per_batch, or serve fewer rollups"
    )]
    BatchSize {
        /// Bytes of the fullest batch.
        got: u64,
    },
    /// A batch whose calldata no transaction could carry.
    #[error(
        "a full batch could need {got} bytes of calldata, a transaction holds {INLINE_CAPACITY_BYTES}: lower \
         calldata_bytes_per_batch or blocks_per_batch, or serve fewer rollups with policy calldata"
    )]
    InlineSize {
        /// Bytes of the fullest batch.
        got: u64,
    },
    /// Numbers that contradict each other.
    #[error("limits: {0}")]
    Limits(&'static str),
    /// Waiting times that contradict each other.
    #[error("ceremony: {0}")]
    Ceremony(&'static str),
    /// Lengths of an epoch that contradict each other.
    #[error("epochs: {0}")]
    Epochs(&'static str),
    /// A view of L1 that cannot be.
    #[error("l1: {0}")]
    L1(&'static str),
}

impl ChainSpec {
    /// Checks the file as a whole.
    pub fn validate(&self) -> Result<(), ChainSpecError> {
        if !(4..=MAX_VALIDATORS).contains(&self.validators.len()) {
            return Err(ChainSpecError::ValidatorCount(self.validators.len()));
        }
        let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for validator in &self.validators {
            if validator.id.get() == 0 || !ids.insert(validator.id) {
                return Err(ChainSpecError::ValidatorId(validator.id));
            }
            if !keys.insert(validator.key) {
                return Err(ChainSpecError::ValidatorKey(validator.id));
            }
        }
        if self.rollups.len() > MAX_ROLLUPS {
            return Err(ChainSpecError::RollupCount(self.rollups.len()));
        }
        let (mut ids, mut chains) = (BTreeSet::new(), BTreeSet::new());
        for rollup in &self.rollups {
            if !ids.insert(rollup.id) || !chains.insert(rollup.chain_id) {
                return Err(ChainSpecError::RollupId(rollup.id));
            }
        }
        self.limits.validate()?;
        self.ceremony.validate()?;
        self.epochs.validate()?;
        self.l1.validate()?;
        self.validate_batch_size()
    }

    /// The fullest batch that the limits allow fits into its blobs without any compression.
    fn validate_batch_size(&self) -> Result<(), ChainSpecError> {
        let rollups = self.rollups.iter().filter(|rollup| rollup.data != DataPolicy::Calldata).count();
        let rollups = u64::try_from(rollups).unwrap_or(u64::MAX);
        let heads = BLOCK_OVERHEAD_BYTES.saturating_add(rollups.saturating_mul(SECTION_OVERHEAD_BYTES));
        let heads = heads.saturating_mul(u64::from(self.limits.blocks_per_batch));
        let got = heads.saturating_add(u64::from(self.limits.blob_bytes_per_batch));
        if got > BATCH_CAPACITY_BYTES {
            return Err(ChainSpecError::BatchSize { got });
        }
        self.validate_inline_size()
    }

    /// The same of what goes into calldata, if any rollup has that policy.
    fn validate_inline_size(&self) -> Result<(), ChainSpecError> {
        let inline = self.rollups.iter().filter(|rollup| rollup.data == DataPolicy::Calldata).count();
        let inline = u64::try_from(inline).unwrap_or(u64::MAX);
        if inline == 0 {
            return Ok(());
        }
        let heads = inline.saturating_mul(SECTION_OVERHEAD_BYTES);
        let heads = heads.saturating_mul(u64::from(self.limits.blocks_per_batch));
        let got = heads.saturating_add(u64::from(self.limits.calldata_bytes_per_batch));
        if got > INLINE_CAPACITY_BYTES { Err(ChainSpecError::InlineSize { got }) } else { Ok(()) }
    }

    /// SHA-256 over the canonical encoding: validators and rollups in ascending order of id.
    pub fn hash(&self) -> Digest {
        let mut canonical = self.clone();
        canonical.validators.sort_by_key(|v| v.id);
        canonical.rollups.sort_by_key(|r| r.id);
        Digest::sha256(&[b"mpc-sequencer/chain-spec/1", &codec::encode(&canonical)])
    }

    /// The network that signatures are for.
    pub const fn domain(&self) -> Domain {
        Domain { l1_chain_id: self.l1_chain_id, inbox: self.inbox }
    }

    /// The founding committee.
    pub fn committee(&self) -> Committee {
        Committee::new(self.validators.iter().map(|v| (v.id, v.key)).collect())
    }

    /// Largest transaction of a rollup that can ever be ordered, in bytes; zero for a rollup that is not served.
    pub fn largest_transaction(&self, id: RollupId) -> usize {
        self.rollup(id).map_or(0, |rollup| self.limits.largest_transaction(rollup))
    }

    /// One rollup.
    pub fn rollup(&self, id: RollupId) -> Option<&Rollup> {
        self.rollups.iter().find(|r| r.id == id)
    }
}

impl Limits {
    /// Largest transaction of this rollup that a block can hold, in bytes.
    pub fn largest_transaction(&self, rollup: &Rollup) -> usize {
        let mut weight = rollup.quota_bytes_per_block.min(self.block_bytes);
        weight = match rollup.data {
            DataPolicy::Blob => weight.min(self.blob_bytes_per_block),
            DataPolicy::Calldata => weight.min(self.calldata_bytes_per_block),
            DataPolicy::Committee => weight,
        };
        (weight as usize).saturating_sub(Chunk::cost(0)).min(MAX_TRANSACTION_BYTES)
    }

    fn validate(&self) -> Result<(), ChainSpecError> {
        let at_least_one = [
            self.duplicate_window_blocks,
            self.chunks_per_lane_per_cut,
            self.block_bytes,
            self.blob_bytes_per_block,
            self.calldata_bytes_per_block,
            self.blocks_per_batch,
            self.batch_interval_ms,
            self.idle_block_interval_ms,
        ];
        if at_least_one.contains(&0) {
            return Err(ChainSpecError::Limits("none of the limits may be zero"));
        }
        if self.blob_bytes_per_batch < self.blob_bytes_per_block {
            return Err(ChainSpecError::Limits("blob_bytes_per_batch must hold blob_bytes_per_block"));
        }
        if self.calldata_bytes_per_batch < self.calldata_bytes_per_block {
            return Err(ChainSpecError::Limits(
                "calldata_bytes_per_batch must hold calldata_bytes_per_block",
            ));
        }
        Ok(())
    }
}

/// Most faulty members that a committee of n survives, f = ⌊(n − 1) / 3⌋.
pub const fn faulty(n: usize) -> usize {
    n.saturating_sub(1) / 3
}

/// Members of a committee of n that must agree, n − f.
pub const fn quorum(n: usize) -> usize {
    n - faulty(n)
}

/// The validators of one epoch and their keys. At most [`MAX_VALIDATORS`] are ever read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committee {
    #[serde(deserialize_with = "bounded_members")]
    members: BTreeMap<ValidatorId, PublicKey>,
}

/// Stops at the first member too many: a key is a point, and points cost time to read.
fn bounded_members<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<ValidatorId, PublicKey>, D::Error> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = BTreeMap<ValidatorId, PublicKey>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_VALIDATORS} members with their keys")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = BTreeMap::new();
            while let Some((id, key)) = map.next_entry()? {
                if members.len() == MAX_VALIDATORS || members.insert(id, key).is_some() {
                    return Err(de::Error::invalid_length(members.len(), &self));
                }
            }
            Ok(members)
        }
    }

    deserializer.deserialize_map(Members)
}

impl Committee {
    /// From ids and keys.
    pub const fn new(members: BTreeMap<ValidatorId, PublicKey>) -> Self {
        Self { members }
    }

    /// Number of members, n.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Most faulty members it survives, f = ⌊(n − 1) / 3⌋.
    pub fn faulty(&self) -> usize {
        faulty(self.len())
    }

    /// Members that must agree, n − f.
    pub fn quorum(&self) -> usize {
        quorum(self.len())
    }

    /// Key shares that must sign, 2f + 1.
    pub fn threshold(&self) -> usize {
        2 * self.faulty() + 1
    }

    /// Key of a member.
    pub fn key(&self, id: ValidatorId) -> Option<&PublicKey> {
        self.members.get(&id)
    }

    /// Members in ascending order of id.
    pub fn ids(&self) -> impl Iterator<Item = ValidatorId> + '_ {
        self.members.keys().copied()
    }

    /// Members and keys in ascending order of id.
    pub fn iter(&self) -> impl Iterator<Item = (ValidatorId, &PublicKey)> {
        self.members.iter().map(|(id, key)| (*id, key))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn spec(rollups: u32, limits: Limits) -> ChainSpec {
        let validator = |n: u16| Validator {
            id: ValidatorId::new(n),
            key: SecretKey::from_bytes([u8::try_from(n).unwrap(); 32]).unwrap().public_key(),
            address: String::new(),
        };
        let rollup = |n: u32| Rollup {
            id: RollupId::new(n),
            name: String::new(),
            kind: RollupKind::Opaque,
            chain_id: u64::from(n),
            data: DataPolicy::Blob,
            quota_bytes_per_block: 1,
        };
        ChainSpec {
            network: "test".to_owned(),
            l1_chain_id: 1,
            inbox: Address::default(),
            limits,
            ceremony: Ceremony::default(),
            epochs: Epochs::default(),
            registry: None,
            l1: L1View::default(),
            validators: (1..=4).map(validator).collect(),
            rollups: (1..=rollups).map(rollup).collect(),
        }
    }

    /// Only raw transaction bytes were counted once: many small blocks with many rollups could have sealed a batch that
    /// no transaction can carry.
    #[test]
    fn limits_under_which_a_full_batch_could_not_be_posted_are_refused() {
        assert_eq!(spec(3, Limits::default()).validate(), Ok(()));
        let many_blocks = Limits { blocks_per_batch: 4_096, ..Limits::default() };
        assert!(matches!(spec(3, many_blocks).validate(), Err(ChainSpecError::BatchSize { .. })));
        assert!(matches!(spec(200, Limits::default()).validate(), Err(ChainSpecError::BatchSize { .. })));
        let mut inline = spec(3, Limits::default());
        inline.rollups.iter_mut().for_each(|rollup| rollup.data = DataPolicy::Calldata);
        assert_eq!(inline.validate(), Ok(()));
        inline.limits.calldata_bytes_per_batch = 64 << 10;
        assert!(matches!(inline.validate(), Err(ChainSpecError::InlineSize { .. })));
        let large = Limits { blob_bytes_per_batch: 1 << 20, ..Limits::default() };
        assert!(matches!(spec(1, large).validate(), Err(ChainSpecError::BatchSize { .. })));
    }

    #[test]
    fn the_order_of_entries_does_not_change_the_hash_and_their_content_does() {
        let ordered = spec(3, Limits::default());
        let mut shuffled = ordered.clone();
        shuffled.validators.reverse();
        shuffled.rollups.reverse();
        assert_eq!(ordered.hash(), shuffled.hash());
        shuffled.rollups.pop();
        assert_ne!(ordered.hash(), shuffled.hash());
    }

    /// A quorum is n − f, which is 2f + 1 only when n = 3f + 1: two quorums always share an honest member, and n − f members are there.
    #[test]
    fn quorum_and_threshold_of_every_small_committee() {
        let expected = [
            (4, 1, 3, 3),
            (5, 1, 4, 3),
            (6, 1, 5, 3),
            (7, 2, 5, 5),
            (8, 2, 6, 5),
            (9, 2, 7, 5),
            (10, 3, 7, 7),
        ];
        for (n, faulty, quorum, threshold) in expected {
            let key = SecretKey::from_bytes([1; 32]).unwrap().public_key();
            let committee = Committee::new((1..=n).map(|id| (ValidatorId::new(id), key)).collect());
            let got = (committee.faulty(), committee.quorum(), committee.threshold());
            assert_eq!(got, (faulty, quorum, threshold), "{n} members");
            assert!(2 * quorum - usize::from(n) > faulty);
        }
    }

    #[test]
    fn a_committee_is_read_with_at_most_as_many_members_as_there_can_be() {
        let key = SecretKey::from_bytes([1; 32]).unwrap().public_key();
        let of = |n: u16| Committee::new((1..=n).map(|id| (ValidatorId::new(id), key)).collect());
        let read = |n| codec::decode::<Committee>(&codec::encode(&of(n)), usize::MAX);
        assert_eq!(read(100), Ok(of(100)));
        assert!(read(101).is_err());
    }

    #[test]
    fn committees_that_cannot_be_are_refused() {
        let with = |change: fn(&mut ChainSpec)| {
            let mut spec = spec(1, Limits::default());
            change(&mut spec);
            spec.validate().unwrap_err()
        };
        assert_eq!(with(|s| s.validators.truncate(3)), ChainSpecError::ValidatorCount(3));
        assert!(matches!(
            with(|s| {
                let key = s.validators.first().unwrap().key;
                s.validators.last_mut().unwrap().key = key;
            }),
            ChainSpecError::ValidatorKey(_)
        ));
        assert!(matches!(
            with(|s| s.validators.last_mut().unwrap().id = ValidatorId::new(0)),
            ChainSpecError::ValidatorId(_)
        ));
    }
}
