// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {FrostVerifier} from "../src/FrostVerifier.sol";
import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {IValidatorRegistry} from "../src/IValidatorRegistry.sol";
import {ValidatorRegistry} from "../src/ValidatorRegistry.sol";
import {RegistryFixture} from "./RegistryFixture.sol";
import {Vm} from "./TestBase.sol";

/// @title Deployment, joining, endpoints and what can be read
contract RegistryTest is RegistryFixture {
    function test_founders_have_the_ids_of_the_genesis_file() public {
        vm.recordLogs();
        registry = deploy(founders(4), true, STAKE);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 4, "events");
        for (uint16 id = 1; id <= 4; id++) {
            IValidatorRegistry.Validator memory founder = registry.validator(id);
            vm.assertEq(founder.id, id, "id");
            vm.assertEq(founder.node, vm.addr(100 + id), "node");
            vm.assertEq(founder.owner, founderOwner(id), "owner");
            vm.assertEq(founder.stake, STAKE, "stake");
            vm.assertEq(founder.endpoint, endpointOf(id), "endpoint");
            vm.assertEq(founder.releaseAt, 0, "releaseAt");
            requireStatus(id, IValidatorRegistry.Status.Active, "active");
            vm.assertEq(registry.idOf(founder.node), id, "idOf");
            vm.assertFalse(registry.isAllowed(founder.owner), "founders need no permission and have none");
            vm.assertEq(logs[id - 1].topics[0], IValidatorRegistry.Joined.selector, "Joined");
            vm.assertEq(logs[id - 1].topics[1], bytes32(uint256(id)), "id in the event");
        }
        vm.assertEq(address(registry).balance, 4 * uint256(STAKE), "their stakes");
    }

    function test_the_settings_can_be_read() public view {
        vm.assertEq(registry.inbox(), address(inbox), "inbox");
        vm.assertTrue(registry.permissioned(), "permissioned");
        vm.assertEq(registry.minimumStake(), STAKE, "minimumStake");
        vm.assertEq(registry.unbondingDelay(), UNBONDING, "unbondingDelay");
        vm.assertEq(registry.allowNonce(), 0, "allowNonce");
        vm.assertEq(registry.burnt(), 0, "burnt");
    }

    function test_an_unknown_id_reads_as_nothing() public view {
        uint16[3] memory unknown = [0, 5, type(uint16).max];
        for (uint256 i = 0; i < unknown.length; i++) {
            IValidatorRegistry.Validator memory nobody = registry.validator(unknown[i]);
            bytes32 zero = keccak256(
                abi.encode(
                    IValidatorRegistry.Validator({
                        id: 0,
                        node: address(0),
                        owner: address(0),
                        stake: 0,
                        status: IValidatorRegistry.Status.None,
                        releaseAt: 0,
                        endpoint: ""
                    })
                )
            );
            vm.assertEq(keccak256(abi.encode(nobody)), zero, "nothing");
        }
    }

    function test_bad_settings_are_refused() public {
        IValidatorRegistry.Founder[] memory list = founders(4);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.InvalidInbox.selector, address(0xdead)));
        new ValidatorRegistry(ISequencerInbox(address(0xdead)), list, true, 0, UNBONDING);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.OpenToAnyone.selector));
        new ValidatorRegistry(inbox, list, false, 0, UNBONDING);
        uint64[4] memory delays = [0, 59, 31_536_001, type(uint64).max];
        for (uint256 i = 0; i < delays.length; i++) {
            vm.expectRevert(
                abi.encodeWithSelector(IValidatorRegistry.UnbondingDelayOutOfRange.selector, 60, 31_536_000, delays[i])
            );
            new ValidatorRegistry(inbox, list, true, 0, delays[i]);
        }
        list = founders(3);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.ValidatorCountOutOfRange.selector, 4, 100, 3));
        new ValidatorRegistry(inbox, list, true, 0, UNBONDING);
        list = founders(101);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.ValidatorCountOutOfRange.selector, 4, 100, 101));
        new ValidatorRegistry(inbox, list, true, 0, UNBONDING);
    }

    function test_the_deployment_carries_the_founders_stakes() public {
        IValidatorRegistry.Founder[] memory list = founders(4);
        vm.deal(address(this), 10 * STAKE);
        uint256 right = 4 * uint256(STAKE);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.WrongFoundersStake.selector, right, right - 1));
        new ValidatorRegistry{value: right - 1}(inbox, list, true, STAKE, UNBONDING);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.WrongFoundersStake.selector, right, right + 1));
        new ValidatorRegistry{value: right + 1}(inbox, list, true, STAKE, UNBONDING);
    }

    function test_founders_are_checked_like_newcomers() public {
        IValidatorRegistry.Founder[] memory list = founders(5);
        list[4].node = list[1].node;
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NodeKeyUsed.selector, list[1].node, 2));
        new ValidatorRegistry(inbox, list, true, 0, UNBONDING);
        list = founders(5);
        list[4].owner = list[1].owner;
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.OwnerHasValidator.selector, list[1].owner, 2));
        new ValidatorRegistry(inbox, list, true, 0, UNBONDING);
        list = founders(5);
        list[4].owner = list[4].node;
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.InvalidKeys.selector, list[4].node, list[4].node));
        new ValidatorRegistry(inbox, list, true, 0, UNBONDING);
        list = founders(5);
        list[4].owner = address(0);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.InvalidKeys.selector, list[4].node, address(0)));
        new ValidatorRegistry(inbox, list, true, 0, UNBONDING);
        list = founders(5);
        list[4].endpoint = "";
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.InvalidEndpoint.selector, 0, 0));
        new ValidatorRegistry(inbox, list, true, 0, UNBONDING);
    }

    function test_the_largest_set_can_be_deployed_in_one_transaction() public {
        IValidatorRegistry.Founder[] memory list = founders(100);
        vm.assertEq(bytes(list[99].endpoint).length, 31, "one storage slot each");
        uint256 before = gasleft();
        new ValidatorRegistry(inbox, list, true, 0, UNBONDING);
        uint256 used = before - gasleft();
        measured("deployment with 100 founders: gas without the intrinsic", used);
        // EIP-7825: a transaction may use 2^24 gas; data and intrinsic gas stay below 1 M here.
        vm.assertLe(used + 1_000_000, 1 << 24, "deployment");
    }

    function test_an_allowed_owner_joins_with_a_stake() public {
        allow(owner);
        vm.deal(owner, 3 ether);
        bytes memory proof = proofOf(nodeKey, owner, ENDPOINT);
        vm.recordLogs();
        vm.prank(owner);
        uint16 id = registry.join{value: 3 ether}(vm.addr(nodeKey), ENDPOINT, proof);

        vm.assertEq(id, 5, "id");
        IValidatorRegistry.Validator memory validator = registry.validator(5);
        vm.assertEq(validator.node, vm.addr(nodeKey), "node");
        vm.assertEq(validator.owner, owner, "owner");
        vm.assertEq(validator.stake, 3 ether, "all of it is at stake");
        vm.assertEq(validator.endpoint, ENDPOINT, "endpoint");
        requireStatus(5, IValidatorRegistry.Status.Active, "active");
        requireActive(firstIds(5));

        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], IValidatorRegistry.Joined.selector, "Joined");
        vm.assertEq(logs[0].topics[1], bytes32(uint256(5)), "id");
        vm.assertEq(logs[0].topics[2], bytes32(uint256(uint160(vm.addr(nodeKey)))), "node");
        vm.assertEq(logs[0].topics[3], bytes32(uint256(uint160(owner))), "owner");
        vm.assertEq(logs[0].data, abi.encode(ENDPOINT, uint96(3 ether)), "data");
    }

    function firstIds(uint256 count) private pure returns (uint256[] memory ids) {
        ids = new uint256[](count);
        for (uint256 i = 0; i < count; i++) {
            ids[i] = i + 1;
        }
    }

    /// Joins as `owner` with what is given and expects that `join` names what is wrong with it.
    function refused(address node, string memory endpoint, bytes memory proof, uint256 stake, bytes memory reason)
        private
    {
        vm.deal(owner, stake);
        vm.expectRevert(reason);
        vm.prank(owner);
        registry.join{value: stake}(node, endpoint, proof);
        vm.assertEq(registry.active().length, 4, "nobody joined");
    }

    function test_an_owner_without_permission_is_refused() public {
        bytes memory proof = proofOf(nodeKey, owner, ENDPOINT);
        bytes memory reason = abi.encodeWithSelector(IValidatorRegistry.NotAllowed.selector, owner);
        refused(vm.addr(nodeKey), ENDPOINT, proof, STAKE, reason);
        allow(address(0x0501));
        refused(vm.addr(nodeKey), ENDPOINT, proof, STAKE, reason);
    }

    function test_too_small_a_stake_is_refused() public {
        allow(owner);
        bytes memory proof = proofOf(nodeKey, owner, ENDPOINT);
        bytes memory reason = abi.encodeWithSelector(IValidatorRegistry.StakeTooLow.selector, STAKE, STAKE - 1);
        refused(vm.addr(nodeKey), ENDPOINT, proof, STAKE - 1, reason);
        reason = abi.encodeWithSelector(IValidatorRegistry.StakeTooLow.selector, STAKE, 0);
        refused(vm.addr(nodeKey), ENDPOINT, proof, 0, reason);
    }

    /// More than there is; checked all the same, since the stake is kept in 96 bits.
    function test_more_ether_than_exists_is_refused() public {
        allow(owner);
        bytes memory proof = proofOf(nodeKey, owner, ENDPOINT);
        uint256 most = type(uint96).max;
        bytes memory reason = abi.encodeWithSelector(IValidatorRegistry.StakeTooHigh.selector, most, most + 1);
        refused(vm.addr(nodeKey), ENDPOINT, proof, most + 1, reason);
    }

    function test_node_and_owner_are_two_keys() public {
        allow(owner);
        bytes memory proof = proofOf(nodeKey, owner, ENDPOINT);
        refused(
            owner, ENDPOINT, proof, STAKE, abi.encodeWithSelector(IValidatorRegistry.InvalidKeys.selector, owner, owner)
        );
        bytes memory reason = abi.encodeWithSelector(IValidatorRegistry.InvalidKeys.selector, address(0), owner);
        refused(address(0), ENDPOINT, proof, STAKE, reason);
    }

    /// A malformed proof recovers zero, and so would a node key of zero: it is refused before.
    function test_malformed_proofs_are_refused() public {
        allow(owner);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(nodeKey, registerDigest(owner, ENDPOINT));
        bytes[6] memory bad = [
            bytes(""),
            abi.encodePacked(r, s),
            abi.encodePacked(r, s, v, uint8(0)),
            abi.encodePacked(r, s, v - 27),
            abi.encodePacked(r, bytes32(FrostVerifier.N - uint256(s)), uint8(27 + 28 - v)),
            abi.encodePacked(bytes32(0), s, v)
        ];
        address node = vm.addr(nodeKey);
        for (uint256 i = 0; i < bad.length; i++) {
            bytes memory reason = abi.encodeWithSelector(IValidatorRegistry.InvalidProof.selector, node, address(0));
            refused(node, ENDPOINT, bad[i], STAKE, reason);
        }
    }

    function test_nobody_registers_anothers_key() public {
        allow(owner);
        address node = vm.addr(nodeKey);
        bytes memory reason = abi.encodeWithSelector(IValidatorRegistry.InvalidProof.selector, node, vm.addr(106));
        refused(node, ENDPOINT, proofOf(106, owner, ENDPOINT), STAKE, reason);
    }

    /// Signatures over any other preimage recover to strangers. Which ones is not our business: only that they do.
    function unproven(bytes32 digest) private {
        bytes memory proof = ecdsa(nodeKey, digest);
        vm.deal(owner, STAKE);
        vm.prank(owner);
        (bool accepted, bytes memory answer) =
            address(registry).call{value: STAKE}(abi.encodeCall(registry.join, (vm.addr(nodeKey), ENDPOINT, proof)));
        vm.assertFalse(accepted, "accepted");
        vm.assertEq(bytes32(bytes4(answer)), bytes32(IValidatorRegistry.InvalidProof.selector), "InvalidProof");
    }

    function test_the_proof_is_for_this_owner_endpoint_registry_kind_and_chain() public {
        allow(owner);
        bytes32 endpoint = keccak256(bytes(ENDPOINT));
        uint256 word5 = uint256(uint160(owner));
        unproven(registerDigest(address(0x0501), ENDPOINT));
        unproven(registerDigest(owner, "/ip4/10.0.0.8/udp/9100/quic-v1"));
        unproven(preimageFor(address(inbox), 24, 0, word5, endpoint));
        unproven(preimageFor(address(registry), 23, 0, word5, endpoint));
        unproven(preimageFor(address(registry), 24, 1, word5, endpoint));
        bytes32 digest = registerDigest(owner, ENDPOINT);
        vm.chainId(block.chainid + 1);
        unproven(digest);
    }

    function test_a_key_in_use_is_refused() public {
        allow(owner);
        bytes memory reason = abi.encodeWithSelector(IValidatorRegistry.NodeKeyUsed.selector, vm.addr(102), 2);
        refused(vm.addr(102), ENDPOINT, proofOf(102, owner, ENDPOINT), STAKE, reason);
    }

    function test_an_owner_has_one_validator_at_a_time() public {
        newcomer();
        vm.deal(owner, STAKE);
        bytes memory proof = proofOf(106, owner, ENDPOINT);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.OwnerHasValidator.selector, owner, 5));
        vm.prank(owner);
        registry.join{value: STAKE}(vm.addr(106), ENDPOINT, proof);
    }

    function test_the_set_has_a_limit() public {
        registry = deploy(founders(100), true, STAKE);
        allow(owner);
        vm.deal(owner, 2 * STAKE);
        bytes memory proof = proofOf(9_999, owner, ENDPOINT);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.ValidatorSetFull.selector, 100));
        vm.prank(owner);
        registry.join{value: STAKE}(vm.addr(9_999), ENDPOINT, proof);

        exitOf(17);
        vm.prank(owner);
        vm.assertEq(registry.join{value: STAKE}(vm.addr(9_999), ENDPOINT, proof), 101, "the next id, not 17");
    }

    /// 65,535 ids is the limit of a validator's number in the protocol; it takes slot surgery to come near.
    function test_ids_do_run_out() public {
        allow(owner);
        bytes32 slot = vm.load(address(registry), 0);
        bytes32 mask = bytes32(uint256(type(uint16).max) << 232);
        vm.store(address(registry), 0, slot | mask);
        bytes memory proof = proofOf(nodeKey, owner, ENDPOINT);
        refused(
            vm.addr(nodeKey), ENDPOINT, proof, STAKE, abi.encodeWithSelector(IValidatorRegistry.IdsExhausted.selector)
        );
    }

    function test_without_an_allow_list_anyone_joins_with_a_stake() public {
        registry = deploy(founders(4), false, STAKE);
        vm.assertEq(joinAs(nodeKey, owner), 5, "joined");
        bytes32 digest = allowDigest(owner, true);
        IValidatorRegistry.GroupSignature memory signature = signAllow(digest);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotPermissioned.selector));
        registry.allow(owner, true, signature);
    }

    function test_without_a_stake_permission_is_enough() public {
        registry = deploy(founders(4), true, 0);
        allow(owner);
        bytes memory proof = proofOf(nodeKey, owner, ENDPOINT);
        vm.prank(owner);
        vm.assertEq(registry.join(vm.addr(nodeKey), ENDPOINT, proof), 5, "joined");
    }

    function test_plain_ether_is_refused() public {
        vm.deal(address(this), 1);
        (bool accepted,) = address(registry).call{value: 1}("");
        vm.assertFalse(accepted, "no receive function");
    }

    function test_the_owner_moves_its_validator() public {
        newcomer();
        vm.recordLogs();
        vm.prank(owner);
        registry.setEndpoint(5, "/dns4/five.example/udp/1/quic-v1");
        vm.assertEq(registry.validator(5).endpoint, "/dns4/five.example/udp/1/quic-v1", "moved");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], IValidatorRegistry.EndpointSet.selector, "EndpointSet");
        vm.assertEq(logs[0].topics[1], bytes32(uint256(5)), "id");
        vm.assertEq(logs[0].data, abi.encode("/dns4/five.example/udp/1/quic-v1"), "endpoint");

        exitOf(5);
        vm.prank(owner);
        registry.setEndpoint(5, ENDPOINT);
        registry.relieve(5, foundersCommittee());
        vm.expectRevert(
            abi.encodeWithSelector(IValidatorRegistry.WrongStatus.selector, 5, IValidatorRegistry.Status.Unbonding)
        );
        vm.prank(owner);
        registry.setEndpoint(5, ENDPOINT);
    }

    function test_nobody_else_moves_it() public {
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotOwner.selector, 1, owner));
        vm.prank(owner);
        registry.setEndpoint(1, ENDPOINT);
        // Not even the node itself, nor anyone where nobody is.
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotOwner.selector, 1, vm.addr(101)));
        vm.prank(vm.addr(101));
        registry.setEndpoint(1, ENDPOINT);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotOwner.selector, 9, owner));
        vm.prank(owner);
        registry.setEndpoint(9, ENDPOINT);
    }

    function test_endpoints_are_short_plain_text() public {
        string memory longest = string(filled(256, "a"));
        vm.prank(founderOwner(1));
        registry.setEndpoint(1, longest);
        vm.assertEq(registry.validator(1).endpoint, longest, "256 bytes");

        badEndpoint("", 0, 0);
        badEndpoint(filled(257, "a"), 257, 257);
        bytes1[5] memory bad = [bytes1(0x00), 0x0a, 0x20, 0x7f, 0xff];
        for (uint256 i = 0; i < bad.length; i++) {
            bytes memory text = filled(8, "a");
            text[7] = bad[i];
            badEndpoint(text, 8, 7);
        }
    }

    function filled(uint256 length, bytes1 with) private pure returns (bytes memory text) {
        text = new bytes(length);
        for (uint256 i = 0; i < length; i++) {
            text[i] = with;
        }
    }

    function badEndpoint(bytes memory text, uint256 length, uint256 index) private {
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.InvalidEndpoint.selector, length, index));
        vm.prank(founderOwner(1));
        registry.setEndpoint(1, string(text));
    }

    /// The root, word by word: offset, length, and three words for each active validator.
    function rootOf(uint256[] memory ids) private view returns (bytes32) {
        bytes memory words = abi.encodePacked(uint256(32), ids.length);
        for (uint256 i = 0; i < ids.length; i++) {
            IValidatorRegistry.Validator memory one = registry.validator(uint16(ids[i]));
            words = bytes.concat(
                words, abi.encodePacked(ids[i], uint256(uint160(one.node)), keccak256(bytes(one.endpoint)))
            );
        }
        return keccak256(words);
    }

    function test_the_root_follows_every_change() public {
        bytes32 root = registry.root();
        vm.assertEq(root, rootOf(firstIds(4)), "founders");
        newcomer();
        vm.assertTrue(root != registry.root(), "joined");
        vm.assertEq(registry.root(), rootOf(firstIds(5)), "joined");
        root = registry.root();
        vm.prank(owner);
        registry.setEndpoint(5, "/dns4/five.example/udp/1/quic-v1");
        vm.assertTrue(root != registry.root(), "moved");
        vm.assertEq(registry.root(), rootOf(firstIds(5)), "moved");
        exitOf(5);
        vm.assertEq(registry.root(), rootOf(firstIds(4)), "left");
    }

    function test_gas_of_the_root_of_a_full_set() public {
        registry = deploy(founders(100), true, STAKE);
        vm.cool(address(registry));
        registry.root();
        uint256 used = vm.lastCallGas().gasTotalUsed;
        measured("root of 100 validators: gas of the call", used);
        vm.assertLe(used, 660_000, "root");
    }

    /// Execution alone of one call with cold storage; a transaction adds 21,000 and its calldata.
    function cost(string memory what, address sender, uint256 value, bytes memory call, uint256 limit) private {
        vm.cool(address(registry));
        vm.cool(address(inbox));
        vm.prank(sender);
        (bool accepted,) = address(registry).call{value: value}(call);
        vm.assertTrue(accepted, what);
        uint256 used = vm.lastCallGas().gasTotalUsed;
        measured(what, used);
        vm.assertLe(used, limit, what);
    }

    function test_gas_of_a_validators_life_in_a_full_set() public {
        registry = deploy(founders(99), true, STAKE);
        address[] memory committee = foundersCommittee();
        bytes memory call = abi.encodeCall(registry.allow, (owner, true, signAllow(allowDigest(owner, true))));
        cost("allow: gas of the call", address(this), 0, call, 46_000);
        vm.deal(owner, STAKE);
        bytes memory proof = proofOf(9_999, owner, ENDPOINT);
        call = abi.encodeCall(registry.join, (vm.addr(9_999), ENDPOINT, proof));
        cost("join: gas of the call", owner, STAKE, call, 140_000);
        call = abi.encodeCall(registry.setEndpoint, (100, ENDPOINT));
        cost("setEndpoint: gas of the call", owner, 0, call, 18_000);
        cost("exit of the last of 100: gas of the call", owner, 0, abi.encodeCall(registry.exit, (100)), 20_000);
        call = abi.encodeCall(registry.relieve, (100, committee));
        cost("relieve, committee of 4: gas of the call", owner, 0, call, 19_000);
        vm.warp(block.timestamp + UNBONDING);
        cost("withdraw: gas of the call", owner, 0, abi.encodeCall(registry.withdraw, (100)), 49_000);
        call = abi.encodeCall(registry.exit, (1));
        cost("exit of the first of 99: gas of the call", founderOwner(1), 0, call, 145_000);
    }

    /// Exits in any order leave the others, ascending.
    function testFuzz_the_list_stays_in_order(uint256 seed) public {
        registry = deploy(founders(40), true, 0);
        uint256[] memory left = firstIds(40);
        for (uint256 count = 40; count > 0; count--) {
            uint256 index = seed % count;
            seed = uint256(keccak256(abi.encode(seed)));
            exitOf(uint16(left[index]));
            uint256[] memory rest = new uint256[](count - 1);
            for (uint256 i = 0; i < count - 1; i++) {
                rest[i] = left[i < index ? i : i + 1];
            }
            left = rest;
            requireActive(left);
        }
    }
}
