//! A bounded queue of outgoing messages towards one peer on one stream.
//!
//! The core recovers from any lost message, so a slow or dead peer costs bounded memory and nobody waits for it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::frame::Frame;
use crate::core_api::Class;

/// What to drop when a queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    /// The newest news counts: the oldest message goes.
    DropOldest,
    /// An answer that came first is worth most: the new one goes.
    DropNewest,
}

/// Most messages and bytes in a queue of a class.
const fn limits(class: Class) -> (usize, usize, Full) {
    match class {
        Class::Consensus => (1_024, 16 << 20, Full::DropOldest),
        Class::Chunks => (1_024, 32 << 20, Full::DropOldest),
        Class::Ceremony => (1_024, 16 << 20, Full::DropNewest),
        Class::Sync => (64, 64 << 20, Full::DropNewest),
    }
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    ready: Notify,
    dropped: AtomicU64,
    class: Class,
}

#[derive(Debug, Default)]
struct Inner {
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Queue {
    pub(crate) fn new(class: Class) -> Self {
        Self { inner: Mutex::default(), ready: Notify::new(), dropped: AtomicU64::new(0), class }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Adds a frame, dropping one or more if the queue is full. Never waits.
    pub(crate) fn push(&self, frame: Frame) {
        let (max_frames, max_bytes, full) = limits(self.class);
        let mut dropped = 0;
        {
            let mut inner = self.lock();
            let fits = |inner: &Inner| {
                inner.frames.len() < max_frames && inner.bytes.saturating_add(frame.len()) <= max_bytes
            };
            if full == Full::DropOldest {
                while !fits(&inner) {
                    let Some(old) = inner.frames.pop_front() else { break };
                    inner.bytes -= old.len();
                    dropped += 1;
                }
            }
            if fits(&inner) {
                inner.bytes += frame.len();
                inner.frames.push_back(frame);
            } else {
                dropped += 1;
            }
        }
        if dropped > 0 {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        self.ready.notify_one();
    }

    /// Waits until there is something, then takes up to `max_bytes` of it (at least one frame).
    pub(crate) async fn take(&self, max_bytes: usize) -> Vec<Frame> {
        loop {
            let taken = self.try_take(max_bytes);
            if !taken.is_empty() {
                return taken;
            }
            self.ready.notified().await;
        }
    }

    /// Forgets what waits.
    pub(crate) fn clear(&self) {
        let mut inner = self.lock();
        inner.frames.clear();
        inner.bytes = 0;
    }

    fn try_take(&self, max_bytes: usize) -> Vec<Frame> {
        let mut inner = self.lock();
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(next) = inner.frames.front().map(Frame::len) {
            if !taken.is_empty() && bytes + next > max_bytes {
                break;
            }
            taken.extend(inner.frames.pop_front());
            inner.bytes -= next;
            bytes += next;
        }
        taken
    }

    /// Messages dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(byte: u8, length: usize) -> Frame {
        Frame::Message(Bytes::from(vec![byte; length]))
    }

    #[test]
    fn a_full_queue_keeps_its_bounds_and_counts_what_it_drops() {
        for (class, first_kept) in [(Class::Consensus, 1), (Class::Ceremony, 0)] {
            let queue = Queue::new(class);
            let (max_frames, max_bytes, _) = limits(class);
            for i in 0..=max_frames {
                queue.push(message(u8::from(i > 0), 1));
            }
            assert_eq!(queue.dropped(), 1);
            let taken = queue.try_take(max_bytes);
            assert_eq!(taken.len(), max_frames);
            assert_eq!(taken.first(), Some(&message(first_kept, 1)), "{class:?}");
            for _ in 0..20 {
                queue.push(message(0, max_bytes / 8));
            }
            assert!(queue.lock().bytes <= max_bytes);
            assert!(queue.dropped() > 10);
            queue.push(message(0, max_bytes + 1));
            assert!(queue.lock().bytes <= max_bytes);
        }
    }

    #[test]
    fn taking_respects_the_size_but_always_moves() {
        let queue = Queue::new(Class::Sync);
        for _ in 0..3 {
            queue.push(message(0, 100));
        }
        assert_eq!(queue.try_take(1).len(), 1);
        assert_eq!(queue.try_take(1_000).len(), 2);
        assert!(queue.try_take(1_000).is_empty());
    }
}
