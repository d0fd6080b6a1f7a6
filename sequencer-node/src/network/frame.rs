//! What travels on a stream between two validators.
//!
//! ```text
//!   opener ─▶  "mpcseq" │ u16 version │ 32 chain spec hash │ u8 class          once
//!          ◀─  u8 0 welcome, 1 other version, 2 other network │ u16 version │ 32 chain spec hash    once
//!   opener ─▶  u32 length │ u8 kind │ length bytes                             again and again
//! ```
//!
//! A stream carries frames one way: each side opens its own for each class.

use bytes::{Bytes, BytesMut};
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use ordering_types::Digest;
use ordering_types::header::PROTOCOL_VERSION;

use crate::core_api::Class;

const MAGIC: &[u8; 6] = b"mpcseq";
const HELLO_BYTES: usize = 6 + 2 + 32 + 1;
const ANSWER_BYTES: usize = 1 + 2 + 32;
pub(super) const HEAD_BYTES: usize = 5;
/// Memory for a frame grows with the bytes that arrive, by at most this much at once.
const READ_STEP_BYTES: usize = 256 << 10;

/// Most bytes of one message of a class.
pub(crate) const fn max_message_bytes(class: Class) -> usize {
    match class {
        // A proposal carries a cut of at most 4 MiB, a certificate and a signature.
        Class::Consensus => 5 << 20,
        Class::Chunks | Class::Ceremony => 2 << 20,
        Class::Sync => ordering::wire::MAX_MESSAGE_BYTES,
    }
}

/// The stream's protocol name in libp2p.
pub(crate) const fn protocol(class: Class) -> &'static str {
    match class {
        Class::Consensus => "/mpc-sequencer/1/consensus",
        Class::Chunks => "/mpc-sequencer/1/chunks",
        Class::Ceremony => "/mpc-sequencer/1/ceremony",
        Class::Sync => "/mpc-sequencer/1/sync",
    }
}

/// A name for logs and metrics.
pub(crate) const fn class_name(class: Class) -> &'static str {
    match class {
        Class::Consensus => "consensus",
        Class::Chunks => "chunks",
        Class::Ceremony => "ceremony",
        Class::Sync => "sync",
    }
}

/// Why a stream is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// The connection failed or the peer closed it.
    #[error("stream: {0}")]
    Io(#[from] std::io::Error),
    /// A connection to the peer ended, perhaps the stream's.
    #[error("stream: a connection to the peer ended")]
    ConnectionEnded,
    /// Not our protocol.
    #[error("the first bytes are not a handshake")]
    NoHandshake,
    /// The peer took too long.
    #[error("no handshake in time")]
    Timeout,
    /// The peer runs another protocol version.
    #[error("the peer speaks protocol version {theirs}, this node version {PROTOCOL_VERSION}")]
    Version {
        /// The peer's.
        theirs: u16,
    },
    /// The peer has another genesis file.
    #[error("the peer's genesis file has hash {theirs}, this node's {ours}: one of the two is wrong")]
    Network {
        /// The peer's.
        theirs: Digest,
        /// This node's.
        ours: Digest,
    },
    /// A frame longer than its class allows.
    #[error("a message of {got} bytes, at most {limit} allowed")]
    TooLong {
        /// What the frame claims.
        got: usize,
        /// The class's limit.
        limit: usize,
    },
    /// A frame of no known kind.
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A message of the core.
    Message(Bytes),
    /// Asks for a pong with the same number.
    Ping(u64),
    /// Answers a ping.
    Pong(u64),
    /// The sender takes chunks at this UDP port; see [`chunks`](super::chunks).
    ChunksAt(u16),
}

const MESSAGE: u8 = 0;
const PING: u8 = 1;
const PONG: u8 = 2;
const CHUNKS_AT: u8 = 3;

/// Length of the message that a head announces; other kinds of frames are errors here.
pub(super) fn message_length(head: [u8; HEAD_BYTES], class: Class) -> Result<usize, StreamError> {
    let [a, b, c, d, kind] = head;
    let (length, limit) = (u32::from_be_bytes([a, b, c, d]) as usize, max_message_bytes(class));
    match kind {
        MESSAGE if length > limit => Err(StreamError::TooLong { got: length, limit }),
        MESSAGE => Ok(length),
        other => Err(StreamError::Kind(other)),
    }
}

impl Frame {
    /// Bytes on the wire.
    pub(crate) const fn len(&self) -> usize {
        HEAD_BYTES
            + match self {
                Self::Message(bytes) => bytes.len(),
                Self::Ping(_) | Self::Pong(_) => 8,
                Self::ChunksAt(_) => 2,
            }
    }

    /// Head and body, for a writer that copies neither.
    pub(super) fn into_pieces(self) -> (Bytes, Bytes) {
        let (kind, body) = match self {
            Self::Message(bytes) => (MESSAGE, bytes),
            Self::Ping(number) => (PING, Bytes::copy_from_slice(&number.to_be_bytes())),
            Self::Pong(number) => (PONG, Bytes::copy_from_slice(&number.to_be_bytes())),
            Self::ChunksAt(port) => (CHUNKS_AT, Bytes::copy_from_slice(&port.to_be_bytes())),
        };
        (Bytes::copy_from_slice(&Self::head(body.len(), kind)), body)
    }

    fn head(length: usize, kind: u8) -> [u8; HEAD_BYTES] {
        let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        [a, b, c, d, kind]
    }

    /// Appends a small frame to `buffer`, or flushes that and writes a large one by itself.
    pub(crate) async fn write(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        buffer: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        let (head, body) = self.clone().into_pieces();
        buffer.extend_from_slice(&head);
        if body.len() < READ_STEP_BYTES / 4 {
            buffer.extend_from_slice(&body);
        } else {
            stream.write_all(buffer).await?;
            buffer.clear();
            stream.write_all(&body).await?;
        }
        Ok(())
    }

    /// Reads one frame; `None` at a clean end.
    pub(crate) async fn read(
        stream: &mut (impl AsyncRead + Unpin),
        class: Class,
    ) -> Result<Option<Self>, StreamError> {
        let mut head = [0; HEAD_BYTES];
        let [first, rest @ ..] = &mut head;
        if stream.read(std::slice::from_mut(first)).await? == 0 {
            return Ok(None);
        }
        stream.read_exact(rest).await?;
        let [a, b, c, d, kind] = head;
        let length = u32::from_be_bytes([a, b, c, d]);
        match (kind, length) {
            (PING | PONG, 8) => {
                let mut number = [0; 8];
                stream.read_exact(&mut number).await?;
                let number = u64::from_be_bytes(number);
                Ok(Some(if kind == PING { Self::Ping(number) } else { Self::Pong(number) }))
            }
            (CHUNKS_AT, 2) => {
                let mut port = [0; 2];
                stream.read_exact(&mut port).await?;
                Ok(Some(Self::ChunksAt(u16::from_be_bytes(port))))
            }
            _ => {
                let length = message_length(head, class)?;
                Ok(Some(Self::Message(read_body(stream, length).await?)))
            }
        }
    }
}

async fn read_body(stream: &mut (impl AsyncRead + Unpin), length: usize) -> std::io::Result<Bytes> {
    let mut body = BytesMut::with_capacity(length.min(READ_STEP_BYTES));
    while body.len() < length {
        let start = body.len();
        body.resize(length.min(start + READ_STEP_BYTES), 0);
        if let Some(space) = body.get_mut(start..) {
            stream.read_exact(space).await?;
        }
    }
    Ok(body.freeze())
}

/// The opener's side of the handshake.
pub(crate) async fn greet(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ours: Digest,
    class: Class,
) -> Result<(), StreamError> {
    let mut hello = Vec::with_capacity(HELLO_BYTES);
    hello.extend_from_slice(MAGIC);
    hello.extend_from_slice(&PROTOCOL_VERSION.to_be_bytes());
    hello.extend_from_slice(ours.as_ref());
    hello.push(class as u8);
    stream.write_all(&hello).await?;
    stream.flush().await?;
    let mut answer = [0; ANSWER_BYTES];
    stream.read_exact(&mut answer).await?;
    let [verdict, high, low, hash @ ..] = answer;
    match verdict {
        0 => Ok(()),
        1 => Err(StreamError::Version { theirs: u16::from_be_bytes([high, low]) }),
        2 => Err(StreamError::Network { theirs: Digest::new(hash), ours }),
        _ => Err(StreamError::NoHandshake),
    }
}

/// The acceptor's side.
pub(crate) async fn welcome(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ours: Digest,
    class: Class,
) -> Result<(), StreamError> {
    let mut hello = [0; HELLO_BYTES];
    stream.read_exact(&mut hello).await?;
    let Some(([a, b, c, d, e, f, high, low], rest)) = hello.split_first_chunk::<8>() else {
        return Err(StreamError::NoHandshake);
    };
    let Some((hash, asked)) = rest.split_first_chunk::<32>() else { return Err(StreamError::NoHandshake) };
    if [*a, *b, *c, *d, *e, *f] != *MAGIC || asked != [class as u8] {
        return Err(StreamError::NoHandshake);
    }
    let theirs = u16::from_be_bytes([*high, *low]);
    let hash = Digest::new(*hash);
    let outcome = if theirs != PROTOCOL_VERSION {
        Err(StreamError::Version { theirs })
    } else if hash != ours {
        Err(StreamError::Network { theirs: hash, ours })
    } else {
        Ok(())
    };
    let mut answer = Vec::with_capacity(ANSWER_BYTES);
    answer.push(match &outcome {
        Ok(()) => 0,
        Err(StreamError::Version { .. }) => 1,
        Err(_) => 2,
    });
    answer.extend_from_slice(&PROTOCOL_VERSION.to_be_bytes());
    answer.extend_from_slice(ours.as_ref());
    stream.write_all(&answer).await?;
    stream.flush().await?;
    outcome
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    #[test]
    fn frames_come_back_and_bad_ones_are_errors() {
        block_on(async {
            let frames = [
                Frame::Ping(7),
                Frame::Message(Bytes::from_static(b"vote")),
                Frame::Message(Bytes::from(vec![1; 300_000])),
                Frame::Pong(7),
                Frame::ChunksAt(9_601),
            ];
            let (mut wire, mut buffer) = (Cursor::new(Vec::new()), Vec::new());
            for frame in &frames {
                frame.write(&mut wire, &mut buffer).await.unwrap();
            }
            wire.write_all(&buffer).await.unwrap();
            let wire = wire.into_inner();
            assert_eq!(wire.len(), frames.iter().map(Frame::len).sum::<usize>());
            let mut input = Cursor::new(&wire);
            for frame in &frames {
                assert_eq!(Frame::read(&mut input, Class::Chunks).await.unwrap().as_ref(), Some(frame));
            }
            assert_eq!(Frame::read(&mut input, Class::Chunks).await.unwrap(), None);
            let torn = Frame::read(&mut Cursor::new(&wire[..3]), Class::Chunks).await;
            assert!(matches!(torn, Err(StreamError::Io(_))));
            let long = Frame::read(&mut Cursor::new([255, 255, 255, 255, 0]), Class::Sync).await;
            assert!(matches!(long, Err(StreamError::TooLong { .. })));
            let odd = Frame::read(&mut Cursor::new([0, 0, 0, 8, 9]), Class::Sync).await;
            assert!(matches!(odd, Err(StreamError::Kind(9))));
        });
    }
}
