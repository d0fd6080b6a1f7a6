// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {IValidatorRegistry} from "../src/IValidatorRegistry.sol";
import {ValidatorRegistry} from "../src/ValidatorRegistry.sol";
import {InboxFixture} from "./InboxFixture.sol";

/// @title A registry of the four founders, with an allow-list and a stake, beside their inbox
abstract contract RegistryFixture is InboxFixture {
    uint96 internal constant STAKE = 1 ether;
    /// Seconds.
    uint64 internal constant UNBONDING = 7 * 86_400;
    string internal constant ENDPOINT = "/ip4/10.0.0.9/udp/9100/quic-v1";

    ValidatorRegistry internal registry;
    /// Private key of a newcomer, and its owner.
    uint256 internal nodeKey = 105;
    address internal owner = address(0x0500);

    /// The tests themselves own no validator; ether for founders' stakes comes from here.
    function setUp() public virtual override {
        super.setUp();
        initialise();
        postNext(1);
        registry = deploy(founders(4), true, STAKE);
    }

    function deploy(IValidatorRegistry.Founder[] memory list, bool permissioned, uint96 stake)
        internal
        returns (ValidatorRegistry)
    {
        vm.deal(address(this), list.length * stake);
        return new ValidatorRegistry{value: list.length * stake}(inbox, list, permissioned, stake, UNBONDING);
    }

    function founderOwner(uint256 id) internal pure returns (address) {
        return address(uint160(0xa000 + id));
    }

    /// The first four have the keys of the inbox's founders.
    function founders(uint256 count) internal pure returns (IValidatorRegistry.Founder[] memory list) {
        list = new IValidatorRegistry.Founder[](count);
        for (uint256 i = 0; i < count; i++) {
            list[i] = IValidatorRegistry.Founder(vm.addr(101 + i), founderOwner(i + 1), endpointOf(i + 1));
        }
    }

    /// 31 bytes: the longest that takes one storage slot.
    function endpointOf(uint256 id) internal pure returns (string memory) {
        return string.concat("/ip4/10.0.0.", vm.toString(100 + id), "/udp/900/quic-v1");
    }

    function registerDigest(address newOwner, string memory endpoint) internal view returns (bytes32) {
        return preimageFor(address(registry), 24, 0, uint256(uint160(newOwner)), keccak256(bytes(endpoint)));
    }

    function proofOf(uint256 key, address newOwner, string memory endpoint) internal view returns (bytes memory) {
        return ecdsa(key, registerDigest(newOwner, endpoint));
    }

    function allowDigest(address newOwner, bool allowed) internal view returns (bytes32) {
        bytes32 content = keccak256(abi.encodePacked(uint256(uint160(newOwner)), uint256(allowed ? 1 : 0)));
        return preimageFor(address(registry), 5, inbox.epoch(), registry.allowNonce(), content);
    }

    function signAllow(bytes32 digest) internal returns (IValidatorRegistry.GroupSignature memory) {
        ISequencerInbox.GroupSignature memory signature = groupSign(digest);
        return IValidatorRegistry.GroupSignature(signature.rx, signature.ry, signature.z);
    }

    function allow(address newOwner) internal {
        registry.allow(newOwner, true, signAllow(allowDigest(newOwner, true)));
    }

    /// The allowed owner joins with the minimum stake.
    function joinAs(uint256 key, address newOwner) internal returns (uint16) {
        vm.deal(newOwner, STAKE);
        bytes memory proof = proofOf(key, newOwner, ENDPOINT);
        vm.prank(newOwner);
        return registry.join{value: STAKE}(vm.addr(key), ENDPOINT, proof);
    }

    /// Validator 5: the newcomer, allowed and joined.
    function newcomer() internal returns (uint16) {
        allow(owner);
        return joinAs(nodeKey, owner);
    }

    function committeeOf(uint256[4] memory keys) internal pure returns (address[] memory committee) {
        committee = new address[](4);
        for (uint256 i = 0; i < 4; i++) {
            committee[i] = vm.addr(keys[i]);
        }
    }

    function foundersCommittee() internal view returns (address[] memory) {
        return addresses(validatorKeys);
    }

    function exitOf(uint16 id) internal {
        address who = registry.validator(id).owner;
        vm.prank(who);
        registry.exit(id);
    }

    function requireStatus(uint16 id, IValidatorRegistry.Status status, string memory what) internal view {
        vm.assertEq(uint256(registry.validator(id).status), uint256(status), what);
    }

    /// Expects that the list holds exactly these ids.
    function requireActive(uint256[] memory ids) internal view {
        IValidatorRegistry.Member[] memory members = registry.active();
        vm.assertEq(members.length, ids.length, "number of active validators");
        for (uint256 i = 0; i < ids.length; i++) {
            vm.assertEq(members[i].id, ids[i], "active id");
            vm.assertEq(members[i].node, registry.validator(members[i].id).node, "active node");
            vm.assertEq(members[i].stake, registry.validator(members[i].id).stake, "active stake");
        }
    }

    function voteDigest(address verifier, IValidatorRegistry.Vote memory v) internal view returns (bytes32) {
        return keccak256(
            bytes.concat(
                abi.encodePacked("mpc-sequencer/v1", bytes16(0), uint256(v.kind), block.chainid),
                abi.encodePacked(uint256(uint160(verifier)), uint256(v.epoch), uint256(v.height)),
                abi.encodePacked(uint256(v.round), v.value)
            )
        );
    }

    /// A signed vote in epoch 0 at height 77.
    function vote(uint256 key, uint8 kind, uint32 round, bytes32 value)
        internal
        view
        returns (IValidatorRegistry.Vote memory result)
    {
        result = IValidatorRegistry.Vote(kind, 0, 77, round, value, "");
        result.signature = ecdsa(key, voteDigest(address(inbox), result));
    }
}
