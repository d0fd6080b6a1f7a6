//! Followers: what the network tells, from several nodes at once, into the books.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ordering_types::Height;
use rollup::client::{ConnectError, FollowEvent, Follower};
use rollup::verify::Network;
use rollup::wire::{OrderedBlock, Rollups};

use super::book::{Book, Section};
use crate::observe::locked;

/// One conflict breaks the promise; these many are listed.
const MAX_CONFLICTS: usize = 100;
/// Even an idle network orders a block a second. A follower that hears nothing for so long starts over from its cursor:
/// the node may be another process by now, and QUIC alone notices that only when the connection idles out.
const STALE: Duration = Duration::from_secs(3);

fn sections(block: &OrderedBlock) -> Vec<Section> {
    block.sections.iter().map(|section| (section.rollup, section.content.ids())).collect()
}

pub(super) fn new_follower(
    network: &Network,
    endpoints: &[String],
    from: Height,
) -> Result<Follower, ConnectError> {
    Follower::new(network.clone(), endpoints.to_vec(), Rollups::All, from, false)
}

/// Follows one node after the other; a node that falls silent is left.
pub(super) async fn follow_for_ever(
    mut follower: Follower,
    network: Network,
    mut endpoints: Vec<String>,
    told: Told,
) {
    loop {
        match tokio::time::timeout(STALE, follower.next()).await {
            Ok(event) => told.take(event),
            Err(_) => {
                endpoints.rotate_left(1);
                match new_follower(&network, &endpoints, follower.cursor()) {
                    Ok(fresh) => follower = fresh,
                    Err(error) => tracing::debug!(%error, "no new follower"),
                }
            }
        }
    }
}

/// Where everything told goes.
pub(super) struct Told {
    pub(super) book: Arc<Mutex<Book>>,
    pub(super) conflicts: Arc<Mutex<Vec<String>>>,
}

impl Told {
    fn take(&self, event: FollowEvent) {
        match event {
            FollowEvent::Ordered(block) => {
                let (height, header) = (block.header.height.get(), block.header.hash());
                // Outside the lock; several followers may tell the same height.
                let news = locked(&self.book).height() < height;
                let sections = if news { sections(&block) } else { Vec::new() };
                let mut book = locked(&self.book);
                if height == book.height() + 1 {
                    book.order(height, header, &sections, Instant::now());
                } else if book.header(height).is_some_and(|known| known != header) {
                    self.conflict(format!("height {height}: two headers, each with a certificate"));
                }
            }
            FollowEvent::Certified(certified) => {
                let mut book = locked(&self.book);
                let (height, header) = (certified.height.get(), certified.header);
                if book.header(height).is_some_and(|known| known != header) {
                    self.conflict(format!("height {height}: the group signed another header"));
                }
                book.certify(height, Instant::now());
            }
            FollowEvent::Connected(validator) => tracing::debug!(%validator, "following"),
            FollowEvent::Lost { endpoint, error } => {
                tracing::debug!(endpoint, %error, "follower lost its node");
            }
            FollowEvent::Stranded(stranded) => tracing::warn!(%stranded, "no member to follow"),
            // Followers submit nothing here.
            FollowEvent::Refused(_) => {}
        }
    }

    fn conflict(&self, what: String) {
        let mut conflicts = locked(&self.conflicts);
        if conflicts.len() < MAX_CONFLICTS {
            conflicts.push(what);
        }
    }
}
