// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {IValidatorRegistry} from "../src/IValidatorRegistry.sol";
import {RegistryFixture} from "./RegistryFixture.sol";

/// @title Both contracts from the founding to the recovery, in one go
contract StoryTest is RegistryFixture {
    uint256 private constant SECOND_SECRET = 0x2222;
    uint256 private constant THIRD_SECRET = 0x3333;

    /// The founders have their key and the first batch is posted (`setUp`).
    function test_a_network_lives() public {
        // A newcomer is let in and joins; the next committee has it instead of validator 4, who leaves.
        vm.assertEq(newcomer(), 5, "id of the newcomer");
        exitOf(4);
        address[] memory committee = committeeOf([uint256(101), 102, 103, 105]);
        ISequencerInbox.Handover memory next = nextHandover(SECOND_SECRET, committee);
        next.firstBatch = 3;
        next.firstHeight = 21;
        ISequencerInbox.GroupSignature memory handover = signHandover(next);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongNumber.selector, 2, 3));
        inbox.rotate(next, handover);

        // The last batch of the old epoch, then the handover.
        postNext(1);
        inbox.rotate(next, handover);
        secret = SECOND_SECRET;
        ISequencerInbox.BatchHeader memory header = postNext(2);
        vm.assertEq(header.epoch, 1, "a batch of the new epoch");
        vm.assertEq(header.number, 3, "the next number");

        // The old key is worthless.
        secret = GROUP_SECRET;
        header = nextHeader();
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
        bytes32 digest = batchDigest(header, 0, blobs(1));
        vm.blobhashes(blobs(1));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidGroupSignature.selector, digest));
        inbox.post(header, 0, "", signature);
        secret = SECOND_SECRET;

        // Validator 4 is relieved, waits, and has its stake.
        registry.relieve(4, committee);
        vm.warp(block.timestamp + UNBONDING);
        vm.prank(founderOwner(4));
        registry.withdraw(4);
        vm.assertEq(founderOwner(4).balance, STAKE, "stake of validator 4");

        // Validator 2 votes twice and is out; the committee goes on without drawing it again.
        registry.slash(vote(102, 18, 0, "one"), vote(102, 18, 0, 0));
        uint256[] memory rest = new uint256[](3);
        (rest[0], rest[1], rest[2]) = (1, 3, 5);
        requireActive(rest);

        recoverFromSilence(committee);
    }

    /// The key is lost with two members' disks. After the delay the three that are left install another.
    function recoverFromSilence(address[] memory committee) private {
        vm.warp(inbox.recoverableAt());
        bytes memory key = compressedKey(THIRD_SECRET);
        ISequencerInbox.Handover memory fresh = nextHandover(THIRD_SECRET, committee);
        bytes32 digest = preimage(23, 1, fresh.keyX, bytes32(fresh.keyY));
        bytes[] memory signatures = new bytes[](3);
        (signatures[0], signatures[1], signatures[2]) = (ecdsa(101, digest), ecdsa(103, digest), ecdsa(105, digest));
        inbox.recover(fresh.keyX, fresh.keyY, committee, signatures);
        vm.assertEq(inbox.key(), key, "recovered");
        vm.assertEq(inbox.epoch(), 2, "epoch");
        secret = THIRD_SECRET;
        postNext(1);

        // And the life of committees goes on.
        vm.deal(address(0x0501), STAKE);
        allow(address(0x0501));
        vm.assertEq(joinAs(106, address(0x0501)), 6, "id of the next newcomer");
        rotateTo(GROUP_SECRET, committeeOf([uint256(101), 103, 105, 106]));
        vm.assertEq(postNext(1).number, 5, "batches go on");
        requireStatus(6, IValidatorRegistry.Status.Active, "in office");
    }
}
