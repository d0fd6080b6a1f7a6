//! Members and a key that they hold.

use std::collections::BTreeMap;

use frost_core::keys::IdentifierList;
use frost_secp256k1::Identifier;
use mpc::{GroupPublic, KeyMaterial, KeyShare, MemberId};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::{MEMBERS, THRESHOLD};

pub(crate) fn members() -> impl Iterator<Item = MemberId> {
    (1..=MEMBERS).map(|number| MemberId::new(number).unwrap())
}

/// As a ceremony leaves it; made by one dealer, since that takes milliseconds.
pub(crate) fn make() -> BTreeMap<MemberId, KeyMaterial> {
    let rng = ChaCha20Rng::from_seed([1; 32]);
    let (shares, public) =
        frost_secp256k1::keys::generate_with_dealer(MEMBERS, THRESHOLD, IdentifierList::Default, rng)
            .unwrap();
    let of = |member: MemberId| Identifier::try_from(member.number()).unwrap();
    let mut bytes = public.verifying_key().serialize().unwrap();
    bytes.extend(THRESHOLD.to_be_bytes());
    bytes.extend(MEMBERS.to_be_bytes());
    for member in members() {
        bytes.extend(member.number().to_be_bytes());
        bytes.extend(public.verifying_shares()[&of(member)].serialize().unwrap());
    }
    let public = GroupPublic::from_bytes(&bytes).unwrap();
    let material = |member: MemberId| {
        let secret = shares[&of(member)].signing_share().serialize();
        let share =
            KeyShare::from_bytes(&[member.number().to_be_bytes().as_slice(), &secret].concat()).unwrap();
        (member, KeyMaterial::new(share, public.clone()).unwrap())
    };
    members().map(material).collect()
}
