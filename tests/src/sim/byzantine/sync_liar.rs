//! Answers peers that catch up with forged heights: headers of its own with good-looking certificates, certificates with too few or the
//! same signers, gaps, or nothing.

use ordering_types::{Cut, Digest, VoteKind};

use super::{Scene, Sent};
use crate::sim::plan::below;
use crate::sim::wire::{DECIDED, DecidedRun, REPORT, read, write};

pub(super) fn speak(scene: &mut Scene<'_>, message: Sent) -> Vec<Sent> {
    let Some(mut run) = read::<DecidedRun>(DECIDED, &message.bytes) else {
        return keep_or_lure(scene, message);
    };
    match (below(scene.rng, 8), &mut run.certificate) {
        (0, _) => run.items.clear(),
        // Who has gone on from a checkpoint answers with nothing already, for heights before it.
        (1, _) if !run.items.is_empty() => drop(run.items.remove(0)),
        (2, Some(certificate)) => certificate.signatures.truncate(1 + below(scene.rng, 2)),
        (3, Some(certificate)) => {
            let signatures = &mut certificate.signatures;
            let first = signatures.first().copied();
            signatures.iter_mut().zip(first.iter().cycle()).for_each(|(s, first)| *s = *first);
        }
        (4, _) => run.items.iter_mut().for_each(|item| item.left_out = vec![(0, vec![1])]),
        (5, _) => run.items.iter_mut().for_each(|item| item.chunks.truncate(1)),
        _ => forge(scene, &mut run),
    }
    scene.faults.count("lie: catching up");
    vec![Sent { bytes: write(DECIDED, &run), ..message }]
}

/// Another history from the first item on: cuts with other times, headers that fit them, and a certificate with its own
/// signature and copies of what the others signed for the true one.
fn forge(scene: &Scene<'_>, run: &mut DecidedRun) {
    let mut parent = run.items.first().map_or(Digest::ZERO, |item| item.header.parent);
    for item in &mut run.items {
        let Ok(mut cut) = Cut::decode(&item.cut) else { return };
        cut.time_ms += 1;
        cut.parent = parent;
        let header = &mut item.header;
        header.parent = parent;
        header.time_ms = cut.time_ms;
        item.cut = cut.encode().into();
        header.cut = Digest::sha256(&[&item.cut]);
        parent = header.hash();
    }
    let Some(certificate) = &mut run.certificate else { return };
    certificate.header = parent;
    let vote = ordering_types::Vote {
        kind: VoteKind::Precommit,
        epoch: certificate.epoch,
        height: certificate.height,
        round: certificate.round,
        value: Some(parent),
        validator: scene.me,
    };
    let mine = vote.sign(&scene.domain, scene.key).signature;
    for (signer, signature) in &mut certificate.signatures {
        if *signer == scene.me {
            *signature = mine;
        }
    }
}

/// Reports a height a little beyond its own, so that it is asked.
fn keep_or_lure(scene: &mut Scene<'_>, message: Sent) -> Vec<Sent> {
    use crate::sim::wire::Progress;
    match read::<Progress>(REPORT, &message.bytes) {
        Some(mut report) if below(scene.rng, 4) == 0 => {
            report.decided = report.decided.next().next();
            vec![Sent { bytes: write(REPORT, &report), ..message }]
        }
        _ => vec![message],
    }
}
