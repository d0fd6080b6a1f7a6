//! Whatever can be done to a message, done to each message of a ceremony by one of four: the right culprit or none, and the honest finish.

use std::collections::BTreeSet;

use super::*;

const LIAR: u16 = 8;
const STRANGER: u16 = 99;
/// What the liar complains of, in vain.
const ACCUSED: u16 = 5;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Corruption {
    Nothing,
    Empty,
    TagOnly,
    HeaderOnly,
    Short,
    Long,
    Oversized,
    Garbage,
    UnknownTag,
    Twice,
    AgainAtTheEnd,
    FromAStranger,
    OtherEpoch,
    OtherAttempt,
    OtherKind,
    OtherChain,
}

/// Who is named, and whether the member is out for it.
#[derive(Debug, PartialEq)]
enum Named {
    Nobody,
    Liar,
    Stranger,
}

const ALL: [Corruption; 16] = [
    Corruption::Nothing,
    Corruption::Empty,
    Corruption::TagOnly,
    Corruption::HeaderOnly,
    Corruption::Short,
    Corruption::Long,
    Corruption::Oversized,
    Corruption::Garbage,
    Corruption::UnknownTag,
    Corruption::Twice,
    Corruption::AgainAtTheEnd,
    Corruption::FromAStranger,
    Corruption::OtherEpoch,
    Corruption::OtherAttempt,
    Corruption::OtherKind,
    Corruption::OtherChain,
];

impl Corruption {
    /// What the liar says in place of its message.
    fn spoil(self, message: &[u8]) -> Vec<Vec<u8>> {
        let mut bytes = message.to_vec();
        // tag (1) ‖ chain (8) ‖ contract (20) ‖ epoch (8) ‖ kind (1) ‖ attempt (4) ‖ body
        match self {
            Self::Nothing | Self::AgainAtTheEnd | Self::FromAStranger => {}
            Self::Empty => bytes.clear(),
            Self::TagOnly => bytes.truncate(1),
            Self::HeaderOnly => bytes.truncate(HEADER),
            Self::Short => bytes.truncate(message.len() - 1),
            Self::Long => bytes.push(0),
            Self::Oversized => bytes.resize(MAX_PAYLOAD + 1, 0),
            Self::Garbage => {
                bytes[HEADER..].iter_mut().zip((0_u8..=255).cycle()).for_each(|(byte, i)| *byte = i ^ 0x5a);
            }
            Self::UnknownTag => bytes[0] = 77,
            Self::Twice => return vec![bytes.clone(), bytes],
            Self::OtherChain => bytes[8] ^= 1,
            Self::OtherEpoch => bytes[36] ^= 1,
            Self::OtherKind => bytes[37] ^= 3,
            Self::OtherAttempt => bytes[41] ^= 1,
        }
        vec![bytes]
    }

    fn names(self, step: Step) -> Named {
        match self {
            Self::FromAStranger => Named::Stranger,
            // The complaint itself is false.
            Self::Nothing | Self::Twice | Self::AgainAtTheEnd if step != Step::Complaint => Named::Nobody,
            _ => Named::Liar,
        }
    }
}

/// A complaint about a good share.
fn false_complaint() -> Vec<u8> {
    let context = context(4, 3);
    let (accuser, dealer) = (member(LIAR), member(ACCUSED));
    let decryption = DecryptionKey::derive(context.id, &seed(accuser));
    let encryption = decryption.public();
    let (body, _) = dealing(&context, dealer);
    let dealing = verify(&context, dealer, &body).unwrap();
    let case =
        complaint::Case { context: &context, accuser, encryption: &encryption, dealer, dealing: &dealing };
    wrap(Step::Complaint, ceremony_id(), &case.complain(&decryption, &seed(accuser)))
}

fn run(step: Step, corruption: Corruption, complaint: &[u8]) -> Log {
    let liar = member(LIAR);
    // It complains instead of acknowledging.
    let spoken_at = if step == Step::Complaint { 3 } else { step as u8 + 1 };
    let mut log = Log::new(4, 3);
    let mut spoken = None;
    for _ in 0..3 {
        log.run(|sender, payload| {
            if sender != liar || payload[0] != spoken_at || spoken.is_some() {
                return vec![payload];
            }
            let message = if step == Step::Complaint { complaint.to_vec() } else { payload };
            spoken = Some(message.clone());
            corruption.spoil(&message)
        });
        if let Some(message) = spoken.clone().filter(|_| corruption == Corruption::FromAStranger) {
            log.append(member(STRANGER), message);
        }
        log.idle(PATIENCE.acknowledge);
    }
    if corruption == Corruption::AgainAtTheEnd {
        log.append(liar, spoken.unwrap());
    }
    log
}

#[test]
fn whatever_one_of_four_does_to_a_message_names_it_or_nobody_and_stops_nobody() {
    let complaint = false_complaint();
    for step in [Step::Announce, Step::Dealing, Step::Complaint, Step::Ack] {
        for corruption in ALL {
            let log = run(step, corruption, &complaint);
            let name = format!("{step:?}: {corruption:?}");
            let named: BTreeSet<u16> = faults(&log).iter().map(|(_, fault)| fault.culprit.number()).collect();
            let mut expected: BTreeSet<u16> = match corruption.names(step) {
                Named::Nobody => BTreeSet::new(),
                Named::Liar => BTreeSet::from([LIAR]),
                Named::Stranger => BTreeSet::from([STRANGER]),
            };
            if step == Step::Complaint && corruption == Corruption::FromAStranger {
                expected.insert(LIAR);
            }
            assert_eq!(named, expected, "{name}");
            assert!(log.observer.convicted().iter().all(|member| member.number() == LIAR), "{name}");
            assert_eq!(log.observer.status(), Status::Completed, "{name}");
            let keys = log.completed();
            let honest = keys.iter().filter(|(member, _)| member.number() != LIAR);
            assert_eq!(honest.count(), 3, "{name}: the honest finish");
            let public = keys.values().next().unwrap().public();
            assert!(keys.values().all(|material| material.public() == public), "{name}: one key");
        }
    }
}
