// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "./ISequencerInbox.sol";

/// @title What the committee and its validators sign
///
/// Every signed message is the Keccak-256 hash of 32-byte words: protocol name, kind, L1 chain id, contract, epoch,
/// and two words (four in a vote) that depend on the kind. The chain is where the code runs and the contract is the
/// one that the signature is handed to, so that a signature made for another chain or contract is worthless. Votes
/// alone are judged by a contract that they were not made for: they name the inbox and the registry punishes.
library CommitteeMessage {
    /// Word 0: the protocol and the version of this layout.
    bytes32 internal constant PROTOCOL = "mpc-sequencer/v1";
    /// Word 1 of a batch; words 5 and 6 are the batch number and `batchContent`.
    uint256 internal constant KIND_BATCH = 2;
    /// Word 1 of a handover; words 5 and 6 are the new epoch and `handoverContent`.
    uint256 internal constant KIND_HANDOVER = 3;
    /// Word 1 of a change of the registry's allow-list; words 5 and 6 are the list's nonce and `allowContent`.
    uint256 internal constant KIND_ALLOW = 5;
    /// Word 1 of the installation of the first key; words 5 and 6 are the key's coordinates.
    uint256 internal constant KIND_INITIALISE = 16;
    /// Word 1 of a prevote; see `vote`.
    uint256 internal constant KIND_PREVOTE = 17;
    /// Word 1 of a precommit; see `vote`.
    uint256 internal constant KIND_PRECOMMIT = 18;
    /// Word 1 of a recovery; words 5 and 6 are the new key's coordinates.
    uint256 internal constant KIND_RECOVER = 23;
    /// Word 1 of a validator's registration; words 5 and 6 are its owner and the hash of its endpoint.
    uint256 internal constant KIND_REGISTER = 24;
    /// The version of the header layout that `batchId` hashes. Payloads carry a version of their own.
    uint64 internal constant HEADER_VERSION = 1;

    /// @notice The 32 bytes that are signed.
    function digest(uint256 kind, uint64 epoch, uint256 fifth, bytes32 sixth) internal view returns (bytes32) {
        return keccak256(abi.encode(PROTOCOL, kind, block.chainid, address(this), epoch, fifth, sixth));
    }

    /// @notice The 32 bytes that a validator signs to vote: eight words. A vote for nothing (nil) has value zero.
    function vote(uint256 kind, address inbox, uint64 epoch, uint64 height, uint32 round, bytes32 value)
        internal
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(PROTOCOL, kind, block.chainid, inbox, epoch, height, round, value));
    }

    /// @notice The id of a batch: its content only, whatever carries it. Ten words.
    function batchId(ISequencerInbox.BatchHeader calldata header) internal pure returns (bytes32) {
        return keccak256(abi.encode(HEADER_VERSION, header));
    }

    /// @notice Word 6 of a batch: its id bound to the bytes that may carry it, in blobs or in calldata, and to those that
    /// are on L1 either way.
    function batchContent(bytes32 id, bytes32[] memory blobHashes, bytes32 calldataHash, bytes32 inlineHash)
        internal
        pure
        returns (bytes32)
    {
        bytes32 blobsHash = keccak256(abi.encodePacked(blobHashes));
        bytes32 carrier = keccak256(abi.encode(blobsHash, calldataHash, inlineHash));
        return keccak256(abi.encode(id, carrier));
    }

    /// @notice The queue's accumulator with one more entry.
    function accumulate(bytes32 before, uint32 rollup, bytes calldata data) internal pure returns (bytes32) {
        return keccak256(abi.encode(before, rollup, keccak256(data)));
    }

    /// @notice Word 6 of a handover: the new key and where in the history its epoch starts. Five words.
    function handoverContent(ISequencerInbox.Handover calldata next) internal pure returns (bytes32) {
        return keccak256(abi.encode(next.keyX, next.keyY, next.firstBatch, next.firstHeight, next.committeeHash));
    }

    /// @notice How a committee is named: the addresses of its members, in ascending order of their ids.
    function committeeHash(address[] memory committee) internal pure returns (bytes32) {
        return keccak256(abi.encode(committee));
    }

    /// @notice Word 6 of a change of the allow-list.
    function allowContent(address owner, bool allowed) internal pure returns (bytes32) {
        return keccak256(abi.encode(owner, allowed));
    }
}
