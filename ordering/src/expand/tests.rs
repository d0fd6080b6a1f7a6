#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use ordering_types::chain_spec::{Committee, DataPolicy, Rollup, RollupKind};
use ordering_types::{
    Address, ChainSpec, Epoch, ForcedMessage, Height, Incarnation, L1Reference, LaneId, LaneSequence,
    QueueMark, Signature, SystemMessage, Transaction, ValidatorId,
};

use super::*;
use crate::ids::tests::hasher;

const ROLLUP: RollupId = RollupId::new(1);
const UNKNOWN: RollupId = RollupId::new(2);

fn rules() -> Rules {
    Rules::new(&ChainSpec {
        network: String::new(),
        l1_chain_id: 1,
        inbox: Address::new([0; 20]),
        validators: vec![],
        rollups: vec![Rollup {
            id: ROLLUP,
            name: String::new(),
            kind: RollupKind::Opaque,
            chain_id: 1,
            data: DataPolicy::Blob,
            quota_bytes_per_block: 10_000,
        }],
        ..ChainSpec::default()
    })
}

fn lane(validator: u16, chunks: &[&[(RollupId, &str)]]) -> Vec<Arc<Held>> {
    let id = LaneId { validator: ValidatorId::new(validator), incarnation: Incarnation::new(1) };
    let mut parent = Digest::ZERO;
    let mut sequence = LaneSequence::new(0);
    chunks
        .iter()
        .map(|transactions| {
            let data = |text: &str| Bytes::copy_from_slice(text.as_bytes());
            let transactions: Vec<_> = transactions
                .iter()
                .map(|(rollup, text)| Transaction { rollup: *rollup, data: data(text) })
                .collect();
            sequence = sequence.next();
            let chunk = Chunk::new(id, sequence, parent, &transactions).unwrap();
            parent = chunk.digest();
            Arc::new(Held::new(chunk, &rules()))
        })
        .collect()
}

fn expanded(parent: Digest, window: &Window, lanes: &[Vec<Arc<Held>>]) -> Expansion {
    let mut state = ReplayState::genesis(&Committee::new(BTreeMap::new()));
    state.header = parent;
    expanded_with(&state, window, lanes, vec![])
}

fn expanded_with(
    state: &ReplayState,
    window: &Window,
    lanes: &[Vec<Arc<Held>>],
    system: Vec<SystemMessage>,
) -> Expansion {
    let newest = |lane: &Vec<Arc<Held>>| {
        let chunk = &lane.last().unwrap().chunk;
        LaneTip { lane: chunk.lane(), sequence: chunk.sequence(), digest: chunk.digest() }
    };
    let cut = Cut {
        height: Height::new(1),
        epoch: Epoch::new(0),
        parent: state.header,
        parent_commit: None,
        time_ms: 5,
        l1_reference: L1Reference::default(),
        seals_batch: false,
        tips: lanes.iter().map(newest).collect(),
        system,
    };
    let bytes = Bytes::from(cut.encode());
    expand(Digest::ZERO, &rules(), state, Past::Window(window), (cut, bytes), lanes)
}

fn texts(expansion: &Expansion) -> Vec<String> {
    let all = expansion.sections.iter().flat_map(|s| &s.transactions);
    all.map(|t| String::from_utf8(t.to_vec()).unwrap()).collect()
}

fn parent(first: u8) -> Digest {
    let mut bytes = [0; 32];
    bytes[7] = first;
    Digest::new(bytes)
}

#[test]
fn lanes_take_turns_from_the_one_that_the_parent_points_at() {
    let lanes = [
        lane(1, &[&[(ROLLUP, "a1")], &[(ROLLUP, "a2")], &[(ROLLUP, "a3")]]),
        lane(2, &[&[(ROLLUP, "b1")]]),
        lane(3, &[&[(ROLLUP, "c1")], &[(ROLLUP, "c2")]]),
    ];
    let window = Window::new(hasher(), 10, vec![]);
    assert_eq!(texts(&expanded(parent(0), &window, &lanes)), ["a1", "b1", "c1", "a2", "c2", "a3"]);
    assert_eq!(texts(&expanded(parent(1), &window, &lanes)), ["b1", "c1", "a1", "c2", "a2", "a3"]);
    assert_eq!(texts(&expanded(parent(5), &window, &lanes)), ["c1", "a1", "b1", "c2", "a2", "a3"]);
}

#[test]
fn duplicates_and_unknown_rollups_are_left_out() {
    let lanes = [
        lane(1, &[&[(ROLLUP, "x"), (UNKNOWN, "u"), (ROLLUP, "old")]]),
        lane(2, &[&[(ROLLUP, "x"), (ROLLUP, "y"), (ROLLUP, "y")]]),
    ];
    let old = (ROLLUP, ordering_types::transaction::tx_id(b"old"));
    let expansion =
        expanded(parent(0), &Window::new(hasher(), 10, vec![(Height::new(1), vec![old])]), &lanes);
    assert_eq!(texts(&expansion), ["x", "y"]);
    assert_eq!(expansion.header.tx_count, 2);
    assert_eq!(expansion.state.replayed.batch.blob_bytes, 18, "eight and one byte each");
    assert_eq!(expansion.ids.len(), 2);
    let covered: Vec<_> = expansion.covered.clone();
    let again = blob_bytes(
        &rules(),
        &Window::new(hasher(), 10, vec![(Height::new(1), vec![old])]),
        &Intake::default(),
        &covered,
    );
    assert_eq!(again, 18, "what decides on sealing is what expansion counts");
    let left_out: Vec<_> = expansion.places.iter().map(|place| place.left_out.as_slice()).collect();
    assert_eq!(left_out, [[1, 2], [0, 2]], "whoever stores the block puts it together from the rest");
}

#[test]
fn the_header_commits_to_tree_cut_and_state() {
    let lanes = [lane(1, &[&[(ROLLUP, "x")]])];
    let expansion = expanded(parent(3), &Window::new(hasher(), 10, vec![]), &lanes);
    let header = &expansion.header;
    assert_eq!(header.tx_root, expansion.tree.root());
    assert_eq!(header.cut, Digest::sha256(&[&expansion.cut_bytes]));
    assert_eq!(header.state_root, expansion.state.root());
    assert_eq!((header.parent, header.hash()), (parent(3), expansion.hash));
    assert_eq!(expansion.state.tip(lanes[0][0].chunk.lane()).0, LaneSequence::new(1));
    assert_eq!(
        expansion.hash.to_string(),
        "8ef1fd0d8b984dc1f195ec6c22877bc4170898083d766930d5f3185c7df8f2b7",
        "the way from a cut to a header hash is agreed by everyone"
    );
}

/// They stand first, whatever the window has; what a lane has of them as well is a duplicate.
#[test]
fn forced_entries_come_first_and_keep_their_bytes_out_of_lanes() {
    let entry =
        |text: &'static str| ForcedEntry { rollup: ROLLUP, data: Bytes::from_static(text.as_bytes()) };
    let entries = vec![entry("f1"), entry("old"), ForcedEntry { rollup: UNKNOWN, ..entry("f2") }];
    let end = entries.iter().fold(QueueMark::default(), |at, entry| at.with(&entry.leaf()));
    let message = ForcedMessage { from: QueueMark::default(), entries: entries.clone(), leaves: vec![] };
    let payload = [&[crate::forced::FORCED], message.encode().as_slice()].concat();
    let said = SystemMessage {
        sender: ValidatorId::new(1),
        sequence: 1,
        payload,
        signature: Signature::new([0; 65]),
    };
    let mut state = ReplayState::genesis(&Committee::new(BTreeMap::new()));
    let mut book = state.replayed.l1.forced().clone();
    book.add_mark(end);
    state.replayed.l1.set_forced(book);

    let old = (ROLLUP, ordering_types::transaction::tx_id(b"old"));
    let window = Window::new(hasher(), 10, vec![(Height::new(1), vec![old])]);
    let lanes = [lane(1, &[&[(ROLLUP, "a"), (ROLLUP, "f1"), (ROLLUP, "b")]])];
    let expansion = expanded_with(&state, &window, &lanes, vec![said]);
    assert_eq!(texts(&expansion), ["f1", "old", "a", "b"]);
    assert_eq!((expansion.forced, expansion.header.forced_cursor), (entries[..2].to_vec(), 3));
    assert_eq!(expansion.state.replayed.l1.forced().done(), end);
    let costs = ["f1", "old", "a", "b"].map(|text| Chunk::cost(text.len()) as u64);
    assert_eq!(expansion.state.replayed.batch.blob_bytes, costs.iter().sum::<u64>());
}
