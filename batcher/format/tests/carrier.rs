//! Making, checking and proving encodings with the real trusted setup.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::sync::Arc;

use batcher_format::kzg::{Kzg, KzgError};
use batcher_format::{BatchHeader, CheckError, MakeError, Policies, Policy, blob, check, make};
use bytes::Bytes;
use ordering_types::chain_spec::{DataPolicy, RollupKind};
use ordering_types::{Block, Digest, Epoch, Header, Height, L1Reference, RollupId, RollupSection};

const ROLLUP: RollupId = RollupId::new(1);

fn policies() -> Policies {
    let policy = Policy { kind: RollupKind::Opaque, data: DataPolicy::Blob };
    [(ROLLUP, policy)].into_iter().collect()
}

fn block(text: &'static [u8]) -> Arc<Block> {
    let mut block = Block {
        header: Header {
            version: 1,
            chain_spec: Digest::sha256(&[b"spec"]),
            epoch: Epoch::new(0),
            height: Height::new(1),
            parent: Digest::ZERO,
            time_ms: 5,
            l1_reference: L1Reference::default(),
            forced_cursor: 0,
            cut: Digest::ZERO,
            tx_root: Digest::ZERO,
            tx_count: 1,
            state_root: Digest::ZERO,
            seals_batch: true,
        },
        sections: vec![RollupSection { rollup: ROLLUP, transactions: vec![Bytes::from_static(text)] }],
    };
    block.header.tx_root = block.tree().root();
    Arc::new(block)
}

fn header(block: &Block) -> BatchHeader {
    BatchHeader {
        number: 1,
        parent: Digest::ZERO,
        epoch: Epoch::new(0),
        first_height: Height::new(1),
        last_height: Height::new(1),
        last_header: block.header.hash(),
        last_time_ms: 5,
        forced_cursor: 0,
        l1_reference: 0,
    }
}

/// A coordinator that lies is never signed: about the blocks, the payload, a commitment or a proof.
#[test]
fn only_an_honest_encoding_of_our_own_blocks_passes() {
    let (ours, theirs) = (block(b"ours"), block(b"theirs"));
    let encoded = make(&header(&ours), std::slice::from_ref(&ours), &policies()).unwrap();
    let judge = |encoded: &_| check(encoded, &header(&ours), std::slice::from_ref(&ours), &policies());
    assert_eq!(judge(&encoded), Ok(()));

    let other = make(&header(&theirs), std::slice::from_ref(&theirs), &policies()).unwrap();
    assert!(matches!(judge(&other), Err(CheckError::Payload(_))));

    let mut swapped = encoded.clone();
    swapped.commitments.clone_from(&other.commitments);
    assert_eq!(judge(&swapped), Err(CheckError::Kzg(KzgError::Invalid)));

    let mut no_point = encoded.clone();
    no_point.proofs[0] = Bytes::from_static(&[7; 48]);
    assert_eq!(judge(&no_point), Err(CheckError::Kzg(KzgError::Point)));

    let mut missing = encoded;
    missing.proofs.clear();
    assert_eq!(
        judge(&missing),
        Err(CheckError::Kzg(KzgError::Count { blobs: 1, commitments: 1, proofs: 0 }))
    );
}

#[test]
fn a_header_of_other_blocks_is_not_encoded() {
    let block = block(b"ours");
    let mut wrong = header(&block);
    wrong.last_time_ms += 1;
    let made = make(&wrong, std::slice::from_ref(&block), &policies());
    assert!(matches!(made, Err(MakeError::Header(_))));
}

#[test]
fn cell_proofs_are_those_of_a_version_1_sidecar() {
    let kzg = Kzg::shared();
    let blob = &blob::pack(b"some payload").unwrap()[0];
    let commitment = kzg.commit(blob).unwrap();
    let proofs = kzg.cell_proofs(blob).unwrap();
    let sidecar = alloy::eips::eip7594::BlobTransactionSidecarEip7594::new(
        vec![alloy::eips::eip4844::Blob::from_slice(blob.as_bytes())],
        vec![commitment.into()],
        proofs.into_iter().map(Into::into).collect(),
    );
    let hash = batcher_format::batch::versioned_hash(&commitment);
    sidecar.validate(&[hash.to_bytes().into()], kzg.settings()).unwrap();
}
