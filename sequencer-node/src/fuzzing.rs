//! What fuzz targets call: readers that nobody else may reach. Each panics if a rule is broken that holds for any bytes.

use std::path::Path;

use bytes::Bytes;
use jsonrpsee::types::Params;
use ordering_types::{ChainSpec, RollupId, Transaction};

use crate::{admission, config, evidence, keys, network, rpc, store};

pub use crate::store::fuzzing::Damage;

/// A stream of another validator; `class` modulo four.
pub fn peer_stream(input: &[u8], class: u8) {
    network::fuzzing::stream(input, class);
}

/// A client's transaction.
pub fn admit(spec: &ChainSpec, rollup: RollupId, data: &[u8]) -> bool {
    admission::check(spec, &Transaction { rollup, data: Bytes::copy_from_slice(data) }).is_ok()
}

/// Parameters of each JSON-RPC method.
pub fn json_rpc(parameters: &str) {
    rpc::parse_any(&Params::new(Some(parameters)));
}

/// A configuration, a genesis file, a key file or a file of evidence.
pub fn file(text: &str) {
    config::parse_any(text);
    keys::parse_any(text);
    evidence::parse_any(text);
}

/// The payload of a journal's record.
pub fn record(payload: &[u8]) {
    store::fuzzing::record(payload);
}

/// A journal that was written and then damaged; `folder` is the target's own.
pub fn journal(folder: &Path, records: &[&[u8]], damage: Damage) {
    store::fuzzing::journal(folder, records, damage);
}

/// A file that was never a journal's segment; `folder` is the target's own.
pub fn segment(folder: &Path, bytes: &[u8], good_head: bool) {
    store::fuzzing::segment(folder, bytes, good_head);
}

/// A file that was never a run of transaction ids; `folder` is the target's own.
pub fn run(folder: &Path, bytes: &[u8]) {
    store::fuzzing::run(folder, bytes);
}
