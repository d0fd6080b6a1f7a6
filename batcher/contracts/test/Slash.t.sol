// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {FrostVerifier} from "../src/FrostVerifier.sol";
import {IValidatorRegistry} from "../src/IValidatorRegistry.sol";
import {RegistryFixture} from "./RegistryFixture.sol";
import {Vm} from "./TestBase.sol";

contract SlashTest is RegistryFixture {
    IValidatorRegistry.Status private constant SLASHED = IValidatorRegistry.Status.Slashed;
    uint8 private constant PREVOTE = 17;
    uint8 private constant PRECOMMIT = 18;

    function slash(uint256 key) private {
        registry.slash(vote(key, PREVOTE, 3, "one"), vote(key, PREVOTE, 3, "two"));
    }

    function refused(IValidatorRegistry.Vote memory first, IValidatorRegistry.Vote memory second, bytes memory reason)
        private
    {
        vm.expectRevert(reason);
        registry.slash(first, second);
        vm.assertEq(registry.burnt(), 0, "nothing burnt");
    }

    /// The digests recover to keys that nobody has. Which ones is not our business: only that they do.
    function unproven(IValidatorRegistry.Vote memory first, IValidatorRegistry.Vote memory second) private {
        (bool accepted, bytes memory answer) = address(registry).call(abi.encodeCall(registry.slash, (first, second)));
        vm.assertFalse(accepted, "accepted");
        bytes32 selector = bytes32(IValidatorRegistry.DifferentSigners.selector);
        vm.assertEq(bytes32(bytes4(answer)), selector, "DifferentSigners");
    }

    function test_two_values_in_one_step_cost_the_stake() public {
        IValidatorRegistry.Vote memory first = vote(102, PREVOTE, 3, "one");
        IValidatorRegistry.Vote memory second = vote(102, PREVOTE, 3, "two");
        vm.recordLogs();
        vm.prank(address(0xbeef));
        registry.slash(first, second);

        requireStatus(2, SLASHED, "slashed");
        vm.assertEq(registry.validator(2).stake, 0, "stake");
        vm.assertEq(registry.burnt(), STAKE, "burnt");
        vm.assertEq(address(registry).balance, 4 * uint256(STAKE), "burnt ether stays");
        vm.assertEq(address(0xbeef).balance, 0, "nothing for who reports");
        uint256[] memory rest = new uint256[](3);
        (rest[0], rest[1], rest[2]) = (1, 3, 4);
        requireActive(rest);

        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], IValidatorRegistry.Slashed.selector, "Slashed");
        vm.assertEq(logs[0].topics[1], bytes32(uint256(2)), "id");
        vm.assertEq(logs[0].data, abi.encode(STAKE, PREVOTE, uint64(0), uint64(77), uint32(3)), "data");
    }

    function test_precommits_count_like_prevotes_and_nil_like_a_value() public {
        registry.slash(vote(101, PRECOMMIT, 0, "one"), vote(101, PRECOMMIT, 0, "two"));
        requireStatus(1, SLASHED, "precommits");
        registry.slash(vote(102, PREVOTE, 0, 0), vote(102, PREVOTE, 0, "one"));
        requireStatus(2, SLASHED, "nil and a value");
        registry.slash(vote(103, PRECOMMIT, 0, "one"), vote(103, PRECOMMIT, 0, 0));
        requireStatus(3, SLASHED, "a value and nil");
    }

    function test_one_value_twice_is_no_contradiction() public {
        IValidatorRegistry.Vote memory one = vote(102, PREVOTE, 3, "one");
        bytes memory reason = abi.encodeWithSelector(IValidatorRegistry.SameValue.selector, bytes32("one"));
        refused(one, one, reason);
        one = vote(102, PRECOMMIT, 3, 0);
        refused(one, one, abi.encodeWithSelector(IValidatorRegistry.SameValue.selector, bytes32(0)));
    }

    function test_votes_of_two_steps_are_no_contradiction() public {
        bytes memory reason = abi.encodeWithSelector(IValidatorRegistry.DifferentSteps.selector);
        IValidatorRegistry.Vote memory first = vote(102, PREVOTE, 3, "one");
        refused(first, vote(102, PRECOMMIT, 3, "two"), reason);
        refused(first, vote(102, PREVOTE, 4, "two"), reason);

        IValidatorRegistry.Vote memory second = vote(102, PREVOTE, 3, "two");
        second.height = 78;
        second.signature = ecdsa(102, voteDigest(address(inbox), second));
        refused(first, second, reason);
        second.height = 77;
        second.epoch = 1;
        second.signature = ecdsa(102, voteDigest(address(inbox), second));
        refused(first, second, reason);
    }

    function test_only_votes_count() public {
        uint8[5] memory kinds = [0, 16, 19, 20, 255];
        for (uint256 i = 0; i < kinds.length; i++) {
            bytes memory reason = abi.encodeWithSelector(IValidatorRegistry.NotAVote.selector, kinds[i]);
            refused(vote(102, kinds[i], 3, "one"), vote(102, kinds[i], 3, "two"), reason);
        }
    }

    function test_two_validators_do_not_contradict_each_other() public {
        bytes memory reason =
            abi.encodeWithSelector(IValidatorRegistry.DifferentSigners.selector, vm.addr(102), vm.addr(103));
        refused(vote(102, PREVOTE, 3, "one"), vote(103, PREVOTE, 3, "two"), reason);
    }

    function test_strangers_cannot_be_slashed() public {
        bytes memory reason = abi.encodeWithSelector(IValidatorRegistry.UnknownNode.selector, vm.addr(999));
        refused(vote(999, PREVOTE, 3, "one"), vote(999, PREVOTE, 3, "two"), reason);
        // Owners' keys do not vote.
        allow(vm.addr(998));
        joinAs(105, vm.addr(998));
        reason = abi.encodeWithSelector(IValidatorRegistry.UnknownNode.selector, vm.addr(998));
        refused(vote(998, PREVOTE, 3, "one"), vote(998, PREVOTE, 3, "two"), reason);
    }

    function test_votes_of_another_chain_or_inbox_are_no_evidence() public {
        IValidatorRegistry.Vote memory first = vote(102, PREVOTE, 3, "one");
        IValidatorRegistry.Vote memory second = vote(102, PREVOTE, 3, "two");
        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        unproven(first, second);
        vm.chainId(chain);

        address[2] memory others = [address(registry), address(this)];
        for (uint256 i = 0; i < others.length; i++) {
            first.signature = ecdsa(102, voteDigest(others[i], first));
            second.signature = ecdsa(102, voteDigest(others[i], second));
            unproven(first, second);
        }
    }

    /// What was signed is what is judged: a vote cannot be made to contradict another by changing what it says.
    function test_every_word_is_signed() public {
        IValidatorRegistry.Vote memory first = vote(102, PREVOTE, 3, "one");
        IValidatorRegistry.Vote memory second = vote(102, PREVOTE, 3, "two");
        second.value = "three";
        unproven(first, second);
        second = vote(102, PRECOMMIT, 3, "two");
        second.kind = PREVOTE;
        unproven(first, second);
        second = vote(102, PREVOTE, 4, "two");
        second.round = 3;
        unproven(first, second);
        second = vote(102, PREVOTE, 3, "two");
        second.height = 78;
        second.signature = ecdsa(102, voteDigest(address(inbox), second));
        second.height = 77;
        unproven(first, second);
        second.epoch = 1;
        second.signature = ecdsa(102, voteDigest(address(inbox), second));
        second.epoch = 0;
        unproven(first, second);
    }

    function test_malformed_signatures_are_refused() public {
        IValidatorRegistry.Vote memory good = vote(102, PREVOTE, 3, "one");
        IValidatorRegistry.Vote memory spoilt = vote(102, PREVOTE, 3, "two");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(102, voteDigest(address(inbox), spoilt));
        bytes[6] memory bad = [
            bytes(""),
            abi.encodePacked(r, s),
            abi.encodePacked(r, s, v, uint8(0)),
            abi.encodePacked(r, s, v - 27),
            abi.encodePacked(r, bytes32(FrostVerifier.N - uint256(s)), uint8(27 + 28 - v)),
            abi.encodePacked(bytes32(0), s, v)
        ];
        for (uint256 i = 0; i < bad.length; i++) {
            spoilt.signature = bad[i];
            refused(good, spoilt, abi.encodeWithSelector(IValidatorRegistry.MalformedSignature.selector, 1));
            refused(spoilt, good, abi.encodeWithSelector(IValidatorRegistry.MalformedSignature.selector, 0));
        }
    }

    function test_it_happens_once() public {
        slash(102);
        IValidatorRegistry.Vote memory first = vote(102, PRECOMMIT, 9, "one");
        IValidatorRegistry.Vote memory second = vote(102, PRECOMMIT, 9, "two");
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.WrongStatus.selector, 2, SLASHED));
        registry.slash(first, second);
        vm.assertEq(registry.burnt(), STAKE, "burnt once");
    }

    function test_a_leaver_still_answers_for_its_votes() public {
        newcomer();
        exitOf(5);
        slash(nodeKey);
        requireStatus(5, SLASHED, "while leaving");
        vm.assertEq(registry.active().length, 4, "the others stay");

        registry = deploy(founders(4), true, STAKE);
        newcomer();
        exitOf(5);
        registry.relieve(5, foundersCommittee());
        vm.warp(block.timestamp + 2 * uint256(UNBONDING));
        slash(nodeKey);
        requireStatus(5, SLASHED, "unbonding, even past its release");
        vm.assertEq(registry.validator(5).releaseAt, 0, "no release");
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.WrongStatus.selector, 5, SLASHED));
        vm.prank(owner);
        registry.withdraw(5);
    }

    function test_who_has_withdrawn_is_out_of_reach() public {
        newcomer();
        exitOf(5);
        registry.relieve(5, foundersCommittee());
        vm.warp(block.timestamp + UNBONDING);
        vm.prank(owner);
        registry.withdraw(5);
        bytes memory reason =
            abi.encodeWithSelector(IValidatorRegistry.WrongStatus.selector, 5, IValidatorRegistry.Status.Withdrawn);
        refused(vote(nodeKey, PREVOTE, 3, "one"), vote(nodeKey, PREVOTE, 3, "two"), reason);
    }

    function test_the_slashed_never_come_back() public {
        newcomer();
        slash(nodeKey);
        vm.deal(owner, 2 * STAKE);
        bytes memory proof = proofOf(nodeKey, owner, ENDPOINT);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NodeKeyUsed.selector, vm.addr(nodeKey), 5));
        vm.prank(owner);
        registry.join{value: STAKE}(vm.addr(nodeKey), ENDPOINT, proof);
        proof = proofOf(106, owner, ENDPOINT);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.OwnerHasValidator.selector, owner, 5));
        vm.prank(owner);
        registry.join{value: STAKE}(vm.addr(106), ENDPOINT, proof);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.WrongStatus.selector, 5, SLASHED));
        vm.prank(owner);
        registry.exit(5);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.WrongStatus.selector, 5, SLASHED));
        vm.prank(owner);
        registry.setEndpoint(5, ENDPOINT);
    }

    function test_without_a_stake_it_costs_the_seat() public {
        registry = deploy(founders(4), true, 0);
        slash(103);
        requireStatus(3, SLASHED, "slashed");
        vm.assertEq(registry.active().length, 3, "out");
        vm.assertEq(registry.burnt(), 0, "nothing to burn");
    }

    function test_gas_of_a_slash() public {
        bytes memory call = abi.encodeCall(registry.slash, (vote(102, PREVOTE, 3, "one"), vote(102, PREVOTE, 3, "two")));
        vm.cool(address(registry));
        (bool accepted,) = address(registry).call(call);
        vm.assertTrue(accepted, "slash");
        uint256 used = vm.lastCallGas().gasTotalUsed;
        measured("slash: gas of the call", used);
        vm.assertLe(used, 68_000, "slash");
    }

    function testFuzz_any_step_any_two_values(
        bool precommit,
        uint64 epoch,
        uint64 height,
        uint32 round,
        bytes32 value,
        bytes32 other
    ) public {
        uint8 kind = precommit ? PRECOMMIT : PREVOTE;
        IValidatorRegistry.Vote memory first = IValidatorRegistry.Vote(kind, epoch, height, round, value, "");
        first.signature = ecdsa(103, voteDigest(address(inbox), first));
        IValidatorRegistry.Vote memory second = IValidatorRegistry.Vote(kind, epoch, height, round, other, "");
        second.signature = ecdsa(103, voteDigest(address(inbox), second));
        if (value == other) {
            vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.SameValue.selector, value));
            registry.slash(first, second);
            return;
        }
        registry.slash(first, second);
        requireStatus(3, SLASHED, "slashed");
    }
}
