//! One other validator: its queues, the tasks that write them, and what is known of the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::io::AsyncWriteExt;
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::Control;
use ordering_types::{Digest, ValidatorId};
use tokio::sync::watch;
use tokio::time::timeout;

use super::frame::{self, Frame, StreamError};
use super::queue::Queue;
use crate::core_api::Class;

/// Frames are gathered up to this many bytes between two flushes.
const WRITE_BATCH_BYTES: usize = 512 << 10;
/// A peer that does not answer the handshake for so long is not there.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// First and longest pause before a stream is opened again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// The same complaint about a peer is logged this often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(30);

/// One other validator.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) validator: ValidatorId,
    pub(super) id: PeerId,
    queues: [Queue; 4],
    pub(super) connected: watch::Sender<bool>,
    /// The consensus stream to it is open.
    greeted: AtomicBool,
    /// Round trip through both processes, microseconds; 0 before the first.
    rtt_micros: AtomicU64,
}

/// What is known of a peer, for status and metrics.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(crate) struct PeerStatus {
    /// Who.
    pub(crate) validator: ValidatorId,
    /// Whether votes can be sent to it.
    pub(crate) connected: bool,
    /// Round trip through both processes, milliseconds.
    pub(crate) rtt_ms: Option<f64>,
    /// Messages dropped because its queues were full.
    pub(crate) dropped: u64,
}

impl Peer {
    pub(super) fn new(validator: ValidatorId, id: PeerId) -> Self {
        let queues = Class::ALL.map(Queue::new);
        let (connected, _) = watch::channel(false);
        Self {
            validator,
            id,
            queues,
            connected,
            greeted: AtomicBool::new(false),
            rtt_micros: AtomicU64::new(0),
        }
    }

    pub(super) fn queue(&self, class: Class) -> &Queue {
        let [consensus, chunks, ceremony, sync] = &self.queues;
        match class {
            Class::Consensus => consensus,
            Class::Chunks => chunks,
            Class::Ceremony => ceremony,
            Class::Sync => sync,
        }
    }

    pub(super) fn status(&self) -> PeerStatus {
        let micros = self.rtt_micros.load(Ordering::Relaxed);
        PeerStatus {
            validator: self.validator,
            connected: self.greeted.load(Ordering::Relaxed),
            rtt_ms: (micros > 0).then_some(micros as f64 / 1_000.0),
            dropped: self.queues.iter().map(Queue::dropped).sum(),
        }
    }

    /// Takes the answer to a ping sent at `sent`.
    pub(super) fn record_rtt(&self, sent: u64, now: u64) {
        self.rtt_micros.store(now.saturating_sub(sent).max(1), Ordering::Relaxed);
    }

    /// Keeps one outgoing stream of `class` open and writes its queue, for ever.
    pub(super) async fn write_class(self: Arc<Self>, class: Class, mut control: Control, ours: Digest) {
        let mut backoff = BACKOFF.0;
        let mut complained: Option<Instant> = None;
        let mut connected = self.connected.subscribe();
        loop {
            if connected.wait_for(|up| *up).await.is_err() {
                return;
            }
            let error = match self.open(class, &mut control, ours).await {
                Ok(stream) => {
                    backoff = BACKOFF.0;
                    complained = None;
                    self.mark(class, true);
                    let error = self.write_stream(class, stream).await;
                    self.mark(class, false);
                    error
                }
                Err(error) => error,
            };
            self.complain(class, &error, &mut complained);
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    fn mark(&self, class: Class, up: bool) {
        if class == Class::Consensus {
            self.greeted.store(up, Ordering::Relaxed);
            let validator = self.validator;
            if up {
                tracing::info!(%validator, "connected");
            } else {
                tracing::info!(%validator, "connection lost; reconnecting");
            }
        }
    }

    fn complain(&self, class: Class, error: &StreamError, last: &mut Option<Instant>) {
        let serious = matches!(error, StreamError::Version { .. } | StreamError::Network { .. });
        let validator = self.validator;
        if !serious || class != Class::Consensus {
            tracing::debug!(%validator, class = frame::class_name(class), %error, "stream");
        } else if last.is_none_or(|at| at.elapsed() > COMPLAINT_INTERVAL) {
            *last = Some(Instant::now());
            tracing::error!(%validator, "cannot work with this validator: {error}");
        }
    }

    async fn open(&self, class: Class, control: &mut Control, ours: Digest) -> Result<Stream, StreamError> {
        let open = async {
            let mut stream = control
                .open_stream(self.id, StreamProtocol::new(frame::protocol(class)))
                .await
                .map_err(|e| StreamError::Io(std::io::Error::other(e)))?;
            frame::greet(&mut stream, ours, class).await?;
            Ok(stream)
        };
        timeout(HANDSHAKE_TIMEOUT, open).await.unwrap_or(Err(StreamError::Timeout))
    }

    async fn write_stream(&self, class: Class, mut stream: Stream) -> StreamError {
        let mut buffer = Vec::new();
        loop {
            let frames = self.queue(class).take(WRITE_BATCH_BYTES).await;
            if let Err(error) = write_batch(&mut stream, &frames, &mut buffer).await {
                return error.into();
            }
        }
    }
}

async fn write_batch(stream: &mut Stream, frames: &[Frame], buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.clear();
    for frame in frames {
        frame.write(stream, buffer).await?;
    }
    stream.write_all(buffer).await?;
    stream.flush().await
}
