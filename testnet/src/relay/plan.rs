//! The relay's configuration: one JSON file in its folder of the data folder.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::link::{Class, Conditions, ConditionsError, LinkId};
use crate::layout::Ports;

/// Most fronts of one relay: two of each of the most validators that a genesis file may name.
const MAX_FRONTS: usize = 200;

/// What a relay is asked to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RelaySettings {
    /// Of all links at the start.
    pub conditions: Conditions,
    /// Of all chance.
    pub seed: u64,
}

/// One port of one validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Front {
    /// Whose.
    pub validator: u16,
    /// Which of its ports.
    pub class: Class,
    /// Where the relay listens: what the genesis file says.
    pub listen: SocketAddr,
    /// Where the node listens, and where it sends from.
    pub node: SocketAddr,
}

/// The configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Of all chance.
    pub seed: u64,
    /// Of all links at the start.
    pub conditions: Conditions,
    /// All fronts.
    pub fronts: Vec<Front>,
    /// Unix socket for commands.
    pub control: PathBuf,
}

/// A configuration that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Conditions.
    #[error(transparent)]
    Conditions(#[from] ConditionsError),
    /// Too many.
    #[error("{0} fronts, at most {MAX_FRONTS} allowed")]
    Fronts(usize),
    /// Two fronts for one thing.
    #[error("validator {validator} has two fronts for {class:?}, or shares its node's address {node}")]
    Twice {
        /// Whose.
        validator: u16,
        /// Which.
        class: Class,
        /// Its node.
        node: SocketAddr,
    },
}

impl Plan {
    /// The relay of a network on this machine: two fronts for every node.
    pub fn local(ports: Ports, nodes: u16, settings: RelaySettings, control: PathBuf) -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let front = |validator, class, listen, node| Front {
            validator,
            class,
            listen: local(listen),
            node: local(node),
        };
        let fronts = |i| {
            [
                front(i, Class::Mesh, ports.mesh_front(i), ports.p2p(i)),
                front(i, Class::Chunks, ports.chunks_front(i), ports.chunks(i)),
            ]
        };
        let RelaySettings { conditions, seed } = settings;
        Self { seed, conditions, fronts: (1..=nodes).flat_map(fronts).collect(), control }
    }

    /// Checks it as a whole.
    pub fn check(&self) -> Result<(), PlanError> {
        self.conditions.check()?;
        if self.fronts.len() > MAX_FRONTS {
            return Err(PlanError::Fronts(self.fronts.len()));
        }
        let (mut ports, mut nodes) = (BTreeSet::new(), BTreeSet::new());
        for Front { validator, class, node, .. } in self.fronts.iter().copied() {
            if !ports.insert((validator, class)) || !nodes.insert(node) {
                return Err(PlanError::Twice { validator, class, node });
            }
        }
        Ok(())
    }

    /// Every directed link between two fronts of one class.
    pub fn links(&self) -> impl Iterator<Item = LinkId> + '_ {
        let to = |from: &Front| {
            let Front { class, validator, .. } = *from;
            let others = self.fronts.iter().filter(move |to| to.class == class && to.validator != validator);
            others.map(move |to| LinkId { class, from: validator, to: to.validator })
        };
        self.fronts.iter().flat_map(to)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn front(validator: u16, class: Class, port: u16) -> Front {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Front { validator, class, listen: address(port), node: address(port + 100) }
    }

    fn plan(fronts: Vec<Front>) -> Plan {
        Plan { seed: 7, conditions: Conditions::default(), fronts, control: "control.sock".into() }
    }

    #[test]
    fn links_join_fronts_of_one_class() {
        let mut fronts: Vec<Front> = (1..=4).map(|i| front(i, Class::Mesh, 1_000 + i)).collect();
        assert_eq!(plan(fronts.clone()).links().count(), 12);
        fronts.extend((1..=4).map(|i| front(i, Class::Chunks, 2_000 + i)));
        let plan = plan(fronts);
        assert_eq!(plan.check(), Ok(()));
        let links: BTreeSet<LinkId> = plan.links().collect();
        assert_eq!((links.len(), links.iter().filter(|id| id.from == id.to).count()), (24, 0));
        let read: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(read, plan);
    }

    #[test]
    fn two_fronts_of_one_port_are_refused() {
        let one = front(1, Class::Mesh, 1_001);
        let twice = plan(vec![one, front(1, Class::Mesh, 1_002)]);
        assert!(matches!(twice.check(), Err(PlanError::Twice { .. })));
        let shared = plan(vec![one, Front { validator: 2, ..one }]);
        assert!(matches!(shared.check(), Err(PlanError::Twice { .. })));
    }
}
