//! Frames on a stream: a length, then one message.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use ordering_types::codec::{self, DecodeError};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;
/// Memory reserved for a frame before its bytes arrive.
const RESERVE_BYTES: usize = 64 << 10;

/// Something that travels in a frame.
pub trait Message: Serialize + DeserializeOwned {
    /// Most bytes of its encoding.
    const LIMIT: usize;

    /// Checks the bounds that the codec does not know.
    fn check(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream failed or ended inside a frame.
    #[error("stream: {0}")]
    Io(#[from] io::Error),
    /// A frame longer than this message may be.
    #[error("frame of {got} bytes, at most {limit} allowed")]
    TooLong {
        /// The message's limit.
        limit: usize,
        /// What the frame claims.
        got: usize,
    },
    /// The frame is no message.
    #[error("frame: {0}")]
    Malformed(#[from] DecodeError),
}

/// The whole frame of a message, length included: to be written to one stream or many.
///
/// A message over its limit is a fault of the sender that the receiver refuses; senders bound what they build.
pub fn encode<M: Message>(message: &M) -> Bytes {
    let body = codec::encode(message);
    let mut frame = BytesMut::with_capacity(LENGTH_BYTES + body.len());
    frame.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    frame.put_slice(&body);
    frame.freeze()
}

/// Writes one message. Not cancel-safe: a dropped future may leave half a frame.
pub async fn write<M: Message>(stream: &mut (impl AsyncWrite + Unpin), message: &M) -> io::Result<()> {
    stream.write_all(&encode(message)).await
}

/// Writes messages, many at a time. Not cancel-safe.
pub async fn write_all<M: Message>(
    stream: &mut (impl AsyncWrite + Unpin),
    messages: impl IntoIterator<Item = M>,
) -> io::Result<()> {
    let mut waiting = BytesMut::new();
    for message in messages {
        waiting.put(encode(&message));
        if waiting.len() >= RESERVE_BYTES {
            stream.write_all(&waiting.split()).await?;
        }
    }
    stream.write_all(&waiting).await
}

/// Reads one message; `None` if the stream ended cleanly before one began. Not cancel-safe.
///
/// Memory grows with the bytes that arrive, never with the length that a peer claims.
pub async fn read<M: Message>(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<M>, FrameError> {
    let mut length = [0; LENGTH_BYTES];
    let [first, rest @ ..] = &mut length;
    if stream.read(std::slice::from_mut(first)).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(rest).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > M::LIMIT {
        return Err(FrameError::TooLong { limit: M::LIMIT, got: length });
    }
    let mut body = Vec::with_capacity(length.min(RESERVE_BYTES));
    let got = stream.take(length as u64).read_to_end(&mut body).await?;
    if got < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    let message: M = codec::decode(&body, M::LIMIT)?;
    message.check()?;
    Ok(Some(message))
}
