//! What is checked before anything starts: every port is free, the disk has room and is a disk.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use crate::holder::{Holder, holder};
use crate::layout::{PortUse, Protocol};

/// A network on this machine writes its stores, segment files and logs; below this it is not started.
pub const MIN_FREE_BYTES: u64 = 2 << 30;

/// Why the machine is not ready.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// Ports are taken.
    #[error("{}\nStop what holds them, or move all ports of this network with --port-base", list(.0))]
    Ports(Vec<Busy>),
    /// Not enough room.
    #[error(
        "{path} has {} MiB free and {} MiB are needed: free some space, or choose another folder with --data",
        free >> 20,
        MIN_FREE_BYTES >> 20
    )]
    Space {
        /// Where.
        path: PathBuf,
        /// Bytes free.
        free: u64,
    },
    /// The folder is in memory, so that syncs cost nothing and measurements mean nothing.
    #[error(
        "{path} is on {filesystem}, which is memory: what is measured there says nothing about a disk; \
         run the bench in a folder on a disk"
    )]
    Memory {
        /// Where.
        path: PathBuf,
        /// The file system.
        filesystem: String,
    },
    /// The folder cannot be examined.
    #[error("cannot examine {path}: {source}")]
    Unknown {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A port that is not free.
#[derive(Debug)]
pub struct Busy {
    /// The port and what it was for.
    pub wanted: PortUse,
    /// What the system said.
    pub error: io::Error,
    /// Who has it.
    pub holder: Option<Holder>,
}

fn list(busy: &[Busy]) -> String {
    let line = |busy: &Busy| {
        let PortUse { port, protocol, role, what } = &busy.wanted;
        let reason = match &busy.holder {
            Some(holder) => format!("is held by {holder}"),
            None => format!("cannot be used: {}", busy.error),
        };
        format!("{protocol} port {port} ({what} of {role}) {reason}")
    };
    busy.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Tries every port and lets go of it again.
pub fn ports_free(all: Vec<PortUse>) -> Result<(), PreflightError> {
    let busy: Vec<Busy> = all.into_iter().filter_map(|wanted| try_port(wanted).err()).collect();
    if busy.is_empty() { Ok(()) } else { Err(PreflightError::Ports(busy)) }
}

fn try_port(wanted: PortUse) -> Result<(), Busy> {
    let address = (Ipv4Addr::LOCALHOST, wanted.port);
    let bound = match wanted.protocol {
        Protocol::Tcp => TcpListener::bind(address).map(drop),
        Protocol::Udp => UdpSocket::bind(address).map(drop),
    };
    bound.map_err(|error| {
        let held = error.kind() == io::ErrorKind::AddrInUse;
        let holder = held.then(|| holder(wanted.protocol, wanted.port));
        Busy { wanted, error, holder }
    })
}

/// What is under a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Name of the file system, such as `ext4`.
    pub filesystem: String,
    /// Bytes free for us.
    pub free: u64,
}

impl Disk {
    /// Whether nothing on it survives a power cut.
    pub fn is_memory(&self) -> bool {
        matches!(self.filesystem.as_str(), "tmpfs" | "ramfs")
    }
}

/// Looks at the disk under an existing folder.
pub fn disk(path: &Path) -> Result<Disk, PreflightError> {
    let unknown = |source| PreflightError::Unknown { path: path.to_owned(), source };
    let status = statvfs(path).map_err(|errno| unknown(errno.into()))?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").map_err(unknown)?;
    let real = path.canonicalize().map_err(unknown)?;
    Ok(Disk {
        filesystem: filesystem_of(&mounts, &real).unwrap_or_else(|| "unknown".into()),
        free: status.blocks_available().saturating_mul(status.fragment_size()),
    })
}

/// Refuses a disk without room, and memory where a disk is needed.
pub fn disk_ready(path: &Path, must_be_disk: bool) -> Result<Disk, PreflightError> {
    let disk = disk(path)?;
    if must_be_disk && disk.is_memory() {
        return Err(PreflightError::Memory { path: path.to_owned(), filesystem: disk.filesystem });
    }
    if disk.free < MIN_FREE_BYTES {
        return Err(PreflightError::Space { path: path.to_owned(), free: disk.free });
    }
    Ok(disk)
}

/// The file system type of the innermost mount above `path`, from `/proc/self/mountinfo`.
fn filesystem_of(mountinfo: &str, path: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        // Blanks in mount points are written as \040.
        let point = PathBuf::from(left.split(' ').nth(4)?.replace("\\040", " "));
        let kind = right.split(' ').next()?.to_owned();
        path.starts_with(&point).then_some((point, kind))
    };
    // Of two mounts on one point the later hides the earlier, and `max_by_key` keeps the last of equals.
    let found = mountinfo.lines().filter_map(mount).max_by_key(|(point, _)| point.components().count());
    found.map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MOUNTS: &str = "22 1 0:20 / / rw - ext4 /dev/vda rw\n\
        23 22 0:21 / /tmp rw,nosuid - tmpfs tmpfs rw\n\
        24 22 0:22 / /mnt/with\\040blank rw shared:1 - xfs /dev/vdb rw\n\
        25 22 0:23 / /tmp rw - btrfs /dev/vdc rw\n\
        broken line\n";

    #[test]
    fn the_innermost_and_newest_mount_counts() {
        let kind = |path: &str| filesystem_of(MOUNTS, Path::new(path)).unwrap();
        assert_eq!(kind("/home/me"), "ext4");
        assert_eq!(kind("/tmp/x"), "btrfs");
        assert_eq!(kind("/tmpfoo"), "ext4");
        assert_eq!(kind("/mnt/with blank/x"), "xfs");
        assert_eq!(filesystem_of("", Path::new("/")), None);
    }

    #[test]
    fn a_disk_is_looked_at() {
        let disk = disk(&std::env::current_dir().unwrap()).unwrap();
        assert!(disk.free > 0 && disk.filesystem != "unknown", "{disk:?}");
    }

    #[test]
    fn memory_is_refused_where_a_disk_is_needed() {
        let memory = Path::new("/dev/shm");
        if !memory.exists() || !disk(memory).unwrap().is_memory() {
            eprintln!("no memory file system at /dev/shm on this machine: not checked");
            return;
        }
        assert!(matches!(disk_ready(memory, true), Err(PreflightError::Memory { .. })));
    }

    /// Ports of other processes of this machine may be in the range, so only the one that we hold is asserted on.
    #[test]
    fn a_busy_port_is_named_with_its_use_and_its_holder() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let wanted =
            PortUse { port, protocol: Protocol::Tcp, role: crate::role::Role::Node(3), what: "JSON-RPC" };
        let text = PreflightError::Ports(vec![try_port(wanted).unwrap_err()]).to_string();
        let me = std::process::id();
        let expected = format!("TCP port {port} (JSON-RPC of node-3) is held by process {me} (");
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains("--port-base"), "{text}");
    }
}
