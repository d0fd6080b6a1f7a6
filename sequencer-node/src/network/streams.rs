//! Streams that come in over libp2p.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures::StreamExt;
use libp2p::{PeerId, Stream};
use libp2p_stream::IncomingStreams;
use ordering_types::Digest;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::frame::{self, Frame, StreamError};
use super::inbox::{InboxSender, Intake};
use super::peer::{HANDSHAKE_TIMEOUT, Peer};
use super::roster::Peers;
use crate::core_api::Class;

/// Takes incoming streams of one class at once (the library drops those that wait) and keeps the newest of each peer.
pub(super) async fn accept(
    class: Class,
    mut incoming: IncomingStreams,
    peers: Arc<Peers>,
    ours: Digest,
    inbox: InboxSender,
) {
    let mut newest: BTreeMap<PeerId, AbortHandle> = BTreeMap::new();
    let mut readers = JoinSet::new();
    loop {
        tokio::select! {
            next = incoming.next() => {
                let Some((id, stream)) = next else { return };
                let Some(peer) = peers.now().with_key(&id).cloned() else { continue };
                newest.retain(|_, reader| !reader.is_finished());
                let inbox = inbox.clone();
                let reader = async move {
                    peer.while_here(read_stream(class, stream, &peer, ours, &inbox)).await;
                };
                if let Some(old) = newest.insert(id, readers.spawn(reader)) {
                    old.abort();
                }
            }
            Some(_) = readers.join_next() => {}
        }
    }
}

async fn read_stream(class: Class, mut stream: Stream, peer: &Arc<Peer>, ours: Digest, inbox: &InboxSender) {
    let validator = peer.validator;
    let greeting = timeout(HANDSHAKE_TIMEOUT, frame::welcome(&mut stream, ours, class));
    let outcome = match greeting.await.unwrap_or(Err(StreamError::Timeout)) {
        Ok(()) => read_frames(class, &mut stream, peer, inbox).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) | Err(StreamError::Io(_)) => {}
        Err(error) => {
            tracing::warn!(%validator, class = frame::class_name(class), "closed a stream of this validator: {error}");
        }
    }
}

async fn read_frames(
    class: Class,
    stream: &mut Stream,
    peer: &Arc<Peer>,
    inbox: &InboxSender,
) -> Result<(), StreamError> {
    let mut intake = Intake::new(class, peer, inbox);
    while let Some(frame) = Frame::read(stream, class).await? {
        match frame {
            Frame::Message(bytes) => {
                if !intake.take(bytes).await {
                    return Ok(());
                }
            }
            Frame::Ping(number) => peer.queue(Class::Consensus).push(Frame::Pong(number)),
            Frame::Pong(number) => peer.record_rtt(number, clock_micros()),
            Frame::ChunksAt(port) => peer.takes_chunks_at(port),
        }
    }
    Ok(())
}

/// Microseconds of a clock that only measures intervals here.
pub(super) fn clock_micros() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX)
}
