//! The validator key as a libp2p identity.

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, secp256k1};
use ordering_types::SecretKey;

/// The peer id of a validator.
pub(crate) fn peer_id(key: &ordering_types::PublicKey) -> PeerId {
    let key =
        secp256k1::PublicKey::try_from_bytes(&key.to_bytes()).expect("both sides check the same curve point");
    PublicKey::from(key).to_peer_id()
}

/// The libp2p key pair of a validator.
pub(crate) fn keypair(key: &SecretKey) -> Keypair {
    // The library wipes the bytes that it is given.
    let secret = secp256k1::SecretKey::try_from_bytes(&mut key.secret_bytes())
        .expect("both sides check the same secret key");
    secp256k1::Keypair::from(secret).into()
}
