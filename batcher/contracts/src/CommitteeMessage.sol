// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "./ISequencerInbox.sol";

/// @title What the committee and its validators sign
///
/// Every signed message is the Keccak-256 hash of seven 32-byte words: protocol name, kind, L1 chain id, inbox,
/// epoch, and two words that depend on the kind. Chain and inbox are taken from where the code runs, so that a
/// signature made for another chain or contract can never be handed in.
library CommitteeMessage {
    /// Word 0: the protocol and the version of this layout.
    bytes32 internal constant PROTOCOL = "mpc-sequencer/v1";
    /// Word 1 of a batch; words 5 and 6 are the batch number and `batchContent`.
    uint256 internal constant KIND_BATCH = 2;
    /// Word 1 of the installation of the first key; words 5 and 6 are the key's coordinates.
    uint256 internal constant KIND_INITIALISE = 16;
    /// The version of the header layout that `batchId` hashes. Payloads carry a version of their own.
    uint64 internal constant HEADER_VERSION = 1;

    /// @notice The 32 bytes that are signed.
    function digest(uint256 kind, uint64 epoch, uint256 fifth, bytes32 sixth) internal view returns (bytes32) {
        return keccak256(abi.encode(PROTOCOL, kind, block.chainid, address(this), epoch, fifth, sixth));
    }

    /// @notice The id of a batch: its content only, whatever carries it. Ten words.
    function batchId(ISequencerInbox.BatchHeader calldata header) internal pure returns (bytes32) {
        return keccak256(abi.encode(HEADER_VERSION, header));
    }

    /// @notice Word 6 of a batch: its id bound to the bytes that may carry it, in blobs or in calldata.
    function batchContent(bytes32 id, bytes32[] memory blobHashes, bytes32 calldataHash)
        internal
        pure
        returns (bytes32)
    {
        bytes32 carrier = keccak256(abi.encode(keccak256(abi.encodePacked(blobHashes)), calldataHash));
        return keccak256(abi.encode(id, carrier));
    }
}
