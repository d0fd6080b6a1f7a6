//! QUIC as both of the node's own endpoints speak it: TLS 1.3 only, no early data, a certificate that proves nothing.
//!
//! Who is at the other end is proven inside the connection, by a validator's signature over keying material that both
//! ends export from the TLS session (RFC 8446, section 7.5).

pub(crate) mod reset;

use std::sync::Arc;

use quinn::Incoming;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// No certificate, or no TLS settings.
#[derive(Debug, thiserror::Error)]
#[error("TLS: {0}")]
pub(crate) struct TlsError(String);

/// Makes unknown addresses prove themselves (Retry), and refuses connections beyond `places`.
pub(crate) fn admit(incoming: Incoming, places: &Arc<Semaphore>) -> Option<(Incoming, OwnedSemaphorePermit)> {
    if !incoming.remote_address_validated() {
        // Fails only for addresses that are validated.
        let _ = incoming.retry();
        return None;
    }
    match Arc::clone(places).try_acquire_owned() {
        Ok(place) => Some((incoming, place)),
        Err(_) => {
            incoming.refuse();
            None
        }
    }
}

/// The server's side of TLS, under a fresh self-signed certificate.
pub(crate) fn server_tls(alpn: &[u8]) -> Result<QuicServerConfig, TlsError> {
    let failed = |error: &dyn std::fmt::Display| TlsError(error.to_string());
    let made = rcgen::generate_simple_self_signed(vec!["mpc-seq".to_owned()]).map_err(|e| failed(&e))?;
    let certificate = CertificateDer::from(made.cert);
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut crypto = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| failed(&e))?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(|e| failed(&e))?;
    crypto.alpn_protocols = vec![alpn.to_vec()];
    crypto.max_early_data_size = 0;
    QuicServerConfig::try_from(crypto).map_err(|e| failed(&e))
}
