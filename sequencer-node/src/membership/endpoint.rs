//! Where the registry says that a node is reached: a libp2p address that ends with its peer id, and so with its key.

use std::net::SocketAddr;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use ordering_types::PublicKey;
use ordering_types::registry::{MAX_ENDPOINT_BYTES, peer_id};

use crate::network::address::{to_multiaddr, to_socket};

/// Why something is no endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// Not an address that nodes dial.
    #[error(
        "{0:?} is no address that validators dial: write it as /ip4/192.0.2.1/udp/9101/quic-v1 (or /ip6/…), with or without \
         /p2p/ and this node's peer id behind it"
    )]
    Malformed(String),
    /// It names another key.
    #[error(
        "{given:?} ends with the peer id of another key; this node's is {own}. Leave /p2p/… out, or correct it"
    )]
    OtherPeer {
        /// What was given.
        given: String,
        /// This node's peer id.
        own: String,
    },
    /// Nobody can dial it.
    #[error(
        "the others cannot dial {0}. Name the address at which they reach this node with --endpoint, \
         such as /ip4/192.0.2.1/udp/{port}/quic-v1", port = .0.port()
    )]
    Unspecified(SocketAddr),
}

/// The endpoint of a node with this key: as wanted, else where it listens.
pub(crate) fn endpoint(
    listen: SocketAddr,
    wanted: Option<&str>,
    key: &PublicKey,
) -> Result<String, EndpointError> {
    let own = peer_id(key);
    let Some(wanted) = wanted else { return with_peer_id(listen, &own) };
    let malformed = || EndpointError::Malformed(wanted.chars().take(MAX_ENDPOINT_BYTES).collect());
    let address: Multiaddr = wanted.parse().map_err(|_| malformed())?;
    let socket = to_socket(&address).ok_or_else(malformed)?;
    let mut rest = address.iter().skip(3);
    match (rest.next(), rest.next()) {
        (None, _) => {}
        (Some(Protocol::P2p(peer)), None) if peer.to_string() == own => {}
        (Some(Protocol::P2p(_)), None) => {
            return Err(EndpointError::OtherPeer { given: wanted.to_owned(), own });
        }
        _ => return Err(malformed()),
    }
    with_peer_id(socket, &own)
}

fn with_peer_id(socket: SocketAddr, own: &str) -> Result<String, EndpointError> {
    if socket.ip().is_unspecified() || socket.port() == 0 {
        return Err(EndpointError::Unspecified(socket));
    }
    // Some ninety characters: no more than the contract takes.
    Ok(format!("{}/p2p/{own}", to_multiaddr(socket)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ordering_types::SecretKey;
    use ordering_types::registry::key_of_endpoint;

    use super::*;

    #[test]
    fn an_endpoint_ends_with_the_nodes_own_key_and_can_be_dialed() {
        let key = SecretKey::from_bytes([7; 32]).unwrap().public_key();
        let other = SecretKey::from_bytes([8; 32]).unwrap().public_key();
        let listen: SocketAddr = "192.0.2.1:9101".parse().unwrap();
        let by_default = endpoint(listen, None, &key).unwrap();
        assert_eq!(key_of_endpoint(&by_default), Some(key));
        for same in ["/ip4/192.0.2.1/udp/9101/quic-v1", by_default.as_str()] {
            assert_eq!(endpoint("0.0.0.0:1".parse().unwrap(), Some(same), &key).unwrap(), by_default);
        }
        let v6 = endpoint(listen, Some("/ip6/2001:db8::1/udp/9/quic-v1"), &key).unwrap();
        assert!(v6.starts_with("/ip6/2001:db8::1/udp/9/quic-v1/p2p/16Uiu2HA"));
        let of_another = endpoint(listen, None, &other).unwrap();
        assert!(matches!(endpoint(listen, Some(&of_another), &key), Err(EndpointError::OtherPeer { .. })));
        for unspecified in ["0.0.0.0:9101", "[::]:9101", "192.0.2.1:0"] {
            let refused = endpoint(unspecified.parse().unwrap(), None, &key).unwrap_err();
            assert!(refused.to_string().contains("--endpoint"), "{refused}");
        }
        let unspecified = endpoint(listen, Some("/ip4/0.0.0.0/udp/1/quic-v1"), &key);
        assert!(matches!(unspecified, Err(EndpointError::Unspecified(_))));
        let trailing = format!("{by_default}/p2p-circuit");
        for bad in ["", "nonsense", "/dns4/a.example/udp/1/quic-v1", "/ip4/1.2.3.4/tcp/1", trailing.as_str()]
        {
            assert!(matches!(endpoint(listen, Some(bad), &key), Err(EndpointError::Malformed(_))), "{bad}");
        }
    }
}
