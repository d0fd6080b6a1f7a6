// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {SequencerInbox} from "../src/SequencerInbox.sol";
import {InboxFixture} from "./InboxFixture.sol";
import {Vm} from "./TestBase.sol";

contract RecoverTest is InboxFixture {
    uint256 private constant NEW_SECRET = 0xfe11;

    Vm.Wallet private fresh;

    function setUp() public override {
        super.setUp();
        fresh = vm.createWallet(NEW_SECRET);
        initialise();
        postNext(1);
    }

    function digestFor(uint256 epoch) private view returns (bytes32) {
        return preimage(23, epoch, fresh.publicKeyX, bytes32(fresh.publicKeyY));
    }

    function signed(uint256[] memory keys, bytes32 digest) private pure returns (bytes[] memory signatures) {
        signatures = new bytes[](keys.length);
        for (uint256 i = 0; i < keys.length; i++) {
            signatures[i] = ecdsa(keys[i], digest);
        }
    }

    function three(uint256 a, uint256 b, uint256 c) private pure returns (uint256[] memory keys) {
        keys = new uint256[](3);
        (keys[0], keys[1], keys[2]) = (a, b, c);
    }

    function attempt(bytes[] memory signatures) private {
        inbox.recover(fresh.publicKeyX, fresh.publicKeyY, addresses(validatorKeys), signatures);
    }

    function quorumOfFounders() private view returns (bytes[] memory) {
        return signed(three(101, 102, 104), digestFor(0));
    }

    function silentForLong() private {
        vm.warp(START + RECOVERY_DELAY);
    }

    function test_after_the_silence_a_quorum_installs_a_new_key() public {
        silentForLong();
        bytes[] memory signatures = quorumOfFounders();
        vm.recordLogs();
        vm.prank(address(0xbeef));
        attempt(signatures);

        vm.assertEq(inbox.epoch(), 1, "epoch");
        vm.assertEq(inbox.key(), compressedKey(NEW_SECRET), "key");
        vm.assertEq(inbox.committeeHash(), hashOf(addresses(validatorKeys)), "committee");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], ISequencerInbox.Recovered.selector, "Recovered");
        vm.assertEq(logs[0].topics[1], bytes32(uint256(1)), "epoch in the event");
        bytes memory data =
            abi.encode(fresh.publicKeyX, fresh.publicKeyY, uint64(2), uint64(11), hashOf(addresses(validatorKeys)));
        vm.assertEq(logs[0].data, data, "data");

        secret = NEW_SECRET;
        ISequencerInbox.BatchHeader memory header = postNext(1);
        vm.assertEq(header.number, 2, "batches go on");
        vm.assertEq(header.epoch, 1, "in the new epoch");
    }

    function test_before_the_silence_it_is_refused() public {
        uint256 end = START + RECOVERY_DELAY;
        vm.assertEq(inbox.recoverableAt(), end, "recoverableAt");
        vm.assertEq(inbox.terms().recoveryDelay, RECOVERY_DELAY, "recoveryDelay");
        vm.warp(end - 1);
        bytes[] memory signatures = quorumOfFounders();
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.NotSilentLongEnough.selector, end, end - 1));
        attempt(signatures);
        vm.warp(end);
        attempt(signatures);
    }

    /// Expects that the silence counts from now.
    function requireFreshSilence() private {
        vm.assertEq(inbox.recoverableAt(), block.timestamp + RECOVERY_DELAY, "recoverableAt");
        bytes[] memory signatures = signed(three(101, 102, 104), digestFor(inbox.epoch()));
        vm.expectRevert(
            abi.encodeWithSelector(ISequencerInbox.NotSilentLongEnough.selector, inbox.recoverableAt(), block.timestamp)
        );
        attempt(signatures);
    }

    function test_whatever_is_accepted_breaks_the_silence() public {
        super.setUp();
        vm.assertEq(inbox.recoverableAt(), 0, "nothing to recover");
        vm.warp(START + 10 * RECOVERY_DELAY);
        initialise();
        requireFreshSilence();
        vm.warp(START + 20 * RECOVERY_DELAY);
        postNext(1);
        requireFreshSilence();
        vm.warp(START + 30 * RECOVERY_DELAY);
        rotateTo(0xabc, addresses(validatorKeys));
        requireFreshSilence();
        vm.warp(START + 40 * RECOVERY_DELAY);
        attempt(signed(three(101, 102, 104), digestFor(1)));
        requireFreshSilence();
    }

    function test_before_initialise_it_is_refused() public {
        super.setUp();
        silentForLong();
        bytes[] memory signatures = quorumOfFounders();
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.NotInitialised.selector));
        attempt(signatures);
    }

    function test_it_is_good_once() public {
        silentForLong();
        bytes[] memory signatures = quorumOfFounders();
        attempt(signatures);
        vm.warp(START + 3 * uint256(RECOVERY_DELAY));
        refusedAsUnknown(signatures);
    }

    /// The network spoke before the signatures were handed in, and rotated: they are for an epoch that is over.
    function test_a_rotation_makes_it_worthless() public {
        bytes[] memory signatures = quorumOfFounders();
        rotateTo(0xabc, addresses(validatorKeys));
        vm.warp(START + 3 * uint256(RECOVERY_DELAY));
        refusedAsUnknown(signatures);
    }

    function test_it_makes_an_unposted_handover_worthless() public {
        ISequencerInbox.Handover memory next = nextHandover(0xabc, addresses(validatorKeys));
        ISequencerInbox.GroupSignature memory signature = signHandover(next);
        silentForLong();
        attempt(quorumOfFounders());
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongEpoch.selector, 2, 1));
        inbox.rotate(next, signature);
        next.epoch = 2;
        signature = groupSign(handoverDigest(1, next));
        bytes32 digest = handoverDigest(1, next);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidGroupSignature.selector, digest));
        inbox.rotate(next, signature);
    }

    function test_the_old_key_posts_no_more() public {
        silentForLong();
        attempt(quorumOfFounders());
        ISequencerInbox.BatchHeader memory header = nextHeader();
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
        bytes32 digest = batchDigest(header, 0, blobs(1));
        vm.blobhashes(blobs(1));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidGroupSignature.selector, digest));
        inbox.post(header, 0, "", signature);
    }

    function test_the_current_committee_recovers_and_no_other() public {
        uint256[] memory keys = new uint256[](5);
        for (uint256 i = 0; i < 5; i++) {
            keys[i] = 201 + i;
        }
        rotateTo(0xabc, addresses(keys));
        silentForLong();

        bytes[] memory signatures = signed(three(101, 102, 104), digestFor(1));
        bytes32 founders = hashOf(addresses(validatorKeys));
        vm.expectRevert(
            abi.encodeWithSelector(ISequencerInbox.WrongCommittee.selector, hashOf(addresses(keys)), founders)
        );
        attempt(signatures);

        address[] memory committee = addresses(keys);
        signatures = signed(three(201, 202, 204), digestFor(1));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.TooFewSignatures.selector, 4, 3));
        inbox.recover(fresh.publicKeyX, fresh.publicKeyY, committee, signatures);

        inbox.recover(fresh.publicKeyX, fresh.publicKeyY, committee, signed(keys, digestFor(1)));
        vm.assertEq(inbox.epoch(), 2, "epoch");
        vm.assertEq(inbox.committeeHash(), hashOf(committee), "the committee stays");
    }

    function test_another_list_is_refused() public {
        silentForLong();
        bytes[] memory signatures = quorumOfFounders();
        address[] memory committee = addresses(validatorKeys);
        bytes32 right = hashOf(committee);
        (committee[0], committee[1]) = (committee[1], committee[0]);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongCommittee.selector, right, hashOf(committee)));
        inbox.recover(fresh.publicKeyX, fresh.publicKeyY, committee, signatures);
        committee = new address[](0);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.WrongCommittee.selector, right, hashOf(committee)));
        inbox.recover(fresh.publicKeyX, fresh.publicKeyY, committee, signatures);
    }

    function test_bad_signature_lists_are_refused() public {
        silentForLong();
        uint256[] memory two = new uint256[](2);
        (two[0], two[1]) = (101, 102);
        bytes[] memory signatures = signed(two, digestFor(0));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.TooFewSignatures.selector, 3, 2));
        attempt(signatures);
        signatures = signed(three(101, 104, 102), digestFor(0));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.SignerOutOfOrder.selector, 2, vm.addr(102)));
        attempt(signatures);
        signatures = signed(three(101, 102, 102), digestFor(0));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.SignerOutOfOrder.selector, 2, vm.addr(102)));
        attempt(signatures);
        signatures = signed(three(101, 102, 999), digestFor(0));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.UnknownSigner.selector, 2, vm.addr(999)));
        attempt(signatures);
        signatures = quorumOfFounders();
        signatures[1] = "";
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.MalformedSignature.selector, 1));
        attempt(signatures);
    }

    function refusedAsUnknown(bytes[] memory signatures) private {
        bytes memory call =
            abi.encodeCall(inbox.recover, (fresh.publicKeyX, fresh.publicKeyY, addresses(validatorKeys), signatures));
        (bool accepted, bytes memory answer) = address(inbox).call(call);
        vm.assertFalse(accepted, "accepted");
        vm.assertEq(bytes32(bytes4(answer)), bytes32(ISequencerInbox.UnknownSigner.selector), "UnknownSigner");
    }

    function test_signatures_for_another_chain_contract_kind_epoch_or_key_are_refused() public {
        silentForLong();
        bytes32 y = bytes32(fresh.publicKeyY);
        refusedAsUnknown(signed(three(101, 102, 104), digestFor(1)));
        refusedAsUnknown(signed(three(101, 102, 104), preimage(23, 0, fresh.publicKeyX ^ 1, y)));
        refusedAsUnknown(signed(three(101, 102, 104), preimage(23, 0, fresh.publicKeyX, y ^ bytes32(uint256(1)))));
        // Not even the signatures that founded the network are good for a recovery.
        refusedAsUnknown(signed(three(101, 102, 104), preimage(16, 0, fresh.publicKeyX, y)));
        refusedAsUnknown(signed(three(101, 102, 104), preimageFor(address(this), 23, 0, fresh.publicKeyX, y)));
        bytes[] memory signatures = quorumOfFounders();
        vm.chainId(block.chainid + 1);
        refusedAsUnknown(signatures);
    }

    function test_keys_that_cannot_sign_are_refused() public {
        silentForLong();
        bytes[] memory signatures = quorumOfFounders();
        address[] memory committee = addresses(validatorKeys);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidGroupKey.selector, 0, 0));
        inbox.recover(0, 0, committee, signatures);
        uint256 y = fresh.publicKeyY ^ 1;
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidGroupKey.selector, fresh.publicKeyX, y));
        inbox.recover(fresh.publicKeyX, y, committee, signatures);
    }

    function test_delays_out_of_range_are_refused() public {
        address[] memory founders = addresses(validatorKeys);
        uint64[4] memory wrong = [0, 59, 2_592_001, type(uint64).max];
        for (uint256 i = 0; i < wrong.length; i++) {
            vm.expectRevert(
                abi.encodeWithSelector(ISequencerInbox.RecoveryDelayOutOfRange.selector, 60, 2_592_000, wrong[i])
            );
            new SequencerInbox(founders, termsWith(wrong[i]));
        }
        vm.assertEq(new SequencerInbox(founders, termsWith(60)).terms().recoveryDelay, 60, "shortest");
        vm.assertEq(new SequencerInbox(founders, termsWith(2_592_000)).terms().recoveryDelay, 2_592_000, "longest");
    }

    function testFuzz_only_silence_counts(uint64 wait, uint64 delay) public {
        delay = 60 + delay % (2_592_000 - 59);
        wait = wait % (2 * delay);
        inbox = new SequencerInbox(addresses(validatorKeys), termsWith(delay));
        initialise();
        bytes[] memory signatures = quorumOfFounders();
        vm.warp(START + wait);
        bytes memory call =
            abi.encodeCall(inbox.recover, (fresh.publicKeyX, fresh.publicKeyY, addresses(validatorKeys), signatures));
        (bool accepted,) = address(inbox).call(call);
        vm.assertTrue(accepted == (wait >= delay), "silence");
    }

    /// Any founders' signatures in any selection: accepted exactly if three or four, ascending.
    function testFuzz_any_quorum_in_order_recovers(uint8 chosen) public {
        silentForLong();
        uint256 count = 0;
        uint256[] memory keys = new uint256[](4);
        for (uint256 i = 0; i < 4; i++) {
            if (chosen >> i & 1 == 1) keys[count++] = validatorKeys[i];
        }
        bytes[] memory signatures = new bytes[](count);
        for (uint256 i = 0; i < count; i++) {
            signatures[i] = ecdsa(keys[i], digestFor(0));
        }
        bytes memory call =
            abi.encodeCall(inbox.recover, (fresh.publicKeyX, fresh.publicKeyY, addresses(validatorKeys), signatures));
        (bool accepted,) = address(inbox).call(call);
        vm.assertTrue(accepted == (count >= 3), "quorum");
    }

    /// Storage is what README.md says: the time of the last acceptance is in the last seven bytes of slot 0.
    function test_the_time_shares_the_slot_of_the_tip() public view {
        uint256 slot = uint256(vm.load(address(inbox), bytes32(uint256(5))));
        vm.assertEq(slot >> 200, START, "time");
        vm.assertEq(slot & type(uint64).max, 2, "next number");
        vm.assertEq(slot >> 64 & type(uint64).max, 10, "last height");
    }
}
