//! Stateless resets that survive a restart (RFC 9000, section 10.3).
//!
//! A node that was killed cannot say goodbye. When its clients go on sending, the restarted process knows their
//! connections no more; if it derives reset tokens from the same secret as before, its answer ends them at once instead
//! of at their idle timeout.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, Mac};
use ordering_types::{Digest, SecretKey};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use rand_core::{OsRng, RngCore};
use rollup::wire::MAX_DATAGRAM_BYTES;
use sha2::Sha256;

/// Bytes of a connection id of ours.
const ID_BYTES: usize = 8;

/// An endpoint whose reset tokens come from `key`: secret, and the same at every start of one node.
pub(crate) fn endpoint_config(key: [u8; 32]) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ResetKey(key)));
    config.cid_generator(|| Box::new(RandomIds));
    config.max_udp_payload_size(MAX_DATAGRAM_BYTES).expect("within the protocol's bounds");
    config
}

/// The key of one endpoint, which `name` tells from the node's others. Only its owner can make it, at every start the same.
pub(crate) fn key(name: &str, secret: &SecretKey) -> [u8; 32] {
    Digest::sha256(&[name.as_bytes(), &secret.secret_bytes()]).to_bytes()
}

struct ResetKey([u8; 32]);

impl ResetKey {
    fn mac(&self, data: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(data);
        mac
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        let signature = self.mac(data).finalize().into_bytes();
        signature_out.iter_mut().zip(signature).for_each(|(out, byte)| *out = byte);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        self.mac(data).verify_slice(signature).map_err(|_| CryptoError)
    }
}

/// Connection ids that carry no mark of the process that made them: quinn's usual ones do, and a restarted process would
/// meet the old ones with silence.
#[derive(Debug)]
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; ID_BYTES];
        OsRng.fill_bytes(&mut bytes);
        ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use quinn::{ConnectionError, Endpoint, TokioRuntime};
    use tokio::runtime::Runtime;

    use super::*;
    use crate::quic::server_tls;

    fn listen(port: u16, key: [u8; 32]) -> Endpoint {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let tls = Arc::new(server_tls(rollup::wire::ALPN).unwrap());
        let server = Some(quinn::ServerConfig::with_crypto(tls));
        Endpoint::new(endpoint_config(key), server, socket, Arc::new(TokioRuntime)).unwrap()
    }

    /// A client of a node that was killed and came back went on talking to nobody until its idle timeout, ten seconds
    /// later, because the new process answered packets of the old connection with silence.
    #[test]
    fn a_restarted_node_ends_old_connections_at_once() {
        let (killed, living) = (Runtime::new().unwrap(), Runtime::new().unwrap());
        let first = killed.block_on(async { listen(0, [7; 32]) });
        let address = first.local_addr().unwrap();
        killed.spawn(async move {
            let _connection = first.accept().await.unwrap().await.unwrap();
            std::future::pending::<()>().await;
        });
        living.block_on(async {
            let connector = rollup::client::Connector::new().unwrap();
            let connection = connector.connect(&address.to_string()).await.unwrap();
            // With its runtime the endpoint loses its socket before it can say goodbye, as in a kill.
            tokio::task::spawn_blocking(move || killed.shutdown_timeout(Duration::from_secs(1)))
                .await
                .unwrap();
            let _second = listen(address.port(), [7; 32]);
            // Anything it sends will do; an acknowledgement may have done already.
            if let Ok((mut stream, _)) = connection.open_bi().await {
                let _ = stream.write_all(&[0; 64]).await;
            }
            let ended = tokio::time::timeout(Duration::from_secs(3), connection.closed()).await;
            assert!(matches!(ended, Ok(ConnectionError::Reset)), "{ended:?}");
        });
    }

    #[test]
    fn tokens_are_the_same_at_every_start_and_others_for_another_node() {
        let token = |key| {
            let mut out = [0; 32];
            ResetKey([key; 32]).sign(b"connection", &mut out);
            out
        };
        assert_eq!(token(1), token(1));
        assert_ne!(token(1), token(2));
        assert!(ResetKey([1; 32]).verify(b"connection", &token(1)).is_ok());
        assert!(ResetKey([1; 32]).verify(b"connection", &token(2)).is_err());
    }
}
