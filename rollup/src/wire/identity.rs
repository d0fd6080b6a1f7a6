//! Which validator is at the other end of a connection.

use ordering_types::preimage::Domain;
use ordering_types::{PublicKey, SecretKey, Signature, ValidatorId};
use quinn::Connection;

use super::{EXPORTER_BYTES, EXPORTER_LABEL};

/// The TLS session has no exporter (its handshake is not complete).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the TLS session exports no keying material")]
pub struct NoExporter;

/// Bytes that both ends of this connection, and nobody else, can compute.
fn keying_material(connection: &Connection) -> Result<[u8; EXPORTER_BYTES], NoExporter> {
    let mut material = [0; EXPORTER_BYTES];
    connection.export_keying_material(&mut material, EXPORTER_LABEL, &[]).map_err(|_| NoExporter)?;
    Ok(material)
}

/// The node's side: what goes into [`Welcome::identity_proof`](super::Welcome::identity_proof).
pub fn prove_identity(
    connection: &Connection,
    domain: &Domain,
    validator: ValidatorId,
    key: &SecretKey,
) -> Result<Signature, NoExporter> {
    Ok(key.sign(domain.client_session(validator, keying_material(connection)?)))
}

/// The client's side: whether the validator with `key` is at the other end of this very connection.
pub fn verify_identity(
    connection: &Connection,
    domain: &Domain,
    validator: ValidatorId,
    key: &PublicKey,
    proof: &Signature,
) -> Result<bool, NoExporter> {
    Ok(key.verify(domain.client_session(validator, keying_material(connection)?), proof))
}
