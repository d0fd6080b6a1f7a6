//! Claims in its progress reports to hold what does not exist, and to have decided what nobody did; each peer hears something else.

use node_core::api::Recipient;
use ordering_types::{Digest, Height, LaneSequence, Time};

use super::{Scene, Sent};
use crate::sim::plan::below;
use crate::sim::wire::{Progress, REPORT, read, write};

pub(super) fn speak(scene: &mut Scene<'_>, message: Sent) -> Vec<Sent> {
    let Some(report) = read::<Progress>(REPORT, &message.bytes) else { return vec![message] };
    scene.faults.count("lie: progress");
    let peers = match message.to {
        Recipient::All => scene.peers.to_vec(),
        Recipient::One(peer) => vec![peer],
    };
    let mut sent = Vec::new();
    for peer in peers {
        let mut lie = report.clone();
        match below(scene.rng, 5) {
            0 => lie.decided = Height::new(lie.decided.get() + 1 + below(scene.rng, 1_000) as u64),
            1 => lie.decided = Height::new(u64::MAX),
            2 => lie.stamp.1 = Time::from_micros(u64::MAX),
            3 => lie.lanes.clear(),
            _ => {}
        }
        for tip in &mut lie.lanes {
            match below(scene.rng, 4) {
                0 => tip.sequence = LaneSequence::new(tip.sequence.get() + 1 + below(scene.rng, 70) as u64),
                1 => tip.digest = Digest::sha256(&[b"no such chunk", tip.digest.as_ref()]),
                2 => tip.sequence = LaneSequence::new(u64::MAX),
                _ => {}
            }
        }
        let bytes = write(REPORT, &lie);
        sent.push(Sent { to: Recipient::One(peer), bytes, ..message.clone() });
    }
    sent
}
