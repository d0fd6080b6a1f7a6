//! Settings of `batcher op`, from a TOML file, the environment and flags; the later of these wins.
//!
//! ```toml
//! chain_spec = "chain-spec.toml"             # the network's genesis file
//! rollup = 1                                 # the rollup's number there
//! nodes = ["127.0.0.1:9201"]                 # client ports of nodes, host:port
//! execution = ["http://127.0.0.1:9545"]      # the rollup's execution node, JSON-RPC
//! l1 = ["http://127.0.0.1:8545"]             # JSON-RPC endpoints of the L1, in order of preference
//! inbox = "0xff00…"                          # batch inbox address of the rollup's configuration
//! keystore = "op.json"                       # Ethereum keystore of the rollup's batcher, mode 600; of no other program
//! password_file = "op.password"              # its password, mode 600
//! l1_slot_ms = 12000                         # time between L1 blocks
//! channel_ms = 60000                         # longest time until a block goes to L1
//! patience_ms = 768000                       # default: 64 slots; what is not derived by then is posted again
//! order_from = 1                             # height that the order is read from; default: found by time
//! max_fee_gwei = 500                         # never pay more per gas
//! max_blob_fee_gwei = 500                    # never pay more per blob gas
//! metrics = "127.0.0.1:9502"                 # /metrics, /livez, /readyz, /status; "off" for none
//! ```
//!
//! Relative paths in the file are relative to the file. Every key is also an environment variable (`BATCHER_OP_L1`, lists with
//! commas) and a flag (`--l1`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::Address;
use clap::{CommandFactory, Parser};
use ordering_types::{ChainSpec, Height, RollupId};
use serde::Deserialize;

use super::feeder::Plan;
use crate::config::ConfigError;
use crate::config::values::{chain_spec, endpoints, limits, metrics, nonempty, poll, read_toml, slot};
use crate::txm::Limits;

/// Slots until what is posted must be read: two epochs of L1, after which it is final.
const PATIENCE_SLOTS: u32 = 64;
/// Where metrics are served if nothing else is said: beside the other program's.
const DEFAULT_METRICS: &str = "127.0.0.1:9502";

/// The command line; each key may come from the file as well.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "batcher op",
    version,
    about = "Carries the blocks of an OP Stack rollup to its inbox. What L1 has then is what this program's key says: no committee signs it."
)]
pub struct Flags {
    /// TOML file with settings; flags and BATCHER_OP_* variables win over it.
    #[arg(long, env = "BATCHER_OP_CONFIG")]
    pub config: Option<PathBuf>,
    /// Settings by flag.
    #[command(flatten)]
    pub settings: Settings,
    /// Stop when standard input ends: for a parent process that must leave no child behind.
    #[arg(long)]
    pub exit_on_stdin_eof: bool,
}

/// Settings that may come from any source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The network's genesis file.
    #[arg(long, env = "BATCHER_OP_CHAIN_SPEC")]
    pub chain_spec: Option<PathBuf>,
    /// Number of the rollup in the genesis file.
    #[arg(long, env = "BATCHER_OP_ROLLUP")]
    pub rollup: Option<u32>,
    /// Client ports of nodes (host:port), separated by commas.
    #[arg(long, env = "BATCHER_OP_NODES", value_delimiter = ',')]
    pub nodes: Option<Vec<String>>,
    /// JSON-RPC endpoints of the rollup's execution node, in order of preference, separated by commas.
    #[arg(long, env = "BATCHER_OP_EXECUTION", value_delimiter = ',', hide_env_values = true)]
    pub execution: Option<Vec<String>>,
    /// JSON-RPC endpoints of the L1, in order of preference, separated by commas.
    #[arg(long, env = "BATCHER_OP_L1", value_delimiter = ',', hide_env_values = true)]
    pub l1: Option<Vec<String>>,
    /// Batch inbox address of the rollup's configuration.
    #[arg(long, env = "BATCHER_OP_INBOX")]
    pub inbox: Option<Address>,
    /// Ethereum keystore of the rollup's batcher, used by nothing else.
    #[arg(long, env = "BATCHER_OP_KEYSTORE")]
    pub keystore: Option<PathBuf>,
    /// File with the keystore's password.
    #[arg(long, env = "BATCHER_OP_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
    /// Milliseconds between L1 blocks.
    #[arg(long, env = "BATCHER_OP_L1_SLOT_MS")]
    pub l1_slot_ms: Option<u64>,
    /// Milliseconds after which a block goes to L1 at latest.
    #[arg(long, env = "BATCHER_OP_CHANNEL_MS")]
    pub channel_ms: Option<u64>,
    /// Milliseconds after which blocks that derivation has not read are posted again.
    #[arg(long, env = "BATCHER_OP_PATIENCE_MS")]
    pub patience_ms: Option<u64>,
    /// Height that the order is read from; found by time if not set.
    #[arg(long, env = "BATCHER_OP_ORDER_FROM")]
    pub order_from: Option<u64>,
    /// Most gwei per gas.
    #[arg(long, env = "BATCHER_OP_MAX_FEE_GWEI")]
    pub max_fee_gwei: Option<u64>,
    /// Most gwei per blob gas.
    #[arg(long, env = "BATCHER_OP_MAX_BLOB_FEE_GWEI")]
    pub max_blob_fee_gwei: Option<u64>,
    /// Where to serve /metrics, /livez, /readyz and /status, or "off".
    #[arg(long, env = "BATCHER_OP_METRICS")]
    pub metrics: Option<String>,
}

/// Everything that must be known.
#[derive(Clone, Debug)]
pub struct Config {
    /// The network.
    pub spec: Arc<ChainSpec>,
    /// Execution endpoints.
    pub execution: Vec<String>,
    /// L1 endpoints.
    pub l1: Vec<String>,
    /// Where frames go.
    pub inbox: Address,
    /// Keystore file.
    pub keystore: PathBuf,
    /// Password file.
    pub password_file: PathBuf,
    /// What is fed, and how patiently.
    pub plan: Plan,
    /// Limits of the transaction manager.
    pub limits: Limits,
    /// Where metrics are served, if at all.
    pub metrics: Option<SocketAddr>,
}

/// Puts all sources together. `variables`: names of the environment's variables, to find misspelt ones.
pub fn load(flags: Flags, variables: impl Iterator<Item = String>) -> Result<Config, ConfigError> {
    let command = Flags::command();
    let known = |name: &str| {
        command.get_arguments().any(|argument| argument.get_env().is_some_and(|env| env == name))
    };
    for name in variables {
        if name.starts_with("BATCHER_OP_") && !known(&name) {
            return Err(ConfigError::UnknownVariable(name));
        }
    }
    let file = flags.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
    build(flags.settings.or(file))
}

fn read_file(path: &Path) -> Result<Settings, ConfigError> {
    let mut settings: Settings = read_toml(path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let paths = [&mut settings.chain_spec, &mut settings.keystore, &mut settings.password_file];
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
            rollup: self.rollup.or(other.rollup),
            nodes: self.nodes.or(other.nodes),
            execution: self.execution.or(other.execution),
            l1: self.l1.or(other.l1),
            inbox: self.inbox.or(other.inbox),
            keystore: self.keystore.or(other.keystore),
            password_file: self.password_file.or(other.password_file),
            l1_slot_ms: self.l1_slot_ms.or(other.l1_slot_ms),
            channel_ms: self.channel_ms.or(other.channel_ms),
            patience_ms: self.patience_ms.or(other.patience_ms),
            order_from: self.order_from.or(other.order_from),
            max_fee_gwei: self.max_fee_gwei.or(other.max_fee_gwei),
            max_blob_fee_gwei: self.max_blob_fee_gwei.or(other.max_blob_fee_gwei),
            metrics: self.metrics.or(other.metrics),
        }
    }
}

fn build(settings: Settings) -> Result<Config, ConfigError> {
    let missing = ConfigError::Missing;
    let spec = chain_spec(settings.chain_spec)?;
    let rollup = RollupId::new(settings.rollup.ok_or(missing("rollup"))?);
    let chain_id = spec.rollup(rollup).map(|known| known.chain_id).ok_or_else(|| ConfigError::Value {
        key: "rollup",
        why: format!("the chain specification has no rollup {rollup}"),
    })?;
    let slot = slot(settings.l1_slot_ms)?;
    let plan = Plan {
        rollup,
        chain_id,
        endpoints: nonempty("nodes", settings.nodes)?,
        order_from: settings.order_from.map(|height| Height::new(height.max(1))),
        longest: Duration::from_millis(settings.channel_ms.unwrap_or(60_000)),
        patience: settings.patience_ms.map_or(slot * PATIENCE_SLOTS, Duration::from_millis),
        poll: poll(slot),
    };
    Ok(Config {
        spec: Arc::new(spec),
        execution: nonempty("execution", settings.execution)?,
        l1: endpoints(settings.l1)?,
        inbox: settings.inbox.ok_or(missing("inbox"))?,
        keystore: settings.keystore.ok_or(missing("keystore"))?,
        password_file: settings.password_file.ok_or(missing("password_file"))?,
        plan,
        limits: limits(slot, settings.max_fee_gwei, settings.max_blob_fee_gwei),
        metrics: metrics(settings.metrics, DEFAULT_METRICS)?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ordering_types::chain_spec::{DataPolicy, Rollup, RollupKind, Validator};
    use ordering_types::{SecretKey, ValidatorId};

    use super::*;

    fn spec() -> ChainSpec {
        let validator = |n: u8| Validator {
            id: ValidatorId::new(n.into()),
            key: SecretKey::from_bytes([n; 32]).unwrap().public_key(),
            address: String::new(),
        };
        let rollup = Rollup {
            id: RollupId::new(1),
            name: "one".to_owned(),
            kind: RollupKind::Evm,
            chain_id: 9_001,
            data: DataPolicy::Committee,
            quota_bytes_per_block: 1,
        };
        let validators = (1..=4).map(validator).collect();
        ChainSpec { validators, rollups: vec![rollup], ..ChainSpec::default() }
    }

    /// Every key that has no default, and this one.
    fn with_metrics(metrics: Option<&str>) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let chain_spec = folder.path().join("chain-spec.toml");
        std::fs::write(&chain_spec, toml::to_string(&spec()).unwrap()).unwrap();
        let (somewhere, file) = (Some(vec!["http://127.0.0.1:1".to_owned()]), Some(PathBuf::from("file")));
        build(Settings {
            chain_spec: Some(chain_spec),
            rollup: Some(1),
            nodes: somewhere.clone(),
            execution: somewhere.clone(),
            l1: somewhere,
            inbox: Some(Address::ZERO),
            keystore: file.clone(),
            password_file: file,
            metrics: metrics.map(str::to_owned),
            ..Settings::default()
        })
    }

    #[test]
    fn metrics_are_beside_the_other_programs_or_where_it_is_said_or_nowhere() {
        let address = |metrics| with_metrics(metrics).unwrap().metrics;
        assert_eq!(address(None), Some(([127, 0, 0, 1], 9_502).into()));
        assert_eq!(address(Some("0.0.0.0:80")), Some(([0, 0, 0, 0], 80).into()));
        assert_eq!(address(Some("off")), None);
        let error = with_metrics(Some("nowhere")).unwrap_err().to_string();
        assert_eq!(error, "metrics: \"nowhere\" is no address such as 127.0.0.1:9502, nor \"off\"");
    }

    fn try_file(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("op.toml");
        std::fs::write(&path, text).unwrap();
        let flags = Flags { config: Some(path), ..Flags::default() };
        load(flags, std::iter::empty())
    }

    #[test]
    fn mistakes_are_named() {
        for (text, wanted) in [
            ("l2 = []", "l2"),
            ("inbox = \"0x12\"", "inbox"),
            ("", "chain_spec is not set"),
            ("chain_spec = \"none.toml\"", "none.toml"),
        ] {
            let error = try_file(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let error = load(Flags::default(), ["BATCHER_OP_TYPO".to_owned()].into_iter()).unwrap_err();
        assert!(error.to_string().contains("BATCHER_OP_TYPO"), "{error}");
        let others = ["BATCHER_OP_L1".to_owned(), "BATCHER_L1".to_owned(), "PATH".to_owned()];
        let error = load(Flags::default(), others.into_iter()).unwrap_err();
        assert!(error.to_string().contains("chain_spec"), "{error}");
    }

    #[test]
    fn flags_win_over_the_file_and_every_key_has_a_variable() {
        let flag = Settings { rollup: Some(1), ..Settings::default() };
        let metrics = Some("off".to_owned());
        let file = Settings { rollup: Some(2), order_from: Some(3), metrics, ..Settings::default() };
        let both = flag.or(file);
        assert_eq!((both.rollup, both.order_from), (Some(1), Some(3)));
        assert_eq!(both.metrics.as_deref(), Some("off"));
        let command = Flags::command();
        for argument in command.get_arguments().filter(|argument| argument.get_id() != "exit_on_stdin_eof") {
            let wanted = format!("BATCHER_OP_{}", argument.get_id().as_str().to_uppercase());
            assert_eq!(argument.get_env().unwrap(), wanted.as_str());
        }
    }
}
