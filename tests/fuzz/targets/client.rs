//! What clients and nodes say to each other: frames of the binary protocol, transactions, parameters of JSON-RPC.
#![no_main]

use std::sync::{Arc, LazyLock};

use batcher_format::EncodedBatch;
use bytes::Bytes;
use fuzz::founded::{Founded, spec};
use fuzz::seeds::{seed, write_if_asked};
use libfuzzer_sys::fuzz_target;
use ordering_types::chain_spec::Committee;
use ordering_types::handover::committee_hash;
use ordering_types::{
    ChainSpec, GroupKey, Handover, NextEpoch, RollupId, SecretKey, SignedHandover, Succession,
};
use rollup::wire::{self, ClientMessage, Message, NodeMessage, Opening, Response};

const OPENING: u8 = 0;
const CLIENT: u8 = 1;
const NODE: u8 = 2;
const RESPONSE: u8 = 3;
const TRANSACTION: u8 = 4;
const JSON: u8 = 5;

static SPEC: LazyLock<Arc<ChainSpec>> = LazyLock::new(spec);

/// The transaction of a wallet for chain 1003: EIP-1559, legacy with EIP-155, and one with an access list. The signatures are not real;
/// they only must have a form.
const TRANSACTIONS: [&str; 3] = [
    "02f8678203eb80010282520894000000000000000000000000000000000000000102821234c001a01111111111111111111111111111111111111111111111111111111111111111a01111111111111111111111111111111111111111111111111111111111111111",
    "f863800182520894000000000000000000000000000000000000000102808207fa\
     a01111111111111111111111111111111111111111111111111111111111111111\
     a01111111111111111111111111111111111111111111111111111111111111111",
    "01f8658203eb800182520894000000000000000000000000000000000000000102821234c080\
     a01111111111111111111111111111111111111111111111111111111111111111\
     a01111111111111111111111111111111111111111111111111111111111111111",
];

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> = frames();
    for text in TRANSACTIONS {
        let bytes =
            (0..text.len() / 2).filter_map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok());
        seeds.push(seed(TRANSACTION, &bytes.collect::<Vec<u8>>()));
    }
    let hash = "ab".repeat(32);
    for text in [
        "[1,\"0x00ff\"]".to_owned(),
        "[\"latest\"]".to_owned(),
        "[18446744073709551615]".to_owned(),
        format!("[1,{{\"id\":\"{hash}\"}}]"),
        format!("[1,{{\"hash\":\"{hash}\"}}]"),
    ] {
        seeds.push(seed(JSON, text.as_bytes()));
    }
    seeds
}

fn frames() -> Vec<Vec<u8>> {
    use wire::{
        Certified, CloseReason, Closed, Confirmation, ConfirmedBlock, Content, Hello, OrderedBlock,
        OrderedSection, Refusal, Refused, Request, RollupRoot, Rollups, Status, Submit, Subscription,
        Welcome,
    };
    let network = Founded::new();
    let chain_spec = network.spec.hash();
    let decided =
        network.disk().decided().find(|d| d.block.header.tx_count > 0).expect("there are transactions");
    let header = decided.block.header.clone();
    let sections = decided.block.sections.iter();
    let ordered = OrderedBlock {
        header: header.clone(),
        certificate: decided.certificate.clone(),
        rollups: decided
            .tree
            .rollups()
            .map(|(rollup, count, root)| RollupRoot { rollup, count, root })
            .collect(),
        sections: sections
            .map(|s| OrderedSection { rollup: s.rollup, content: Content::Data(s.transactions.clone()) })
            .collect(),
    };
    let signature = network.sealed().expect("a batch is sealed").signature;
    let subscription =
        |rollups| Subscription { rollups, from: Some(header.height), data: true, certified: true };
    let hello = |subscription| Opening::Session(Hello { version: wire::VERSION, chain_spec, subscription });
    let submit = |tag| Submit { tag, rollup: RollupId::new(1), data: Bytes::from_static(b"transaction") };
    let status = Status {
        chain_spec,
        validator: 1.into_id(),
        member: true,
        height: header.height,
        certified: header.height,
        sealed: 1,
        peers: 3,
    };
    let encoded = EncodedBatch {
        payload: Bytes::from_static(&[1; 50]),
        inline: Bytes::new(),
        commitments: vec![],
        proofs: vec![],
    };
    let mut batch = (**network.sealed().expect("a batch is sealed")).clone();
    batch.encoded = Arc::new(encoded);
    // The network's own keys are simulated, which nothing reads.
    let key = |n: u8| SecretKey::from_bytes([n; 32]).expect("a scalar").public_key();
    let members = Committee::new((1..=4).map(|n: u8| (u16::from(n).into_id(), key(n))).collect());
    let group = GroupKey::from_bytes(key(1).to_bytes()).expect("a point");
    let next = NextEpoch { epoch: header.epoch.next(), key: group, committee: committee_hash(&members) };
    let handover = Handover { next, first_batch: 2, first_height: header.height.next() };
    let succession = Succession { signed: SignedHandover { handover, signature }, members };
    let framed = |selector, frame: Bytes| seed(selector, &frame);
    vec![
        framed(OPENING, wire::encode(&hello(None))),
        framed(OPENING, wire::encode(&hello(Some(subscription(Rollups::All))))),
        framed(OPENING, wire::encode(&hello(Some(subscription(Rollups::Some(vec![RollupId::new(1); 3])))))),
        framed(OPENING, wire::encode(&Opening::Request(Request::Status))),
        framed(OPENING, wire::encode(&Opening::Request(Request::Handover(header.epoch)))),
        framed(
            OPENING,
            wire::encode(&Opening::Request(Request::Block {
                height: header.height,
                rollup: Some(RollupId::new(1)),
            })),
        ),
        framed(CLIENT, wire::encode(&ClientMessage::Submit(submit(1)))),
        framed(CLIENT, wire::encode(&ClientMessage::SubmitMany((0..4).map(submit).collect()))),
        framed(
            NODE,
            wire::encode(&NodeMessage::Welcome(Welcome {
                version: wire::VERSION,
                chain_spec,
                height: header.height,
                member: true,
                validator: 1.into_id(),
                key: key(1),
                identity_proof: decided.certificate.signatures[0].1,
            })),
        ),
        framed(
            NODE,
            wire::encode(&NodeMessage::Refused(Refused { tag: 1, code: Refusal::Full, text: "full".into() })),
        ),
        framed(NODE, wire::encode(&NodeMessage::Ordered(Arc::new(ordered.clone())))),
        framed(
            NODE,
            wire::encode(&NodeMessage::Certified(Certified {
                epoch: header.epoch,
                height: header.height,
                header: header.hash(),
                signature,
            })),
        ),
        framed(
            NODE,
            wire::encode(&NodeMessage::Closed(Closed { reason: CloseReason::Lagging, text: "slow".into() })),
        ),
        framed(RESPONSE, wire::encode(&Response::Status(status))),
        framed(RESPONSE, wire::encode(&Response::Handover(Some(Box::new(succession))))),
        framed(RESPONSE, wire::encode(&Response::Sealed(Some(Arc::new(batch.clone()))))),
        framed(RESPONSE, wire::encode(&Response::LatestSealed(Some(batch.header)))),
        framed(
            RESPONSE,
            wire::encode(&Response::Block(Some(Box::new(ConfirmedBlock {
                ordered,
                confirmation: Some(Confirmation { above: vec![header.clone()], signature }),
            })))),
        ),
    ]
}

trait IntoId {
    fn into_id(self) -> ordering_types::ValidatorId;
}

impl IntoId for u16 {
    fn into_id(self) -> ordering_types::ValidatorId {
        ordering_types::ValidatorId::new(self)
    }
}

/// Reads frames to the end. What is read can be written and read again.
fn frames_of<M: Message + PartialEq + std::fmt::Debug>(mut bytes: &[u8], check: impl Fn(&M)) {
    while let Ok(Some(message)) = read::<M>(&mut bytes) {
        check(&message);
        let again = read::<M>(&mut &wire::encode(&message)[..]);
        assert_eq!(again.ok().flatten().as_ref(), Some(&message));
    }
}

fn read<M: Message>(bytes: &mut &[u8]) -> Result<Option<M>, wire::FrameError> {
    futures::executor::block_on(wire::read::<M>(bytes))
}

fuzz_target!(
    init: write_if_asked(seeds),
    |data: &[u8]| {
        let Some((selector, bytes)) = data.split_first() else { return };
        match selector % 6 {
            OPENING => frames_of::<Opening>(bytes, |_| ()),
            CLIENT => frames_of::<ClientMessage>(bytes, |_| ()),
            NODE => frames_of::<NodeMessage>(bytes, |message| {
                if let NodeMessage::Ordered(block) = message {
                    let _ = block.is_consistent();
                }
            }),
            RESPONSE => frames_of::<Response>(bytes, |_| ()),
            TRANSACTION => _ = sequencer_node::fuzzing::admit(&SPEC, RollupId::new(3), bytes),
            _ => {
                if let Ok(text) = std::str::from_utf8(bytes) {
                    sequencer_node::fuzzing::json_rpc(text);
                }
            }
        }
    }
);
