//! What peers say, on its way to the core.

use std::sync::Arc;

use bytes::Bytes;
use ordering_types::ValidatorId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::peer::Peer;
use crate::core_api::Class;

/// Bytes of one stream's messages that may wait for the core. Then QUIC's flow control stops the sender.
const MAX_WAITING_BYTES: u32 = 8 << 20;
/// Messages of one queue that may wait for the core.
const MAX_WAITING_MESSAGES: usize = 4_096;
/// Cost of a small message in the budget, so that their number is bounded, too.
const MIN_MESSAGE_COST: u32 = 2_048;

/// One message of a peer. Its share of the stream's budget is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct PeerMessage {
    /// The authenticated sender.
    pub(crate) from: ValidatorId,
    /// The stream it came on.
    pub(crate) class: Class,
    /// The message.
    pub(crate) bytes: Bytes,
    peer: Arc<Peer>,
    _budget: OwnedSemaphorePermit,
}

impl PeerMessage {
    /// Its sender was removed while it waited: nobody wants to know any more. Its number may be another's by now.
    pub(crate) fn is_late(&self) -> bool {
        self.peer.is_removed()
    }
}

/// Where messages of peers arrive.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// Votes and proposals.
    pub(crate) urgent: mpsc::Receiver<PeerMessage>,
    /// Signing: it follows what is ordered, and nothing ordered waits for it.
    pub(crate) signing: mpsc::Receiver<PeerMessage>,
    /// Chunks and catching up.
    pub(crate) bulk: mpsc::Receiver<PeerMessage>,
}

/// The other end.
#[derive(Clone, Debug)]
pub(super) struct InboxSender {
    urgent: mpsc::Sender<PeerMessage>,
    signing: mpsc::Sender<PeerMessage>,
    bulk: mpsc::Sender<PeerMessage>,
}

/// Both ends.
pub(super) fn channel() -> (InboxSender, Inbox) {
    let (urgent, urgent_out) = mpsc::channel(MAX_WAITING_MESSAGES);
    let (signing, signing_out) = mpsc::channel(MAX_WAITING_MESSAGES);
    let (bulk, bulk_out) = mpsc::channel(MAX_WAITING_MESSAGES);
    let inbox = Inbox { urgent: urgent_out, signing: signing_out, bulk: bulk_out };
    (InboxSender { urgent, signing, bulk }, inbox)
}

/// Hands one stream's messages to the core, as fast as it takes them.
pub(super) struct Intake {
    class: Class,
    peer: Arc<Peer>,
    queue: mpsc::Sender<PeerMessage>,
    budget: Arc<Semaphore>,
}

impl Intake {
    pub(super) fn new(class: Class, peer: &Arc<Peer>, inbox: &InboxSender) -> Self {
        let queue = match class {
            Class::Consensus => &inbox.urgent,
            Class::Ceremony => &inbox.signing,
            Class::Chunks | Class::Sync => &inbox.bulk,
        };
        let budget = Arc::new(Semaphore::new(MAX_WAITING_BYTES as usize));
        Self { class, peer: Arc::clone(peer), queue: queue.clone(), budget }
    }

    /// Waits for room. False: the node is stopping.
    pub(super) async fn take(&mut self, bytes: Bytes) -> bool {
        let cost = u32::try_from(bytes.len()).unwrap_or(u32::MAX).clamp(MIN_MESSAGE_COST, MAX_WAITING_BYTES);
        let Ok(_budget) = Arc::clone(&self.budget).acquire_many_owned(cost).await else { return false };
        let (from, class, peer) = (self.peer.validator, self.class, Arc::clone(&self.peer));
        self.queue.send(PeerMessage { from, class, bytes, peer, _budget }).await.is_ok()
    }
}
