//! A committee whose group keys are held by the test, and a node's port.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use bytes::Bytes;
use frost_secp256k1::{SigningKey, VerifyingKey};
use ordering_types::chain_spec::{Committee, DataPolicy, Rollup, RollupKind, Validator};
use ordering_types::handover::committee_hash;
use ordering_types::{
    Block, ChainSpec, CommitCertificate, Digest, Epoch, GroupKey, GroupSignature, Handover, Header, Height,
    L1Reference, NextEpoch, RollupId, RollupSection, Round, SecretKey, SignedHandover, Succession,
    ValidatorId, block,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rollup::verify::Network;
use rollup::wire::{self, Content, Founding, OrderedBlock, OrderedSection, RollupRoot, Welcome};

pub(crate) const ROLLUP: RollupId = RollupId::new(1);

pub(crate) fn validator(id: u8) -> SecretKey {
    SecretKey::from_bytes([id; 32]).unwrap()
}

/// The members that these numbers name, each by its own.
pub(crate) fn committee(members: impl IntoIterator<Item = u8>) -> Committee {
    let member = |id: u8| (ValidatorId::new(id.into()), validator(id).public_key());
    Committee::new(members.into_iter().map(member).collect())
}

/// Four founders, 1 to 4.
pub(crate) fn spec() -> ChainSpec {
    let rollup = Rollup {
        id: ROLLUP,
        name: "one".to_owned(),
        kind: RollupKind::Opaque,
        chain_id: 9_001,
        data: DataPolicy::Blob,
        quota_bytes_per_block: 1_000,
    };
    let founder = |(id, key): (_, &_)| Validator { id, key: *key, address: String::new() };
    ChainSpec {
        network: "test".to_owned(),
        l1_chain_id: 1,
        inbox: ordering_types::Address::new([1; 20]),
        validators: committee(1..=4).iter().map(founder).collect(),
        rollups: vec![rollup],
        ..ChainSpec::default()
    }
}

pub(crate) fn network() -> Network {
    Network::new(Arc::new(spec()))
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

/// The handover to `epoch`, to the founders, signed with the key of `signer`.
pub(crate) fn handover(network: &Network, epoch: u64, signer: u64) -> Succession {
    succession(network, epoch, signer, &committee(1..=4))
}

/// The same, to these members.
pub(crate) fn succession(network: &Network, epoch: u64, signer: u64, members: &Committee) -> Succession {
    let next = NextEpoch { epoch: Epoch::new(epoch), key: key(epoch), committee: committee_hash(members) };
    let handover = Handover { next, first_batch: 10 * epoch + 1, first_height: Height::new(100 * epoch + 1) };
    let signed = SignedHandover { handover, signature: sign(signer, handover.digest(&network.domain())) };
    Succession { signed, members: members.clone() }
}

/// The header of a block in this epoch and at this height, on top of `parent`.
pub(crate) fn header(epoch: u64, height: u64, parent: Digest) -> Header {
    Header {
        version: 1,
        chain_spec: spec().hash(),
        epoch: Epoch::new(epoch),
        height: Height::new(height),
        parent,
        time_ms: height,
        l1_reference: L1Reference::default(),
        forced_cursor: 0,
        cut: Digest::ZERO,
        tx_root: block::tx_root([]),
        tx_count: 0,
        state_root: Digest::ZERO,
        seals_batch: false,
    }
}

/// These validators' votes for a header.
pub(crate) fn certify(header: &Header, signers: impl IntoIterator<Item = u8>) -> CommitCertificate {
    let (epoch, height, round) = (header.epoch, header.height, Round::new(0));
    let digest = spec().domain().vote(true, epoch, height, round, Some(header.hash()));
    let vote = |id: u8| (ValidatorId::new(id.into()), validator(id).sign(digest));
    let signatures = signers.into_iter().map(vote).collect();
    CommitCertificate { epoch, height, round, header: header.hash(), signatures }
}

/// An ordered block with these transactions on top of `parent`, that these validators voted for.
pub(crate) fn ordered_block(
    (epoch, height): (u64, u64),
    parent: Digest,
    transactions: Vec<Bytes>,
    signers: impl IntoIterator<Item = u8>,
) -> OrderedBlock {
    let header = header(epoch, height, parent);
    if transactions.is_empty() {
        let certificate = certify(&header, signers);
        return OrderedBlock { header, certificate, rollups: vec![], sections: vec![] };
    }
    let content = Content::Data(transactions.clone());
    let tx_count = transactions.len() as u32;
    let tree = Block { header, sections: vec![RollupSection { rollup: ROLLUP, transactions }] };
    let (tx_root, header) = (tree.tree().root(), tree.header.clone());
    let header = Header { tx_root, tx_count, ..header };
    let root = |(rollup, count, root)| RollupRoot { rollup, count, root };
    OrderedBlock {
        certificate: certify(&header, signers),
        rollups: tree.tree().rollups().map(root).collect(),
        header,
        sections: vec![OrderedSection { rollup: ROLLUP, content }],
    }
}

/// What the validator with this key says to a new session when it calls itself `claimed`.
pub(crate) fn welcome(connection: &quinn::Connection, claimed: u16, key: u8, member: bool) -> Welcome {
    let (spec, validator_id, key) = (spec(), ValidatorId::new(claimed), validator(key));
    Welcome {
        version: wire::VERSION,
        chain_spec: spec.hash(),
        height: Height::new(5),
        member,
        validator: validator_id,
        key: key.public_key(),
        identity_proof: wire::prove_identity(connection, &spec.domain(), validator_id, &key).unwrap(),
    }
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
