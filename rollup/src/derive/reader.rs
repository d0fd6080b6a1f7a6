//! The chain of batches.

use std::sync::Arc;

use alloy::consensus::Transaction as _;
use alloy::primitives::{B256, Bytes as AbiBytes, U256};
use alloy::rpc::types::{Header as L1Header, Transaction as L1Transaction};
use batcher_format::batch::inline_hash;
use batcher_format::blob::BlobError;
use batcher_format::payload::{PayloadError, SectionError};
use batcher_format::{
    BatchHeader, Content, Context, DecodedBatch, DecodedBlock, Policies, blob, payload, signing_digest,
};
use bytes::Bytes;
use ordering_types::{ChainSpec, Digest, Epoch, GroupKey, Height, RollupId};
use serde::Deserialize;
use serde_json::json;

use super::archive::{ArchiveError, Archives, ArchivesError};
use super::forced::{ForcedPlace, ForcedTransaction, Queue, QueueError};
use super::gate::Gate;
use super::keys::{KeyError, Next, Present};
use super::logs::{InboxEvent, KeyEvent, Logs, Place, Posted};
use super::posted::signature_in;
use crate::l1::{Beacon, BeaconError, EndpointError, Rpc, RpcError};
use crate::verify::{Keys, Network};

/// How final an L1 block must be to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// The newest block: may be reorganised away.
    Latest,
    /// Unlikely to be.
    Safe,
    /// Never again.
    Finalized,
}

/// An `http` or `https` URL, as text.
pub type Url = String;

/// Where to read from.
#[derive(Clone, Debug)]
pub struct DeriveConfig {
    /// JSON-RPC endpoints of the L1, in order of preference.
    pub rpc: Vec<Url>,
    /// Beacon node.
    pub beacon: Url,
    /// Nodes of the network to ask for what the beacon node does not have (any more), as `host:port` of their QUIC port, in order of preference;
    /// at most [`MAX_ARCHIVES`](super::MAX_ARCHIVES). May be empty. They are not trusted.
    pub archives: Vec<String>,
    /// The network whose inbox is read.
    pub spec: Arc<ChainSpec>,
    /// L1 block of the inbox's deployment, or any before it.
    pub first_l1_block: u64,
    /// How far to read.
    pub finality: Finality,
}

/// Why derivation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// An endpoint in the configuration, or the machine it is to be reached from.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// L1 cannot be read.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// Blobs cannot be read.
    #[error(transparent)]
    Beacon(#[from] BeaconError),
    /// The list of archives is of no use.
    #[error(transparent)]
    Archives(#[from] ArchivesError),
    /// Neither the beacon node nor any archive has a batch's payload.
    #[error(
        "nobody has the payload of batch {number}: {beacon}{}. \
         Add nodes (host:port) to the archives of the configuration, or use a beacon node that keeps all blobs",
        tried(archives)
    )]
    Unavailable {
        /// The batch's number.
        number: u64,
        /// Why the beacon node does not have it.
        beacon: BeaconError,
        /// Why each archive does not.
        archives: Vec<ArchiveError>,
    },
    /// The endpoint is of another L1.
    #[error("the L1 endpoint is of chain {got}, the chain specification says {expected}")]
    WrongChain {
        /// By the chain specification.
        expected: u64,
        /// By the endpoint.
        got: u64,
    },
    /// A block or transaction that a log names is gone: L1 was reorganised.
    #[error("L1 no longer has {0}: it was reorganised while reading")]
    Reorganised(B256),
    /// A batch that does not follow the one before.
    #[error("batch {number} does not follow: {what}")]
    Chain {
        /// Its number.
        number: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// A batch before there is a key.
    #[error("the inbox has batches but no key: was reading started after `initialise`?")]
    NoKey,
    /// A key that nobody entitled to it put there.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A batch of another epoch than the key in force.
    #[error("batch {number} is of epoch {got}, the key in force of epoch {present}")]
    Epoch {
        /// Its number.
        number: u64,
        /// Of the key.
        present: Epoch,
        /// Of the batch.
        got: Epoch,
    },
    /// A group signature that does not verify: the endpoint lies.
    #[error("the group signature of batch {0} does not verify")]
    Signature(u64),
    /// The forced-inclusion queue is not what batches and escapes say.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Before any payload was read, one that does not say what the batch header says: then the genesis file is most likely another network's.
    #[error("batch {number}: {error}")]
    Payload {
        /// Its number.
        number: u64,
        /// Why.
        error: Unreadable,
    },
}

fn tried(archives: &[ArchiveError]) -> String {
    archives.iter().map(|error| format!("; {error}")).collect()
}

/// Where a batch's payload came from. It is the same wherever it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// L1's blobs.
    Blobs,
    /// The call that posted it.
    Calldata,
    /// An archive, as configured: the beacon node did not have the blobs.
    Archive(String),
}

/// What vouches for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The group signature, verified here.
    Signature,
    /// The contract's check only: the batch was posted through another contract.
    Contract,
}

/// Why a signed payload says nothing. An unknown version is no exception: another version comes with another genesis file, which says from when on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Blobs that hold no payload.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// A payload that does not say what the batch header says.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// What comes next.
#[derive(Clone, Debug)]
pub enum Derived {
    /// A batch.
    Batch(Box<DerivedBatch>),
    /// Entries of the forced-inclusion queue that no batch covered in time.
    Escape(Escape),
}

impl Derived {
    /// The batch, if it is one.
    pub fn batch(self) -> Option<DerivedBatch> {
        match self {
            Self::Batch(batch) => Some(*batch),
            Self::Escape(_) => None,
        }
    }
}

/// Entries of the forced-inclusion queue that have their effect here, whatever batches say of them later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escape {
    /// The batch after which they do; 0 before the first.
    pub after_batch: u64,
    /// L1 block in which somebody called `escape`.
    pub l1_block: u64,
    /// They, in order.
    pub transactions: Vec<ForcedTransaction>,
}

/// One batch, as L1 has it.
#[derive(Clone, Debug)]
pub struct DerivedBatch {
    /// What it says.
    pub header: BatchHeader,
    /// Its id.
    pub id: Digest,
    /// What vouches for it.
    pub proof: Proof,
    /// L1 block that it was posted in.
    pub l1_block: u64,
    /// L1 transaction that posted it.
    pub l1_transaction: B256,
    /// Where its payload came from.
    pub source: Source,
    /// What was wrong with the archives that were asked before.
    pub archive_faults: Vec<ArchiveError>,
    /// Number of its blobs; none if the call that posted it carried its payload itself.
    pub blobs: usize,
    /// Bytes of its payload.
    pub payload_bytes: usize,
    /// Bytes of its inline data: of rollups with policy `calldata`.
    pub inline_bytes: usize,
    /// Its blocks.
    pub blocks: Vec<DecodedBlock>,
    /// Rollups that count as empty in it.
    pub broken: Vec<(RollupId, SectionError)>,
    /// Why it has no blocks, if it has none.
    pub unreadable: Option<Unreadable>,
    /// Entries of the forced-inclusion queue that it covers and has, in order.
    pub forced: Vec<ForcedPlace>,
    /// Those that it covers and does not have. They have their effect after its last block.
    pub omitted: Vec<ForcedTransaction>,
}

/// One transaction of one rollup, at its place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedTransaction {
    /// Its block.
    pub height: Height,
    /// Time of that block, milliseconds since 1970.
    pub time_ms: u64,
    /// Its place among the rollup's transactions in the block; what has its effect after a batch counts as the last block's.
    pub index: u32,
    /// Its bytes.
    pub data: Bytes,
    /// Its index in the forced-inclusion queue, if it came from there. What came from there may have been ordered before: nobody could tell
    /// from L1 alone.
    pub forced: Option<u64>,
}

impl DerivedBatch {
    /// One rollup's transactions, in order. None but omitted ones for data policy `committee`: L1 has only [`Content::Commitment`].
    pub fn transactions(&self, rollup: RollupId) -> impl Iterator<Item = DerivedTransaction> + '_ {
        let ordered = self.blocks.iter().flat_map(move |block| self.of_block(block, rollup));
        let (height, time_ms) = (self.header.last_height, self.header.last_time_ms);
        let last = self.blocks.last().map_or(0, |block| of_rollup(block, rollup).count());
        let omitted = self.omitted.iter().filter(move |one| one.rollup == rollup);
        let omitted = omitted.zip(u32::try_from(last).unwrap_or(u32::MAX)..).map(move |(one, index)| {
            DerivedTransaction { height, time_ms, index, data: one.data.clone(), forced: Some(one.index) }
        });
        ordered.chain(omitted)
    }

    fn of_block<'a>(
        &'a self,
        block: &'a DecodedBlock,
        rollup: RollupId,
    ) -> impl Iterator<Item = DerivedTransaction> + 'a {
        let first = self.forced.partition_point(|one| one.height < block.height);
        let forced = self.forced.get(first..).unwrap_or_default().iter();
        let forced = forced.take_while(|one| one.height == block.height);
        let mut forced = forced.filter(move |one| one.rollup == rollup && !one.escaped).map(|one| one.index);
        of_rollup(block, rollup).zip(0..).map(move |(data, index)| DerivedTransaction {
            height: block.height,
            time_ms: block.time_ms,
            index,
            data: data.clone(),
            forced: forced.next(),
        })
    }
}

/// What L1 has of one rollup in one block.
fn of_rollup(block: &DecodedBlock, rollup: RollupId) -> impl Iterator<Item = &Bytes> {
    let sections = block.sections.iter().filter(move |section| section.rollup == rollup);
    sections.flat_map(|section| match &section.content {
        Content::Data(all) => all.as_slice(),
        Content::Commitment { .. } => &[],
    })
}

/// The newest batch that was derived.
#[derive(Clone, Copy, Debug, Default)]
struct Tip {
    number: u64,
    id: Digest,
    last_height: Height,
    last_header: Digest,
}

impl Tip {
    const fn of(batch: &DerivedBatch) -> Self {
        let DerivedBatch { header, id, .. } = batch;
        Self {
            number: header.number,
            id: *id,
            last_height: header.last_height,
            last_header: header.last_header,
        }
    }
}

/// A batch's bytes, and how many blobs carry them: none if L1 has logged them.
struct Carried {
    source: Source,
    archive_faults: Vec<ArchiveError>,
    blobs: usize,
    payload: Result<Bytes, BlobError>,
}

/// Reads batches one after the other.
#[derive(Debug)]
pub struct Deriver {
    rpc: Rpc,
    beacon: Beacon,
    archives: Archives,
    network: Network,
    policies: Policies,
    finality: Finality,
    logs: Logs,
    chain_checked: bool,
    present: Option<Present>,
    tip: Tip,
    /// Whether some batch has proven that the genesis file is the network's.
    is_network: bool,
    queue: Queue,
    /// Events that were taken from the logs and have not had their effect yet: an error in between loses nothing.
    gate: Gate,
}

#[derive(Deserialize)]
struct L1Block {
    #[serde(flatten)]
    header: L1Header,
}

impl Deriver {
    /// Starts before the first batch. Nothing is asked of L1 yet.
    pub fn new(config: DeriveConfig) -> Result<Self, DeriveError> {
        Ok(Self {
            rpc: Rpc::new(&config.rpc)?,
            beacon: Beacon::new(&config.beacon)?,
            archives: Archives::new(&config.archives)?,
            policies: Policies::of(&config.spec),
            logs: Logs::new(config.spec.inbox, config.first_l1_block),
            network: Network::new(config.spec),
            finality: config.finality,
            chain_checked: false,
            present: None,
            tip: Tip::default(),
            is_network: false,
            queue: Queue::default(),
            gate: Gate::default(),
        })
    }

    /// Number of the newest derived batch; 0 before the first.
    pub const fn derived(&self) -> u64 {
        self.tip.number
    }

    /// The key in force after the newest derived batch, with its epoch; `None` before the first key.
    pub fn key(&self) -> Option<(Epoch, GroupKey)> {
        self.present.map(|Present { epoch, key, .. }| (epoch, key))
    }

    /// That key and its committee, for clients to begin with: [`Network::trusting`].
    pub fn keys(&self) -> Option<Keys> {
        self.present.map(|Present { epoch, key, committee }| Keys::trusted(epoch, key, Some(committee)))
    }

    /// The next batch or escape, or `None` if L1 has no further one yet. After an error that passes (an endpoint down, a blob
    /// not served), calling again goes on at the same place.
    pub async fn next(&mut self) -> Result<Option<Derived>, DeriveError> {
        self.check_chain().await?;
        let head = self.head().await?;
        loop {
            while self.gate.front().is_none() {
                let Some((place, event)) = self.logs.next(&self.rpc, head).await? else { return Ok(None) };
                self.gate.take(place, event);
            }
            let Some((place, event)) = self.gate.front().cloned() else { return Ok(None) };
            let derived = self.effect(place, event).await?;
            self.gate.pass();
            if derived.is_some() {
                return Ok(derived);
            }
        }
    }

    /// What an event means now.
    async fn effect(&mut self, place: Place, event: InboxEvent) -> Result<Option<Derived>, DeriveError> {
        match event {
            InboxEvent::Posted(event) => {
                let batch = self.derive(place, &event).await?;
                self.tip = Tip::of(&batch);
                Ok(Some(Derived::Batch(Box::new(batch))))
            }
            InboxEvent::Key(event) => {
                self.present = Some(self.change_key(place, event).await?);
                Ok(None)
            }
            InboxEvent::Enqueued { index, entry, accumulator } => {
                self.queue.push(index, entry, accumulator)?;
                Ok(None)
            }
            InboxEvent::Escaped { from, to } => {
                let transactions = self.queue.escape((from, to), self.network.spec())?;
                let (after_batch, l1_block) = (self.tip.number, place.block_number);
                Ok(Some(Derived::Escape(Escape { after_batch, l1_block, transactions })))
            }
        }
    }

    async fn check_chain(&mut self) -> Result<(), DeriveError> {
        if self.chain_checked {
            return Ok(());
        }
        let got: U256 = self.rpc.call("eth_chainId", json!([])).await?;
        let (got, expected) = (got.saturating_to::<u64>(), self.network.spec().l1_chain_id);
        if got != expected {
            return Err(DeriveError::WrongChain { expected, got });
        }
        self.chain_checked = true;
        Ok(())
    }

    /// Number of the newest block that is final enough; 0 while there is none.
    async fn head(&self) -> Result<u64, DeriveError> {
        let tag = match self.finality {
            Finality::Latest => "latest",
            Finality::Safe => "safe",
            Finality::Finalized => "finalized",
        };
        let block: Option<L1Block> = self.rpc.call("eth_getBlockByNumber", json!([tag, false])).await?;
        Ok(block.map_or(0, |block| block.header.number))
    }

    async fn transaction_input(&self, place: Place) -> Result<Option<AbiBytes>, DeriveError> {
        let found: Option<L1Transaction> =
            self.rpc.call("eth_getTransactionByHash", json!([place.transaction])).await?;
        let transaction = found.ok_or(DeriveError::Reorganised(place.transaction))?;
        let inbox = alloy::primitives::Address::from(*self.network.spec().inbox.as_bytes());
        Ok((transaction.to() == Some(inbox)).then(|| transaction.input().clone()))
    }

    /// The key that an event puts in force.
    async fn change_key(&self, place: Place, event: KeyEvent) -> Result<Present, DeriveError> {
        let input = self.transaction_input(place).await?;
        let next = Next { batch: self.tip.number + 1, height: self.tip.last_height.next() };
        let present = |epoch| self.present.ok_or(KeyError::NoFirst(epoch));
        Ok(match event {
            KeyEvent::Initialised(point) => Present::founded(&self.network, point, input)?,
            KeyEvent::Next(key) => present(key.epoch)?.next(&self.network, next, key, input)?,
        })
    }

    async fn derive(&mut self, place: Place, event: &Posted) -> Result<DerivedBatch, DeriveError> {
        let header = event.header.clone();
        self.check_follows(event)?;
        let proof = self.check_signature(place, event).await?;

        let Carried { source, archive_faults, blobs, payload } = self.carried(place, event).await?;
        let payload_bytes = payload.as_ref().map_or(0, Bytes::len);
        let (decoded, unreadable) = match self.read(payload, &event.inline, &header) {
            Ok(decoded) => {
                self.is_network |= decoded.broken.is_empty();
                (decoded, None)
            }
            // What nobody has proven yet may be another network's.
            Err(error) if !self.is_network => {
                return Err(DeriveError::Payload { number: header.number, error });
            }
            Err(error) => (DecodedBatch { blocks: Vec::new(), broken: Vec::new() }, Some(error)),
        };
        let DecodedBatch { mut blocks, broken } = decoded;
        let covered = self.queue.cover(&header, &mut blocks, self.network.spec())?;
        Ok(DerivedBatch {
            id: header.id(),
            header,
            proof,
            l1_block: place.block_number,
            l1_transaction: place.transaction,
            source,
            archive_faults,
            blobs,
            payload_bytes,
            inline_bytes: event.inline.len(),
            blocks,
            broken,
            unreadable,
            forced: covered.places,
            omitted: covered.omitted,
        })
    }

    fn read(
        &self,
        payload: Result<Bytes, BlobError>,
        inline: &[u8],
        header: &BatchHeader,
    ) -> Result<DecodedBatch, Unreadable> {
        let context = Context {
            parent_header: self.tip.last_header,
            chain_spec: self.network.hash(),
            policies: &self.policies,
        };
        Ok(payload::decode((&payload?, inline), header, &context)?)
    }

    /// What carries a batch.
    async fn carried(&self, place: Place, event: &Posted) -> Result<Carried, DeriveError> {
        if inline_hash(&event.inline) != event.carrier.inline_hash {
            let what = "the logged inline data is not the signed one";
            return Err(DeriveError::Chain { number: event.number, what });
        }
        if let Some(payload) = &event.payload {
            if Digest::keccak256(&[payload]) != event.carrier.calldata_hash {
                let what = "the logged payload is not the signed one";
                return Err(DeriveError::Chain { number: event.number, what });
            }
            let (source, payload) = (Source::Calldata, Ok(payload.clone()));
            return Ok(Carried { source, archive_faults: Vec::new(), blobs: 0, payload });
        }
        let block: Option<L1Block> =
            self.rpc.call("eth_getBlockByHash", json!([place.block_hash, false])).await?;
        let block = block.ok_or(DeriveError::Reorganised(place.block_hash))?;
        let beacon = match self.beacon.blobs(block.header.timestamp, &event.carrier.blob_hashes).await {
            Ok(blobs) => {
                let (blobs, payload) = (blobs.len(), blob::unpack(&blobs).map(Bytes::from));
                return Ok(Carried { source: Source::Blobs, archive_faults: Vec::new(), blobs, payload });
            }
            Err(error) => error,
        };
        self.archived(event, beacon).await
    }

    /// What carries a batch that the beacon node does not have.
    async fn archived(&self, event: &Posted, beacon: BeaconError) -> Result<Carried, DeriveError> {
        // A beacon node that is only down comes back; whoever has pruned does not.
        if self.archives.is_empty() && !matches!(beacon, BeaconError::Missing(_)) {
            return Err(beacon.into());
        }
        let number = event.number;
        let (found, faults) = self.archives.payload(number, &event.carrier.blob_hashes).await;
        let Some((archive, payload)) = found else {
            return Err(DeriveError::Unavailable { number, beacon, archives: faults });
        };
        let (source, blobs) = (Source::Archive(archive), event.carrier.blob_hashes.len());
        Ok(Carried { source, archive_faults: faults, blobs, payload: Ok(payload) })
    }

    /// The contract enforces the same; an endpoint that hides or invents events does not pass.
    fn check_follows(&self, event: &Posted) -> Result<(), DeriveError> {
        let header = &event.header;
        let fail = |what| Err(DeriveError::Chain { number: event.number, what });
        if header.number != event.number || header.number != self.tip.number + 1 {
            return fail("not the next number");
        }
        if event.id != header.id() {
            return fail("the id is not the header's");
        }
        if header.parent != self.tip.id {
            return fail("another parent");
        }
        if header.first_height != self.tip.last_height.next() || header.last_height < header.first_height {
            return fail("not the next heights");
        }
        let blobs = event.carrier.blob_hashes.len();
        if blobs == 0 || blobs > blob::MAX_BLOBS {
            return fail("an impossible number of blobs");
        }
        Ok(())
    }

    async fn check_signature(&self, place: Place, event: &Posted) -> Result<Proof, DeriveError> {
        let Present { epoch, key, .. } = self.present.ok_or(DeriveError::NoKey)?;
        let header = &event.header;
        if header.epoch != epoch {
            return Err(DeriveError::Epoch { number: header.number, present: epoch, got: header.epoch });
        }
        let input = self.transaction_input(place).await?;
        let Some(signature) = input.and_then(|input| signature_in(&input, header)) else {
            return Ok(Proof::Contract);
        };
        let signed = signing_digest(&self.network.domain(), header, event.carrier.hash());
        key.verify(signed, &signature).map_err(|_| DeriveError::Signature(header.number))?;
        Ok(Proof::Signature)
    }
}
