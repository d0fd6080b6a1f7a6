//! Settings from a TOML file, the environment and flags; the later of these wins.
//!
//! ```toml
//! chain_spec = "chain-spec.toml"             # the network's genesis file
//! l1 = ["http://127.0.0.1:8545"]             # JSON-RPC endpoints, in order of preference; three outvote one that lies
//! nodes = ["127.0.0.1:9201"]                 # client ports of nodes, host:port
//! keystore = "batcher.json"                  # Ethereum keystore of the paying account, mode 600
//! password_file = "batcher.password"         # its password, mode 600
//! calldata_keystore = "calldata.json"        # another account: calldata where it is cheaper than blobs; default: blobs alone
//! calldata_password_file = "batcher.password" # default: password_file
//! index = 0                                  # this batcher among `count`, from 0
//! count = 1
//! metrics = "127.0.0.1:9501"                 # /metrics, /livez, /readyz, /status; "off" for none
//! l1_slot_ms = 12000                         # time between L1 blocks
//! takeover_ms = 9000                         # default: three quarters of a slot
//! max_fee_gwei = 500                         # never pay more per gas
//! max_blob_fee_gwei = 500                    # never pay more per blob gas
//! ```
//!
//! Relative paths in the file are relative to the file. Every key is also an environment variable (`BATCHER_L1`,
//! lists with commas) and a flag (`--l1`).

mod sources;
pub(crate) mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ordering_types::ChainSpec;

pub use self::sources::{Flags, load};
use crate::turn::{InvalidRotation, Rotation};
use crate::txm::Limits;

/// Why the settings are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Unknown key, wrong type, not TOML.
    #[error("{path}: {why}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Where and what, by the parser.
        why: String,
    },
    /// An environment variable that means nothing.
    #[error("environment variable {0} is no setting of the batcher")]
    UnknownVariable(String),
    /// A setting without a value.
    #[error("{0} is not set: put it into the file, or use --{flag}", flag = .0.replace('_', "-"))]
    Missing(&'static str),
    /// A value that cannot be.
    #[error("{key}: {why}")]
    Value {
        /// Which setting.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Index and count.
    #[error(transparent)]
    Rotation(#[from] InvalidRotation),
}

/// Everything a batcher must know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The network.
    pub spec: Arc<ChainSpec>,
    /// L1 endpoints.
    pub l1: Vec<String>,
    /// Node endpoints, `host:port`.
    pub nodes: Vec<String>,
    /// Keystore file.
    pub keystore: PathBuf,
    /// Password file.
    pub password_file: PathBuf,
    /// Keystore and password file of the account for calldata, if there is one.
    pub calldata_keystore: Option<(PathBuf, PathBuf)>,
    /// Place among the batchers.
    pub rotation: Rotation,
    /// Where metrics are served, if at all.
    pub metrics: Option<SocketAddr>,
    /// Time between L1 blocks.
    pub slot: Duration,
    /// Limits of the transaction manager.
    pub limits: Limits,
}
