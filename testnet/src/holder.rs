//! Who holds a port: from the kernel's socket tables to a process, so that "address in use" has a name.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use crate::layout::Protocol;
use crate::procfs;

/// The state of a listening TCP socket in `/proc/net/tcp`.
const TCP_LISTEN: &str = "0A";

/// What holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A process that we may look at.
    Process {
        /// Its number.
        pid: u32,
        /// Its command line.
        command: String,
    },
    /// A process of another user or another container.
    Hidden,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, command } => write!(f, "process {pid} ({command})"),
            Self::Hidden => f.write_str("a process of another user or container"),
        }
    }
}

/// Finds the process that holds a local port.
pub fn holder(protocol: Protocol, port: u16) -> Holder {
    let tables: [&str; 2] = match protocol {
        Protocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Protocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let inodes: BTreeSet<u64> = tables
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|text| inodes(&text, protocol, port))
        .collect();
    owner(&inodes).map_or(Holder::Hidden, |pid| Holder::Process {
        pid,
        command: procfs::command_line(pid).unwrap_or_else(|| "unknown".into()),
    })
}

/// Socket inodes bound to `port` in the text of one of the kernel's tables.
fn inodes(table: &str, protocol: Protocol, port: u16) -> Vec<u64> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, hex_port) = fields.get(1)?.rsplit_once(':')?;
        let bound = u16::from_str_radix(hex_port, 16).ok()? == port;
        let serving = protocol == Protocol::Udp || *fields.get(3)? == TCP_LISTEN;
        let inode = fields.get(9)?.parse::<u64>().ok()?;
        (bound && serving).then_some(inode)
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// The first process with one of these sockets among its open files.
fn owner(inodes: &BTreeSet<u64>) -> Option<u32> {
    if inodes.is_empty() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?;
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| has_socket(*pid, inodes))
}

fn has_socket(pid: u32, inodes: &BTreeSet<u64>) -> bool {
    let Ok(files) = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")) else {
        return false;
    };
    files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok()).any(|target| {
        let target = target.to_string_lossy();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.and_then(|text| text.parse().ok()).is_some_and(|inode: u64| inodes.contains(&inode))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_busy_tcp_port_is_traced_to_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let Holder::Process { pid, command } = holder(Protocol::Tcp, listener.local_addr().unwrap().port())
        else {
            panic!("our own socket has no owner")
        };
        assert_eq!(pid, std::process::id());
        assert!(command.contains("testnet"), "{command}");
    }

    #[test]
    fn a_busy_udp_port_is_traced_to_its_process() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let found = holder(Protocol::Udp, socket.local_addr().unwrap().port());
        assert!(matches!(found, Holder::Process { pid, .. } if pid == std::process::id()));
    }

    /// A connection *to* a port is no holder of it: only a listening socket keeps others from binding.
    #[test]
    fn clients_are_not_holders() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:2549 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 111 1\n\
             1: 0100007F:2549 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 222 1\n\
             2: 0100007F:9999 0100007F:2549 01 00000000:00000000 00:00000000 00000000 0 0 333 1\n\
             garbage\n";
        assert_eq!(inodes(table, Protocol::Tcp, 0x2549), [111]);
        assert_eq!(inodes(table, Protocol::Udp, 0x2549), [111, 222]);
    }
}
