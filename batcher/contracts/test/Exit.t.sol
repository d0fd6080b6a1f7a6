// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {IValidatorRegistry} from "../src/IValidatorRegistry.sol";
import {ValidatorRegistry} from "../src/ValidatorRegistry.sol";
import {RegistryFixture} from "./RegistryFixture.sol";
import {Vm} from "./TestBase.sol";

/// @title From the word of the owner to the ether in its hand
contract ExitTest is RegistryFixture {
    IValidatorRegistry.Status private constant ACTIVE = IValidatorRegistry.Status.Active;
    IValidatorRegistry.Status private constant LEAVING = IValidatorRegistry.Status.Leaving;
    IValidatorRegistry.Status private constant UNBONDING_STATUS = IValidatorRegistry.Status.Unbonding;
    IValidatorRegistry.Status private constant WITHDRAWN = IValidatorRegistry.Status.Withdrawn;

    /// Founders 1, 2, 3 and the newcomer: founder 4 is relieved.
    function withoutFour() private pure returns (address[] memory) {
        return committeeOf([uint256(101), 102, 103, 105]);
    }

    function requireWrongStatus(bytes memory call, address sender, uint16 id, IValidatorRegistry.Status status)
        private
    {
        vm.prank(sender);
        (bool accepted, bytes memory answer) = address(registry).call(call);
        vm.assertFalse(accepted, "accepted");
        vm.assertEq(answer, abi.encodeWithSelector(IValidatorRegistry.WrongStatus.selector, id, status), "answer");
    }

    /// Every function that moves a validator on, but for those named, refuses one in this status.
    function refusesAllBut(uint16 id, IValidatorRegistry.Status status, bytes4[2] memory allowed) private {
        address[] memory committee = withoutFour();
        bytes[5] memory calls = [
            abi.encodeCall(registry.exit, (id)),
            abi.encodeCall(registry.setEndpoint, (id, ENDPOINT)),
            abi.encodeCall(registry.relieve, (id, committee)),
            abi.encodeCall(registry.recall, (id, committee)),
            abi.encodeCall(registry.withdraw, (id))
        ];
        address who = registry.validator(id).owner;
        for (uint256 i = 0; i < calls.length; i++) {
            if (bytes4(calls[i]) == allowed[0] || bytes4(calls[i]) == allowed[1]) continue;
            requireWrongStatus(calls[i], who, id, status);
        }
    }

    function test_the_owner_leaves() public {
        vm.recordLogs();
        vm.prank(founderOwner(4));
        registry.exit(4);
        requireStatus(4, LEAVING, "leaving");
        uint256[] memory rest = new uint256[](3);
        (rest[0], rest[1], rest[2]) = (1, 2, 3);
        requireActive(rest);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], IValidatorRegistry.Left.selector, "Left");
        vm.assertEq(logs[0].topics[1], bytes32(uint256(4)), "id");
    }

    function test_nobody_else_makes_it_leave() public {
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotOwner.selector, 4, address(this)));
        registry.exit(4);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotOwner.selector, 4, vm.addr(104)));
        vm.prank(vm.addr(104));
        registry.exit(4);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotOwner.selector, 4, founderOwner(3)));
        vm.prank(founderOwner(3));
        registry.exit(4);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotOwner.selector, 0, address(this)));
        registry.exit(0);
    }

    function test_each_step_has_its_place() public {
        bytes4 none;
        refusesAllBut(4, ACTIVE, [registry.exit.selector, registry.setEndpoint.selector]);
        exitOf(4);
        refusesAllBut(4, LEAVING, [registry.relieve.selector, registry.setEndpoint.selector]);
        rotateTo(0xabc, withoutFour());
        registry.relieve(4, withoutFour());
        refusesAllBut(4, UNBONDING_STATUS, [registry.withdraw.selector, registry.recall.selector]);
        vm.warp(block.timestamp + UNBONDING);
        vm.prank(founderOwner(4));
        registry.withdraw(4);
        refusesAllBut(4, WITHDRAWN, [none, none]);
        address[] memory committee = withoutFour();
        requireWrongStatus(abi.encodeCall(registry.relieve, (9, committee)), owner, 9, IValidatorRegistry.Status.None);
        requireWrongStatus(abi.encodeCall(registry.recall, (9, committee)), owner, 9, IValidatorRegistry.Status.None);
    }

    function test_a_leaver_serves_until_a_committee_without_it() public {
        exitOf(4);
        address[] memory committee = foundersCommittee();
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.StillInCommittee.selector, 4, 3));
        registry.relieve(4, committee);

        rotateTo(0xabc, withoutFour());
        vm.expectRevert(
            abi.encodeWithSelector(IValidatorRegistry.WrongCommittee.selector, hashOf(withoutFour()), hashOf(committee))
        );
        registry.relieve(4, committee);

        committee = withoutFour();
        vm.warp(START + 1_000);
        vm.recordLogs();
        vm.prank(address(0xbeef));
        registry.relieve(4, committee);
        requireStatus(4, UNBONDING_STATUS, "relieved");
        vm.assertEq(registry.validator(4).releaseAt, START + 1_000 + UNBONDING, "releaseAt");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], IValidatorRegistry.Relieved.selector, "Relieved");
        vm.assertEq(logs[0].topics[1], bytes32(uint256(4)), "id");
        vm.assertEq(logs[0].data, abi.encode(START + 1_000 + UNBONDING), "releaseAt in the event");
    }

    function test_an_empty_or_shortened_committee_proves_nothing() public {
        exitOf(4);
        address[] memory none = new address[](0);
        bytes32 right = hashOf(foundersCommittee());
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.WrongCommittee.selector, right, hashOf(none)));
        registry.relieve(4, none);
        address[] memory three = new address[](3);
        (three[0], three[1], three[2]) = (vm.addr(101), vm.addr(102), vm.addr(103));
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.WrongCommittee.selector, right, hashOf(three)));
        registry.relieve(4, three);
    }

    function test_one_that_never_served_is_relieved_at_once() public {
        newcomer();
        exitOf(5);
        registry.relieve(5, foundersCommittee());
        requireStatus(5, UNBONDING_STATUS, "relieved");
    }

    /// It left after the next committee was drawn and before that took office: nobody may serve unbonded.
    function test_one_that_is_in_office_after_all_is_recalled() public {
        newcomer();
        exitOf(5);
        registry.relieve(5, foundersCommittee());
        address[] memory committee = foundersCommittee();
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotInCommittee.selector, 5));
        registry.recall(5, committee);

        rotateTo(0xabc, withoutFour());
        vm.expectRevert(
            abi.encodeWithSelector(IValidatorRegistry.WrongCommittee.selector, hashOf(withoutFour()), hashOf(committee))
        );
        registry.recall(5, committee);
        vm.recordLogs();
        registry.recall(5, withoutFour());
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], IValidatorRegistry.Recalled.selector, "Recalled");
        requireStatus(5, LEAVING, "back to its duty");
        vm.assertEq(registry.validator(5).releaseAt, 0, "no release");

        committee = withoutFour();
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.StillInCommittee.selector, 5, 3));
        registry.relieve(5, committee);
        rotateTo(0xdef, foundersCommittee());
        vm.warp(START + UNBONDING);
        registry.relieve(5, foundersCommittee());
        vm.assertEq(registry.validator(5).releaseAt, START + 2 * uint256(UNBONDING), "the clock starts anew");
    }

    function leftAndRelieved() private {
        newcomer();
        exitOf(5);
        registry.relieve(5, foundersCommittee());
    }

    function test_the_stake_is_paid_after_the_delay() public {
        leftAndRelieved();
        uint256 end = START + UNBONDING;
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.StillBonded.selector, end, end - 1));
        vm.prank(owner);
        registry.withdraw(5);

        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotOwner.selector, 5, address(this)));
        registry.withdraw(5);

        vm.recordLogs();
        vm.prank(owner);
        registry.withdraw(5);
        vm.assertEq(owner.balance, STAKE, "paid");
        vm.assertEq(address(registry).balance, 4 * uint256(STAKE), "and no more");
        IValidatorRegistry.Validator memory gone = registry.validator(5);
        vm.assertEq(gone.stake, 0, "stake");
        vm.assertEq(gone.releaseAt, 0, "releaseAt");
        requireStatus(5, WITHDRAWN, "withdrawn");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], IValidatorRegistry.Withdrawn.selector, "Withdrawn");
        vm.assertEq(logs[0].data, abi.encode(STAKE), "stake in the event");
    }

    function test_without_a_stake_nobody_is_called() public {
        registry = deploy(founders(4), true, 0);
        vm.assertEq(registry.validator(4).stake, 0, "no stake");
        exitOf(4);
        rotateTo(0xabc, withoutFour());
        registry.relieve(4, withoutFour());
        vm.warp(block.timestamp + UNBONDING);
        vm.mockCallRevert(founderOwner(4), "", "");
        vm.prank(founderOwner(4));
        registry.withdraw(4);
        requireStatus(4, WITHDRAWN, "withdrawn");
    }

    function test_a_key_is_never_used_again_and_neither_is_an_id() public {
        leftAndRelieved();
        vm.warp(START + UNBONDING);
        vm.prank(owner);
        registry.withdraw(5);

        vm.deal(owner, STAKE);
        bytes memory proof = proofOf(nodeKey, owner, ENDPOINT);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NodeKeyUsed.selector, vm.addr(nodeKey), 5));
        vm.prank(owner);
        registry.join{value: STAKE}(vm.addr(nodeKey), ENDPOINT, proof);

        vm.assertEq(joinAs(106, owner), 6, "the owner may come back with another key, as another validator");
        vm.assertEq(registry.idOf(vm.addr(nodeKey)), 5, "the old key is still 5's");
        requireStatus(5, WITHDRAWN, "5 is still gone");
    }

    function test_while_it_unbonds_the_owner_has_no_other() public {
        leftAndRelieved();
        vm.deal(owner, STAKE);
        bytes memory proof = proofOf(106, owner, ENDPOINT);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.OwnerHasValidator.selector, owner, 5));
        vm.prank(owner);
        registry.join{value: STAKE}(vm.addr(106), ENDPOINT, proof);
    }

    function test_an_owner_that_refuses_ether_keeps_its_claim() public {
        Greedy greedy = new Greedy(registry);
        owner = address(greedy);
        leftAndRelieved();
        vm.warp(START + UNBONDING);
        greedy.refuse();
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.TransferFailed.selector, owner, STAKE));
        vm.prank(owner);
        registry.withdraw(5);
        requireStatus(5, UNBONDING_STATUS, "nothing changed");
    }

    function test_an_owner_that_calls_back_is_paid_once() public {
        Greedy greedy = new Greedy(registry);
        owner = address(greedy);
        leftAndRelieved();
        vm.warp(START + UNBONDING);
        vm.prank(owner);
        registry.withdraw(5);
        vm.assertTrue(greedy.called(), "it tried");
        vm.assertFalse(greedy.succeeded(), "in vain");
        vm.assertEq(owner.balance, STAKE, "paid once");
    }

    /// Whatever is paid in and out, the contract holds the stakes and what is burnt.
    function testFuzz_it_holds_what_it_owes(uint256 plan, uint96 extra) public {
        registry = deploy(founders(8), false, STAKE);
        vm.deal(owner, uint256(STAKE) + extra % 100 ether);
        bytes memory proof = proofOf(999, owner, ENDPOINT);
        uint256 paid = owner.balance;
        vm.prank(owner);
        registry.join{value: paid}(vm.addr(999), ENDPOINT, proof);
        for (uint16 id = 1; id <= 8; id++) {
            uint256 fate = plan >> 2 * id & 3;
            if (fate > 0) exitOf(id);
            if (fate > 1 && id > 4) registry.relieve(id, foundersCommittee());
            if (fate > 2) registry.slash(vote(100 + id, 17, 0, "a"), vote(100 + id, 17, 0, "b"));
        }
        vm.warp(block.timestamp + UNBONDING);
        uint256 owed = registry.burnt();
        for (uint16 id = 1; id <= 9; id++) {
            IValidatorRegistry.Validator memory one = registry.validator(id);
            if (one.status == UNBONDING_STATUS) {
                vm.prank(one.owner);
                registry.withdraw(id);
            }
            owed += registry.validator(id).stake;
        }
        vm.assertEq(address(registry).balance, owed, "balance");
    }
}

/// @title An owner that tries to be paid twice
contract Greedy {
    ValidatorRegistry private registry;
    bool private refuses;
    bool public called;
    bool public succeeded;

    constructor(ValidatorRegistry registry_) {
        registry = registry_;
    }

    function refuse() external {
        refuses = true;
    }

    receive() external payable {
        require(!refuses);
        called = true;
        (succeeded,) = address(registry).call(abi.encodeCall(registry.withdraw, (5)));
    }
}
