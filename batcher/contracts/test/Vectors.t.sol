// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {SequencerInbox} from "../src/SequencerInbox.sol";
import {ValidatorRegistry} from "../src/ValidatorRegistry.sol";
import {FrostVerifierHarness} from "./FrostVerifierHarness.sol";
import {TestBase} from "./TestBase.sol";

/// @title One inbox, from deployment to the third batch, with every digest and signature made by a Rust program
contract VectorsTest is TestBase {
    string private json;
    SequencerInbox private inbox;

    function setUp() public {
        json = vectors();
        vm.chainId(vm.parseJsonUint(json, ".inbox.chainId"));
        vm.prank(vm.parseJsonAddress(json, ".inbox.deployer"));
        ISequencerInbox.Terms memory terms = ISequencerInbox.Terms(3_600, 3_600, 7_200, 1);
        inbox = new SequencerInbox(vm.parseJsonAddressArray(json, ".inbox.validators"), terms);
    }

    function test_the_whole_life_of_an_inbox() public {
        vm.assertEq(address(inbox), vm.parseJsonAddress(json, ".inbox.address"), "address");
        inbox.initialise(
            vm.parseJsonUint(json, ".inbox.keyX"),
            vm.parseJsonUint(json, ".inbox.keyY"),
            vm.parseJsonBytesArray(json, ".inbox.initialiseSignatures")
        );
        vm.assertEq(inbox.key(), vm.parseJsonBytes(json, ".inbox.key"), "key");

        for (uint256 i = 0; i < 3; i++) {
            string memory path = string.concat(".inbox.batches[", vm.toString(i), "]");
            vm.blobhashes(vm.parseJsonBytes32Array(json, string.concat(path, ".blobHashes")));
            inbox.post(
                headerOf(path),
                vm.parseJsonBytes32(json, string.concat(path, ".calldataHash")),
                vm.parseJsonBytes(json, string.concat(path, ".inlineData")),
                signatureOf(path)
            );
            (, bytes32 id,) = inbox.lastBatch();
            vm.assertEq(id, vm.parseJsonBytes32(json, string.concat(path, ".id")), "id");
        }
        vm.assertEq(inbox.nextNumber(), 4, "all posted");
    }

    function headerOf(string memory path) private view returns (ISequencerInbox.BatchHeader memory header) {
        header.number = uint64(vm.parseJsonUint(json, string.concat(path, ".number")));
        header.parentId = vm.parseJsonBytes32(json, string.concat(path, ".parentId"));
        header.epoch = uint64(vm.parseJsonUint(json, string.concat(path, ".epoch")));
        header.firstHeight = uint64(vm.parseJsonUint(json, string.concat(path, ".firstHeight")));
        header.lastHeight = uint64(vm.parseJsonUint(json, string.concat(path, ".lastHeight")));
        header.lastHeaderHash = vm.parseJsonBytes32(json, string.concat(path, ".lastHeaderHash"));
        header.lastTime = uint64(vm.parseJsonUint(json, string.concat(path, ".lastTime")));
        header.forcedCursor = uint64(vm.parseJsonUint(json, string.concat(path, ".forcedCursor")));
        header.l1Reference = uint64(vm.parseJsonUint(json, string.concat(path, ".l1Reference")));
    }

    function signatureOf(string memory path) private view returns (ISequencerInbox.GroupSignature memory) {
        return ISequencerInbox.GroupSignature(
            vm.parseJsonUint(json, string.concat(path, ".rx")),
            vm.parseJsonUint(json, string.concat(path, ".ry")),
            vm.parseJsonUint(json, string.concat(path, ".z"))
        );
    }

    /// What is shipped must be what these tests ran.
    function test_artifacts_are_the_tested_code() public view {
        string memory inboxArtifact = vm.readFile("artifacts/SequencerInbox.json");
        bytes32 shipped = keccak256(vm.parseJsonBytes(inboxArtifact, ".bytecode"));
        vm.assertEq(shipped, keccak256(type(SequencerInbox).creationCode), "SequencerInbox.bytecode");
        shipped = keccak256(vm.parseJsonBytes(inboxArtifact, ".deployedBytecode"));
        vm.assertEq(shipped, keccak256(address(inbox).code), "SequencerInbox.deployedBytecode");
        string memory registry = vm.readFile("artifacts/ValidatorRegistry.json");
        shipped = keccak256(vm.parseJsonBytes(registry, ".bytecode"));
        vm.assertEq(shipped, keccak256(type(ValidatorRegistry).creationCode), "ValidatorRegistry.bytecode");
        shipped = keccak256(vm.parseJsonBytes(registry, ".deployedBytecode"));
        vm.assertEq(shipped, keccak256(type(ValidatorRegistry).runtimeCode), "ValidatorRegistry.deployedBytecode");
        string memory harness = vm.readFile("artifacts/FrostVerifierHarness.json");
        shipped = keccak256(vm.parseJsonBytes(harness, ".bytecode"));
        vm.assertEq(shipped, keccak256(type(FrostVerifierHarness).creationCode), "FrostVerifierHarness.bytecode");
    }
}
