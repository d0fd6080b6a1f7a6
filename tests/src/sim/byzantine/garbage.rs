//! Sends noise on every stream, cut and padded messages, and honest ones with a few bits turned.

use node_core::api::Class;
use rand_core::RngCore;

use super::{Scene, Sent};
use crate::sim::plan::below;

/// Longest noise, in bytes.
const MAX_NOISE: usize = 400;

pub(super) fn speak(scene: &mut Scene<'_>, message: Sent) -> Vec<Sent> {
    let mut bytes = message.bytes.to_vec();
    let mut class = message.class;
    match below(scene.rng, 6) {
        0 => {
            bytes = vec![0; below(scene.rng, MAX_NOISE)];
            scene.rng.fill_bytes(&mut bytes);
            if let Some(kind) = bytes.first_mut() {
                *kind %= 16;
            }
        }
        1 => bytes.truncate(below(scene.rng, bytes.len() + 1)),
        2 => bytes.extend([7; 9]),
        3 => class = Class::ALL.get(below(scene.rng, 4)).copied().unwrap_or(class),
        4 => {
            for _ in 0..=below(scene.rng, 4) {
                let place = below(scene.rng, bytes.len());
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << below(scene.rng, 8);
                }
            }
        }
        _ => return vec![message],
    }
    scene.faults.count("lie: garbage");
    let noise = Sent { class, bytes: bytes.into(), ..message.clone() };
    if below(scene.rng, 3) == 0 { vec![noise] } else { vec![noise, message] }
}
