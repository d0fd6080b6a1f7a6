// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title The L1 inbox of the sequencer network
///
/// Holds the committee's group key and accepts its batches, in order, each under one group signature. The key signs
/// its successor in; after a long silence the committee's members can replace a key that no longer signs. There is
/// no owner, no pause and no upgrade: whoever holds gas money may post, and only signatures decide what counts.
///
/// This file stands alone (no imports) so that other tools can read it as the ABI.
interface ISequencerInbox {
    /// What a batch says, apart from the bytes that carry it. Its id is the Keccak-256 hash of the header version
    /// (1) and these nine fields, each in a 32-byte word.
    struct BatchHeader {
        /// One more than the batch before; the first is 1.
        uint64 number;
        /// Id of the batch before; zero for the first.
        bytes32 parentId;
        /// Epoch whose group key signs.
        uint64 epoch;
        /// First block height in the batch: one more than the last of the batch before; the first batch starts at 1.
        uint64 firstHeight;
        /// Last block height in the batch, at least `firstHeight`.
        uint64 lastHeight;
        /// Hash of the block header at `lastHeight`.
        bytes32 lastHeaderHash;
        /// Time of the block at `lastHeight`, milliseconds since 1970.
        uint64 lastTime;
        /// Entries of the forced-inclusion queue that are ordered up to here. Signed and logged, not judged.
        uint64 forcedCursor;
        /// Number of the finalized L1 block that the batch refers to. Signed and logged, not judged.
        uint64 l1Reference;
    }

    /// Where one epoch's key takes over from the last one's. What the outgoing key signs is the new epoch and the
    /// Keccak-256 hash of the other five fields, each in a 32-byte word.
    struct Handover {
        /// The new epoch: one more than the current.
        uint64 epoch;
        /// x-coordinate of the new group key, which may be the current one (resharing keeps it).
        uint256 keyX;
        /// y-coordinate of the new group key.
        uint256 keyY;
        /// Number of the first batch of the new epoch: the next one.
        uint64 firstBatch;
        /// First block height of the new epoch: one more than the last height posted.
        uint64 firstHeight;
        /// The new committee: keccak256(abi.encode(address[])) of its validator keys' addresses, ascending by id.
        bytes32 committeeHash;
    }

    /// A FROST(secp256k1, SHA-256) signature of RFC 9591: the point R and the scalar z.
    struct GroupSignature {
        uint256 rx;
        uint256 ry;
        uint256 z;
    }

    /// The founding validators agreed on the first group key.
    event Initialised(uint64 indexed epoch, uint256 keyX, uint256 keyY);

    /// The outgoing key handed over to this one, which is the key of this epoch.
    event Rotated(
        uint64 indexed epoch, uint256 x, uint256 y, uint64 firstBatch, uint64 firstHeight, bytes32 committeeHash
    );

    /// After a silence the committee's members installed this key, which is the key of this epoch. The committee is
    /// the same; the fields are those of `Rotated`.
    event Recovered(
        uint64 indexed epoch, uint256 x, uint256 y, uint64 firstBatch, uint64 firstHeight, bytes32 committeeHash
    );

    /// A batch took effect. With the blobs named here this is all that derivation needs.
    /// @param number the batch number, as in the header
    /// @param id the batch id: keccak256(abi.encode(uint64(1), header))
    /// @param header what the batch says
    /// @param calldataHash Keccak-256 of the same batch in its calldata form, zero if it has none
    /// @param blobHashes versioned hashes of the blobs of this transaction, in order: together the payload
    event BatchPosted(
        uint64 indexed number, bytes32 indexed id, BatchHeader header, bytes32 calldataHash, bytes32[] blobHashes
    );

    /// The number of founding validators is outside [minimum, maximum].
    error ValidatorCountOutOfRange(uint256 minimum, uint256 maximum, uint256 got);
    /// The founding validator at this index has the zero address or appears before.
    error InvalidValidator(uint256 index, address validator);

    /// The recovery delay is outside [minimum, maximum] seconds.
    error RecoveryDelayOutOfRange(uint64 minimum, uint64 maximum, uint64 got);

    /// `initialise` succeeded before.
    error AlreadyInitialised();
    /// There is no group key yet.
    error NotInitialised();
    /// The key is not a point of secp256k1, or its x is not below the group order.
    error InvalidGroupKey(uint256 keyX, uint256 keyY);
    /// `initialise` needs n − f signatures of founding validators, `recover` as many of the current committee's.
    error TooFewSignatures(uint256 required, uint256 got);
    /// The signature is not 65 bytes r ‖ s ‖ v with v 27 or 28 and s in the lower half, or recovers nothing.
    error MalformedSignature(uint256 index);
    /// The signature is by none of those validators, or over another digest.
    error UnknownSigner(uint256 index, address signer);
    /// The signature's validator is not after that of the signature before: unsorted, or the same signer twice.
    error SignerOutOfOrder(uint256 index, address signer);

    /// The list that was handed in is not the current committee.
    error WrongCommittee(bytes32 expected, bytes32 got);
    /// The network has not been silent long enough: `recover` is good from this time on (seconds since 1970).
    error NotSilentLongEnough(uint256 recoverableAt, uint256 time);

    /// Not the next batch. `got` below `expected` means that this batch number is taken already.
    error WrongNumber(uint64 expected, uint64 got);
    /// The batch continues another history than the one recorded.
    error WrongParent(bytes32 expected, bytes32 got);
    /// The batch is of another epoch than the current key, or the handover not to the next one. In a handover, `got`
    /// below `expected` means that this epoch has begun already.
    error WrongEpoch(uint64 expected, uint64 got);
    /// The batch or the handover leaves out or repeats blocks.
    error WrongFirstHeight(uint64 expected, uint64 got);
    /// The last height is below the first.
    error EmptyRange(uint64 firstHeight, uint64 lastHeight);
    /// The transaction carries no blob.
    error NoPayload();
    /// The group signature does not verify over this digest: another key, other blobs, chain or contract.
    error InvalidGroupSignature(bytes32 digest);

    /// @notice Installs the first group key, once, for epoch 0. Anyone may call it.
    /// @param keyX x-coordinate of the group key
    /// @param keyY y-coordinate of the group key
    /// @param signatures ECDSA signatures (65 bytes r ‖ s ‖ v, v 27 or 28, low s) of at least n − f founding
    /// validators, in the order of `validators()`, over the keccak256 of seven words: "mpc-sequencer/v1", 16,
    /// chain id, this contract, 0 (epoch), keyX, keyY
    function initialise(uint256 keyX, uint256 keyY, bytes[] calldata signatures) external;

    /// @notice Records the next batch, carried by all blobs of this transaction. Anyone may call it.
    /// @param header what the batch says
    /// @param calldataHash Keccak-256 of the batch's calldata form as the committee signed it, zero if none
    /// @param signature the group's signature over the keccak256 of seven words: "mpc-sequencer/v1", 2, chain id,
    /// this contract, epoch, number, and keccak256(id ‖ carrier) where carrier is
    /// keccak256(keccak256(blob hashes) ‖ calldataHash)
    function post(BatchHeader calldata header, bytes32 calldataHash, GroupSignature calldata signature) external;

    /// @notice Installs the key of the next epoch, in sequence with the batches: after the last batch of the outgoing
    /// epoch and before the first of the new one. Anyone may call it.
    /// @param next the new epoch, its key, where it starts, and its committee
    /// @param signature the outgoing group key's signature over the keccak256 of seven words: "mpc-sequencer/v1", 3,
    /// chain id, this contract, outgoing epoch, new epoch, and the keccak256 of five words: key x, key y, first batch,
    /// first height, committee hash
    function rotate(Handover calldata next, GroupSignature calldata signature) external;

    /// @notice Installs a new key for the next epoch once nothing was accepted for `recoveryDelay` seconds. Batches
    /// go on at the next number, the committee stays. Anyone may call it.
    /// @param x x-coordinate of the new group key
    /// @param y y-coordinate of the new group key
    /// @param committee the current committee, whose hash is `committeeHash()`
    /// @param signatures ECDSA signatures as for `initialise`, of at least n − f members of the committee in its
    /// order, over the keccak256 of seven words: "mpc-sequencer/v1", 23, chain id, this contract, current epoch, key
    /// x, key y
    function recover(uint256 x, uint256 y, address[] calldata committee, bytes[] calldata signatures) external;

    /// @notice Whether a group key is installed.
    function initialised() external view returns (bool);

    /// @notice The number that the next batch must have; 0 before `initialise`.
    function nextNumber() external view returns (uint64);

    /// @notice The batch recorded last: its number, id and last block height; all zero before the first.
    function lastBatch() external view returns (uint64 number, bytes32 id, uint64 lastHeight);

    /// @notice The group key in compressed SEC1 form (33 bytes); empty before `initialise`.
    function key() external view returns (bytes memory);

    /// @notice The epoch of the current key.
    function epoch() external view returns (uint64);

    /// @notice The group key with its epoch, for contracts that check group signatures; all zero before `initialise`.
    function groupKey() external view returns (uint64 keyEpoch, uint256 x, bool yOdd);

    /// @notice The current committee: keccak256(abi.encode(address[])) of its members, the founders' in epoch 0.
    function committeeHash() external view returns (bytes32);

    /// @notice Seconds of silence after which `recover` is good.
    function recoveryDelay() external view returns (uint64);

    /// @notice From when on `recover` is good if nothing is accepted before (seconds since 1970); 0 before
    /// `initialise`, which nothing can be recovered from.
    function recoverableAt() external view returns (uint256);

    /// @notice The founding validators, in index order.
    function validators() external view returns (address[] memory);

    /// @notice n − f of the founding validators, f = ⌊(n − 1) / 3⌋: the signatures that `initialise` needs.
    function quorum() external view returns (uint256);
}
