//! Nobody left to go to.

use ordering_types::Epoch;

use super::learn::Learnt;
use crate::verify::Network;

/// Of the nodes whose addresses the client has, none is in the committee any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "none of the {} configured nodes is in the committee any more ({outside} say so, {silent} do not answer); add the address of a \
     member. Those of epoch {epoch}, the newest known here: {}",
    .outside + .silent, self.names()
)]
pub struct Stranded {
    /// Nodes that say of themselves that they are not in the committee.
    pub outside: usize,
    /// Nodes that do not answer.
    pub silent: usize,
    /// The newest epoch that the client knows.
    pub epoch: Epoch,
    /// Addresses of its members' keys, by which the registry on L1 lists where they are. Empty if they are not known.
    pub members: Vec<ordering_types::Address>,
}

impl Stranded {
    pub(super) fn new(network: &Network, learnt: &Learnt, outside: usize, silent: usize) -> Self {
        let members = learnt.newest_members(network);
        let addresses = members.iter().flat_map(|members| members.iter().map(|(_, key)| key.address()));
        Self { outside, silent, epoch: learnt.newest(), members: addresses.collect() }
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.members.iter().map(ToString::to_string).collect();
        if names.is_empty() { "not known".to_owned() } else { names.join(", ") }
    }
}
