//! The acceptor's side: who may come in, and what they send.

use std::collections::BTreeMap;
use std::sync::Arc;

use ordering_types::ValidatorId;
use quinn::{Connection, Endpoint, Incoming, RecvStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::Identity;
use super::frames::Frames;
use super::greeting::{self, HELLO_BYTES};
use super::repair::{Assembler, RepairError};
use crate::core_api::Class;
use crate::network::frame::StreamError;
use crate::network::inbox::{InboxSender, Intake};
use crate::network::peer::{HANDSHAKE_TIMEOUT, Peer};
use crate::quic;

/// Connections whose other end has not yet shown who it is.
const MAX_UNKNOWN: usize = 64;
/// Bytes read from the stream at once.
const READ_BYTES: usize = 64 << 10;

/// Takes connections and keeps the newest of each peer.
pub(super) async fn accept(endpoint: Endpoint, identity: Arc<Identity>, inbox: InboxSender) {
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
                let (peer, inbox) = (Arc::clone(&arrival.peer), inbox.clone());
                let validator = peer.validator;
                newest.retain(|_, reader| !reader.is_finished());
                let reader = async move { peer.while_here(read(arrival, &inbox)).await };
                if let Some(old) = newest.insert(validator, readers.spawn(reader)) {
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
    peer: Arc<Peer>,
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
            Ok(peer) => Some(Arrival { peer, connection, stream }),
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

async fn read(arrival: Arrival, inbox: &InboxSender) {
    let validator = arrival.peer.validator;
    let mut intake = Intake::new(Class::Chunks, &arrival.peer, inbox);
    let mut assembler = Assembler::new(HELLO_BYTES as u64);
    if let Err(error) = read_messages(arrival, &mut assembler, &mut intake).await {
        tracing::warn!(%validator, "closed the chunk connection of this validator: {error}");
    }
    tracing::debug!(%validator, repaired = assembler.repaired(), "a chunk connection ended");
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// What the stream says.
    #[error(transparent)]
    Frame(#[from] StreamError),
    /// How it says it.
    #[error(transparent)]
    Repair(#[from] RepairError),
}

/// Until the stream or the connection ends, or the node stops.
async fn read_messages(
    arrival: Arrival,
    assembler: &mut Assembler,
    intake: &mut Intake,
) -> Result<(), ReadError> {
    let Arrival { connection, mut stream, .. } = arrival;
    let mut frames = Frames::default();
    loop {
        tokio::select! {
            chunk = stream.read_chunk(READ_BYTES, false) => match chunk {
                Ok(Some(chunk)) => assembler.take(chunk.offset, &chunk.bytes)?,
                Ok(None) | Err(_) => return Ok(()),
            },
            datagram = connection.read_datagram() => match datagram {
                Ok(datagram) => assembler.take_parity(datagram)?,
                Err(_) => return Ok(()),
            },
        }
        while let Some(mut bytes) = assembler.next() {
            while let Some(message) = frames.next(&mut bytes)? {
                if !intake.take(message).await {
                    return Ok(());
                }
            }
        }
    }
}
