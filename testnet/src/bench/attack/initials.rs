//! The first packets of QUIC connections that nobody means to open, from many ports, as fast as asked for.
//!
//! Each is a whole Initial of RFC 9000 with the ClientHello of a real TLS library, sealed under keys of its own connection id (RFC
//! 9001, section 5.2): a server has to open it to know that. Answers are counted and dropped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use rand_core::{OsRng, RngCore};
use rustls::RootCertStore;
use rustls::Side;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::quic::{ClientConnection, Suite, Version};

/// Least size of a datagram with an Initial from a client (RFC 9000, section 14.1).
const DATAGRAM_BYTES: usize = 1_200;
const ID_BYTES: usize = 8;
const TAG_BYTES: usize = 16;
/// Source ports of one flood.
const SOCKETS: usize = 64;
/// Long header, Initial, packet number of two bytes.
const FIRST_BYTE: u8 = 0b1100_0001;
/// Transport parameters (RFC 9000, section 18.2).
const INITIAL_MAX_DATA: u8 = 0x04;
const INITIAL_SOURCE_CONNECTION_ID: u8 = 0x0f;
const CRYPTO_FRAME: u8 = 0x06;

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub(super) enum InitialsError {
    /// TLS has no suite or hello for us.
    #[error("TLS: {0}")]
    Tls(String),
    /// No sockets.
    #[error("UDP: {0}")]
    Socket(#[from] io::Error),
}

/// Makes Initials for one application protocol.
struct Mint {
    suite: Suite,
    hello: Vec<u8>,
    source: [u8; ID_BYTES],
}

impl Mint {
    fn new(alpn: &[u8]) -> Result<Self, InitialsError> {
        let tls = |error: &dyn std::fmt::Display| InitialsError::Tls(error.to_string());
        // With a post-quantum key share the hello would not fit into one datagram.
        let provider =
            CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519], ..aws_lc_rs::default_provider() };
        let provider = Arc::new(provider);
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| tls(&e))?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let mut source = [0; ID_BYTES];
        OsRng.fill_bytes(&mut source);
        let mut parameters =
            vec![INITIAL_MAX_DATA, 2, 0x7f, 0xff, INITIAL_SOURCE_CONNECTION_ID, ID_BYTES as u8];
        parameters.extend_from_slice(&source);
        let name = ServerName::try_from("mpc-seq").map_err(|e| tls(&e))?;
        let mut client =
            ClientConnection::new(Arc::new(config), Version::V1, name, parameters).map_err(|e| tls(&e))?;
        let mut hello = Vec::new();
        client.write_hs(&mut hello);
        let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let suite = suite.tls13().and_then(|suite| suite.quic_suite());
        let suite = suite.ok_or_else(|| InitialsError::Tls("no QUIC suite".to_owned()))?;
        Ok(Self { suite, hello, source })
    }

    /// One whole datagram, of a connection that no other is of.
    fn datagram(&self) -> Option<Vec<u8>> {
        let mut id = [0; ID_BYTES];
        OsRng.fill_bytes(&mut id);
        let keys = self.suite.keys(&id, Side::Client, Version::V1);
        let mut header = vec![FIRST_BYTE, 0, 0, 0, 1, ID_BYTES as u8];
        header.extend_from_slice(&id);
        header.push(ID_BYTES as u8);
        header.extend_from_slice(&self.source);
        // No token.
        header.push(0);
        let length_at = header.len();
        let number_at = length_at + 2;
        header.extend_from_slice(&two_byte_varint(DATAGRAM_BYTES - number_at));
        header.extend_from_slice(&[0, 0]);
        let mut payload = vec![CRYPTO_FRAME, 0];
        payload.extend_from_slice(&two_byte_varint(self.hello.len()));
        payload.extend_from_slice(&self.hello);
        payload.resize((DATAGRAM_BYTES - header.len()).checked_sub(TAG_BYTES)?, 0);
        let tag = keys.local.packet.encrypt_in_place(0, &header, &mut payload).ok()?;
        let mut datagram = header;
        datagram.extend_from_slice(&payload);
        datagram.extend_from_slice(tag.as_ref());
        let (head, rest) = datagram.split_at_mut(number_at + 4);
        let sample = rest.get(..keys.local.header.sample_len())?;
        let (first, rest) = head.split_first_mut()?;
        let number = rest.get_mut(number_at - 1..number_at + 1)?;
        keys.local.header.encrypt_in_place(sample, first, number).ok()?;
        Some(datagram)
    }
}

/// A number below 16,384 (RFC 9000, section 16).
fn two_byte_varint(number: usize) -> [u8; 2] {
    (0x4000 | u16::try_from(number).unwrap_or(0x3fff) & 0x3fff).to_be_bytes()
}

/// A flood towards one door.
pub(super) struct Flood {
    mint: Mint,
    sockets: Vec<UdpSocket>,
    door: SocketAddr,
    pub(super) sent: u64,
    /// Datagrams that came back.
    pub(super) answered: u64,
}

impl Flood {
    pub(super) fn new(door: SocketAddr, alpn: &[u8]) -> Result<Self, InitialsError> {
        let socket = || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let sockets = (0..SOCKETS).map(|_| socket()).collect::<io::Result<_>>()?;
        Ok(Self { mint: Mint::new(alpn)?, sockets, door, sent: 0, answered: 0 })
    }

    /// Sends so many, each from the next port, and empties what came back.
    pub(super) fn send(&mut self, count: u64) {
        for _ in 0..count {
            let next = (self.sent % SOCKETS as u64) as usize;
            let Some(socket) = self.sockets.get(next) else { return };
            let datagram = self.mint.datagram().unwrap_or_default();
            // A full socket buffer loses the packet, as a network would.
            let _ = socket.send_to(&datagram, self.door);
            self.sent += 1;
        }
        let mut buffer = [0; 2_048];
        for socket in &self.sockets {
            while socket.recv_from(&mut buffer).is_ok() {
                self.answered += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// What a flood sends must be what a server takes for the beginning of a connection, or the flood would measure nothing.
    #[tokio::test]
    async fn a_server_takes_them_for_the_first_packets_of_clients() {
        let certificate = rcgen::generate_simple_self_signed(vec!["mpc-seq".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.cert.into()], key.into())
            .unwrap();
        tls.alpn_protocols = vec![b"test".to_vec()];
        let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
        let server = quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let mut flood = Flood::new(server.local_addr().unwrap(), b"test").unwrap();
        flood.send(3);
        for _ in 0..3 {
            let incoming = server.accept().await.unwrap();
            assert!(!incoming.remote_address_validated());
            // The packet opens and its hello is one that a handshake can go on from.
            incoming.accept().unwrap();
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while flood.answered < 3 && std::time::Instant::now() < deadline {
            flood.send(0);
            tokio::task::yield_now().await;
        }
        assert!(flood.answered >= 3);
    }
}
