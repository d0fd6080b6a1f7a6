//! A committee whose group keys are held by the test, and a node's port.
#![allow(dead_code)]

use std::sync::Arc;

use frost_secp256k1::{SigningKey, VerifyingKey};
use ordering_types::chain_spec::Validator;
use ordering_types::{
    ChainSpec, Digest, Epoch, GroupKey, GroupSignature, Handover, Height, NextEpoch, SecretKey,
    SignedHandover, ValidatorId,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rollup::verify::Network;
use rollup::wire::{self, Founding};

pub(crate) fn validator(id: u8) -> SecretKey {
    SecretKey::from_bytes([id; 32]).unwrap()
}

pub(crate) fn network() -> Network {
    let validators = (1..=4).map(|id| Validator {
        id: ValidatorId::new(id.into()),
        key: validator(id).public_key(),
        address: String::new(),
    });
    Network::new(Arc::new(ChainSpec {
        network: "test".to_owned(),
        l1_chain_id: 1,
        inbox: ordering_types::Address::new([1; 20]),
        validators: validators.collect(),
        rollups: Vec::new(),
        ..ChainSpec::default()
    }))
}

pub(crate) fn group(epoch: u64) -> SigningKey {
    SigningKey::new(&mut ChaCha8Rng::seed_from_u64(epoch))
}

pub(crate) fn key(epoch: u64) -> GroupKey {
    let public: VerifyingKey = (&group(epoch)).into();
    GroupKey::from_bytes(public.serialize().unwrap().try_into().unwrap()).unwrap()
}

pub(crate) fn sign(signer: u64, digest: Digest) -> GroupSignature {
    let signature = group(signer).sign(ChaCha8Rng::seed_from_u64(9), digest.as_ref());
    GroupSignature::new(signature.serialize().unwrap().try_into().unwrap())
}

pub(crate) fn founding(network: &Network) -> Founding {
    let key = key(0);
    let (x, y) = key.coordinates();
    let digest = network.domain().initialise(Epoch::new(0), x, y);
    let sign = |id: u8| (ValidatorId::new(id.into()), validator(id).sign(digest));
    Founding { key, signatures: (1..=3).map(sign).collect() }
}

/// The handover to `epoch`, signed with the key of `signer`.
pub(crate) fn handover(network: &Network, epoch: u64, signer: u64) -> SignedHandover {
    let next = NextEpoch { epoch: Epoch::new(epoch), key: key(epoch), committee: Digest::ZERO };
    let handover = Handover { next, first_batch: 10 * epoch + 1, first_height: Height::new(100 * epoch + 1) };
    SignedHandover { handover, signature: sign(signer, handover.digest(&network.domain())) }
}

/// A client port on loopback.
pub(crate) fn listen() -> quinn::Endpoint {
    let certified = rcgen::generate_simple_self_signed(vec!["node".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![wire::ALPN.to_vec()];
    let quic = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(quic));
    quinn::Endpoint::server(config, ([127, 0, 0, 1], 0).into()).unwrap()
}
