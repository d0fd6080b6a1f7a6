//! Folders and processes of nodes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

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
        let mut child = node()
            .args(["run", "--json", "--exit-on-stdin-eof", "--config"])
            .arg(config)
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

/// A base whose sixteen ports are free now.
fn free_base() -> u16 {
    loop {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let base = socket.local_addr().unwrap().port();
        let free = |port: u16| {
            UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
                && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        };
        let offsets = [0, 100, 200, 300];
        if base < 65_000 && offsets.iter().all(|offset| (1..=4).all(|id| free(base + offset + id))) {
            return base;
        }
    }
}
