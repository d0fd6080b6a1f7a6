//! The part of the beacon node's REST API that followers of blobs need.
//!
//! There is no beacon chain. Slots are derived from timestamps, block roots from execution hashes
//! (the same that EIP-4788's contract stores), and blobs come from the pool's sidecars.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy::eips::eip4844::kzg_to_versioned_hash;
use alloy::primitives::B256;
use axum::Json;
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::chain::Chain;
use crate::chain::block::Block;
use crate::chain::fees::BLOB_PARAMS;
use crate::node::SharedNode;

/// Versioned hashes that one query may name.
const MAX_HASHES: usize = 128;

/// The routes of this module.
pub(crate) fn routes() -> Router<SharedNode> {
    Router::new()
        .route("/eth/v1/beacon/genesis", get(genesis))
        .route("/eth/v1/beacon/headers", get(head_header))
        .route("/eth/v1/beacon/headers/{id}", get(header))
        .route("/eth/v1/beacon/blobs/{id}", get(blobs))
        .route("/eth/v1/config/spec", get(spec))
        .route("/eth/v1/node/version", get(version))
        .route("/eth/v1/node/health", get(|| async { StatusCode::OK }))
        .route("/eth/v1/node/syncing", get(syncing))
}

/// A refusal in the beacon API's shape.
struct Refusal(StatusCode, &'static str);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "code": self.0.as_u16(), "message": self.1 }))).into_response()
    }
}

const NOT_FOUND: Refusal = Refusal(StatusCode::NOT_FOUND, "block not found");

/// `head`, `genesis`, `finalized`, `justified`, a slot, or a block root.
fn find(chain: &Chain, id: &str) -> Result<Arc<Block>, Refusal> {
    let block = match id {
        "head" => Some(chain.head()),
        "genesis" => chain.block(0),
        "finalized" => chain.block(chain.finalized()),
        "justified" => chain.block(chain.safe()),
        root if root.starts_with("0x") => {
            let root: B256 =
                root.parse().map_err(|_| Refusal(StatusCode::BAD_REQUEST, "invalid block root"))?;
            chain.block_by_root(&root)
        }
        slot => {
            let slot = slot.parse().map_err(|_| Refusal(StatusCode::BAD_REQUEST, "invalid block id"))?;
            chain.block_in_slot(slot)
        }
    };
    block.cloned().ok_or(NOT_FOUND)
}

async fn genesis(State(node): State<SharedNode>) -> Json<Value> {
    let time = node.read().chain.genesis_time();
    Json(json!({ "data": {
        "genesis_time": time.to_string(),
        "genesis_validators_root": B256::ZERO,
        "genesis_fork_version": "0x00000000",
    }}))
}

async fn spec(State(node): State<SharedNode>) -> Json<Value> {
    let ledger = node.read();
    let params = &ledger.chain.params;
    Json(json!({ "data": {
        "CONFIG_NAME": "dev-l1",
        "PRESET_BASE": "mainnet",
        "SECONDS_PER_SLOT": params.slot_seconds.to_string(),
        "SLOTS_PER_EPOCH": "32",
        "DEPOSIT_CHAIN_ID": params.chain_id.to_string(),
        "DEPOSIT_NETWORK_ID": params.chain_id.to_string(),
        "GENESIS_FORK_VERSION": "0x00000000",
        "FULU_FORK_EPOCH": "0",
        "MAX_BLOBS_PER_BLOCK": BLOB_PARAMS.max_blob_count.to_string(),
        "MIN_EPOCHS_FOR_BLOB_SIDECARS_REQUESTS": (params.blob_retention / 32).max(1).to_string(),
    }}))
}

async fn version() -> Json<Value> {
    Json(json!({ "data": { "version": concat!("dev-l1/v", env!("CARGO_PKG_VERSION")) } }))
}

async fn syncing(State(node): State<SharedNode>) -> Json<Value> {
    let ledger = node.read();
    let slot = ledger.chain.slot(ledger.chain.head());
    Json(json!({ "data": {
        "head_slot": slot.to_string(), "sync_distance": "0", "is_syncing": false,
        "is_optimistic": false, "el_offline": false,
    }}))
}

async fn head_header(State(node): State<SharedNode>) -> Json<Value> {
    let ledger = node.read();
    Json(header_json(&ledger.chain, ledger.chain.head(), |data| json!([data])))
}

async fn header(State(node): State<SharedNode>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let ledger = node.read();
    let block = find(&ledger.chain, &id)?;
    Ok(Json(header_json(&ledger.chain, &block, |data| data)))
}

fn header_json(chain: &Chain, block: &Block, wrap: impl FnOnce(Value) -> Value) -> Value {
    let data = json!({
        "root": block.beacon_root(),
        "canonical": true,
        "header": {
            "message": {
                "slot": chain.slot(block).to_string(),
                "proposer_index": "0",
                "parent_root": block.header.parent_beacon_block_root,
                "state_root": block.header.state_root,
                "body_root": block.hash,
            },
            "signature": alloy::primitives::FixedBytes::<96>::ZERO,
        },
    });
    json!({
        "execution_optimistic": false,
        "finalized": block.number() <= chain.finalized(),
        "data": wrap(data),
    })
}

/// The blobs of a block in their order, all or those with the given versioned hashes.
async fn blobs(
    State(node): State<SharedNode>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let wanted = versioned_hashes(query.as_deref().unwrap_or_default())?;
    let ledger = node.read();
    let block = find(&ledger.chain, &id)?;
    let kept = ledger
        .chain
        .blobs(block.number())
        .ok_or(Refusal(StatusCode::NOT_FOUND, "blobs are older than the retention period"))?;
    let mut data = Vec::new();
    for sidecar in kept.iter().map(|kept| &kept.sidecar) {
        for (blob, commitment) in sidecar.blobs.iter().zip(&sidecar.commitments) {
            let hash = kzg_to_versioned_hash(commitment.as_slice());
            if wanted.as_ref().is_none_or(|wanted| wanted.contains(&hash)) {
                data.push(alloy::primitives::hex::encode_prefixed(blob));
            }
        }
    }
    Ok(Json(json!({
        "execution_optimistic": false,
        "finalized": block.number() <= ledger.chain.finalized(),
        "data": data,
    })))
}

/// `versioned_hashes`, repeated or separated by commas; `None` if absent.
fn versioned_hashes(query: &str) -> Result<Option<BTreeSet<B256>>, Refusal> {
    let mut hashes = None;
    for value in query.split('&').filter_map(|pair| pair.strip_prefix("versioned_hashes=")) {
        let hashes = hashes.get_or_insert_with(BTreeSet::new);
        for text in value.split(',').flat_map(|part| part.split("%2C")).filter(|text| !text.is_empty()) {
            let hash =
                text.parse().map_err(|_| Refusal(StatusCode::BAD_REQUEST, "invalid versioned hash"))?;
            hashes.insert(hash);
            if hashes.len() > MAX_HASHES {
                return Err(Refusal(StatusCode::BAD_REQUEST, "too many versioned hashes"));
            }
        }
    }
    Ok(hashes)
}
