//! Answers peers that catch up with forged heights: headers of its own with good-looking certificates, certificates with too few or the
//! same signers, gaps, or nothing.

use ordering_types::{Cut, Digest, VoteKind};

use super::{Scene, Sent};
use crate::sim::plan::below;
use crate::sim::wire::{DECIDED, REPORT, SyncItem, read, write};

pub(super) fn speak(scene: &mut Scene<'_>, message: Sent) -> Vec<Sent> {
    let Some(mut items) = read::<Vec<SyncItem>>(DECIDED, &message.bytes) else {
        return keep_or_lure(scene, message);
    };
    match below(scene.rng, 6) {
        0 => items.clear(),
        1 => drop(items.remove(0)),
        2 => {
            for item in &mut items {
                item.certificate.signatures.truncate(1 + below(scene.rng, 2));
            }
        }
        3 => {
            for item in &mut items {
                let signatures = &mut item.certificate.signatures;
                let first = signatures.first().copied();
                signatures.iter_mut().zip(first.iter().cycle()).for_each(|(s, first)| *s = *first);
            }
        }
        _ => forge(scene, &mut items),
    }
    scene.faults.count("lie: catching up");
    vec![Sent { bytes: write(DECIDED, &items), ..message }]
}

/// Another history from the first item on: cuts with other times, headers that fit them, and certificates with its own
/// signature and copies of what the others signed for the true ones.
fn forge(scene: &Scene<'_>, items: &mut [SyncItem]) {
    let mut parent = items.first().map_or(Digest::ZERO, |item| item.header.parent);
    for item in items {
        let Ok(mut cut) = Cut::decode(&item.cut) else { return };
        cut.time_ms += 1;
        cut.parent = parent;
        let header = &mut item.header;
        header.parent = parent;
        header.time_ms = cut.time_ms;
        item.cut = cut.encode().into();
        header.cut = Digest::sha256(&[&item.cut]);
        parent = header.hash();
        let certificate = &mut item.certificate;
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
