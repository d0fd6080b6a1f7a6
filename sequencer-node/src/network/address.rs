//! libp2p addresses: only UDP over IP with QUIC version 1 is used.

use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// The libp2p address of a socket.
pub(crate) fn to_multiaddr(socket: SocketAddr) -> Multiaddr {
    Multiaddr::from(socket.ip()).with(Protocol::Udp(socket.port())).with(Protocol::QuicV1)
}

/// The socket of a libp2p address, if it is of the one form used here.
pub(crate) fn to_socket(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match (parts.next()?, parts.next()?) {
        (Protocol::Udp(port), Protocol::QuicV1) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_quic_addresses_are_sockets() {
        for text in ["127.0.0.1:9100", "[::1]:9100"] {
            let socket = text.parse().unwrap();
            assert_eq!(to_socket(&to_multiaddr(socket)), Some(socket));
        }
        for text in ["/ip4/127.0.0.1/tcp/9100", "/dns/example.org/udp/1/quic-v1", "/ip4/127.0.0.1/udp/1"] {
            assert_eq!(to_socket(&text.parse().unwrap()), None, "{text}");
        }
    }
}
