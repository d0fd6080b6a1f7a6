#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod archive;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use batcher_format::{BatchHeader, EncodedBatch, SealedBatch};
use bytes::Bytes;
use ordering_types::chain_spec::{DataPolicy, Rollup, RollupKind, Validator};
use ordering_types::cut::SystemMessage;
use ordering_types::{
    Address, Block, ChainSpec, Chunk, CommitCertificate, Cut, Digest, Epoch, ForcedEntry, GroupKey,
    GroupSignature, Handover, Header, Height, Incarnation, L1Reference, LaneId, LaneSequence, LaneTip,
    NextEpoch, RollupId, RollupSection, Round, SecretKey, SharedKey, Signature, SignedHandover, Succession,
    Transaction, ValidatorId, codec,
};
use zeroize::Zeroizing;

use super::posted::UnpostedBatches;
use super::*;
use crate::core_api::{Checkpoint, Covered, Decided, Founding, Members, OrderingRecord, Record, anchor};

const ROLLUP: RollupId = RollupId::new(7);

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32]).unwrap()
}

fn spec() -> Arc<ChainSpec> {
    let validators = (1..=4)
        .map(|id| Validator {
            id: ValidatorId::new(id.into()),
            key: key(id).public_key(),
            address: "/ip4/127.0.0.1/udp/1/quic-v1".to_owned(),
        })
        .collect();
    let rollup = Rollup {
        id: ROLLUP,
        name: "test".to_owned(),
        kind: RollupKind::Evm,
        chain_id: 901,
        data: DataPolicy::Blob,
        quota_bytes_per_block: 1 << 20,
    };
    Arc::new(ChainSpec {
        network: "test".to_owned(),
        l1_chain_id: 1,
        inbox: Address::default(),
        validators,
        rollups: vec![rollup],
        ..ChainSpec::default()
    })
}

pub(crate) fn try_open(folder: &Path, seed: u8, retain_blocks: u64) -> Result<Opened, StoreError> {
    try_open_with(folder, seed, retain_blocks, Retention::default())
}

fn try_open_with(
    folder: &Path,
    seed: u8,
    retain_blocks: u64,
    archive: Retention,
) -> Result<Opened, StoreError> {
    let options = OpenOptions {
        folder,
        key: &key(seed),
        spec: spec(),
        cache_bytes: 4 << 20,
        retain_blocks,
        archive,
        now_micros: 5,
    };
    open(&options)
}

/// As at the end of a process: nothing keeps the index open.
fn shut(opened: Opened) {
    opened.store.close().unwrap();
}

pub(crate) fn fresh_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FRESH_FILE), "").unwrap();
    folder
}

fn lane() -> LaneId {
    LaneId { validator: ValidatorId::new(1), incarnation: Incarnation::new(9) }
}

fn chunk(sequence: u64) -> Chunk {
    let transaction = Transaction { rollup: ROLLUP, data: Bytes::from(format!("transaction {sequence}")) };
    Chunk::new(lane(), LaneSequence::new(sequence), Digest::ZERO, &[transaction]).unwrap()
}

/// Block `height` orders chunk `height`.
fn decided(height: u64) -> Arc<Decided> {
    let chunk = chunk(height);
    let sections =
        vec![RollupSection { rollup: ROLLUP, transactions: vec![chunk.transactions()[0].data.clone()] }];
    let covered = vec![Covered { digest: chunk.digest(), left_out: Vec::new() }];
    block_of(height, &chunk, sections, covered)
}

fn block_of(height: u64, chunk: &Chunk, sections: Vec<RollupSection>, covered: Vec<Covered>) -> Arc<Decided> {
    let tip = LaneTip { lane: lane(), sequence: LaneSequence::new(height), digest: chunk.digest() };
    let payload = format!("system {height}").into_bytes();
    let cut = Cut {
        height: Height::new(height),
        epoch: Epoch::new(0),
        parent: Digest::ZERO,
        parent_commit: None,
        time_ms: height,
        l1_reference: L1Reference::default(),
        seals_batch: false,
        tips: vec![tip],
        system: vec![SystemMessage::sign(&spec().domain(), ValidatorId::new(1), height, payload, &key(1))],
    };
    let mut block = Block {
        header: Header {
            version: 1,
            chain_spec: spec().hash(),
            epoch: Epoch::new(0),
            height: Height::new(height),
            parent: Digest::ZERO,
            time_ms: height,
            l1_reference: L1Reference::default(),
            forced_cursor: 0,
            cut: Digest::ZERO,
            tx_root: Digest::ZERO,
            tx_count: 1,
            state_root: Digest::ZERO,
            seals_batch: false,
        },
        sections,
    };
    let tree = block.tree();
    block.header.tx_root = tree.root();
    let certificate = CommitCertificate {
        epoch: Epoch::new(0),
        height: Height::new(height),
        round: Round::new(0),
        header: block.header.hash(),
        signatures: vec![(ValidatorId::new(1), Signature::new([1; 65]))],
    };
    let (cut_bytes, snapshot) = (cut.encode().into(), Bytes::from(format!("snapshot {height}")));
    let forced = Vec::new();
    Arc::new(Decided { block, tree, certificate, cut, cut_bytes, covered, forced, snapshot })
}

pub(crate) fn write_block(store: &mut Store, height: u64) {
    store.write(Record::Ordering(OrderingRecord::Chunk(chunk(height)))).unwrap();
    store.write(Record::Ordering(OrderingRecord::Decided(decided(height)))).unwrap();
}

fn write_vote(store: &mut Store, height: u64) {
    let entry = Bytes::from(format!("vote {height}"));
    store.write(Record::Ordering(OrderingRecord::Wal { height: Height::new(height), entry })).unwrap();
}

fn sealed(number: u64, first: u64, last: u64) -> Arc<SealedBatch> {
    let header = BatchHeader {
        number,
        parent: Digest::ZERO,
        epoch: Epoch::new(0),
        first_height: Height::new(first),
        last_height: Height::new(last),
        last_header: Digest::ZERO,
        last_time_ms: 0,
        forced_cursor: 0,
        l1_reference: 0,
    };
    let encoded = EncodedBatch {
        payload: Bytes::from_static(b"blobs"),
        inline: Bytes::new(),
        commitments: Vec::new(),
        proofs: Vec::new(),
    };
    Arc::new(SealedBatch { header, encoded: Arc::new(encoded), signature: GroupSignature::new([3; 65]) })
}

fn check_recovered(opened: &Opened) {
    let recovered = &opened.recovered;
    let tip = recovered.ordering.tip.as_ref().unwrap();
    assert_eq!(tip.header, decided(3).block.header);
    assert_eq!(tip.certificate, decided(3).certificate);
    assert_eq!(tip.snapshot, "snapshot 3");
    let heights: Vec<u64> = recovered.ordering.recent.iter().map(|(height, _)| height.get()).collect();
    assert_eq!(heights, [1, 2, 3]);
    assert_eq!(recovered.ordering.recent[1].1, [(ROLLUP, chunk(2).transactions()[0].id())]);
    assert_eq!(recovered.ordering.wal, [(Height::new(4), Bytes::from_static(b"vote 4"))]);
    assert_eq!(recovered.ordering.chunks, [chunk(4), chunk(5)]);
    let seeds: Vec<_> =
        recovered.ceremony_seeds.iter().map(|(epoch, seed)| (epoch.get(), seed.as_slice())).collect();
    assert_eq!(seeds, [(1, b"seed".as_slice())]);
    let shares = |epoch| -> Vec<&[u8]> {
        recovered.key_material[&Epoch::new(epoch)].iter().map(|share| share.as_slice()).collect()
    };
    assert_eq!(recovered.key_material.len(), 2, "those of the first epoch are forgotten");
    assert_eq!(shares(1), [b"its share"], "others that were made for it are forgotten");
    let mut next = shares(2);
    next.sort_unstable();
    assert_eq!(next, [b"one", b"two"], "which will be taken into use is not known yet");
    assert_eq!(recovered.burns, [b"burn".to_vec()]);
    assert_eq!(recovered.system_log.len(), 3);
    assert_eq!(recovered.last_sealed, Some(sealed(1, 1, 2).header.clone()));
    assert_eq!(recovered.unsealed, [Arc::new(decided(3).block.clone())]);
    let uncertified: Vec<u64> = recovered.uncertified.iter().map(|(height, _)| height.get()).collect();
    assert_eq!(uncertified, [2, 3]);
}

fn write_all(store: &mut Store) {
    for height in 1..=3 {
        write_vote(store, height);
        write_block(store, height);
    }
    store.write(Record::Ordering(OrderingRecord::Chunk(chunk(4)))).unwrap();
    store.write(Record::Ordering(OrderingRecord::Chunk(chunk(5)))).unwrap();
    write_secrets(store);
    store.write(Record::NonceBurn { key: b"nonce".to_vec(), value: b"burn".to_vec() }).unwrap();
    let certified = Record::Certified { height: Height::new(1), signature: GroupSignature::new([2; 65]) };
    store.write(certified).unwrap();
    store.write(Record::Sealed(sealed(1, 1, 2))).unwrap();
    // A gap: batch 2 is not signed yet.
    store.write(Record::Sealed(sealed(3, 3, 3))).unwrap();
    write_vote(store, 4);
    store.sync().unwrap();
}

/// Two epochs that are over, with a share that was never used, and two shares of keys for the next.
fn write_secrets(store: &mut Store) {
    let group = |n| GroupKey::from_bytes(key(n).public_key().to_bytes()).unwrap();
    let seed = |epoch, text: &[u8]| Record::CeremonySeed {
        epoch: Epoch::new(epoch),
        seed: Zeroizing::new(text.to_vec()),
    };
    let share = |epoch, n, text: &[u8]| Record::KeyMaterial {
        epoch: Epoch::new(epoch),
        key: SharedKey::fresh(group(n)),
        material: Zeroizing::new(text.to_vec()),
    };
    let another_sharing = |epoch, n, text: &[u8]| match share(epoch, n, text) {
        Record::KeyMaterial { epoch, key, material } => {
            Record::KeyMaterial { epoch, key: SharedKey { sharing: 1, ..key }, material }
        }
        other => other,
    };
    for record in [
        seed(0, b"old seed"),
        share(0, 1, b"old share"),
        seed(1, b"seed"),
        share(1, 2, b"given up"),
        share(1, 3, b"its share"),
        another_sharing(1, 3, b"of another sharing"),
    ] {
        store.write(record).unwrap();
    }
    store.sync().unwrap();
    store.write(Record::SettleKey { epoch: Epoch::new(1), key: SharedKey::fresh(group(3)) }).unwrap();
    store.write(share(2, 4, b"one")).unwrap();
    store.write(share(2, 5, b"two")).unwrap();
    store.write(Record::ForgetKeys { up_to: Epoch::new(0) }).unwrap();
}

/// Blocks 1 and 3 are signed, 2 and 4 are not.
#[test]
fn a_block_is_confirmed_by_the_first_signature_from_it_on() {
    let folder = fresh_folder();
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    (1..=4).for_each(|height| write_block(&mut opened.store, height));
    for height in [1, 3] {
        let signature = GroupSignature::new([u8::try_from(height).unwrap(); 65]);
        opened.store.write(Record::Certified { height: Height::new(height), signature }).unwrap();
    }
    opened.store.sync().unwrap();
    shut(opened);
    let opened = try_open(folder.path(), 1, 0).unwrap();
    let confirmed_by = |height| {
        let confirmation = opened.reader.confirmation(Height::new(height)).unwrap()?;
        let above: Vec<u64> = confirmation.above.iter().map(|header| header.height.get()).collect();
        Some((above, confirmation.signature.as_bytes()[0]))
    };
    assert_eq!(confirmed_by(1), Some((vec![], 1)));
    assert_eq!(confirmed_by(2), Some((vec![3], 3)));
    assert_eq!(confirmed_by(3), Some((vec![], 3)));
    assert_eq!(confirmed_by(4), None);
    assert_eq!(opened.reader.newest_certified().unwrap(), Some(Height::new(3)));
    let uncertified: Vec<u64> = opened.recovered.uncertified.iter().map(|(h, _)| h.get()).collect();
    assert_eq!(uncertified, [4], "what a signature above confirms is not asked for again");
}

/// At block 50, with this chunk of the lane decided, and a batch that ends there.
fn checkpoint() -> Checkpoint {
    let lanes = BTreeMap::from([(lane(), (LaneSequence::new(50), chunk(50).digest()))]);
    let batch = (4_u64, Height::new(51), 0_u64, 0_u32, [0_u64; 2], 0_u64);
    let reputation = (BTreeMap::<ValidatorId, (u8, Height)>::new(), BTreeSet::<ValidatorId>::new());
    let system = BTreeMap::<ValidatorId, u64>::new();
    let snapshot = codec::encode(&(
        crate::core_api::EpochBook::genesis(Members::new(spec().committee())),
        crate::core_api::L1Book::default(),
        lanes,
        system,
        batch,
        Digest::ZERO,
        reputation,
    ));
    let at = decided(50);
    let proven = (at.block.header.clone(), at.certificate.clone());
    anchor::checkpoint(proven, snapshot.into(), founding(), vec![], &sealed(3, 30, 50))
}

fn founding() -> Founding {
    let key = GroupKey::from_bytes(key(7).public_key().to_bytes()).unwrap();
    Founding { key, signatures: BTreeMap::from([(ValidatorId::new(1), Signature::new([1; 65]))]) }
}

fn write_checkpoint(store: &mut Store) {
    store.write(Record::Ordering(OrderingRecord::Checkpoint(Arc::new(checkpoint())))).unwrap();
}

/// What is on disk from before is forgotten, and nothing of it comes back when the index is made anew.
#[test]
fn a_checkpoint_is_where_a_restart_goes_on() {
    let folder = fresh_folder();
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    write_all(&mut opened.store);
    write_checkpoint(&mut opened.store);
    opened.store.write(Record::Ordering(OrderingRecord::Chunk(chunk(51)))).unwrap();
    opened.store.sync().unwrap();
    shut(opened);
    for _ in 0..2 {
        let opened = try_open(folder.path(), 1, 0).unwrap();
        let recovered = &opened.recovered;
        let tip = recovered.ordering.tip.as_ref().unwrap();
        assert_eq!((tip.header.height.get(), &tip.snapshot), (50, &checkpoint().snapshot));
        assert!(recovered.ordering.recent.is_empty() && recovered.ordering.wal.is_empty());
        assert_eq!(recovered.ordering.chunks, [chunk(51)], "chunks up to the checkpoint are decided");
        assert_eq!(recovered.founding, Some(founding()), "its own record never came");
        assert_eq!(recovered.last_sealed, Some(sealed(3, 30, 50).header.clone()));
        assert!(recovered.unsealed.is_empty() && recovered.uncertified.is_empty());
        assert_eq!(opened.reader.range().unwrap(), None);
        shut(opened);
        fs::remove_file(folder.path().join("store.redb")).unwrap();
    }
}

/// Batches that this node was away for come in any order.
#[test]
fn after_a_checkpoint_blocks_and_batches_go_on() {
    let folder = fresh_folder();
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    write_checkpoint(&mut opened.store);
    for height in 51..=54 {
        write_block(&mut opened.store, height);
    }
    opened.store.write(Record::Sealed(sealed(5, 53, 53))).unwrap();
    opened.store.sync().unwrap();
    shut(opened);
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    let last = |opened: &Opened| {
        let unsealed: Vec<u64> = opened.recovered.unsealed.iter().map(|b| b.header.height.get()).collect();
        (opened.recovered.last_sealed.as_ref().unwrap().number, unsealed)
    };
    assert_eq!(last(&opened), (3, vec![51, 52, 53, 54]));
    assert_eq!(opened.recovered.ordering.tip.as_ref().unwrap().header.height.get(), 54);
    assert_eq!(opened.reader.range().unwrap(), Some((Height::new(51), Height::new(54))));
    opened.store.write(Record::Sealed(sealed(4, 51, 52))).unwrap();
    opened.store.sync().unwrap();
    shut(opened);
    let opened = try_open(folder.path(), 1, 0).unwrap();
    assert_eq!(last(&opened), (5, vec![54]));
    // And it serves others from here.
    let served = opened.reader.checkpoint(Height::new(53), Epoch::new(0)).unwrap().unwrap();
    assert_eq!(
        (served.header, served.snapshot),
        (decided(53).block.header.clone(), decided(53).snapshot.clone())
    );
    let served = opened.reader.checkpoint(Height::new(52), Epoch::new(0)).unwrap().unwrap();
    assert_eq!(served.header.height.get(), 52);
    assert_eq!(opened.reader.checkpoint(Height::new(50), Epoch::new(0)).unwrap(), None);
    shut(opened);
}

/// For a peer that is far behind: heights with the chunks that they cover, until it is enough.
#[test]
fn heights_are_served_with_their_chunks() {
    let folder = fresh_folder();
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    write_all(&mut opened.store);
    shut(opened);
    let opened = try_open(folder.path(), 1, 0).unwrap();
    let served = |with_chunks, max_bytes| {
        opened.reader.served((Height::new(1), Height::new(9)), with_chunks, max_bytes).unwrap()
    };
    let all = served(true, 1 << 20);
    assert_eq!(all.iter().map(|block| block.header.height.get()).collect::<Vec<_>>(), [1, 2, 3]);
    for (height, block) in (1..).zip(&all) {
        assert_eq!(block.chunks, [chunk(height)]);
        assert_eq!(block.covered, decided(height).covered);
    }
    assert!(served(false, 1 << 20).iter().all(|block| block.chunks.is_empty()));
    assert_eq!(served(true, 10).len(), 1, "one height at least");
}

#[test]
fn a_folder_in_the_place_of_a_lost_one_says_so_at_every_start() {
    let folder = fresh_folder();
    let replaced = |folder: &Path| {
        let opened = try_open(folder, 1, 0).unwrap();
        let replaced = opened.recovered.ordering.replaced;
        shut(opened);
        replaced
    };
    assert!(!replaced(folder.path()), "made by init");
    fs::write(folder.path().join(REPLACED_FILE), "").unwrap();
    assert!(replaced(folder.path()) && replaced(folder.path()));
}

#[test]
fn everything_comes_back_with_and_without_the_index() {
    let folder = fresh_folder();
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    assert!(opened.recovered.ordering.tip.is_none());
    assert_eq!(opened.incarnation, 5);
    write_all(&mut opened.store);
    shut(opened);
    let opened = try_open(folder.path(), 1, 0).unwrap();
    assert_eq!(opened.incarnation, 6);
    check_recovered(&opened);
    shut(opened);
    fs::remove_file(folder.path().join("store.redb")).unwrap();
    let opened = try_open(folder.path(), 1, 0).unwrap();
    check_recovered(&opened);
    let reader = &opened.reader;
    assert_eq!(reader.decided(Height::new(2)).unwrap().as_ref(), Some(decided(2).as_ref()));
    assert_eq!(reader.decided(Height::new(4)).unwrap(), None);
    assert_eq!(reader.chunk(chunk(1).digest()).unwrap(), Some(chunk(1)));
    assert_eq!(reader.sealed(3).unwrap().as_ref(), Some(sealed(3, 3, 3).as_ref()));
    let data = chunk(2).transactions()[0].clone();
    let found = reader.find(ROLLUP, data.id()).unwrap().unwrap();
    assert_eq!(found.header, decided(2).block.header);
    assert!(found.proof.verify(data.id(), found.header.tx_root));
    let by_hash = reader.find_eth(ROLLUP, Digest::keccak256(&[&data.data])).unwrap();
    assert_eq!(by_hash, Some(found));
    assert_eq!(reader.find(RollupId::new(8), data.id()).unwrap(), None);
    assert_eq!(reader.find_eth(RollupId::new(8), Digest::keccak256(&[&data.data])).unwrap(), None);
}

/// Clients need all handovers from the founding on: neither do they go with the blocks of their time, nor with the index.
#[test]
fn handovers_outlive_blocks_and_index() {
    let folder = fresh_folder();
    let group = GroupKey::from_bytes(key(1).public_key().to_bytes()).unwrap();
    let signed = |epoch: u64| {
        let next = NextEpoch { epoch: Epoch::new(epoch), key: group, committee: Digest::ZERO };
        let handover = Handover { next, first_batch: epoch, first_height: Height::new(epoch) };
        SignedHandover { handover, signature: GroupSignature::new([epoch as u8; 65]) }
    };
    let found = |epoch: u64| Succession { signed: signed(epoch), members: spec().committee() };
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    (1..=3).for_each(|epoch| opened.store.write(Record::Handover(Arc::new(found(epoch)))).unwrap());
    write_checkpoint(&mut opened.store);
    opened.store.sync().unwrap();
    shut(opened);
    for index_lost in [false, true] {
        if index_lost {
            std::fs::remove_file(folder.path().join("store.redb")).unwrap();
        }
        let opened = try_open(folder.path(), 1, 0).unwrap();
        for epoch in 0..5 {
            let wanted = (1..=3).contains(&epoch).then(|| found(epoch));
            assert_eq!(opened.reader.succession(Epoch::new(epoch)).unwrap(), wanted, "epoch {epoch}");
        }
        shut(opened);
    }
}

/// A crash between the write of a block and the next sync leaves any prefix of it: the node goes on from the block
/// before.
#[test]
fn a_torn_block_is_cut() {
    let folder = fresh_folder();
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    write_vote(&mut opened.store, 1);
    write_block(&mut opened.store, 1);
    opened.store.sync().unwrap();
    let log = opened.reader.segments.path(1);
    shut(opened);
    let databases = ["store.redb", "wal.redb"].map(|name| folder.path().join(name));
    let saved = databases.each_ref().map(|path| fs::read(path).unwrap());
    let durable = fs::metadata(&log).unwrap().len() as usize;
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    write_block(&mut opened.store, 2);
    opened.store.sync().unwrap();
    shut(opened);
    let whole = fs::read(&log).unwrap();
    assert!(whole.len() > durable);
    // The log's own test cuts at every byte; here each costs three files, so a step that is prime to their layout.
    for length in (durable..=whole.len()).rev().step_by(41) {
        for (path, bytes) in databases.iter().zip(&saved) {
            fs::write(path, bytes).unwrap();
        }
        fs::write(&log, &whole[..length]).unwrap();
        let opened = try_open(folder.path(), 1, 0).unwrap();
        let tip = opened.recovered.ordering.tip.as_ref().unwrap().header.height.get();
        assert_eq!(tip, if length == whole.len() { 2 } else { 1 }, "cut at {length}");
        shut(opened);
    }
}

#[test]
fn what_was_synced_with_a_vote_must_be_whole() {
    must_be_whole(|store| {
        write_vote(store, 1);
        write_block(store, 1);
    });
}

/// Only a vote makes a sync write the logs' lengths, so the tail of a log that lost some could pass for torn.
#[test]
fn what_was_there_at_a_clean_stop_must_be_whole() {
    must_be_whole(|store| write_block(store, 1));
}

fn must_be_whole(write: impl FnOnce(&mut Store)) {
    let folder = fresh_folder();
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    write(&mut opened.store);
    opened.store.sync().unwrap();
    let log = opened.reader.segments.path(1);
    shut(opened);
    fs::remove_file(folder.path().join("store.redb")).unwrap();
    let whole = fs::read(&log).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() - 1] ^= 1;
    for bad in [&whole[..whole.len() - 1], &flipped[..], &[]] {
        fs::write(&log, bad).unwrap();
        let error = try_open(folder.path(), 1, 0).err().unwrap();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
    fs::remove_file(&log).unwrap();
    assert!(matches!(try_open(folder.path(), 1, 0).err().unwrap(), StoreError::Damaged { .. }));
    fs::write(&log, &whole).unwrap();
    try_open(folder.path(), 1, 0).unwrap();
}

#[test]
fn a_key_without_its_state_and_a_state_without_its_key_are_refused() {
    let empty = tempfile::tempdir().unwrap();
    let missing = try_open(empty.path(), 1, 0).err().unwrap();
    assert!(matches!(missing, StoreError::StateMissing(_)), "{missing}");
    assert!(missing.to_string().contains("vote twice"));
    let missing = try_open(&empty.path().join("nowhere"), 1, 0).err().unwrap();
    assert!(matches!(missing, StoreError::StateMissing(_)), "{missing}");

    let folder = fresh_folder();
    let opened = try_open(folder.path(), 1, 0).unwrap();
    let locked = try_open(folder.path(), 1, 0).err().unwrap();
    assert!(locked.to_string().contains(&std::process::id().to_string()), "{locked}");
    shut(opened);
    let other = try_open(folder.path(), 2, 0).err().unwrap();
    assert!(matches!(other, StoreError::OtherOwner { .. }), "{other}");
    fs::remove_file(folder.path().join("wal.redb")).unwrap();
    let missing = try_open(folder.path(), 1, 0).err().unwrap();
    assert!(matches!(missing, StoreError::StateMissing(_)), "{missing}");
}

#[test]
fn a_nonce_is_burnt_once_over_restarts() {
    let folder = fresh_folder();
    let burn = || Record::NonceBurn { key: b"nonce".to_vec(), value: b"first".to_vec() };
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    opened.store.write(burn()).unwrap();
    opened.store.sync().unwrap();
    shut(opened);
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    assert!(matches!(opened.store.write(burn()), Err(StoreError::NonceReused)));
    let other = Record::NonceBurn { key: b"other".to_vec(), value: b"second".to_vec() };
    opened.store.write(other.clone()).unwrap();
    assert!(matches!(opened.store.write(other), Err(StoreError::NonceReused)), "in one group, too");
}

#[test]
fn old_blocks_are_forgotten_once_sealed() {
    let folder = fresh_folder();
    let mut opened = try_open(folder.path(), 1, 10).unwrap();
    for height in 1..=40 {
        write_block(&mut opened.store, height);
    }
    opened.store.write(Record::Sealed(sealed(1, 1, 20))).unwrap();
    opened.store.sync().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while opened.reader.range().unwrap() != Some((Height::new(20), Height::new(40))) {
        assert!(Instant::now() < deadline, "{:?}", opened.reader.range());
        std::thread::yield_now();
    }
    let old = chunk(3).transactions()[0].id();
    assert_eq!(opened.reader.find(ROLLUP, old).unwrap(), None);
    assert_eq!(opened.reader.block(Height::new(3)).unwrap(), None);
    let kept = chunk(20).transactions()[0].id();
    assert!(opened.reader.find(ROLLUP, kept).unwrap().is_some());
    assert!(matches!(opened.reader.latest_sealed(), Ok(Some(header)) if header.number == 1));
}

/// An outage of L1 that was longer than the retention took the batches that nobody had posted.
#[test]
fn what_l1_lacks_is_kept_however_old() {
    let folder = fresh_folder();
    let mut opened = try_open(folder.path(), 1, 10).unwrap();
    opened.reader.set_final_batch(Some(1));
    for height in 1..=40 {
        write_block(&mut opened.store, height);
    }
    for (number, first, last) in [(1, 1, 8), (2, 9, 20), (3, 21, 30)] {
        opened.store.write(Record::Sealed(sealed(number, first, last))).unwrap();
    }
    opened.store.sync().unwrap();
    let first = |height| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while opened.reader.range().unwrap() != Some((Height::new(height), Height::new(40))) {
            assert!(Instant::now() < deadline, "{height}: {:?}", opened.reader.range());
            std::thread::yield_now();
        }
    };
    first(8);
    let unposted = opened.reader.unposted(1).unwrap();
    assert_eq!((unposted.batches, unposted.oldest), (2, 2));
    assert!(unposted.bytes > opened.reader.unposted(2).unwrap().bytes);
    assert_eq!(opened.reader.unposted(3).unwrap(), UnpostedBatches::default());
    assert!(opened.reader.sealed(2).unwrap().is_some());
    opened.reader.set_final_batch(Some(2));
    opened.store.write(Record::Sealed(sealed(4, 31, 35))).unwrap();
    opened.store.sync().unwrap();
    first(20);
}

/// A transaction stands on disk once, in its chunk: the block is put together from what was forced and the chunks, in their order, without
/// what was left out.
#[test]
fn a_block_is_put_together_from_its_chunks() {
    let folder = fresh_folder();
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    let other = RollupId::new(9);
    let transaction =
        |rollup, text: &'static str| Transaction { rollup, data: Bytes::from_static(text.as_bytes()) };
    let make = |sequence, transactions: &[Transaction]| {
        Chunk::new(lane(), LaneSequence::new(sequence), Digest::ZERO, transactions).unwrap()
    };
    let first = make(1, &[transaction(other, "a"), transaction(ROLLUP, "b"), transaction(ROLLUP, "dropped")]);
    let second = make(2, &[transaction(ROLLUP, "b"), transaction(ROLLUP, "c"), transaction(other, "d")]);
    let sections =
        [(ROLLUP, vec!["forced", "b", "c"]), (other, vec!["a", "d"])].map(|(rollup, texts)| RollupSection {
            rollup,
            transactions: texts.into_iter().map(|text| Bytes::from_static(text.as_bytes())).collect(),
        });
    let covered = vec![
        Covered { digest: first.digest(), left_out: vec![2] },
        Covered { digest: second.digest(), left_out: vec![0] },
    ];
    let forced = vec![ForcedEntry { rollup: ROLLUP, data: Bytes::from_static(b"forced") }];
    let block = block_of(1, &second, sections.to_vec(), covered);
    let block = Arc::new(Decided { forced, ..Decided::clone(&block) });
    for chunk in [&second, &first] {
        opened.store.write(Record::Ordering(OrderingRecord::Chunk(chunk.clone()))).unwrap();
    }
    opened.store.write(Record::Ordering(OrderingRecord::Decided(Arc::clone(&block)))).unwrap();
    shut(opened);
    let opened = try_open(folder.path(), 1, 0).unwrap();
    assert_eq!(opened.reader.decided(Height::new(1)).unwrap().as_ref(), Some(block.as_ref()));
    assert_eq!(opened.recovered.unsealed, [Arc::new(block.block.clone())]);
    let c = ordering_types::transaction::tx_id(b"c");
    assert!(opened.reader.find(ROLLUP, c).unwrap().is_some());
    assert_eq!(opened.reader.find(other, c).unwrap(), None);
    // The id is no Ethereum hash, though both stand in the same runs.
    assert_eq!(opened.reader.find_eth(ROLLUP, c).unwrap(), None);
    assert!(opened.reader.find_eth(ROLLUP, Digest::keccak256(&[b"c"])).unwrap().is_some());
}

/// Segments go with the blocks, oldest first; what the future still needs is carried out of them.
#[test]
fn segments_go_with_their_blocks_and_undecided_chunks_are_carried_on() {
    let folder = fresh_folder();
    let mut opened = try_open(folder.path(), 1, 10).unwrap();
    opened.store.journal.full_at = 2_048;
    let of = |incarnation| {
        let lane = LaneId { incarnation: Incarnation::new(incarnation), ..lane() };
        let transaction = Transaction { rollup: ROLLUP, data: Bytes::from_static(b"undecided") };
        Chunk::new(lane, LaneSequence::new(900), Digest::ZERO, &[transaction]).unwrap()
    };
    let (live, closed) = (of(9), of(8));
    for chunk in [&live, &closed] {
        opened.store.write(Record::Ordering(OrderingRecord::Chunk(chunk.clone()))).unwrap();
    }
    opened.store.write(Record::NonceBurn { key: b"nonce".to_vec(), value: b"burn".to_vec() }).unwrap();
    for height in 1..=40 {
        write_block(&mut opened.store, height);
        opened.store.sync().unwrap();
    }
    opened.store.write(Record::Sealed(sealed(1, 1, 20))).unwrap();
    let segments = opened.reader.segments.clone();
    let deadline = Instant::now() + Duration::from_secs(60);
    while segments.list().unwrap()[0] < 3 {
        assert!(Instant::now() < deadline, "{:?}", segments.list());
        write_vote(&mut opened.store, 41);
        opened.store.sync().unwrap();
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(opened.reader.chunk(closed.digest()).unwrap(), None);
    let check = |opened: &Opened| {
        let (first, last) = opened.reader.range().unwrap().unwrap();
        assert!(first <= Height::new(20) && last == Height::new(40));
        for height in first.get()..=40 {
            let found = opened.reader.decided(Height::new(height)).unwrap();
            assert_eq!(found.as_ref(), Some(decided(height).as_ref()));
            assert!(opened.reader.find(ROLLUP, chunk(height).transactions()[0].id()).unwrap().is_some());
        }
        assert_eq!(opened.reader.find(ROLLUP, chunk(1).transactions()[0].id()).unwrap(), None);
        assert_eq!(opened.reader.chunk(live.digest()).unwrap().as_ref(), Some(&live));
    };
    check(&opened);
    shut(opened);
    let opened = try_open(folder.path(), 1, 10).unwrap();
    check(&opened);
    assert_eq!(opened.recovered.ordering.chunks, std::slice::from_ref(&live));
    assert!(opened.recovered.ordering.wal.iter().all(|(height, _)| *height == Height::new(41)));
    assert!(!opened.recovered.ordering.wal.is_empty());
    assert_eq!(opened.recovered.burns, [b"burn".to_vec()]);
    shut(opened);
    fs::remove_file(folder.path().join("store.redb")).unwrap();
    fs::remove_dir_all(folder.path().join("ids")).unwrap();
    let opened = try_open(folder.path(), 1, 10).unwrap();
    check(&opened);
    assert_eq!(opened.recovered.ordering.chunks, std::slice::from_ref(&live));
    shut(opened);
    fs::remove_file(folder.path().join("store.redb")).unwrap();
    fs::remove_file(segments.path(segments.list().unwrap()[0])).unwrap();
    let error = try_open(folder.path(), 1, 10).err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

/// A power cut or a bad sector anywhere in what a node wrote, with all but the last second noted: it comes back with
/// every vote that it had synced before its last group, or it refuses.
#[test]
fn no_synced_vote_is_lost_wherever_the_journal_is_cut_or_spoilt() {
    let folder = fresh_folder();
    let opened = try_open(folder.path(), 1, 0).unwrap();
    let log = opened.reader.segments.path(1);
    shut(opened);
    let databases = ["store.redb", "wal.redb"].map(|name| folder.path().join(name));
    let saved = databases.each_ref().map(|path| fs::read(path).unwrap());
    let noted = fs::metadata(&log).unwrap().len() as usize;
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    let mut ends = Vec::new();
    for round in 1..=3 {
        let entry = Bytes::from(format!("vote of round {round}"));
        opened.store.write(Record::Ordering(OrderingRecord::Wal { height: Height::new(1), entry })).unwrap();
        opened.store.sync().unwrap();
        ends.push(fs::metadata(&log).unwrap().len() as usize);
    }
    shut(opened);
    let whole = fs::read(&log).unwrap();
    // The journal's own test has every byte; opening a folder costs more.
    for place in (noted..whole.len()).step_by(5) {
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        let reopened = |bad: &[u8]| {
            for (path, bytes) in databases.iter().zip(&saved) {
                fs::write(path, bytes).unwrap();
            }
            fs::write(&log, bad).unwrap();
            match try_open(folder.path(), 1, 0) {
                Ok(opened) => {
                    let votes = opened.recovered.ordering.wal.len();
                    shut(opened);
                    Some(votes)
                }
                Err(StoreError::Damaged { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        };
        let before = ends.iter().filter(|end| **end <= place).count();
        assert_eq!(reopened(&whole[..place]), Some(before), "cut at {place}");
        let expected = (place >= ends[1]).then_some(2);
        assert_eq!(reopened(&flipped), expected, "flipped at {place}");
    }
}

/// What a transaction of 512 bytes costs the store: 250 in a chunk, twelve chunks in a block, a sync for each chunk and
/// three more for votes. Small here; `STORE_BENCH` sets the blocks.
#[test]
fn a_transaction_is_written_about_once() {
    let blocks = std::env::var("STORE_BENCH").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let folder = fresh_folder();
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    let (mut syncs, mut sequence, mut longest) = (0_u64, 0, Duration::ZERO);
    let (mut spent, mut wall) = (0, Duration::ZERO);
    for height in 1..=blocks {
        let chunks: Vec<Chunk> = (0..12)
            .map(|_| {
                sequence += 1;
                let transaction = |place: u64| {
                    let data = (sequence << 32 | place).to_be_bytes().repeat(64).into();
                    Transaction { rollup: RollupId::new(9), data }
                };
                let all: Vec<_> = (0..250).map(transaction).collect();
                Chunk::new(lane(), LaneSequence::new(sequence), Digest::ZERO, &all).unwrap()
            })
            .collect();
        let data = chunks.iter().flat_map(Chunk::transactions).map(|t| t.data.clone()).collect();
        let sections = vec![RollupSection { rollup: RollupId::new(9), transactions: data }];
        let covered = chunks.iter().map(|c| Covered { digest: c.digest(), left_out: Vec::new() }).collect();
        let last = chunks.last().unwrap().clone();
        let block = block_of(height, &last, sections, covered);
        let (start, cpu) = (Instant::now(), cpu_ticks());
        let mut sync = |store: &mut Store| {
            let start = Instant::now();
            store.sync().unwrap();
            longest = longest.max(start.elapsed());
            syncs += 1;
        };
        for chunk in chunks {
            opened.store.write(Record::Ordering(OrderingRecord::Chunk(chunk))).unwrap();
            sync(&mut opened.store);
        }
        for _ in 0..3 {
            write_vote(&mut opened.store, height);
            sync(&mut opened.store);
        }
        opened.store.write(Record::Ordering(OrderingRecord::Decided(block))).unwrap();
        sync(&mut opened.store);
        wall += start.elapsed();
        spent += cpu_ticks() - cpu;
    }
    let cpu = cpu_ticks();
    shut(opened);
    spent += cpu_ticks() - cpu;
    let payload = blocks * 12 * 250 * 512;
    let size = |name: &str| -> u64 {
        let path = folder.path().join(name);
        if path.is_file() {
            return fs::metadata(path).unwrap().len();
        }
        fs::read_dir(path).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum()
    };
    let ratio = |name| size(name) as f64 / payload as f64;
    let each = |time: f64| time / (blocks * 3_000) as f64;
    println!(
        "{syncs} syncs, {:.0?} each, at most {longest:.0?}; {:.2} µs of wall and {:.2} µs of CPU a transaction; \
         bytes written for each of payload: journal {:.3}, ids {:.3}; index file {:.3}",
        wall / syncs as u32,
        each(wall.as_secs_f64() * 1e6),
        each(spent as f64 * 1e4),
        ratio("segments"),
        ratio("ids"),
        ratio("store.redb"),
    );
    assert!(ratio("segments") < 1.15, "{}", ratio("segments"));
}

/// Hundredths of a second of CPU of this process, user and system.
fn cpu_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
