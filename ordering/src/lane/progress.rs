//! Who reports to hold which lane up to where.

use std::collections::BTreeMap;

use ordering_types::chain_spec::Committee;
use ordering_types::cut::MAX_CUT_LANES;
use ordering_types::{Digest, Height, Incarnation, LaneId, LaneSequence, LaneTip, ValidatorId};

use super::store::LaneStore;
use crate::quorum::reached_by_more_than;
use crate::wire::{self, Stamp};

/// What the reports of one peer come to.
#[derive(Clone, Debug, Default)]
struct Report {
    /// Of the newest whole one.
    whole: Stamp,
    /// Of the newest.
    stamp: Stamp,
    /// The most that this start of it has shown.
    decided: Height,
    sealed: Height,
    lanes: BTreeMap<LaneId, Held>,
}

/// Up to where a peer holds a lane.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// When it said so.
    stamp: Stamp,
    sequence: LaneSequence,
    digest: Digest,
}

/// The newest report of every peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    reports: BTreeMap<ValidatorId, Report>,
}

impl Progress {
    /// Takes a report. Of each lane the newest word counts, in whatever order reports come; a whole one ends all older words. The caller
    /// checked that `from` is a member.
    pub(crate) fn report(&mut self, from: ValidatorId, heard: &wire::Report) {
        let stamp = heard.stamp;
        let report = self.reports.entry(from).or_default();
        if stamp < report.whole {
            return;
        }
        if heard.whole {
            report.whole = stamp;
            report.lanes.retain(|_, held| held.stamp > stamp);
        }
        if stamp >= report.stamp {
            // What waited for a node that was away comes after younger votes. Only a start with a lost disk has decided less.
            let same_start =
                report.stamp == Stamp::default() || stamp.incarnation == report.stamp.incarnation;
            let shown = if same_start { report.decided } else { Height::ZERO };
            report.decided = heard.decided.max(shown);
            (report.stamp, report.sealed) = (stamp, heard.sealed);
        }
        for LaneTip { lane, sequence, digest } in &heard.lanes {
            let known = report.lanes.get(lane);
            let room = known.is_some() || report.lanes.len() < MAX_CUT_LANES;
            if room && known.is_none_or(|known| known.stamp <= stamp) {
                report.lanes.insert(*lane, Held { stamp, sequence: *sequence, digest: *digest });
            }
        }
    }

    /// Others are members now: only of these more is heard.
    pub(crate) fn keep(&mut self, is_heard: impl Fn(ValidatorId) -> bool) {
        self.reports.retain(|id, _| is_heard(*id));
    }

    /// A message shows that `from` is beyond `decided`.
    pub(crate) fn saw_decided(&mut self, from: ValidatorId, decided: Height) {
        let report = self.reports.entry(from).or_default();
        report.decided = report.decided.max(decided);
    }

    /// The peers that say to have decided at least `height`, and how much, in ascending order.
    pub(crate) fn ahead(&self, height: Height) -> Vec<(ValidatorId, Height)> {
        self.reports.iter().filter(|(_, r)| r.decided >= height).map(|(id, r)| (*id, r.decided)).collect()
    }

    /// The greatest decided height that an honest peer must have reported: f + 1 say at least this.
    pub(crate) fn heard_height(&self, committee: &Committee) -> Height {
        let members = self.reports.iter().filter(|(id, _)| committee.key(**id).is_some());
        reached_by_more_than(members.map(|(_, report)| report.decided), committee.faulty())
            .unwrap_or_default()
    }

    /// The greatest height up to which an honest peer must have reported all batches signed; `None` before f + 1 have reported.
    pub(crate) fn sealed_height(&self, committee: &Committee) -> Option<Height> {
        let members = self.reports.iter().filter(|(id, _)| committee.key(**id).is_some());
        let reported = members.filter(|(_, report)| report.stamp != Stamp::default());
        reached_by_more_than(reported.map(|(_, report)| report.sealed), committee.faulty())
    }

    /// Up to which chunk of our own chain of `lane` a quorum holds it.
    pub(crate) fn quorum_sequence(
        &self,
        lane: LaneId,
        store: &LaneStore,
        me: ValidatorId,
        committee: &Committee,
    ) -> Option<LaneSequence> {
        let head = store.head(lane)?;
        let held = committee.ids().map(|id| {
            // The owner holds its own lane, or it could not have cut its chunks.
            if id == me || id == lane.validator {
                return head.sequence;
            }
            let reported = self.reports.get(&id).and_then(|r| r.lanes.get(&lane));
            reported
                .map_or(LaneSequence::default(), |held| store.agreed_with(lane, held.sequence, held.digest))
        });
        reached_by_more_than(held, committee.quorum().checked_sub(1)?)
    }

    /// The peers that report to hold `lane` at least up to `sequence`.
    pub(crate) fn holders(&self, lane: LaneId, sequence: LaneSequence) -> Vec<ValidatorId> {
        let holds = |r: &Report| r.lanes.get(&lane).is_some_and(|held| held.sequence >= sequence);
        self.reports.iter().filter(|(_, r)| holds(r)).map(|(id, _)| *id).collect()
    }

    /// Tips beyond what we hold that their lanes' owners report. Chunks are not signed, so nobody else is believed: who made up a
    /// tip of another's lane could serve the chunk as well, and fork that lane.
    pub(crate) fn beyond(&self, store: &LaneStore) -> Vec<(LaneTip, ValidatorId)> {
        let mut beyond: BTreeMap<LaneId, (LaneTip, ValidatorId)> = BTreeMap::new();
        for (id, report) in &self.reports {
            let bound = |raw| LaneId { validator: *id, incarnation: Incarnation::new(raw) };
            for (lane, held) in report.lanes.range(bound(0)..=bound(u64::MAX)) {
                let ours = store.held_sequence(*lane);
                let known = beyond.get(lane).map_or(ours, |(tip, _)| tip.sequence);
                if held.sequence > known {
                    let tip = LaneTip { lane: *lane, sequence: held.sequence, digest: held.digest };
                    beyond.insert(*lane, (tip, *id));
                }
            }
        }
        beyond.into_values().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ordering_types::{Chunk, RollupId, SecretKey, Time, Transaction};

    use super::*;
    use crate::lane::store::Claim;
    use crate::load::tests::generous_rules;

    fn stamp(millis: u64) -> Stamp {
        Stamp { incarnation: Incarnation::new(1), time: Time::from_millis(millis) }
    }

    fn committee() -> Committee {
        let key = |n: u16| SecretKey::from_bytes([n as u8; 32]).unwrap().public_key();
        Committee::new((1..=4).map(|n| (ValidatorId::new(n), key(n))).collect())
    }

    fn say(progress: &mut Progress, from: ValidatorId, stamp: Stamp, decided: u64, lanes: &[LaneTip]) {
        let (decided, lanes) = (Height::new(decided), lanes.to_vec());
        progress.report(from, &wire::Report { stamp, decided, sealed: Height::ZERO, whole: true, lanes });
    }

    /// Found by the simulator: a validator whose clock was 37 s ahead restarted with the right one, and nobody listened to its reports
    /// until that time had come. Its transactions waited as long.
    #[test]
    fn reports_of_a_later_start_count_whatever_its_clock_says() {
        let peer = ValidatorId::new(2);
        let mut progress = Progress::default();
        say(&mut progress, peer, stamp(37_000), 5, &[]);
        say(&mut progress, peer, stamp(36_000), 6, &[]);
        assert!(progress.ahead(Height::new(6)).is_empty(), "an older report came late");
        let restarted = Stamp { incarnation: Incarnation::new(2), time: Time::from_millis(100) };
        say(&mut progress, peer, restarted, 7, &[]);
        assert_eq!(progress.ahead(Height::new(7)), [(peer, Height::new(7))]);
    }

    /// f peers may say anything, and before f + 1 have spoken nothing is known.
    #[test]
    fn f_1_reports_tell_up_to_where_batches_are_signed() {
        let committee = committee();
        let mut progress = Progress::default();
        for (peer, sealed, surely) in [(2, 900, None), (3, 40, Some(40)), (4, 60, Some(60))] {
            let (decided, sealed) = (Height::new(1_000), Height::new(sealed));
            let report = wire::Report { stamp: stamp(1), decided, sealed, whole: true, lanes: vec![] };
            progress.report(ValidatorId::new(peer), &report);
            assert_eq!(progress.sealed_height(&committee), surely.map(Height::new));
        }
    }

    /// Found by a test of whole nodes: to a node that came back, the votes of now and the reports of then came together, and it thought
    /// itself less far behind than it was.
    #[test]
    fn a_report_that_comes_after_younger_votes_takes_nothing_back() {
        let committee = committee();
        let peers = [2, 3].map(ValidatorId::new);
        let mut progress = Progress::default();
        for peer in peers {
            progress.saw_decided(peer, Height::new(508));
            say(&mut progress, peer, stamp(1), 101, &[]);
        }
        assert_eq!(progress.heard_height(&committee), Height::new(508));
        // A start with an empty disk.
        let restarted = Stamp { incarnation: Incarnation::new(2), time: Time::from_millis(3) };
        say(&mut progress, peers[0], restarted, 5, &[]);
        assert_eq!(progress.ahead(Height::new(6)), [(peers[1], Height::new(508))]);
    }

    /// Found by the simulator (a liar that answers requests for chunks with turned bits): a tip of another's lane that somebody
    /// reported was fetched from whoever had it, so one liar could fork an honest validator's lane and have its own transactions ordered there.
    #[test]
    fn only_its_owner_is_believed_about_a_lane() {
        let [owner, liar] = [2, 3].map(ValidatorId::new);
        let lane = LaneId { validator: owner, incarnation: Incarnation::new(1) };
        let tip = LaneTip { lane, sequence: LaneSequence::new(1), digest: Digest::sha256(&[b"x"]) };
        let (mut progress, store) = (Progress::default(), LaneStore::default());
        say(&mut progress, liar, stamp(1), 0, &[tip]);
        assert_eq!(progress.beyond(&store), vec![]);
        say(&mut progress, owner, stamp(1), 0, &[tip]);
        assert_eq!(progress.beyond(&store), vec![(tip, owner)]);
    }

    /// Most reports tell only what is new. They may overtake each other, and the newest word on each lane counts.
    #[test]
    fn reports_of_news_add_up_and_a_whole_one_ends_them() {
        let peer = ValidatorId::new(2);
        let lane = |n| LaneId { validator: ValidatorId::new(n), incarnation: Incarnation::new(1) };
        let tip = |n, sequence| LaneTip {
            lane: lane(n),
            sequence: LaneSequence::new(sequence),
            digest: Digest::sha256(&[&[sequence as u8]]),
        };
        let mut progress = Progress::default();
        let holds = |progress: &Progress, n, sequence| {
            !progress.holders(lane(n), LaneSequence::new(sequence)).is_empty()
        };
        let news = |progress: &mut Progress, millis, whole, lanes: Vec<LaneTip>| {
            let decided = Height::ZERO;
            let sealed = Height::new(decided.get() / 2);
            let report = wire::Report { stamp: stamp(millis), decided, sealed, whole, lanes };
            progress.report(peer, &report);
        };
        news(&mut progress, 1, true, vec![tip(1, 1), tip(3, 1)]);
        news(&mut progress, 4, false, vec![tip(1, 4)]);
        news(&mut progress, 3, false, vec![tip(1, 3), tip(4, 2)]);
        assert!(holds(&progress, 1, 4) && holds(&progress, 3, 1) && holds(&progress, 4, 2));
        // Sent before the newest word on lane 1, and come after it.
        news(&mut progress, 3, true, vec![tip(4, 2)]);
        assert!(holds(&progress, 1, 4) && !holds(&progress, 3, 1) && holds(&progress, 4, 2));
        news(&mut progress, 2, false, vec![tip(3, 1)]);
        assert!(!holds(&progress, 3, 1), "older than the whole one");
        // Its branch was overruled, and the new one is shorter.
        news(&mut progress, 5, false, vec![tip(1, 2)]);
        assert!(!holds(&progress, 1, 3));
    }

    /// What fewer than n − f hold is not proposed: after f failures nobody might have it.
    #[test]
    fn a_tip_counts_once_a_quorum_holds_it() {
        for (n, quorum) in [(4, 3), (5, 4), (6, 5), (7, 5), (8, 6)] {
            let key = SecretKey::from_bytes([1; 32]).unwrap().public_key();
            let committee = Committee::new((1..=n).map(|id| (ValidatorId::new(id), key)).collect());
            let lane = LaneId { validator: ValidatorId::new(1), incarnation: Incarnation::new(1) };
            let transaction = Transaction { rollup: RollupId::new(1), data: b"x".as_slice().into() };
            let chunk = Chunk::new(lane, LaneSequence::new(1), Digest::ZERO, &[transaction]).unwrap();
            let tip = LaneTip { lane, sequence: chunk.sequence(), digest: chunk.digest() };
            let mut store = LaneStore::default();
            store.insert(chunk, Claim::OWN, Default::default(), &generous_rules()).unwrap();
            let mut progress = Progress::default();
            // The owner and we hold it, so q − 2 others must say so. One of them holds another branch.
            let me = ValidatorId::new(2);
            let fork = LaneTip { digest: Digest::sha256(&[b"fork"]), ..tip };
            say(&mut progress, ValidatorId::new(3), stamp(1), 0, &[fork]);
            for peer in 3..=quorum {
                let held = progress.quorum_sequence(lane, &store, me, &committee);
                assert_eq!(held, Some(LaneSequence::new(0)), "{n} members, {peer} have not reported");
                say(&mut progress, ValidatorId::new(peer), stamp(2), 0, &[tip]);
            }
            let held = progress.quorum_sequence(lane, &store, me, &committee);
            assert_eq!(held, Some(tip.sequence), "{n} members");
        }
    }
}
