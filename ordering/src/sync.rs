//! Value sync: a node that is behind asks a peer for decided heights.
//!
//! Each height comes as cut, header and certificate. The certificate proves the header, the header fixes the cut and (through the
//! state root) all that follows from it, so an answer is checked before anything of it is used; the chunks are then fetched
//! like any others. A peer that answers wrongly, or not at all, loses its turn.

use std::collections::VecDeque;
use std::time::Duration;

use ordering_types::chain_spec::Committee;
use ordering_types::preimage::Domain;
use ordering_types::{Cut, Digest, Header, Height, Time, ValidatorId};

use crate::api::MAX_SYNC_HEIGHTS;
use crate::wire::{FetchDecided, SyncItem};

/// Heights kept in memory for peers.
const KEPT_HEIGHTS: usize = 512;
/// Most bytes of them.
const KEPT_BYTES: usize = 32 << 20;

/// Why an answer is worthless.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("not asked for")]
    Unasked,
    #[error("more heights than were asked for, or none")]
    Count,
    #[error("a header does not continue the chain")]
    Chain,
    #[error("a certificate does not prove its header")]
    Certificate,
    #[error("a cut is not the header's")]
    Cut,
}

/// One proven height, not yet expanded.
#[derive(Clone, Debug)]
pub(crate) struct Proven {
    pub(crate) from: ValidatorId,
    pub(crate) item: SyncItem,
    pub(crate) hash: Digest,
    pub(crate) cut: Cut,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    peer: ValidatorId,
    request: FetchDecided,
    until: Time,
    /// It has answered, and worthlessly: the next peer's turn comes when this one's would have ended.
    failed: bool,
}

/// Both sides of value sync.
#[derive(Debug, Default)]
pub(crate) struct Sync {
    /// See [`PlantedBug::SyncUnchecked`](crate::planted::PlantedBug::SyncUnchecked).
    trusting: bool,
    asked: Option<Asked>,
    proven: VecDeque<Proven>,
    attempts: usize,
    behind_since: Option<Time>,
    kept: VecDeque<SyncItem>,
    kept_bytes: usize,
}

impl Sync {
    pub(crate) fn new(trusting: bool) -> Self {
        Self { trusting, ..Self::default() }
    }

    /// The first proven height, waiting for its data.
    pub(crate) fn front(&self) -> Option<&Proven> {
        self.proven.front()
    }

    /// A height was applied, by whatever way.
    pub(crate) fn applied(&mut self, item: SyncItem) {
        let height = item.header.height;
        while self.proven.front().is_some_and(|p| p.item.header.height <= height) {
            self.proven.pop_front();
        }
        self.behind_since = None;
        self.kept_bytes += item.weight();
        self.kept.push_back(item);
        while self.kept.len() > KEPT_HEIGHTS || self.kept_bytes > KEPT_BYTES {
            let Some(old) = self.kept.pop_front() else { break };
            self.kept_bytes -= old.weight();
        }
    }

    /// Whom to ask for what, now that `ahead` say to have decided more than `tip`. One height behind is given `grace`: its last
    /// votes may be on their way.
    pub(crate) fn ask(
        &mut self,
        now: Time,
        tip: Height,
        ahead: &[ValidatorId],
        far: bool,
        (grace, retry): (Duration, Duration),
    ) -> Option<(ValidatorId, FetchDecided)> {
        if ahead.is_empty() {
            self.behind_since = None;
            return None;
        }
        let since = *self.behind_since.get_or_insert(now);
        if !self.proven.is_empty() || self.asked.is_some_and(|asked| now < asked.until) {
            return None;
        }
        if !far && now < since + grace {
            return None;
        }
        let peer = *ahead.get(self.attempts % ahead.len())?;
        self.attempts = self.attempts.wrapping_add(1);
        let first = tip.next();
        let request =
            FetchDecided { first, last: Height::new(first.get().saturating_add(MAX_SYNC_HEIGHTS - 1)) };
        self.asked = Some(Asked { peer, request, until: now + retry, failed: false });
        Some((peer, request))
    }

    /// When [`ask`](Self::ask) may have an answer, if we are behind.
    pub(crate) fn next_deadline(&self, grace: Duration) -> Option<Time> {
        if !self.proven.is_empty() {
            return None;
        }
        let patient = self.behind_since? + grace;
        Some(self.asked.map_or(patient, |asked| asked.until.max(patient)))
    }

    /// Checks an answer against our newest header hash. One that brings nothing new does not free the asker: whoever could make us ask
    /// again at once could make us ask for ever.
    pub(crate) fn answer(
        &mut self,
        from: ValidatorId,
        items: Vec<SyncItem>,
        (tip, tip_hash): (Height, Digest),
        domain: &Domain,
        committee: &Committee,
    ) -> Result<(), AnswerError> {
        let asked = self.asked.as_mut().filter(|asked| asked.peer == from && !asked.failed);
        let asked = asked.ok_or(AnswerError::Unasked)?;
        asked.failed = true;
        let count = asked.request.last.get() - asked.request.first.get() + 1;
        if items.is_empty() || items.len() as u64 > count {
            return Err(AnswerError::Count);
        }
        let mut last = (tip, tip_hash);
        for item in items {
            if item.header.height <= tip {
                continue;
            }
            let proven = prove(from, item, last, (domain, committee), self.trusting)?;
            last = (proven.item.header.height, proven.hash);
            self.proven.push_back(proven);
        }
        if last.0 > tip {
            // It served us well; it may go on.
            self.attempts = self.attempts.wrapping_sub(1);
            self.asked = None;
        }
        Ok(())
    }

    /// Answers a peer from memory, or `None` if the first height is not there any more.
    pub(crate) fn serve(&self, request: &FetchDecided) -> Option<Vec<SyncItem>> {
        let oldest = self.kept.front()?.header.height;
        let skip = usize::try_from(request.first.get().checked_sub(oldest.get())?).ok()?;
        let last = request.last.get().min(request.first.get().saturating_add(MAX_SYNC_HEIGHTS - 1));
        let count = usize::try_from(last.checked_sub(request.first.get())?).ok()? + 1;
        Some(self.kept.iter().skip(skip).take(count).cloned().collect())
    }
}

fn prove(
    from: ValidatorId,
    item: SyncItem,
    (tip, tip_hash): (Height, Digest),
    (domain, committee): (&Domain, &Committee),
    trusting: bool,
) -> Result<Proven, AnswerError> {
    let Header { height, parent, epoch, cut: cut_digest, .. } = item.header;
    if height != tip.next() || parent != tip_hash {
        return Err(AnswerError::Chain);
    }
    let hash = item.header.hash();
    let certificate = &item.certificate;
    if certificate.header != hash || certificate.height != height || certificate.epoch != epoch {
        return Err(AnswerError::Certificate);
    }
    if !trusting {
        certificate.verify(domain, committee).map_err(|_| AnswerError::Certificate)?;
    }
    if Digest::sha256(&[&item.cut]) != cut_digest {
        return Err(AnswerError::Cut);
    }
    let cut = Cut::decode(&item.cut).map_err(|_| AnswerError::Cut)?;
    Ok(Proven { from, item, hash, cut })
}

#[cfg(test)]
mod tests;
