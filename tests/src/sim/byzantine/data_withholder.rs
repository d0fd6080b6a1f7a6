//! Keeps chunks to itself, or gives them to one peer only, and answers nobody who asks. Its reports go on as if all had them.

use node_core::api::Recipient;

use super::{Scene, Sent};
use crate::sim::plan::below;
use crate::sim::wire::{CHUNK, FETCHED_CHUNK};

pub(super) fn speak(scene: &mut Scene<'_>, mut message: Sent) -> Vec<Sent> {
    match message.bytes.first() {
        Some(&CHUNK) => {
            scene.faults.count("lie: chunk withheld");
            let lucky = scene.peers.get(below(scene.rng, 2 * scene.peers.len()));
            lucky.map_or(Vec::new(), |peer| {
                message.to = Recipient::One(*peer);
                vec![message]
            })
        }
        Some(&FETCHED_CHUNK) => {
            scene.faults.count("lie: chunk withheld");
            Vec::new()
        }
        _ => vec![message],
    }
}
