//! A stream to a node: what a session and a question have in common.

use std::io;

use quinn::{Connection, ConnectionError, RecvStream, SendStream};

use super::connect::ConnectError;
use crate::wire::{self, FrameError, Opening};

/// Why a node cannot be talked to, whatever the talk is about.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection is gone.
    #[error("connection: {0}")]
    Connection(#[from] ConnectionError),
    /// The stream is gone.
    #[error("stream: {0}")]
    Stream(#[from] io::Error),
    /// Bytes that are no message.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The node did not answer in time.
    #[error("the node does not answer")]
    Timeout,
}

/// Opens a stream and says what for.
pub(super) async fn open(
    connection: &Connection,
    opening: &Opening,
) -> Result<(SendStream, RecvStream), LinkError> {
    let (mut send, receive) = connection.open_bi().await?;
    wire::write(&mut send, opening).await?;
    Ok((send, receive))
}
