//! A listener that half-open or forgotten connections cannot exhaust.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections open at once; more wait in the kernel.
pub(crate) const MAX_CONNECTIONS: usize = 64;
/// A connection on which nothing moves for this long is closed.
const IDLE_LIMIT: Duration = Duration::from_secs(5);
/// A connection ends after so long, whatever it does: clients that poll connect again.
const LIFETIME: Duration = Duration::from_secs(15);
/// Pause after a failed accept (such as no free file handle).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts at most [`MAX_CONNECTIONS`] at once.
#[derive(Debug)]
pub(crate) struct Limited {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Limited {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(MAX_CONNECTIONS)) }
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let place = Arc::clone(&self.places).acquire_owned().await;
            match (place, self.listener.accept().await) {
                (Ok(place), Ok((stream, address))) => {
                    let (idle, end) = (Box::pin(sleep(IDLE_LIMIT)), Box::pin(sleep(LIFETIME)));
                    return (Connection { stream, idle, end, _place: place }, address);
                }
                _ => sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// An accepted connection; it gives its place back when it ends.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    end: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Passes on what the socket said, unless it is too late for that.
    fn watch<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let late = || Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        if self.end.as_mut().poll(context).is_ready() {
            return late();
        }
        if outcome.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE_LIMIT);
            return outcome;
        }
        if self.idle.as_mut().poll(context).is_ready() { late() } else { Poll::Pending }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
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
        self.watch(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::AsyncReadExt;

    use super::*;

    async fn listener() -> Limited {
        Limited::new(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    async fn pair(listener: &mut Limited) -> (TcpStream, Connection) {
        let address = listener.local_addr().unwrap();
        let (client, (server, _)) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.unwrap(), server)
    }

    #[tokio::test]
    async fn one_too_many_waits_for_a_freed_place() {
        let mut listener = listener().await;
        let mut open = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            open.push(pair(&mut listener).await);
        }
        let waiting = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::select! {
            biased;
            _ = listener.accept() => panic!("there was no place"),
            () = tokio::task::yield_now() => {}
        }
        open.pop();
        let (_server, from) = listener.accept().await;
        assert_eq!(from, waiting.local_addr().unwrap());
    }

    #[tokio::test]
    async fn silence_and_age_end_a_connection() {
        let mut listener = listener().await;
        for age in [false, true] {
            let (_client, mut server) = pair(&mut listener).await;
            let timer = if age { &mut server.end } else { &mut server.idle };
            timer.as_mut().reset(Instant::now());
            let error = server.read(&mut [0]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
    }
}
