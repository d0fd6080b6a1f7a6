//! Whom this node talks to, as far as the log tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use ordering_types::chain_spec::Validator;
use ordering_types::{Digest, Epoch, Height, ValidatorId};

use super::NodeCore;
use crate::api::{Output, Peers};

/// The epoch, where its newest ceremony began, and the registry's list.
pub(super) type PeersFrom = (Epoch, Option<Height>, Option<Digest>);

impl NodeCore {
    /// Tells the host of the peers, if they are others than it knows.
    pub(super) fn tell_peers(&mut self) {
        let told_for = Some(self.follows_from());
        if self.peers_told_for == told_for {
            return;
        }
        self.peers_told_for = told_for;
        let peers = self.peers_now();
        if *self.peers != peers {
            self.peers = Arc::new(peers);
            self.outputs.push_back(Output::Peers(Arc::clone(&self.peers)));
        }
    }

    /// What the list follows from: every block asks for it, and it hardly ever changes.
    fn follows_from(&self) -> PeersFrom {
        let book = self.ordering.epochs();
        (book.present().epoch, book.ceremony().map(|start| start.after), self.ordering.l1().list())
    }

    fn peers_now(&self) -> Peers {
        let mut known: BTreeMap<ValidatorId, Validator> = BTreeMap::new();
        let founders = self.spec.validators.iter();
        for validator in founders.chain(self.ordering.l1().candidates()) {
            known.insert(validator.id, validator.clone());
        }
        // Members of the epochs that are remembered have batches and handovers to sign, wherever they are now.
        let book = self.ordering.epochs();
        let members = book.starts().map(|start| start.members.committee());
        let drawn = book.ceremony().map(|start| start.members.committee());
        for (id, key) in members.chain(drawn).flat_map(|committee| committee.iter()) {
            let unknown = || Validator { id, key: *key, address: String::new() };
            known.entry(id).or_insert_with(unknown);
        }
        known.remove(&self.me);
        let committee = self.ordering.committee().ids().filter(|id| *id != self.me).collect();
        Peers { known: known.into_values().collect(), committee, member: self.ordering.is_member() }
    }
}
