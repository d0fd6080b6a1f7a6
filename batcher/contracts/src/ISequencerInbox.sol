// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title The L1 inbox of the sequencer network
///
/// Holds the committee's group key and accepts its batches, in order, each under one group signature. The key signs
/// its successor in; after a long silence the committee's members can replace a key that no longer signs. Whoever the
/// committee does not serve hands its transaction in here: batches take effect only while they cover what is overdue.
/// There is no owner, no pause and no upgrade: whoever holds gas money may post, and only signatures decide what counts.
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
        /// Entries of the forced-inclusion queue that are ordered up to here: never fewer than before, never more than
        /// there are.
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

    /// One of several batches that one transaction posts.
    struct Posting {
        BatchHeader header;
        /// Keccak-256 of the batch's calldata form, zero if it has none.
        bytes32 calldataHash;
        /// What must be on L1 itself: the data of rollups with data policy `calldata`.
        bytes inlineData;
        GroupSignature signature;
        /// How many of the transaction's blobs carry it: those after the blobs of the postings before.
        uint256 blobs;
    }

    /// What is fixed when the inbox is deployed.
    struct Terms {
        /// Seconds of silence after which `recover` is good.
        uint64 recoveryDelay;
        /// Seconds after which an entry of the forced-inclusion queue is overdue.
        uint64 inclusionDelay;
        /// Seconds after which an entry that no batch covers can escape.
        uint64 escapeDelay;
        /// What an entry costs while the queue is used as it is meant to be, in wei.
        uint64 forcedFee;
    }

    /// The forced-inclusion queue. Entries are counted from 0.
    struct Queue {
        /// Entries that were ever made.
        uint64 count;
        /// Entries that the posted batches cover.
        uint64 covered;
        /// Entries before this one that no batch had covered escaped, and count as ordered when they did.
        uint64 escaped;
        /// The first batch that is posted and has no effect yet; zero if there is none.
        uint64 pendingFrom;
        /// A chain of hashes over all entries: keccak256 of three words, the one before (zero at first), the rollup and
        /// the keccak256 of the data.
        bytes32 accumulator;
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

    /// A batch is recorded. With what carries it this is all that derivation needs. It takes effect with this event, and all
    /// pending ones before it, unless it is pending itself.
    /// @param number the batch number, as in the header
    /// @param id the batch id: keccak256(abi.encode(uint64(1), header))
    /// @param header what the batch says
    /// @param calldataHash Keccak-256 of the same batch in its calldata form, zero if it has none
    /// @param inlineHash Keccak-256 of its inline data, zero if it has none
    /// @param blobHashes versioned hashes of its blobs, in order
    /// @param pending whether entries of the queue were overdue that it does not cover
    event BatchPosted(
        uint64 indexed number,
        bytes32 indexed id,
        BatchHeader header,
        bytes32 calldataHash,
        bytes32 inlineHash,
        bytes32[] blobHashes,
        bool pending
    );

    /// The calldata form of the batch whose `BatchPosted` follows: no blobs carry it.
    event BatchData(uint64 indexed number, bytes payload);

    /// The inline data of the batch whose `BatchPosted` follows.
    event InlineData(uint64 indexed number, bytes data);

    /// Somebody handed in a transaction.
    /// @param index its place in the queue
    /// @param rollup the rollup that it is for, which need not exist
    /// @param accumulator the queue's, with this entry
    /// @param data the transaction's bytes, which need not be one
    event ForcedEnqueued(uint64 indexed index, uint32 indexed rollup, bytes32 accumulator, bytes data);

    /// All batches up to the newest take effect, and after them the entries from one index up to, not including, another.
    /// Batches that cover them later leave them out.
    event Escaped(uint64 from, uint64 to, uint64 lastBatch);

    /// The number of founding validators is outside [minimum, maximum].
    error ValidatorCountOutOfRange(uint256 minimum, uint256 maximum, uint256 got);
    /// The founding validator at this index has the zero address or appears before.
    error InvalidValidator(uint256 index, address validator);

    /// The recovery delay is outside [minimum, maximum] seconds.
    error RecoveryDelayOutOfRange(uint64 minimum, uint64 maximum, uint64 got);
    /// The inclusion delay is outside [minimum, maximum] seconds.
    error InclusionDelayOutOfRange(uint64 minimum, uint64 maximum, uint64 got);
    /// The escape delay is outside [minimum, maximum] seconds: at least twice the inclusion delay.
    error EscapeDelayOutOfRange(uint64 minimum, uint64 maximum, uint64 got);
    /// Entries must cost something.
    error ForcedFeeZero();

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
    /// The batch covers fewer entries of the queue than the one before, or more than there are.
    error WrongForcedCursor(uint64 minimum, uint64 maximum, uint64 got);
    /// The transaction carries no blob for the batch, or no calldata form.
    error NoPayload();
    /// The transaction carries fewer blobs than its postings need, or more.
    error WrongBlobCount(uint256 expected, uint256 got);
    /// The group signature does not verify over this digest: another key, other blobs, chain or contract.
    error InvalidGroupSignature(bytes32 digest);

    /// An entry has 1 to `maximum` bytes.
    error ForcedDataOutOfRange(uint256 maximum, uint256 got);
    /// This L1 block has as many entries as it may have.
    error ForcedBlockFull(uint256 maximum);
    /// An entry costs this much now.
    error ForcedFeeTooLow(uint256 required, uint256 got);
    /// What was paid above the fee could not be given back.
    error RefundFailed();
    /// No such range of entries that no batch covers.
    error NothingToEscape(uint64 from, uint64 count);
    /// The last of these entries can escape from this time on (seconds since 1970).
    error NotEscapableYet(uint256 escapableAt, uint256 time);

    /// @notice Installs the first group key, once, for epoch 0. Anyone may call it.
    /// @param keyX x-coordinate of the group key
    /// @param keyY y-coordinate of the group key
    /// @param signatures ECDSA signatures (65 bytes r ‖ s ‖ v, v 27 or 28, low s) of at least n − f founding
    /// validators, in the order of `validators()`, over the keccak256 of seven words: "mpc-sequencer/v1", 16,
    /// chain id, this contract, 0 (epoch), keyX, keyY
    function initialise(uint256 keyX, uint256 keyY, bytes[] calldata signatures) external;

    /// @notice Records the next batch, carried by all blobs of this transaction. Anyone may call it.
    ///
    /// The batch takes effect at once, and all pending ones before it, unless an entry of the forced-inclusion queue is
    /// overdue that it does not cover: then it is pending until a later one covers all that is overdue by then.
    /// @param header what the batch says
    /// @param calldataHash Keccak-256 of the batch's calldata form as the committee signed it, zero if none
    /// @param inlineData the data of rollups with data policy `calldata`, empty if none; it is logged
    /// @param signature the group's signature over the keccak256 of seven words: "mpc-sequencer/v1", 2, chain id,
    /// this contract, epoch, number, and keccak256(id ‖ carrier) where carrier is the keccak256 of three words:
    /// keccak256(blob hashes), calldataHash, and keccak256(inlineData) or zero if there is none
    function post(
        BatchHeader calldata header,
        bytes32 calldataHash,
        bytes calldata inlineData,
        GroupSignature calldata signature
    ) external;

    /// @notice Records several batches, carried by the blobs of this transaction one after the other. Those that are recorded
    /// already are passed over, so that a batcher that was overtaken on the first still posts the rest. Anyone may call it.
    function postSeries(Posting[] calldata postings) external;

    /// @notice Records the next batch, carried by this call itself: its calldata form is logged. Anyone may call it.
    /// @param header what the batch says
    /// @param blobHashes versioned hashes of its blobs as the committee signed them
    /// @param payload its calldata form
    /// @param inlineData as for `post`
    /// @param signature as for `post`, with calldataHash the keccak256 of the payload
    function postCalldata(
        BatchHeader calldata header,
        bytes32[] calldata blobHashes,
        bytes calldata payload,
        bytes calldata inlineData,
        GroupSignature calldata signature
    ) external;

    /// @notice Hands in a transaction that the committee must order before it is overdue. Anyone may call it. What is paid
    /// above the fee is given back; the fee is burnt: it stays here, and nothing moves it.
    /// @param rollup the rollup that it is for; nothing comes of one that does not exist
    /// @param data the transaction's bytes
    /// @return index its place in the queue
    function enqueue(uint32 rollup, bytes calldata data) external payable returns (uint64 index);

    /// @notice Orders entries that no batch covered in time, right after all batches that are posted. Anyone may call it.
    /// @param to the first entry that does not escape; the one before it was made `escapeDelay` seconds ago or earlier
    function escape(uint64 to) external;

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

    /// @notice What was fixed at the deployment.
    function terms() external view returns (Terms memory);

    /// @notice The forced-inclusion queue.
    function queue() external view returns (Queue memory);

    /// @notice When this entry was made (seconds since 1970); zero if there is none.
    function enqueuedAt(uint64 index) external view returns (uint64);

    /// @notice What `enqueue` costs in the present block, in wei.
    function forcedFee() external view returns (uint256);

    /// @notice From when on `recover` is good if nothing is accepted before (seconds since 1970); 0 before
    /// `initialise`, which nothing can be recovered from.
    function recoverableAt() external view returns (uint256);

    /// @notice The founding validators, in index order.
    function validators() external view returns (address[] memory);

    /// @notice n − f of the founding validators, f = ⌊(n − 1) / 3⌋: the signatures that `initialise` needs.
    function quorum() external view returns (uint256);
}
