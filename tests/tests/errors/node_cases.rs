//! What an operator of a node can do wrong, and what can happen to a node's files.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use crate::support::{program, run, until};
use crate::world::{Folders, World, mode, private};

/// Runs `config check` after the config file was changed.
fn edited(edit: impl Fn(String) -> String) -> String {
    let folders = Folders::new(1);
    folders.write(1, &edit(folders.read(1)));
    folders.check(&[])
}

/// Runs `config check` after something happened to the folder.
fn broken(break_it: impl Fn(&Folders)) -> String {
    let folders = Folders::new(1);
    break_it(&folders);
    folders.check(&[])
}

fn appended(line: &str) -> String {
    edited(|config| format!("{line}\n{config}"))
}

pub(crate) fn usage(_: &World) -> String {
    Folders::new(1).check(&["--no-such-flag"])
}

pub(crate) fn config_missing(_: &World) -> String {
    let folders = Folders::new(0);
    let mut command = program("node");
    command.args(["run", "--config"]).arg(folders.path("nowhere.toml"));
    run(command, folders.root.path())
}

pub(crate) fn config_syntax(_: &World) -> String {
    appended("data_dir = ")
}

pub(crate) fn config_unknown_key(_: &World) -> String {
    appended("data_dri = 'x'")
}

pub(crate) fn config_value(_: &World) -> String {
    edited(|config| config.replace("cache_mib = 64", "cache_mib = 1"))
}

pub(crate) fn config_environment(_: &World) -> String {
    let folders = Folders::new(1);
    let mut command = program("node");
    command.args(["config", "check", "--config"]).arg(folders.config(1)).env("SEQUENCER_RPC__LISEN", "x");
    run(command, folders.root.path())
}

pub(crate) fn genesis_missing(_: &World) -> String {
    broken(|folders| fs::remove_file(folders.path("genesis.toml")).unwrap())
}

pub(crate) fn genesis_bad(_: &World) -> String {
    broken(|folders| {
        let text = fs::read_to_string(folders.path("genesis.toml")).unwrap();
        fs::write(folders.path("genesis.toml"), text.replace("l1_chain_id", "l1_chain")).unwrap();
    })
}

pub(crate) fn evidence_of_nothing(_: &World) -> String {
    let folders = Folders::new(0);
    let mut command = program("node");
    let genesis = folders.path("genesis.toml");
    command.args(["evidence", "verify"]).arg(&genesis).arg("--chain-spec").arg(&genesis);
    run(command, folders.root.path())
}

pub(crate) fn genesis_too_small(_: &World) -> String {
    broken(|folders| {
        let text = fs::read_to_string(folders.path("genesis.toml")).unwrap();
        let from = text.find("[[validators]]\nid = 4").unwrap();
        let to = text.find("[[rollups]]").unwrap();
        fs::write(folders.path("genesis.toml"), format!("{}{}", &text[..from], &text[to..])).unwrap();
    })
}

pub(crate) fn init_twice(_: &World) -> String {
    let folders = Folders::new(1);
    run(folders.init_command(1), folders.root.path())
}

pub(crate) fn key_missing(_: &World) -> String {
    broken(|folders| fs::remove_file(folders.home(1).join("key.json")).unwrap())
}

pub(crate) fn key_readable(_: &World) -> String {
    broken(|folders| mode(&folders.home(1).join("key.json"), 0o644))
}

pub(crate) fn key_damaged(_: &World) -> String {
    broken(|folders| private(&folders.home(1).join("key.json"), "{}"))
}

pub(crate) fn key_of_nobody(_: &World) -> String {
    broken(|folders| {
        let text = fs::read_to_string(folders.path("genesis.toml")).unwrap();
        let other = fs::read_to_string(Folders::new(1).path("genesis.toml")).unwrap();
        let key = |text: &str| text.lines().find(|line| line.starts_with("key = ")).unwrap().to_owned();
        fs::write(folders.path("genesis.toml"), text.replace(&key(&text), &key(&other))).unwrap();
    })
}

pub(crate) fn password_wrong(_: &World) -> String {
    broken(|folders| private(&folders.path("password"), "wrong horse\n"))
}

pub(crate) fn password_readable(_: &World) -> String {
    broken(|folders| mode(&folders.path("password"), 0o640))
}

pub(crate) fn password_empty(_: &World) -> String {
    broken(|folders| private(&folders.path("password"), ""))
}

pub(crate) fn password_nowhere(_: &World) -> String {
    edited(|config| config.replace("password_file", "# password_file"))
}

/// A node that ran once and was stopped.
fn used() -> Folders {
    let folders = Folders::new(1);
    let mut node = folders.start(1, &[]);
    node.ready();
    let said = node.stop();
    assert!(said.ends_with("exit 0"), "{said}");
    folders
}

pub(crate) fn store_missing(_: &World) -> String {
    let folders = used();
    fs::remove_dir_all(folders.home(1).join("data")).unwrap();
    folders.fails(1, &[])
}

pub(crate) fn wal_missing(_: &World) -> String {
    let folders = used();
    fs::remove_file(folders.home(1).join("data/wal.redb")).unwrap();
    folders.fails(1, &[])
}

pub(crate) fn wal_damaged(_: &World) -> String {
    let folders = used();
    overwrite(&folders.home(1).join("data/wal.redb"), 0, &[0x5a; 512]);
    folders.fails(1, &[])
}

/// A node by itself orders nothing, but keeps what it was sent in its log of chunks.
pub(crate) fn segment_damaged(_: &World) -> String {
    let folders = Folders::new(1);
    let mut node = folders.start(1, &[]);
    let ready = node.ready();
    let rpc = crate::world::address(&ready, "rpc");
    let params = serde_json::json!([2, "0x0102030405060708"]);
    let answer = crate::support::call(rpc, "/", "seq_submit", &params);
    assert!(answer["result"].is_object(), "{answer}");
    let segments = folders.home(1).join("data/segments");
    let log = segments.join("journal-0000000001.log");
    until("a chunk in the log", Duration::from_secs(20), || {
        fs::metadata(&log).is_ok_and(|data| data.len() > 64).then_some(())
    });
    node.stop();
    // Every start takes down how long the logs are; and without its index a node reads them as a whole.
    let mut again = folders.start(1, &[]);
    again.ready();
    again.stop();
    fs::remove_file(folders.home(1).join("data/store.redb")).unwrap();
    overwrite(&log, 40, &[0x5a; 4]);
    folders.fails(1, &[])
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut before = vec![0; bytes.len()];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut before).unwrap();
    assert_ne!(before, bytes);
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

pub(crate) fn store_of_another(_: &World) -> String {
    let folders = used();
    let text = fs::read_to_string(folders.path("genesis.toml")).unwrap();
    fs::write(folders.path("genesis.toml"), text.replace("'errors'", "'mistakes'")).unwrap();
    folders.fails(1, &[])
}

pub(crate) fn store_locked(_: &World) -> String {
    let folders = Folders::new(1);
    let mut node = folders.start(1, &[]);
    node.ready();
    let said = folders.fails(1, &["--network-listen", "127.0.0.1:0"]);
    assert!(said.contains(&node.pid().to_string()), "the holder is not named: {said}");
    assert!(node.ended().is_none(), "the first one must go on");
    said
}

pub(crate) fn port_busy(_: &World) -> String {
    let folders = Folders::new(1);
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let mut command = program("node");
    command.args(["run", "--rpc-listen", &address, "--config"]).arg(folders.config(1));
    command.args(["--ingress-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    let said = run(command, folders.root.path());
    assert!(said.contains(&std::process::id().to_string()), "the holder is not named: {said}");
    said
}

pub(crate) fn l1_dead(_: &World) -> String {
    let folders = Folders::new(1);
    let mut node = folders.start(1, &["--l1-endpoint", "http://127.0.0.1:1"]);
    let ready = node.ready();
    let readiness = crate::support::get(crate::world::address(&ready, "metrics"), "/readyz").unwrap();
    format!("{}{}", node.says("does not answer"), readiness.body)
}

/// Once the node panicked here, also where the endpoint was plain HTTP and when files ran out.
pub(crate) fn l1_without_certificates(_: &World) -> String {
    let folders = Folders::new(1);
    let mut command = program("node");
    command
        .args(["config", "check", "--l1-endpoint", "http://127.0.0.1:1", "--config"])
        .arg(folders.config(1));
    command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
    run(command, folders.root.path())
}

pub(crate) fn l1_of_another_chain(world: &World) -> String {
    Folders::new(1).fails(1, &["--l1-endpoint", world.other_l1()])
}

/// Two validators whose genesis files differ in a name.
pub(crate) fn genesis_mismatch(_: &World) -> String {
    let folders = Folders::new(2);
    let text = fs::read_to_string(folders.path("genesis.toml")).unwrap();
    let other = folders.path("other.toml");
    fs::write(&other, text.replace("'errors'", "'mistakes'")).unwrap();
    let mut first = folders.start(1, &[]);
    let mut second = folders.start(2, &["--chain-spec", other.to_str().unwrap()]);
    first.ready();
    second.ready();
    let said = first.says("cannot work with this validator");
    assert!(second.ended().is_none() && first.ended().is_none(), "both must go on");
    said
}
