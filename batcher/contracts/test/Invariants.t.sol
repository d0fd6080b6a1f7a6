// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {InboxFixture} from "./InboxFixture.sol";
import {TestBase} from "./TestBase.sol";

/// @title Anybody does anything to an inbox, in any order: the committee too, with a bad will if it has one
contract Anybody is InboxFixture {
    /// What the inbox must hold, counted beside it.
    uint64 public batches;
    uint64 public height;
    uint64 public epoch;
    uint256 public paid;
    bytes32 public lastId;
    /// Entries and, of each, when it was made.
    uint256[] public made;
    uint64 public effective;
    uint64 public covered;
    uint64 public escaped;
    uint64 private number = 1_000;

    function setUp() public pure override {}

    constructor() {
        super.setUp();
        initialise();
    }

    receive() external payable {}

    function theInbox() external view returns (ISequencerInbox) {
        return inbox;
    }

    function wait(uint16 seconds_) external {
        vm.warp(block.timestamp + seconds_ % 4_000);
        vm.roll(number += 1 + seconds_ % 3);
    }

    function enqueue(uint32 rollup, bytes calldata data) external {
        uint256 fee = inbox.forcedFee();
        vm.deal(address(this), fee + 5);
        try inbox.enqueue{value: fee + 5}(rollup, data) {
            made.push(block.timestamp);
            paid += fee;
        } catch {}
    }

    function post(uint64 cursor, uint8 blobCount) external {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        header.forcedCursor = cursor % 24;
        uint256 count = blobCount % 7;
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(count));
        vm.blobhashes(blobs(count));
        try inbox.post(header, 0, "", signature) {
            recorded(header);
        } catch {}
    }

    function postCalldata(bytes calldata payload) external {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        header.forcedCursor = inbox.queue().covered;
        ISequencerInbox.GroupSignature memory signature = signBatch(header, keccak256(payload), blobs(1));
        try inbox.postCalldata(header, blobs(1), payload, "", signature) {
            recorded(header);
        } catch {}
    }

    /// Everything that must not count.
    function forge(uint8 what, uint64 by) external {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        header.forcedCursor = inbox.queue().covered;
        uint256 outsider = 1 + uint256(by);
        if (what % 5 == 0) header.number += 1 + by % 1_000;
        if (what % 5 == 1) header.firstHeight += 1 + by % 1_000;
        if (what % 5 == 2) header.parentId ^= bytes32(outsider);
        if (what % 5 == 3) header.epoch += 1 + by % 1_000;
        if (what % 5 == 4) secret = outsider == secret ? 1 : outsider;
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
        secret = GROUP_SECRET + epoch;
        vm.blobhashes(blobs(1));
        (bool accepted,) = address(inbox).call(abi.encodeCall(inbox.post, (header, 0, "", signature)));
        vm.assertFalse(accepted, "a forged batch");
    }

    function rotate(bool forged) external {
        ISequencerInbox.Handover memory next = nextHandover(GROUP_SECRET + epoch + 1, addresses(validatorKeys));
        ISequencerInbox.GroupSignature memory signature = signHandover(next);
        if (forged) next.committeeHash ^= bytes32(uint256(1));
        (bool accepted,) = address(inbox).call(abi.encodeCall(inbox.rotate, (next, signature)));
        vm.assertTrue(accepted != forged, "a handover counts if the key signed it");
        if (accepted) {
            epoch++;
            secret = GROUP_SECRET + epoch;
        }
    }

    function escape(uint64 to) external {
        uint64 wanted = to % 24;
        try inbox.escape(wanted) {
            vm.assertTrue(made[wanted - 1] + ESCAPE_DELAY <= block.timestamp, "escaped too early");
            effective = batches;
            escaped = wanted;
        } catch {}
    }

    function entries() external view returns (uint256) {
        return made.length;
    }

    /// Whether an entry that is neither covered nor escaped waits for too long.
    function isOverdue() public view returns (bool) {
        for (uint256 i = covered > escaped ? covered : escaped; i < made.length; i++) {
            if (block.timestamp > made[i] + INCLUSION_DELAY) return true;
        }
        return false;
    }

    function recorded(ISequencerInbox.BatchHeader memory header) private {
        batches++;
        height = header.lastHeight;
        lastId = idOf(header);
        covered = header.forcedCursor;
        if (!isOverdue()) effective = batches;
    }
}

/// @title What holds whatever they do
contract InvariantsTest is TestBase {
    Anybody private anybody;
    ISequencerInbox private inbox;

    function setUp() public {
        anybody = new Anybody();
        inbox = anybody.theInbox();
    }

    /// What forge calls between the checks.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(anybody);
    }

    /// No number is skipped or repeated, and each batch continues the one before.
    function invariant_batches_are_one_sequence() public view {
        (uint64 number, bytes32 id, uint64 height) = inbox.lastBatch();
        vm.assertEq(number, anybody.batches(), "number");
        vm.assertEq(id, anybody.lastId(), "id");
        vm.assertEq(height, anybody.height(), "height");
    }

    /// Only handovers that the key signed change the key.
    function invariant_the_key_is_that_of_the_last_handover() public view {
        vm.assertEq(inbox.epoch(), anybody.epoch(), "epoch");
    }

    /// Batches have effect up to the last one that left nothing overdue uncovered, or to the last escape.
    function invariant_what_is_pending_leaves_something_overdue() public view {
        uint64 pendingFrom = inbox.queue().pendingFrom;
        uint64 effective = pendingFrom == 0 ? anybody.batches() : pendingFrom - 1;
        vm.assertEq(effective, anybody.effective(), "effective");
    }

    /// Nothing leaves the queue but by a batch that covers it or an escape in due time.
    function invariant_the_queue_only_grows() public view {
        ISequencerInbox.Queue memory queue = inbox.queue();
        vm.assertEq(queue.count, anybody.entries(), "count");
        vm.assertEq(queue.covered, anybody.covered(), "covered");
        vm.assertEq(queue.escaped, anybody.escaped(), "escaped");
        vm.assertLe(queue.covered, queue.count, "no more than there are");
    }

    /// The inbox keeps the fees and gives back the rest.
    function invariant_fees_stay() public view {
        vm.assertEq(address(inbox).balance, anybody.paid(), "balance");
    }
}
