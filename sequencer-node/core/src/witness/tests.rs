#![allow(clippy::unwrap_used)]

use frost_secp256k1::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;

const EPOCH: u64 = 3;
const FROM: ValidatorId = ValidatorId::new(2);

fn block(number: u64) -> ItemId {
    ItemId { kind: 1, number }
}

fn digest(number: u64) -> Digest {
    Digest::sha256(&[&number.to_be_bytes()])
}

/// The committee's signature, by somebody who has the whole key.
struct Committee(SigningKey, ChaCha20Rng);

impl Committee {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        Self(SigningKey::new(&mut rng), rng)
    }

    fn witness(&self) -> Witness {
        let key = frost_secp256k1::VerifyingKey::from(&self.0).serialize().unwrap();
        Witness::new(GroupKey::from_bytes(key.try_into().unwrap()).unwrap(), EPOCH)
    }

    /// `tag 5 ‖ epoch ‖ item ‖ signature`.
    fn says(&mut self, epoch: u64, number: u64, signed: Digest) -> Vec<u8> {
        let signature = self.0.sign(&mut self.1, signed.as_bytes()).serialize().unwrap();
        [&[5], epoch.to_be_bytes().as_slice(), &[1], &number.to_be_bytes(), &signature].concat()
    }
}

#[test]
fn it_takes_signatures_early_and_late_and_only_good_ones() {
    let mut committee = Committee::new();
    let mut witness = committee.witness();
    assert_eq!(witness.want(block(1), digest(1)), None);
    let bad = committee.says(EPOCH, 1, digest(9));
    assert_eq!(witness.hear(FROM, &bad), Ok(Heard::BadSignature(block(1))));
    let good = committee.says(EPOCH, 1, digest(1));
    assert!(matches!(witness.hear(FROM, &good), Ok(Heard::Signed(item, _)) if item == block(1)));

    let early = committee.says(EPOCH, 2, digest(2));
    assert_eq!(witness.hear(FROM, &early), Ok(Heard::Nothing));
    assert!(witness.want(block(2), digest(2)).is_some());
    let early_and_bad = committee.says(EPOCH, 3, digest(9));
    assert_eq!(witness.hear(FROM, &early_and_bad), Ok(Heard::Nothing));
    assert_eq!(
        witness.want(block(3), digest(3)),
        None,
        "a bad one that came early does not stand in the way"
    );
    let good = committee.says(EPOCH, 3, digest(3));
    assert!(matches!(witness.hear(FROM, &good), Ok(Heard::Signed(..))));
}

#[test]
fn what_is_none_of_its_business_is_nothing_and_garbage_an_error() {
    let mut committee = Committee::new();
    let mut witness = committee.witness();
    witness.want(block(1), digest(1));
    let other_epoch = committee.says(EPOCH + 1, 1, digest(1));
    assert_eq!(witness.hear(FROM, &other_epoch), Ok(Heard::Nothing));
    let request = [&[6], EPOCH.to_be_bytes().as_slice(), &[1], &1_u64.to_be_bytes()].concat();
    assert_eq!(witness.hear(FROM, &request), Ok(Heard::Nothing));
    assert!(witness.hear(FROM, &[5, 1]).is_err());
}

#[test]
fn it_holds_no_more_than_its_limits() {
    let mut committee = Committee::new();
    let mut witness = committee.witness();
    let signature = committee.says(EPOCH, 0, digest(0)).split_off(18);
    for number in 0..2 * MAX_WANTED as u64 {
        witness.want(block(number), digest(number));
        let early = [&[5], EPOCH.to_be_bytes().as_slice(), &[2], &number.to_be_bytes(), &signature].concat();
        witness.hear(FROM, &early).unwrap();
    }
    let early = |witness: &Witness| witness.early.values().map(BTreeMap::len).sum::<usize>();
    assert_eq!((witness.wanted.len(), early(&witness)), (MAX_WANTED, MAX_EARLY));
    witness.forget(1, u64::MAX);
    assert_eq!((witness.wanted.len(), early(&witness)), (0, MAX_EARLY));
    witness.forget(2, u64::MAX);
    assert_eq!(early(&witness), 0);
    let past = [&[5], EPOCH.to_be_bytes().as_slice(), &[2], &7_u64.to_be_bytes(), &signature].concat();
    witness.hear(FROM, &past).unwrap();
    assert_eq!(early(&witness), 0, "nobody needs it any more");
}

/// A liar fills its own places with what will never be, and spoils what others have said: both in vain.
#[test]
fn one_member_keeps_no_signature_of_others_out() {
    let mut committee = Committee::new();
    let mut witness = committee.witness();
    let liar = ValidatorId::new(3);
    for number in 0..64 {
        let flood = committee.says(EPOCH, u64::MAX - number, digest(9));
        witness.hear(liar, &flood).unwrap();
    }
    let good = committee.says(EPOCH, 5, digest(5));
    witness.hear(FROM, &good).unwrap();
    let spoilt = committee.says(EPOCH, 5, digest(9));
    witness.hear(ValidatorId::new(4), &spoilt).unwrap();
    assert!(witness.want(block(5), digest(5)).is_some());
}
