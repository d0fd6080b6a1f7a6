//! The block header: what the committee votes on, signs, and what a light client needs.
//!
//! ```text
//!   "mpc-sequencer/header/2" │ u16 version │ 32 chain spec │ u64 epoch │ u64 height │ 32 parent │ u64 time (ms)
//!   │ u64 L1 number │ 32 L1 hash │ u64 forced cursor │ 32 cut │ 32 tx_root │ u32 tx_count │ 32 state_root │ u8 seals_batch
//! ```
//!
//! The hash is SHA-256 over this layout. It is also the *value id* of consensus, so a commit certificate proves
//! the header directly.

use serde::{Deserialize, Serialize};

use crate::{Digest, Epoch, Height};

/// Version of the protocol that this code speaks.
pub const PROTOCOL_VERSION: u16 = 1;

const DOMAIN: &[u8] = b"mpc-sequencer/header/2";

/// A finalized L1 block that the committee agreed to look at; all zero until there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct L1Reference {
    /// L1 block number.
    pub number: u64,
    /// L1 block hash.
    pub hash: Digest,
}

/// Header of one block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Protocol version of the block.
    pub version: u16,
    /// Hash of the chain specification.
    pub chain_spec: Digest,
    /// Epoch whose committee decided it.
    pub epoch: Epoch,
    /// Its height.
    pub height: Height,
    /// Header hash of the block before; zero for height 1.
    pub parent: Digest,
    /// Milliseconds since the Unix epoch, never decreasing.
    pub time_ms: u64,
    /// The L1 block that the committee looked at.
    pub l1_reference: L1Reference,
    /// Entries of the forced-inclusion queue that the blocks up to this one have consumed.
    pub forced_cursor: u64,
    /// SHA-256 of the decided cut's bytes.
    pub cut: Digest,
    /// Merkle root over rollups, each a Merkle root over its transactions.
    pub tx_root: Digest,
    /// Number of transactions of all rollups.
    pub tx_count: u32,
    /// Commitment to all that replay needs: lane tips, duplicate window, cursors.
    pub state_root: Digest,
    /// Whether this block is the last of a batch.
    pub seals_batch: bool,
}

impl Header {
    /// SHA-256 over the fixed layout.
    pub fn hash(&self) -> Digest {
        Digest::sha256(&[
            DOMAIN,
            &self.version.to_be_bytes(),
            self.chain_spec.as_ref(),
            &self.epoch.get().to_be_bytes(),
            &self.height.get().to_be_bytes(),
            self.parent.as_ref(),
            &self.time_ms.to_be_bytes(),
            &self.l1_reference.number.to_be_bytes(),
            self.l1_reference.hash.as_ref(),
            &self.forced_cursor.to_be_bytes(),
            self.cut.as_ref(),
            self.tx_root.as_ref(),
            &self.tx_count.to_be_bytes(),
            self.state_root.as_ref(),
            &[u8::from(self.seals_batch)],
        ])
    }
}
