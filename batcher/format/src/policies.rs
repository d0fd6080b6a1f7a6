//! Which rollup's data goes where, and what it is.

use std::collections::BTreeMap;

use ordering_types::chain_spec::{DataPolicy, RollupKind};
use ordering_types::{ChainSpec, RollupId};

/// What a batch must know of one rollup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What its transactions are.
    pub kind: RollupKind,
    /// Where its data goes.
    pub data: DataPolicy,
}

/// The policy of every rollup that the network serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies(BTreeMap<RollupId, Policy>);

impl Policies {
    /// Those of the genesis file.
    pub fn of(spec: &ChainSpec) -> Self {
        spec.rollups
            .iter()
            .map(|rollup| (rollup.id, Policy { kind: rollup.kind, data: rollup.data }))
            .collect()
    }

    /// The policy of one rollup, if it is served.
    pub fn of_rollup(&self, rollup: RollupId) -> Option<Policy> {
        self.0.get(&rollup).copied()
    }
}

impl FromIterator<(RollupId, Policy)> for Policies {
    fn from_iter<I: IntoIterator<Item = (RollupId, Policy)>>(policies: I) -> Self {
        Self(policies.into_iter().collect())
    }
}
