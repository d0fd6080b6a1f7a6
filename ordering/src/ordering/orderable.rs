//! Whether the next proposer, as far as is known here, has something to say now.
//!
//! Of 100 lanes with 100 reports each, that is not asked again at every vote: what was looked at in vain is looked at again when there is news
//! of it.

use std::collections::BTreeSet;

use ordering_types::cut::MAX_CUT_LANES;
use ordering_types::{LaneId, LaneTip, Round, SystemMessage};

use super::Ordering;

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Orderable {
    /// All must be looked at.
    #[default]
    Unknown,
    /// There is something.
    Yes,
    /// Nothing, unless in these lanes.
    No { news: BTreeSet<LaneId> },
}

impl Orderable {
    /// Something was heard of a lane.
    pub(super) fn heard_of(&mut self, lane: LaneId) {
        if let Self::No { news } = self {
            news.insert(lane);
            if news.len() > MAX_CUT_LANES {
                *self = Self::Unknown;
            }
        }
    }

    fn of(found: bool) -> Self {
        if found { Self::Yes } else { Self::No { news: BTreeSet::new() } }
    }
}

impl Ordering {
    /// Looks at what there is news of.
    pub(super) fn look_for_orderable(&mut self) {
        self.orderable = Orderable::of(self.has_orderable());
    }

    pub(super) fn has_orderable(&self) -> bool {
        match &self.orderable {
            Orderable::Yes => true,
            Orderable::Unknown => self.is_anything_orderable(),
            Orderable::No { news } => {
                news.iter().filter_map(|lane| self.store.head(*lane)).any(|tip| self.is_orderable(&tip))
            }
        }
    }

    /// What may be said in the next cut.
    pub(super) fn ready_messages(&self) -> Vec<SystemMessage> {
        self.system.ready(&self.state.replayed.system, |sender| self.state.may_say(sender))
    }

    fn is_anything_orderable(&self) -> bool {
        !self.ready_messages().is_empty() || self.store.heads().any(|tip| self.is_orderable(&tip))
    }

    /// Of a lane that is held up to `tip`.
    fn is_orderable(&self, tip: &LaneTip) -> bool {
        let decided = self.state.tip(tip.lane).0;
        if tip.sequence <= decided || !self.admits_lane(tip.lane) {
            return false;
        }
        let leads = self.leader(Round::new(0)) == self.me;
        let to = if leads { self.ready_to(tip) } else { self.reported_to(tip) };
        to.is_some_and(|to| to > decided)
    }
}
