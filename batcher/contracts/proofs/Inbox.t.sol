// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {SequencerInbox} from "../src/SequencerInbox.sol";
import {TestBase} from "../test/TestBase.sol";

/// @title The part of halmos' cheat codes that these proofs use
interface Svm {
    function createUint(uint256 bits, string calldata name) external returns (uint256);
    function createUint256(string calldata name) external returns (uint256);
    function createBytes32(string calldata name) external returns (bytes32);
    function createBytes(uint256 length, string calldata name) external returns (bytes memory);
    function createCalldata(string calldata contractName) external returns (bytes memory);
    function enableSymbolicStorage(address account) external;
}

/// @title The inbox with a verifier that knows by itself what is signed, and blobs out of nowhere
///
/// The verdict on each digest under each key is a fixed one of which nothing is known. What `FrostVerifier` makes of a signature
/// is tested with vectors; here it is about what the inbox makes of a verdict. A transaction has up to two blobs.
contract JudgedInbox is SequencerInbox {
    mapping(bytes32 => bool) private verdicts;
    mapping(uint256 => bytes32) private blobs;

    constructor(address[] memory founders, Terms memory terms_) SequencerInbox(founders, terms_) {}

    function isSigned(bytes32 digest, uint256 x, bool yOdd, GroupSignature calldata)
        internal
        view
        override
        returns (bool)
    {
        return verdict(digest, x, yOdd);
    }

    function verdict(bytes32 digest, uint256 x, bool yOdd) public view returns (bool) {
        return verdicts[keccak256(abi.encode(digest, x, yOdd))];
    }

    function transactionBlobs(uint256 from, uint256 most) internal view override returns (bytes32[] memory hashes) {
        uint256 count = 0;
        while (count < most && from + count < 2 && blobs[from + count] != 0) count++;
        hashes = new bytes32[](count);
        for (uint256 i = 0; i < count; i++) {
            hashes[i] = blobs[from + i];
        }
    }
}

/// @title What holds for every state of the inbox and every call, proven by symbolic execution (`./analyse.sh`)
///
/// The storage is anything at all, so these are steps of an induction: what one call cannot break, no history can. Hashes and
/// `ecrecover` are functions of which nothing is known but that they are functions. Lists have up to one element, byte strings
/// up to 65 bytes.
contract InboxProofs is TestBase {
    Svm private constant svm = Svm(address(uint160(uint256(keccak256("svm cheat code")))));
    // The storage layout of README.md.
    uint256 private constant TIP = 5;
    uint256 private constant KEY = 6;
    uint256 private constant LAST_ID = 7;
    uint256 private constant COMMITTEE = 9;

    JudgedInbox private inbox;

    function setUp() public {
        address[] memory founders = new address[](4);
        for (uint160 i = 0; i < 4; i++) {
            founders[i] = address(i + 1);
        }
        inbox = new JudgedInbox(founders, ISequencerInbox.Terms(3_600, 3_600, 7_200, 1));
        svm.enableSymbolicStorage(address(inbox));
        vm.warp(svm.createUint(40, "time"));
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

    /// What the committee signs of a batch, word by word.
    function digestOf(ISequencerInbox.BatchHeader memory header, bytes32 blobHash, bytes memory payload)
        private
        view
        returns (bytes32)
    {
        bytes32 carrier =
            keccak256(abi.encode(keccak256(abi.encodePacked(blobHash)), keccak256(payload), bytes32(0)));
        bytes32 id = keccak256(abi.encode(uint64(1), header));
        bytes32 content = keccak256(abi.encode(id, carrier));
        return keccak256(
            abi.encode(
                bytes32("mpc-sequencer/v1"),
                uint256(2),
                block.chainid,
                address(inbox),
                header.epoch,
                uint256(header.number),
                content
            )
        );
    }

    /// A batch that is recorded is the next one, continues the last, is of the key's epoch, is signed by the key, and is the last
    /// from then on.
    function check_the_sequence_never_skips_or_repeats_and_is_signed() public {
        (uint256 tip, uint256 key, bytes32 parent) = (slot(TIP), slot(KEY), bytes32(slot(LAST_ID)));
        ISequencerInbox.BatchHeader memory header = anyHeader();
        bytes32[] memory blobHashes = new bytes32[](1);
        blobHashes[0] = svm.createBytes32("blob");
        bytes memory payload = svm.createBytes(32, "payload");
        inbox.postCalldata(header, blobHashes, payload, "", anySignature());

        assert(uint64(tip) != 0);
        assert(header.number == uint64(tip));
        assert(header.parentId == parent);
        assert(header.epoch == uint64(tip >> 128));
        assert(header.firstHeight == uint256(uint64(tip >> 64)) + 1);
        assert(header.lastHeight >= header.firstHeight);
        assert(inbox.verdict(digestOf(header, blobHashes[0], payload), key, tip >> 192 & 1 == 1));

        uint256 next = slot(TIP);
        assert(uint64(next) == uint256(uint64(tip)) + 1);
        assert(uint64(next >> 64) == header.lastHeight);
        assert(uint64(next >> 128) == uint64(tip >> 128));
        assert(next >> 192 & 1 == tip >> 192 & 1);
        assert(bytes32(slot(LAST_ID)) == keccak256(abi.encode(uint64(1), header)));
        assert(slot(KEY) == key);
    }

    /// After a batch something is pending exactly if an entry is overdue that is neither covered nor escaped.
    function check_the_deadline() public {
        ISequencerInbox.BatchHeader memory header = anyHeader();
        bytes32[] memory blobHashes = new bytes32[](1);
        ISequencerInbox.Queue memory before = inbox.queue();
        inbox.postCalldata(header, blobHashes, svm.createBytes(32, "payload"), "", anySignature());

        ISequencerInbox.Queue memory next = inbox.queue();
        assert(next.count == before.count && next.escaped == before.escaped);
        assert(next.accumulator == before.accumulator);
        assert(next.covered == header.forcedCursor);
        assert(next.covered >= before.covered && next.covered <= next.count);
        uint64 first = next.covered > next.escaped ? next.covered : next.escaped;
        uint64 delay = inbox.terms().inclusionDelay;
        bool overdue = first < next.count && block.timestamp > uint256(inbox.enqueuedAt(first)) + delay;
        assert((next.pendingFrom != 0) == overdue);
        // What was pending before is so from the same batch on.
        if (overdue && before.pendingFrom != 0) assert(next.pendingFrom == before.pendingFrom);
        if (overdue && before.pendingFrom == 0) assert(next.pendingFrom == header.number);
    }

    /// Nothing but a handover that the key signed, a first key or a recovery changes key, epoch or committee.
    function check_who_changes_the_key() public {
        (uint256 tip, uint256 key, uint256 committee) = (slot(TIP), slot(KEY), slot(COMMITTEE));
        bytes memory call = svm.createCalldata("JudgedInbox");
        bytes4 selector = bytes4(call);
        vm.assume(selector != ISequencerInbox.rotate.selector);
        vm.assume(selector != ISequencerInbox.recover.selector);
        vm.assume(selector != ISequencerInbox.initialise.selector);
        (bool accepted,) = address(inbox).call(call);
        vm.assume(accepted);
        assert(slot(KEY) == key && slot(COMMITTEE) == committee);
        assert(uint64(slot(TIP) >> 128) == uint64(tip >> 128));
        assert(slot(TIP) >> 192 & 1 == tip >> 192 & 1);
    }

    /// A handover that is taken was signed by the key, is to the next epoch, and begins where the last batch ended.
    function check_a_handover_is_signed() public {
        (uint256 tip, uint256 key) = (slot(TIP), slot(KEY));
        ISequencerInbox.Handover memory next = ISequencerInbox.Handover({
            epoch: uint64(svm.createUint(64, "epoch")),
            keyX: svm.createUint256("keyX"),
            keyY: svm.createUint256("keyY"),
            firstBatch: uint64(svm.createUint(64, "firstBatch")),
            firstHeight: uint64(svm.createUint(64, "firstHeight")),
            committeeHash: svm.createBytes32("committeeHash")
        });
        inbox.rotate(next, anySignature());

        bytes32 content =
            keccak256(abi.encode(next.keyX, next.keyY, next.firstBatch, next.firstHeight, next.committeeHash));
        bytes32 digest = keccak256(
            abi.encode(
                bytes32("mpc-sequencer/v1"),
                uint256(3),
                block.chainid,
                address(inbox),
                uint64(tip >> 128),
                uint256(next.epoch),
                content
            )
        );
        assert(inbox.verdict(digest, key, tip >> 192 & 1 == 1));
        assert(next.epoch == uint256(uint64(tip >> 128)) + 1);
        assert(next.firstBatch == uint64(tip));
        assert(next.firstHeight == uint256(uint64(tip >> 64)) + 1);
        assert(slot(KEY) == next.keyX && bytes32(slot(COMMITTEE)) == next.committeeHash);
        assert(uint128(slot(TIP)) == uint128(tip));
    }

    /// Only what was made long enough ago escapes, and nothing else of the queue changes.
    function check_an_escape_is_due() public {
        ISequencerInbox.Queue memory before = inbox.queue();
        uint64 to = uint64(svm.createUint(64, "to"));
        vm.assume(to > 0);
        uint256 due = uint256(inbox.enqueuedAt(to - 1)) + inbox.terms().escapeDelay;
        inbox.escape(to);

        ISequencerInbox.Queue memory next = inbox.queue();
        assert(to > before.covered && to > before.escaped && to <= before.count);
        assert(block.timestamp >= due);
        assert(next.escaped == to && next.pendingFrom == 0);
        assert(next.count == before.count && next.covered == before.covered);
        assert(next.accumulator == before.accumulator);
    }
}
