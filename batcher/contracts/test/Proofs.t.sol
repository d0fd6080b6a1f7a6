// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {FrostVerifier} from "../src/FrostVerifier.sol";
import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {SequencerInbox} from "../src/SequencerInbox.sol";
import {TestBase} from "./TestBase.sol";

/// @title The part of halmos' cheat codes that these proofs use
interface Svm {
    function createUint(uint256 bits, string calldata name) external returns (uint256);
    function createUint256(string calldata name) external returns (uint256);
    function createBytes32(string calldata name) external returns (bytes32);
    function createBytes(uint256 length, string calldata name) external returns (bytes memory);
    function createCalldata(string calldata contractName) external returns (bytes memory);
    function enableSymbolicStorage(address account) external;
}

/// @title What holds for every state of the inbox and every call, proven by symbolic execution (`./analyse.sh`)
///
/// The storage is anything at all, so these are steps of an induction: what one call cannot break, no history can. Hashes and
/// `ecrecover` are functions that nothing is known of but that they are functions.
contract ProofsTest is TestBase {
    Svm private constant svm = Svm(address(uint160(uint256(keccak256("svm cheat code")))));
    uint256 private constant TIP = 5;
    uint256 private constant KEY = 6;
    uint256 private constant LAST_ID = 7;
    uint256 private constant COMMITTEE = 9;

    SequencerInbox private inbox;

    function setUp() public {
        address[] memory founders = new address[](4);
        for (uint160 i = 0; i < 4; i++) {
            founders[i] = address(i + 1);
        }
        inbox = new SequencerInbox(founders, ISequencerInbox.Terms(3_600, 3_600, 7_200, 1));
        svm.enableSymbolicStorage(address(inbox));
    }

    function slot(uint256 number) private view returns (uint256) {
        return uint256(vm.load(address(inbox), bytes32(number)));
    }

    function anyHeader() private returns (ISequencerInbox.BatchHeader memory header) {
        header.number = uint64(svm.createUint(64, "number"));
        header.parentId = svm.createBytes32("parentId");
        header.epoch = uint64(svm.createUint(64, "epoch"));
        header.firstHeight = uint64(svm.createUint(64, "firstHeight"));
        header.lastHeight = uint64(svm.createUint(64, "lastHeight"));
        header.lastHeaderHash = svm.createBytes32("lastHeaderHash");
        header.lastTime = uint64(svm.createUint(64, "lastTime"));
        header.forcedCursor = uint64(svm.createUint(64, "forcedCursor"));
        header.l1Reference = uint64(svm.createUint(64, "l1Reference"));
    }

    function anySignature() private returns (ISequencerInbox.GroupSignature memory) {
        return ISequencerInbox.GroupSignature(svm.createUint256("rx"), svm.createUint256("ry"), svm.createUint256("z"));
    }

    /// A batch that is recorded is the next one, continues the last, is of the key's epoch, and is the last from then on.
    function check_the_sequence_never_skips_or_repeats() public {
        uint256 before = slot(TIP);
        bytes32 parent = bytes32(slot(LAST_ID));
        ISequencerInbox.BatchHeader memory header = anyHeader();
        bytes32[] memory blobHashes = new bytes32[](1);
        blobHashes[0] = svm.createBytes32("blob");
        bytes memory payload = svm.createBytes(32, "payload");
        inbox.postCalldata(header, blobHashes, payload, "", anySignature());

        uint256 afterwards = slot(TIP);
        assert(uint64(before) != 0);
        assert(header.number == uint64(before));
        assert(uint64(afterwards) == uint256(uint64(before)) + 1);
        assert(header.parentId == parent);
        assert(header.epoch == uint64(before >> 128));
        assert(header.firstHeight == uint256(uint64(before >> 64)) + 1);
        assert(header.lastHeight >= header.firstHeight);
        assert(uint64(afterwards >> 64) == header.lastHeight);
        // Epoch and parity of the key are as they were.
        assert(afterwards << 56 >> 184 == before << 56 >> 184);
        assert(bytes32(slot(LAST_ID)) == keccak256(abi.encode(uint64(1), header)));
    }
}
