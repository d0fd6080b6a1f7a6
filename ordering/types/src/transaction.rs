//! One transaction of one rollup. The network never looks inside: admission may, agreement does not.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Digest, RollupId, merkle};

/// Largest transaction that any rollup may allow, in bytes (geth's pool refuses more than 128 KiB, too).
pub const MAX_TRANSACTION_BYTES: usize = 128 * 1024;

/// Name of a transaction's bytes: its Merkle leaf hash, so that one hash serves lookup and proof.
/// The same bytes sent to two rollups have the same id; look-ups are by `(RollupId, TxId)`.
pub type TxId = Digest;

/// Opaque transaction bytes and the rollup they are for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The rollup.
    pub rollup: RollupId,
    /// Its bytes; for an `evm` rollup the EIP-2718 envelope.
    pub data: Bytes,
}

impl Transaction {
    /// Its id.
    pub fn id(&self) -> TxId {
        tx_id(&self.data)
    }
}

/// The id of raw transaction bytes.
pub fn tx_id(data: &[u8]) -> TxId {
    merkle::leaf(&[data])
}
