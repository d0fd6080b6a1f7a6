//! The opener's side: one connection and one stream to a peer.

use std::net::SocketAddr;

use bytes::Bytes;
use ordering_types::ValidatorId;
use quinn::{ClientConfig, Connection, Endpoint, SendStream, VarInt};
use tokio::time::timeout;

use super::Identity;
use super::greeting::{self, GreetingError};
use crate::network::frame::Frame;
use crate::network::peer::HANDSHAKE_TIMEOUT;

/// The certificate proves nothing, whatever its name.
const SERVER_NAME: &str = "mpc-seq";

/// Why there is no link, or no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The address cannot be connected to.
    #[error("{0}")]
    Connect(#[from] quinn::ConnectError),
    /// The connection failed.
    #[error("{0}")]
    Connection(#[from] quinn::ConnectionError),
    /// The other end is not who it should be.
    #[error("{0}")]
    Greeting(#[from] GreetingError),
    /// The stream failed.
    #[error("{0}")]
    Write(#[from] quinn::WriteError),
    /// Nobody answers.
    #[error("no answer at {0}")]
    Timeout(SocketAddr),
}

/// An open link to one peer. Dropping it closes the connection.
pub(in crate::network) struct Link {
    connection: Connection,
    stream: SendStream,
}

pub(super) async fn open(
    endpoint: &Endpoint,
    config: ClientConfig,
    address: SocketAddr,
    identity: &Identity,
    other: ValidatorId,
) -> Result<Link, LinkError> {
    let open = async {
        let connection = endpoint.connect_with(config, address, SERVER_NAME)?.await?;
        let (mut send, mut receive) = connection.open_bi().await?;
        greeting::greet(&connection, (&mut send, &mut receive), identity, other).await?;
        Ok(Link { connection, stream: send })
    };
    timeout(HANDSHAKE_TIMEOUT, open).await.unwrap_or(Err(LinkError::Timeout(address)))
}

impl Link {
    /// Writes frames without copying their bytes.
    pub(in crate::network) async fn write(&mut self, frames: Vec<Frame>) -> Result<(), LinkError> {
        let mut pieces: Vec<Bytes> = Vec::with_capacity(2 * frames.len());
        for frame in frames {
            let (head, body) = frame.into_pieces();
            pieces.push(head);
            pieces.push(body);
        }
        Ok(self.stream.write_all_chunks(&mut pieces).await?)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.close(VarInt::from_u32(0), b"");
    }
}
