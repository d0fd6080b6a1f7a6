//! Proposes headers that its cuts do not expand to, and votes for them.

use node_core::api::Class;
use ordering_types::{Digest, Vote, VoteKind};

use super::{Scene, Sent};
use crate::sim::wire::{PROPOSAL, ProposedCut, VOTE, read, read_vote, write};

pub(super) fn speak(scene: &mut Scene<'_>, message: Sent) -> Vec<Sent> {
    // Its honest votes would contradict the lie, and convict it.
    if read_vote(&message.bytes).is_some_and(|v| v.vote.round.get() == 0 && v.vote.value.is_none()) {
        return Vec::new();
    }
    let Some(mut proposed) = read::<ProposedCut>(PROPOSAL, &message.bytes) else { return vec![message] };
    let p = &mut proposed.proposal;
    if p.proposer != scene.me || p.valid_round.is_some() {
        return vec![message];
    }
    p.value = Digest::sha256(&[b"wrong root", p.value.as_ref()]);
    let p = *p;
    scene.faults.count("lie: wrong header");
    let vote = |kind| {
        let (epoch, height, round) = (p.epoch, p.height, p.round);
        let vote = Vote { kind, epoch, height, round, value: Some(p.value), validator: scene.me };
        let bytes = write(VOTE, &vote.sign(&scene.domain, scene.key));
        Sent { class: Class::Consensus, bytes, ..message.clone() }
    };
    let votes = [vote(VoteKind::Prevote), vote(VoteKind::Precommit)];
    let proposal = proposed.signed(&scene.domain, scene.key);
    let proposal = Sent { bytes: write(PROPOSAL, &proposal), ..message.clone() };
    std::iter::once(proposal).chain(votes).collect()
}
