//! The chain of batches.

use std::sync::Arc;

use alloy::consensus::Transaction as _;
use alloy::primitives::{B256, Bytes as AbiBytes, U256};
use alloy::rpc::types::{Header as L1Header, Transaction as L1Transaction};
use batcher_format::payload::{PayloadError, SectionError};
use batcher_format::{BatchHeader, Content, Context, DecodedBlock, Policies, blob, payload, signing_digest};
use bytes::Bytes;
use ordering_types::{ChainSpec, Digest, Epoch, GroupKey, Height, RollupId};
use serde::Deserialize;
use serde_json::json;

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
    /// Blobs that hold no payload.
    #[error("batch {number}: {error}")]
    Blobs {
        /// Its number.
        number: u64,
        /// Why.
        error: blob::BlobError,
    },
    /// A payload that does not say what the batch header says.
    #[error("batch {number}: {error}")]
    Payload {
        /// Its number.
        number: u64,
        /// Why.
        error: PayloadError,
    },
}

/// What vouches for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The group signature, verified here.
    Signature,
    /// The contract's check only: the batch was posted through another contract.
    Contract,
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
    /// Number of its blobs; none if the call that posted it carried its payload itself.
    pub blobs: usize,
    /// Bytes of its payload.
    pub payload_bytes: usize,
    /// Its blocks.
    pub blocks: Vec<DecodedBlock>,
    /// Rollups that count as empty in it.
    pub broken: Vec<(RollupId, SectionError)>,
}

/// One transaction of one rollup, at its place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedTransaction {
    /// Its block.
    pub height: Height,
    /// Time of that block, milliseconds since 1970.
    pub time_ms: u64,
    /// Its place among the rollup's transactions in the block.
    pub index: u32,
    /// Its bytes.
    pub data: Bytes,
}

impl DerivedBatch {
    /// One rollup's transactions, in order. None for data policy `committee`: L1 has only [`Content::Commitment`].
    pub fn transactions(&self, rollup: RollupId) -> impl Iterator<Item = DerivedTransaction> + '_ {
        self.blocks.iter().flat_map(move |block| {
            let contents = block.sections.iter().filter(move |section| section.rollup == rollup);
            let data = contents.flat_map(|section| match &section.content {
                Content::Data(all) => all.as_slice(),
                Content::Commitment { .. } => &[],
            });
            data.zip(0..).map(|(data, index)| DerivedTransaction {
                height: block.height,
                time_ms: block.time_ms,
                index,
                data: data.clone(),
            })
        })
    }
}

/// The newest batch that was derived.
#[derive(Clone, Copy, Debug, Default)]
struct Tip {
    number: u64,
    id: Digest,
    last_height: Height,
    last_header: Digest,
}

/// Reads batches one after the other.
#[derive(Debug)]
pub struct Deriver {
    rpc: Rpc,
    beacon: Beacon,
    network: Network,
    policies: Policies,
    finality: Finality,
    logs: Logs,
    chain_checked: bool,
    present: Option<Present>,
    tip: Tip,
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
            policies: Policies::of(&config.spec),
            logs: Logs::new(config.spec.inbox, config.first_l1_block),
            network: Network::new(config.spec),
            finality: config.finality,
            chain_checked: false,
            present: None,
            tip: Tip::default(),
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

    /// The next batch, or `None` if L1 has no further one yet. After an error that passes (an endpoint down, a blob
    /// not served), calling again goes on at the same place.
    pub async fn next(&mut self) -> Result<Option<DerivedBatch>, DeriveError> {
        self.check_chain().await?;
        let head = self.head().await?;
        loop {
            while self.gate.front().is_none() {
                let Some((place, event)) = self.logs.next(&self.rpc, head).await? else { return Ok(None) };
                self.gate.take(place, event);
            }
            let Some((place, event)) = self.gate.front().cloned() else { return Ok(None) };
            let derived = match event {
                InboxEvent::Posted(event) => Some(self.derive(place, &event).await?),
                InboxEvent::Key(event) => {
                    self.present = Some(self.change_key(place, event).await?);
                    None
                }
                InboxEvent::Escaped => None,
            };
            self.gate.pass();
            if let Some(derived) = derived {
                self.tip = Tip {
                    number: derived.header.number,
                    id: derived.id,
                    last_height: derived.header.last_height,
                    last_header: derived.header.last_header,
                };
                return Ok(Some(derived));
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

    async fn derive(&self, place: Place, event: &Posted) -> Result<DerivedBatch, DeriveError> {
        let header = event.header.clone();
        self.check_follows(event)?;
        let proof = self.check_signature(place, event).await?;

        let number = header.number;
        let (payload, blobs) = self.payload(place, event).await?;
        let context = Context {
            parent_header: self.tip.last_header,
            chain_spec: self.network.hash(),
            policies: &self.policies,
        };
        let decoded = payload::decode(&payload, &header, &context)
            .map_err(|error| DeriveError::Payload { number, error })?;
        Ok(DerivedBatch {
            id: header.id(),
            header,
            proof,
            l1_block: place.block_number,
            l1_transaction: place.transaction,
            blobs,
            payload_bytes: payload.len(),
            blocks: decoded.blocks,
            broken: decoded.broken,
        })
    }

    /// A batch's bytes, and how many blobs carry them: none if L1 has logged them.
    async fn payload(&self, place: Place, event: &Posted) -> Result<(Bytes, usize), DeriveError> {
        if let Some(payload) = &event.payload {
            if Digest::keccak256(&[payload]) != event.carrier.calldata_hash {
                let what = "the logged payload is not the signed one";
                return Err(DeriveError::Chain { number: event.number, what });
            }
            return Ok((payload.clone(), 0));
        }
        let block: Option<L1Block> =
            self.rpc.call("eth_getBlockByHash", json!([place.block_hash, false])).await?;
        let block = block.ok_or(DeriveError::Reorganised(place.block_hash))?;
        let blobs = self.beacon.blobs(block.header.timestamp, &event.carrier.blob_hashes).await?;
        let unpacked = blob::unpack(&blobs);
        let payload = unpacked.map_err(|error| DeriveError::Blobs { number: event.number, error })?;
        Ok((payload.into(), blobs.len()))
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
