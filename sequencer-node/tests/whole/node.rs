//! Folders and processes of nodes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// The binary.
pub(crate) fn node() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sequencer-node"))
}

/// A network's folders.
pub(crate) struct Folders {
    pub(crate) root: tempfile::TempDir,
    pub(crate) port_base: u16,
}

impl Folders {
    /// Four nodes, made by `init`, with a genesis file.
    pub(crate) fn new() -> Self {
        let folders = Self { root: tempfile::tempdir().unwrap(), port_base: free_base() };
        let password = folders.path("password");
        fs::write(&password, "correct horse\n").unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        let mut genesis = "network = 'test'\nl1_chain_id = 1337\n\
             inbox = '0x0000000000000000000000000000000000000001'\n"
            .to_owned();
        for id in 1..=4_u16 {
            let made: Value = serde_json::from_slice(&folders.init(id).stdout).unwrap();
            let (key, port) = (made["public_key"].as_str().unwrap(), folders.port_base + id);
            genesis += &format!(
                "[[validators]]\nid = {id}\nkey = '{key}'\naddress = '/ip4/127.0.0.1/udp/{port}/quic-v1'\n"
            );
        }
        genesis += "[[rollups]]\nid = 1\nname = 'one'\nkind = 'evm'\nchain_id = 901\ndata = 'blob'\n\
             quota_bytes_per_block = 200000\n[[rollups]]\nid = 2\nname = 'two'\nkind = 'opaque'\nchain_id = 902\n\
             data = 'committee'\nquota_bytes_per_block = 200000\n";
        fs::write(folders.path("genesis.toml"), genesis).unwrap();
        folders
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn config(&self, id: u16) -> PathBuf {
        self.path(&format!("n{id}/node.toml"))
    }

    pub(crate) fn init(&self, id: u16) -> Output {
        node()
            .arg("init")
            .arg("--dir")
            .arg(self.path(&format!("n{id}")))
            .args(["--node", &id.to_string(), "--port-base", &self.port_base.to_string()])
            .arg("--chain-spec")
            .arg(self.path("genesis.toml"))
            .arg("--password-file")
            .arg(self.path("password"))
            .output()
            .unwrap()
    }

    /// Runs one command on a node's config and waits for its end.
    pub(crate) fn command(&self, id: u16, command: &[&str], more: &[&str]) -> Output {
        node()
            .args(command)
            .arg("--config")
            .arg(self.config(id))
            .args(more)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

/// A running node; killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) ready: Value,
}

impl Running {
    /// Starts a node and waits for its ready line.
    pub(crate) fn start(config: &Path) -> Self {
        Self::start_with(config, &[], Stdio::inherit())
    }

    /// The same with more environment, and its log lines elsewhere.
    pub(crate) fn start_with(config: &Path, environment: &[(&str, &str)], log: Stdio) -> Self {
        let mut child = node()
            .args(["run", "--json", "--exit-on-stdin-eof", "--config"])
            .arg(config)
            .envs(environment.iter().copied())
            .stderr(log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
        Self { child, ready }
    }

    /// As if the power failed.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes stdin and gives the exit code.
    pub(crate) fn close_stdin(&mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().code()
    }

    /// Sends SIGTERM; gives the exit code, and how long the end took.
    pub(crate) fn terminate(&mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        (self.child.wait().unwrap().code(), start.elapsed())
    }

    /// Bytes of memory that the process holds.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    pub(crate) fn address(&self, door: &str) -> String {
        self.ready[door].as_str().unwrap().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A base whose sixteen ports are free now. Below the ports that the system gives to whoever asks for any: nodes do, for
/// every connection that they open, and one took a port of the next node to start.
fn free_base() -> u16 {
    const LOWEST: u32 = 10_000;
    /// Between two bases; a network's ports take 304 of them.
    const STEP: u32 = 400;
    const BASES: u32 = 55;
    /// Tests of one process run beside each other.
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let free = |port: u16| {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
    };
    for _ in 0..BASES {
        let place = std::process::id().wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % BASES;
        let base = u16::try_from(LOWEST + place * STEP).unwrap();
        let offsets = [0, 100, 200, 300];
        if offsets.iter().all(|offset| (1..=4).all(|id| free(base + offset + id))) {
            return base;
        }
    }
    panic!("no free ports between {LOWEST} and {}", LOWEST + BASES * STEP);
}
