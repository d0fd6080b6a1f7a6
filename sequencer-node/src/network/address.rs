//! libp2p addresses: only UDP over IP with QUIC version 1 is used.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use ordering_types::registry::MAX_ENDPOINT_BYTES;

/// Why a peer cannot be dialled where its address says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    /// Longer than the registry takes.
    #[error("is longer than {MAX_ENDPOINT_BYTES} bytes")]
    TooLong,
    /// Another kind of address, or none.
    #[error("is not like /ip4/127.0.0.1/udp/9101/quic-v1")]
    Form,
    /// An address of nobody or of many, or no port.
    #[error("does not name one host and port")]
    Nowhere,
    /// It ends with somebody else's peer id.
    #[error("ends with the peer id of another key")]
    OtherPeer,
}

/// Where a peer can be dialled, by a text that may be anybody's.
pub(super) fn dialable(text: &str, peer: &PeerId) -> Result<SocketAddr, AddressError> {
    if text.len() > MAX_ENDPOINT_BYTES {
        return Err(AddressError::TooLong);
    }
    let address: Multiaddr = text.parse().map_err(|_| AddressError::Form)?;
    let socket = to_socket(&address).ok_or(AddressError::Form)?;
    let mut rest = address.iter().skip(SOCKET_PARTS);
    match (rest.next(), rest.next()) {
        (None, _) => {}
        (Some(Protocol::P2p(named)), None) if named == *peer => {}
        (Some(Protocol::P2p(_)), None) => return Err(AddressError::OtherPeer),
        (Some(_), _) => return Err(AddressError::Form),
    }
    let ip = socket.ip();
    let nowhere = ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from(Ipv4Addr::BROADCAST);
    if nowhere || socket.port() == 0 { Err(AddressError::Nowhere) } else { Ok(socket) }
}

/// IP, UDP, QUIC.
const SOCKET_PARTS: usize = 3;

/// The libp2p address of a socket.
pub(crate) fn to_multiaddr(socket: SocketAddr) -> Multiaddr {
    Multiaddr::from(socket.ip()).with(Protocol::Udp(socket.port())).with(Protocol::QuicV1)
}

/// The socket of a libp2p address, if it begins with the one form used here.
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

    #[test]
    fn a_peer_is_dialled_only_where_its_address_names_one_host_and_no_other_peer() {
        let [peer, other] = [1, 2].map(|seed| {
            let key = ordering_types::SecretKey::from_bytes([seed; 32]).unwrap();
            super::super::identity::peer_id(&key.public_key())
        });
        let good = "/ip4/127.0.0.1/udp/9100/quic-v1";
        let socket = "127.0.0.1:9100".parse().unwrap();
        assert_eq!(dialable(good, &peer), Ok(socket));
        assert_eq!(dialable(&format!("{good}/p2p/{peer}"), &peer), Ok(socket));
        assert_eq!(
            dialable("/ip6/::1/udp/9100/quic-v1", &peer).map(|socket| socket.is_ipv6()),
            Ok(true),
            "whether this node has IPv6 is found when it dials"
        );
        let bad = [
            (format!("{good}/p2p/{other}"), AddressError::OtherPeer),
            (format!("{good}/p2p/{peer}/p2p/{peer}"), AddressError::Form),
            (format!("{good}/p2p/{peer}/p2p-circuit"), AddressError::Form),
            (format!("/dns4/example.org/udp/9100/quic-v1/p2p/{peer}"), AddressError::Form),
            ("/ip4/127.0.0.1/udp/9100/quic".to_owned(), AddressError::Form),
            ("127.0.0.1:9100".to_owned(), AddressError::Form),
            (String::new(), AddressError::Form),
            ("/ip4/0.0.0.0/udp/9100/quic-v1".to_owned(), AddressError::Nowhere),
            ("/ip4/255.255.255.255/udp/9100/quic-v1".to_owned(), AddressError::Nowhere),
            ("/ip4/224.0.0.1/udp/9100/quic-v1".to_owned(), AddressError::Nowhere),
            ("/ip6/::/udp/9100/quic-v1".to_owned(), AddressError::Nowhere),
            ("/ip4/127.0.0.1/udp/0/quic-v1".to_owned(), AddressError::Nowhere),
            ("x".repeat(MAX_ENDPOINT_BYTES + 1), AddressError::TooLong),
        ];
        for (text, error) in bad {
            assert_eq!(dialable(&text, &peer), Err(error), "{text}");
        }
    }
}
