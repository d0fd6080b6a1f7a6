//! What a node core is made from, beside what it finds on disk.

use std::sync::Arc;

use ordering_types::{ChainSpec, Incarnation, ValidatorId};

use crate::planted::PlantedBug;

/// One node's place in one network.
#[derive(Clone, Debug)]
pub struct Config {
    /// The genesis file.
    pub spec: Arc<ChainSpec>,
    /// Which of its validators this node is.
    pub me: ValidatorId,
    /// Counts this node's starts: strictly greater than at any start before.
    pub incarnation: u64,
    /// What may differ from node to node.
    pub settings: Settings,
}

/// What may differ from node to node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of the ordering core; its incarnation is replaced by [`Config::incarnation`].
    pub ordering: ordering::Settings,
    /// Of the signing machine.
    pub signing: mpc::signing::SigningConfig,
    /// A bug on purpose; none unless a simulator says so, or a test's process.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<PlantedBug>,
}

impl Settings {
    /// Whether this rule is taken out: never but in a simulator.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn lacks(&self, bug: PlantedBug) -> bool {
        self.planted == Some(bug)
    }

    /// Whether this rule is taken out: never but in a simulator.
    #[cfg(not(feature = "planted-bugs"))]
    #[allow(clippy::unused_self)]
    pub(crate) const fn lacks(&self, _: PlantedBug) -> bool {
        false
    }
}

impl Default for Settings {
    fn default() -> Self {
        #[cfg(feature = "planted-bugs")]
        let planted = crate::planted::of_this_process();
        Self {
            ordering: ordering::Settings::new(Incarnation::new(0)),
            signing: mpc::signing::SigningConfig {
                #[cfg(feature = "planted-bugs")]
                wrong_shares: planted == Some(PlantedBug::WrongShares),
                ..mpc::signing::SigningConfig::new(0)
            },
            #[cfg(feature = "planted-bugs")]
            planted,
        }
    }
}

/// Why a node core cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key is not that of a validator in the genesis file.
    #[error("validator {0} is not in the genesis file, or has another key there")]
    NotAMember(ValidatorId),
    /// The genesis file contradicts itself.
    #[error("genesis file: {0}")]
    ChainSpec(#[from] ordering_types::chain_spec::ChainSpecError),
    /// The ordering core refuses what it finds on disk.
    #[error(transparent)]
    Ordering(#[from] ordering::StartError),
    /// The key ceremony cannot be set up.
    #[error("key ceremony: {0}")]
    Ceremony(String),
    /// Stored secrets are damaged.
    #[error("stored key material: {0}")]
    KeyMaterial(String),
}
