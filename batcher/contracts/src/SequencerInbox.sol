// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {CommitteeMessage} from "./CommitteeMessage.sol";
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
    /// Half the group order: the largest s of a signature that cannot be mirrored.
    uint256 private constant MAX_LOW_S = FrostVerifier.N / 2;

    /// All that changes at each post, but for the id, and what is read with it: one storage slot, seven bytes free.
    struct Tip {
        /// Zero means: not initialised.
        uint64 nextNumber;
        uint64 lastHeight;
        uint64 epoch;
        bool keyYOdd;
    }

    // The order of these is the storage layout that README.md documents.
    Tip private tip;
    uint256 private keyX;
    bytes32 private lastId;
    address[] private founders;

    /// @param validators_ addresses of the founding validators in index order, 4 to 256, distinct and not zero
    constructor(address[] memory validators_) {
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
    }

    /// @inheritdoc ISequencerInbox
    function initialise(uint256 x, uint256 y, bytes[] calldata signatures) external {
        if (tip.nextNumber != 0) revert AlreadyInitialised();
        if (!FrostVerifier.isValidKey(x, y)) revert InvalidGroupKey(x, y);
        requireQuorum(CommitteeMessage.digest(CommitteeMessage.KIND_INITIALISE, 0, x, bytes32(y)), signatures);

        keyX = x;
        tip = Tip({nextNumber: 1, lastHeight: 0, epoch: 0, keyYOdd: y & 1 == 1});
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
        tip = last;
        lastId = id;
        emit BatchPosted(header.number, id, header, calldataHash, blobHashes);
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
    function validators() external view returns (address[] memory) {
        return founders;
    }

    /// @inheritdoc ISequencerInbox
    function quorum() public view returns (uint256) {
        uint256 count = founders.length;
        return count - (count - 1) / 3;
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

    /// @dev The versioned hashes of all blobs of this transaction, in order. L1 itself bounds their number.
    function transactionBlobs() private view returns (bytes32[] memory hashes) {
        uint256 count = 0;
        while (blobhash(count) != 0) count++;
        hashes = new bytes32[](count);
        for (uint256 i = 0; i < count; i++) {
            hashes[i] = blobhash(i);
        }
    }

    /// @dev Whether at least n − f founders signed. Both lists are in index order, so one walk through the founders
    /// finds every signer and counts none twice.
    function requireQuorum(bytes32 digest, bytes[] calldata signatures) private view {
        uint256 required = quorum();
        if (signatures.length < required) revert TooFewSignatures(required, signatures.length);
        address[] memory members = founders;
        uint256 next = 0;
        for (uint256 i = 0; i < signatures.length; i++) {
            address signer = recover(digest, signatures[i], i);
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

    /// @dev The signer of an ECDSA signature r ‖ s ‖ v. Only the low s is accepted: one signature, one encoding.
    function recover(bytes32 digest, bytes calldata signature, uint256 index) private pure returns (address signer) {
        if (signature.length != 65) revert MalformedSignature(index);
        bytes32 r = bytes32(signature[:32]);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        if (uint256(s) > MAX_LOW_S) revert MalformedSignature(index);
        // Zero for a v other than 27 and 28, and for r or s out of range.
        signer = ecrecover(digest, v, r, s);
        if (signer == address(0)) revert MalformedSignature(index);
    }
}
