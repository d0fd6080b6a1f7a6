// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {CommitteeMessage} from "./CommitteeMessage.sol";
import {Ecdsa} from "./Ecdsa.sol";
import {FrostVerifier} from "./FrostVerifier.sol";
import {ISequencerInbox} from "./ISequencerInbox.sol";

/// @title The L1 inbox of the sequencer network
/// @dev See `ISequencerInbox` for what each function promises.
///
/// No immutables: the code on chain equals the checked-in `deployedBytecode`, byte for byte.
contract SequencerInbox is ISequencerInbox {
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

    // The order of these is the storage layout that README.md documents.
    Tip private tip;
    uint256 private keyX;
    bytes32 private lastId;
    address[] private founders;
    bytes32 private committee;
    uint64 private silence;

    /// @param validators_ addresses of the founding validators in index order, 4 to 256, distinct and not zero: the
    /// committee of epoch 0
    /// @param recoveryDelay_ seconds of silence after which `recover` is good, 60 to 2,592,000 (30 days)
    constructor(address[] memory validators_, uint64 recoveryDelay_) {
        if (recoveryDelay_ < MIN_RECOVERY_DELAY || recoveryDelay_ > MAX_RECOVERY_DELAY) {
            revert RecoveryDelayOutOfRange(MIN_RECOVERY_DELAY, MAX_RECOVERY_DELAY, recoveryDelay_);
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
        silence = recoveryDelay_;
    }

    /// @inheritdoc ISequencerInbox
    function initialise(uint256 x, uint256 y, bytes[] calldata signatures) external {
        if (tip.nextNumber != 0) revert AlreadyInitialised();
        if (!FrostVerifier.isValidKey(x, y)) revert InvalidGroupKey(x, y);
        requireQuorum(founders, CommitteeMessage.digest(CommitteeMessage.KIND_INITIALISE, 0, x, bytes32(y)), signatures);

        Tip memory first;
        first.nextNumber = 1;
        install(first, 0, x, y);
        emit Initialised(0, x, y);
    }

    /// @inheritdoc ISequencerInbox
    /// @dev The cheapest check comes first: the loser of a race between two batchers pays for one storage read.
    function post(BatchHeader calldata header, bytes32 calldataHash, GroupSignature calldata signature) external {
        Tip memory last = tip;
        requireNext(last, header);
        bytes32[] memory blobHashes = transactionBlobs();
        if (blobHashes.length == 0) revert NoPayload();

        bytes32 id = CommitteeMessage.batchId(header);
        bytes32 content = CommitteeMessage.batchContent(id, blobHashes, calldataHash);
        bytes32 digest = CommitteeMessage.digest(CommitteeMessage.KIND_BATCH, last.epoch, header.number, content);
        if (!FrostVerifier.verify(keyX, last.keyYOdd, digest, signature.rx, signature.ry, signature.z)) {
            revert InvalidGroupSignature(digest);
        }

        last.nextNumber = header.number + 1;
        last.lastHeight = header.lastHeight;
        last.acceptedAt = uint56(block.timestamp);
        tip = last;
        lastId = id;
        emit BatchPosted(header.number, id, header, calldataHash, blobHashes);
    }

    /// @inheritdoc ISequencerInbox
    function rotate(Handover calldata next, GroupSignature calldata signature) external {
        Tip memory last = tip;
        requireNextEpoch(last, next);
        if (!FrostVerifier.isValidKey(next.keyX, next.keyY)) revert InvalidGroupKey(next.keyX, next.keyY);
        bytes32 content = CommitteeMessage.handoverContent(next);
        bytes32 digest = CommitteeMessage.digest(CommitteeMessage.KIND_HANDOVER, last.epoch, next.epoch, content);
        if (!FrostVerifier.verify(keyX, last.keyYOdd, digest, signature.rx, signature.ry, signature.z)) {
            revert InvalidGroupSignature(digest);
        }

        install(last, next.epoch, next.keyX, next.keyY);
        committee = next.committeeHash;
        emit Rotated(next.epoch, next.keyX, next.keyY, next.firstBatch, next.firstHeight, next.committeeHash);
    }

    /// @inheritdoc ISequencerInbox
    /// @dev The silence starts anew with the recovery, so that a recovered key has as long to show itself.
    function recover(uint256 x, uint256 y, address[] calldata members, bytes[] calldata signatures) external {
        Tip memory last = tip;
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
        return tip.nextNumber != 0;
    }

    /// @inheritdoc ISequencerInbox
    function nextNumber() external view returns (uint64) {
        return tip.nextNumber;
    }

    /// @inheritdoc ISequencerInbox
    function lastBatch() external view returns (uint64 number, bytes32 id, uint64 lastHeight) {
        Tip memory last = tip;
        number = last.nextNumber == 0 ? 0 : last.nextNumber - 1;
        return (number, lastId, last.lastHeight);
    }

    /// @inheritdoc ISequencerInbox
    function key() external view returns (bytes memory) {
        Tip memory last = tip;
        if (last.nextNumber == 0) return "";
        return abi.encodePacked(last.keyYOdd ? bytes1(0x03) : bytes1(0x02), keyX);
    }

    /// @inheritdoc ISequencerInbox
    function epoch() external view returns (uint64) {
        return tip.epoch;
    }

    /// @inheritdoc ISequencerInbox
    function groupKey() external view returns (uint64 keyEpoch, uint256 x, bool yOdd) {
        return (tip.epoch, keyX, tip.keyYOdd);
    }

    /// @inheritdoc ISequencerInbox
    function committeeHash() external view returns (bytes32) {
        return committee;
    }

    /// @inheritdoc ISequencerInbox
    function recoveryDelay() external view returns (uint64) {
        return silence;
    }

    /// @inheritdoc ISequencerInbox
    function recoverableAt() external view returns (uint256) {
        Tip memory last = tip;
        return last.nextNumber == 0 ? 0 : uint256(last.acceptedAt) + silence;
    }

    /// @inheritdoc ISequencerInbox
    function validators() external view returns (address[] memory) {
        return founders;
    }

    /// @inheritdoc ISequencerInbox
    function quorum() public view returns (uint256) {
        return quorumOf(founders.length);
    }

    /// @dev Gives the epoch its key. Changes `last` too, and stores all of it.
    function install(Tip memory last, uint64 newEpoch, uint256 x, uint256 y) private {
        last.epoch = newEpoch;
        last.keyYOdd = y & 1 == 1;
        last.acceptedAt = uint56(block.timestamp);
        tip = last;
        keyX = x;
    }

    /// @dev Whether the header follows what is recorded, by number, history, epoch and height.
    function requireNext(Tip memory last, BatchHeader calldata header) private view {
        if (last.nextNumber == 0) revert NotInitialised();
        if (header.number != last.nextNumber) revert WrongNumber(last.nextNumber, header.number);
        if (header.parentId != lastId) revert WrongParent(lastId, header.parentId);
        if (header.epoch != last.epoch) revert WrongEpoch(last.epoch, header.epoch);
        if (header.firstHeight != last.lastHeight + 1) {
            revert WrongFirstHeight(last.lastHeight + 1, header.firstHeight);
        }
        if (header.lastHeight < header.firstHeight) revert EmptyRange(header.firstHeight, header.lastHeight);
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
        uint256 end = uint256(last.acceptedAt) + silence;
        if (block.timestamp < end) revert NotSilentLongEnough(end, block.timestamp);
    }

    /// @dev The versioned hashes of all blobs of this transaction, in order. L1 itself bounds their number. They are
    /// written from the free memory pointer on, since only the first zero says how many there are.
    function transactionBlobs() private view returns (bytes32[] memory hashes) {
        assembly ("memory-safe") {
            hashes := mload(0x40)
            let end := add(hashes, 32)
            let count := 0
            for {} blobhash(count) {} {
                mstore(end, blobhash(count))
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
