//! Puts chunks of its own making into the lanes of others: what its core hears of an honest owner's newest chunk is another, with the same
//! place and parent, and what it hears of who holds it is made to fit. So when it leads it proposes the forged chunk, with a header that is
//! right, and serves it to whoever asks. Nobody who votes can tell.

use std::collections::BTreeMap;

use bytes::Bytes;
use ordering_types::{Chunk, Digest, Transaction};

use super::Scene;
use crate::sim::plan::below;
use crate::sim::wire::{CHUNK, Progress, REPORT, framed, read, write};

/// What a liar made up so far.
#[derive(Debug, Default)]
pub struct Forgeries {
    /// The forged chunk in place of each true one.
    forged: BTreeMap<Digest, Digest>,
}

/// What the liar's core hears instead, and the forged chunk that is in it.
pub(super) fn hear(
    scene: &mut Scene<'_>,
    forgeries: &mut Forgeries,
    message: Bytes,
) -> (Bytes, Option<Chunk>) {
    if let Some(mut report) = read::<Progress>(REPORT, &message) {
        for tip in &mut report.lanes {
            tip.digest = forgeries.forged.get(&tip.digest).copied().unwrap_or(tip.digest);
        }
        return (write(REPORT, &report), None);
    }
    if message.first() != Some(&CHUNK) {
        return (message, None);
    }
    let Ok(chunk) = Chunk::decode(message.slice(1..)) else { return (message, None) };
    // Not each: what follows a forged chunk hangs on the true one.
    if below(scene.rng, 3) == 0 {
        return (message, None);
    }
    let mut made_up = b"made up by a leader".to_vec();
    made_up.extend(chunk.digest().as_bytes());
    let mut transactions = match below(scene.rng, 3) {
        0 => Vec::new(),
        // Copies of what it displaces, all or some.
        1 => chunk.transactions().to_vec(),
        _ => chunk.transactions().iter().skip(1).cloned().collect(),
    };
    let rollup = chunk.transactions().first().map(|t| t.rollup);
    transactions.extend(rollup.map(|rollup| Transaction { rollup, data: made_up.into() }));
    let Ok(forged) = Chunk::new(chunk.lane(), chunk.sequence(), chunk.parent(), &transactions) else {
        return (message, None);
    };
    scene.faults.count("lie: forged chunk");
    forgeries.forged.insert(chunk.digest(), forged.digest());
    (framed(CHUNK, forged.bytes()), Some(forged))
}
