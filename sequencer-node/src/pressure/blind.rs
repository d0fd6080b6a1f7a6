//! Is L1 down, or only our endpoint? The committee knows: its members see L1 through endpoints of their own, and each block names the final L1
//! block that a quorum reported.

use std::time::Duration;

/// Whoever reports of L1 reads it with pauses of up to a minute, and the log takes its time: what the committee agrees on so long after
/// the own endpoint's last answer may be older than that answer.
pub(crate) const GRACE: Duration = Duration::from_secs(300);

/// Watches one silence of the own endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blindness {
    /// The committee's reference when the silence had lasted for [`GRACE`].
    mark: Option<u64>,
    blind: bool,
}

impl Blindness {
    /// One look: for how long the endpoint has been silent, and the number of the L1 block in the newest header. True: L1 goes on without us,
    /// and what we knew of it is of no use.
    pub(crate) fn look(&mut self, silent: Duration, reference: u64) -> bool {
        if silent < GRACE {
            *self = Self::default();
            return false;
        }
        let mark = *self.mark.get_or_insert(reference);
        self.blind |= reference > mark;
        self.blind
    }
}
