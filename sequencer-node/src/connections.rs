//! HTTP connections with bounds: so many at once, each for so long.
//!
//! A client costs a file handle from its first packet on, whether it asks for anything or not. So a place is taken for
//! the connection, not for a request, and is given back only when the connection is gone: what became a WebSocket
//! keeps the place that it came with.

mod flow;

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower::{BoxError, Service};

pub(crate) use flow::Calls;
use flow::Flow;

/// Pause after a failed accept (such as no free file handle).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest head of a request, and most of a body that is read ahead.
const MAX_BUFFER_BYTES: usize = 64 << 10;

/// What becomes of a connection that finds no place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Crowded {
    /// It is closed at once: for ports of strangers, who would fill any queue.
    Close,
    /// It waits in the kernel: for ports whose clients are few and end soon.
    Wait,
}

/// Bounds of one port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at once.
    pub(crate) connections: usize,
    /// What happens to more.
    pub(crate) crowded: Crowded,
    /// From the opening, or from the last answer, to the end of the next request's head.
    pub(crate) request: Duration,
    /// Time in which no byte moves, though one should: within a request, an answer or a WebSocket session.
    pub(crate) stall: Duration,
    /// An HTTP connection ends after so long, whatever it does; sessions that it turned into do not.
    pub(crate) lifetime: Option<Duration>,
}

/// Serves HTTP/1.1 until `stopped` completes and the requests under way are answered. Dropping it ends all connections
/// that are not upgraded. `service` is called once a connection; its calls may be counted.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    limits: Limits,
    mut service: impl FnMut(&Arc<Calls>) -> S,
    stopped: impl Future<Output = ()> + Clone + Send + 'static,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut running = JoinSet::new();
    let mut end = pin!(stopped.clone());
    loop {
        tokio::select! {
            () = &mut end => break,
            Some(_) = running.join_next() => {}
            (stream, place) = accept(&listener, &places, limits.crowded) => {
                let idle = Box::pin(sleep(limits.stall));
                let flow = Flow::new();
                let service = service(&flow.calls);
                let connection = Connection { stream, stall: limits.stall, idle, flow, _place: place };
                running.spawn(converse(connection, limits, service, stopped.clone()));
            }
        }
    }
    drop(listener);
    while running.join_next().await.is_some() {}
}

/// The next connection that has a place.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    crowded: Crowded,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let early = match crowded {
            Crowded::Close => None,
            Crowded::Wait => Arc::clone(places).acquire_owned().await.ok(),
        };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Some(place) = early.or_else(|| Arc::clone(places).try_acquire_owned().ok()) else { continue };
        // Answers are small and waited for; without this they may wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        return (stream, place);
    }
}

/// Serves one connection. How it ends concerns its client alone.
async fn converse<S, B>(connection: Connection, limits: Limits, service: S, stopped: impl Future<Output = ()>)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: HttpBody + 'static,
    B::Error: Into<BoxError>,
{
    let mut http = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.request)
            .max_buf_size(MAX_BUFFER_BYTES)
            .serve_connection(TokioIo::new(connection), TowerToHyperService::new(service))
            .with_upgrades()
    );
    let whole = async {
        tokio::select! {
            ended = http.as_mut() => ended,
            () = stopped => {
                http.as_mut().graceful_shutdown();
                http.await
            }
        }
    };
    let ended = match limits.lifetime {
        Some(lifetime) => timeout(lifetime, whole).await.unwrap_or(Ok(())),
        None => whole.await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}

/// An accepted connection; it gives its place back when it ends.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    stall: Duration,
    idle: Pin<Box<Sleep>>,
    flow: Flow,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Passes on what the socket said, unless it has said nothing for too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            let end = Instant::now() + self.stall;
            self.idle.as_mut().reset(end);
            return outcome;
        }
        self.idle.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.flow.poll_read(context).is_pending() {
            return self.watch(context, Poll::Pending);
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.flow.read(buffer.filled().len() - before);
        self.watch(context, outcome)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.flow.wrote(outcome.is_pending());
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.flow.wrote(outcome.is_pending());
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
