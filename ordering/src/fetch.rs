//! Fetching of chunks that something names and that are not held: ask one peer at a time, then another.

use std::collections::BTreeMap;
use std::time::Duration;

use ordering_types::{Digest, Time, ValidatorId};

/// Most chunks that are wanted at once.
const MAX_WANTED: usize = 4_096;
/// Most requests that are sent at once; the others follow when answers come or time passes.
const MAX_REQUESTS_AT_ONCE: usize = 64;

#[derive(Clone, Debug)]
struct Want {
    /// Who likely holds it.
    hints: Vec<ValidatorId>,
    ancestors: u8,
    /// Named by a cut, so that its lane's limits do not matter.
    named: bool,
    due: Time,
    attempts: usize,
}

/// A request to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) to: ValidatorId,
    pub(crate) digest: Digest,
    pub(crate) ancestors: u8,
}

/// Chunks wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fetch {
    wants: BTreeMap<Digest, Want>,
}

impl Fetch {
    /// Wants a chunk, first asked for at `due`.
    pub(crate) fn want(
        &mut self,
        digest: Digest,
        ancestors: u8,
        named: bool,
        due: Time,
        hints: Vec<ValidatorId>,
    ) {
        if let Some(want) = self.wants.get_mut(&digest) {
            want.named |= named;
            want.due = if want.attempts == 0 { want.due.min(due) } else { want.due };
            want.ancestors = want.ancestors.max(ancestors);
        } else if named || self.wants.len() < MAX_WANTED {
            // What cuts name is bounded by the cuts kept, so it is never turned away for what peers only report.
            self.wants.insert(digest, Want { hints, ancestors, named, due, attempts: 0 });
        }
    }

    /// Whether a chunk is wanted, and whether a cut names it.
    pub(crate) fn wanted(&self, digest: Digest) -> Option<bool> {
        self.wants.get(&digest).map(|want| want.named)
    }

    /// It is held now.
    pub(crate) fn arrived(&mut self, digest: Digest) {
        self.wants.remove(&digest);
    }

    /// Nothing wanted so far matters any more.
    pub(crate) fn clear(&mut self) {
        self.wants.clear();
    }

    /// Requests due now. `peers` is everyone else, in ascending order.
    pub(crate) fn due(&mut self, now: Time, retry: Duration, peers: &[ValidatorId]) -> Vec<Request> {
        let mut requests = Vec::new();
        for (digest, want) in self.wants.iter_mut().filter(|(_, want)| want.due <= now) {
            if requests.len() >= MAX_REQUESTS_AT_ONCE {
                break;
            }
            let everyone = want.hints.iter().chain(peers);
            let choices = want.hints.len() + peers.len();
            let Some(to) = everyone.cycle().nth(want.attempts % choices.max(1)).copied() else { continue };
            want.attempts += 1;
            want.due = now + retry;
            requests.push(Request { to, digest: *digest, ancestors: want.ancestors });
        }
        requests
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.wants.values().map(|want| want.due).min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_asked_first_and_then_everyone_in_turn() {
        let [a, b, c] = [1, 2, 3].map(ValidatorId::new);
        let mut fetch = Fetch::default();
        let digest = Digest::sha256(&[b"x"]);
        fetch.want(digest, 0, true, Time::from_millis(10), vec![c]);
        let retry = Duration::from_millis(5);
        assert_eq!(fetch.due(Time::from_millis(9), retry, &[a, b]), vec![]);
        let asked: Vec<_> = (0..4)
            .map(|i| fetch.due(Time::from_millis(10 + 5 * i), retry, &[a, b]).first().unwrap().to)
            .collect();
        assert_eq!(asked, vec![c, a, b, c]);
        fetch.arrived(digest);
        assert_eq!(fetch.next_deadline(), None);
    }
}
