//! Values that were seen last, the newest first.

/// At most `N` of them.
#[derive(Clone, Debug)]
pub(super) struct Recent<T, const N: usize>(Vec<T>);

impl<T, const N: usize> Default for Recent<T, N> {
    fn default() -> Self {
        Self(Vec::with_capacity(N))
    }
}

impl<T: Copy + PartialEq, const N: usize> Recent<T, N> {
    /// Takes a value out; its rank.
    pub(super) fn take_equal(&mut self, value: &T) -> Option<u8> {
        let rank = self.0.iter().position(|known| known == value)?;
        self.0.remove(rank);
        Some(rank as u8)
    }

    /// Takes the value of a rank out.
    pub(super) fn take(&mut self, rank: u8) -> Option<T> {
        let rank = usize::from(rank);
        (rank < self.0.len()).then(|| self.0.remove(rank))
    }

    /// The newest from now on; without it, the oldest is forgotten.
    pub(super) fn insert(&mut self, value: T) {
        self.0.truncate(N - 1);
        self.0.insert(0, value);
    }
}
