//! Who reports to hold which lane up to where.

use std::collections::BTreeMap;

use ordering_types::chain_spec::Committee;
use ordering_types::{Digest, Height, LaneId, LaneSequence, LaneTip, ValidatorId};

use super::store::LaneStore;
use crate::wire::Stamp;

/// The newest report of one peer.
#[derive(Clone, Debug, Default)]
struct Report {
    stamp: Stamp,
    decided: Height,
    lanes: BTreeMap<LaneId, (LaneSequence, Digest)>,
}

/// The newest report of every peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    reports: BTreeMap<ValidatorId, Report>,
}

impl Progress {
    /// Takes a report, unless a newer one came before it. The caller checked that `from` is a member.
    pub(crate) fn report(&mut self, from: ValidatorId, stamp: Stamp, decided: Height, lanes: &[LaneTip]) {
        let report = self.reports.entry(from).or_default();
        if stamp < report.stamp {
            return;
        }
        *report = Report {
            stamp,
            decided,
            lanes: lanes.iter().map(|tip| (tip.lane, (tip.sequence, tip.digest))).collect(),
        };
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
        let mut heights: Vec<_> = self.reports.values().map(|r| r.decided).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        heights.get(committee.faulty()).copied().unwrap_or_default()
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
        let mut held: Vec<LaneSequence> = committee
            .ids()
            .map(|id| {
                // The owner holds its own lane, or it could not have cut its chunks.
                if id == me || id == lane.validator {
                    return head.sequence;
                }
                let reported = self.reports.get(&id).and_then(|r| r.lanes.get(&lane));
                reported.map_or(LaneSequence::default(), |(sequence, digest)| {
                    store.agreed_with(lane, *sequence, *digest)
                })
            })
            .collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        held.get(committee.quorum().checked_sub(1)?).copied()
    }

    /// The peers that report to hold `lane` at least up to `sequence`.
    pub(crate) fn holders(&self, lane: LaneId, sequence: LaneSequence) -> Vec<ValidatorId> {
        let holds = |r: &Report| r.lanes.get(&lane).is_some_and(|(s, _)| *s >= sequence);
        self.reports.iter().filter(|(_, r)| holds(r)).map(|(id, _)| *id).collect()
    }

    /// Tips beyond what we hold that their lanes' owners report. Chunks are not signed, so nobody else is believed: who made up a
    /// tip of another's lane could serve the chunk as well, and fork that lane.
    pub(crate) fn beyond(&self, store: &LaneStore) -> Vec<(LaneTip, ValidatorId)> {
        let mut beyond: BTreeMap<LaneId, (LaneTip, ValidatorId)> = BTreeMap::new();
        for (id, report) in &self.reports {
            for (lane, (sequence, digest)) in report.lanes.iter().filter(|(lane, _)| lane.validator == *id) {
                let ours = store.held_sequence(*lane);
                let known = beyond.get(lane).map_or(ours, |(tip, _)| tip.sequence);
                if *sequence > known {
                    let tip = LaneTip { lane: *lane, sequence: *sequence, digest: *digest };
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
    use ordering_types::{Chunk, Incarnation, RollupId, SecretKey, Time, Transaction};

    use super::*;
    use crate::load::tests::generous_rules;

    fn stamp(millis: u64) -> Stamp {
        Stamp { incarnation: Incarnation::new(1), time: Time::from_millis(millis) }
    }

    /// Found by the simulator: a validator whose clock was 37 s ahead restarted with the right one, and nobody listened to its reports
    /// until that time had come. Its transactions waited as long.
    #[test]
    fn reports_of_a_later_start_count_whatever_its_clock_says() {
        let peer = ValidatorId::new(2);
        let mut progress = Progress::default();
        progress.report(peer, stamp(37_000), Height::new(5), &[]);
        progress.report(peer, stamp(36_000), Height::new(6), &[]);
        assert!(progress.ahead(Height::new(6)).is_empty(), "an older report came late");
        let restarted = Stamp { incarnation: Incarnation::new(2), time: Time::from_millis(100) };
        progress.report(peer, restarted, Height::new(7), &[]);
        assert_eq!(progress.ahead(Height::new(7)), [(peer, Height::new(7))]);
    }

    /// Found by the simulator (a liar that answers requests for chunks with turned bits): a tip of another's lane that somebody
    /// reported was fetched from whoever had it, so one liar could fork an honest validator's lane and have its own transactions ordered there.
    #[test]
    fn only_its_owner_is_believed_about_a_lane() {
        let [owner, liar] = [2, 3].map(ValidatorId::new);
        let lane = LaneId { validator: owner, incarnation: Incarnation::new(1) };
        let tip = LaneTip { lane, sequence: LaneSequence::new(1), digest: Digest::sha256(&[b"x"]) };
        let (mut progress, store) = (Progress::default(), LaneStore::default());
        progress.report(liar, stamp(1), Height::ZERO, &[tip]);
        assert_eq!(progress.beyond(&store), vec![]);
        progress.report(owner, stamp(1), Height::ZERO, &[tip]);
        assert_eq!(progress.beyond(&store), vec![(tip, owner)]);
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
            store.insert(chunk, false, Default::default(), &generous_rules()).unwrap();
            let mut progress = Progress::default();
            // The owner and we hold it, so q − 2 others must say so. One of them holds another branch.
            let me = ValidatorId::new(2);
            let fork = LaneTip { digest: Digest::sha256(&[b"fork"]), ..tip };
            progress.report(ValidatorId::new(3), stamp(1), Height::ZERO, &[fork]);
            for peer in 3..=quorum {
                let held = progress.quorum_sequence(lane, &store, me, &committee);
                assert_eq!(held, Some(LaneSequence::new(0)), "{n} members, {peer} have not reported");
                progress.report(ValidatorId::new(peer), stamp(2), Height::ZERO, &[tip]);
            }
            let held = progress.quorum_sequence(lane, &store, me, &committee);
            assert_eq!(held, Some(tip.sequence), "{n} members");
        }
    }
}
