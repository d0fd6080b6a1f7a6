//! Votes for a value to some and for nil to the rest; where its core votes nil, the rest gets a vote for something.

use ordering_types::Digest;

use super::{Scene, Sent};
use crate::sim::wire::{VOTE, read_vote, write};

pub(super) fn speak(scene: &mut Scene<'_>, message: Sent) -> Vec<Sent> {
    let Some(signed) = read_vote(&message.bytes).filter(|v| v.vote.validator == scene.me) else {
        return vec![message];
    };
    let mut other = signed.vote;
    other.value = match signed.vote.value {
        Some(_) => None,
        None => Some(Digest::sha256(&[b"nothing", &signed.vote.height.get().to_be_bytes()])),
    };
    let other = write(VOTE, &other.sign(&scene.domain, scene.key));
    scene.faults.count("lie: two votes");
    scene.split(message.class, &message.bytes, &other)
}
