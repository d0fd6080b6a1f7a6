//! Applying decided heights, whether agreed on here or proven by a peer.

use std::sync::Arc;

use bytes::Bytes;
use ordering_types::{Block, CommitCertificate, LaneTip, Time};

use super::Ordering;
use super::height::{Data, Standing};
use crate::agreement::Agreement;
use crate::api::{Decided, Output, Record};
use crate::cut::check::ParentSignatures;
use crate::expand::Expansion;
use crate::planted::PlantedBug;
use crate::wire::SyncItem;

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
        while let Some(proven) = self.sync.front() {
            if self.stopped || proven.item.header.height != self.height() {
                return;
            }
            let (cut, item, hash, from) = (proven.cut.clone(), proven.item.clone(), proven.hash, proven.from);
            match self.data(now, &cut, Some(from)) {
                Data::Missing => return,
                Data::Broken => {
                    return self.stop(format!("block {} names data that no lane holds", cut.height));
                }
                Data::Held(lanes) => {
                    let expansion = self.expand_proven(cut, item.cut, &lanes);
                    if expansion.hash != hash {
                        let height = expansion.cut.height;
                        return self.stop(format!(
                            "block {height} as decided by a quorum is {hash}, expanded here it is {}",
                            expansion.hash
                        ));
                    }
                    self.apply(now, &Arc::new(expansion), item.certificate);
                }
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
            snapshot: Bytes::from(e.state.snapshot()),
        });
        self.outputs.push_back(Output::Persist(Record::Decided(Arc::clone(&decided))));
        if self.settings.lacks(PlantedBug::DecidedTwice) {
            self.outputs.push_back(Output::Decided(Arc::clone(&decided)));
        }
        self.outputs.push_back(Output::Decided(decided));

        self.state = e.state.clone();
        self.rotation = self.state.rotation();
        self.parent_signatures = ParentSignatures::of(&certificate);
        self.agreement.witness_certificate(&certificate);
        self.commit = Some(certificate.clone());
        self.window.push(e.cut.height, e.ids.clone());
        for held in e.covered.iter().filter(|held| held.chunk.lane() == self.lane) {
            let rollups = held.chunk.transactions().iter().map(|t| t.rollup);
            self.buffer.decided(rollups.zip(held.ids.iter().copied()), &held.load, &self.rules);
        }
        let tips: Vec<LaneTip> = e.cut.tips.clone();
        self.store.decide(tips, e.covered.iter().map(|held| held.chunk.digest()));
        let again = self.system.decided(&e.cut, &self.state.replayed.system, &self.key);
        for message in again {
            self.spread_system(message);
        }
        let cut = e.cut_bytes.clone();
        self.sync.applied(SyncItem { cut, header: e.header.clone(), certificate });

        self.candidates.clear();
        self.proposals.clear();
        self.undecided_commit = None;
        self.fetch.decided(|lane| self.state.tip(lane).0);
        self.unusable.clear();
        self.pace.last_block = now;
        self.pace.last_duration = now.since(self.pace.last_start);
        self.report_soon(now);
    }
}
