//! `join`, `leave`, `status` and `evidence submit`, as an operator uses them, with the real contracts on a development L1.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy::signers::local::PrivateKeySigner;
use node_core::evidence::Evidence;
use ordering_types::{
    Address, ChainSpec, Digest, Epoch, Height, Round, SecretKey, SignedVote, ValidatorId, Vote, VoteKind,
};
use serde_json::{Value, json};

use crate::chain::{Chain, STAKE, account, endpoint};
use crate::node::{Folders, Running};

/// Blocks of the L1 are so far apart; its clock goes in whole seconds, and so five times as fast as ours.
const BLOCK_MS: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// A network whose founders are registered, and node 5, which is nobody yet.
struct World {
    folders: Folders,
    chain: Chain,
    /// The fourth founder's key.
    fourth: SecretKey,
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

impl World {
    async fn new() -> Self {
        Self::on(Chain::dev(BLOCK_MS).await).await
    }

    async fn on(chain: Chain) -> Self {
        let folders = Folders::new();
        assert!(folders.init(5).status.success());
        let path = folders.path("genesis.toml");
        let mut spec: ChainSpec = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let fourth = SecretKey::from_bytes([9; 32]).unwrap();
        spec.validators[3].key = fourth.public_key();
        let port = |id: ValidatorId| folders.port_base + id.get();
        let founders: Vec<_> =
            spec.validators.iter().map(|v| (v.key, endpoint(&v.key, port(v.id)))).collect();
        let (inbox, registry) = chain.found(&founders).await;
        spec.inbox = Address::new(inbox.into_array());
        spec.registry = Some(Address::new(registry.into_array()));
        fs::write(&path, toml::to_string(&spec).unwrap()).unwrap();
        Self { folders, chain, fourth }
    }

    /// An account's keystore, and a file with its password.
    fn owner(&self, name: &str, account: &PrivateKeySigner) -> PathBuf {
        let secret = account.to_bytes();
        eth_keystore::encrypt_key(
            self.folders.root.path(),
            &mut rand_core::OsRng,
            secret,
            "owner's",
            Some(name),
        )
        .unwrap();
        let path = self.folders.path(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        private(&self.folders.path("owner-password"), "owner's\n");
        path
    }

    /// Runs a command on a node's config; its exit code and what it says. No secret is ever in that.
    fn run(&self, id: u16, command: &[&str], more: &[&str]) -> (Option<i32>, String) {
        let url = self.chain.url();
        let flags = [["--l1-endpoint", url.as_str()].as_slice(), more].concat();
        // The last one counts not twice: clap refuses that.
        let flags = if more.contains(&"--l1-endpoint") { more.to_vec() } else { flags };
        let output = self.folders.command(id, command, &flags);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!said.contains("owner's\n") && !said.contains("correct horse"), "{said}");
        (output.status.code(), said)
    }

    /// The same as an owner.
    fn as_owner(&self, id: u16, command: &[&str], owner: &Path, more: &[&str]) -> (Option<i32>, String) {
        let password = self.folders.path("owner-password").display().to_string();
        let owner = owner.display().to_string();
        let flags = ["--owner-key-file", owner.as_str(), "--owner-password-file", password.as_str()];
        self.run(id, command, &[flags.as_slice(), more].concat())
    }

    fn done(&self, id: u16, command: &[&str], owner: &Path, more: &[&str]) -> Value {
        let (code, said) = self.as_owner(id, command, owner, &[more, &["--json"]].concat());
        assert_eq!(code, Some(0), "{command:?} {more:?}: {said}");
        serde_json::from_str(said.lines().find(|line| line.starts_with('{')).unwrap()).unwrap()
    }

    fn refused(&self, id: u16, command: &[&str], owner: &Path, more: &[&str], code: i32, words: &str) {
        let (got, said) = self.as_owner(id, command, owner, more);
        assert_eq!((got, said.contains(words)), (Some(code), true), "{command:?} {more:?}: {said}");
    }

    fn status(&self, id: u16) -> Value {
        let (code, said) = self.run(id, &["status"], &["--json"]);
        assert_eq!(code, Some(0), "{said}");
        serde_json::from_str(&said).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_joins_moves_and_leaves_with_its_stake() {
    let world = World::new().await;
    let owner = world.owner("owner.json", &account(5));
    nobody_yet(&world, &owner);
    refusals(&world, &owner);
    joins(&world, &owner);
    is_known_once_it_is_final(&world);
    leaves(&world, &owner);
}

fn nobody_yet(world: &World, owner: &Path) {
    let founder = world.status(1);
    assert_eq!((&founder["founder"], &founder["active"]), (&json!(true), &json!(4)));
    assert_eq!((&founder["validator"]["id"], &founder["validator"]["status"]), (&json!(1), &json!("active")));
    assert_eq!(founder["validator"]["endpoint_as_configured"], json!(true));
    assert_eq!(founder["running_node"], json!({ "running": false }));
    assert_eq!(world.status(5)["validator"], Value::Null);
    for command in [["run"].as_slice(), &["config", "check"]] {
        let (code, said) = world.run(5, command, &[]);
        assert_eq!(
            (code, said.contains("register it with `sequencer-node join`")),
            (Some(4), true),
            "{said}"
        );
    }
    world.refused(5, &["leave"], owner, &[], 9, "is not registered at the registry on L1");
    let (code, said) = world.run(5, &["run"], &["--l1-endpoint", "http://127.0.0.1:1"]);
    assert_eq!(
        (code, said.contains("the registry on L1 cannot be asked for it")),
        (Some(10), true),
        "{said}"
    );
}

fn refusals(world: &World, owner: &Path) {
    let join = ["join"];
    world.refused(5, &join, &world.folders.path("nowhere"), &[], 4, "name an Ethereum keystore");
    fs::set_permissions(owner, fs::Permissions::from_mode(0o640)).unwrap();
    world.refused(5, &join, owner, &[], 4, "chmod 600");
    fs::set_permissions(owner, fs::Permissions::from_mode(0o600)).unwrap();
    world.refused(5, &join, owner, &["--stake", "1"], 2, "name the unit");
    world.refused(5, &join, owner, &["--stake", "1wei"], 9, "is below the registry's minimum of 0.000000001");
    world.refused(5, &join, owner, &["--stake", "1000000ETH"], 10, "send the rest there");
    world.refused(
        5,
        &join,
        owner,
        &["--endpoint", "/dns4/a/udp/1/quic-v1"],
        3,
        "no address that validators dial",
    );
    world.refused(5, &join, owner, &["--network-listen", "0.0.0.0:9105"], 3, "with --endpoint");
    world.refused(5, &join, owner, &["--l1-endpoint", "http://127.0.0.1:1"], 10, "L1 endpoint 127.0.0.1:1");
    let poor = world.owner("poor.json", &PrivateKeySigner::random());
    world.refused(5, &join, &poor, &[], 10, "has 0.000000000000000000 ETH and needs");
    let founder = world.owner("founder.json", &account(0));
    world.refused(5, &join, &founder, &[], 9, "has validator 1 already");
    world.refused(1, &join, owner, &[], 9, "is registered as validator 1 of owner");
    let nowhere = world.folders.path("nowhere");
    for (owner, exit) in [(&poor, 10), (&nowhere, 4)] {
        let (code, said) = world.as_owner(5, &join, owner, &["--json"]);
        let failure: Value =
            serde_json::from_str(said.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
        assert_eq!((code, &failure["exit"]), (Some(exit), &json!(exit)), "{said}");
    }
}

fn joins(world: &World, owner: &Path) {
    let joined = world.done(5, &["join"], owner, &["--stake", "2gwei"]);
    assert_eq!((&joined["did"], &joined["validator"]), (&json!("joined"), &json!(5)), "{joined}");
    assert_eq!(joined["stake_wei"], json!((2 * STAKE).to_string()));
    let again = world.done(5, &["join"], owner, &[]);
    assert_eq!((&again["did"], &again["endpoint"]), (&json!("nothing"), &joined["endpoint"]));
    let moved = world.done(5, &["join"], owner, &["--endpoint", "/ip4/192.0.2.7/udp/9/quic-v1"]);
    assert_eq!(moved["did"], json!("moved"));
    let endpoint = moved["endpoint"].as_str().unwrap();
    assert!(endpoint.starts_with("/ip4/192.0.2.7/udp/9/quic-v1/p2p/16Uiu2HA"), "{endpoint}");
    let told = world.done(5, &["join"], owner, &[]);
    assert!(told["next"].as_str().unwrap().contains("with --endpoint"), "{told}");
}

fn is_known_once_it_is_final(world: &World) {
    let deadline = Instant::now() + PATIENCE;
    while world.status(5)["validator"]["is_final"] != json!(true) {
        assert!(Instant::now() < deadline, "it never becomes final");
    }
    let status = world.status(5);
    assert_eq!((&status["active"], &status["founder"]), (&json!(5), &json!(false)));
    assert_eq!(status["validator"]["endpoint_as_configured"], json!(false));
    let (code, said) = world.run(5, &["config", "check"], &[]);
    assert_eq!((code, said.contains("validator 5, address")), (Some(0), true), "{said}");
    // From now on a file says it.
    let (code, said) = world.run(5, &["config", "check"], &["--l1-endpoint", "http://127.0.0.1:1"]);
    assert_eq!((code, said.contains("validator 5, address")), (Some(0), true), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_works_on_anvil_too() {
    let Some(chain) = Chain::anvil().await else { return };
    let world = World::on(chain).await;
    let owner = world.owner("owner.json", &account(5));
    refusals(&world, &owner);
    joins(&world, &owner);
    assert_eq!(world.done(5, &["leave"], &owner, &[])["status"], json!("leaving"));
    assert_eq!(world.done(5, &["leave"], &owner, &["--withdraw"])["status"], json!("unbonding"));
}

fn leaves(world: &World, owner: &Path) {
    let leave = ["leave"];
    world.refused(5, &leave, owner, &["--withdraw"], 9, "without --withdraw first");
    let founder = world.folders.path("founder.json");
    world.refused(5, &leave, &founder, &[], 9, "is registered as validator 5 of owner");
    let left = world.done(5, &leave, owner, &[]);
    assert_eq!((&left["status"], &left["sent"][0]["what"]), (&json!("leaving"), &json!("exit")), "{left}");
    let again = world.done(5, &leave, owner, &[]);
    assert_eq!((&again["status"], &again["sent"]), (&json!("leaving"), &json!([])), "{again}");
    let relieved = world.done(5, &leave, owner, &["--withdraw"]);
    assert_eq!(relieved["status"], json!("unbonding"), "{relieved}");
    world.refused(5, &leave, owner, &["--withdraw"], 9, "the stake is bound for");
    let deadline = Instant::now() + PATIENCE;
    while world.status(5)["validator"]["bonded_s"] != json!(0) {
        assert!(Instant::now() < deadline, "the stake never is free");
    }
    let paid = world.done(5, &leave, owner, &["--withdraw"]);
    assert_eq!((&paid["status"], &paid["stake_wei"]), (&json!("withdrawn"), &json!("0")), "{paid}");
    assert_eq!(world.done(5, &leave, owner, &[])["status"], json!("withdrawn"));
    world.refused(5, &["join"], owner, &[], 9, "a key is registered once and never again");

    assert_eq!(world.done(1, &leave, &founder, &[])["status"], json!("leaving"));
    world.refused(1, &leave, &founder, &["--withdraw"], 9, "still in the committee");
}

/// A vote of the fourth founder, always for the same step.
fn double_vote(world: &World, spec: &ChainSpec, value: Option<Digest>) -> SignedVote {
    let vote = Vote {
        kind: VoteKind::Precommit,
        epoch: Epoch::new(3),
        height: Height::new(12),
        round: Round::new(1),
        value,
        validator: ValidatorId::new(4),
    };
    vote.sign(&spec.domain(), &world.fourth)
}

fn write_votes(path: &Path, spec: &ChainSpec, first: SignedVote, second: SignedVote) {
    let evidence = Evidence::Votes { first, second };
    let whole = json!({ "network": "test", "chain_spec": spec.hash(), "evidence": evidence });
    fs::write(path, whole.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_voted_twice_is_slashed_once() {
    let world = World::new().await;
    let payer = world.owner("payer.json", &account(7));
    let spec: ChainSpec =
        toml::from_str(&fs::read_to_string(world.folders.path("genesis.toml")).unwrap()).unwrap();
    let sign = |value| double_vote(&world, &spec, value);
    let write = |second| {
        let first = sign(Some(Digest::new([1; 32])));
        write_votes(&world.folders.path("evidence.json"), &spec, first, second);
    };
    let file = world.folders.path("evidence.json").display().to_string();
    let submit = ["evidence", "submit", file.as_str()];
    write(sign(Some(Digest::new([1; 32]))));
    world.refused(1, &submit, &payer, &[], 8, "both are for the same value");
    // For another block and for none.
    write(sign(None));
    let slashed = world.done(1, &submit, &payer, &[]);
    assert_eq!((&slashed["slashed_now"], &slashed["burnt_wei"]), (&json!(true), &json!(STAKE.to_string())));
    assert_eq!(world.done(2, &submit, &payer, &[])["slashed_now"], json!(false));
    assert_eq!(world.status(1)["active"], json!(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_follows_the_registry_and_says_so() {
    let world = World::new().await;
    let url = world.chain.url();
    let node = Running::start_with(
        &world.folders.config(1),
        &[("SEQUENCER_L1__ENDPOINT", &url)],
        std::process::Stdio::inherit(),
    );
    let deadline = Instant::now() + PATIENCE;
    let registry = loop {
        let status = world.status(1);
        assert_eq!(status["running_node"]["running"], json!(true));
        let registry = status["running_node"]["readiness"]["registry"].clone();
        if registry["state"] == json!("ok") {
            break registry;
        }
        assert!(Instant::now() < deadline, "{registry}");
    };
    assert_eq!(registry["active"], json!(4));
    // A dead L1 is a failure, and the node's own state is told all the same.
    let (code, said) = world.run(1, &["status"], &["--l1-endpoint", "http://127.0.0.1:1", "--json"]);
    let told: Value = serde_json::from_str(said.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
    assert_eq!((code, &told["running_node"]["running"]), (Some(10), &json!(true)), "{said}");
    assert!(told["error"].as_str().unwrap().contains("127.0.0.1:1"), "{said}");
    assert_eq!(registry["block"].as_u64().unwrap() % 32, 0, "the genesis file's default");
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_takes_double_votes_to_l1_by_itself_if_it_is_told_who_pays() {
    let world = World::new().await;
    let payer = world.owner("payer.json", &account(6)).display().to_string();
    let password = world.folders.path("owner-password").display().to_string();
    let spec: ChainSpec =
        toml::from_str(&fs::read_to_string(world.folders.path("genesis.toml")).unwrap()).unwrap();
    let folder = world.folders.path("n1/data/evidence");
    fs::create_dir(&folder).unwrap();
    let sign = |value| double_vote(&world, &spec, Some(Digest::new([value; 32])));
    // Nothing is sent for what proves nothing.
    write_votes(&folder.join("validator-4-votes-1.json"), &spec, sign(1), sign(1));
    write_votes(&folder.join("validator-4-votes-2.json"), &spec, sign(1), sign(2));
    fs::write(folder.join("validator-3-votes-1.json"), "{}").unwrap();
    let _node = Running::start_with(
        &world.folders.config(1),
        &[
            ("SEQUENCER_L1__ENDPOINT", &world.chain.url()),
            ("SEQUENCER_L1__SLASH_KEY_FILE", &payer),
            ("SEQUENCER_L1__SLASH_PASSWORD_FILE", &password),
        ],
        std::process::Stdio::inherit(),
    );
    let deadline = Instant::now() + PATIENCE;
    while world.status(4)["active"] != json!(3) {
        assert!(Instant::now() < deadline, "nobody is slashed");
    }
}
