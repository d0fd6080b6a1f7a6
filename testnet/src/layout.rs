//! Where everything is: the ports, and the files of the data folder.
//!
//! | port | protocol | what |
//! |---|---|---|
//! | base + 100 + i | UDP | node i: validators' network (libp2p over QUIC) |
//! | base + 200 + i | UDP | node i: ingress for rollups (QUIC) |
//! | base + 300 + i | TCP | node i: JSON-RPC, HTTP and WebSocket |
//! | base + 400 + i | TCP | node i: `/metrics`, `/livez`, `/readyz` |
//! | base + 500 + i | TCP | batcher i: `/metrics`, `/livez`, `/readyz` |
//! | base + 500 + i | UDP | node i: chunks (QUIC) |
//! | base + 300 + i, base + 400 + i | UDP | with a relay: its fronts for the validators' network and the chunks of node i |
//! | base + 545 | TCP | development L1: JSON-RPC and beacon blobs |
//! | base + 546, base + 547 | TCP | development L1: two more endpoints, which batchers ask first |
//!
//! The base is 9000 unless `--port-base` says otherwise.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::role::Role;

/// The base of all ports unless another is chosen.
pub const DEFAULT_PORT_BASE: u16 = 9000;
/// The base for benches, so that one can run beside a network.
pub const BENCH_PORT_BASE: u16 = 12_000;
/// The data folder unless another is chosen.
pub const DEFAULT_DATA_FOLDER: &str = "testnet-data";
/// Most nodes of a network on one machine: ports leave room for 44 batchers below the L1's.
pub const MAX_NODES: u16 = 40;
/// Fewest validators: with fewer no fault is survived, and no committee is drawn.
pub const FEWEST: u16 = 4;
/// Batchers of every network.
pub const BATCHERS: u16 = 2;

const MARKER: &str = ".mpc-sequencer-testnet";
const MARKER_TEXT: &str =
    "This folder belongs to `testnet`. `testnet reset` and `testnet up` delete what is in it.\n";

/// Transport of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// One port and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortUse {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// Its transport.
    pub protocol: Protocol,
    /// The process.
    pub role: Role,
    /// What is served there.
    pub what: &'static str,
}

/// All ports of a network, from one base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    base: u16,
}

/// How many nodes there are, and what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The first ones found the network: they are in the genesis file.
    pub founders: u16,
    /// Validators on L1, the founders among them. The others join while the network runs.
    pub registered: u16,
    /// Most members of a committee after the founders'.
    pub committee: u16,
}

impl Size {
    /// A network of founders alone, who all stay.
    pub const fn founders(nodes: u16) -> Self {
        Self { founders: nodes, registered: nodes, committee: nodes }
    }

    /// The numbers of those who join.
    pub const fn newcomers(self) -> std::ops::RangeInclusive<u16> {
        self.founders + 1..=self.registered
    }
}

/// A base that leaves no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("port base {0} does not work: choose one from 1024 to 64900 (ports base+101 to base+547 are used)")]
pub struct PortBaseError(u16);

impl Ports {
    /// From the base.
    pub const fn new(base: u16) -> Result<Self, PortBaseError> {
        if base < 1024 || base > 64_900 {
            return Err(PortBaseError(base));
        }
        Ok(Self { base })
    }

    /// The base.
    pub const fn base(self) -> u16 {
        self.base
    }

    /// The development L1.
    pub const fn l1(self) -> u16 {
        self.base + 545
    }

    /// Its other endpoints.
    pub const fn other_l1(self) -> [u16; 2] {
        [self.base + 546, self.base + 547]
    }

    /// Validators' network of node `number`.
    pub const fn p2p(self, number: u16) -> u16 {
        self.base + 100 + number
    }

    /// Ingress of node `number`.
    pub const fn ingress(self, number: u16) -> u16 {
        self.base + 200 + number
    }

    /// JSON-RPC of node `number`.
    pub const fn rpc(self, number: u16) -> u16 {
        self.base + 300 + number
    }

    /// Metrics and health of node `number`.
    pub const fn metrics(self, number: u16) -> u16 {
        self.base + 400 + number
    }

    /// Metrics and health of batcher `number`.
    pub const fn batcher(self, number: u16) -> u16 {
        self.base + 500 + number
    }

    /// Chunks of node `number`; batchers have the same numbers over TCP.
    pub const fn chunks(self, number: u16) -> u16 {
        self.base + 500 + number
    }

    /// The relay's front for the validators' network of node `number`; JSON-RPC has the same number over TCP.
    pub const fn mesh_front(self, number: u16) -> u16 {
        self.base + 300 + number
    }

    /// The relay's front for the chunks of node `number`; metrics have the same number over TCP.
    pub const fn chunks_front(self, number: u16) -> u16 {
        self.base + 400 + number
    }

    /// URL of the development L1.
    pub fn l1_url(self) -> String {
        format!("http://127.0.0.1:{}", self.l1())
    }

    /// URLs of its endpoints as the batchers prefer them: what they ask may lie, and nobody else notices.
    pub fn l1_urls(self) -> Vec<String> {
        let others = self.other_l1().map(|port| format!("http://127.0.0.1:{port}"));
        others.into_iter().chain([self.l1_url()]).collect()
    }

    /// A node's ingress, as clients name it.
    pub fn ingress_endpoint(self, number: u16) -> String {
        format!("127.0.0.1:{}", self.ingress(number))
    }

    /// URL of a node's JSON-RPC.
    pub fn rpc_url(self, number: u16) -> String {
        format!("http://127.0.0.1:{}", self.rpc(number))
    }

    /// The ports of the relay of a network with so many nodes.
    pub fn relay(self, nodes: u16) -> Vec<PortUse> {
        let entry = |port, what| PortUse { port, protocol: Protocol::Udp, role: Role::Relay, what };
        let fronts =
            |number| [entry(self.mesh_front(number), "front"), entry(self.chunks_front(number), "front")];
        (1..=nodes).flat_map(fronts).collect()
    }

    /// The ports of one node.
    pub fn of_node(self, number: u16) -> Vec<PortUse> {
        let entry = |port, protocol, what| PortUse { port, protocol, role: Role::Node(number), what };
        vec![
            entry(self.p2p(number), Protocol::Udp, "validators' network"),
            entry(self.chunks(number), Protocol::Udp, "chunks"),
            entry(self.ingress(number), Protocol::Udp, "QUIC ingress"),
            entry(self.rpc(number), Protocol::Tcp, "JSON-RPC"),
            entry(self.metrics(number), Protocol::Tcp, "metrics"),
        ]
    }

    /// Every port of a network with so many nodes, less the relay's.
    pub fn all(self, nodes: u16) -> Vec<PortUse> {
        let entry = |port, protocol, role, what| PortUse { port, protocol, role, what };
        let mut all = vec![entry(self.l1(), Protocol::Tcp, Role::L1, "L1 JSON-RPC")];
        all.extend(self.other_l1().map(|port| entry(port, Protocol::Tcp, Role::L1, "L1 JSON-RPC")));
        all.extend((1..=nodes).flat_map(|number| self.of_node(number)));
        for i in 1..=BATCHERS {
            all.push(entry(self.batcher(i), Protocol::Tcp, Role::Batcher(i), "metrics"));
        }
        all
    }
}

/// A folder that `testnet` made, and what is where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFolder {
    root: PathBuf,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Somebody else's files are in it.
    #[error(
        "{0} is not empty and was not made by testnet: nothing in it is touched; \
         choose another folder with --data, or move it away"
    )]
    Foreign(PathBuf),
    /// There is none.
    #[error(
        "there is no testnet data folder at {0}: start a network there first, or name its folder with --data"
    )]
    Missing(PathBuf),
    /// The file system refuses.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl FolderError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl DataFolder {
    /// An existing folder that `testnet` made.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        if !path.exists() {
            return Err(FolderError::Missing(path.to_owned()));
        }
        let root = path.canonicalize().map_err(FolderError::io("open", path))?;
        if !root.join(MARKER).is_file() {
            return Err(FolderError::Foreign(root));
        }
        Ok(Self { root })
    }

    /// Whether a network may be founded at a path: `None` where there is nothing yet, else the folder of an earlier one.
    pub fn claim(path: &Path) -> Result<Option<Self>, FolderError> {
        match Self::open(path) {
            Ok(folder) => Ok(Some(folder)),
            Err(FolderError::Missing(_)) => Ok(None),
            Err(FolderError::Foreign(_)) if is_empty(path)? => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A new, empty folder. One that an earlier network left is emptied, anything else is refused.
    pub fn create(path: &Path) -> Result<Self, FolderError> {
        std::fs::create_dir_all(path).map_err(FolderError::io("create", path))?;
        let root = path.canonicalize().map_err(FolderError::io("open", path))?;
        if !is_empty(&root)? && !root.join(MARKER).is_file() {
            return Err(FolderError::Foreign(root));
        }
        let folder = Self { root };
        folder.empty()?;
        // Keys and passwords are in it, and the control socket.
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&folder.root, private).map_err(FolderError::io("protect", &folder.root))?;
        let marker = folder.root.join(MARKER);
        std::fs::write(&marker, MARKER_TEXT).map_err(FolderError::io("write", &marker))?;
        let logs = folder.logs();
        std::fs::create_dir_all(&logs).map_err(FolderError::io("create", &logs))?;
        Ok(folder)
    }

    /// Deletes everything in it except the marker.
    fn empty(&self) -> Result<(), FolderError> {
        for entry in std::fs::read_dir(&self.root).map_err(FolderError::io("read", &self.root))? {
            let path = entry.map_err(FolderError::io("read", &self.root))?.path();
            if path.ends_with(MARKER) {
                continue;
            }
            let is_folder = path.symlink_metadata().is_ok_and(|data| data.is_dir());
            let removed =
                if is_folder { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(FolderError::io("delete", &path))?;
        }
        Ok(())
    }

    /// Deletes the folder and everything in it; the marker goes last, so that a deletion cut short can be repeated.
    pub fn delete(self) -> Result<(), FolderError> {
        self.empty()?;
        let marker = self.root.join(MARKER);
        std::fs::remove_file(&marker).map_err(FolderError::io("delete", &marker))?;
        std::fs::remove_dir(&self.root).map_err(FolderError::io("delete", &self.root))
    }

    /// The folder itself, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All logs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// One process's log.
    pub fn log(&self, role: Role) -> PathBuf {
        self.logs().join(format!("{role}.log"))
    }

    /// Who runs here.
    pub fn state(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// Unix socket of the running `testnet up`.
    pub fn socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    /// Unix socket of the relay.
    pub fn relay_socket(&self) -> PathBuf {
        self.home(Role::Relay).join("control.sock")
    }

    /// The genesis file.
    pub fn genesis(&self) -> PathBuf {
        self.root.join("genesis.toml")
    }

    /// A process's own folder: config, keys, stores.
    pub fn home(&self, role: Role) -> PathBuf {
        self.root.join(role.to_string())
    }
}

fn is_empty(path: &Path) -> Result<bool, FolderError> {
    let mut entries = std::fs::read_dir(path).map_err(FolderError::io("read", path))?;
    Ok(entries.next().is_none())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_uses_share_a_port_at_any_size() {
        let ports = Ports::new(DEFAULT_PORT_BASE).unwrap();
        let all = [ports.all(MAX_NODES), ports.relay(MAX_NODES)].concat();
        let key = |entry: &PortUse| (entry.port, entry.protocol == Protocol::Udp);
        let distinct: BTreeSet<(u16, bool)> = all.iter().map(key).collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(Ports::new(9000).unwrap().l1(), 9545);
    }

    #[test]
    fn bases_without_room_are_refused() {
        assert!(Ports::new(1023).is_err());
        assert!(Ports::new(65_000).is_err());
        assert!(Ports::new(64_900).unwrap().l1() > 64_900);
    }

    #[test]
    fn a_folder_of_somebody_else_is_never_touched() {
        let temporary = tempfile::tempdir().unwrap();
        let precious = temporary.path().join("thesis.txt");
        std::fs::write(&precious, "years of work").unwrap();
        assert!(matches!(DataFolder::create(temporary.path()), Err(FolderError::Foreign(_))));
        assert!(matches!(DataFolder::open(temporary.path()), Err(FolderError::Foreign(_))));
        assert!(precious.exists());
    }

    #[test]
    fn a_folder_of_ours_is_emptied_and_deleted() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        assert!(matches!(DataFolder::open(&path), Err(FolderError::Missing(_))));
        let folder = DataFolder::create(&path).unwrap();
        std::fs::write(folder.state(), "{}").unwrap();
        let again = DataFolder::create(&path).unwrap();
        assert!(!again.state().exists() && again.logs().is_dir());
        DataFolder::open(&path).unwrap().delete().unwrap();
        assert!(!path.exists());
    }

    /// A link in the folder to somebody's files: the link goes, the files stay.
    #[test]
    fn deletion_does_not_follow_links() {
        let temporary = tempfile::tempdir().unwrap();
        let outside = temporary.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "kept").unwrap();
        let folder = DataFolder::create(&temporary.path().join("data")).unwrap();
        std::os::unix::fs::symlink(&outside, folder.root().join("link")).unwrap();
        folder.delete().unwrap();
        assert!(outside.join("kept").exists());
    }
}
