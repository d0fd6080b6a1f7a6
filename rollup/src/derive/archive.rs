//! Payloads of batches whose blobs L1 has forgotten, from nodes of the network.
//!
//! A node that answers is believed as little as any other: its payload is packed into blobs and committed to again, and counts if the versioned hashes are
//! those that L1's event names. So a node can only withhold. Two encodings of one batch may exist; who kept the one that was not posted cannot help.

use std::sync::Arc;

use batcher_format::batch::versioned_hash;
use batcher_format::blob::{MAX_PAYLOAD_BYTES, blobs_for, pack};
use batcher_format::kzg::Kzg;
use batcher_format::{EncodedBatch, SealedBatch};
use bytes::Bytes;
use ordering_types::Digest;
use quinn::Connection;
use tokio::sync::Mutex;

use crate::client::{ConnectError, Connector, LinkError, RequestError, ask};
use crate::wire::{Request, Response};

/// Most archives that may be configured.
pub const MAX_ARCHIVES: usize = 64;

/// Why the archives cannot be used, known before anything is asked of them.
#[derive(Debug, thiserror::Error)]
pub enum ArchivesError {
    /// More than [`MAX_ARCHIVES`].
    #[error("{0} archives are configured, at most {MAX_ARCHIVES} are asked")]
    TooMany(usize),
    /// No connection can ever be made.
    #[error(transparent)]
    Connector(#[from] ConnectError),
}

/// Why an archive does not have a payload.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be asked.
    #[error("archive {archive}: {error}")]
    Silent {
        /// As configured.
        archive: String,
        /// Why.
        error: Arc<RequestError>,
    },
    /// It does not have the batch.
    #[error("archive {archive} does not have it")]
    Lacks {
        /// As configured.
        archive: String,
    },
    /// What it says is not what L1 has: it lies, or kept an encoding that was not posted.
    #[error("archive {archive} has other bytes than those that were posted")]
    Different {
        /// As configured.
        archive: String,
    },
}

/// A node, and the connection to it while there is one.
#[derive(Debug)]
struct Archive {
    endpoint: String,
    connection: Mutex<Option<Connection>>,
}

/// Nodes that are asked in turn.
#[derive(Debug)]
pub(super) struct Archives {
    nodes: Vec<Archive>,
    /// None if there are no nodes: it is not needed then.
    connector: Option<Connector>,
}

/// A payload, and who had it.
type Found = (String, Bytes);

impl Archives {
    pub(super) fn new(endpoints: &[String]) -> Result<Self, ArchivesError> {
        if endpoints.len() > MAX_ARCHIVES {
            return Err(ArchivesError::TooMany(endpoints.len()));
        }
        let node = |endpoint: &String| Archive { endpoint: endpoint.clone(), connection: Mutex::default() };
        let nodes: Vec<_> = endpoints.iter().map(node).collect();
        let connector = if nodes.is_empty() { None } else { Some(Connector::new()?) };
        Ok(Self { nodes, connector })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The payload of the batch whose blobs have these versioned hashes, from the first that has it; and why those before do not.
    pub(super) async fn payload(&self, number: u64, hashes: &[Digest]) -> (Option<Found>, Vec<ArchiveError>) {
        let mut faults = Vec::new();
        for node in &self.nodes {
            match self.ask_checked(node, number, hashes).await {
                Ok(payload) => return (Some((node.endpoint.clone(), payload)), faults),
                Err(error) => {
                    tracing::warn!(number, %error, "an archive is of no help");
                    faults.push(error);
                }
            }
        }
        (None, faults)
    }

    async fn ask_checked(
        &self,
        node: &Archive,
        number: u64,
        hashes: &[Digest],
    ) -> Result<Bytes, ArchiveError> {
        let archive = || node.endpoint.clone();
        let batch = match self.ask(node, number).await {
            Ok(Some(batch)) => batch,
            Ok(None) => return Err(ArchiveError::Lacks { archive: archive() }),
            Err(error) => return Err(ArchiveError::Silent { archive: archive(), error: Arc::new(error) }),
        };
        let (encoded, wanted) = (Arc::clone(&batch.encoded), hashes.to_vec());
        // 60 ms a blob.
        let checked = tokio::task::spawn_blocking(move || makes(&encoded, &wanted));
        if batch.header.number != number || !checked.await.unwrap_or(false) {
            return Err(ArchiveError::Different { archive: archive() });
        }
        Ok(batch.encoded.payload.clone())
    }

    async fn ask(&self, node: &Archive, number: u64) -> Result<Option<Arc<SealedBatch>>, RequestError> {
        let connector = self.connector.as_ref().ok_or(RequestError::NoEndpoints)?;
        let mut slot = node.connection.lock().await;
        let connection = match slot.clone().filter(|open| open.close_reason().is_none()) {
            Some(open) => open,
            None => slot.insert(connector.connect(&node.endpoint).await.map_err(LinkError::from)?).clone(),
        };
        match ask(&connection, Request::Sealed(number)).await {
            Ok(Response::Sealed(batch)) => Ok(batch),
            Ok(_) => Err(RequestError::OtherAnswer),
            Err(error) => {
                *slot = None;
                Err(error)
            }
        }
    }
}

/// Whether a payload makes the blobs with these hashes. What does not even claim to is not committed to: a lie costs little.
fn makes(encoded: &EncodedBatch, wanted: &[Digest]) -> bool {
    let payload = &encoded.payload;
    if payload.len() > MAX_PAYLOAD_BYTES || blobs_for(payload.len()) != wanted.len() {
        return false;
    }
    if encoded.blob_hashes() != wanted {
        return false;
    }
    let kzg = Kzg::shared();
    let Ok(blobs) = pack(payload) else { return false };
    let made = |hash: &Digest, blob| {
        let commitment = kzg.commit(blob);
        commitment.is_ok_and(|commitment| versioned_hash(&commitment) == *hash)
    };
    wanted.iter().zip(&blobs).all(|(hash, blob)| made(hash, blob))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use batcher_format::Encoded;

    use super::*;

    /// One byte of two blobs is another, whatever the commitments beside them claim.
    #[test]
    fn only_the_posted_bytes_make_the_posted_blobs() {
        let payload: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
        let posted = Kzg::shared()
            .commit_and_prove(Encoded { payload: payload.clone().into(), inline: Bytes::new() })
            .unwrap();
        let wanted = posted.blob_hashes();
        assert_eq!(wanted.len(), 2);
        assert!(makes(&posted, &wanted));
        let with = |payload: Vec<u8>| EncodedBatch { payload: Bytes::from(payload), ..posted.clone() };
        for place in [0, payload.len() - 1] {
            let mut bent = payload.clone();
            bent[place] ^= 1;
            assert!(!makes(&with(bent), &wanted), "byte {place}");
        }
        assert!(!makes(&with([payload.as_slice(), &[0]].concat()), &wanted));
        assert!(!makes(&with(payload[..100].to_vec()), &wanted));
        assert!(!makes(&with(vec![0; MAX_PAYLOAD_BYTES + 1]), &wanted));
        assert!(!makes(&posted, &wanted[..1]));
        let swapped = [wanted[1], wanted[0]];
        assert!(!makes(&posted, &swapped));
    }

    #[test]
    fn too_many_archives_are_refused() {
        let endpoints = vec!["127.0.0.1:1".to_owned(); MAX_ARCHIVES + 1];
        assert!(matches!(Archives::new(&endpoints), Err(ArchivesError::TooMany(_))));
        assert!(Archives::new(&[]).unwrap().is_empty());
    }
}
