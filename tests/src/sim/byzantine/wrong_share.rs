//! Answers signing packages with wrong shares of signatures, and vouches for them: now with the word of its own name, now with nonsense.

use ordering_types::Digest;

use super::{Scene, Sent};
use crate::sim::plan::below;
use crate::sim::wire;

pub(super) fn speak(scene: &mut Scene<'_>, mut message: Sent) -> Vec<Sent> {
    let vouches = below(scene.rng, 4) > 0;
    let spoilt = wire::with_share(&message.bytes, |epoch, package, share| {
        share[31] ^= 1 << below(scene.rng, 8);
        // A share of a key that is not settled yet may be of an older one: then nobody can prove it.
        let group = scene.groups.get(&epoch).copied().unwrap_or_default();
        let digest = scene.domain.signature_share(epoch, group, Digest::new(*package), *share);
        if vouches { *scene.key.sign(digest).as_bytes() } else { [7; 65] }
    });
    if let Some(bytes) = spoilt {
        scene.faults.count("lie: wrong share");
        message.bytes = bytes;
    }
    vec![message]
}
