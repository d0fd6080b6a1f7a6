//! Blobs from a beacon node, checked against their versioned hashes.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy::primitives::{Bytes, hex};
use batcher_format::batch::versioned_hash;
use batcher_format::blob::{BLOB_BYTES, Blob};
use batcher_format::kzg::Kzg;
use ordering_types::Digest;
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::http::{EndpointError, HttpError, client, exchange, name, parse_url};

/// Most blobs of one L1 block that an answer may hold (the protocol's schedule stays below).
const MAX_BLOBS_PER_BLOCK: usize = 128;
const MAX_BLOBS_ANSWER_BYTES: usize = MAX_BLOBS_PER_BLOCK * (2 * BLOB_BYTES + 8) + 4_096;
const MAX_SMALL_ANSWER_BYTES: usize = 256 << 10;

/// Why blobs cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeaconError {
    /// The exchange failed.
    #[error("beacon node {endpoint}: {error}")]
    Unreachable {
        /// The node, as `host:port`.
        endpoint: String,
        /// Why.
        error: HttpError,
    },
    /// An answer in another shape.
    #[error("beacon node answers with something else: {0}")]
    Malformed(String),
    /// Blobs that the block must have are not among those the node serves (pruned, or the node lies).
    #[error("beacon node does not have the blob with versioned hash {0}")]
    Missing(Digest),
    /// An L1 block from before the beacon chain.
    #[error("L1 time {0} is before the beacon chain's genesis")]
    BeforeGenesis(u64),
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Genesis {
    genesis_time: String,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "SECONDS_PER_SLOT")]
    seconds_per_slot: Option<String>,
    #[serde(rename = "SLOT_DURATION_MS")]
    slot_duration_ms: Option<String>,
}

/// How times become slots.
#[derive(Clone, Copy, Debug)]
struct Clock {
    genesis: u64,
    slot: Duration,
}

/// A beacon node.
#[derive(Debug)]
pub struct Beacon {
    client: Client,
    url: Url,
    clock: OnceCell<Clock>,
}

impl Beacon {
    /// The node at this base URL.
    pub fn new(url: &str) -> Result<Self, EndpointError> {
        let url = parse_url(url)?;
        Ok(Self { client: client(std::slice::from_ref(&url))?, url, clock: OnceCell::new() })
    }

    /// The blobs with these hashes in the block of this time (seconds since 1970), in the order of the hashes. Each is
    /// committed to again here: what comes back is what L1 has.
    pub async fn blobs(&self, l1_time: u64, hashes: &[Digest]) -> Result<Vec<Blob>, BeaconError> {
        let clock = *self.clock.get_or_try_init(|| self.clock()).await?;
        let since = l1_time.checked_sub(clock.genesis).ok_or(BeaconError::BeforeGenesis(l1_time))?;
        let slot = Duration::from_secs(since).as_millis() / clock.slot.as_millis().max(1);
        let list: Vec<String> = hashes.iter().map(|hash| format!("0x{hash}")).collect();
        let path = format!("eth/v1/beacon/blobs/{slot}?versioned_hashes={}", list.join(","));
        let answer: Vec<Bytes> =
            self.get(&path, MAX_BLOBS_ANSWER_BYTES).await.map_err(|error| match error {
                // So nodes say that they have pruned them, or that they never had the block.
                BeaconError::Unreachable { error: HttpError::Status { status: 404, .. }, .. } => {
                    BeaconError::Missing(hashes.first().copied().unwrap_or(Digest::ZERO))
                }
                other => other,
            })?;
        let wanted = hashes.to_vec();
        tokio::task::spawn_blocking(move || pick(&answer, &wanted))
            .await
            .map_err(|error| BeaconError::Malformed(error.to_string()))?
    }

    async fn clock(&self) -> Result<Clock, BeaconError> {
        let genesis: Genesis = self.get("eth/v1/beacon/genesis", MAX_SMALL_ANSWER_BYTES).await?;
        let spec: Spec = self.get("eth/v1/config/spec", MAX_SMALL_ANSWER_BYTES).await?;
        let number = |text: &str| {
            text.parse::<u64>().map_err(|_| BeaconError::Malformed(format!("{text:?} is no number")))
        };
        let slot = match (spec.slot_duration_ms, spec.seconds_per_slot) {
            (Some(millis), _) => Duration::from_millis(number(&millis)?),
            (None, Some(seconds)) => Duration::from_secs(number(&seconds)?),
            (None, None) => return Err(BeaconError::Malformed("no slot duration".to_owned())),
        };
        Ok(Clock { genesis: number(&genesis.genesis_time)?, slot })
    }

    async fn get<T: for<'a> Deserialize<'a>>(&self, path: &str, limit: usize) -> Result<T, BeaconError> {
        let base = self.url.as_str().trim_end_matches('/');
        let answer = exchange(self.client.get(format!("{base}/{path}")), limit)
            .await
            .map_err(|error| BeaconError::Unreachable { endpoint: name(&self.url), error })?;
        read_answer(&answer)
    }
}

fn read_answer<T: for<'a> Deserialize<'a>>(answer: &[u8]) -> Result<T, BeaconError> {
    let parsed: Data<T> =
        serde_json::from_slice(answer).map_err(|error| BeaconError::Malformed(error.to_string()))?;
    Ok(parsed.data)
}

/// For fuzz targets: every shape of answer. Committing to blobs is left out, it takes 60 ms each.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_any_answer(answer: &[u8]) {
    let _ = read_answer::<Genesis>(answer);
    let _ = read_answer::<Spec>(answer);
    if let Ok(blobs) = read_answer::<Vec<Bytes>>(answer) {
        blobs.iter().for_each(|bytes| _ = Blob::from_bytes(bytes));
    }
}

/// Finds each wanted blob by committing to those served. About 60 ms a blob, so only until all are found.
fn pick(served: &[Bytes], wanted: &[Digest]) -> Result<Vec<Blob>, BeaconError> {
    let kzg = Kzg::shared();
    let mut found: BTreeMap<Digest, Blob> = BTreeMap::new();
    for bytes in served {
        if wanted.iter().all(|hash| found.contains_key(hash)) {
            break;
        }
        let malformed =
            |what: &str| BeaconError::Malformed(format!("{what} {}…", hex::encode(prefix(bytes))));
        let blob = Blob::from_bytes(bytes).map_err(|_| malformed("no blob"))?;
        let commitment = kzg.commit(&blob).map_err(|_| malformed("not a blob of field elements"))?;
        found.insert(versioned_hash(&commitment), blob);
    }
    wanted.iter().map(|hash| found.get(hash).cloned().ok_or(BeaconError::Missing(*hash))).collect()
}

fn prefix(bytes: &[u8]) -> &[u8] {
    bytes.get(..8).unwrap_or(bytes)
}
