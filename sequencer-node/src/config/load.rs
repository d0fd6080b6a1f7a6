//! Reading the configuration, and saying exactly what is wrong with it.

use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use ordering_types::ChainSpec;
use serde::Serialize;

use super::{
    AdmissionConfig, Config, LogFormat, MAX_CACHE_MIB, MIN_CACHE_MIB, MIN_RETAIN_BLOCKS, nearest::nearest,
};

/// Most bytes of a config or genesis file that are read.
const MAX_FILE_BYTES: u64 = 1 << 20;
const ENV_PREFIX: &str = "SEQUENCER_";
const GENESIS_FILE: &str = "genesis file";

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file cannot be read.
    #[error("{what} {}: {source}{}", path.display(), hint(what, source))]
    Read {
        /// "config file" or [`GENESIS_FILE`].
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key that does not exist.
    #[error("{origin}: unknown key `{key}`{}", did_you_mean(nearest.as_deref()))]
    UnknownKey {
        /// The file, or the environment.
        origin: String,
        /// Full path of the key.
        key: String,
        /// The valid key that was probably meant.
        nearest: Option<String>,
    },
    /// A value of the wrong type.
    #[error("{origin}: key `{key}`: {why}")]
    Value {
        /// The file, or the environment.
        origin: String,
        /// Full path of the key.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// Not TOML.
    #[error("{origin}: {why}")]
    Syntax {
        /// The file.
        origin: String,
        /// What is wrong, with line and column.
        why: String,
    },
    /// The genesis file is not one.
    #[error("genesis file {}: {why}", path.display())]
    ChainSpec {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}

fn hint(what: &str, source: &io::Error) -> &'static str {
    match (source.kind(), what) {
        (io::ErrorKind::NotFound, GENESIS_FILE) => {
            "; put the one there that the other validators have, or name it with `chain_spec`"
        }
        (io::ErrorKind::NotFound, _) => "; `sequencer-node init` writes one",
        _ => "",
    }
}

/// What flags override.
#[derive(Clone, Debug, Default, Serialize, clap::Args)]
pub(crate) struct Overrides {
    /// Folder of the node's state
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The genesis file
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chain_spec: Option<PathBuf>,
    /// File with the key's password (mode 0600)
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub(crate) password_file: Option<PathBuf>,
    /// Address and UDP port towards the other validators
    #[arg(long, value_name = "IP:PORT")]
    #[serde(skip)]
    pub(crate) network_listen: Option<SocketAddr>,
    /// Address and UDP port towards rollups
    #[arg(long, value_name = "IP:PORT")]
    #[serde(skip)]
    pub(crate) ingress_listen: Option<SocketAddr>,
    /// Address and TCP port of JSON-RPC
    #[arg(long, value_name = "IP:PORT")]
    #[serde(skip)]
    pub(crate) rpc_listen: Option<SocketAddr>,
    /// Address and TCP port of health and metrics
    #[arg(long, value_name = "IP:PORT")]
    #[serde(skip)]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// HTTP or HTTPS endpoint of the L1
    #[arg(long, value_name = "URL")]
    #[serde(skip)]
    pub(crate) l1_endpoint: Option<String>,
    /// How log lines look
    #[arg(long, value_name = "human|json", value_parser = log_format)]
    #[serde(skip)]
    pub(crate) log_format: Option<LogFormat>,
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err("`human` or `json`".to_owned()),
    }
}

impl Overrides {
    fn apply(&self, config: &mut Config) {
        if let Some(path) = &self.data_dir {
            config.data_dir.clone_from(path);
        }
        if let Some(path) = &self.chain_spec {
            config.chain_spec.clone_from(path);
        }
        if let Some(path) = &self.password_file {
            config.key.password_file = Some(path.clone());
        }
        let listens = [
            (self.network_listen, &mut config.network.listen),
            (self.ingress_listen, &mut config.ingress.listen),
            (self.rpc_listen, &mut config.rpc.listen),
            (self.metrics_listen, &mut config.metrics.listen),
        ];
        for (from, to) in listens {
            if let Some(address) = from {
                *to = address;
            }
        }
        if let Some(url) = &self.l1_endpoint {
            config.l1.endpoint = Some(url.clone());
        }
        if let Some(format) = self.log_format {
            config.log.format = format;
        }
    }
}

fn read(what: &'static str, path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { what, path: path.to_owned(), source };
    let mut text = String::new();
    fs::File::open(path).map_err(failed)?.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Reads the file, the environment and the flags; checks values that need no other file.
pub(crate) fn load(path: &Path, overrides: &Overrides) -> Result<Config, ConfigError> {
    let text = read("config file", path)?;
    let origin = format!("config file {}", path.display());
    let config = parse(&text, &origin, path, overrides)?;
    validate(&config, &origin)?;
    Ok(config)
}

fn parse(text: &str, origin: &str, path: &Path, overrides: &Overrides) -> Result<Config, ConfigError> {
    // Parsed here first: figment reports a syntax error without its line.
    if let Err(e) = toml::from_str::<toml::Table>(text) {
        return Err(ConfigError::Syntax {
            origin: origin.to_owned(),
            why: e.to_string().trim_end().to_owned(),
        });
    }
    let figment = Figment::from(Serialized::defaults(Config::default()))
        .merge(Toml::string(text))
        .merge(Env::prefixed(ENV_PREFIX).ignore(&["config"]).split("__"));
    let mut config: Config = figment.extract().map_err(|error| describe(error.into_iter().next(), origin))?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    for relative in [&mut config.data_dir, &mut config.chain_spec, &mut config.key.file] {
        *relative = folder.join(&relative);
    }
    let optional =
        [&mut config.key.password_file, &mut config.l1.slash_key_file, &mut config.l1.slash_password_file];
    for relative in optional.into_iter().flatten() {
        *relative = folder.join(&relative);
    }
    // Flags are relative to where the command runs, so they come after.
    overrides.apply(&mut config);
    Ok(config)
}

fn describe(error: Option<figment::Error>, file: &str) -> ConfigError {
    let Some(error) = error else {
        return ConfigError::Syntax { origin: file.to_owned(), why: "cannot be read".to_owned() };
    };
    let from_env = error.metadata.as_ref().is_some_and(|m| m.name.contains("environment"));
    let origin = if from_env { "environment variables SEQUENCER_*".to_owned() } else { file.to_owned() };
    let path = error.path.clone();
    match &error.kind {
        Kind::UnknownField(field, expected) => {
            let mut full = path;
            if full.last().is_none_or(|last| last != field) {
                full.push(field.clone());
            }
            let nearest = nearest(field, expected.iter().copied()).map(str::to_owned);
            ConfigError::UnknownKey { origin, key: full.join("."), nearest }
        }
        kind => ConfigError::Value { origin, key: path.join("."), why: kind.to_string() },
    }
}

fn validate(config: &Config, origin: &str) -> Result<(), ConfigError> {
    let refuse = |key: &str, why: String| {
        Err(ConfigError::Value { origin: origin.to_owned(), key: key.to_owned(), why })
    };
    if !(MIN_CACHE_MIB..=MAX_CACHE_MIB).contains(&config.store.cache_mib) {
        let why = format!("{} is not from {MIN_CACHE_MIB} to {MAX_CACHE_MIB}", config.store.cache_mib);
        return refuse("store.cache_mib", why);
    }
    if config.store.retain_blocks != 0 && config.store.retain_blocks < MIN_RETAIN_BLOCKS {
        let why = format!(
            "{} is neither 0 (keep all) nor at least {MIN_RETAIN_BLOCKS}",
            config.store.retain_blocks
        );
        return refuse("store.retain_blocks", why);
    }
    for (key, value) in [
        ("ingress.max_connections", config.ingress.max_connections),
        ("rpc.max_connections", config.rpc.max_connections),
    ] {
        if value == 0 {
            return refuse(key, "0 would admit nobody".to_owned());
        }
    }
    check_admission(&config.admission).or_else(|(key, why)| refuse(key, why))?;
    if let Some(url) = &config.l1.endpoint {
        check_url(url).or_else(|why| refuse("l1.endpoint", why))?;
    }
    if config.l1.slash_key_file.is_some() && config.l1.endpoint.is_none() {
        return refuse("l1.slash_key_file", "it needs l1.endpoint: evidence goes to L1".to_owned());
    }
    if config.l1.slash_key_file.is_some() != config.l1.slash_password_file.is_some() {
        let why = "the node opens it at each start, alone: set l1.slash_key_file and l1.slash_password_file, or neither";
        return refuse("l1.slash_key_file", why.to_owned());
    }
    for (chain, url) in &config.execution {
        let key = format!("execution.{chain}");
        if chain.parse::<u64>().is_err() {
            return refuse(&key, "the key is not an EVM chain id".to_owned());
        }
        check_url(url).or_else(|why| refuse(&key, why))?;
    }
    if let Err(e) = tracing_subscriber::EnvFilter::try_new(&config.log.filter) {
        return refuse("log.filter", e.to_string());
    }
    Ok(())
}

fn check_admission(admission: &AdmissionConfig) -> Result<(), (&'static str, String)> {
    let AdmissionConfig { slow_unposted_bytes, stop_unposted_bytes, .. } = admission;
    if stop_unposted_bytes <= slow_unposted_bytes {
        let why = format!("{stop_unposted_bytes} is not above slow_unposted_bytes, {slow_unposted_bytes}");
        return Err(("admission.stop_unposted_bytes", why));
    }
    let AdmissionConfig { slow_free_disk_bytes, stop_free_disk_bytes, .. } = admission;
    if stop_free_disk_bytes >= slow_free_disk_bytes {
        let why = format!("{stop_free_disk_bytes} is not below slow_free_disk_bytes, {slow_free_disk_bytes}");
        return Err(("admission.stop_free_disk_bytes", why));
    }
    for (key, value) in [
        ("admission.slow_unposted_batches", admission.slow_unposted_batches),
        ("admission.slow_unposted_s", admission.slow_unposted_s),
    ] {
        if value == 0 {
            return Err((key, "0 would always be slow".to_owned()));
        }
    }
    Ok(())
}

fn check_url(url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.is_empty() && url.parse::<alloy::transports::http::reqwest::Url>().is_ok() => {
            Ok(())
        }
        _ => Err(format!("`{url}` is not an http:// or https:// URL")),
    }
}

/// A node that is no more than two duplicate windows behind replays what others keep, and one that is further behind needs a window of it.
pub(crate) fn check_retention(config: &Config, spec: &ChainSpec) -> Result<(), ConfigError> {
    let (kept, least) = (config.store.retain_blocks, 2 * u64::from(spec.limits.duplicate_window_blocks));
    if kept == 0 || kept >= least {
        return Ok(());
    }
    let why = format!(
        "{kept} is neither 0 (keep all) nor at least {least}, two duplicate windows of the genesis file"
    );
    Err(ConfigError::Value { origin: "configuration".to_owned(), key: "store.retain_blocks".to_owned(), why })
}

/// Reads and checks the genesis file.
pub(crate) fn load_chain_spec(path: &Path) -> Result<ChainSpec, ConfigError> {
    parse_chain_spec(&read(GENESIS_FILE, path)?, path)
}

fn parse_chain_spec(text: &str, path: &Path) -> Result<ChainSpec, ConfigError> {
    let refuse = |why: String| ConfigError::ChainSpec { path: path.to_owned(), why };
    let spec: ChainSpec = toml::from_str(text).map_err(|e| refuse(e.to_string().trim_end().to_owned()))?;
    spec.validate().map_err(|e| refuse(e.to_string()))?;
    Ok(spec)
}

/// For fuzz targets: both files.
#[cfg(feature = "fuzzing")]
pub(crate) fn parse_any(text: &str) {
    let path = Path::new("file");
    if let Ok(config) = parse(text, "file", path, &Overrides::default()) {
        let _ = validate(&config, "file");
    }
    if let Ok(spec) = parse_chain_spec(text, path) {
        let again = toml::to_string(&spec).expect("a genesis file that was read can be written");
        let again = parse_chain_spec(&again, path).expect("a genesis file that was written can be read");
        assert_eq!(again, spec);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        fs::write(&path, text).unwrap();
        load(&path, &Overrides::default()).unwrap_err().to_string()
    }

    #[test]
    fn a_node_keeps_what_one_that_is_late_needs() {
        let mut spec = ChainSpec {
            network: String::new(),
            l1_chain_id: 1,
            inbox: ordering_types::Address::default(),
            validators: vec![],
            rollups: vec![],
            ..ChainSpec::default()
        };
        let mut config = Config::default();
        config.store.retain_blocks = MIN_RETAIN_BLOCKS;
        check_retention(&config, &spec).unwrap();
        spec.limits.duplicate_window_blocks = 5_000;
        check_retention(&config, &spec).unwrap_err();
        config.store.retain_blocks = 0;
        check_retention(&config, &spec).unwrap();
    }

    #[test]
    fn each_mistake_is_named_with_its_key() {
        let table = [
            ("data_dri = 'x'", "unknown key `data_dri`; did you mean `data_dir`?"),
            ("[rpc]\nlisen = '127.0.0.1:1'", "unknown key `rpc.lisen`; did you mean `listen`?"),
            ("[store]\ncache_mib = 'many'", "key `store.cache_mib`"),
            ("[store]\ncache_mib = 1", "key `store.cache_mib`: 1 is not from 4 to 4096"),
            ("[store]\nretain_blocks = 3", "key `store.retain_blocks`: 3 is neither 0"),
            ("[rpc]\nmax_connections = 0", "key `rpc.max_connections`: 0 would admit nobody"),
            ("[rpc]\nlisten = 'localhost'", "key `rpc.listen`"),
            ("[l1]\nendpoint = 'ftp://x'", "key `l1.endpoint`: `ftp://x` is not an http"),
            ("[l1]\nslash_key_file = 'x'", "key `l1.slash_key_file`: it needs l1.endpoint"),
            ("[l1]\nendpoint = 'http://x'\nslash_key_file = 'x'", "or neither"),
            ("[execution]\nmain = 'http://x'", "key `execution.main`: the key is not an EVM chain id"),
            ("[log]\nfilter = '=,='", "key `log.filter`"),
            ("[log]\nformat = 'loud'", "key `log.format`"),
            ("data_dir = ", "line 1"),
        ];
        for (text, expected) in table {
            let message = error(text);
            assert!(message.contains(expected), "{text:?} gave {message:?}, not {expected:?}");
            assert!(message.contains("node.toml"), "{message:?} does not name the file");
        }
    }

    #[test]
    fn a_missing_file_says_how_to_get_one() {
        let message =
            load(Path::new("/nonexistent/node.toml"), &Overrides::default()).unwrap_err().to_string();
        assert!(message.contains("/nonexistent/node.toml") && message.contains("init"), "{message}");
    }

    #[test]
    fn paths_are_relative_to_the_file_and_flags_win() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        fs::write(&path, "data_dir = 'state'\n[key]\nfile = '/abs/key'").unwrap();
        let flags = Overrides { rpc_listen: Some("127.0.0.1:5".parse().unwrap()), ..Overrides::default() };
        let config = load(&path, &flags).unwrap();
        assert_eq!(config.data_dir, folder.path().join("state"));
        assert_eq!(config.key.file, Path::new("/abs/key"));
        assert_eq!(config.rpc.listen.port(), 5);
    }

    #[test]
    fn thresholds_of_admission_are_in_order() {
        for (keys, refused) in [
            (
                "stop_unposted_bytes = 268435456",
                "stop_unposted_bytes`: 268435456 is not above slow_unposted_bytes",
            ),
            ("slow_unposted_bytes = 1073741824", "stop_unposted_bytes`: 1073741824 is not above"),
            (
                "stop_free_disk_bytes = 4294967296",
                "stop_free_disk_bytes`: 4294967296 is not below slow_free_disk_bytes",
            ),
            ("slow_unposted_batches = 0", "slow_unposted_batches`: 0 would always be slow"),
            ("slow_unposted_s = 0", "slow_unposted_s`: 0 would"),
            ("slow_unposted_bytes = -1", "slow_unposted_bytes"),
            ("slow_disk_bytes = 1", "unknown key `admission.slow_disk_bytes`"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("node.toml");
            fs::write(&path, format!("[admission]\n{keys}\n")).unwrap();
            let message = load(&path, &Overrides::default()).unwrap_err().to_string();
            assert!(message.contains(refused), "{keys}: {message}");
        }
    }

    #[test]
    fn the_template_is_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        fs::write(&path, super::super::template(&Config::default())).unwrap();
        let mut expected = Config::default();
        for relative in [&mut expected.data_dir, &mut expected.chain_spec, &mut expected.key.file] {
            *relative = folder.path().join(&relative);
        }
        assert_eq!(load(&path, &Overrides::default()).unwrap(), expected);
    }

    #[test]
    fn a_genesis_file_with_a_fault_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genesis.toml");
        fs::write(&path, "network = 'x'").unwrap();
        let message = load_chain_spec(&path).unwrap_err().to_string();
        assert!(message.contains("genesis.toml") && message.contains("l1_chain_id"), "{message}");
    }
}
