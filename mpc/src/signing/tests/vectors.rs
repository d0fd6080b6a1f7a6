//! The test vector of RFC 9591, appendix E.5, FROST(secp256k1, SHA-256): through the functions that the machine signs with.

use std::collections::BTreeMap;

use crate::keys::{GroupPublic, KeyMaterial, KeyShare, SignatureBytes, VerifyError};
use crate::signing::commitment;
use crate::signing::nonces::NoncePair;
use crate::signing::round;
use crate::testing::member;
use crate::wire::{compress, scalar};

const MESSAGE: &[u8] = b"test";
const GROUP_KEY: &str = "02f37c34b66ced1fb51c34a90bdae006901f10625cc06c4f64663b0eae87d87b4f";
const SHARES: [&str; 3] = [
    "08f89ffe80ac94dcb920c26f3f46140bfc7f95b493f8310f5fc1ea2b01f4254c",
    "04f0feac2edcedc6ce1253b7fab8c86b856a797f44d83d82a385554e6e401984",
    "00e95d59dd0d46b0e303e500b62b7ccb0e555d49f5b849f5e748c071da8c0dbc",
];
const SIGNATURE: &str = "024c1ad4e031872661fa6ebd05dfc7fb30db08b38d79f0edbc82051ae931381bc6\
                         a46881e25c7989d3816eae32074f1ab0d49ee908a59713ed5284c6bade7cfb02";

struct Signer {
    number: u16,
    hiding: &'static str,
    binding: &'static str,
    hiding_commitment: &'static str,
    binding_commitment: &'static str,
    share: &'static str,
}

const SIGNERS: [Signer; 2] = [
    Signer {
        number: 1,
        hiding: "09764379667f9a9fa61928947bd925a7f162b21886b750d3b11c226d16b32f58",
        binding: "b2d3f8cb9da70984354c3fc3511b1f6ed21b7205941cb5553565d2ecade8c694",
        hiding_commitment: "0305e62a1d3f57a0b17ade569a3a4043e2a1fc3bd0b102614a8d8cc68e3322ad89",
        binding_commitment: "03b634c2aed7f85b8eec22e97e5f916ab43a3518821480e15da2af7cffcb060a30",
        share: "ca54b18d7449377cfa680760a5770b9e64e201f7ea36b068effeca5fce2155e5",
    },
    Signer {
        number: 3,
        hiding: "0d92e255e5b42ebc2863f8198d946fc10f388c4983073c18cbb77b88e3bf2e34",
        binding: "1c7243ce00a499b1e7ce3403e7b731d0c820cf108feb8c5ee7c29b4ef43be5e0",
        hiding_commitment: "036f878da0dc19ba7da9f2d9e795e2674e62ff06c990fc4464cc1ed55a2acce46b",
        binding_commitment: "025350e2a9e32e7b1fe0161e990623600b2d301b3307641469129cff7936c4d2ce",
        share: "da13d054e83052568706a6d161d80f112a6bc3f76aa903c022585ae7e091e65e",
    },
];

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn group() -> GroupPublic {
    let shares = (1..).zip(SHARES).map(|(number, share)| {
        let point = k256::ProjectivePoint::GENERATOR * scalar(&bytes(share)).unwrap();
        (member(number), compress(&point).unwrap())
    });
    GroupPublic::new(2, bytes(GROUP_KEY), shares.collect()).unwrap()
}

#[test]
fn the_standard_vector_signs_and_verifies() {
    let public = group();
    let commitments: BTreeMap<_, _> = SIGNERS
        .iter()
        .map(|signer| {
            let pair = NoncePair::from_scalars(bytes(signer.hiding), bytes(signer.binding));
            let expected = [signer.hiding_commitment, signer.binding_commitment].concat();
            assert_eq!(hex::encode(pair.commitment()), expected);
            (member(signer.number), commitment::parse(&pair.commitment()).unwrap())
        })
        .collect();

    let mut shares = BTreeMap::new();
    for signer in &SIGNERS {
        let mut stored = signer.number.to_be_bytes().to_vec();
        stored.extend(bytes::<32>(SHARES[usize::from(signer.number) - 1]));
        let material = KeyMaterial::new(KeyShare::from_bytes(&stored).unwrap(), public.clone()).unwrap();
        let pair = NoncePair::from_scalars(bytes(signer.hiding), bytes(signer.binding));
        let share = round::sign(MESSAGE, &commitments, pair, &material.key_package()).unwrap();
        assert_eq!(hex::encode(share), signer.share);
        shares.insert(member(signer.number), share);
    }
    let signature = round::aggregate(MESSAGE, &commitments, &shares, &public).unwrap();
    assert_eq!(hex::encode(signature), SIGNATURE);
    public.verify_message(MESSAGE, &signature).unwrap();

    let wrong = shares.get_mut(&member(3)).unwrap();
    wrong[31] ^= 1;
    let cheaters = round::AggregateError::Cheaters(vec![member(3)]);
    assert_eq!(round::aggregate(MESSAGE, &commitments, &shares, &public), Err(cheaters));
}

/// k256 reads the compact form (tag 5) of a point as well: the same signature would have two encodings, one of which an
/// L1 contract refuses.
#[test]
fn a_signature_has_one_encoding() {
    let public = group();
    let signature: SignatureBytes = bytes(SIGNATURE);
    assert_eq!(public.verify_message(MESSAGE, &signature), Ok(()));
    assert_eq!(public.verify_message(b"other", &signature), Err(VerifyError::Invalid));
    for tag in [0, 1, 4, 5, 6, 7] {
        let mut other = signature;
        other[0] = tag;
        assert_eq!(public.verify_message(MESSAGE, &other), Err(VerifyError::Malformed), "tag {tag}");
    }
    let mut other = signature;
    other[0] = 3;
    assert_eq!(public.verify_message(MESSAGE, &other), Err(VerifyError::Invalid));
    other = signature;
    other[33..].fill(0xff);
    assert_eq!(public.verify_message(MESSAGE, &other), Err(VerifyError::Malformed));
}
