//! The commented config file that `init` writes.

use std::path::PathBuf;

use super::{AdmissionConfig, Config, L1Config, LogFormat, NetworkConfig, StoreConfig};
use crate::network::Congestion;

/// A config file that says `config` and explains each key.
pub(crate) fn template(config: &Config) -> String {
    let Config {
        data_dir,
        chain_spec,
        key,
        network,
        ingress,
        rpc,
        metrics,
        l1,
        store,
        admission,
        log,
        execution,
    } = config;
    let password = key.password_file.as_ref().map_or_else(
        || "# password_file = \"password\"".to_owned(),
        |path| format!("password_file = {}", quoted(&path.display())),
    );
    let endpoint = l1.endpoint.as_ref().map_or_else(
        || "# endpoint = \"https://example.org\"".to_owned(),
        |url| format!("endpoint = {}", quoted(url)),
    );
    let slash = slash_section(l1);
    let network = network_section(network);
    let (store, admission) = (store_section(store), admission_section(admission));
    let execution: String =
        execution.iter().map(|(chain, url)| format!("{chain} = {}\n", quoted(url))).collect();
    format!(
        r#"# Configuration of one sequencer node. Relative paths are relative to this file.
# Every key can be set by the environment, too: SEQUENCER_RPC__LISTEN sets rpc.listen. Flags win over both.

# Folder of the node's state: votes, key shares, blocks. One process at a time.
data_dir = {data_dir}
# The genesis file: the same for every node of the network.
chain_spec = {chain_spec}

[key]
# The encrypted node key (mode 0600).
file = {key_file}
# File with its password (mode 0600). Without one the node asks on the terminal.
{password}

{network}
[ingress]
# UDP (QUIC), towards rollups.
listen = "{ingress}"
max_connections = {ingress_connections}

[rpc]
# TCP, JSON-RPC over HTTP and WebSocket.
listen = "{rpc}"
max_connections = {rpc_connections}

[metrics]
# TCP: /metrics, /livez, /readyz.
listen = "{metrics}"

[l1]
# HTTP or HTTPS endpoint of the L1 that the genesis file names. The node orders without one, too.
{endpoint}
# An account that takes proof of double votes to the registry by itself, and pays for it: an Ethereum keystore and a file with its
# password (both mode 0600). Without them, `sequencer-node evidence submit` does it by hand.
{slash}

{store}
{admission}
[log]
# human or json
format = "{format}"
# error, warn, info, debug, trace; or by module: sequencer_node::network=debug,info
filter = {filter}

[execution]
# Execution endpoints of rollups by chain id, named to wallets that ask for receipts: 901 = "http://127.0.0.1:8545"
{execution}"#,
        data_dir = quoted(&data_dir.display()),
        chain_spec = quoted(&chain_spec.display()),
        key_file = quoted(&key.file.display()),
        ingress = ingress.listen,
        ingress_connections = ingress.max_connections,
        rpc = rpc.listen,
        rpc_connections = rpc.max_connections,
        metrics = metrics.listen,
        format = format_name(log.format),
        filter = quoted(&log.filter),
    )
}

fn format_name(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Human => "human",
        LogFormat::Json => "json",
    }
}

/// The disk.
fn store_section(store: &StoreConfig) -> String {
    let StoreConfig { cache_mib, retain_blocks, archive_days, archive_gib } = store;
    format!(
        r#"[store]
# Memory for the index, MiB.
cache_mib = {cache_mib}
# Blocks kept on disk; 0 keeps all. What L1 lacks is kept, too, where l1.endpoint is set.
retain_blocks = {retain_blocks}
# Sealed batches are kept for those that read from L1 after it has forgotten the blobs: days after a batch's last block; 0 keeps them for ever.
archive_days = {archive_days}
# Most GiB of them, beside those whose blocks are kept; the oldest go first. 0 is any number.
archive_gib = {archive_gib}
"#
    )
}

/// When admission slows.
fn admission_section(admission: &AdmissionConfig) -> String {
    let AdmissionConfig {
        slow_unposted_bytes,
        stop_unposted_bytes,
        slow_unposted_batches,
        slow_unposted_s,
        slow_free_disk_bytes,
        stop_free_disk_bytes,
    } = admission;
    format!(
        r#"[admission]
# While L1 takes no batches or the disk fills, this node admits fewer new transactions; what it has admitted is ordered.
# Bytes of sealed batches that L1 lacks: with so many it slows, with so many it stops.
slow_unposted_bytes = {slow_unposted_bytes}
stop_unposted_bytes = {stop_unposted_bytes}
# It also slows, to a tenth at four times as much, by the number of batches that L1 lacks and the seconds that the oldest has waited.
slow_unposted_batches = {slow_unposted_batches}
slow_unposted_s = {slow_unposted_s}
# Bytes that the disk of data_dir has left: with so few it slows, with so few it stops.
slow_free_disk_bytes = {slow_free_disk_bytes}
stop_free_disk_bytes = {stop_free_disk_bytes}
"#
    )
}

/// Who pays for a slash.
fn slash_section(l1: &L1Config) -> String {
    let line = |key: &str, path: Option<&PathBuf>, example: &str| match path {
        Some(path) => format!("{key} = {}", quoted(&path.display())),
        None => format!("# {key} = \"{example}\""),
    };
    let key = line("slash_key_file", l1.slash_key_file.as_ref(), "slasher.json");
    format!("{key}\n{}", line("slash_password_file", l1.slash_password_file.as_ref(), "slasher.password"))
}

/// Towards the other validators.
fn network_section(network: &NetworkConfig) -> String {
    let NetworkConfig { listen, chunks_listen, chunks_announce, congestion } = network;
    let congestion = match congestion {
        Congestion::Cubic => "cubic",
        Congestion::Bbr => "bbr",
    };
    let chunks = chunks_listen.map_or_else(
        || "# chunks_listen = \"127.0.0.1:9601\"".to_owned(),
        |address| format!("chunks_listen = \"{address}\""),
    );
    let announce = chunks_announce
        .map_or_else(|| "# chunks_announce = 9601".to_owned(), |port| format!("chunks_announce = {port}"));
    format!(
        r#"[network]
# UDP, towards the other validators; the genesis file tells them the address.
listen = "{listen}"
# UDP, for chunks of transactions; without it, any free port, which the others are told. Set it to open it in a firewall.
{chunks}
# The port that the others are told, if they reach this node under another one (behind a NAT).
{announce}
# How the rate of chunks is found: bbr keeps long paths full that lose packets, cubic is a little cheaper in one place.
congestion = "{congestion}"
"#
    )
}

/// A TOML string.
fn quoted(text: &impl ToString) -> String {
    toml::Value::String(text.to_string()).to_string()
}
