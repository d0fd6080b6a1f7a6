//! What enough of many say.

/// The greatest that more than `n` of them reach; `None` if no more than `n` speak. With n = f, an honest one reaches it.
pub(crate) fn reached_by_more_than<T: Ord + Copy>(said: impl Iterator<Item = T>, n: usize) -> Option<T> {
    let mut said: Vec<T> = said.collect();
    said.sort_unstable_by(|a, b| b.cmp(a));
    said.get(n).copied()
}
