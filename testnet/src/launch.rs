//! How each process is started: the hidden names of the linked `main` functions and their flags.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::layout::{DataFolder, Ports};
use crate::process::Launch;
use crate::role::Role;

/// Hidden first argument of a node.
pub(crate) const NODE: &str = "__node";
/// Hidden first argument of a batcher.
pub(crate) const BATCHER: &str = "__batcher";
/// Hidden first argument of the development L1.
pub(crate) const DEV_L1: &str = "__dev-l1";
/// Hidden first argument of the relay.
pub(crate) const RELAY: &str = "__relay";
/// Hidden first argument of the bench's client.
pub(crate) const CLIENT: &str = "__client";
/// Hidden first argument of the bench's attacker.
pub(crate) const ATTACKER: &str = "__attacker";

/// The node's variable for how the sending rate of chunks is found.
const CONGESTION: &str = "SEQUENCER_NETWORK__CONGESTION";
/// The async runtime's variable for its number of threads, and how many nodes a machine is assumed to run.
const IO_THREADS: &str = "TOKIO_WORKER_THREADS";
const NODES_A_MACHINE: usize = 4;
/// Its variable for where it takes chunks.
const CHUNKS_LISTEN: &str = "SEQUENCER_NETWORK__CHUNKS_LISTEN";
/// Its variable for the port that the others are told.
const CHUNKS_ANNOUNCE: &str = "SEQUENCER_NETWORK__CHUNKS_ANNOUNCE";

fn launch(role: Role, folder: &DataFolder, args: Vec<OsString>) -> Launch {
    // Linux names it even after the file was replaced by a newer build.
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    // Logs are files: no colours in them.
    let env = vec![("NO_COLOR".into(), "1".into())];
    Launch { role, program, args, env, log: folder.log(role) }
}

/// The development L1.
pub(crate) fn dev_l1(folder: &DataFolder, ports: Ports, block_time: Duration, accounts: u32) -> Launch {
    let text = |text: &str| OsString::from(text);
    let mut args = vec![
        text(DEV_L1),
        text("--listen"),
        format!("127.0.0.1:{}", ports.l1()).into(),
        text("--block-time"),
        format!("{}ms", block_time.as_millis()).into(),
        text("--accounts"),
        accounts.to_string().into(),
        text("--json"),
        text("--exit-on-stdin-eof"),
    ];
    for port in ports.other_l1() {
        args.extend([text("--also-listen"), format!("127.0.0.1:{port}").into()]);
    }
    launch(Role::L1, folder, args)
}

/// A node's config file.
pub(crate) fn node_config(folder: &DataFolder, number: u16) -> PathBuf {
    folder.home(Role::Node(number)).join("node.toml")
}

/// A node; with a relay the others are told its front instead of the port at which the node takes chunks.
pub(crate) fn node(folder: &DataFolder, number: u16, ports: Ports, relay: bool) -> Launch {
    let args = vec![
        NODE.into(),
        "run".into(),
        "--config".into(),
        node_config(folder, number).into(),
        "--exit-on-stdin-eof".into(),
    ];
    let mut launch = launch(Role::Node(number), folder, args);
    let chunks = format!("127.0.0.1:{}", ports.chunks(number));
    launch.env.push((CHUNKS_LISTEN.into(), chunks.into()));
    if relay {
        launch.env.push((CHUNKS_ANNOUNCE.into(), ports.chunks_front(number).to_string().into()));
    } else if std::env::var_os(CONGESTION).is_none() {
        // Nothing is lost within a machine.
        launch.env.push((CONGESTION.into(), "cubic".into()));
    }
    // Many nodes share this machine: more threads would mostly wake each other.
    if std::env::var_os(IO_THREADS).is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        launch.env.push((IO_THREADS.into(), (cores / NODES_A_MACHINE).max(1).to_string().into()));
    }
    launch
}

/// A batcher's config file.
pub(crate) fn batcher_config(folder: &DataFolder, number: u16) -> PathBuf {
    folder.home(Role::Batcher(number)).join("batcher.toml")
}

/// A batcher.
pub(crate) fn batcher(folder: &DataFolder, number: u16) -> Launch {
    let args = vec![
        BATCHER.into(),
        "--config".into(),
        batcher_config(folder, number).into(),
        "--exit-on-stdin-eof".into(),
    ];
    launch(Role::Batcher(number), folder, args)
}

/// The relay's plan.
pub(crate) fn relay_config(folder: &DataFolder) -> PathBuf {
    folder.home(Role::Relay).join("relay.json")
}

/// The relay between the nodes.
pub(crate) fn relay(folder: &DataFolder) -> Launch {
    launch(Role::Relay, folder, vec![RELAY.into(), "--config".into(), relay_config(folder).into()])
}

/// Becomes another program if the first argument is a hidden name. The linked `main` sees its own name in front.
pub(crate) fn become_other(args: &[OsString]) -> Option<ExitCode> {
    let hidden = args.get(1)?.to_str()?;
    let rest = |name: &str| {
        let mut all = vec![OsString::from(name)];
        all.extend(args.iter().skip(2).cloned());
        all
    };
    match hidden {
        NODE => Some(sequencer_node::main_from_args(rest("sequencer-node"))),
        BATCHER => Some(batcher::run_from_args(rest("batcher"))),
        DEV_L1 => Some(match dev_l1::main_from_args(rest("dev-l1")) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }),
        RELAY => Some(crate::relay::main_from_args(rest("testnet-relay"))),
        ATTACKER => Some(crate::bench::attacker_main(rest("testnet-attacker"))),
        CLIENT => Some(crate::client::main_from_args(rest("testnet-client"))),
        _ => None,
    }
}
