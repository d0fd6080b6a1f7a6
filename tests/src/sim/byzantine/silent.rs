//! Says nothing to the first half of its peers, and every other thing to the rest.

use node_core::api::Recipient;
use ordering_types::ValidatorId;

use super::{Scene, Sent};
use crate::sim::plan::below;

pub(super) fn speak(scene: &mut Scene<'_>, message: Sent) -> Vec<Sent> {
    scene.faults.count("lie: silence");
    if below(scene.rng, 2) == 0 {
        return Vec::new();
    }
    let half = scene.peers.len() / 2;
    let hears = |peer: &ValidatorId| match message.to {
        Recipient::All => true,
        Recipient::One(to) => to == *peer,
    };
    let to = |peer: &ValidatorId| Sent { to: Recipient::One(*peer), ..message.clone() };
    scene.peers.iter().skip(half).filter(|p| hears(p)).map(to).collect()
}
