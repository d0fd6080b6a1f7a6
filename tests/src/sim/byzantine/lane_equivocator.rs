//! Forks its own lane: at the same place, other transactions for some, among them the same one twice and one for a rollup that does not exist.

use ordering_types::{Chunk, Transaction};

use super::{Scene, Sent};
use crate::sim::plan::below;
use crate::sim::wire::{CHUNK, FETCHED_CHUNK, framed};

pub(super) fn speak(scene: &mut Scene<'_>, message: Sent) -> Vec<Sent> {
    let kind = message.bytes.first().copied();
    if kind != Some(CHUNK) && kind != Some(FETCHED_CHUNK) {
        return vec![message];
    }
    let Ok(chunk) = Chunk::decode(message.bytes.slice(1..)) else { return vec![message] };
    let Some(first) = chunk.transactions().first() else { return vec![message] };
    if chunk.lane().validator != scene.me {
        return vec![message];
    }
    let mut made_up = b"made up".to_vec();
    made_up.extend(chunk.sequence().get().to_be_bytes());
    made_up.push(below(scene.rng, 4) as u8);
    let mut transactions = chunk.transactions().to_vec();
    let made_up = Transaction { rollup: first.rollup, data: made_up.into() };
    let stray = Transaction { rollup: ordering_types::RollupId::new(77), data: made_up.data.clone() };
    transactions.extend([made_up.clone(), made_up, stray]);
    transactions.push(first.clone());
    let Ok(fork) = Chunk::new(chunk.lane(), chunk.sequence(), chunk.parent(), &transactions) else {
        return vec![message];
    };
    scene.faults.count("lie: forked lane");
    scene.split(message.class, &message.bytes, &framed(kind.unwrap_or(CHUNK), fork.bytes()))
}
