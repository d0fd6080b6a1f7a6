// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {InboxFixture} from "./InboxFixture.sol";
import {Vm} from "./TestBase.sol";

/// @title Several batches in one transaction, and batches without blobs
contract SeriesTest is InboxFixture {
    function setUp() public override {
        super.setUp();
        initialise();
    }

    /// So many batches after what is recorded, each in so many of `all` blobs, in order.
    function series(uint256[] memory sizes, bytes32[] memory all)
        private
        returns (ISequencerInbox.Posting[] memory postings)
    {
        postings = new ISequencerInbox.Posting[](sizes.length);
        ISequencerInbox.BatchHeader memory header = nextHeader();
        uint256 first = 0;
        for (uint256 i = 0; i < sizes.length; i++) {
            bytes32[] memory own = new bytes32[](sizes[i]);
            for (uint256 j = 0; j < sizes[i]; j++) {
                own[j] = all[first + j];
            }
            first += sizes[i];
            postings[i] = ISequencerInbox.Posting(copy(header), 0, "", signBatch(header, 0, own), sizes[i]);
            header.parentId = idOf(header);
            header.number++;
            header.firstHeight = header.lastHeight + 1;
            header.lastHeight += 5;
        }
    }

    function copy(ISequencerInbox.BatchHeader memory header) private pure returns (ISequencerInbox.BatchHeader memory) {
        return abi.decode(abi.encode(header), (ISequencerInbox.BatchHeader));
    }

    function sizesOf(uint256 one, uint256 two, uint256 three) private pure returns (uint256[] memory sizes) {
        sizes = new uint256[](3);
        (sizes[0], sizes[1], sizes[2]) = (one, two, three);
    }

    function test_three_batches_in_six_blobs_are_recorded() public {
        ISequencerInbox.Posting[] memory postings = series(sizesOf(1, 3, 2), blobs(6));
        vm.blobhashes(blobs(6));
        vm.recordLogs();
        inbox.postSeries(postings);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 3, "events");
        for (uint256 i = 0; i < 3; i++) {
            vm.assertEq(logs[i].topics[1], bytes32(i + 1), "number");
        }
        (,,, bytes32[] memory second,) =
            abi.decode(logs[1].data, (ISequencerInbox.BatchHeader, bytes32, bytes32, bytes32[], bool));
        vm.assertEq(second.length, 3, "blobs of the second");
        vm.assertEq(second[0], blobs(6)[1], "its first blob");
        (uint64 number, bytes32 id,) = inbox.lastBatch();
        vm.assertEq(number, 3, "number");
        vm.assertEq(id, idOf(postings[2].header), "id");
    }

    function test_what_another_batcher_posted_meanwhile_is_passed_over() public {
        ISequencerInbox.Posting[] memory postings = series(sizesOf(1, 2, 1), blobs(4));
        vm.blobhashes(blobs(1));
        inbox.post(postings[0].header, 0, "", postings[0].signature);
        vm.blobhashes(blobs(4));
        inbox.postSeries(postings);
        vm.assertEq(inbox.nextNumber(), 4, "the rest");
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongNumber.selector, 4, 3));
        inbox.postSeries(postings);
    }

    function test_a_series_with_one_bad_batch_is_refused_as_a_whole() public {
        ISequencerInbox.Posting[] memory postings = series(sizesOf(1, 1, 1), blobs(3));
        postings[2].signature.z ^= 1;
        vm.blobhashes(blobs(3));
        bytes32[] memory own = new bytes32[](1);
        own[0] = blobs(3)[2];
        bytes32 digest = batchDigest(postings[2].header, 0, own);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidGroupSignature.selector, digest));
        inbox.postSeries(postings);
        vm.assertEq(inbox.nextNumber(), 1, "nothing");
    }

    function test_blobs_are_neither_missing_nor_left_over() public {
        ISequencerInbox.Posting[] memory postings = series(sizesOf(1, 2, 1), blobs(4));
        vm.blobhashes(blobs(2));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongBlobCount.selector, 2, 1));
        inbox.postSeries(postings);
        vm.blobhashes(blobs(3));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.NoPayload.selector));
        inbox.postSeries(postings);
        vm.blobhashes(blobs(5));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongBlobCount.selector, 4, 5));
        inbox.postSeries(postings);
        vm.blobhashes(blobs(4));
        inbox.postSeries(postings);
    }

    function test_an_empty_series_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongNumber.selector, 1, 1));
        inbox.postSeries(new ISequencerInbox.Posting[](0));
    }

    function test_a_gap_inside_is_refused() public {
        ISequencerInbox.Posting[] memory postings = series(sizesOf(1, 1, 1), blobs(3));
        postings[1] = postings[2];
        vm.blobhashes(blobs(3));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongNumber.selector, 2, 3));
        inbox.postSeries(postings);
    }

    function test_a_batch_is_carried_by_calldata_and_logged() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        bytes memory payload = "the whole payload";
        bytes memory inlineData = "what is on L1 in any case";
        bytes32 digest = batchDigest(header, keccak256(payload), keccak256(inlineData), blobs(2));
        ISequencerInbox.GroupSignature memory signature = groupSign(digest);
        vm.blobhashes(new bytes32[](0));
        vm.recordLogs();
        inbox.postCalldata(header, blobs(2), payload, inlineData, signature);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 3, "events");
        vm.assertEq(logs[0].topics[0], ISequencerInbox.BatchData.selector, "BatchData");
        vm.assertEq(logs[0].data, abi.encode(payload), "payload");
        vm.assertEq(logs[1].topics[0], ISequencerInbox.InlineData.selector, "InlineData");
        vm.assertEq(logs[2].topics[0], ISequencerInbox.BatchPosted.selector, "BatchPosted");
        bytes memory said = abi.encode(header, keccak256(payload), keccak256(inlineData), blobs(2), false);
        vm.assertEq(logs[2].data, said, "data");
        vm.assertEq(inbox.nextNumber(), 2, "recorded");
    }

    /// One signature is good for both carriers, and for one posting.
    function test_either_carrier_is_taken_once() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        bytes memory payload = "the whole payload";
        ISequencerInbox.GroupSignature memory signature = signBatch(header, keccak256(payload), blobs(1));
        vm.blobhashes(blobs(1));
        inbox.post(header, keccak256(payload), "", signature);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongNumber.selector, 2, 1));
        inbox.postCalldata(header, blobs(1), payload, "", signature);
    }

    function test_other_calldata_than_signed_is_refused() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        bytes memory payload = "the whole payload";
        ISequencerInbox.GroupSignature memory signature = signBatch(header, keccak256(payload), blobs(1));
        calldataRefused(header, blobs(1), "another payload", "", signature);
        calldataRefused(header, blobs(2), payload, "", signature);
        calldataRefused(header, blobs(1), payload, "more", signature);
        // A batch without calldata form: its hash is zero, which no payload has.
        signature = signBatch(header, 0, blobs(1));
        calldataRefused(header, blobs(1), payload, "", signature);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.NoPayload.selector));
        inbox.postCalldata(header, blobs(1), "", "", signature);
    }

    function calldataRefused(
        ISequencerInbox.BatchHeader memory header,
        bytes32[] memory blobHashes,
        bytes memory payload,
        bytes memory inlineData,
        ISequencerInbox.GroupSignature memory signature
    ) private {
        bytes32 inlineHash = inlineData.length == 0 ? bytes32(0) : keccak256(inlineData);
        bytes32 digest = batchDigest(header, keccak256(payload), inlineHash, blobHashes);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidGroupSignature.selector, digest));
        inbox.postCalldata(header, blobHashes, payload, inlineData, signature);
    }
}
