//! What the own L1 endpoint shows, told to the others: reports of finalized blocks, the registry's list, and that this node is ready to be a member.

use std::collections::BTreeMap;
use std::sync::Arc;

use ordering::l1::MAX_REPORTS;
use ordering_types::{Digest, L1Report, Registry, Time};

use super::NodeCore;
use crate::api::L1Sight;
use crate::wire::LogPayload;

/// Each member waits so much longer than the one before it to tell a list: one is enough.
const LIST_TURN_MS: u64 = 500;
/// Who is no further behind is ready to be a member.
const READY_LAG: u64 = 32;

/// The newest finalized blocks as the own endpoint shows them, with the roots of their lists.
#[derive(Debug, Default)]
pub(super) struct Sights {
    newest: BTreeMap<u64, (L1Sight, Digest)>,
    /// Up to which block this node has said what it sees, since its start.
    reported: u64,
    /// A list that nobody has told, and since when that is known, by the times of blocks.
    missing: Option<(Digest, u64)>,
    /// The list that this node told last.
    told: Option<Digest>,
}

impl Sights {
    fn take(&mut self, sight: L1Sight) {
        let root = sight.registry.as_ref().map_or(Digest::ZERO, |registry| registry.root());
        self.newest.insert(sight.block.number, (sight, root));
        while self.newest.len() > MAX_REPORTS {
            self.newest.pop_first();
        }
    }

    fn registry(&self, wanted: Digest) -> Option<Arc<Registry>> {
        let found = self.newest.values().rev().find(|(_, root)| *root == wanted)?;
        found.0.registry.clone()
    }
}

impl NodeCore {
    pub(super) fn on_sight(&mut self, sight: L1Sight, now: Time) {
        self.sights.take(sight);
        self.report_blocks(now);
    }

    /// After a block of this time.
    pub(super) fn watch_l1(&mut self, time_ms: u64, now: Time) {
        self.report_blocks(now);
        self.tell_list(time_ms, now);
        self.ask_for_entries(time_ms);
        self.erase_confirmed();
    }

    fn report_blocks(&mut self, now: Time) {
        if !self.ordering.is_member() {
            return;
        }
        let book = self.ordering.l1();
        let is_news = |number: u64| {
            number > self.sights.reported
                && number.is_multiple_of(self.spec.l1.report_blocks.max(1))
                && !book.has_reported(self.me, number)
        };
        let news: Vec<L1Report> = self
            .sights
            .newest
            .iter()
            .filter(|(number, _)| is_news(**number))
            .map(|(_, (L1Sight { block, epoch, queue, .. }, root))| L1Report {
                block: *block,
                registry: *root,
                epoch: *epoch,
                queue: *queue,
            })
            .collect();
        for report in news {
            self.sights.reported = report.block.number;
            self.publish(LogPayload::L1Report(report).encode(), now);
        }
    }

    /// Tells the list that is agreed on, if nobody did while it was others' turn.
    fn tell_list(&mut self, time_ms: u64, now: Time) {
        let missing = self.ordering.l1().missing_list();
        let since = self.sights.missing.filter(|(root, _)| Some(*root) == missing).map(|(_, since)| since);
        self.sights.missing = missing.map(|root| (root, since.unwrap_or(time_ms)));
        let Some((root, since)) = self.sights.missing.filter(|(root, _)| self.sights.told != Some(*root))
        else {
            return;
        };
        let Some(place) = self.ordering.committee().ids().position(|id| id == self.me) else { return };
        if time_ms < since.saturating_add(LIST_TURN_MS * place as u64) {
            return;
        }
        if let Some(registry) = self.sights.registry(root) {
            self.sights.told = Some(root);
            self.publish(LogPayload::Registry(&registry.encode()).encode(), now);
        }
    }

    /// Says that this node could be a member of the next epoch, and with which encryption key, while those are gathered who could. Whoever is far behind waits: what a member must
    /// hold, it has only then.
    pub(super) fn say_ready(&mut self, now: Time) {
        let book = self.ordering.epochs();
        let next = book.present().epoch.next();
        let lag = self.ordering.heard_height().get().saturating_sub(self.ordering.applied_height().get());
        let may_be_drawn = book.may_be_drawn(self.me, self.ordering.l1());
        if self.ready_for == Some(next) || !book.gathers(self.me) || lag > READY_LAG || !may_be_drawn {
            return;
        }
        self.ready_for = Some(next);
        let announcement = self.own_announcement(next);
        self.publish(LogPayload::Ready { epoch: next, announcement: &announcement }.encode(), now);
    }
}
