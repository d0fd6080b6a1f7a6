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

/// Connections open at once; more are closed as soon as they come.
pub(crate) const MAX_CONNECTIONS: usize = 256;
/// A connection on which nothing arrives for this long is closed.
const IDLE_LIMIT: Duration = Duration::from_secs(120);

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
            // Retries by itself when the system is out of descriptors.
            let (stream, address) = Listener::accept(&mut self.listener).await;
            let Ok(place) = self.places.clone().try_acquire_owned() else { continue };
            // Answers are small and waited for; without this they may wait for an acknowledgement.
            let _ = stream.set_nodelay(true);
            return (Connection { stream, idle: Box::pin(sleep(IDLE_LIMIT)), _place: place }, address);
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
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE_LIMIT);
            return read;
        }
        match self.idle.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::AsyncReadExt;

    use super::*;

    async fn pair(listener: &mut Limited) -> (TcpStream, Connection) {
        let address = listener.local_addr().unwrap();
        let (client, (server, _)) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.unwrap(), server)
    }

    #[tokio::test]
    async fn one_too_many_is_closed_and_a_freed_place_is_used() {
        let mut listener = Limited::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let mut open = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            open.push(pair(&mut listener).await);
        }
        let address = listener.local_addr().unwrap();
        let mut refused = TcpStream::connect(address).await.unwrap();
        let mut byte = [0];
        tokio::select! {
            _ = listener.accept() => panic!("there was no place"),
            end = refused.read(&mut byte) => assert_eq!(end.unwrap_or(0), 0),
        }
        open.pop();
        pair(&mut listener).await;
    }

    #[tokio::test]
    async fn silence_ends_a_connection() {
        let mut listener = Limited::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (_client, mut server) = pair(&mut listener).await;
        server.idle.as_mut().reset(Instant::now());
        let error = server.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
