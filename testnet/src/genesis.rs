//! What founds a network: accounts, rollups, keys, the genesis file and every process's configuration.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use alloy::primitives::keccak256;
use alloy::signers::local::PrivateKeySigner;
use ordering_types::chain_spec::{
    Ceremony, DataPolicy, Epochs, KeyPolicy, L1View, Limits, Rollup, RollupKind, Validator,
};
use ordering_types::registry::peer_id;
use ordering_types::{Address, ChainSpec, PublicKey, RollupId, ValidatorId};
use rand_core::{OsRng, RngCore};
use rollup::registry::IValidatorRegistry::Founder;
use serde::Serialize;
use tokio::process::Command;

use crate::contract::{L1Error, account};
use crate::launch::{NODE, batcher_config, node_config, relay_config};
use crate::layout::{BATCHERS, DataFolder, MAX_NODES, Ports};
use crate::relay::{Plan, RelaySettings};
use crate::role::Role;

/// The mnemonic of every development chain: its accounts are funded on the development L1 and send the light load.
pub const MNEMONIC: &str = dev_l1::DEFAULT_MNEMONIC;
/// Account that deploys the contract.
pub const DEPLOYER: u32 = 0;
/// First account of the batchers.
pub const FIRST_BATCHER: u32 = 1;
/// First account that sends transactions on the rollups.
pub const FIRST_SENDER: u32 = 3;
/// Accounts that send transactions on the rollups.
pub const SENDERS: u32 = 4;
/// Account that puts transactions into the forced-inclusion queue.
pub const FORCER: u32 = 7;
/// Least fee of an entry of that queue, wei.
pub const FORCED_FEE_WEI: u64 = 100_000_000_000_000;
/// First account of the validators' owners; node `n` belongs to account `FIRST_OWNER + n - 1`.
pub const FIRST_OWNER: u32 = 10;
/// Accounts that are funded: those above, and an owner for every node that there may be.
pub const ACCOUNTS: u32 = FIRST_OWNER + MAX_NODES as u32;

/// Validators report every fourth final block of L1: the development L1 has several a second.
const REPORT_BLOCKS: u64 = 4;
/// The owner's key in a node's folder; its password is the node key's.
pub(crate) const OWNER_KEY: &str = "owner.json";
/// The file with the password of a process's keys.
pub(crate) const PASSWORD: &str = "password";

/// The first EVM rollup.
pub const ALPHA: RollupId = RollupId::new(1);
/// The second EVM rollup.
pub const BETA: RollupId = RollupId::new(2);
/// An EVM rollup whose data stays on L1 for ever, in calldata.
pub const GAMMA: RollupId = RollupId::new(5);
/// The opaque rollup of the bench, whose data stays with the committee.
pub const BULK: RollupId = RollupId::new(3);

/// Why the network cannot be founded.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `init` could not be started.
    #[error("cannot start `sequencer-node init`: {0}")]
    Start(io::Error),
    /// `init` failed.
    #[error("making the folder of {number} failed ({status}): {output}")]
    Init {
        /// Which node.
        number: u16,
        /// How it ended.
        status: String,
        /// What it said.
        output: String,
    },
    /// `init` said something else than expected.
    #[error("`sequencer-node init` for node {0} did not name its public key; it said: {1}")]
    Key(u16, String),
    /// The genesis file cannot be encoded.
    #[error("genesis file: {0}")]
    Encode(String),
    /// The mnemonic.
    #[error(transparent)]
    Account(#[from] L1Error),
}

/// An opaque rollup with a small quota, which `bench --rollup-flood` floods.
pub const FLOODED: RollupId = RollupId::new(4);
/// Its quota: ten times as much, in a hundred blocks a second, is little for the machine, so that what is measured is fairness, not
/// exhaustion.
pub const FLOODED_QUOTA_BYTES: u32 = 4 << 10;

/// How this network differs from the plainest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    /// The validators' addresses are those of the relay's fronts.
    pub relay: bool,
    /// There is a rollup to be flooded.
    pub flood: bool,
    /// The first EVM rollup leaves its data with the committee and may fill whole blocks.
    pub committee: bool,
    /// How long an epoch lasts; a day, as usual, if not given.
    pub epoch: Option<Duration>,
    /// Most members of a committee; as many as there are, if not given.
    pub most_members: Option<u16>,
    /// Epochs keep their key.
    pub keep_key: bool,
}

impl Variant {
    fn epochs(self) -> Epochs {
        let epochs = self.epoch.map_or_else(Epochs::default, short_epochs);
        let key = if self.keep_key { KeyPolicy::Keep } else { KeyPolicy::Fresh };
        Epochs { max_committee: self.most_members.unwrap_or(epochs.max_committee), key, ..epochs }
    }
}

/// The rollups of every local network.
pub fn rollups(limits: &Limits, variant: Variant) -> Vec<Rollup> {
    let evm = |id, name: &str, chain_id, data| Rollup {
        id,
        name: name.to_owned(),
        kind: RollupKind::Evm,
        chain_id,
        data,
        quota_bytes_per_block: match data {
            DataPolicy::Blob => limits.blob_bytes_per_block,
            DataPolicy::Calldata => limits.calldata_bytes_per_block,
            DataPolicy::Committee => limits.block_bytes,
        },
    };
    let first = if variant.committee { DataPolicy::Committee } else { DataPolicy::Blob };
    let opaque = |id, name: &str, chain_id, quota_bytes_per_block| Rollup {
        id,
        name: name.to_owned(),
        kind: RollupKind::Opaque,
        chain_id,
        data: DataPolicy::Committee,
        quota_bytes_per_block,
    };
    let mut all = vec![
        evm(ALPHA, "alpha", 900_001, first),
        evm(BETA, "beta", 900_002, DataPolicy::Blob),
        evm(GAMMA, "gamma", 900_005, DataPolicy::Calldata),
        // As much as there is. A lane may have its share of a block in undecided chunks: 4 MiB of 16 with four lanes, which at 120,000
        // transactions of 512 bytes a second are a quarter of a second's.
        opaque(BULK, "bulk", 900_003, limits.block_bytes),
    ];
    if variant.flood {
        all.push(opaque(FLOODED, "flooded", 900_004, FLOODED_QUOTA_BYTES));
    }
    all
}

/// All nodes start within some seconds here, forty of them on a busy machine too; who is not there then does not come.
const CEREMONY: Ceremony = Ceremony { announce_ms: 30_000, acknowledge_ms: 10_000, attempt_ms: 120_000 };

/// The next key is made as soon as an epoch begins, and those who are away then are waited for until three quarters of it are over.
fn short_epochs(epoch: Duration) -> Epochs {
    let interval_ms = u64::try_from(epoch.as_millis()).unwrap_or(u64::MAX);
    Epochs { blocks: 1, interval_ms, ceremony_ms: interval_ms, ..Epochs::default() }
}

/// Whatever is left to do for a key is done before the epoch is due.
fn quick_ceremony(epoch: Duration) -> Ceremony {
    let part = |of: Duration| u32::try_from(of.as_millis()).unwrap_or(u32::MAX).max(1);
    let (announce, acknowledge) = (epoch / 4, epoch / 8);
    Ceremony {
        announce_ms: part(announce),
        acknowledge_ms: part(acknowledge),
        attempt_ms: part((announce + acknowledge) * 2) + 2,
    }
}

/// Where the others reach a node.
pub(crate) fn address(number: u16, ports: Ports, relay: bool) -> String {
    let port = if relay { ports.mesh_front(number) } else { ports.p2p(number) };
    format!("/ip4/127.0.0.1/udp/{port}/quic-v1")
}

/// The founders as the registry lists them, in order of their ids.
pub fn founders(keys: &[PublicKey], ports: Ports, variant: Variant) -> Result<Vec<Founder>, L1Error> {
    let founder = |(number, key): (u16, &PublicKey)| {
        Ok(Founder {
            node: key.address().as_bytes().into(),
            owner: owner(number)?.address(),
            endpoint: format!("{}/p2p/{}", address(number, ports, variant.relay), peer_id(key)),
        })
    };
    (1_u16..).zip(keys).map(founder).collect()
}

/// The contracts on L1.
#[derive(Clone, Copy, Debug)]
pub struct Contracts {
    /// `SequencerInbox`.
    pub inbox: Address,
    /// `ValidatorRegistry`.
    pub registry: Address,
}

/// The genesis file of a network of these validators, numbered from 1.
pub fn spec(
    l1_chain_id: u64,
    contracts: Contracts,
    keys: &[PublicKey],
    ports: Ports,
    variant: Variant,
) -> ChainSpec {
    // The development L1 is quick, so batches may be as full of blocks as their blobs allow.
    let limits = Limits { blocks_per_batch: 600, ..Limits::default() };
    let validators = (1_u16..).zip(keys).map(|(number, key)| Validator {
        id: ValidatorId::new(number),
        key: *key,
        address: address(number, ports, variant.relay),
    });
    ChainSpec {
        network: "testnet".to_owned(),
        l1_chain_id,
        inbox: contracts.inbox,
        registry: Some(contracts.registry),
        l1: L1View { report_blocks: REPORT_BLOCKS },
        limits,
        ceremony: variant.epoch.map_or(CEREMONY, quick_ceremony),
        epochs: variant.epochs(),
        validators: validators.collect(),
        rollups: rollups(&limits, variant),
    }
}

/// Accounts that send transactions on the rollups.
pub fn senders() -> Result<Vec<PrivateKeySigner>, L1Error> {
    (FIRST_SENDER..FIRST_SENDER + SENDERS).map(|index| account(MNEMONIC, index)).collect()
}

/// As many accounts as wanted, which exist only in this load: nothing executes what they send.
pub fn many_senders(count: u32) -> Vec<PrivateKeySigner> {
    let key = |index: u32| keccak256([b"testnet sender ".as_slice(), &index.to_be_bytes()].concat());
    // Keys that are none have a chance of 2^-128.
    (0..count).filter_map(|index| PrivateKeySigner::from_bytes(&key(index)).ok()).collect()
}

/// Accounts of the batchers.
pub fn batcher_accounts() -> Result<Vec<PrivateKeySigner>, L1Error> {
    (FIRST_BATCHER..).take(BATCHERS.into()).map(|index| account(MNEMONIC, index)).collect()
}

/// The account that owns a node's validator.
pub fn owner(number: u16) -> Result<PrivateKeySigner, L1Error> {
    account(MNEMONIC, FIRST_OWNER + u32::from(number.saturating_sub(1)))
}

/// Writes a file that only we may read.
fn write_secret(path: &Path, text: &str) -> Result<(), GenesisError> {
    let failed = |source| GenesisError::Write { path: path.to_owned(), source };
    let options = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    options.map_err(failed)?.write_all(text.as_bytes()).map_err(failed)
}

/// Writes an account's key, encrypted, mode 0600.
fn write_keystore(
    home: &Path,
    name: &str,
    account: &PrivateKeySigner,
    password: &str,
) -> Result<(), GenesisError> {
    eth_keystore::encrypt_key(home, &mut OsRng, account.to_bytes(), password, Some(name))
        .map_err(|error| GenesisError::Encode(error.to_string()))?;
    let path = home.join(name);
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))
        .map_err(|source| GenesisError::Write { path, source })
}

fn write(path: &Path, text: &str) -> Result<(), GenesisError> {
    std::fs::write(path, text).map_err(|source| GenesisError::Write { path: path.to_owned(), source })
}

fn make_home(folder: &DataFolder, role: Role) -> Result<PathBuf, GenesisError> {
    let home = folder.home(role);
    std::fs::create_dir_all(&home).map_err(|source| GenesisError::Write { path: home.clone(), source })?;
    Ok(home)
}

/// Writes the relay's plan.
pub fn write_relay(
    folder: &DataFolder,
    ports: Ports,
    nodes: u16,
    relay: RelaySettings,
) -> Result<(), GenesisError> {
    make_home(folder, Role::Relay)?;
    let plan = Plan::local(ports, nodes, relay, folder.relay_socket());
    let text =
        serde_json::to_string_pretty(&plan).map_err(|error| GenesisError::Encode(error.to_string()))?;
    write(&relay_config(folder), &text)
}

/// Takes a node's disk away and gives it an empty one; the key stays. The node must not run.
pub async fn empty_disk(folder: &DataFolder, number: u16) -> Result<(), GenesisError> {
    let data = folder.home(Role::Node(number)).join("data");
    let failed = |source| GenesisError::Write { path: data.clone(), source };
    std::fs::remove_dir_all(&data).map_err(failed)?;
    let program = std::env::current_exe().map_err(GenesisError::Start)?;
    let output = Command::new(program)
        .args([NODE, "data", "new", "--config"])
        .arg(node_config(folder, number))
        .output()
        .await
        .map_err(GenesisError::Start)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(GenesisError::Init { number, status: output.status.to_string(), output: said })
}

/// Creates a node's key and config with its own `init`, under a random password in a file of mode 0600.
pub async fn init_node(folder: &DataFolder, number: u16, ports: Ports) -> Result<PublicKey, GenesisError> {
    let home = make_home(folder, Role::Node(number))?;
    let (password, secret) = (home.join(PASSWORD), random_password());
    write_secret(&password, &secret)?;
    write_keystore(&home, OWNER_KEY, &owner(number)?, &secret)?;
    let program = std::env::current_exe().map_err(GenesisError::Start)?;
    let output = Command::new(program)
        .args([NODE, "init", "--node", &number.to_string()])
        .args(["--port-base", &ports.p2p(0).to_string()])
        .args(["--l1-endpoint", &ports.l1_url()])
        .arg("--dir")
        .arg(&home)
        .arg("--password-file")
        .arg(&password)
        .arg("--chain-spec")
        .arg(folder.genesis())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(GenesisError::Start)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let output_text = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
        return Err(GenesisError::Init { number, status: output.status.to_string(), output: output_text });
    }
    public_key(&said).ok_or(GenesisError::Key(number, said))
}

/// The public key in the JSON line that `init` prints.
fn public_key(said: &str) -> Option<PublicKey> {
    let value: serde_json::Value = said.lines().find_map(|line| serde_json::from_str(line).ok())?;
    value.get("public_key")?.as_str()?.parse().ok()
}

/// Writes the genesis file.
pub fn write_spec(folder: &DataFolder, spec: &ChainSpec) -> Result<(), GenesisError> {
    let text = toml::to_string(spec).map_err(|error| GenesisError::Encode(error.to_string()))?;
    write(&folder.genesis(), &text)
}

/// Writes a batcher's encrypted key, its password (both mode 0600) and its config.
pub fn init_batcher(
    folder: &DataFolder,
    number: u16,
    nodes: u16,
    ports: Ports,
    block_time: Duration,
    account: &PrivateKeySigner,
) -> Result<(), GenesisError> {
    let home = make_home(folder, Role::Batcher(number))?;
    let password = random_password();
    write_secret(&home.join(PASSWORD), &password)?;
    write_keystore(&home, "key.json", account, &password)?;
    let config = BatcherConfig {
        chain_spec: folder.genesis(),
        l1: ports.l1_urls(),
        nodes: (1..=nodes).map(|node| ports.ingress_endpoint(node)).collect(),
        keystore: "key.json",
        password_file: PASSWORD,
        index: number.saturating_sub(1),
        count: BATCHERS,
        metrics: format!("127.0.0.1:{}", ports.batcher(number)),
        l1_slot_ms: u64::try_from(block_time.as_millis()).unwrap_or(u64::MAX),
    };
    let text = toml::to_string(&config).map_err(|error| GenesisError::Encode(error.to_string()))?;
    write(&batcher_config(folder, number), &text)
}

/// A batcher's config file, as its documentation says.
#[derive(Serialize)]
struct BatcherConfig {
    chain_spec: PathBuf,
    l1: Vec<String>,
    nodes: Vec<String>,
    keystore: &'static str,
    password_file: &'static str,
    index: u16,
    count: u16,
    metrics: String,
    l1_slot_ms: u64,
}

fn random_password() -> String {
    let mut secret = [0; 24];
    OsRng.fill_bytes(&mut secret);
    hex::encode(secret)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use ordering_types::SecretKey;
    use ordering_types::registry::key_of_endpoint;

    use super::*;

    #[test]
    fn the_genesis_file_reads_back_and_is_valid_at_every_size() {
        let ports = Ports::new(9000).unwrap();
        for nodes in [4_u8, 5, 7, 10] {
            let keys: Vec<_> =
                (1..=nodes).map(|i| SecretKey::from_bytes([i; 32]).unwrap().public_key()).collect();
            let epoch = Some(Duration::from_secs(60));
            for variant in [
                Variant::default(),
                Variant {
                    relay: true,
                    flood: true,
                    committee: true,
                    epoch,
                    most_members: Some(4),
                    keep_key: true,
                },
            ] {
                let contracts = Contracts { inbox: Address::new([7; 20]), registry: Address::new([8; 20]) };
                let spec = spec(1337, contracts, &keys, ports, variant);
                spec.validate().unwrap();
                let read: ChainSpec = toml::from_str(&toml::to_string(&spec).unwrap()).unwrap();
                assert_eq!(read, spec);
                let port = if variant.relay { "9301" } else { "9101" };
                assert!(spec.validators.iter().any(|validator| validator.address.contains(port)));
            }
        }
    }

    #[test]
    fn founders_are_registered_as_the_genesis_file_names_them() {
        let ports = Ports::new(9000).unwrap();
        let keys: Vec<_> = (1..=4).map(|i| SecretKey::from_bytes([i; 32]).unwrap().public_key()).collect();
        let founders = founders(&keys, ports, Variant::default()).unwrap();
        for (founder, key) in founders.iter().zip(&keys) {
            assert_eq!(key_of_endpoint(&founder.endpoint), Some(*key));
            assert_eq!(founder.node.as_slice(), key.address().as_bytes());
        }
        let owners: std::collections::BTreeSet<_> = founders.iter().map(|founder| founder.owner).collect();
        assert_eq!(owners.len(), 4);
        assert!(owner(MAX_NODES).unwrap() == account(MNEMONIC, ACCOUNTS - 1).unwrap());
    }

    #[test]
    fn secrets_are_for_us_alone_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        write_secret(&path, "x").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_secret(&path, "y").is_err());
    }

    #[test]
    fn the_key_is_found_in_what_init_says() {
        let key = SecretKey::from_bytes([3; 32]).unwrap().public_key();
        assert_eq!(public_key(&format!("{{\"public_key\":\"{key}\"}}\n")), Some(key));
        assert_eq!(public_key("created\n"), None);
        assert_eq!(public_key("{\"public_key\":\"0x00\"}"), None);
    }
}
