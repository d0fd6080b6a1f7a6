// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {IValidatorRegistry} from "../src/IValidatorRegistry.sol";
import {SequencerInbox} from "../src/SequencerInbox.sol";
import {RegistryFixture} from "./RegistryFixture.sol";
import {Vm} from "./TestBase.sol";

contract AllowTest is RegistryFixture {
    /// Expects that the registry does not take this signature for letting `owner` in.
    function refused(IValidatorRegistry.GroupSignature memory signature) private {
        bytes32 digest = allowDigest(owner, true);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.InvalidGroupSignature.selector, digest));
        registry.allow(owner, true, signature);
        vm.assertFalse(registry.isAllowed(owner), "not allowed");
    }

    function test_the_committee_lets_an_owner_in() public {
        IValidatorRegistry.GroupSignature memory signature = signAllow(allowDigest(owner, true));
        vm.recordLogs();
        vm.prank(address(0xbeef));
        registry.allow(owner, true, signature);
        vm.assertTrue(registry.isAllowed(owner), "allowed");
        vm.assertFalse(registry.isAllowed(address(0x0501)), "and nobody else");
        vm.assertEq(registry.allowNonce(), 1, "nonce");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], IValidatorRegistry.Allowed.selector, "Allowed");
        vm.assertEq(logs[0].topics[1], bytes32(uint256(uint160(owner))), "owner");
        vm.assertEq(logs[0].data, abi.encode(true, uint64(0)), "data");
    }

    function test_the_committee_changes_its_mind() public {
        newcomer();
        registry.allow(owner, false, signAllow(allowDigest(owner, false)));
        vm.assertFalse(registry.isAllowed(owner), "not allowed any more");
        requireStatus(5, IValidatorRegistry.Status.Active, "who has joined stays");
        vm.assertEq(registry.allowNonce(), 2, "nonce");
    }

    function test_replay_is_refused() public {
        IValidatorRegistry.GroupSignature memory signature = signAllow(allowDigest(owner, true));
        registry.allow(owner, true, signature);
        registry.allow(owner, false, signAllow(allowDigest(owner, false)));
        refused(signature);
    }

    function test_every_word_is_signed() public {
        bytes32 content = keccak256(abi.encode(owner, true));
        refused(signAllow(allowDigest(address(0x0501), true)));
        refused(signAllow(allowDigest(owner, false)));
        for (uint256 kind = 1; kind <= 4; kind++) {
            refused(signAllow(preimageFor(address(registry), kind, 0, 0, content)));
        }
        refused(signAllow(preimageFor(address(inbox), 5, 0, 0, content)));
        refused(signAllow(preimageFor(address(registry), 5, 1, 0, content)));
        refused(signAllow(preimageFor(address(registry), 5, 0, 1, content)));
        IValidatorRegistry.GroupSignature memory signature = signAllow(allowDigest(owner, true));
        signature.z ^= 1;
        refused(signature);
        signature = signAllow(allowDigest(owner, true));
        vm.chainId(block.chainid + 1);
        refused(signature);
    }

    function test_a_second_registry_of_the_inbox_has_its_own_list() public {
        IValidatorRegistry.GroupSignature memory signature = signAllow(allowDigest(owner, true));
        registry = deploy(founders(4), true, STAKE);
        refused(signature);
    }

    function test_the_current_key_decides() public {
        IValidatorRegistry.GroupSignature memory old = signAllow(allowDigest(owner, true));
        rotateTo(0xabc, foundersCommittee());
        refused(old);
        secret = GROUP_SECRET;
        refused(signAllow(allowDigest(owner, true)));
        secret = 0xabc;
        allow(owner);
        vm.assertTrue(registry.isAllowed(owner), "the new key");
    }

    /// Resharing keeps the key, but the epoch is signed too.
    function test_a_kept_key_signs_again() public {
        IValidatorRegistry.GroupSignature memory old = signAllow(allowDigest(owner, true));
        rotateTo(GROUP_SECRET, foundersCommittee());
        refused(old);
        allow(owner);
    }

    function test_before_the_inbox_has_a_key_nobody_is_let_in() public {
        inbox = new SequencerInbox(addresses(validatorKeys), termsWith(RECOVERY_DELAY));
        registry = deploy(founders(4), true, STAKE);
        refused(signAllow(allowDigest(owner, true)));
        refused(IValidatorRegistry.GroupSignature(0, 0, 0));
        initialise();
        allow(owner);
        (uint64 epoch, uint256 x,) = ISequencerInbox(inbox).groupKey();
        vm.assertEq(epoch, 0, "epoch");
        vm.assertEq(x, group.publicKeyX, "key");
    }

    function testFuzz_the_list_is_what_was_signed_last(uint256 plan) public {
        for (uint256 i = 0; i < 16; i++) {
            address who = address(uint160(0x600 + (plan >> 2 * i & 1)));
            bool allowed = plan >> (2 * i + 1) & 1 == 1;
            registry.allow(who, allowed, signAllow(allowDigest(who, allowed)));
            vm.assertTrue(registry.isAllowed(who) == allowed, "as signed");
            vm.assertEq(registry.allowNonce(), i + 1, "nonce");
        }
    }
}
