//! Maps whose keys are spread already: hashes by their first bytes, the client's own counter by itself.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Passes a key on as its own hash. Only for keys that no one else can choose: ids of transactions that we made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// A counter: spread over all bits, since the map looks at the highest and at the lowest.
    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// Lengths of slices say nothing.
    fn write_usize(&mut self, _: usize) {}
}

/// A map by such keys.
pub(super) type Keyed<K, V> = HashMap<K, V, BuildHasherDefault<AsIs>>;

/// An empty one.
pub(super) fn keyed<K: Eq + Hash, V>() -> Keyed<K, V> {
    HashMap::default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;
    use std::hash::BuildHasher;

    use ordering_types::transaction::tx_id;

    use super::*;

    #[test]
    fn different_keys_have_different_hashes() {
        let state = BuildHasherDefault::<AsIs>::default();
        let ids: BTreeSet<u64> = (0..1_000_u32).map(|i| state.hash_one(tx_id(&i.to_be_bytes()))).collect();
        assert_eq!(ids.len(), 1_000);
        let low = |hash: u64| hash & 0xfff;
        let counters: BTreeSet<u64> = (0..1_000_u64).map(|i| low(state.hash_one(i))).collect();
        assert_eq!(counters.len(), 1_000);
    }
}
