//! Clients over the public face: one QUIC session to every node for submissions, followers for what is told.
//!
//! Several followers read the same order from different nodes; the first to tell a height counts, and every later one
//! is compared with it. So a dead node costs no receipts, and two nodes that tell different stories are found out.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ordering_types::Height;
use rollup::client::{ConnectError, Connector, Event, Events, FollowEvent, Follower, Session, Submitter};
use rollup::verify::Network;
use rollup::wire::{MAX_CLIENT_FRAME_BYTES, MAX_SUBMIT_MANY, OrderedBlock, Refusal, Rollups, Submit};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::book::{Book, Offer, Section};
use super::pace::Pace;
use super::source::Source;
use crate::observe::locked;

/// Submissions that wait for one session; when it is full the next node is tried.
const SESSION_QUEUE: usize = 4_096;
/// Bytes of transactions in one frame; the codec's overhead fits into the rest.
const FRAME_BYTES: usize = MAX_CLIENT_FRAME_BYTES / 4;
/// How often the schedule is looked at.
const TICK: Duration = Duration::from_millis(2);
/// A transaction is sent at most this often.
const MAX_TRIES: u8 = 20;
/// How often transactions without an answer are looked for.
const SWEEP: Duration = Duration::from_millis(150);
/// A node that left a transaction without an answer gets no new ones for so long.
const SUSPECT_FOR: Duration = Duration::from_secs(3);
/// Pause before a session is opened again.
const RECONNECT: Duration = Duration::from_millis(300);

/// What the clients are to do.
pub struct Plan {
    /// Of which network.
    pub network: Network,
    /// Every node's ingress, `host:port`.
    pub endpoints: Vec<String>,
    /// From how many nodes the order is followed at the same time.
    pub followers: usize,
    /// Sources and their rates per second.
    pub streams: Vec<(Source, f64)>,
    /// After this time without an answer a transaction goes to another node.
    pub patience: Duration,
}

/// Running clients. Dropping it ends them.
pub struct Load {
    book: Arc<Mutex<Book>>,
    offering: watch::Sender<bool>,
    conflicts: Arc<Mutex<Vec<String>>>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Connects and follows; nothing is offered before [`Load::begin`].
    pub fn new(plan: Plan, book: Arc<Mutex<Book>>) -> Result<Self, ConnectError> {
        let (offering, offer) = watch::channel(false);
        let conflicts = Arc::default();
        let mut tasks = JoinSet::new();
        for first in 0..plan.followers.clamp(1, plan.endpoints.len().max(1)) {
            let mut endpoints = plan.endpoints.clone();
            endpoints.rotate_left(first);
            let network = plan.network.clone();
            let follower = Follower::new(network, endpoints, Rollups::All, Height::new(1), false)?;
            tasks.spawn(follow(follower, Arc::clone(&book), Arc::clone(&conflicts)));
        }
        let connector = Connector::new()?;
        let mut queues = Vec::new();
        for endpoint in plan.endpoints {
            let (queue, submissions) = mpsc::channel(SESSION_QUEUE);
            queues.push(queue);
            let door = Door {
                connector: connector.clone(),
                endpoint,
                network: plan.network.clone(),
                patience: plan.patience,
            };
            tasks.spawn(door.serve(submissions, Arc::clone(&book)));
        }
        let sender = Sender::new(queues, Arc::clone(&book), plan.patience);
        tasks.spawn(sender.run(plan.streams, offer));
        Ok(Self { book, offering, conflicts, tasks })
    }

    /// Begins to offer.
    pub fn begin(&self) {
        self.offering.send_replace(true);
    }

    /// Ends offering; following and sending again go on.
    pub fn end(&self) {
        self.offering.send_replace(false);
    }

    /// The books.
    pub const fn book(&self) -> &Arc<Mutex<Book>> {
        &self.book
    }

    /// Heights at which two nodes told different things: with more than none, agreement is broken.
    pub fn conflicts(&self) -> Vec<String> {
        locked(&self.conflicts).clone()
    }

    /// Waits until nothing is without an answer, or the deadline.
    pub async fn drained(&self, deadline: Instant) -> bool {
        loop {
            let (pending, uncertified) = {
                let book = locked(&self.book);
                (book.pending(), book.uncertified())
            };
            if pending == 0 && uncertified == 0 {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends everything.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

fn sections(block: &OrderedBlock) -> Vec<Section> {
    block.sections.iter().map(|section| (section.rollup, section.content.ids())).collect()
}

async fn follow(mut follower: Follower, book: Arc<Mutex<Book>>, conflicts: Arc<Mutex<Vec<String>>>) {
    loop {
        match follower.next().await {
            FollowEvent::Ordered(block) => {
                let (height, header) = (block.header.height.get(), block.header.hash());
                let mut book = locked(&book);
                if height == book.height() + 1 {
                    book.order(height, header, &sections(&block), Instant::now());
                } else if book.header(height).is_some_and(|known| known != header) {
                    locked(&conflicts).push(format!("height {height}: two headers, each with a certificate"));
                }
            }
            FollowEvent::Certified(certified) => {
                let mut book = locked(&book);
                let (height, header) = (certified.height.get(), certified.header);
                if book.header(height).is_some_and(|known| known != header) {
                    locked(&conflicts).push(format!("height {height}: the group signed another header"));
                }
                book.certify(height, Instant::now());
            }
            FollowEvent::Connected(validator) => tracing::debug!(%validator, "following"),
            FollowEvent::Lost { endpoint, error } => {
                tracing::debug!(endpoint, %error, "follower lost its node")
            }
        }
    }
}

/// One node's ingress.
struct Door {
    connector: Connector,
    endpoint: String,
    network: Network,
    patience: Duration,
}

impl Door {
    async fn serve(self, mut submissions: mpsc::Receiver<Offer>, book: Arc<Mutex<Book>>) {
        loop {
            match Session::open(&self.connector, &self.endpoint, &self.network, None).await {
                Ok(session) => {
                    let (submitter, events) = session.split();
                    tokio::select! {
                        ended = submit(submitter, &mut submissions) => if ended.is_none() { return },
                        () = self.listen(events, &book) => {}
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
                    Refusal::Full | Refusal::NotReady => {
                        locked(book).turned_away(refused.tag, self.patience, Instant::now());
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
async fn submit(mut submitter: Submitter, submissions: &mut mpsc::Receiver<Offer>) -> Option<()> {
    let mut waiting = Vec::new();
    loop {
        if submissions.recv_many(&mut waiting, MAX_SUBMIT_MANY).await == 0 {
            return None;
        }
        let mut frame = Vec::new();
        let mut bytes = 0;
        for Offer { tag, rollup, data } in waiting.drain(..) {
            if bytes + data.len() > FRAME_BYTES && !frame.is_empty() {
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

/// Offers transactions on schedule, over all nodes in turn.
struct Sender {
    queues: Vec<mpsc::Sender<Offer>>,
    suspects: Vec<Option<Instant>>,
    book: Arc<Mutex<Book>>,
    patience: Duration,
    tag: u64,
    turn: usize,
}

impl Sender {
    fn new(queues: Vec<mpsc::Sender<Offer>>, book: Arc<Mutex<Book>>, patience: Duration) -> Self {
        let suspects = vec![None; queues.len()];
        Self { queues, suspects, book, patience, tag: 0, turn: 0 }
    }

    async fn run(mut self, streams: Vec<(Source, f64)>, mut offering: watch::Receiver<bool>) {
        if offering.wait_for(|begun| *begun).await.is_err() {
            return;
        }
        let start = Instant::now();
        let mut streams: Vec<(Source, Pace)> =
            streams.into_iter().map(|(source, rate)| (source, Pace::new(start, rate))).collect();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut swept = start;
        loop {
            ticks.tick().await;
            if *offering.borrow() {
                for (source, pace) in &mut streams {
                    self.offer_due(source, pace);
                }
            }
            let now = Instant::now();
            if now.duration_since(swept) >= SWEEP {
                swept = now;
                self.send_again(now);
            }
        }
    }

    fn offer_due(&mut self, source: &mut Source, pace: &mut Pace) {
        while let Some(scheduled) = pace.due(Instant::now()) {
            let Some(data) = source.take() else { return };
            self.tag += 1;
            let offer = Offer { tag: self.tag, rollup: source.rollup(), data };
            let now = Instant::now();
            let via = self.next_node(now);
            if locked(&self.book).offer(offer.clone(), via, scheduled, now) {
                self.send(offer, via);
            }
        }
    }

    fn next_node(&mut self, now: Instant) -> usize {
        let count = self.queues.len().max(1);
        let turn = self.turn;
        self.turn = self.turn.wrapping_add(1);
        let trusted = |index: &usize| {
            let suspect = self.suspects.get(*index).copied().flatten();
            suspect.is_none_or(|since| now.duration_since(since) >= SUSPECT_FOR)
        };
        let mut candidates = (0..count).map(|step| (turn + step) % count);
        candidates.find(trusted).unwrap_or(turn % count)
    }

    /// A full queue is a node that does not take anything: what it would have got is sent again elsewhere in time.
    fn send(&self, offer: Offer, via: usize) {
        if let Some(queue) = self.queues.get(via) {
            let _ = queue.try_send(offer);
        }
    }

    fn send_again(&mut self, now: Instant) {
        let count = self.queues.len().max(1);
        let mut silent = Vec::new();
        let overdue = locked(&self.book).overdue(self.patience, MAX_TRIES, now, |via| {
            silent.push(via);
            (via + 1) % count
        });
        for via in silent {
            if let Some(suspect) = self.suspects.get_mut(via) {
                *suspect = Some(now);
            }
        }
        for (offer, via) in overdue {
            self.send(offer, via);
        }
    }
}
