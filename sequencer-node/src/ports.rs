//! Whether the node's ports are free, and who holds one that is not.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// What a port carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
}

/// A port that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {} port {address} cannot be used: {why}", carrier_name(*carrier))]
pub(crate) struct PortError {
    key: &'static str,
    carrier: Carrier,
    address: SocketAddr,
    why: String,
}

const fn carrier_name(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::Udp => "UDP",
        Carrier::Tcp => "TCP",
    }
}

/// Binds the port for a moment. `key` is the config key that names it.
pub(crate) fn probe(key: &'static str, carrier: Carrier, address: SocketAddr) -> Result<(), PortError> {
    let outcome = match carrier {
        Carrier::Udp => UdpSocket::bind(address).map(|_| ()),
        Carrier::Tcp => TcpListener::bind(address).map(|_| ()),
    };
    outcome.map_err(|error| {
        let why = if error.kind() == std::io::ErrorKind::AddrInUse {
            let holder = holder(carrier, address.port()).unwrap_or_else(|| "another process".to_owned());
            format!("{holder} holds it; stop that or set {key} to another port")
        } else {
            error.to_string()
        };
        PortError { key, carrier, address, why }
    })
}

/// The process that holds a port, where Linux tells.
fn holder(carrier: Carrier, port: u16) -> Option<String> {
    let tables: [&str; 2] = match carrier {
        Carrier::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        Carrier::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
    };
    let inode = tables.into_iter().find_map(|table| inode_of(&fs::read_to_string(table).ok()?, port))?;
    process_with_socket(&inode)
}

/// From a table of `/proc/net`: `sl local_address rem_address st queues timer retrnsmt uid timeout inode …`.
fn inode_of(table: &str, port: u16) -> Option<String> {
    let ending = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        let inode = fields.nth(7)?;
        (local.ends_with(&ending) && inode != "0").then(|| inode.to_owned())
    })
}

fn process_with_socket(inode: &str) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        // Other users' processes keep their files to themselves.
        let Ok(files) = fs::read_dir(entry.path().join("fd")) else { continue };
        let holds = files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()));
        if holds {
            let command = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(format!("process {pid} ({})", command.trim()));
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_busy_port_is_named_with_its_holder() {
        let me = std::process::id().to_string();
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let held = [(Carrier::Udp, udp.local_addr().unwrap()), (Carrier::Tcp, tcp.local_addr().unwrap())];
        for (carrier, address) in held {
            let message = probe("rpc.listen", carrier, address).unwrap_err().to_string();
            for part in ["rpc.listen", &address.to_string(), &me] {
                assert!(message.contains(part), "{message} does not name {part}");
            }
        }
        let free = (Ipv4Addr::LOCALHOST, 0).into();
        probe("rpc.listen", Carrier::Tcp, free).unwrap();
        probe("rpc.listen", Carrier::Udp, free).unwrap();
    }
}
