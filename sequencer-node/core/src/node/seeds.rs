//! The seeds of this node's part in ceremonies, one for each epoch's key: stored before anything made of them leaves the node.

use std::collections::BTreeMap;

use ordering_types::Epoch;
use zeroize::Zeroizing;

use super::NodeCore;
use crate::api::{Output, Record};
use crate::settings::StartError;

/// A ceremony seed.
pub(super) type Seed = Zeroizing<[u8; 32]>;

/// Those that are not forgotten.
#[derive(Default)]
pub(super) struct Seeds(BTreeMap<Epoch, Seed>);

impl Seeds {
    /// As they were stored.
    pub(super) fn recover(stored: &BTreeMap<Epoch, Zeroizing<Vec<u8>>>) -> Result<Self, StartError> {
        let seed = |(epoch, bytes): (&Epoch, &Zeroizing<Vec<u8>>)| {
            let bad = |_| StartError::Ceremony(format!("the stored seed of epoch {epoch} has not 32 bytes"));
            let seed = <[u8; 32]>::try_from(bytes.as_slice()).map_err(bad)?;
            Ok((*epoch, Zeroizing::new(seed)))
        };
        stored.iter().map(seed).collect::<Result<_, StartError>>().map(Self)
    }

    /// Forgets those of epochs before this one: what they made is stored.
    pub(super) fn forget_before(&mut self, epoch: Epoch) {
        self.0 = self.0.split_off(&epoch);
    }
}

impl NodeCore {
    /// The seed for an epoch's key: the one in use, or a new one.
    pub(super) fn seed_of(&mut self, epoch: Epoch) -> Seed {
        if let Some(seed) = self.seeds.0.get(&epoch) {
            return seed.clone();
        }
        let drawn = self.entropy.draw(b"ceremony seed");
        let seed = Zeroizing::new(drawn.to_vec());
        self.outputs.push_back(Output::Persist(Record::CeremonySeed { epoch, seed }));
        self.seeds.0.insert(epoch, drawn.clone());
        drawn
    }
}
