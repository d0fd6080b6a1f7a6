//! The node's configuration: a TOML file, overridden by `SEQUENCER_*` variables, overridden by flags.
//!
//! Relative paths are relative to the file. Nothing secret stands in it.

mod load;
mod nearest;
mod template;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::network::Congestion;

#[cfg(feature = "fuzzing")]
pub(crate) use load::parse_any;
pub(crate) use load::{Overrides, check_retention, load, load_chain_spec};
pub(crate) use template::template;

/// Lowest cache for the index that still works.
pub(crate) const MIN_CACHE_MIB: u32 = 4;
/// Highest.
pub(crate) const MAX_CACHE_MIB: u32 = 4_096;
/// Fewest blocks kept: peers that were away for a moment catch up from them.
pub(crate) const MIN_RETAIN_BLOCKS: u64 = 8_192;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Folder of the node's state.
    pub(crate) data_dir: PathBuf,
    /// The genesis file.
    pub(crate) chain_spec: PathBuf,
    /// The node key.
    pub(crate) key: KeyConfig,
    /// Towards the other validators.
    pub(crate) network: NetworkConfig,
    /// QUIC towards rollups.
    pub(crate) ingress: IngressConfig,
    /// JSON-RPC.
    pub(crate) rpc: RpcConfig,
    /// Health and metrics.
    pub(crate) metrics: ListenConfig,
    /// The L1.
    pub(crate) l1: L1Config,
    /// The disk.
    pub(crate) store: StoreConfig,
    /// When new transactions are admitted more slowly.
    pub(crate) admission: AdmissionConfig,
    /// What is logged.
    pub(crate) log: LogConfig,
    /// Execution endpoints by EVM chain id: `eth_*` calls that the sequencer does not answer itself are named there.
    pub(crate) execution: BTreeMap<String, String>,
}

/// The node key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct KeyConfig {
    /// The encrypted key file.
    pub(crate) file: PathBuf,
    /// File with its password; without one the node asks on the terminal.
    pub(crate) password_file: Option<PathBuf>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenConfig {
    /// IP address and port.
    pub(crate) listen: SocketAddr,
}

/// Towards the other validators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NetworkConfig {
    /// IP address and UDP port of libp2p, as the genesis file names it.
    pub(crate) listen: SocketAddr,
    /// IP address and UDP port for chunks; without one, any free port of the same address.
    pub(crate) chunks_listen: Option<SocketAddr>,
    /// The port for chunks that the others are told, if they reach this node under another one.
    pub(crate) chunks_announce: Option<u16>,
    /// How the sending rate of chunks is found.
    pub(crate) congestion: Congestion,
}

impl NetworkConfig {
    /// Where chunks are taken.
    pub(crate) fn chunks(&self) -> SocketAddr {
        self.chunks_listen.unwrap_or_else(|| SocketAddr::new(self.listen.ip(), 0))
    }
}

/// QUIC towards rollups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IngressConfig {
    /// IP address and UDP port.
    pub(crate) listen: SocketAddr,
    /// Most connections at once.
    pub(crate) max_connections: u32,
}

/// JSON-RPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RpcConfig {
    /// IP address and TCP port.
    pub(crate) listen: SocketAddr,
    /// Most connections at once.
    pub(crate) max_connections: u32,
}

/// The L1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct L1Config {
    /// HTTP or HTTPS endpoint; none: the node orders without looking at L1.
    pub(crate) endpoint: Option<String>,
    /// Keystore of an account that takes evidence of double votes to the registry; none: people do that.
    pub(crate) slash_key_file: Option<PathBuf>,
    /// File with its password.
    pub(crate) slash_password_file: Option<PathBuf>,
}

/// The disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoreConfig {
    /// Cache of the index, MiB.
    pub(crate) cache_mib: u32,
    /// Blocks kept; 0 keeps all.
    pub(crate) retain_blocks: u64,
    /// Days that sealed batches are kept after their last block; 0 keeps them for ever.
    pub(crate) archive_days: u32,
    /// Most GiB of sealed batches whose blocks are forgotten; 0 is any number.
    pub(crate) archive_gib: u32,
}

/// When new transactions are admitted more slowly: see [`pressure`](crate::pressure). The first threshold of a pair slows, the second stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdmissionConfig {
    /// Bytes of sealed batches that L1 lacks.
    pub(crate) slow_unposted_bytes: u64,
    /// The same.
    pub(crate) stop_unposted_bytes: u64,
    /// So many batches that L1 lacks slow admission; they never stop it.
    pub(crate) slow_unposted_batches: u64,
    /// So does their age, in seconds.
    pub(crate) slow_unposted_s: u64,
    /// Bytes that the disk has left.
    pub(crate) slow_free_disk_bytes: u64,
    /// The same.
    pub(crate) stop_free_disk_bytes: u64,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// How.
    pub(crate) format: LogFormat,
    /// `tracing` filter, such as `info` or `sequencer_node::network=debug,info`.
    pub(crate) filter: String,
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "data".into(),
            chain_spec: "genesis.toml".into(),
            key: KeyConfig::default(),
            network: NetworkConfig::default(),
            ingress: IngressConfig::default(),
            rpc: RpcConfig::default(),
            metrics: ListenConfig { listen: loopback(9_401) },
            l1: L1Config::default(),
            store: StoreConfig::default(),
            admission: AdmissionConfig::default(),
            log: LogConfig::default(),
            execution: BTreeMap::new(),
        }
    }
}

impl Default for KeyConfig {
    fn default() -> Self {
        Self { file: "key.json".into(), password_file: None }
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        let congestion = Congestion::default();
        Self { listen: loopback(9_101), chunks_listen: None, chunks_announce: None, congestion }
    }
}

impl Default for IngressConfig {
    fn default() -> Self {
        Self { listen: loopback(9_201), max_connections: 1_024 }
    }
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self { listen: loopback(9_301), max_connections: 512 }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        // L1 keeps blobs for 18 days at least. A validator without disk space is worse than a short archive.
        Self { cache_mib: 64, retain_blocks: 200_000, archive_days: 90, archive_gib: 100 }
    }
}

impl Default for AdmissionConfig {
    /// L1 with 21 blobs a block takes some 13 MB a minute, so the first 256 MiB are half an hour of its work. An idle network makes 900 batches an hour.
    fn default() -> Self {
        Self {
            slow_unposted_bytes: 256 << 20,
            stop_unposted_bytes: 1 << 30,
            slow_unposted_batches: 900,
            slow_unposted_s: 3_600,
            slow_free_disk_bytes: 4 << 30,
            stop_free_disk_bytes: 1 << 30,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        // The consensus library tells every vote at level info: hundreds of megabytes an hour.
        Self { format: LogFormat::Human, filter: "info,arc_malachitebft_core_consensus=warn".to_owned() }
    }
}
