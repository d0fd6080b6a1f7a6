//! What one connection may ask for before it takes its answers.
//!
//! The JSON-RPC library starts every message of a WebSocket as a task of its own and reads on. So a client that sends
//! requests and takes no answers, or takes them slower than it asks, would have any number of answers kept for it. The
//! rule here is on bytes, below the library: after [`WINDOW_BYTES`], or once the client does not take what is written
//! to it, nothing more is read until all calls have ended and nothing has been written for [`QUIET`].
//! [`Calls`] adds how many of them run at once.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Sleep, sleep};

/// Bytes read from a client, then its answers come first.
const WINDOW_BYTES: usize = 64 << 10;
/// No write for so long: there is nothing left to write.
const QUIET: Duration = Duration::from_millis(2);
/// Calls of one connection that run at once; more wait.
const MAX_CALLS: usize = 8;

/// The calls of one connection.
#[derive(Debug)]
pub(crate) struct Calls {
    /// Begun, whether they run or wait.
    begun: AtomicUsize,
    places: Arc<Semaphore>,
    /// Whether the client has not yet taken what was written.
    stuck: watch::Sender<bool>,
    reader: AtomicWaker,
}

impl Calls {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: AtomicUsize::new(0),
            places: Arc::new(Semaphore::new(MAX_CALLS)),
            stuck: watch::Sender::new(false),
            reader: AtomicWaker::new(),
        })
    }

    /// Waits until a call may run; it has ended when the answer is dropped.
    pub(crate) async fn begin(self: Arc<Self>) -> Call {
        self.begun.fetch_add(1, Ordering::AcqRel);
        let mut call = Call { calls: self, place: None };
        let mut stuck = call.calls.stuck.subscribe();
        call.place = Arc::clone(&call.calls.places).acquire_owned().await.ok();
        // Its answer could only be kept. An error is impossible: the sender is in `call`.
        let _ = stuck.wait_for(|stuck| !stuck).await;
        call
    }
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    calls: Arc<Calls>,
    place: Option<OwnedSemaphorePermit>,
}

impl Drop for Call {
    fn drop(&mut self) {
        drop(self.place.take());
        self.calls.begun.fetch_sub(1, Ordering::AcqRel);
        self.calls.reader.wake();
    }
}

/// Decides when a connection is read.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) calls: Arc<Calls>,
    /// Bytes read since the last quiet moment.
    window: usize,
    /// The socket takes no more bytes.
    full: bool,
    quiet: Pin<Box<Sleep>>,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self { calls: Calls::new(), window: 0, full: false, quiet: Box::pin(sleep(Duration::ZERO)) }
    }

    /// Ready when the client may be read.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.window < WINDOW_BYTES {
            return Poll::Ready(());
        }
        // First, else what ends between a look and this would wake nobody.
        self.calls.reader.register(context.waker());
        if self.full {
            return Poll::Pending;
        }
        ready!(self.quiet.as_mut().poll(context));
        // Calls that wait for this may run; until they have ended, too, nothing more is read.
        self.calls.stuck.send_if_modified(std::mem::take);
        if self.calls.begun.load(Ordering::Acquire) > 0 {
            return Poll::Pending;
        }
        self.window = 0;
        Poll::Ready(())
    }

    pub(super) const fn read(&mut self, bytes: usize) {
        self.window = self.window.saturating_add(bytes);
    }

    /// A write has been tried.
    pub(super) fn wrote(&mut self, full: bool) {
        if full {
            self.window = WINDOW_BYTES;
            self.calls.stuck.send_if_modified(|stuck| !std::mem::replace(stuck, true));
        } else {
            self.quiet.as_mut().reset(Instant::now() + QUIET);
        }
        self.full = full;
        self.calls.reader.wake();
    }
}
