//! Clients over the public face: one QUIC session to every node for submissions, followers for what is told.
//!
//! Several followers read the same order from different nodes; the first to tell a height counts, and every later one
//! is compared with it. So a dead node costs no receipts, and two nodes that tell different stories are found out.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ordering_types::Height;
use rollup::client::{ConnectError, Connector};
use rollup::verify::Network;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::book::Book;
use super::door::Door;
use super::follow::{Told, follow_for_ever, new_follower};
use super::sender::{Sender, Way};
use super::source::Source;
use crate::observe::locked;

/// Batches of the sender that wait for one session: one each few milliseconds. When it is full, what is sent now is sent again
/// elsewhere in time.
const SESSION_QUEUE: usize = 512;
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
    /// Every transaction goes to every node at once.
    pub everywhere: bool,
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
        let followers = plan.followers.clamp(1, plan.endpoints.len().max(1));
        for first in 0..followers {
            // No node has two of them: after some deaths all would follow the same one, and be told nothing for seconds when that dies.
            let endpoints: Vec<String> =
                plan.endpoints.iter().skip(first).step_by(followers).cloned().collect();
            let follower = new_follower(&plan.network, &endpoints, Height::new(1))?;
            let told = Told { book: Arc::clone(&book), conflicts: Arc::clone(&conflicts) };
            tasks.spawn(follow_for_ever(follower, plan.network.clone(), endpoints, told));
        }
        let connector = Connector::new()?;
        let mut ways = Vec::new();
        for endpoint in plan.endpoints {
            let (queue, submissions) = mpsc::channel(SESSION_QUEUE);
            let silent = Arc::new(Notify::new());
            let outside = Arc::default();
            ways.push(Way {
                queue,
                silent: Arc::clone(&silent),
                suspect: None,
                outside: Arc::clone(&outside),
            });
            let door = Door {
                connector: connector.clone(),
                endpoint,
                network: plan.network.clone(),
                patience: plan.patience,
                silent,
                outside,
            };
            tasks.spawn(door.serve(submissions, Arc::clone(&book)));
        }
        let sender = Sender::new(ways, Arc::clone(&book), plan.patience, plan.everywhere);
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
