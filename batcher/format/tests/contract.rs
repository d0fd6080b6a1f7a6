//! The id, the carrier and the signed digest are what the contract computes: the same words through an independent
//! ABI encoder, laid out as in `CommitteeMessage.sol`.
#![allow(clippy::unwrap_used, missing_docs)]

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol_types::SolValue;
use batcher_format::batch::Carrier;
use batcher_format::{BatchHeader, batch, signing_digest};
use ordering_types::preimage::Domain;
use ordering_types::{Digest, Epoch, Height};

alloy::sol! {
    struct Header {
        uint64 number;
        bytes32 parentId;
        uint64 epoch;
        uint64 firstHeight;
        uint64 lastHeight;
        bytes32 lastHeaderHash;
        uint64 lastTime;
        uint64 forcedCursor;
        uint64 l1Reference;
    }
}

fn header() -> BatchHeader {
    BatchHeader {
        number: 12,
        parent: Digest::sha256(&[b"parent"]),
        epoch: Epoch::new(4),
        first_height: Height::new(1_000),
        last_height: Height::new(u64::MAX - 1),
        last_header: Digest::sha256(&[b"last"]),
        last_time_ms: 1_763_000_000_123,
        forced_cursor: 5,
        l1_reference: 23_000_001,
    }
}

fn solidity_id(header: &BatchHeader) -> B256 {
    let words = Header {
        number: header.number,
        parentId: B256::new(header.parent.to_bytes()),
        epoch: header.epoch.get(),
        firstHeight: header.first_height.get(),
        lastHeight: header.last_height.get(),
        lastHeaderHash: B256::new(header.last_header.to_bytes()),
        lastTime: header.last_time_ms,
        forcedCursor: header.forced_cursor,
        l1Reference: header.l1_reference,
    };
    keccak256((1_u64, words).abi_encode_params())
}

#[test]
fn the_id_is_the_contracts() {
    assert_eq!(header().id().to_bytes(), solidity_id(&header()).0);
}

#[test]
fn the_signed_digest_is_the_contracts() {
    let blobs = [Digest::sha256(&[b"a"]), Digest::sha256(&[b"b"])];
    let packed: Vec<u8> = blobs.iter().flat_map(|blob| blob.to_bytes()).collect();
    let (calldata, inline) = (keccak256("calldata"), keccak256("inline"));
    let carrier = keccak256((keccak256(packed), calldata, inline).abi_encode());
    let ours = Carrier {
        blob_hashes: blobs.to_vec(),
        calldata_hash: Digest::new(calldata.0),
        inline_hash: Digest::new(inline.0),
    };
    assert_eq!(ours.hash().to_bytes(), carrier.0);

    let inbox = [0x42; 20];
    let mut name = B256::ZERO;
    name.0.iter_mut().zip(b"mpc-sequencer/v1").for_each(|(to, from)| *to = *from);
    let content = keccak256((solidity_id(&header()), carrier).abi_encode());
    let words = (name, U256::from(2), U256::from(1_337), Address::new(inbox), 4_u64, U256::from(12), content);
    let domain = Domain { l1_chain_id: 1_337, inbox: ordering_types::Address::new(inbox) };
    let ours = signing_digest(&domain, &header(), Digest::new(carrier.0));
    assert_eq!(ours.to_bytes(), keccak256(words.abi_encode()).0);
}

#[test]
fn versioned_hashes_are_ethereums() {
    let commitment = [0xc0; 48];
    let theirs = alloy::eips::eip4844::kzg_to_versioned_hash(&commitment);
    assert_eq!(batch::versioned_hash(&commitment).to_bytes(), theirs.0);
}
