//! The acceptor's side: who may come in, and what they send.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ordering_types::ValidatorId;
use quinn::{Connection, Endpoint, Incoming, RecvStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::Identity;
use super::greeting;
use crate::core_api::Class;
use crate::network::frame::{self, StreamError};
use crate::network::peer::{HANDSHAKE_TIMEOUT, Peer};
use crate::network::swarm::{InboxSender, Intake};
use crate::quic;

/// Connections whose other end has not yet shown who it is.
const MAX_UNKNOWN: usize = 64;
/// Memory for a frame grows with the bytes that arrive, by at most this much at once.
const READ_STEP_BYTES: usize = 256 << 10;

/// Takes connections and keeps the newest of each peer.
pub(super) async fn accept(
    endpoint: Endpoint,
    identity: Arc<Identity>,
    peers: Arc<BTreeMap<ValidatorId, Arc<Peer>>>,
    inbox: InboxSender,
) {
    let unknown = Arc::new(Semaphore::new(MAX_UNKNOWN));
    let (known, mut arrivals) = mpsc::channel::<Arrival>(MAX_UNKNOWN);
    let mut greetings = JoinSet::new();
    let mut readers = JoinSet::new();
    let mut newest: BTreeMap<ValidatorId, AbortHandle> = BTreeMap::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { return };
                if let Some((incoming, permit)) = quic::admit(incoming, &unknown) {
                    let (identity, known) = (Arc::clone(&identity), known.clone());
                    greetings.spawn(welcome(incoming, permit, identity, known));
                }
            }
            Some(arrival) = arrivals.recv() => {
                let Some(peer) = peers.get(&arrival.validator) else { continue };
                let reader = readers.spawn(read(arrival, Arc::clone(peer), inbox.clone()));
                if let Some(old) = newest.insert(peer.validator, reader) {
                    old.abort();
                }
            }
            Some(_) = greetings.join_next() => {}
            Some(_) = readers.join_next() => {}
        }
    }
}

/// A connection whose opener has shown who it is.
struct Arrival {
    validator: ValidatorId,
    connection: Connection,
    stream: RecvStream,
}

async fn welcome(
    incoming: Incoming,
    _permit: OwnedSemaphorePermit,
    identity: Arc<Identity>,
    known: mpsc::Sender<Arrival>,
) {
    let from = incoming.remote_address();
    let greeting = async {
        let connection = incoming.accept().ok()?.await.ok()?;
        let (mut send, mut stream) = connection.accept_bi().await.ok()?;
        match greeting::welcome(&connection, (&mut send, &mut stream), &identity).await {
            Ok(validator) => Some(Arrival { validator, connection, stream }),
            Err(error) => {
                tracing::debug!(%from, %error, "refused a connection for chunks");
                None
            }
        }
    };
    if let Ok(Some(arrival)) = timeout(HANDSHAKE_TIMEOUT, greeting).await {
        // The receiver ends with the node.
        let _ = known.send(arrival).await;
    }
}

async fn read(arrival: Arrival, peer: Arc<Peer>, inbox: InboxSender) {
    let Arrival { connection, mut stream, .. } = arrival;
    let validator = peer.validator;
    let mut intake = Intake::new(Class::Chunks, &peer, &inbox);
    loop {
        match read_message(&mut stream).await {
            Ok(Some(bytes)) => {
                if !intake.take(bytes).await {
                    break;
                }
            }
            Ok(None) | Err(StreamError::Io(_)) => break,
            Err(error) => {
                tracing::warn!(%validator, "closed the chunk connection of this validator: {error}");
                break;
            }
        }
    }
    drop(connection);
}

/// One message; `None` at a clean end.
async fn read_message(stream: &mut RecvStream) -> Result<Option<Bytes>, StreamError> {
    let io = |error: quinn::ReadExactError| StreamError::Io(std::io::Error::other(error));
    let mut head = [0; frame::HEAD_BYTES];
    match stream.read_exact(&mut head).await {
        Ok(()) => {}
        Err(quinn::ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(error) => return Err(io(error)),
    }
    let length = frame::message_length(head, Class::Chunks)?;
    let mut body = BytesMut::with_capacity(length.min(READ_STEP_BYTES));
    while body.len() < length {
        let start = body.len();
        body.resize(length.min(start + READ_STEP_BYTES), 0);
        if let Some(space) = body.get_mut(start..) {
            stream.read_exact(space).await.map_err(io)?;
        }
    }
    Ok(Some(body.freeze()))
}
