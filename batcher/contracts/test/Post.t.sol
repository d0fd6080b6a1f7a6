// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {SequencerInbox} from "../src/SequencerInbox.sol";
import {GroupSigner} from "./GroupSigner.sol";
import {InboxFixture} from "./InboxFixture.sol";
import {Vm} from "./TestBase.sol";

contract PostTest is InboxFixture {
    function setUp() public override {
        super.setUp();
        initialise();
    }

    function requireRecorded(ISequencerInbox.BatchHeader memory header) private view {
        (uint64 number, bytes32 id, uint64 lastHeight) = inbox.lastBatch();
        vm.assertEq(number, header.number, "number");
        vm.assertEq(id, idOf(header), "id");
        vm.assertEq(lastHeight, header.lastHeight, "lastHeight");
        vm.assertEq(inbox.nextNumber(), header.number + 1, "nextNumber");
    }

    function test_batches_in_sequence_are_recorded() public {
        for (uint256 count = 1; count <= 9; count++) {
            requireRecorded(postNext(count));
        }
    }

    function test_the_event_says_all_that_derivation_needs() public {
        postNext(1);
        ISequencerInbox.BatchHeader memory header = nextHeader();
        header.l1Reference = 8;
        bytes32 calldataHash = keccak256("the same batch as calldata");
        bytes memory inlineData = "on L1 itself";
        bytes32 inlineHash = keccak256(inlineData);
        bytes32 digest = batchDigest(header, calldataHash, inlineHash, blobs(3));
        ISequencerInbox.GroupSignature memory signature = groupSign(digest);
        vm.blobhashes(blobs(3));
        vm.recordLogs();
        inbox.post(header, calldataHash, inlineData, signature);

        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 2, "two events");
        vm.assertEq(logs[0].topics[0], ISequencerInbox.InlineData.selector, "InlineData");
        vm.assertEq(logs[0].topics[1], bytes32(uint256(2)), "its number");
        vm.assertEq(logs[0].data, abi.encode(inlineData), "its data");
        vm.assertEq(logs[1].emitter, address(inbox), "emitter");
        vm.assertEq(logs[1].topics.length, 3, "topics");
        vm.assertEq(logs[1].topics[0], ISequencerInbox.BatchPosted.selector, "BatchPosted");
        vm.assertEq(logs[1].topics[1], bytes32(uint256(2)), "number");
        vm.assertEq(logs[1].topics[2], idOf(header), "id");
        vm.assertEq(logs[1].data, abi.encode(header, calldataHash, inlineHash, blobs(3), false), "data");
    }

    function test_a_batch_of_one_block_is_good() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        header.lastHeight = header.firstHeight;
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
        vm.blobhashes(blobs(1));
        inbox.post(header, 0, "", signature);
        requireRecorded(header);
    }

    function test_anyone_may_post() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
        vm.blobhashes(blobs(1));
        vm.prank(address(0xbeef));
        inbox.post(header, 0, "", signature);
        requireRecorded(header);
    }

    /// Signs the header as it is and expects that `post` names what is wrong with it.
    function refused(ISequencerInbox.BatchHeader memory header, bytes memory reason) private {
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
        vm.blobhashes(blobs(1));
        vm.expectRevert(reason);
        inbox.post(header, 0, "", signature);
    }

    function test_replay_is_refused() public {
        ISequencerInbox.BatchHeader memory header = postNext(1);
        refused(header, abi.encodeWithSelector(ISequencerInbox.WrongNumber.selector, 2, 1));
    }

    function test_another_encoding_of_a_recorded_batch_is_refused() public {
        ISequencerInbox.BatchHeader memory header = postNext(1);
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(2));
        vm.blobhashes(blobs(2));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongNumber.selector, 2, 1));
        inbox.post(header, 0, "", signature);
    }

    function test_a_gap_is_refused() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        header.number = 2;
        refused(header, abi.encodeWithSelector(ISequencerInbox.WrongNumber.selector, 1, 2));
        header.number = 0;
        refused(header, abi.encodeWithSelector(ISequencerInbox.WrongNumber.selector, 1, 0));
        header.number = type(uint64).max;
        refused(header, abi.encodeWithSelector(ISequencerInbox.WrongNumber.selector, 1, type(uint64).max));
    }

    function test_wrong_parent_is_refused() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        header.parentId = bytes32(uint256(1));
        refused(header, abi.encodeWithSelector(ISequencerInbox.WrongParent.selector, bytes32(0), bytes32(uint256(1))));

        bytes32 first = idOf(postNext(1));
        header = nextHeader();
        header.parentId = bytes32(0);
        refused(header, abi.encodeWithSelector(ISequencerInbox.WrongParent.selector, first, bytes32(0)));
    }

    function test_wrong_epoch_is_refused() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        header.epoch = 1;
        refused(header, abi.encodeWithSelector(ISequencerInbox.WrongEpoch.selector, 0, 1));
    }

    function test_left_out_or_repeated_blocks_are_refused() public {
        postNext(1);
        ISequencerInbox.BatchHeader memory header = nextHeader();
        header.firstHeight = 12;
        refused(header, abi.encodeWithSelector(ISequencerInbox.WrongFirstHeight.selector, 11, 12));
        header.firstHeight = 10;
        refused(header, abi.encodeWithSelector(ISequencerInbox.WrongFirstHeight.selector, 11, 10));
    }

    function test_an_empty_range_is_refused() public {
        postNext(1);
        ISequencerInbox.BatchHeader memory header = nextHeader();
        header.lastHeight = 10;
        refused(header, abi.encodeWithSelector(ISequencerInbox.EmptyRange.selector, 11, 10));
    }

    function test_a_transaction_without_blobs_is_refused() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, new bytes32[](0));
        vm.blobhashes(new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.NoPayload.selector));
        inbox.post(header, 0, "", signature);
    }

    /// Posts with a signature made for something else; `digest` is what the inbox sees.
    function unsigned(
        ISequencerInbox.BatchHeader memory header,
        bytes32 calldataHash,
        bytes32[] memory blobHashes,
        ISequencerInbox.GroupSignature memory signature
    ) private {
        bytes32 digest = batchDigest(header, calldataHash, blobHashes);
        vm.blobhashes(blobHashes);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidGroupSignature.selector, digest));
        inbox.post(header, calldataHash, "", signature);
        vm.assertEq(inbox.nextNumber(), header.number, "nothing recorded");
    }

    function test_other_blobs_or_calldata_than_signed_are_refused() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(2));
        unsigned(header, 0, blobs(1), signature);
        unsigned(header, 0, blobs(3), signature);
        unsigned(header, keccak256("calldata"), blobs(2), signature);
        vm.blobhashes(blobs(2));
        bytes32 digest = batchDigest(header, 0, keccak256("inline"), blobs(2));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidGroupSignature.selector, digest));
        inbox.post(header, 0, "inline", signature);
        bytes32[] memory swapped = blobs(2);
        (swapped[0], swapped[1]) = (swapped[1], swapped[0]);
        unsigned(header, 0, swapped, signature);
    }

    function test_every_header_field_is_signed() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
        // number, parent, epoch and firstHeight are refused before the signature is looked at.
        header.lastHeight += 1;
        unsigned(header, 0, blobs(1), signature);
        header = nextHeader();
        header.lastHeaderHash ^= bytes32(uint256(1));
        unsigned(header, 0, blobs(1), signature);
        header = nextHeader();
        header.lastTime += 1;
        unsigned(header, 0, blobs(1), signature);
        header = nextHeader();
        header.forcedCursor += 1;
        unsigned(header, 0, blobs(1), signature);
        header = nextHeader();
        header.l1Reference += 1;
        unsigned(header, 0, blobs(1), signature);
    }

    function test_signatures_of_another_chain_contract_or_kind_are_refused() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
        vm.chainId(block.chainid + 1);
        unsigned(header, 0, blobs(1), signature);

        signature = signBatch(header, 0, blobs(1));
        inbox = new SequencerInbox(addresses(validatorKeys), termsWith(RECOVERY_DELAY));
        initialise();
        unsigned(header, 0, blobs(1), signature);

        for (uint256 kind = 1; kind <= 4; kind++) {
            if (kind == 2) continue;
            bytes32 carrier = keccak256(bytes.concat(keccak256(bytes.concat(blobs(1)[0])), bytes32(0), bytes32(0)));
            bytes32 content = keccak256(bytes.concat(idOf(header), carrier));
            bytes32 digest = preimage(kind, 0, header.number, content);
            signature = GroupSigner.sign(GROUP_SECRET, 77, abi.encode(digest));
            unsigned(header, 0, blobs(1), signature);
            digest = preimage(2, 0, header.number + kind, content);
            signature = GroupSigner.sign(GROUP_SECRET, 77, abi.encode(digest));
            unsigned(header, 0, blobs(1), signature);
            digest = preimage(2, kind, header.number, content);
            signature = GroupSigner.sign(GROUP_SECRET, 77, abi.encode(digest));
            unsigned(header, 0, blobs(1), signature);
        }
    }

    function test_another_key_or_a_spoilt_signature_is_refused() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        bytes memory message = abi.encode(batchDigest(header, 0, blobs(1)));
        unsigned(header, 0, blobs(1), GroupSigner.sign(GROUP_SECRET + 1, 77, message));
        ISequencerInbox.GroupSignature memory good = GroupSigner.sign(GROUP_SECRET, 77, message);
        unsigned(header, 0, blobs(1), ISequencerInbox.GroupSignature(good.rx, good.ry, 0));
        unsigned(header, 0, blobs(1), ISequencerInbox.GroupSignature(good.rx, good.ry, good.z ^ 1));
        unsigned(header, 0, blobs(1), ISequencerInbox.GroupSignature(good.rx ^ 1, good.ry, good.z));
        unsigned(header, 0, blobs(1), ISequencerInbox.GroupSignature(good.rx, good.ry ^ 1, good.z));
        unsigned(header, 0, blobs(1), ISequencerInbox.GroupSignature(0, 0, 0));
    }

    function test_initialise_cannot_replace_the_key_later() public {
        postNext(1);
        bytes[] memory signatures = signedBy([uint256(0), 1, 2]);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.AlreadyInitialised.selector));
        inbox.initialise(group.publicKeyX, group.publicKeyY, signatures);
    }

    function testFuzz_ids_and_digests_follow_the_protocol(
        bytes32 lastHeaderHash,
        uint64 blocks,
        uint64 lastTime,
        uint64 l1Reference,
        bytes32 calldataHash
    ) public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        header.lastHeight = 1 + blocks % (type(uint64).max - 1);
        header.lastHeaderHash = lastHeaderHash;
        header.lastTime = lastTime;
        header.l1Reference = l1Reference;
        ISequencerInbox.GroupSignature memory signature = signBatch(header, calldataHash, blobs(1));
        vm.blobhashes(blobs(1));
        inbox.post(header, calldataHash, "", signature);
        requireRecorded(header);
    }
}
