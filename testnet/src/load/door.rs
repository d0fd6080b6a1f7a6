//! One node's ingress: a session for submissions, opened again when it ends.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rollup::client::{Connector, Event, Events, Session, Submitter};
use rollup::verify::Network;
use rollup::wire::{MAX_CLIENT_FRAME_BYTES, MAX_SUBMIT_MANY, Refusal, Submit};
use tokio::sync::{Notify, mpsc};

use super::book::{Book, Offer};
use crate::observe::locked;

/// Bytes of transactions in one frame; the codec's overhead fits into the rest.
const FRAME_BYTES: usize = MAX_CLIENT_FRAME_BYTES / 4;
/// Batches of the sender that are looked at together.
const BATCHES: usize = 16;
/// Pause before a session is opened again.
const RECONNECT: Duration = Duration::from_millis(300);

/// One node's ingress.
pub(super) struct Door {
    pub(super) connector: Connector,
    pub(super) endpoint: String,
    pub(super) network: Network,
    /// After this time without an answer a transaction goes elsewhere.
    pub(super) patience: Duration,
    /// Told when that happened: the session may lead to a process that is no more.
    pub(super) silent: Arc<Notify>,
    /// When the node last said that it is not in the committee.
    pub(super) outside: Arc<Mutex<Option<Instant>>>,
}

impl Door {
    pub(super) async fn serve(self, mut submissions: mpsc::Receiver<Vec<Offer>>, book: Arc<Mutex<Book>>) {
        loop {
            match Session::open(&self.connector, &self.endpoint, &self.network, None).await {
                Ok(session) => {
                    let (submitter, events) = session.split();
                    tokio::select! {
                        ended = submit(submitter, &mut submissions) => if ended.is_none() { return },
                        () = self.listen(events, &book) => {}
                        () = self.silent.notified() => {}
                    }
                }
                Err(error) => tracing::debug!(endpoint = self.endpoint, %error, "no session"),
            }
            // What waits for a dead node goes elsewhere: the sender notices by itself that no answer came.
            while submissions.try_recv().is_ok() {}
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn listen(&self, mut events: Events, book: &Mutex<Book>) {
        loop {
            match events.next().await {
                Ok(Event::Refused(refused)) => match refused.code {
                    // Another try of ours was faster.
                    Refusal::Duplicate => {}
                    Refusal::Full | Refusal::NotReady | Refusal::NotInCommittee => {
                        let now = Instant::now();
                        if refused.code == Refusal::NotInCommittee {
                            *locked(&self.outside) = Some(now);
                        }
                        locked(book).turned_away(refused.tag, self.patience, now);
                    }
                    _ => {
                        tracing::debug!(endpoint = self.endpoint, refused.text, "refused");
                        locked(book).refuse(refused.tag);
                    }
                },
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(endpoint = self.endpoint, %error, "session ended");
                    return;
                }
            }
        }
    }
}

/// Sends what is queued, as many in a frame as are there. `None` when the queue has ended, `Some` when the session has.
async fn submit(mut submitter: Submitter, submissions: &mut mpsc::Receiver<Vec<Offer>>) -> Option<()> {
    let mut waiting = Vec::new();
    loop {
        if submissions.recv_many(&mut waiting, BATCHES).await == 0 {
            return None;
        }
        let mut frame = Vec::with_capacity(waiting.iter().map(Vec::len).sum::<usize>().min(MAX_SUBMIT_MANY));
        let mut bytes = 0;
        for Offer { tag, rollup, data } in waiting.drain(..).flatten() {
            if (bytes + data.len() > FRAME_BYTES && !frame.is_empty()) || frame.len() >= MAX_SUBMIT_MANY {
                if submitter.submit_many(std::mem::take(&mut frame)).await.is_err() {
                    return Some(());
                }
                bytes = 0;
            }
            bytes += data.len();
            frame.push(Submit { tag, rollup, data });
        }
        if submitter.submit_many(frame).await.is_err() {
            return Some(());
        }
    }
}
