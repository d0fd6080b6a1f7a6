// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {CommitteeMessage} from "../src/CommitteeMessage.sol";
import {FrostVerifier} from "../src/FrostVerifier.sol";
import {ISequencerInbox} from "../src/ISequencerInbox.sol";

/// @title The libraries behind a call interface, for tests in Solidity and in other languages
contract FrostVerifierHarness {
    function verify(uint256 px, bool pyOdd, bytes32 message, uint256 rx, uint256 ry, uint256 z)
        external
        view
        returns (bool)
    {
        return FrostVerifier.verify(px, pyOdd, message, rx, ry, z);
    }

    /// @notice The verdict, and the gas of the library alone: without the call that reaches it.
    function measure(uint256 px, bool pyOdd, bytes32 message, uint256 rx, uint256 ry, uint256 z)
        external
        view
        returns (bool valid, uint256 gasUsed)
    {
        uint256 before = gasleft();
        valid = FrostVerifier.verify(px, pyOdd, message, rx, ry, z);
        gasUsed = before - gasleft();
    }

    function isOnCurve(uint256 x, uint256 y) external pure returns (bool) {
        return FrostVerifier.isOnCurve(x, y);
    }

    function isValidKey(uint256 x, uint256 y) external pure returns (bool) {
        return FrostVerifier.isValidKey(x, y);
    }

    function digest(uint256 kind, uint64 epoch, uint256 fifth, bytes32 sixth) external view returns (bytes32) {
        return CommitteeMessage.digest(kind, epoch, fifth, sixth);
    }

    function batchId(ISequencerInbox.BatchHeader calldata header) external pure returns (bytes32) {
        return CommitteeMessage.batchId(header);
    }

    function batchContent(bytes32 id, bytes32[] calldata blobHashes, bytes32 calldataHash, bytes32 inlineHash)
        external
        pure
        returns (bytes32)
    {
        return CommitteeMessage.batchContent(id, blobHashes, calldataHash, inlineHash);
    }
}
