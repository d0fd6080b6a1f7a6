// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {SequencerInbox} from "../src/SequencerInbox.sol";
import {InboxFixture} from "./InboxFixture.sol";
import {Vm} from "./TestBase.sol";

contract ForcedTest is InboxFixture {
    uint32 private constant ROLLUP = 7;

    /// Whether this contract takes ether back.
    bool private takes = true;

    function setUp() public override {
        super.setUp();
        initialise();
        vm.deal(address(this), 1e30);
        vm.roll(1_000);
    }

    receive() external payable {
        require(takes, "no");
    }

    function enqueue() private returns (uint64) {
        return inbox.enqueue{value: inbox.forcedFee()}(ROLLUP, "a transaction");
    }

    /// Posts the next batch, which covers so much of the queue.
    function postCovering(uint64 cursor) private returns (ISequencerInbox.BatchHeader memory header) {
        header = nextHeader();
        header.forcedCursor = cursor;
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
        vm.blobhashes(blobs(1));
        inbox.post(header, 0, "", signature);
    }

    function requireQueue(uint64 count, uint64 covered, uint64 escaped, uint64 pendingFrom) private view {
        ISequencerInbox.Queue memory queue = inbox.queue();
        vm.assertEq(queue.count, count, "count");
        vm.assertEq(queue.covered, covered, "covered");
        vm.assertEq(queue.escaped, escaped, "escaped");
        vm.assertEq(queue.pendingFrom, pendingFrom, "pendingFrom");
    }

    function test_an_entry_is_logged_and_chained() public {
        vm.recordLogs();
        vm.assertEq(inbox.enqueue{value: FORCED_FEE}(ROLLUP, "one"), 0, "first index");
        vm.assertEq(inbox.enqueue{value: FORCED_FEE}(ROLLUP + 1, "two"), 1, "second index");
        bytes32 first = keccak256(abi.encodePacked(bytes32(0), uint256(ROLLUP), keccak256("one")));
        bytes32 second = keccak256(abi.encodePacked(first, uint256(ROLLUP + 1), keccak256("two")));
        vm.assertEq(inbox.queue().accumulator, second, "accumulator");
        vm.assertEq(inbox.enqueuedAt(0), START, "time");
        vm.assertEq(inbox.enqueuedAt(2), 0, "no third");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 2, "events");
        vm.assertEq(logs[1].topics[0], ISequencerInbox.ForcedEnqueued.selector, "ForcedEnqueued");
        vm.assertEq(logs[1].topics[1], bytes32(uint256(1)), "index");
        vm.assertEq(logs[1].topics[2], bytes32(uint256(ROLLUP + 1)), "rollup");
        vm.assertEq(logs[1].data, abi.encode(second, bytes("two")), "data");
        requireQueue(2, 0, 0, 0);
    }

    function test_an_entry_has_1_to_16384_bytes() public {
        uint256[3] memory wrong = [uint256(0), 16_385, 100_000];
        for (uint256 i = 0; i < wrong.length; i++) {
            bytes memory data = new bytes(wrong[i]);
            vm.expectRevert(
                abi.encodeWithSelector(ISequencerInbox.ForcedDataOutOfRange.selector, 16_384, wrong[i])
            );
            inbox.enqueue{value: FORCED_FEE}(ROLLUP, data);
        }
        inbox.enqueue{value: FORCED_FEE}(ROLLUP, new bytes(1));
        inbox.enqueue{value: FORCED_FEE}(ROLLUP, new bytes(16_384));
        requireQueue(2, 0, 0, 0);
    }

    function test_a_block_takes_eight_entries() public {
        for (uint256 i = 0; i < 8; i++) enqueue();
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.ForcedBlockFull.selector, 8));
        inbox.enqueue{value: 1 ether}(ROLLUP, "a ninth");
        vm.roll(block.number + 1);
        enqueue();
        requireQueue(9, 0, 0, 0);
    }

    function test_the_fee_is_asked_for_and_what_is_above_it_given_back() public {
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.ForcedFeeTooLow.selector, FORCED_FEE, FORCED_FEE - 1));
        inbox.enqueue{value: FORCED_FEE - 1}(ROLLUP, "x");
        uint256 before = address(this).balance;
        inbox.enqueue{value: 1 ether}(ROLLUP, "x");
        vm.assertEq(before - address(this).balance, FORCED_FEE, "paid");
        vm.assertEq(address(inbox).balance, FORCED_FEE, "burnt");
        takes = false;
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.RefundFailed.selector));
        inbox.enqueue{value: 1 ether}(ROLLUP, "x");
        inbox.enqueue{value: FORCED_FEE}(ROLLUP, "x");
    }

    /// Six above what a block should have: 64 are reached in the eleventh.
    function test_who_fills_block_after_block_pays_twice_as_much_each_eleven() public {
        uint256 number = block.number;
        uint256 fee = FORCED_FEE;
        uint256 doubled = 0;
        for (uint256 i = 0; i < 60; i++) {
            vm.roll(++number);
            for (uint256 j = 0; j < 8; j++) enqueue();
            if (inbox.forcedFee() > fee) {
                vm.assertEq(inbox.forcedFee(), 2 * fee, "twice");
                fee *= 2;
                doubled++;
            }
        }
        vm.assertEq(doubled, 5, "doublings in sixty blocks");
        // Left alone it comes down again, two entries a block.
        vm.roll(number + 33);
        vm.assertEq(inbox.forcedFee(), fee / 2, "half");
        vm.roll(number + 1_000_000);
        vm.assertEq(inbox.forcedFee(), FORCED_FEE, "as at first");
    }

    function test_two_entries_a_block_cost_the_least() public {
        uint256 number = block.number;
        for (uint256 i = 0; i < 100; i++) {
            vm.roll(++number);
            enqueue();
            enqueue();
        }
        vm.assertEq(inbox.forcedFee(), FORCED_FEE, "fee");
    }

    function test_a_cursor_is_within_the_queue_and_never_goes_back() public {
        enqueue();
        enqueue();
        ISequencerInbox.BatchHeader memory header = nextHeader();
        header.forcedCursor = 3;
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
        vm.blobhashes(blobs(1));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongForcedCursor.selector, 0, 2, 3));
        inbox.post(header, 0, "", signature);
        postCovering(2);
        requireQueue(2, 2, 0, 0);
        header = nextHeader();
        header.forcedCursor = 1;
        signature = signBatch(header, 0, blobs(1));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongForcedCursor.selector, 2, 2, 1));
        inbox.post(header, 0, "", signature);
    }

    function test_batches_are_pending_while_an_entry_is_overdue_and_take_effect_with_the_one_that_covers_it() public {
        enqueue();
        vm.warp(START + INCLUSION_DELAY);
        postCovering(0);
        requireQueue(1, 0, 0, 0);
        vm.warp(START + INCLUSION_DELAY + 1);
        vm.recordLogs();
        postCovering(0);
        requireQueue(1, 0, 0, 2);
        postCovering(0);
        requireQueue(1, 0, 0, 2);
        postCovering(1);
        requireQueue(1, 1, 0, 0);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        bool[3] memory pending = [true, true, false];
        for (uint256 i = 0; i < 3; i++) {
            (,,,, bool said) =
                abi.decode(logs[i].data, (ISequencerInbox.BatchHeader, bytes32, bytes32, bytes32[], bool));
            vm.assertTrue(said == pending[i], "pending");
        }
    }

    /// An honest batch that was sealed before the entry was seen, and posted late, is recorded all the same.
    function test_covering_some_of_what_is_overdue_is_not_enough() public {
        enqueue();
        enqueue();
        vm.warp(START + INCLUSION_DELAY + 1);
        postCovering(1);
        requireQueue(2, 1, 0, 1);
        postCovering(2);
        requireQueue(2, 2, 0, 0);
    }

    function test_a_handover_goes_through_while_batches_are_pending() public {
        enqueue();
        vm.warp(START + INCLUSION_DELAY + 1);
        postCovering(0);
        rotateTo(0xabc, addresses(validatorKeys));
        postCovering(1);
        requireQueue(1, 1, 0, 0);
    }

    function test_what_nobody_covers_escapes_after_the_delay() public {
        enqueue();
        vm.warp(START + 10);
        enqueue();
        vm.warp(START + ESCAPE_DELAY - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISequencerInbox.NotEscapableYet.selector, START + ESCAPE_DELAY, START + ESCAPE_DELAY - 1
            )
        );
        inbox.escape(1);
        vm.warp(START + ESCAPE_DELAY);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISequencerInbox.NotEscapableYet.selector, START + ESCAPE_DELAY + 10, START + ESCAPE_DELAY
            )
        );
        inbox.escape(2);
        vm.recordLogs();
        vm.prank(address(0xbeef));
        inbox.escape(1);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs[0].topics[0], ISequencerInbox.Escaped.selector, "Escaped");
        vm.assertEq(logs[0].data, abi.encode(0, 1, 0), "range and batch");
        requireQueue(2, 0, 1, 0);
    }

    function test_only_entries_that_no_batch_covers_escape_and_each_once() public {
        enqueue();
        enqueue();
        enqueue();
        postCovering(1);
        vm.warp(START + ESCAPE_DELAY);
        uint64[3] memory wrong = [uint64(0), 1, 4];
        for (uint256 i = 0; i < wrong.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.NothingToEscape.selector, 1, 3));
            inbox.escape(wrong[i]);
        }
        inbox.escape(2);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.NothingToEscape.selector, 2, 3));
        inbox.escape(2);
        inbox.escape(3);
        requireQueue(3, 1, 3, 0);
    }

    function test_an_escape_ends_the_pending_and_later_batches_go_on_below_it() public {
        enqueue();
        vm.warp(START + INCLUSION_DELAY + 1);
        postCovering(0);
        requireQueue(1, 0, 0, 1);
        vm.warp(START + ESCAPE_DELAY);
        vm.recordLogs();
        inbox.escape(1);
        vm.assertEq(vm.getRecordedLogs()[0].data, abi.encode(0, 1, 1), "batch 1 has taken effect");
        requireQueue(1, 0, 1, 0);
        // Sealed before the escape was seen: good, and not pending.
        postCovering(0);
        requireQueue(1, 0, 1, 0);
        postCovering(1);
        requireQueue(1, 1, 1, 0);
    }

    function test_terms_out_of_range_are_refused() public {
        address[] memory founders = addresses(validatorKeys);
        ISequencerInbox.Terms memory terms = termsWith(RECOVERY_DELAY);
        uint64[3] memory wrong = [uint64(0), 59, 604_801];
        for (uint256 i = 0; i < wrong.length; i++) {
            terms.inclusionDelay = wrong[i];
            vm.expectRevert(
                abi.encodeWithSelector(ISequencerInbox.InclusionDelayOutOfRange.selector, 60, 604_800, wrong[i])
            );
            new SequencerInbox(founders, terms);
        }
        terms.inclusionDelay = 60;
        wrong = [uint64(119), 2_592_001, type(uint64).max];
        for (uint256 i = 0; i < wrong.length; i++) {
            terms.escapeDelay = wrong[i];
            vm.expectRevert(
                abi.encodeWithSelector(ISequencerInbox.EscapeDelayOutOfRange.selector, 120, 2_592_000, wrong[i])
            );
            new SequencerInbox(founders, terms);
        }
        terms.escapeDelay = 120;
        terms.forcedFee = 0;
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.ForcedFeeZero.selector));
        new SequencerInbox(founders, terms);
        terms.forcedFee = type(uint64).max;
        vm.assertEq(new SequencerInbox(founders, terms).forcedFee(), type(uint64).max, "the highest");
    }

    /// Whatever is enqueued, posted and waited for: a batch is pending exactly if it leaves something overdue uncovered.
    function testFuzz_pending_means_that_something_overdue_is_not_covered(uint8[12] memory steps, uint16[12] memory waits)
        public
    {
        uint256[] memory made = new uint256[](12);
        uint64 count = 0;
        uint64 covered = 0;
        uint256 time = START;
        for (uint256 i = 0; i < steps.length; i++) {
            time += waits[i] % 3_000;
            vm.warp(time);
            vm.roll(2_000 + i);
            if (steps[i] % 3 == 0) {
                enqueue();
                made[count++] = time;
                continue;
            }
            covered = covered + steps[i] % (count - covered + 1);
            postCovering(covered);
            bool pending = false;
            for (uint64 entry = covered; entry < count; entry++) {
                pending = pending || time > made[entry] + INCLUSION_DELAY;
            }
            vm.assertTrue((inbox.queue().pendingFrom != 0) == pending, "pending");
        }
    }
}
