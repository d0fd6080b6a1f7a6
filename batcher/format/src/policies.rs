//! Which rollup's data goes where.

use std::collections::BTreeMap;

use ordering_types::chain_spec::DataPolicy;
use ordering_types::{ChainSpec, RollupId};

/// The data policy of every rollup that the network serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies(BTreeMap<RollupId, DataPolicy>);

impl Policies {
    /// Those of the genesis file.
    pub fn of(spec: &ChainSpec) -> Self {
        spec.rollups.iter().map(|rollup| (rollup.id, rollup.data)).collect()
    }

    /// The policy of one rollup, if it is served.
    pub fn of_rollup(&self, rollup: RollupId) -> Option<DataPolicy> {
        self.0.get(&rollup).copied()
    }
}

impl FromIterator<(RollupId, DataPolicy)> for Policies {
    fn from_iter<I: IntoIterator<Item = (RollupId, DataPolicy)>>(policies: I) -> Self {
        Self(policies.into_iter().collect())
    }
}
