//! Where settings come from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde::Deserialize;

use super::values::{chain_spec, endpoints, limits, metrics, nonempty, read_toml, slot};
use super::{Config, ConfigError};
use crate::turn::Rotation;

/// Where metrics are served if nothing else is said.
const DEFAULT_METRICS: &str = "127.0.0.1:9501";

/// Settings that may come from any source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The network's genesis file.
    #[arg(long, env = "BATCHER_CHAIN_SPEC")]
    pub chain_spec: Option<PathBuf>,
    /// JSON-RPC endpoints of the L1, in order of preference, separated by commas.
    #[arg(long, env = "BATCHER_L1", value_delimiter = ',', hide_env_values = true)]
    pub l1: Option<Vec<String>>,
    /// Client ports of nodes (host:port), separated by commas.
    #[arg(long, env = "BATCHER_NODES", value_delimiter = ',')]
    pub nodes: Option<Vec<String>>,
    /// Ethereum keystore of the paying account.
    #[arg(long, env = "BATCHER_KEYSTORE")]
    pub keystore: Option<PathBuf>,
    /// File with the keystore's password.
    #[arg(long, env = "BATCHER_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
    /// Ethereum keystore of another account, which pays for calldata where that is cheaper than blobs; without it there are only blobs.
    #[arg(long, env = "BATCHER_CALLDATA_KEYSTORE")]
    pub calldata_keystore: Option<PathBuf>,
    /// File with that keystore's password; default: the same as the other's.
    #[arg(long, env = "BATCHER_CALLDATA_PASSWORD_FILE")]
    pub calldata_password_file: Option<PathBuf>,
    /// Place of this batcher among `count`, from 0.
    #[arg(long, env = "BATCHER_INDEX")]
    pub index: Option<u64>,
    /// Number of batchers.
    #[arg(long, env = "BATCHER_COUNT")]
    pub count: Option<u64>,
    /// Where to serve /metrics, /livez, /readyz and /status, or "off".
    #[arg(long, env = "BATCHER_METRICS")]
    pub metrics: Option<String>,
    /// Milliseconds between L1 blocks.
    #[arg(long, env = "BATCHER_L1_SLOT_MS")]
    pub l1_slot_ms: Option<u64>,
    /// Milliseconds after which the next batcher takes over a batch that stays unposted.
    #[arg(long, env = "BATCHER_TAKEOVER_MS")]
    pub takeover_ms: Option<u64>,
    /// Most gwei per gas.
    #[arg(long, env = "BATCHER_MAX_FEE_GWEI")]
    pub max_fee_gwei: Option<u64>,
    /// Most gwei per blob gas.
    #[arg(long, env = "BATCHER_MAX_BLOB_FEE_GWEI")]
    pub max_blob_fee_gwei: Option<u64>,
}

/// The command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "batcher",
    version,
    about = "Carries signed batches to Ethereum.",
    after_help = "batcher op [OPTIONS]: carries the blocks of an OP Stack rollup to its own inbox; see batcher op --help."
)]
pub struct Flags {
    /// TOML file with settings; flags and BATCHER_* variables win over it.
    #[arg(long, env = "BATCHER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Settings by flag.
    #[command(flatten)]
    pub settings: Settings,
    /// Stop when standard input ends: for a parent process that must leave no child behind.
    #[arg(long)]
    pub exit_on_stdin_eof: bool,
}

/// Names of all `BATCHER_*` variables.
const VARIABLES: [&str; 15] = [
    "BATCHER_CONFIG",
    "BATCHER_CHAIN_SPEC",
    "BATCHER_L1",
    "BATCHER_NODES",
    "BATCHER_KEYSTORE",
    "BATCHER_PASSWORD_FILE",
    "BATCHER_CALLDATA_KEYSTORE",
    "BATCHER_CALLDATA_PASSWORD_FILE",
    "BATCHER_INDEX",
    "BATCHER_COUNT",
    "BATCHER_METRICS",
    "BATCHER_L1_SLOT_MS",
    "BATCHER_TAKEOVER_MS",
    "BATCHER_MAX_FEE_GWEI",
    "BATCHER_MAX_BLOB_FEE_GWEI",
];

/// Puts all sources together. `variables`: names of the environment's variables, to find misspelt ones.
pub fn load(flags: Flags, variables: impl Iterator<Item = String>) -> Result<Config, ConfigError> {
    for name in variables {
        if name.starts_with("BATCHER_") && !VARIABLES.contains(&name.as_str()) {
            return Err(ConfigError::UnknownVariable(name));
        }
    }
    let file = flags.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
    build(flags.settings.or(file))
}

fn read_file(path: &Path) -> Result<Settings, ConfigError> {
    let mut settings: Settings = read_toml(path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let paths = [
        &mut settings.chain_spec,
        &mut settings.keystore,
        &mut settings.password_file,
        &mut settings.calldata_keystore,
        &mut settings.calldata_password_file,
    ];
    for relative in paths.into_iter().flatten() {
        *relative = folder.join(&*relative);
    }
    Ok(settings)
}

impl Settings {
    /// Fills what is missing from `other`.
    fn or(self, other: Self) -> Self {
        Self {
            chain_spec: self.chain_spec.or(other.chain_spec),
            l1: self.l1.or(other.l1),
            nodes: self.nodes.or(other.nodes),
            keystore: self.keystore.or(other.keystore),
            password_file: self.password_file.or(other.password_file),
            calldata_keystore: self.calldata_keystore.or(other.calldata_keystore),
            calldata_password_file: self.calldata_password_file.or(other.calldata_password_file),
            index: self.index.or(other.index),
            count: self.count.or(other.count),
            metrics: self.metrics.or(other.metrics),
            l1_slot_ms: self.l1_slot_ms.or(other.l1_slot_ms),
            takeover_ms: self.takeover_ms.or(other.takeover_ms),
            max_fee_gwei: self.max_fee_gwei.or(other.max_fee_gwei),
            max_blob_fee_gwei: self.max_blob_fee_gwei.or(other.max_blob_fee_gwei),
        }
    }
}

fn build(settings: Settings) -> Result<Config, ConfigError> {
    let missing = ConfigError::Missing;
    let spec = chain_spec(settings.chain_spec)?;
    let slot = slot(settings.l1_slot_ms)?;
    let takeover = settings.takeover_ms.map_or(slot * 3 / 4, Duration::from_millis);
    let password_file = settings.password_file.ok_or(missing("password_file"))?;
    let calldata_password = settings.calldata_password_file.unwrap_or_else(|| password_file.clone());
    Ok(Config {
        spec: Arc::new(spec),
        l1: endpoints(settings.l1)?,
        nodes: nonempty("nodes", settings.nodes)?,
        keystore: settings.keystore.ok_or(missing("keystore"))?,
        password_file,
        calldata_keystore: settings.calldata_keystore.map(|keystore| (keystore, calldata_password)),
        rotation: Rotation::new(settings.index.unwrap_or(0), settings.count.unwrap_or(1), takeover)?,
        metrics: metrics(settings.metrics, DEFAULT_METRICS)?,
        slot,
        limits: limits(slot, settings.max_fee_gwei, settings.max_blob_fee_gwei),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn try_file(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("batcher.toml");
        std::fs::write(&path, text).unwrap();
        let flags = Flags { config: Some(path), settings: Settings::default(), exit_on_stdin_eof: false };
        load(flags, std::iter::empty())
    }

    #[test]
    fn mistakes_are_named() {
        for (text, wanted) in [
            ("l2 = []", "l2"),
            ("index = \"one\"", "index"),
            ("", "chain_spec is not set"),
            ("chain_spec = \"none.toml\"", "none.toml"),
        ] {
            let error = try_file(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let flags = Flags::parse_from(["batcher"]);
        let error = load(flags, ["BATCHER_TYPO".to_owned()].into_iter()).unwrap_err();
        assert!(error.to_string().contains("BATCHER_TYPO"));
    }

    #[test]
    fn flags_win_over_the_file_and_every_flag_has_a_variable() {
        let flag = Settings { index: Some(1), ..Settings::default() };
        let file = Settings { index: Some(0), count: Some(2), ..Settings::default() };
        let both = flag.or(file);
        assert_eq!((both.index, both.count), (Some(1), Some(2)));
        let command = <Flags as clap::CommandFactory>::command();
        let named: Vec<String> = command
            .get_arguments()
            .filter_map(|argument| Some(argument.get_env()?.to_str().unwrap().to_owned()))
            .collect();
        assert_eq!(named, VARIABLES);
    }
}
