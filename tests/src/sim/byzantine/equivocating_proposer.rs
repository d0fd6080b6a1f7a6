//! Proposes one cut to some and another to the rest, both signed. The second one's header is a guess, because only the core can expand a
//! cut; two valid proposals of one round are what twins make.

use ordering_types::Digest;

use super::{Scene, Sent};
use crate::sim::wire::{PROPOSAL, ProposedCut, read, write};

pub(super) fn speak(scene: &mut Scene<'_>, message: Sent) -> Vec<Sent> {
    let Some(first) = read::<ProposedCut>(PROPOSAL, &message.bytes) else { return vec![message] };
    if first.proposal.proposer != scene.me {
        return vec![message];
    }
    let Some(mut second) = first.moved(1) else { return vec![message] };
    second.proposal.value = Digest::sha256(&[b"another header", second.proposal.value.as_ref()]);
    let second = second.signed(&scene.domain, scene.key);
    scene.faults.count("lie: two proposals");
    scene.split(message.class, &message.bytes, &write(PROPOSAL, &second))
}
