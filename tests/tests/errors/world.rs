//! What the cases break: folders of nodes, a node without peers, a live network, an L1 of another chain.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use ordering_types::{ChainSpec, SecretKey};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Network, Running, folder, program, run};

/// A config port that the system chooses.
const ANY: &str = "127.0.0.1:0";
/// The L1 of no genesis file here.
const OTHER_CHAIN: &str = "5";

/// Everything that cases share; each part starts when first asked for.
#[derive(Default)]
pub(crate) struct World {
    live: OnceLock<Network>,
    lonely: OnceLock<(Folders, Running, Value)>,
    other_l1: OnceLock<(TempDir, Running, String)>,
}

impl World {
    /// A network of four nodes, two batchers and an L1, under light load.
    pub(crate) fn live(&self) -> &Network {
        self.live.get_or_init(|| {
            let mut network = Network::start(&["--tps", "5"]);
            network.up();
            network
        })
    }

    pub(crate) fn into_live(mut self) -> Network {
        self.live.take().expect("the cases started it")
    }

    /// A node whose peers never come: it takes transactions and orders none.
    pub(crate) fn lonely(&self) -> &Value {
        let (_, _, ready) = self.lonely.get_or_init(|| {
            let folders = Folders::new(1);
            let mut node = folders.start(1, &[]);
            let ready = node.ready();
            (folders, node, ready)
        });
        ready
    }

    /// URL of an L1 that serves another chain.
    pub(crate) fn other_l1(&self) -> &str {
        let (_, _, url) = self.other_l1.get_or_init(|| {
            let folder = folder();
            let mut command = program("dev-l1");
            command.args(["--listen", ANY, "--chain-id", OTHER_CHAIN, "--json", "--exit-on-stdin-eof"]);
            let mut l1 = Running::start(command, folder.path().join("log"));
            let url = l1.ready()["rpc"].as_str().unwrap().to_owned();
            (folder, l1, url)
        });
        url
    }
}

/// The genesis file of a live network.
pub(crate) fn spec(network: &Network) -> Arc<ChainSpec> {
    let text = fs::read_to_string(network.data().join("genesis.toml")).unwrap();
    Arc::new(toml::from_str(&text).unwrap())
}

pub(crate) fn address(ready: &Value, door: &str) -> SocketAddr {
    ready[door].as_str().unwrap().parse().unwrap()
}

/// Writes a file of mode 0600.
pub(crate) fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    mode(path, 0o600);
}

pub(crate) fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Folders of nodes made by `init`, their genesis file and password.
pub(crate) struct Folders {
    pub(crate) root: TempDir,
}

impl Folders {
    /// The first `count` of four validators have a folder; of the others only the keys exist.
    pub(crate) fn new(count: u16) -> Self {
        let folders = Self { root: folder() };
        private(&folders.path("password"), "correct horse\n");
        let mut genesis = "network = 'errors'\nl1_chain_id = 1337\n\
             inbox = '0x0000000000000000000000000000000000000001'\n"
            .to_owned();
        for id in 1..=4_u16 {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let listen = socket.local_addr().unwrap();
            let key = if id <= count {
                let key = folders.init(id);
                let config = folders.read(id).replace(
                    &format!("listen = \"127.0.0.1:{}\"", 9_100 + id),
                    &format!("listen = \"{listen}\""),
                );
                folders.write(id, &config);
                key
            } else {
                let secret = SecretKey::from_bytes([id.to_be_bytes()[1]; 32]).unwrap();
                secret.public_key().to_string()
            };
            genesis += &format!(
                "[[validators]]\nid = {id}\nkey = '{key}'\naddress = '/ip4/127.0.0.1/udp/{}/quic-v1'\n",
                listen.port()
            );
        }
        genesis += "[[rollups]]\nid = 1\nname = 'one'\nkind = 'evm'\nchain_id = 901\ndata = 'blob'\n\
             quota_bytes_per_block = 200000\n[[rollups]]\nid = 2\nname = 'small'\nkind = 'opaque'\n\
             chain_id = 902\ndata = 'committee'\nquota_bytes_per_block = 2000\n[[rollups]]\nid = 3\n\
             name = 'big'\nkind = 'opaque'\nchain_id = 903\ndata = 'committee'\nquota_bytes_per_block = 1000000\n";
        fs::write(folders.path("genesis.toml"), genesis).unwrap();
        folders
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn home(&self, id: u16) -> PathBuf {
        self.path(&format!("n{id}"))
    }

    pub(crate) fn config(&self, id: u16) -> PathBuf {
        self.home(id).join("node.toml")
    }

    pub(crate) fn read(&self, id: u16) -> String {
        fs::read_to_string(self.config(id)).unwrap()
    }

    pub(crate) fn write(&self, id: u16, config: &str) {
        fs::write(self.config(id), config).unwrap();
    }

    pub(crate) fn init_command(&self, id: u16) -> Command {
        let mut command = program("node");
        command.arg("init").arg("--dir").arg(self.home(id)).args(["--node", &id.to_string()]);
        command.arg("--chain-spec").arg(self.path("genesis.toml"));
        command.arg("--password-file").arg(self.path("password"));
        command
    }

    /// Gives the public key.
    fn init(&self, id: u16) -> String {
        let said = run(self.init_command(id), self.root.path());
        let made: Value =
            serde_json::from_str(said.lines().next().unwrap()).unwrap_or_else(|e| panic!("{said}: {e}"));
        made["public_key"].as_str().unwrap().to_owned()
    }

    /// `run` with free ports towards clients and operators, not started yet.
    pub(crate) fn run_command(&self, id: u16, more: &[&str]) -> Command {
        let mut command = program("node");
        command.args(["run", "--json", "--exit-on-stdin-eof", "--config"]).arg(self.config(id));
        command.args(["--ingress-listen", ANY, "--rpc-listen", ANY, "--metrics-listen", ANY]).args(more);
        command
    }

    pub(crate) fn start(&self, id: u16, more: &[&str]) -> Running {
        Running::start(self.run_command(id, more), self.path(&format!("log{id}")))
    }

    /// Runs the node to its end, which must come by itself.
    pub(crate) fn fails(&self, id: u16, more: &[&str]) -> String {
        run(self.run_command(id, more), self.root.path())
    }

    /// Runs `config check`.
    pub(crate) fn check(&self, more: &[&str]) -> String {
        let mut command = program("node");
        command.args(["config", "check", "--config"]).arg(self.config(1)).args(more);
        run(command, self.root.path())
    }
}
