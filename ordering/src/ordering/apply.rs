//! Applying decided heights, whether agreed on here or proven by a peer.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ordering_types::{Block, Chunk, CommitCertificate, Cut, Digest, Height, LaneTip, Time};

use super::Ordering;
use super::height::{Data, Standing};
use super::orderable::Orderable;
use crate::agreement::Agreement;
use crate::api::{Decided, Output, Record};
use crate::cut::check::ParentSignatures;
use crate::epoch::EpochEvent;
use crate::expand::Expansion;
use crate::lane::own::Settled;
use crate::lane::store::Claim;
use crate::planted::PlantedBug;
use crate::sync::Kept;

impl Ordering {
    /// Applies the height that agreement decided, as soon as its cut is expanded.
    pub(super) fn apply_decision(&mut self, now: Time) {
        let Some(certificate) = &self.undecided_commit else { return };
        let Some(candidate) = self.candidates.get(&certificate.header) else { return };
        if let Standing::Valid(expansion) = &candidate.standing {
            let (expansion, certificate) = (Arc::clone(expansion), certificate.clone());
            self.apply(now, &expansion, certificate);
        }
    }

    /// Applies proven heights while their data is there.
    pub(super) fn apply_proven(&mut self, now: Time) {
        while !self.stopped && self.apply_next_proven(now) {}
    }

    /// False: the next height is not proven, or not all of it is here.
    fn apply_next_proven(&mut self, now: Time) -> bool {
        let height = self.height();
        let Some(proven) = self.sync.proven(height) else { return false };
        if proven.header.parent != self.state.header {
            self.refuse_proven(height);
            return false;
        }
        let chunks = self.sync.take_chunks(height);
        let Some(proven) = self.sync.proven(height) else { return false };
        let (hash, from) = (proven.certificate.header, proven.from);
        let (cut, bytes) = (proven.cut.clone(), proven.cut_bytes.clone());
        let (told, certificate) = (proven.left_out.clone(), proven.certificate.clone());
        self.hold_proven(&cut, chunks);
        let lanes = match self.data(now, &cut, Some(from)) {
            Data::Missing => return false,
            Data::Broken => {
                self.stop(format!("block {height} names data that no lane holds"));
                return false;
            }
            Data::Held(lanes) => lanes,
        };
        let expansion = self.expand_proven((cut, bytes), &told, &lanes);
        if expansion.hash == hash {
            self.apply(now, &Arc::new(expansion), certificate);
            return true;
        }
        if self.is_told(height) {
            self.refuse_proven(height);
        } else {
            let ours = expansion.hash;
            self.stop(format!("block {height} as decided by a quorum is {hash}, expanded here it is {ours}"));
        }
        false
    }

    /// What a peer said of a height cannot be; another is asked.
    fn refuse_proven(&mut self, height: Height) {
        if let Some(from) = self.sync.refuse(height) {
            self.fault(from);
        }
    }

    /// Stores those of the chunks that a proven cut covers: each is named by a tip, or by the chunk after it.
    fn hold_proven(&mut self, cut: &Cut, mut chunks: BTreeMap<Digest, Chunk>) {
        for tip in &cut.tips {
            let decided = self.state.tip(tip.lane);
            let (mut sequence, mut digest) = (tip.sequence.get(), tip.digest);
            while sequence > decided.0.get() {
                let parent = match (self.store.get(digest), chunks.remove(&digest)) {
                    (Some(held), _) => held.chunk.parent(),
                    (None, Some(chunk)) => {
                        let parent = chunk.parent();
                        self.fetch.arrived(digest);
                        match self.store.insert(
                            chunk.clone(),
                            Claim { named: true, vouched: false },
                            decided,
                            &self.rules,
                        ) {
                            Ok(_) => self.outputs.push_back(Output::Persist(Record::Chunk(chunk))),
                            Err(_) => drop(self.unusable.insert(digest)),
                        }
                        parent
                    }
                    (None, None) => break,
                };
                (sequence, digest) = (sequence - 1, parent);
            }
        }
    }

    fn apply(&mut self, now: Time, expansion: &Arc<Expansion>, certificate: CommitCertificate) {
        let e = expansion.as_ref();
        let decided = Arc::new(Decided {
            block: Block { header: e.header.clone(), sections: e.sections.clone() },
            tree: e.tree.clone(),
            certificate: certificate.clone(),
            cut: e.cut.clone(),
            cut_bytes: e.cut_bytes.clone(),
            covered: e.places.clone(),
            forced: e.forced.clone(),
            snapshot: Bytes::from(e.state.snapshot()),
        });
        self.outputs.push_back(Output::Persist(Record::Decided(Arc::clone(&decided))));
        if self.settings.lacks(PlantedBug::DecidedTwice) {
            self.outputs.push_back(Output::Decided(Arc::clone(&decided)));
        }
        self.outputs.push_back(Output::Decided(decided));
        self.outputs.extend(e.epochs.iter().cloned().map(Output::Epoch));

        self.state = e.state.clone();
        let ended = e.epochs.iter().any(|event| matches!(event, EpochEvent::Ended { .. }));
        if ended {
            self.enter_epoch();
        }
        self.orderable = Orderable::Unknown;
        self.rotation = self.state.rotation();
        self.parent_signatures = ParentSignatures::of(&certificate);
        self.agreement.witness_certificate(&certificate);
        self.commit = Some(certificate.clone());
        self.window.push(e.cut.height, e.ids.clone());
        self.settle_lanes(now, e);
        let (state, rules) = (&self.state, &self.rules);
        if ended {
            self.store.close(|owner| state.has_lane(owner, rules));
        }
        let (state, said) = (&self.state, &e.cut.system);
        let speaks = |id| state.key_of_speaker(id).is_some();
        let again = self.system.decided(said, &state.replayed.system, speaks, &self.key);
        for message in again {
            self.spread_system(message);
        }
        let (cut, covered) = (e.cut_bytes.clone(), e.places.clone());
        self.sync.applied(Kept { header: e.header.clone(), certificate, cut, covered });

        if self.settings.replay_first {
            self.state_sync.put_off(now);
        }
        // Else they would fill the senders' places at a node that is one height behind, and only what comes early brings that one back.
        self.early.retain(|(_, of, ..), _| *of > e.cut.height);
        self.candidates.clear();
        self.proposals.clear();
        self.undecided_commit = None;
        self.fetch.decided(|lane| self.state.tip(lane).0);
        self.unusable.clear();
        self.end_height(now);
        self.report_soon(now);
    }

    /// Takes what was decided out of the lanes. Where that is not what their owners cut, they go on from there: we with our own lane, and
    /// peers with theirs, of which the old branch is forgotten.
    fn settle_lanes(&mut self, now: Time, e: &Expansion) {
        let tips: Vec<LaneTip> = e.cut.tips.clone();
        for lane in self.store.decide(tips, e.covered.iter().map(|held| held.chunk.digest())) {
            self.fetch.forget(lane);
            if let Some((_, gaps)) = &mut self.pace.gap {
                gaps.retain(|(tip, _)| tip.lane != lane);
            }
        }
        let lane = self.own.id;
        let own = e.covered.iter().filter(|held| held.chunk.lane() == lane);
        let settled = self.own.settle(&own.map(|held| held.chunk.digest()).collect(), self.state.tip(lane));
        self.settle_own(now, &settled);
    }

    /// What is decided of the own lane waits no more; what can never be, waits again, unless it was ordered otherwise.
    pub(super) fn settle_own(&mut self, now: Time, settled: &Settled) {
        for held in &settled.decided {
            self.buffer.decided(held, &self.rules);
        }
        if !self.settings.lacks(PlantedBug::OverruledForgotten) {
            let ordered = |rollup, id| self.window.contains(rollup, id);
            self.buffer.take_back(now, &settled.overruled, ordered, &self.rules);
        }
    }
}
