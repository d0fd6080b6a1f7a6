//! What fuzz targets call: a stream of another validator, whatever bytes come on it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::executor::block_on;
use futures::io::{AsyncRead, AsyncWrite};
use ordering_types::Digest;

use super::frame::{Frame, greet, welcome};
use crate::core_api::Class;

/// A peer that said all of `input` at once and takes whatever is written.
struct Peer<'a> {
    input: &'a [u8],
    written: usize,
}

impl AsyncRead for Peer<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_read(cx, to)
    }
}

impl AsyncWrite for Peer<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.written += from.len();
        Poll::Ready(Ok(from.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Both sides of the handshake, then frames to the end: each frame has one encoding, and as many come as fit into the bytes.
pub(crate) fn stream(input: &[u8], class: u8) {
    let class = Class::ALL.into_iter().nth(usize::from(class % 4)).expect("there are four classes");
    let ours = Digest::new([5; 32]);
    for accept in [true, false] {
        let mut peer = Peer { input, written: 0 };
        let _ = block_on(async {
            if accept { welcome(&mut peer, ours, class).await } else { greet(&mut peer, ours, class).await }
        });
    }
    let mut left = input;
    loop {
        let before = left;
        let Ok(Some(frame)) = block_on(Frame::read(&mut left, class)) else { return };
        let used = before.split_at(before.len() - left.len()).0;
        let (head, body) = frame.into_pieces();
        assert_eq!([head, body].concat(), used, "two encodings of a frame");
    }
}
