// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {FrostVerifier} from "../src/FrostVerifier.sol";
import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {SequencerInbox} from "../src/SequencerInbox.sol";
import {InboxFixture} from "./InboxFixture.sol";
import {Vm} from "./TestBase.sol";

contract InitialiseTest is InboxFixture {
    function attempt(bytes[] memory signatures) private {
        inbox.initialise(group.publicKeyX, group.publicKeyY, signatures);
    }

    function validator(uint256 index) private view returns (address) {
        return vm.addr(validatorKeys[index]);
    }

    function test_before_it_nothing_is_there() public {
        vm.assertFalse(inbox.initialised(), "initialised");
        vm.assertEq(inbox.nextNumber(), 0, "nextNumber");
        vm.assertEq(inbox.key(), "", "key");
        for (uint64 number = 0; number < 2; number++) {
            ISequencerInbox.BatchHeader memory header = nextHeader();
            header.number = number;
            ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
            vm.blobhashes(blobs(1));
            vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.NotInitialised.selector));
            inbox.post(header, 0, "", signature);
        }
    }

    function test_a_quorum_installs_the_key() public {
        vm.recordLogs();
        attempt(signedBy([uint256(0), 2, 3]));

        vm.assertTrue(inbox.initialised(), "initialised");
        vm.assertEq(inbox.nextNumber(), 1, "nextNumber");
        vm.assertEq(inbox.epoch(), 0, "epoch");
        bytes memory compressed = abi.encodePacked(uint8(2 + group.publicKeyY % 2), group.publicKeyX);
        vm.assertEq(inbox.key(), compressed, "key");
        (uint64 number, bytes32 id, uint64 lastHeight) = inbox.lastBatch();
        vm.assertEq(number, 0, "no batch yet");
        vm.assertEq(id, bytes32(0), "no batch yet");
        vm.assertEq(lastHeight, 0, "no batch yet");

        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], ISequencerInbox.Initialised.selector, "Initialised");
        vm.assertEq(logs[0].data, abi.encode(group.publicKeyX, group.publicKeyY), "key in the event");
    }

    function test_all_validators_may_sign() public {
        bytes[] memory all = new bytes[](4);
        for (uint256 i = 0; i < 4; i++) {
            all[i] = ecdsa(validatorKeys[i], initialiseDigest());
        }
        attempt(all);
        vm.assertTrue(inbox.initialised(), "initialised");
    }

    function test_anyone_may_send_it() public {
        bytes[] memory signatures = signedBy([uint256(1), 2, 3]);
        vm.prank(address(0xbeef));
        attempt(signatures);
        vm.assertTrue(inbox.initialised(), "initialised");
    }

    function test_twice_is_refused() public {
        initialise();
        bytes[] memory signatures = signedBy([uint256(0), 1, 2]);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.AlreadyInitialised.selector));
        attempt(signatures);
    }

    function test_less_than_a_quorum_is_refused() public {
        bytes[] memory two = new bytes[](2);
        two[0] = ecdsa(validatorKeys[0], initialiseDigest());
        two[1] = ecdsa(validatorKeys[1], initialiseDigest());
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.TooFewSignatures.selector, 3, 2));
        attempt(two);
    }

    function test_one_signer_counts_once() public {
        bytes[] memory signatures = signedBy([uint256(0), 1, 1]);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.SignerOutOfOrder.selector, 2, validator(1)));
        attempt(signatures);
    }

    function test_unsorted_signers_are_refused() public {
        bytes[] memory signatures = signedBy([uint256(1), 0, 2]);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.SignerOutOfOrder.selector, 1, validator(0)));
        attempt(signatures);
    }

    function test_a_surplus_stranger_is_refused_too() public {
        bytes[] memory signatures = new bytes[](4);
        for (uint256 i = 0; i < 3; i++) {
            signatures[i] = ecdsa(validatorKeys[i], initialiseDigest());
        }
        signatures[3] = ecdsa(999, initialiseDigest());
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.UnknownSigner.selector, 3, vm.addr(999)));
        attempt(signatures);
    }

    /// Signatures over any other preimage recover to strangers. Which ones is not our business: only that they do.
    function refusedAsUnknown(bytes[] memory signatures) private {
        (bool accepted, bytes memory answer) =
            address(inbox).call(abi.encodeCall(inbox.initialise, (group.publicKeyX, group.publicKeyY, signatures)));
        vm.assertFalse(accepted, "accepted");
        vm.assertEq(bytes32(bytes4(answer)), bytes32(ISequencerInbox.UnknownSigner.selector), "UnknownSigner");
    }

    function test_signatures_for_another_chain_are_refused() public {
        bytes[] memory signatures = signedBy([uint256(0), 1, 2]);
        vm.chainId(block.chainid + 1);
        refusedAsUnknown(signatures);
    }

    function test_signatures_for_another_contract_are_refused() public {
        bytes[] memory signatures = signedBy([uint256(0), 1, 2]);
        inbox = new SequencerInbox(addresses(validatorKeys), termsWith(RECOVERY_DELAY));
        refusedAsUnknown(signatures);
    }

    function test_signatures_for_another_key_kind_or_epoch_are_refused() public {
        bytes32 y = bytes32(group.publicKeyY);
        bytes32[3] memory digests = [
            preimage(16, 0, group.publicKeyX ^ 1, y),
            preimage(2, 0, group.publicKeyX, y),
            preimage(16, 1, group.publicKeyX, y)
        ];
        for (uint256 i = 0; i < digests.length; i++) {
            bytes[] memory signatures = new bytes[](3);
            for (uint256 j = 0; j < 3; j++) {
                signatures[j] = ecdsa(validatorKeys[j], digests[i]);
            }
            refusedAsUnknown(signatures);
        }
    }

    function test_malformed_signatures_are_refused() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(validatorKeys[1], initialiseDigest());
        bytes32 highS = bytes32(FrostVerifier.N - uint256(s));
        bytes[7] memory bad = [
            bytes(""),
            abi.encodePacked(r, s),
            abi.encodePacked(r, s, v, uint8(0)),
            abi.encodePacked(r, s, v - 27),
            abi.encodePacked(r, highS, uint8(27 + 28 - v)),
            abi.encodePacked(bytes32(0), s, v),
            abi.encodePacked(r, bytes32(0), v)
        ];
        for (uint256 i = 0; i < bad.length; i++) {
            bytes[] memory signatures = signedBy([uint256(0), 1, 2]);
            signatures[1] = bad[i];
            vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.MalformedSignature.selector, 1));
            attempt(signatures);
        }
    }

    /// Without the low-s rule the high-s twin above would be a good signature: it recovers to the same validator.
    function test_the_high_s_twin_is_a_real_signature() public view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(validatorKeys[1], initialiseDigest());
        bytes32 highS = bytes32(FrostVerifier.N - uint256(s));
        vm.assertEq(ecrecover(initialiseDigest(), 27 + 28 - v, r, highS), validator(1), "twin");
    }

    function test_keys_that_cannot_sign_are_refused() public {
        bytes[] memory signatures = signedBy([uint256(0), 1, 2]);
        uint256 n = FrostVerifier.N;
        uint256[2][4] memory keys = [
            [uint256(0), 0],
            [n, 0x98f66641cb0ae1776b463ebdee3d77fe2658f021db48e2c8ac7ab4c92f83621e],
            [group.publicKeyX, group.publicKeyY ^ 1],
            [type(uint256).max, 1]
        ];
        for (uint256 i = 0; i < keys.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidGroupKey.selector, keys[i][0], keys[i][1]));
            inbox.initialise(keys[i][0], keys[i][1], signatures);
        }
    }

    function test_quorum_is_n_minus_f() public {
        uint256[2][8] memory table = [
            [uint256(4), 3],
            [uint256(5), 4],
            [uint256(6), 5],
            [uint256(7), 5],
            [uint256(8), 6],
            [uint256(10), 7],
            [uint256(100), 67],
            [uint256(256), 171]
        ];
        for (uint256 i = 0; i < table.length; i++) {
            address[] memory members = many(table[i][0]);
            SequencerInbox sized = new SequencerInbox(members, termsWith(RECOVERY_DELAY));
            vm.assertEq(sized.quorum(), table[i][1], "quorum");
            vm.assertEq(sized.validators().length, members.length, "validators");
        }
    }

    function test_the_largest_committee_can_be_deployed_in_one_transaction() public {
        address[] memory members = many(256);
        uint256 before = gasleft();
        new SequencerInbox(members, termsWith(RECOVERY_DELAY));
        uint256 used = before - gasleft();
        measured("deployment with 256 validators: gas without the intrinsic", used);
        // EIP-7825: a transaction may use 2^24 gas; data and intrinsic gas stay below 1 M here.
        vm.assertLe(used + 1_000_000, 1 << 24, "deployment");
    }

    function test_bad_validator_lists_are_refused() public {
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.ValidatorCountOutOfRange.selector, 4, 256, 3));
        new SequencerInbox(many(3), termsWith(RECOVERY_DELAY));
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.ValidatorCountOutOfRange.selector, 4, 256, 257));
        new SequencerInbox(many(257), termsWith(RECOVERY_DELAY));

        address[] memory members = many(5);
        members[4] = members[1];
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidValidator.selector, 4, members[1]));
        new SequencerInbox(members, termsWith(RECOVERY_DELAY));

        members[4] = address(0);
        vm.expectRevert(abi.encodeWithSelector(ISequencerInbox.InvalidValidator.selector, 4, address(0)));
        new SequencerInbox(members, termsWith(RECOVERY_DELAY));
    }

    function many(uint256 count) private pure returns (address[] memory members) {
        members = new address[](count);
        for (uint256 i = 0; i < count; i++) {
            members[i] = address(uint160(uint256(keccak256(abi.encode("validator", i)))));
        }
    }
}
