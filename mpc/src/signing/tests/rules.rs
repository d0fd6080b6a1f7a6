//! Single rules of the signing machine, each with the case that it is there for.

use std::collections::BTreeMap;

use super::network::{Detector, EPOCH, GOOD, Network, block, digest};
use crate::keys::SignatureBytes;
use crate::member::MemberId;
use crate::signing::commitment::{Offer, Supply};
use crate::signing::config::{MAX_HELD_PER_MEMBER, MAX_POOL, MAX_RUNNING};
use crate::signing::message::{Message, Share};
use crate::signing::package::{Entry, Package};
use crate::signing::{
    Accusation, BootId, Fault, FaultKind, Identity, Input, ItemId, Judgement, Meaningless, NonceSeed, Output,
    Refused, Signing, SigningConfig, Time,
};
use crate::testing::{Stamp, keys, member, threshold};
use crate::wire::WireError;

const BOOT: u8 = 0xb0;

/// One member's machine and the test in the place of all others.
pub(super) struct Bench {
    node: Signing,
    now: Time,
    pub(super) others: Vec<MemberId>,
    outputs: Vec<Output>,
}

impl Bench {
    fn new() -> Self {
        let mut keys = keys(4, threshold(4));
        let me = member(2);
        let material = keys.remove(&me).unwrap();
        let node = Signing::new(
            SigningConfig::new(EPOCH),
            &material,
            Box::new(Stamp(me)),
            BootId([BOOT; 16]),
            NonceSeed::new([1; 32]),
        );
        let now = Time::from_millis(1_000);
        Self { node, now, others: keys.into_keys().collect(), outputs: Vec::new() }
    }

    pub(super) fn input(&mut self, input: Input) -> Result<(), Refused> {
        let result = self.node.handle(self.now, input);
        self.outputs = std::iter::from_fn(|| self.node.next_output()).collect();
        result
    }

    pub(super) fn receive(&mut self, from: MemberId, message: &Message) {
        let bytes = message.to_bytes(EPOCH);
        self.input(Input::Message { from, bytes }).unwrap();
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + millis;
        self.input(Input::Tick).unwrap();
    }

    fn sign(&mut self, item: ItemId) {
        self.input(Input::Sign { item, digest: digest(item) }).unwrap();
    }

    fn sent(&self) -> Vec<(MemberId, Message)> {
        let sent = self.outputs.iter().filter_map(|output| match output {
            Output::Send { to, bytes } => Some((*to, Message::parse(bytes, EPOCH).unwrap().unwrap())),
            _ => None,
        });
        sent.collect()
    }

    pub(super) fn shares(&self) -> Vec<Share> {
        let shares = self.sent().into_iter().filter_map(|(_, message)| match message {
            Message::Share(share) => Some(share),
            _ => None,
        });
        shares.collect()
    }

    pub(super) fn faults(&self) -> Vec<Fault> {
        let faults = self.outputs.iter().filter_map(|output| match output {
            Output::Fault(fault) => Some(fault.clone()),
            _ => None,
        });
        faults.collect()
    }

    /// Commitments for `coordinator`, as it would ask for them.
    pub(super) fn supply(&mut self, coordinator: MemberId, boot: u8) -> Supply {
        self.now = self.now + 1_000;
        self.receive(coordinator, &Message::Want { boot: BootId([boot; 16]), known: None });
        let supplies = self.sent().into_iter().find_map(|(to, message)| match message {
            Message::Supply(supply) if to == coordinator => Some(supply),
            _ => None,
        });
        supplies.unwrap()
    }

    /// The item that `coordinator` leads at attempt 0.
    pub(super) fn led_by(&self, coordinator: MemberId) -> ItemId {
        (1..).map(block).find(|item| self.node.coordinator_of(*item, 0) == coordinator).unwrap()
    }

    /// A package over `item` by `coordinator` that uses our `offer`; the other signers' commitments are borrowed.
    pub(super) fn package(&self, coordinator: MemberId, item: ItemId, offer: &Offer) -> Package {
        let entry = |boot: u8, offer: &Offer| Entry {
            boot: BootId([boot; 16]),
            index: offer.index,
            commitment: offer.commitment,
        };
        let third = self.others.iter().find(|other| **other != coordinator).unwrap();
        let foreign = Offer { index: 7, commitment: foreign_commitment() };
        let signers = BTreeMap::from([
            (member(2), entry(BOOT, offer)),
            (coordinator, entry(1, &foreign)),
            (*third, entry(2, &foreign)),
        ]);
        let coordinator_boot = BootId([1; 16]);
        Package { coordinator_boot, item, digest: digest(item), attempt: 0, session: 0, signers }
    }
}

pub(super) fn foreign_commitment() -> [u8; 66] {
    let point = crate::wire::compress(&k256::ProjectivePoint::GENERATOR).unwrap();
    [point, point].concat().try_into().unwrap()
}

/// A bench with a coordinator, the item it leads (which the node wants signed) and the commitments it was given.
pub(super) fn led() -> (Bench, MemberId, ItemId, Supply) {
    let mut bench = Bench::new();
    let coordinator = bench.others[0];
    let item = bench.led_by(coordinator);
    let supply = bench.supply(coordinator, 1);
    bench.sign(item);
    (bench, coordinator, item, supply)
}

fn signature_of(item: ItemId) -> SignatureBytes {
    let mut network = Network::new(4, 1, GOOD, &[]);
    network.run_until(Time::from_millis(1_200));
    network.sign_at(Time::from_millis(1_200), item, 0);
    network.run_until(Time::from_millis(1_400));
    network.signed[&(member(5), item)].1
}

#[test]
fn a_record_comes_before_its_share() {
    let (mut bench, coordinator, item, supply) = led();
    let package = bench.package(coordinator, item, &supply.offers[0]);
    bench.receive(coordinator, &Message::Package(package.clone()));
    let share = bench.shares().remove(0);
    let Output::Persist(record) = &bench.outputs[0] else { panic!("{:?}", bench.outputs) };
    assert_eq!((record.package, record.share), (package.hash(EPOCH), share.share));
    assert_eq!((record.index, record.boot), (supply.offers[0].index, BootId([BOOT; 16])));
    assert_eq!(share.supply.offers.len(), 1, "a fresh commitment in place of the used one");
}

/// Two shares over one message with one nonce pair and other co-signers' commitments would already lead to the key share.
#[test]
fn a_nonce_pair_serves_once_even_for_the_same_message() {
    let (mut bench, coordinator, item, supply) = led();
    let package = bench.package(coordinator, item, &supply.offers[0]);
    bench.receive(coordinator, &Message::Package(package.clone()));
    assert_eq!(bench.shares().len(), 1);

    let mut again = package.clone();
    again.session = 1;
    bench.now = bench.now + 10;
    bench.receive(coordinator, &Message::Package(again));
    assert!(bench.shares().is_empty(), "same pair, another session");

    let other_item = block(item.number + 4);
    bench.sign(other_item);
    let other = bench.package(coordinator, other_item, &supply.offers[0]);
    bench.receive(coordinator, &Message::Package(other));
    assert!(bench.shares().is_empty(), "same pair, another item");
}

#[test]
fn the_same_question_gets_the_same_answer() {
    let (mut bench, coordinator, item, supply) = led();
    let package = Message::Package(bench.package(coordinator, item, &supply.offers[0]));
    bench.receive(coordinator, &package);
    let first = bench.sent();
    bench.receive(coordinator, &package);
    assert_eq!(bench.sent(), first);
    assert!(
        !bench.outputs.iter().any(|output| matches!(output, Output::Persist(_))),
        "no second share was made"
    );
}

#[test]
fn one_answer_for_one_turn() {
    let (mut bench, coordinator, item, supply) = led();
    let mut package = bench.package(coordinator, item, &supply.offers[0]);
    bench.receive(coordinator, &Message::Package(package.clone()));
    for offer in &supply.offers[1..4] {
        package.signers.get_mut(&member(2)).unwrap().index = offer.index;
        package.signers.get_mut(&member(2)).unwrap().commitment = offer.commitment;
        bench.receive(coordinator, &Message::Package(package.clone()));
        assert!(bench.shares().is_empty(), "another package in the same attempt and session");
    }
    package.session = 1;
    bench.receive(coordinator, &Message::Package(package.clone()));
    assert_eq!(bench.shares().len(), 1, "a further session is another turn");
    package.session = 2;
    bench.receive(coordinator, &Message::Package(package));
    assert_eq!(bench.faults().len(), 1, "there are n - t + 1 sessions");
}

/// A liar that leads a quarter of all attempts could name ever later ones and have a share computed for each.
#[test]
fn answers_to_one_coordinator_are_bounded() {
    let (mut bench, coordinator, item, _) = led();
    let mut answers = 0;
    for attempt in (0..400).step_by(4) {
        let supply = bench.supply(coordinator, 1);
        let mut package = bench.package(coordinator, item, &supply.offers[supply.offers.len() - 1]);
        package.attempt = attempt;
        // The clock stands still for the item: only `supply` moves it, by less than its growing timeouts allow.
        bench.receive(coordinator, &Message::Package(package));
        answers += bench.shares().len();
    }
    let rounds = 400_u64.div_ceil(4);
    assert!(answers < rounds as usize, "{answers} answers in {rounds} attempts");
}

#[test]
fn only_the_coordinator_in_turn_and_only_our_digest() {
    let (mut bench, coordinator, item, supply) = led();
    let good = bench.package(coordinator, item, &supply.offers[0]);

    let usurper = bench.others[1];
    bench.receive(usurper, &Message::Package(good.clone()));
    let kind = FaultKind::NotCoordinator { item, attempt: 0 };
    assert_eq!(bench.faults(), vec![Fault { culprit: usurper, kind }]);

    let foreign = Package { digest: [9; 32], ..good.clone() };
    bench.receive(coordinator, &Message::Package(foreign));
    let kind = FaultKind::ForeignDigest { item };
    assert_eq!(bench.faults(), vec![Fault { culprit: coordinator, kind }]);

    bench.receive(coordinator, &Message::Package(good));
    assert_eq!(bench.shares().len(), 1, "refusals used nothing up");
}

#[test]
fn packages_that_cannot_be_signed_are_refused() {
    let (mut bench, coordinator, item, supply) = led();
    let good = bench.package(coordinator, item, &supply.offers[0]);
    let mut without_us = good.clone();
    without_us.signers.remove(&member(2));
    let fourth = bench.others.iter().find(|other| !good.signers.contains_key(other)).unwrap();
    let entry = good.signers[&coordinator].clone();
    without_us.signers.insert(*fourth, entry.clone());
    let mut one_too_many = good.clone();
    one_too_many.signers.insert(*fourth, entry.clone());
    let mut stranger = good.clone();
    stranger
        .signers
        .remove(bench.others.iter().find(|other| **other != coordinator && *other != fourth).unwrap());
    stranger.signers.insert(member(999), entry);
    for bad in [without_us, one_too_many, stranger] {
        bench.receive(coordinator, &Message::Package(bad));
        assert_eq!(bench.faults(), vec![Fault { culprit: coordinator, kind: FaultKind::BadPackage }]);
    }

    let mut no_point = good.clone();
    no_point.signers.get_mut(&coordinator).unwrap().commitment[33] = 5;
    bench.receive(coordinator, &Message::Package(no_point));
    let kind = FaultKind::Malformed(WireError::Point);
    assert_eq!(bench.faults(), vec![Fault { culprit: coordinator, kind }]);

    let mut of_another = good.clone();
    of_another.signers.get_mut(&member(2)).unwrap().commitment = foreign_commitment();
    bench.receive(coordinator, &Message::Package(of_another));
    assert!(bench.shares().is_empty(), "a commitment that is not ours under our index");

    bench.receive(coordinator, &Message::Package(good));
    assert_eq!(bench.shares().len(), 1);
}

/// A pair is for one coordinator: another that learns of it can neither use it nor spoil it.
#[test]
fn commitments_of_one_coordinator_are_useless_to_another() {
    let (mut bench, _, _, supply) = led();
    let thief = bench.others[1];
    let item = bench.led_by(thief);
    bench.sign(item);
    let package = bench.package(thief, item, &supply.offers[0]);
    bench.receive(thief, &Message::Package(package));
    assert!(bench.shares().is_empty());
}

#[test]
fn a_package_that_is_early_waits_for_our_own_wish() {
    let mut bench = Bench::new();
    let coordinator = bench.others[0];
    let item = bench.led_by(coordinator);
    let supply = bench.supply(coordinator, 1);
    let package = bench.package(coordinator, item, &supply.offers[0]);
    bench.receive(coordinator, &Message::Package(package));
    assert!(bench.shares().is_empty());
    bench.sign(item);
    assert_eq!(bench.shares().len(), 1);
}

#[test]
fn a_signature_that_is_early_waits_too_and_is_checked() {
    let item = block(9);
    let signature = signature_of(item);
    let mut wrong = signature;
    wrong[64] ^= 1;
    let mut bench = Bench::new();
    let (liar, honest) = (bench.others[0], bench.others[1]);
    bench.receive(liar, &Message::Signature { item, signature: wrong });
    bench.receive(honest, &Message::Signature { item, signature });
    assert!(bench.outputs.is_empty());
    bench.sign(item);
    assert_eq!(bench.faults(), vec![Fault { culprit: liar, kind: FaultKind::BadSignature { item } }]);
    let signed = Output::Signed { item, digest: digest(item), signature };
    assert!(bench.outputs.contains(&signed));

    bench.receive(liar, &Message::Request(item));
    assert_eq!(bench.sent(), vec![(liar, Message::Signature { item, signature })]);
    bench.sign(item);
    assert_eq!(bench.outputs, vec![signed], "wanted again, told again");
}

#[test]
fn what_is_held_for_one_member_is_bounded() {
    let mut bench = Bench::new();
    let (flooder, honest) = (bench.others[0], bench.others[1]);
    let signature = signature_of(block(1));
    for number in 100..100 + 10 * MAX_HELD_PER_MEMBER as u64 {
        bench.receive(flooder, &Message::Signature { item: block(number), signature });
    }
    bench.receive(honest, &Message::Signature { item: block(1), signature });
    bench.sign(block(1));
    assert!(
        bench.outputs.iter().any(|output| matches!(output, Output::Signed { .. })),
        "another's place is its own"
    );
    let last = block(99 + 10 * MAX_HELD_PER_MEMBER as u64);
    bench.sign(last);
    assert!(bench.faults().is_empty(), "it was not kept");
}

#[test]
fn one_item_has_one_digest_also_after_a_restart() {
    let (mut bench, coordinator, item, supply) = led();
    let second = Input::Sign { item, digest: [9; 32] };
    assert_eq!(bench.input(second.clone()), Err(Refused::SecondDigest(item)));
    let package = bench.package(coordinator, item, &supply.offers[0]);
    bench.receive(coordinator, &Message::Package(package));
    let Output::Persist(record) = bench.outputs[0].clone() else { panic!() };

    let mut restarted = Bench::new();
    restarted.node.pin(&record);
    assert_eq!(restarted.input(second), Err(Refused::SecondDigest(item)));
    restarted.sign(item);
}

#[test]
fn forgotten_items_are_not_signed_again() {
    let mut bench = Bench::new();
    bench.sign(block(5));
    bench.input(Input::Forget { kind: 1, below: 10 }).unwrap();
    let sign = |number| Input::Sign { item: block(number), digest: [3; 32] };
    assert_eq!(bench.input(sign(5)), Err(Refused::Forgotten(block(5))));
    assert_eq!(bench.input(sign(10)), Ok(()));
    let other_kind = ItemId { kind: 2, number: 5 };
    assert_eq!(bench.input(Input::Sign { item: other_kind, digest: [3; 32] }), Ok(()));
}

#[test]
fn items_in_flight_are_bounded() {
    let mut bench = Bench::new();
    for number in 0..MAX_RUNNING as u64 {
        bench.sign(block(number));
    }
    let one_more = block(MAX_RUNNING as u64);
    assert_eq!(bench.input(Input::Sign { item: one_more, digest: [0; 32] }), Err(Refused::Busy));
}

#[test]
fn a_signature_learned_elsewhere_ends_the_work() {
    let item = block(3);
    let signature = signature_of(item);
    let mut bench = Bench::new();
    let learn = |signature| Input::Signature { item, signature };
    assert_eq!(bench.input(learn(signature)), Err(Refused::Unknown(item)));
    bench.sign(item);
    assert_eq!(bench.input(learn([2; 65])), Err(Refused::BadSignature(item)));
    assert_eq!(bench.input(learn(signature)), Ok(()));
    assert!(matches!(bench.outputs[..], [Output::Signed { .. }]));
    assert_eq!(bench.input(learn(signature)), Ok(()));
    assert!(bench.outputs.is_empty());
}

#[test]
fn a_new_boot_voids_the_old_one_for_good() {
    let (mut bench, coordinator, item, old) = led();
    let new = bench.supply(coordinator, 2);
    assert_ne!(
        new.offers[0].commitment, old.offers[0].commitment,
        "what its former life was given is withdrawn"
    );
    let package = bench.package(coordinator, item, &old.offers[0]);
    bench.receive(coordinator, &Message::Package(package));
    assert!(bench.outputs.is_empty(), "a package of its former life");
    let package =
        Package { coordinator_boot: BootId([2; 16]), ..bench.package(coordinator, item, &new.offers[0]) };
    bench.receive(coordinator, &Message::Package(package));
    assert_eq!(bench.shares().len(), 1);
}

/// Our own former life's commitment: nobody's fault, and the coordinator learns what it can use.
#[test]
fn a_package_with_our_old_boot_is_answered_with_new_commitments() {
    let (mut bench, coordinator, item, supply) = led();
    let mut package = bench.package(coordinator, item, &supply.offers[0]);
    package.signers.get_mut(&member(2)).unwrap().boot = BootId([0xcc; 16]);
    bench.pass(100);
    bench.receive(coordinator, &Message::Package(package));
    assert!(bench.faults().is_empty());
    let supplied =
        |(to, message): &(MemberId, Message)| *to == coordinator && matches!(message, Message::Supply(_));
    assert!(bench.sent().iter().any(supplied));
}

#[test]
fn commitments_cost_the_asker_time() {
    let mut bench = Bench::new();
    let asker = bench.others[0];
    let mut supplies = 0;
    for floor in 0..50 {
        let known = Some((BootId([BOOT; 16]), floor * 100));
        bench.receive(asker, &Message::Want { boot: BootId([1; 16]), known });
        supplies += bench.sent().iter().filter(|(_, message)| matches!(message, Message::Supply(_))).count();
    }
    assert_eq!(supplies, 1);
}

#[test]
fn messages_of_strangers_and_other_epochs_do_nothing() {
    let mut bench = Bench::new();
    bench.pass(0);
    let stranger = member(1);
    bench.receive(stranger, &Message::Request(block(1)));
    assert_eq!(bench.faults(), vec![Fault { culprit: stranger, kind: FaultKind::NotAMember }]);
    let bytes = Message::Request(block(1)).to_bytes(EPOCH + 1);
    bench.input(Input::Message { from: bench.others[0], bytes }).unwrap();
    assert!(bench.outputs.is_empty());
}

#[test]
fn malformed_messages_are_faults() {
    let mut bench = Bench::new();
    bench.pass(0);
    let from = bench.others[0];
    let boot = BootId([1; 16]);
    let offer = Offer { index: 0, commitment: [0; 66] };
    let supply = Message::Supply(Supply { boot, offers: vec![offer.clone()] }).to_bytes(EPOCH);
    let many = Message::Supply(Supply { boot, offers: vec![offer; MAX_POOL + 1] }).to_bytes(EPOCH);
    let mut trailing = Message::Request(block(1)).to_bytes(EPOCH);
    trailing.push(0);
    let cases = [
        (vec![], WireError::Short),
        ([vec![99], EPOCH.to_be_bytes().to_vec()].concat(), WireError::Tag(99)),
        (supply, WireError::Point),
        (many, WireError::Length { got: MAX_POOL + 1, limit: MAX_POOL }),
        (trailing, WireError::Trailing),
        (
            vec![0; crate::signing::MAX_MESSAGE + 1],
            WireError::Length { got: crate::signing::MAX_MESSAGE + 1, limit: crate::signing::MAX_MESSAGE },
        ),
    ];
    for (bytes, error) in cases {
        bench.input(Input::Message { from, bytes }).unwrap();
        assert_eq!(bench.faults(), vec![Fault { culprit: from, kind: FaultKind::Malformed(error) }]);
    }
}

/// A detector that cannot find anything proves nothing.
#[test]
fn the_detector_finds_a_planted_reuse() {
    let (mut bench, coordinator, item, supply) = led();
    let package = bench.package(coordinator, item, &supply.offers[0]);
    bench.receive(coordinator, &Message::Package(package.clone()));
    let Output::Persist(record) = bench.outputs[0].clone() else { panic!() };
    let share = bench.shares().remove(0);
    let mut detector = Detector::default();
    let bytes = Message::Share(share.clone()).to_bytes(EPOCH);
    assert!(detector.message(member(2), &bytes).is_err(), "a share before its record");
    detector.record(member(2), &record).unwrap();
    detector.message(member(2), &bytes).unwrap();
    let reused = crate::signing::BurnRecord { package: [1; 32], ..record };
    assert!(detector.record(member(2), &reused).is_err());

    // Nor does it help to forget: the same commitment in two packages, and an answer to each under another boot.
    let other = Package { attempt: 4, ..package.clone() };
    for package in [&package, &other] {
        detector.message(coordinator, &Message::Package(package.clone()).to_bytes(EPOCH)).unwrap_or_default();
    }
    detector.message(member(2), &bytes).unwrap();
    let again = Share { package: other.hash(EPOCH), ..share };
    let forgotten = crate::signing::BurnRecord { package: again.package, boot: BootId([9; 16]), ..record };
    detector.record(member(2), &forgotten).unwrap();
    let bytes = Message::Share(again).to_bytes(EPOCH);
    assert!(detector.message(member(2), &bytes).is_err(), "one pair, two packages");
}

/// The next coordinator's turn has come: an honest one that went on after that was taken for a liar.
#[test]
fn wrong_shares_that_come_after_the_turn_open_no_session() {
    for late in [false, true] {
        let mut bench = Bench::new();
        let supplied = |from: MemberId| Supply {
            boot: BootId([from.number() as u8; 16]),
            offers: (0..8).map(|index| Offer { index, commitment: foreign_commitment() }).collect(),
        };
        for from in bench.others.clone() {
            bench.receive(from, &Message::Supply(supplied(from)));
        }
        let item = bench.led_by(member(2));
        bench.sign(item);
        let packages = |bench: &Bench| -> Vec<(MemberId, Package)> {
            let sent = bench.sent().into_iter();
            sent.filter_map(|(to, message)| match message {
                Message::Package(package) => Some((to, package)),
                _ => None,
            })
            .collect()
        };
        let asked = packages(&bench);
        assert_eq!(asked.len(), 2);
        if late {
            bench.pass(SigningConfig::new(EPOCH).attempt_ms);
        }
        let mut opened = Vec::new();
        // One is no number of the field, so that it alone is blamed and enough others are left.
        for ((signer, package), share) in asked.into_iter().zip([[0xff; 32], [1; 32]]) {
            let supply = Supply { offers: Vec::new(), ..supplied(signer) };
            let share = Share { item, package: package.hash(EPOCH), share, voucher: [0; 65], supply };
            bench.receive(signer, &Message::Share(share));
            opened.extend(packages(&bench));
        }
        let blamed = bench.faults().iter().any(|f| matches!(f.kind, FaultKind::InvalidShare { .. }));
        assert!(blamed, "late or not, the liar is found");
        assert_eq!(opened.is_empty(), late);
        for (_, package) in opened {
            assert_eq!(bench.node.coordinator_of(item, package.attempt), member(2));
        }
    }
}

/// Whatever an accuser changes, either the share is right or the signer did not vouch for it.
#[test]
fn who_is_honest_cannot_be_convicted() {
    let (mut bench, coordinator, item, supply) = led();
    let package = bench.package(coordinator, item, &supply.offers[0]);
    bench.receive(coordinator, &Message::Package(package.clone()));
    let share = bench.shares().remove(0);
    let public = bench.node.public().clone();
    let accusation =
        Accusation { culprit: member(2), epoch: EPOCH, package: package.to_bytes(), share: share.share };
    assert_eq!(accusation.judge(&public), Ok(Judgement::Right));

    let is_proven = |accusation: &Accusation| match accusation.judge(&public) {
        Ok(Judgement::Wrong { package }) => {
            Stamp(member(2)).vouch(&package, &accusation.share) == share.voucher
        }
        other => panic!("{other:?}"),
    };
    let mut other_share = accusation.clone();
    other_share.share[31] ^= 1;
    let mut no_scalar = accusation.clone();
    no_scalar.share = [0xff; 32];
    let other_epoch = Accusation { epoch: EPOCH + 1, ..other_share.clone() };
    let altered = |change: fn(&mut Package)| {
        let mut package = package.clone();
        change(&mut package);
        Accusation { package: package.to_bytes(), ..accusation.clone() }
    };
    let other_digest = altered(|package| package.digest[0] ^= 1);
    let other_commitment = altered(|package| {
        package.signers.get_mut(&member(2)).unwrap().commitment = foreign_commitment();
    });
    for changed in [other_share, no_scalar, other_epoch, other_digest, other_commitment] {
        assert!(!is_proven(&changed), "{changed:?}");
    }
}

#[test]
fn an_accusation_that_cannot_be_is_meaningless() {
    let (bench, coordinator, item, supply) = led();
    let public = bench.node.public();
    let package = bench.package(coordinator, item, &supply.offers[0]);
    let judge = |culprit: MemberId, package: Vec<u8>| {
        Accusation { culprit, epoch: EPOCH, package, share: [1; 32] }.judge(public)
    };
    let without = |number: u16| {
        let mut package = package.clone();
        package.signers.remove(&member(number));
        package.to_bytes()
    };
    assert_eq!(judge(member(77), package.to_bytes()), Err(Meaningless::NotSignable), "a stranger");
    assert_eq!(judge(member(2), without(2)), Err(Meaningless::NotSignable), "not asked");
    assert_eq!(judge(coordinator, without(2)), Err(Meaningless::NotSignable), "too few signers");
    assert!(matches!(judge(member(2), vec![7; 40]), Err(Meaningless::Malformed(_))));
    let mut off_curve = package.clone();
    off_curve.signers.get_mut(&member(2)).unwrap().commitment = [9; 66];
    assert!(matches!(judge(member(2), off_curve.to_bytes()), Err(Meaningless::Malformed(_))));
}
