//! One other validator: its queues, the tasks that write them, and what is known of the connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::io::AsyncWriteExt;
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::Control;
use ordering_types::{Digest, PublicKey, ValidatorId};
use tokio::sync::watch;
use tokio::time::timeout;

use super::chunks::{Chunks, Link, LinkError};
use super::frame::{self, Frame, StreamError};
use super::identity;
use super::place::Place;
use super::queue::Queue;
use crate::core_api::Class;

/// Frames are gathered up to this many bytes between two flushes.
const WRITE_BATCH_BYTES: usize = 512 << 10;
/// A peer that does not answer the handshake for so long is not there.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// First and longest pause before a stream is opened again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Chunks and reports for a peer that was away for longer are of heights that it gets by value sync.
const CHUNKS_KEPT: Duration = Duration::from_secs(2);
/// The same complaint about a peer is logged this often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(30);

/// A peer that has not said within this time where it takes chunks gets them over libp2p.
const DIRECT_PATIENCE: Duration = Duration::from_secs(1);
/// How long they then go that way before the direct one is tried again.
const DIRECT_RETRY: Duration = Duration::from_secs(10);

/// How streams to peers are opened.
#[derive(Clone)]
pub(super) struct Ways {
    pub(super) control: Control,
    /// Hash of the genesis file.
    pub(super) ours: Digest,
    pub(super) direct: Option<Direct>,
}

/// Connections for chunks alone.
#[derive(Clone)]
pub(super) struct Direct {
    pub(super) chunks: Chunks,
    /// The port that peers are told.
    pub(super) announce: u16,
}

/// One other validator.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) validator: ValidatorId,
    pub(super) key: PublicKey,
    /// That of the key.
    pub(super) id: PeerId,
    pub(super) place: Place,
    queues: [Queue; 4],
    pub(super) connected: watch::Sender<bool>,
    /// Connections to it that have ended. What is written to one of their streams is lost, and only the next write would tell.
    ended: watch::Sender<u64>,
    /// It is no peer any more.
    removed: watch::Sender<bool>,
    /// Where it says it takes chunks.
    chunks_at: watch::Sender<Option<u16>>,
    /// The consensus stream to it is open.
    greeted: AtomicBool,
    /// Chunks go to it on a connection of their own.
    direct: AtomicBool,
    /// Round trip through both processes, microseconds; 0 before the first.
    rtt_micros: AtomicU64,
}

/// What is known of a peer, for status and metrics.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(crate) struct PeerStatus {
    /// Who.
    pub(crate) validator: ValidatorId,
    /// Whether it is a member of the committee.
    pub(crate) committee: bool,
    /// Whether votes can be sent to it.
    pub(crate) connected: bool,
    /// Whether chunks go to it on a connection of their own, not over libp2p.
    pub(crate) direct: bool,
    /// Round trip through both processes, milliseconds.
    pub(crate) rtt_ms: Option<f64>,
    /// Messages dropped because its queues were full.
    pub(crate) dropped: u64,
}

impl Peer {
    pub(super) fn new(validator: ValidatorId, key: PublicKey) -> Self {
        let queues = Class::ALL.map(Queue::new);
        let (connected, _) = watch::channel(false);
        let (ended, _) = watch::channel(0);
        let (removed, _) = watch::channel(false);
        let (chunks_at, _) = watch::channel(None);
        Self {
            validator,
            key,
            id: identity::peer_id(&key),
            place: Place::default(),
            queues,
            connected,
            ended,
            removed,
            chunks_at,
            greeted: AtomicBool::new(false),
            direct: AtomicBool::new(false),
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

    /// Ends all that is done for it, and forgets what waits for it.
    pub(super) fn remove(&self) {
        self.removed.send_replace(true);
        self.queues.iter().for_each(Queue::clear);
    }

    /// Whether it was removed.
    pub(super) fn is_removed(&self) -> bool {
        *self.removed.borrow()
    }

    /// Does `work` to its end, or until the peer is removed.
    pub(super) async fn while_here(&self, work: impl Future<Output = ()>) {
        let mut removed = self.removed.subscribe();
        tokio::select! {
            biased;
            // The peer has the sender.
            _ = removed.wait_for(|removed| *removed) => {}
            () = work => {}
        }
    }

    pub(super) fn status(&self, committee: bool) -> PeerStatus {
        let micros = self.rtt_micros.load(Ordering::Relaxed);
        PeerStatus {
            validator: self.validator,
            committee,
            connected: self.greeted.load(Ordering::Relaxed),
            direct: self.direct.load(Ordering::Relaxed),
            rtt_ms: (micros > 0).then_some(micros as f64 / 1_000.0),
            dropped: self.queues.iter().map(Queue::dropped).sum(),
        }
    }

    /// Takes the answer to a ping sent at `sent`.
    pub(super) fn record_rtt(&self, sent: u64, now: u64) {
        self.rtt_micros.store(now.saturating_sub(sent).max(1), Ordering::Relaxed);
    }

    /// Notes where it takes chunks.
    pub(super) fn takes_chunks_at(&self, port: u16) {
        self.chunks_at.send_if_modified(|known| known.replace(port) != Some(port));
    }

    /// Notes that a connection to it has ended, or is about to because a newer one replaces it.
    pub(super) fn connection_ended(&self) {
        self.ended.send_modify(|count| *count += 1);
    }

    /// Keeps one outgoing stream of `class` open and writes its queue, for ever.
    pub(super) async fn write_class(&self, class: Class, mut ways: Ways) {
        let mut backoff = BACKOFF.0;
        let mut complained: Option<Instant> = None;
        let mut connected = self.connected.subscribe();
        let mut ended = self.ended.subscribe();
        let mut met = false;
        loop {
            ended.mark_unchanged();
            let gone = (!*connected.borrow()).then(Instant::now);
            if connected.wait_for(|up| *up).await.is_err() {
                return;
            }
            if let Some(gone) = gone.filter(|_| met) {
                self.forget_stale(class, gone.elapsed());
            }
            met = true;
            if let (Class::Chunks, Some(direct)) = (class, &ways.direct) {
                let began = Instant::now();
                if self.write_directly(direct).await {
                    // Perhaps it takes connections only to close them.
                    let brief = began.elapsed() < BACKOFF.1;
                    tokio::time::sleep(if brief { backoff } else { BACKOFF.0 }).await;
                    backoff = if brief { (backoff * 2).min(BACKOFF.1) } else { BACKOFF.0 };
                    continue;
                }
            }
            let error = match self.open(class, &mut ways).await {
                Ok(stream) => {
                    backoff = BACKOFF.0;
                    complained = None;
                    self.mark(class, true);
                    let error = self.write_stream(class, stream, &ways, &mut ended).await;
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

    /// Votes and reports of heights that were decided while it was away would only tell it that it is less far behind than it is.
    fn forget_stale(&self, class: Class, away: Duration) {
        let stale = match class {
            Class::Consensus => true,
            Class::Chunks => away > CHUNKS_KEPT,
            Class::Ceremony | Class::Sync => false,
        };
        if stale {
            self.queue(class).clear();
        }
    }

    /// Writes chunks on a connection of their own for as long as it lasts. False: none can be had.
    async fn write_directly(&self, direct: &Direct) -> bool {
        let mut chunks_at = self.chunks_at.subscribe();
        let mut ended = self.ended.subscribe();
        let told = timeout(DIRECT_PATIENCE, chunks_at.wait_for(Option::is_some)).await;
        let Some(port) = told.ok().and_then(|told| told.ok().and_then(|port| *port)) else { return false };
        // Of a peer that is connected it is known, whatever the directory says.
        let Some(ip) = self.place.ip() else { return false };
        let validator = self.validator;
        tokio::select! {
            linked = direct.chunks.link(self, ip, port) => match linked {
                Ok(link) => {
                    self.direct.store(true, Ordering::Relaxed);
                    let error = self.write_link(link).await;
                    self.direct.store(false, Ordering::Relaxed);
                    tracing::debug!(%validator, %error, "the direct way for chunks ended");
                    true
                }
                Err(error) => {
                    tracing::debug!(%validator, port, %error, "no direct way for chunks");
                    false
                }
            },
            // Another process by now.
            _ = chunks_at.changed() => true,
            // Perhaps another one at the same port.
            _ = ended.changed() => true,
        }
    }

    async fn write_link(&self, mut link: Link) -> LinkError {
        let mut closed = std::pin::pin!(link.closed());
        loop {
            let frames = tokio::select! {
                frames = self.queue(Class::Chunks).take(WRITE_BATCH_BYTES) => frames,
                () = link.send_parity() => continue,
                error = &mut closed => return error,
            };
            if let Err(error) = link.write(frames).await {
                return error;
            }
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

    async fn open(&self, class: Class, ways: &mut Ways) -> Result<Stream, StreamError> {
        let ours = ways.ours;
        let open = async {
            let mut stream = ways
                .control
                .open_stream(self.id, StreamProtocol::new(frame::protocol(class)))
                .await
                .map_err(|e| StreamError::Io(std::io::Error::other(e)))?;
            frame::greet(&mut stream, ours, class).await?;
            Ok(stream)
        };
        timeout(HANDSHAKE_TIMEOUT, open).await.unwrap_or(Err(StreamError::Timeout))
    }

    async fn write_stream(
        &self,
        class: Class,
        mut stream: Stream,
        ways: &Ways,
        ended: &mut watch::Receiver<u64>,
    ) -> StreamError {
        let mut buffer = Vec::new();
        if let (Class::Consensus, Some(direct)) = (class, &ways.direct) {
            let told = write_batch(&mut stream, &[Frame::ChunksAt(direct.announce)], &mut buffer).await;
            if let Err(error) = told {
                return error.into();
            }
        }
        // Chunks take this way only while the direct one cannot be had, which is tried again now and then.
        let until = (class == Class::Chunks && ways.direct.is_some()).then(|| Instant::now() + DIRECT_RETRY);
        while until.is_none_or(|until| Instant::now() < until) {
            let frames = tokio::select! {
                frames = self.queue(class).take(WRITE_BATCH_BYTES) => frames,
                _ = ended.changed() => return StreamError::ConnectionEnded,
            };
            if let Err(error) = write_batch(&mut stream, &frames, &mut buffer).await {
                return error.into();
            }
        }
        StreamError::Timeout
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
