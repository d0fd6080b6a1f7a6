//! The `seq_*` methods: submit, look, prove, follow.

use std::sync::Arc;
use std::time::Duration;

use batcher_format::batch::Carrier;
use batcher_format::{BatchHeader, SealedBatch};
use bytes::Bytes;
use jsonrpsee::core::{RegisterMethodError, SubscriptionResult};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{PendingSubscriptionSink, RpcModule, SubscriptionMessage};
use ordering_types::{Digest, Height, RollupId, Transaction, TxId};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::error;
use crate::front::Front;
use crate::pump::Event;
use crate::store::{Found, Reader, StoreError};

/// The index follows the newest block within milliseconds; it is waited for, but not for ever.
const INDEX_POLL: Duration = Duration::from_millis(5);
const MAX_INDEX_POLLS: usize = 200;
/// Blocks that may not be in the index yet.
const MAX_INDEX_LAG: u64 = 1_024;

/// What a followed block says of itself, before and after its soft confirmation.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum News {
    Ordered { header: ordering_types::Header, hash: Digest },
    Certified { height: Height, hash: Digest, signature: ordering_types::GroupSignature },
}

/// How a transaction is named in `seq_proof`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, untagged)]
enum Named {
    Id { id: TxId },
    Hash { hash: Digest },
}

/// All methods.
pub(super) fn module(front: Arc<Front>) -> Result<RpcModule<Front>, RegisterMethodError> {
    let mut module = RpcModule::from_arc(front);
    module.register_async_method(
        "seq_submit",
        |params, front, _| async move { submit(&params, &front).await },
    )?;
    module.register_method("seq_status", |_, front, _| status(front))?;
    module
        .register_async_method("seq_block", |params, front, _| async move { block(&params, &front).await })?;
    module
        .register_async_method("seq_proof", |params, front, _| async move { proof(&params, &front).await })?;
    module.register_async_method("seq_founding", |_, front, _| async move {
        let founding = front.read(|store| Ok(store.founding().cloned())).await;
        founding.map_err(|e| error::unreadable(&e))?.ok_or_else(|| {
            error::not_found("the committee has no key yet", "ask again: seq_status says how far it is")
        })
    })?;
    module.register_async_method("seq_sealedBatch", |params, front, _| async move {
        sealed_batch(&params, &front).await
    })?;
    module.register_subscription(
        "seq_subscribe",
        "seq_subscription",
        "seq_unsubscribe",
        |params, pending, front, _| async move { follow(&params, pending, front).await },
    )?;
    Ok(module)
}

/// For fuzz targets: what the methods read their parameters into.
#[cfg(feature = "fuzzing")]
pub(crate) fn parse_any(params: &Params<'_>) {
    if let Ok((_, data)) = params.parse::<(RollupId, String)>() {
        let _ = bytes(&data);
    }
    let _ = params.parse::<(RollupId, Named)>();
    let _ = params.one::<Value>().map(|which| which.as_u64());
    let _ = read_sealed_batch(params);
    let _ = params.one::<String>().map(|text| bytes(&text));
}

fn bytes(text: &str) -> Result<Bytes, ErrorObjectOwned> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text))
        .map(Bytes::from)
        .map_err(|e| error::invalid(&format!("not hexadecimal: {e}"), "send 0x-prefixed bytes"))
}

async fn submit(params: &Params<'_>, front: &Front) -> Result<Value, ErrorObjectOwned> {
    let (rollup, data): (RollupId, String) =
        params.parse().map_err(|e| error::invalid(e.message(), "send [rollup number, 0x-prefixed bytes]"))?;
    let data = bytes(&data)?;
    let answer = front.submit(vec![Transaction { rollup, data }]).await.into_iter().next();
    match answer.unwrap_or(Err(crate::admission::AdmissionError::NotReady)) {
        Ok(id) => Ok(json!({ "id": id })),
        Err(refusal) => Err(error::refused(&refusal)),
    }
}

fn status(front: &Front) -> Value {
    json!({
        "core": front.status(),
        "admission": front.valve.status(),
        "durable_height": front.handle.height(),
        "certified_height": front.handle.certified(),
        "chain_spec": front.chain_spec,
        "network": front.spec.network,
        "peers": (front.peers)(),
        "rollups": front.spec.rollups,
    })
}

async fn block(params: &Params<'_>, front: &Front) -> Result<Box<RawValue>, ErrorObjectOwned> {
    let hint = "send [height] or [\"latest\"]";
    let which: Value = params.one().map_err(|e| error::invalid(e.message(), hint))?;
    let height = match (&which, which.as_u64()) {
        (_, Some(height)) => Height::new(height),
        (Value::String(text), _) if text == "latest" => front.handle.height(),
        _ => return Err(error::invalid("not a height", hint)),
    };
    let read = async || front.read(move |store| rendered(store, height)).await;
    let mut found = read().await;
    // A height is told of before the index has it: whoever heard of it and asks must not be told otherwise.
    let newest = front.handle.height();
    let newer = height <= newest && height.get().saturating_add(MAX_INDEX_LAG) > newest.get();
    for _ in 0..MAX_INDEX_POLLS {
        if !newer || !matches!(found, Ok(None)) {
            break;
        }
        tokio::time::sleep(INDEX_POLL).await;
        found = read().await;
    }
    if let Some(text) = found.map_err(|e| error::unreadable(&e))? {
        return Ok(text);
    }
    let newest = front.handle.height();
    let range = front.read(|store| store.range()).await.map_err(|e| error::unreadable(&e))?;
    let what = match range {
        Some((first, _)) if height < first => {
            format!("block {height} is not held here any more; this node has blocks from height {first} on")
        }
        _ => format!("no block {height} here; the newest is {newest}"),
    };
    Err(error::not_found(&what, "ask for another height, or another validator for an old one"))
}

/// A whole block as text. Made where the store is read, by few threads at once: what hundreds of clients ask for together would otherwise
/// be in memory together, and hold up everybody's connections while it is written out.
fn rendered(store: &Reader, height: Height) -> Result<Option<Box<RawValue>>, StoreError> {
    let Some(decided) = store.decided(height)? else { return Ok(None) };
    let sections: Vec<Value> = decided
        .block
        .sections
        .iter()
        .map(|section| {
            let all: Vec<String> =
                section.transactions.iter().map(|t| format!("0x{}", hex::encode(t))).collect();
            json!({
                "rollup": section.rollup,
                "ids": decided.tree.leaves(section.rollup).unwrap_or_default(),
                "transactions": all,
            })
        })
        .collect();
    let block = json!({
        "header": decided.block.header,
        "hash": decided.certificate.header,
        "certificate": decided.certificate,
        "confirmation": store.confirmation(height)?,
        "sections": sections,
    });
    Ok(Some(to_raw_value(&block).expect("a JSON value is JSON")))
}

async fn proof(params: &Params<'_>, front: &Front) -> Result<Value, ErrorObjectOwned> {
    let (rollup, named): (RollupId, Named) = params.parse().map_err(|e| {
        error::invalid(e.message(), "send [rollup number, {\"id\": …}] or [rollup number, {\"hash\": …}]")
    })?;
    let read = front.read(move |store| match named {
        Named::Id { id } => store.find(rollup, id),
        Named::Hash { hash } => store.find_eth(rollup, hash),
    });
    let Some(found) = read.await.map_err(|e| error::unreadable(&e))? else {
        let what = "this transaction is not ordered, as far as this node knows";
        return Err(error::not_found(what, "ask again in a moment, or send it again"));
    };
    let Found { rollup, id, header, certificate, proof, confirmation } = found;
    Ok(json!({
        "rollup": rollup,
        "id": id,
        "header": header,
        "hash": certificate.header,
        "certificate": certificate,
        "proof": proof,
        "confirmation": confirmation,
    }))
}

/// What else is wanted of a sealed batch.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct With {
    /// Its bytes: at most 1.6 MB of hexadecimal.
    payload: bool,
}

async fn sealed_batch(params: &Params<'_>, front: &Front) -> Result<Box<RawValue>, ErrorObjectOwned> {
    let hint = "send [batch number] or [\"latest\"], and {\"payload\": true} behind it for the bytes";
    let (number, with) = read_sealed_batch(params).map_err(|what| error::invalid(&what, hint))?;
    let read = front.read(move |store| {
        let latest = || Ok(store.latest_sealed()?.map(|header| header.number));
        match number.map_or_else(latest, |number| Ok(Some(number)))? {
            Some(number) => Ok(store.sealed(number)?.map(|batch| rendered_batch(&batch, &with))),
            None => Ok(None),
        }
    });
    read.await.map_err(|e| error::unreadable(&e))?.ok_or_else(|| {
        let hint = "ask again in a moment for a new one, or another validator for an old one";
        error::not_found("no such sealed batch here", hint)
    })
}

/// Number, if not the latest, and what is wanted.
fn read_sealed_batch(params: &Params<'_>) -> Result<(Option<u64>, With), String> {
    let invalid = |error: ErrorObjectOwned| error.message().to_owned();
    let mut all = params.sequence();
    let which: Value = all.next().map_err(invalid)?;
    let with = all.optional_next().map_err(invalid)?.unwrap_or_default();
    match (&which, which.as_u64()) {
        (_, Some(number)) => Ok((Some(number), with)),
        (Value::String(text), _) if text == "latest" => Ok((None, with)),
        _ => Err("not a batch number".to_owned()),
    }
}

/// A sealed batch as it is told.
#[derive(Serialize)]
struct ToldBatch<'a> {
    header: &'a BatchHeader,
    id: Digest,
    blob_hashes: Vec<Digest>,
    calldata_hash: Digest,
    inline_hash: Digest,
    payload_bytes: usize,
    signature: &'a ordering_types::GroupSignature,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

/// As text, where the store is read: see [`rendered`].
fn rendered_batch(SealedBatch { header, encoded, signature }: &SealedBatch, with: &With) -> Box<RawValue> {
    let Carrier { blob_hashes, calldata_hash, inline_hash } = encoded.carrier();
    let payload = with.payload.then(|| format!("0x{}", hex::encode(&encoded.payload)));
    let (id, payload_bytes) = (header.id(), encoded.payload.len());
    let told =
        ToldBatch { header, id, blob_hashes, calldata_hash, inline_hash, payload_bytes, signature, payload };
    to_raw_value(&told).expect("a batch has a JSON form")
}

/// Headers as they are ordered and certified. A reader that lags is told so and cut.
async fn follow(
    params: &Params<'_>,
    pending: PendingSubscriptionSink,
    front: Arc<Front>,
) -> SubscriptionResult {
    if params.as_str().is_some() && params.parse::<[Value; 0]>().is_err() {
        let hint = "send none; ask seq_block for the transactions of a height";
        pending.reject(error::invalid("seq_subscribe takes no parameters", hint)).await;
        return Ok(());
    }
    let mut events = front.handle.subscribe();
    let sink = pending.accept().await?;
    loop {
        let news = tokio::select! {
            () = sink.closed() => return Ok(()),
            event = events.recv() => match event {
                Ok(Event::Ordered(decided)) => {
                    News::Ordered { header: decided.block.header.clone(), hash: decided.certificate.header }
                }
                Ok(Event::Certified(c)) => {
                    News::Certified { height: c.height, hash: c.header, signature: c.signature }
                }
                Err(RecvError::Lagged(_)) => return Err("too slow; subscribe again and fill the gap with seq_block".into()),
                Err(RecvError::Closed) => return Ok(()),
            },
        };
        let message = SubscriptionMessage::from(to_raw_value(&news)?);
        sink.send(message).await?;
    }
}
