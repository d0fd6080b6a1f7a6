// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {FrostVerifier} from "../src/FrostVerifier.sol";
import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {SequencerInbox} from "../src/SequencerInbox.sol";
import {GroupSigner} from "./GroupSigner.sol";
import {InboxFixture} from "./InboxFixture.sol";
import {Vm} from "./TestBase.sol";

contract RotateTest is InboxFixture {
    uint256 private constant NEXT_SECRET = 0xbeef;

    function setUp() public override {
        super.setUp();
        initialise();
        postNext(1);
    }

    /// Validators 101, 102, 105: another committee than the founders.
    function newCommittee() private pure returns (address[] memory committee) {
        committee = new address[](4);
        (committee[0], committee[1]) = (vm.addr(101), vm.addr(102));
        (committee[2], committee[3]) = (vm.addr(105), vm.addr(106));
    }

    function handover() private returns (ISequencerInbox.Handover memory) {
        return nextHandover(NEXT_SECRET, newCommittee());
    }

    /// Signs the handover as it is and expects that `rotate` names what is wrong with it.
    function refused(ISequencerInbox.Handover memory next, bytes memory reason) private {
        ISequencerInbox.GroupSignature memory signature = signHandover(next);
        vm.expectRevert(reason);
        inbox.rotate(next, signature);
    }

    /// Rotates with a signature made for something else; `digest` is what the inbox sees.
    function unsigned(ISequencerInbox.Handover memory next, ISequencerInbox.GroupSignature memory signature) private {
        bytes32 digest = handoverDigest(inbox.epoch(), next);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidGroupSignature.selector, digest));
        inbox.rotate(next, signature);
        vm.assertEq(inbox.epoch(), 0, "nothing recorded");
    }

    function test_the_outgoing_key_hands_over() public {
        ISequencerInbox.Handover memory next = handover();
        ISequencerInbox.GroupSignature memory signature = signHandover(next);
        vm.recordLogs();
        vm.prank(address(0xbeef));
        inbox.rotate(next, signature);

        vm.assertEq(inbox.epoch(), 1, "epoch");
        vm.assertEq(inbox.key(), compressedKey(NEXT_SECRET), "key");
        (uint64 keyEpoch, uint256 x, bool yOdd) = inbox.groupKey();
        vm.assertEq(keyEpoch, 1, "epoch of the key");
        vm.assertEq(x, next.keyX, "x");
        vm.assertEq(yOdd ? 1 : 0, next.keyY % 2, "parity");
        vm.assertEq(inbox.committeeHash(), hashOf(newCommittee()), "committee");
        vm.assertEq(inbox.nextNumber(), 2, "batches go on");

        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], ISequencerInbox.Rotated.selector, "Rotated");
        vm.assertEq(logs[0].topics[1], bytes32(uint256(1)), "epoch in the event");
        bytes32 hash = hashOf(newCommittee());
        vm.assertEq(logs[0].data, abi.encode(next.keyX, next.keyY, uint64(2), uint64(11), hash), "data");
    }

    function test_batches_go_on_under_the_new_key_only() public {
        rotateTo(NEXT_SECRET, newCommittee());

        ISequencerInbox.BatchHeader memory header = nextHeader();
        vm.assertEq(header.number, 2, "number");
        vm.assertEq(header.firstHeight, 11, "height");
        secret = GROUP_SECRET;
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
        bytes32 digest = batchDigest(header, 0, blobs(1));
        vm.blobhashes(blobs(1));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidGroupSignature.selector, digest));
        inbox.post(header, 0, "", signature);

        header.epoch = 0;
        signature = signBatch(header, 0, blobs(1));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongEpoch.selector, 1, 0));
        inbox.post(header, 0, "", signature);

        secret = NEXT_SECRET;
        postNext(1);
        vm.assertEq(inbox.nextNumber(), 3, "posted");
    }

    function test_resharing_keeps_the_key() public {
        rotateTo(GROUP_SECRET, newCommittee());
        vm.assertEq(inbox.epoch(), 1, "epoch");
        vm.assertEq(inbox.key(), compressedKey(GROUP_SECRET), "key");
        vm.assertEq(inbox.committeeHash(), hashOf(newCommittee()), "committee");
        postNext(1);
    }

    function test_rotations_without_batches_between_them() public {
        for (uint256 i = 1; i <= 5; i++) {
            rotateTo(NEXT_SECRET + i, newCommittee());
        }
        vm.assertEq(inbox.epoch(), 5, "epoch");
        vm.assertEq(inbox.key(), compressedKey(NEXT_SECRET + 5), "key");
        postNext(1);
    }

    function test_before_initialise_there_is_nothing_to_hand_over() public {
        super.setUp();
        refused(handover(), abi.encodeWithSelector(ISequencerInbox.NotInitialised.selector));
    }

    /// The committee signs the handover ahead of its last batches; nobody can cut them off with it.
    function test_it_waits_for_open_batches_of_the_old_epoch() public {
        ISequencerInbox.Handover memory next = handover();
        next.firstBatch = 3;
        next.firstHeight = 21;
        ISequencerInbox.GroupSignature memory signature = signHandover(next);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongNumber.selector, 2, 3));
        inbox.rotate(next, signature);
        postNext(1);
        inbox.rotate(next, signature);
        vm.assertEq(inbox.epoch(), 1, "rotated");
    }

    function test_it_comes_too_late_after_another_batch() public {
        ISequencerInbox.Handover memory next = handover();
        ISequencerInbox.GroupSignature memory signature = signHandover(next);
        postNext(1);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongNumber.selector, 3, 2));
        inbox.rotate(next, signature);
    }

    function test_left_out_or_repeated_blocks_are_refused() public {
        ISequencerInbox.Handover memory next = handover();
        next.firstHeight = 12;
        refused(next, abi.encodeWithSelector(ISequencerInbox.WrongFirstHeight.selector, 11, 12));
        next.firstHeight = 10;
        refused(next, abi.encodeWithSelector(ISequencerInbox.WrongFirstHeight.selector, 11, 10));
    }

    function test_only_the_next_epoch_is_taken() public {
        ISequencerInbox.Handover memory next = handover();
        uint64[3] memory wrong = [0, 2, type(uint64).max];
        for (uint256 i = 0; i < wrong.length; i++) {
            next.epoch = wrong[i];
            refused(next, abi.encodeWithSelector(ISequencerInbox.WrongEpoch.selector, 1, wrong[i]));
        }
    }

    function test_replay_is_refused() public {
        ISequencerInbox.Handover memory next = handover();
        ISequencerInbox.GroupSignature memory signature = signHandover(next);
        inbox.rotate(next, signature);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongEpoch.selector, 2, 1));
        inbox.rotate(next, signature);
    }

    /// With a kept key, number and height as before, only the epochs tell two handovers apart.
    function test_a_handover_with_a_kept_key_is_good_once() public {
        ISequencerInbox.Handover memory next = nextHandover(GROUP_SECRET, newCommittee());
        ISequencerInbox.GroupSignature memory signature = signHandover(next);
        inbox.rotate(next, signature);
        next.epoch = 2;
        bytes32 digest = handoverDigest(1, next);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidGroupSignature.selector, digest));
        inbox.rotate(next, signature);
    }

    function test_every_field_is_signed() public {
        ISequencerInbox.Handover memory next = handover();
        ISequencerInbox.GroupSignature memory signature = signHandover(next);
        // Epoch, batch and height are refused before the signature is looked at.
        ISequencerInbox.Handover memory other = handover();
        Vm.Wallet memory key = vm.createWallet(NEXT_SECRET + 1);
        (other.keyX, other.keyY) = (key.publicKeyX, key.publicKeyY);
        unsigned(other, signature);
        other = handover();
        other.keyY = FrostVerifier.P - other.keyY;
        unsigned(other, signature);
        other = handover();
        other.committeeHash ^= bytes32(uint256(1));
        unsigned(other, signature);

        other = handover();
        other.firstBatch += 1;
        unsigned(next, signHandover(other));
        other = handover();
        other.firstHeight += 1;
        unsigned(next, signHandover(other));
        other = handover();
        other.epoch += 1;
        unsigned(next, signHandover(other));
        unsigned(next, groupSign(handoverDigest(1, next)));
    }

    function test_signatures_of_another_chain_contract_kind_or_key_are_refused() public {
        ISequencerInbox.Handover memory next = handover();
        ISequencerInbox.GroupSignature memory signature = signHandover(next);
        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        unsigned(next, signature);
        vm.chainId(chain);

        bytes32 content =
            keccak256(abi.encode(next.keyX, next.keyY, next.firstBatch, next.firstHeight, next.committeeHash));
        for (uint256 kind = 1; kind <= 5; kind++) {
            if (kind == 3) continue;
            unsigned(next, groupSign(preimage(kind, 0, 1, content)));
        }
        // The incoming key cannot install itself.
        unsigned(next, GroupSigner.sign(NEXT_SECRET, 7, abi.encode(handoverDigest(0, next))));
        unsigned(next, ISequencerInbox.GroupSignature(signature.rx, signature.ry, signature.z ^ 1));
        unsigned(next, ISequencerInbox.GroupSignature(0, 0, 0));

        SequencerInbox first = inbox;
        super.setUp();
        initialise();
        postNext(1);
        vm.assertTrue(address(first) != address(inbox), "another inbox");
        unsigned(next, signature);
    }

    function test_keys_that_cannot_sign_are_refused() public {
        uint256 n = FrostVerifier.N;
        uint256[2][4] memory keys = [
            [uint256(0), 0],
            [n, 0x98f66641cb0ae1776b463ebdee3d77fe2658f021db48e2c8ac7ab4c92f83621e],
            [group.publicKeyX, group.publicKeyY ^ 1],
            [type(uint256).max, 1]
        ];
        for (uint256 i = 0; i < keys.length; i++) {
            ISequencerInbox.Handover memory next = handover();
            (next.keyX, next.keyY) = (keys[i][0], keys[i][1]);
            refused(next, abi.encodeWithSelector(ISequencerInbox.InvalidGroupKey.selector, keys[i][0], keys[i][1]));
        }
    }

    function test_initialise_stays_shut() public {
        rotateTo(NEXT_SECRET, newCommittee());
        bytes[] memory signatures = signedBy([uint256(0), 1, 2]);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.AlreadyInitialised.selector));
        inbox.initialise(group.publicKeyX, group.publicKeyY, signatures);
    }

    function testFuzz_any_run_of_batches_and_rotations_keeps_the_sequence(uint256 plan, bytes32 seed) public {
        uint64 epoch = 0;
        uint64 number = 2;
        for (uint256 i = 0; i < 12; i++) {
            if (plan >> i & 1 == 0) {
                postNext(1);
                number++;
            } else {
                rotateTo(1 + uint256(keccak256(abi.encode(seed, i))) % (FrostVerifier.N - 1), newCommittee());
                epoch++;
            }
            vm.assertEq(inbox.epoch(), epoch, "epoch");
            vm.assertEq(inbox.nextNumber(), number, "number");
            vm.assertEq(inbox.key(), compressedKey(secret), "key");
        }
    }
}
