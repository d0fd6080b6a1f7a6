// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {CommitteeMessage} from "./CommitteeMessage.sol";
import {Ecdsa} from "./Ecdsa.sol";
import {ForcedQueue} from "./ForcedQueue.sol";
import {FrostVerifier} from "./FrostVerifier.sol";
import {ISequencerInbox} from "./ISequencerInbox.sol";

/// @title The L1 inbox of the sequencer network
/// @dev See `ISequencerInbox` for what each function promises.
///
/// No immutables: the code on chain equals the checked-in `deployedBytecode`, byte for byte.
contract SequencerInbox is ForcedQueue {
    /// Below four validators not one fault is tolerated.
    uint256 private constant MIN_VALIDATORS = 4;
    /// Bounds the constructor's gas (storage and the quadratic search for duplicates) well below one transaction's.
    uint256 private constant MAX_VALIDATORS = 256;
    /// Bounds of the recovery delay in seconds. The longest, 30 days, also refuses most delays given in milliseconds.
    uint64 private constant MIN_RECOVERY_DELAY = 60;
    uint64 private constant MAX_RECOVERY_DELAY = 30 * 86_400;

    /// All that changes at each post, but for the id, and what is read with it: one storage slot, full.
    struct Tip {
        /// Zero means: not initialised.
        uint64 nextNumber;
        uint64 lastHeight;
        uint64 epoch;
        bool keyYOdd;
        /// When something was accepted last, in seconds since 1970: enough for 2 billion years.
        uint56 acceptedAt;
    }

    /// What the committee signs of a batch beside its id: where its bytes are.
    struct Carrier {
        bytes32[] blobHashes;
        bytes32 calldataHash;
        bytes32 inlineHash;
    }

    // The order of these, after those of the queue, is the storage layout that README.md documents.
    uint256 private tip;
    uint256 private keyX;
    bytes32 private lastId;
    address[] private founders;
    bytes32 private committee;

    /// @param validators_ addresses of the founding validators in index order, 4 to 256, distinct and not zero: the
    /// committee of epoch 0
    /// @param terms_ recovery after 60 to 2,592,000 seconds (30 days) of silence, inclusion within 60 to 604,800 (7 days),
    /// escape after twice as long or longer (up to 30 days), and a fee above zero
    constructor(address[] memory validators_, Terms memory terms_) ForcedQueue(terms_) {
        if (terms_.recoveryDelay < MIN_RECOVERY_DELAY || terms_.recoveryDelay > MAX_RECOVERY_DELAY) {
            revert RecoveryDelayOutOfRange(MIN_RECOVERY_DELAY, MAX_RECOVERY_DELAY, terms_.recoveryDelay);
        }
        uint256 count = validators_.length;
        if (count < MIN_VALIDATORS || count > MAX_VALIDATORS) {
            revert ValidatorCountOutOfRange(MIN_VALIDATORS, MAX_VALIDATORS, count);
        }
        for (uint256 i = 0; i < count; i++) {
            address validator = validators_[i];
            if (validator == address(0)) revert InvalidValidator(i, validator);
            for (uint256 j = 0; j < i; j++) {
                if (validators_[j] == validator) revert InvalidValidator(i, validator);
            }
        }
        founders = validators_;
        committee = CommitteeMessage.committeeHash(validators_);
    }

    /// @inheritdoc ISequencerInbox
    function initialise(uint256 x, uint256 y, bytes[] calldata signatures) external {
        if (load().nextNumber != 0) revert AlreadyInitialised();
        if (!FrostVerifier.isValidKey(x, y)) revert InvalidGroupKey(x, y);
        requireQuorum(founders, CommitteeMessage.digest(CommitteeMessage.KIND_INITIALISE, 0, x, bytes32(y)), signatures);

        install(Tip(1, 0, 0, false, 0), 0, x, y);
        emit Initialised(0, x, y);
    }

    /// @inheritdoc ISequencerInbox
    /// @dev The cheapest check comes first: the loser of a race between two batchers pays for one storage read.
    function post(
        BatchHeader calldata header,
        bytes32 calldataHash,
        bytes calldata inlineData,
        GroupSignature calldata signature
    ) external {
        Tip memory last = load();
        bytes32 id = requireNext(last, lastId, header);
        bytes32[] memory blobHashes = transactionBlobs(0, type(uint256).max);
        if (blobHashes.length == 0) revert NoPayload();
        requireSigned(last, header, id, Carrier(blobHashes, calldataHash, log(header.number, inlineData)), signature);
        record(last, header, id);
    }

    /// @inheritdoc ISequencerInbox
    function postSeries(Posting[] calldata postings) external {
        Tip memory last = load();
        bytes32 id = lastId;
        uint64 before = last.nextNumber;
        uint256 firstBlob = 0;
        for (uint256 i = 0; i < postings.length; i++) {
            Posting calldata one = postings[i];
            uint256 from = firstBlob;
            firstBlob += one.blobs;
            if (one.header.number < last.nextNumber) continue;
            id = requireNext(last, id, one.header);
            bytes32[] memory blobHashes = transactionBlobs(from, one.blobs);
            if (blobHashes.length == 0) revert NoPayload();
            if (blobHashes.length != one.blobs) revert WrongBlobCount(one.blobs, blobHashes.length);
            bytes32 inlineHash = log(one.header.number, one.inlineData);
            requireSigned(last, one.header, id, Carrier(blobHashes, one.calldataHash, inlineHash), one.signature);
            advance(last, one.header);
        }
        if (last.nextNumber == before) {
            revert WrongNumber(before, postings.length == 0 ? before : postings[postings.length - 1].header.number);
        }
        if (transactionBlobs(firstBlob, 1).length != 0) revert WrongBlobCount(firstBlob, firstBlob + 1);
        store(last);
        lastId = id;
    }

    /// @inheritdoc ISequencerInbox
    function postCalldata(
        BatchHeader calldata header,
        bytes32[] calldata blobHashes,
        bytes calldata payload,
        bytes calldata inlineData,
        GroupSignature calldata signature
    ) external {
        Tip memory last = load();
        bytes32 id = requireNext(last, lastId, header);
        if (payload.length == 0) revert NoPayload();
        emit BatchData(header.number, payload);
        bytes32 inlineHash = log(header.number, inlineData);
        requireSigned(last, header, id, Carrier(blobHashes, keccak256(payload), inlineHash), signature);
        record(last, header, id);
    }

    /// @inheritdoc ISequencerInbox
    function rotate(Handover calldata next, GroupSignature calldata signature) external {
        Tip memory last = load();
        requireNextEpoch(last, next);
        if (!FrostVerifier.isValidKey(next.keyX, next.keyY)) revert InvalidGroupKey(next.keyX, next.keyY);
        bytes32 content = CommitteeMessage.handoverContent(next);
        bytes32 digest = CommitteeMessage.digest(CommitteeMessage.KIND_HANDOVER, last.epoch, next.epoch, content);
        if (!isSigned(digest, keyX, last.keyYOdd, signature)) revert InvalidGroupSignature(digest);

        install(last, next.epoch, next.keyX, next.keyY);
        committee = next.committeeHash;
        emit Rotated(next.epoch, next.keyX, next.keyY, next.firstBatch, next.firstHeight, next.committeeHash);
    }

    /// @inheritdoc ISequencerInbox
    /// @dev The silence starts anew with the recovery, so that a recovered key has as long to show itself.
    function recover(uint256 x, uint256 y, address[] calldata members, bytes[] calldata signatures) external {
        Tip memory last = load();
        if (last.nextNumber == 0) revert NotInitialised();
        requireSilence(last);
        if (!FrostVerifier.isValidKey(x, y)) revert InvalidGroupKey(x, y);
        bytes32 hash = CommitteeMessage.committeeHash(members);
        if (hash != committee) revert WrongCommittee(committee, hash);
        bytes32 digest = CommitteeMessage.digest(CommitteeMessage.KIND_RECOVER, last.epoch, x, bytes32(y));
        requireQuorum(members, digest, signatures);

        install(last, last.epoch + 1, x, y);
        emit Recovered(last.epoch, x, y, last.nextNumber, last.lastHeight + 1, hash);
    }

    /// @inheritdoc ISequencerInbox
    function initialised() external view returns (bool) {
        return load().nextNumber != 0;
    }

    /// @inheritdoc ISequencerInbox
    function nextNumber() external view returns (uint64) {
        return load().nextNumber;
    }

    /// @inheritdoc ISequencerInbox
    function lastBatch() external view returns (uint64 number, bytes32 id, uint64 lastHeight) {
        Tip memory last = load();
        return (newestBatch(), lastId, last.lastHeight);
    }

    /// @inheritdoc ISequencerInbox
    function key() external view returns (bytes memory) {
        Tip memory last = load();
        if (last.nextNumber == 0) return "";
        return abi.encodePacked(last.keyYOdd ? bytes1(0x03) : bytes1(0x02), keyX);
    }

    /// @inheritdoc ISequencerInbox
    function epoch() external view returns (uint64) {
        return load().epoch;
    }

    /// @inheritdoc ISequencerInbox
    function groupKey() external view returns (uint64 keyEpoch, uint256 x, bool yOdd) {
        Tip memory last = load();
        return (last.epoch, keyX, last.keyYOdd);
    }

    /// @inheritdoc ISequencerInbox
    function committeeHash() external view returns (bytes32) {
        return committee;
    }

    /// @inheritdoc ISequencerInbox
    function recoverableAt() external view returns (uint256) {
        Tip memory last = load();
        return last.nextNumber == 0 ? 0 : uint256(last.acceptedAt) + recoveryDelay();
    }

    /// @inheritdoc ISequencerInbox
    function validators() external view returns (address[] memory) {
        return founders;
    }

    /// @inheritdoc ISequencerInbox
    function quorum() public view returns (uint256) {
        return quorumOf(founders.length);
    }

    /// @dev One read and one write by hand: the compiler makes one of each for every field.
    function load() private view returns (Tip memory last) {
        uint256 word = tip;
        last.nextNumber = uint64(word);
        last.lastHeight = uint64(word >> 64);
        last.epoch = uint64(word >> 128);
        last.keyYOdd = word >> 192 & 1 == 1;
        last.acceptedAt = uint56(word >> 200);
    }

    function store(Tip memory last) private {
        uint256 odd = last.keyYOdd ? 1 : 0;
        tip = uint256(last.nextNumber) | uint256(last.lastHeight) << 64 | uint256(last.epoch) << 128 | odd << 192
            | uint256(last.acceptedAt) << 200;
    }

    /// @dev Gives the epoch its key. Changes `last` too, and stores all of it.
    function install(Tip memory last, uint64 newEpoch, uint256 x, uint256 y) private {
        last.epoch = newEpoch;
        last.keyYOdd = y & 1 == 1;
        last.acceptedAt = uint56(block.timestamp);
        store(last);
        keyX = x;
    }

    /// @dev Whether the header follows what is recorded, by number, history, epoch and height. Returns its id.
    function requireNext(Tip memory last, bytes32 parent, BatchHeader calldata header) private pure returns (bytes32) {
        if (last.nextNumber == 0) revert NotInitialised();
        if (header.number != last.nextNumber) revert WrongNumber(last.nextNumber, header.number);
        if (header.parentId != parent) revert WrongParent(parent, header.parentId);
        if (header.epoch != last.epoch) revert WrongEpoch(last.epoch, header.epoch);
        if (header.firstHeight != last.lastHeight + 1) {
            revert WrongFirstHeight(last.lastHeight + 1, header.firstHeight);
        }
        if (header.lastHeight < header.firstHeight) revert EmptyRange(header.firstHeight, header.lastHeight);
        return CommitteeMessage.batchId(header);
    }

    /// @dev Whether the committee signed the batch with what carries it; then it counts.
    function requireSigned(
        Tip memory last,
        BatchHeader calldata header,
        bytes32 id,
        Carrier memory carrier,
        GroupSignature calldata signature
    ) private {
        bytes32 content =
            CommitteeMessage.batchContent(id, carrier.blobHashes, carrier.calldataHash, carrier.inlineHash);
        bytes32 digest = CommitteeMessage.digest(CommitteeMessage.KIND_BATCH, last.epoch, header.number, content);
        if (!isSigned(digest, keyX, last.keyYOdd, signature)) revert InvalidGroupSignature(digest);
        bool pending = cover(header.number, header.forcedCursor);
        emit BatchPosted(
            header.number, id, header, carrier.calldataHash, carrier.inlineHash, carrier.blobHashes, pending
        );
    }

    /// @dev Whether the group key with this x-coordinate and parity signed the digest. Virtual for the proofs, which are about
    /// everything else.
    function isSigned(bytes32 digest, uint256 x, bool yOdd, GroupSignature calldata signature)
        internal
        view
        virtual
        returns (bool)
    {
        return FrostVerifier.verify(x, yOdd, digest, signature.rx, signature.ry, signature.z);
    }

    /// @dev The batch is the last one from now on. Changes `last` too.
    function record(Tip memory last, BatchHeader calldata header, bytes32 id) private {
        advance(last, header);
        store(last);
        lastId = id;
    }

    function advance(Tip memory last, BatchHeader calldata header) private view {
        last.nextNumber = header.number + 1;
        last.lastHeight = header.lastHeight;
        last.acceptedAt = uint56(block.timestamp);
    }

    /// @dev Inline data go to the log, so that derivation never reads transactions. Returns their hash, zero if none.
    function log(uint64 number, bytes calldata inlineData) private returns (bytes32) {
        if (inlineData.length == 0) return 0;
        emit InlineData(number, inlineData);
        return keccak256(inlineData);
    }

    function newestBatch() internal view override returns (uint64) {
        uint64 next = load().nextNumber;
        return next == 0 ? 0 : next - 1;
    }

    /// @dev Whether the handover is to the next epoch and exactly between the batches of the two.
    function requireNextEpoch(Tip memory last, Handover calldata next) private pure {
        if (last.nextNumber == 0) revert NotInitialised();
        if (next.epoch != last.epoch + 1) revert WrongEpoch(last.epoch + 1, next.epoch);
        if (next.firstBatch != last.nextNumber) revert WrongNumber(last.nextNumber, next.firstBatch);
        if (next.firstHeight != last.lastHeight + 1) revert WrongFirstHeight(last.lastHeight + 1, next.firstHeight);
    }

    /// @dev Whether nothing was accepted for as long as `recover` has to wait.
    function requireSilence(Tip memory last) private view {
        uint256 end = uint256(last.acceptedAt) + recoveryDelay();
        if (block.timestamp < end) revert NotSilentLongEnough(end, block.timestamp);
    }

    /// @dev The versioned hashes of this transaction's blobs from one on, in order, up to so many. L1 itself bounds their
    /// number. They are written from the free memory pointer on, since only the first zero says how many there are.
    /// Virtual for the proofs, whose machine has no blobs.
    function transactionBlobs(uint256 from, uint256 most) internal view virtual returns (bytes32[] memory hashes) {
        assembly ("memory-safe") {
            hashes := mload(0x40)
            let end := add(hashes, 32)
            let count := 0
            for {} lt(count, most) {} {
                let hash := blobhash(add(from, count))
                if iszero(hash) { break }
                mstore(end, hash)
                end := add(end, 32)
                count := add(count, 1)
            }
            mstore(hashes, count)
            mstore(0x40, end)
        }
    }

    /// @dev n − f of n validators.
    function quorumOf(uint256 count) private pure returns (uint256) {
        return count - (count - 1) / 3;
    }

    /// @dev Whether at least n − f members signed. Both lists are in one order, so one walk through the members
    /// finds every signer and counts none twice.
    function requireQuorum(address[] memory members, bytes32 digest, bytes[] calldata signatures) private pure {
        uint256 required = quorumOf(members.length);
        if (signatures.length < required) revert TooFewSignatures(required, signatures.length);
        uint256 next = 0;
        for (uint256 i = 0; i < signatures.length; i++) {
            address signer = Ecdsa.signerOf(digest, signatures[i]);
            if (signer == address(0)) revert MalformedSignature(i);
            while (next < members.length && members[next] != signer) next++;
            if (next == members.length) {
                if (contains(members, signer)) revert SignerOutOfOrder(i, signer);
                revert UnknownSigner(i, signer);
            }
            next++;
        }
    }

    function contains(address[] memory members, address wanted) private pure returns (bool) {
        for (uint256 i = 0; i < members.length; i++) {
            if (members[i] == wanted) return true;
        }
        return false;
    }
}
