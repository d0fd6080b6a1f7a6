//! How two validators show each other who they are on a connection whose certificates prove nothing.
//!
//! ```text
//!   opener   ─▶  u16 opener │ u16 acceptor │ 32 chain spec hash │ 65 signature
//!   acceptor ─▶  65 signature
//! ```
//!
//! Each signs [`Domain::peer_session`](ordering_types::preimage::Domain::peer_session) over keying material of this very TLS
//! session. An acceptor that does not like what it reads closes the connection without a word.

use std::sync::Arc;

use ordering_types::{Signature, ValidatorId};
use quinn::{Connection, ReadExactError, RecvStream, SendStream, WriteError};

use super::Identity;
use crate::network::peer::Peer;

const EXPORTER_LABEL: &[u8] = b"EXPORTER-mpc-sequencer-chunks";
const SIGNATURE_BYTES: usize = 65;
/// Bytes before the first frame.
pub(super) const HELLO_BYTES: usize = 2 + 2 + 32 + SIGNATURE_BYTES;

/// Why a connection is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetingError {
    /// The stream failed.
    #[error("{0}")]
    Read(#[from] ReadExactError),
    /// The stream failed.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// TLS has nothing to sign.
    #[error("the TLS session exports no keying material")]
    NoExporter,
    /// Of another network, or not for us.
    #[error("the greeting is of another network or for another validator")]
    NotForUs,
    /// Somebody else.
    #[error("the other end does not prove to be validator {0}")]
    Unproven(ValidatorId),
}

/// The opener's side.
pub(super) async fn greet(
    connection: &Connection,
    (send, receive): (&mut SendStream, &mut RecvStream),
    identity: &Identity,
    other: &Peer,
) -> Result<(), GreetingError> {
    let material = keying_material(connection)?;
    let mut hello = Vec::with_capacity(HELLO_BYTES);
    hello.extend_from_slice(&identity.me.get().to_be_bytes());
    hello.extend_from_slice(&other.validator.get().to_be_bytes());
    hello.extend_from_slice(identity.chain_spec.as_ref());
    hello.extend_from_slice(&prove(identity, other.validator, material));
    send.write_all(&hello).await?;
    let mut proof = [0; SIGNATURE_BYTES];
    receive.read_exact(&mut proof).await?;
    verify(identity, other, material, proof)
}

/// The acceptor's side: who opened this connection.
pub(super) async fn welcome(
    connection: &Connection,
    (send, receive): (&mut SendStream, &mut RecvStream),
    identity: &Identity,
) -> Result<Arc<Peer>, GreetingError> {
    let material = keying_material(connection)?;
    let mut hello = [0; HELLO_BYTES];
    receive.read_exact(&mut hello).await?;
    let [a, b, c, d, rest @ ..] = hello;
    let (opener, meant) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let Some((hash, proof)) = rest.split_first_chunk::<32>() else { return Err(GreetingError::NotForUs) };
    if meant != identity.me.get() || hash != identity.chain_spec.as_bytes() {
        return Err(GreetingError::NotForUs);
    }
    let opener = ValidatorId::new(opener);
    let proof = *proof.first_chunk().ok_or(GreetingError::Unproven(opener))?;
    // Nobody is a peer of itself: its own proof sent back is none.
    let peer = identity.peers.now().of(opener).cloned().ok_or(GreetingError::Unproven(opener))?;
    verify(identity, &peer, material, proof)?;
    send.write_all(&prove(identity, opener, material)).await?;
    Ok(peer)
}

fn keying_material(connection: &Connection) -> Result<[u8; 32], GreetingError> {
    let mut material = [0; 32];
    let exported = connection.export_keying_material(&mut material, EXPORTER_LABEL, &[]);
    exported.map_err(|_| GreetingError::NoExporter)?;
    Ok(material)
}

fn prove(identity: &Identity, other: ValidatorId, material: [u8; 32]) -> [u8; SIGNATURE_BYTES] {
    let digest = identity.domain.peer_session(identity.me, other, material);
    *identity.key.sign(digest).as_bytes()
}

fn verify(
    identity: &Identity,
    other: &Peer,
    material: [u8; 32],
    proof: [u8; SIGNATURE_BYTES],
) -> Result<(), GreetingError> {
    let digest = identity.domain.peer_session(other.validator, identity.me, material);
    let proven = other.key.verify(digest, &Signature::new(proof));
    if proven { Ok(()) } else { Err(GreetingError::Unproven(other.validator)) }
}
