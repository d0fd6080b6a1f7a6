//! Says everything, but late: up to three seconds.

use std::time::Duration;

use super::{Scene, Sent};
use crate::sim::plan::below;

pub(super) fn speak(scene: &mut Scene<'_>, mut message: Sent) -> Vec<Sent> {
    scene.faults.count("lie: delay");
    message.delay += Duration::from_millis(below(scene.rng, 3_000) as u64);
    vec![message]
}
