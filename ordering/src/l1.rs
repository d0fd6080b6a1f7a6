//! What the committee has agreed to see on L1: the newest finalized block that a quorum reported alike, the registry of validators after it,
//! up to which epoch the inbox followed the handovers, and the forced-inclusion queue.
//!
//! # Rules
//! 1. A member reports finalized L1 blocks whose numbers [`report_blocks`](ordering_types::chain_spec::L1View::report_blocks) divides, in the log. Of each
//!    member the newest [`MAX_REPORTS`] count, so endpoints may be some steps apart.
//! 2. What a quorum reports alike becomes the L1 reference, if it is newer: at least f + 1 of them are honest, and n − f honest ones are enough. So a node
//!    whose own endpoint is dead, or lies, goes along with the others. The reference never goes back; without a quorum it stands still.
//! 3. The reports have only the root of the registry. Who has the list tells it in the log; it counts if it has the agreed root. Whatever needs the list before
//!    somebody told it, takes the one before.
//! 4. Of the queue they have a mark: see [`forced`](crate::forced).

use std::collections::{BTreeMap, BTreeSet};

use ordering_types::chain_spec::{Committee, Validator};
use ordering_types::{Digest, Epoch, L1Reference, L1Report, Registry, SystemMessage, ValidatorId};
use serde::{Deserialize, Serialize};

use crate::forced::ForcedBook;
use crate::load::Rules;
use crate::state::count;

/// Reports of one member that are remembered; see rule 1.
pub const MAX_REPORTS: usize = 8;
/// First byte of a system message that is an [`L1Report`].
pub const L1_REPORT: u8 = 5;
/// First byte of a system message that is an encoded [`Registry`].
pub const REGISTRY: u8 = 6;

/// See the [module's documentation](self).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct L1Book {
    agreed: Option<L1Report>,
    reports: BTreeMap<ValidatorId, BTreeSet<L1Report>>,
    /// Root of the newest list that was told.
    listed: Option<Digest>,
    candidates: Vec<Validator>,
    forced: ForcedBook,
}

impl L1Book {
    /// The newest that a quorum reported.
    pub const fn agreed(&self) -> Option<&L1Report> {
        self.agreed.as_ref()
    }

    /// The block that the next cut refers to.
    pub fn reference(&self) -> L1Reference {
        self.agreed.map(|report| report.block).unwrap_or_default()
    }

    /// The epoch whose key the inbox has in that block: all handovers up to it are final.
    pub fn confirmed(&self) -> Epoch {
        self.agreed.map(|report| report.epoch).unwrap_or_default()
    }

    /// The registry's active validators whose keys are known, ascending; empty before a list was told.
    pub fn candidates(&self) -> &[Validator] {
        &self.candidates
    }

    /// Root of the newest list that was told.
    pub const fn list(&self) -> Option<Digest> {
        self.listed
    }

    /// Whether a list was told at all.
    pub const fn is_listed(&self) -> bool {
        self.listed.is_some()
    }

    /// One of them.
    pub fn candidate(&self, id: ValidatorId) -> Option<&Validator> {
        let place = self.candidates.binary_search_by_key(&id, |candidate| candidate.id).ok()?;
        self.candidates.get(place)
    }

    /// How far the forced-inclusion queue is worked off.
    pub const fn forced(&self) -> &ForcedBook {
        &self.forced
    }

    /// What was worked off with a block.
    pub(crate) fn set_forced(&mut self, forced: ForcedBook) {
        self.forced = forced;
    }

    /// Root of the list that is agreed on and that nobody has told yet; none where there is no registry.
    pub fn missing_list(&self) -> Option<Digest> {
        let root = self.agreed?.registry;
        (root != Digest::ZERO && self.listed != Some(root)).then_some(root)
    }

    /// Whether this validator has reported this block or a newer one, or the reference is there already.
    pub fn has_reported(&self, validator: ValidatorId, number: u64) -> bool {
        let newest = self.reports.get(&validator).and_then(BTreeSet::last);
        let agreed = self.agreed.is_some_and(|agreed| agreed.block.number >= number);
        agreed || newest.is_some_and(|newest| newest.block.number >= number)
    }

    /// Counts a block's messages in.
    pub(crate) fn close_block(&mut self, messages: &[SystemMessage], members: &Committee, rules: &Rules) {
        for SystemMessage { sender, payload, .. } in messages {
            match payload.split_first() {
                Some((&L1_REPORT, bytes)) if members.key(*sender).is_some() => {
                    if let Some(report) = L1Report::decode(bytes) {
                        self.take_report(*sender, report, members, rules);
                    }
                }
                Some((&REGISTRY, bytes)) => self.take_list(bytes, rules),
                _ => {}
            }
        }
    }

    /// Another committee is in office: reports of members that left count no more.
    pub(crate) fn change_members(&mut self, members: &Committee) {
        self.reports.retain(|id, _| members.key(*id).is_some());
    }

    fn take_report(&mut self, from: ValidatorId, report: L1Report, members: &Committee, rules: &Rules) {
        let number = report.block.number;
        if number <= self.reference().number || !number.is_multiple_of(rules.report_blocks) {
            return;
        }
        let reports = self.reports.entry(from).or_default();
        // One word on each block: the first.
        if reports.iter().any(|known| known.block.number == number) {
            return;
        }
        reports.insert(report);
        while reports.len() > MAX_REPORTS {
            reports.pop_first();
        }
        let alike = self.reports.values().filter(|reports| reports.contains(&report)).count();
        if alike >= members.quorum() {
            self.agreed = Some(report);
            self.forced.add_mark(report.queue);
            for reports in self.reports.values_mut() {
                reports.retain(|other| other.block.number > number);
            }
            self.reports.retain(|_, reports| !reports.is_empty());
        }
    }

    fn take_list(&mut self, bytes: &[u8], rules: &Rules) {
        let Some(root) = self.missing_list() else { return };
        if let Some(list) = Registry::decode(bytes).ok().filter(|list| list.root() == root) {
            self.listed = Some(root);
            self.candidates = list.candidates(&rules.founders);
        }
    }

    /// For the state root: every field, in order, with counts before lists and texts.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { agreed, reports, listed, candidates, forced } = self;
        out.extend([agreed.is_some(), listed.is_some()].map(u8::from));
        out.extend(agreed.iter().flat_map(L1Report::encode));
        out.extend(listed.iter().flat_map(|root| root.to_bytes()));
        out.extend_from_slice(&count(reports.len()));
        for (id, reports) in reports {
            out.extend_from_slice(&id.get().to_be_bytes());
            out.extend_from_slice(&count(reports.len()));
            out.extend(reports.iter().flat_map(L1Report::encode));
        }
        out.extend_from_slice(&count(candidates.len()));
        for Validator { id, key, address } in candidates {
            out.extend_from_slice(&id.get().to_be_bytes());
            out.extend_from_slice(&key.to_bytes());
            out.extend_from_slice(&count(address.len()));
            out.extend_from_slice(address.as_bytes());
        }
        forced.write(out);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;
