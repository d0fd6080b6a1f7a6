// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {FrostVerifier} from "../src/FrostVerifier.sol";
import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {FrostVerifierHarness} from "./FrostVerifierHarness.sol";
import {GroupSigner} from "./GroupSigner.sol";
import {TestBase, Vm} from "./TestBase.sol";

contract FrostVerifierTest is TestBase {
    uint256 private constant N = FrostVerifier.N;
    uint256 private constant P = FrostVerifier.P;
    uint256 private constant GAS_LIMIT = 5_200;

    /// The point with x = 1: small enough that x + P is still a word.
    uint256 private constant Y_OF_ONE = 0x4218f20ae6c646b363db68605822fb14264ca8d2587fdd6fbc750d587e76a7ee;
    /// The point with y = 1.
    uint256 private constant X_OF_Y_ONE = 0x1fe1e5ef3fceb5c135ab7741333ce5a6e80d68167653f6b2b24bcbcfaaaff507;
    /// The point with x = N: on the curve, but no `r` of `ecrecover`.
    uint256 private constant Y_OF_N = 0x98f66641cb0ae1776b463ebdee3d77fe2658f021db48e2c8ac7ab4c92f83621e;

    struct Case {
        uint256 px;
        uint256 py;
        bytes32 message;
        uint256 rx;
        uint256 ry;
        uint256 z;
    }

    FrostVerifierHarness private verifier = new FrostVerifierHarness();

    function verify(Case memory c) private view returns (bool) {
        return verifier.verify(c.px, c.py % 2 == 1, c.message, c.rx, c.ry, c.z);
    }

    function signed(uint256 secret, uint256 nonce, bytes32 message) private returns (Case memory) {
        Vm.Wallet memory key = vm.createWallet(secret);
        ISequencerInbox.GroupSignature memory s = GroupSigner.sign(secret, nonce, abi.encode(message));
        return Case(key.publicKeyX, key.publicKeyY, message, s.rx, s.ry, s.z);
    }

    function fromVector(string memory json, string memory path) private pure returns (Case memory c) {
        c.px = vm.parseJsonUint(json, string.concat(path, ".px"));
        c.py = vm.parseJsonUint(json, string.concat(path, ".py"));
        c.message = bytes32(vm.parseJsonBytes(json, string.concat(path, ".message")));
        c.rx = vm.parseJsonUint(json, string.concat(path, ".rx"));
        c.ry = vm.parseJsonUint(json, string.concat(path, ".ry"));
        c.z = vm.parseJsonUint(json, string.concat(path, ".z"));
    }

    /// The RFC's message has 4 bytes and the verifier takes 32, so the RFC judges the reference challenge of these
    /// tests (z·G = R + c·P through the curve arithmetic of `createWallet`) and that one judges the verifier.
    function test_rfc9591_vector_fixes_the_reference_challenge() public {
        string memory json = vectors();
        Case memory v = fromVector(json, ".rfc9591");
        bytes memory message = vm.parseJsonBytes(json, ".rfc9591.message");
        uint256 secret = 0x0d004150d27c3bf2a42f312683d35fac7394b1e9e318249c1bfe7f0795a83114;
        vm.assertEq(vm.createWallet(secret).publicKeyX, v.px, "the RFC's group secret belongs to its group key");

        uint256 c = GroupSigner.challenge(GroupSigner.compress(v.rx, v.ry), GroupSigner.compress(v.px, v.py), message);
        uint256 nonce = addmod(v.z, N - mulmod(c, secret, N), N);
        Vm.Wallet memory r = vm.createWallet(nonce);
        vm.assertEq(r.publicKeyX, v.rx, "z - c*secret is the nonce of the RFC's R");
        vm.assertEq(r.publicKeyY, v.ry, "z - c*secret is the nonce of the RFC's R");
    }

    function test_frost_signatures_of_many_groups_verify() public view {
        string memory json = vectors();
        uint256 count = 0;
        for (;; count++) {
            string memory path = string.concat(".signatures[", vm.toString(count), "]");
            if (!vm.keyExistsJson(json, path)) break;
            Case memory c = fromVector(json, path);
            vm.assertTrue(verify(c), path);
            vm.assertTrue(verifier.isValidKey(c.px, c.py), path);
            c.message ^= bytes32(uint256(1));
            vm.assertFalse(verify(c), "another message");
        }
        vm.assertEq(count, 18, "vectors read");
    }

    function testFuzz_signature_verifies_and_any_change_breaks_it(
        uint256 secret,
        uint256 nonce,
        bytes32 message,
        uint256 field,
        uint256 change
    ) public {
        secret = 1 + secret % (N - 1);
        nonce = 1 + nonce % (N - 1);
        Case memory c = signed(secret, nonce, message);
        vm.assertTrue(verify(c), "good signature");

        change = change == 0 ? 1 : change;
        field = field % 6;
        if (field == 0) c.px ^= change;
        else if (field == 1) c.py ^= 1;
        else if (field == 2) c.message ^= bytes32(change);
        else if (field == 3) c.rx ^= change;
        else if (field == 4) c.ry ^= change;
        else c.z ^= change;
        vm.assertFalse(verify(c), "changed signature");
    }

    function test_mirrored_signature_is_refused() public {
        Case memory c = signed(7, 11, keccak256("mirror"));
        c.ry = P - c.ry;
        vm.assertFalse(verify(c), "R of the wrong parity");
        c.z = N - c.z;
        vm.assertFalse(verify(c), "negated signature");
    }

    function test_wrong_key_parity_is_refused() public {
        Case memory c = signed(7, 11, keccak256("parity"));
        c.py = P - c.py;
        vm.assertFalse(verify(c), "wrong parity");
    }

    function test_key_outside_range_is_refused() public {
        Case memory c = signed(7, 11, keccak256("key"));
        for (uint256 parity = 0; parity < 2; parity++) {
            c.py = parity;
            c.px = 0;
            vm.assertFalse(verify(c), "px = 0");
            c.px = N;
            vm.assertFalse(verify(c), "px = N");
            c.px = N + 1;
            vm.assertFalse(verify(c), "px > N");
            c.px = type(uint256).max;
            vm.assertFalse(verify(c), "px = 2^256 - 1");
        }
    }

    /// No signer can produce inputs that pass all but one range check, so the recovery is made to answer "R" here
    /// and each check has to refuse by itself.
    function test_range_checks_do_not_lean_on_the_recovery() public {
        Case memory good = signed(7, 11, keccak256("range"));
        address r = vm.addr(11);
        vm.mockCall(address(1), "", abi.encode(r));
        vm.assertTrue(verify(good), "the mock answers R");

        Case memory c = copy(good);
        c.z = 0;
        vm.assertFalse(verify(c), "z = 0");
        c.z = N;
        vm.assertFalse(verify(c), "z = N");
        c.z = type(uint256).max;
        vm.assertFalse(verify(c), "z = 2^256 - 1");

        c = copy(good);
        c.px = 0;
        vm.assertFalse(verify(c), "px = 0");
        c.px = N;
        vm.assertFalse(verify(c), "px = N");

        // Off the curve, with the address that the recovery answers.
        c = copy(good);
        c.rx = 5;
        c.ry = 6;
        vm.mockCall(address(1), "", abi.encode(pointAddress(5, 6)));
        vm.assertFalse(verify(c), "R off the curve");
        (c.rx, c.ry) = (0, 0);
        vm.mockCall(address(1), "", abi.encode(pointAddress(0, 0)));
        vm.assertFalse(verify(c), "R = (0, 0)");

        // On the curve modulo P, but not the canonical coordinates.
        (c.rx, c.ry) = (1 + P, Y_OF_ONE);
        vm.mockCall(address(1), "", abi.encode(pointAddress(c.rx, c.ry)));
        vm.assertFalse(verify(c), "R.x >= P");
        (c.rx, c.ry) = (X_OF_Y_ONE, 1 + P);
        vm.mockCall(address(1), "", abi.encode(pointAddress(c.rx, c.ry)));
        vm.assertFalse(verify(c), "R.y >= P");
        c.ry = 1;
        vm.mockCall(address(1), "", abi.encode(pointAddress(c.rx, c.ry)));
        vm.assertTrue(verify(c), "the same point, canonical");

        // A recovery that fails answers nothing.
        vm.mockCall(address(1), "", abi.encode(address(0)));
        vm.assertFalse(verify(good), "zero recovery");
    }

    function test_curve_membership() public view {
        vm.assertTrue(verifier.isOnCurve(1, Y_OF_ONE), "x = 1");
        vm.assertTrue(verifier.isOnCurve(1, P - Y_OF_ONE), "x = 1, other y");
        vm.assertFalse(verifier.isOnCurve(1 + P, Y_OF_ONE), "x >= P");
        vm.assertTrue(verifier.isOnCurve(X_OF_Y_ONE, 1), "y = 1");
        vm.assertFalse(verifier.isOnCurve(X_OF_Y_ONE, 1 + P), "y >= P");
        vm.assertFalse(verifier.isOnCurve(1, Y_OF_ONE + 1), "off the curve");
        vm.assertFalse(verifier.isOnCurve(0, 0), "infinity");
    }

    function test_keys_that_cannot_be_installed() public view {
        vm.assertTrue(verifier.isValidKey(1, Y_OF_ONE), "x = 1");
        vm.assertTrue(verifier.isOnCurve(N, Y_OF_N), "x = N is on the curve");
        vm.assertFalse(verifier.isValidKey(N, Y_OF_N), "but no usable key");
        vm.assertFalse(verifier.isValidKey(0, 0), "infinity");
        vm.assertFalse(verifier.isValidKey(1, Y_OF_ONE + 1), "off the curve");
        vm.assertFalse(verifier.isValidKey(1 + P, Y_OF_ONE), "x >= P");
    }

    /// A hash that could not be computed (too little gas left) is no verdict for anything.
    function test_a_failing_hash_accepts_nothing() public {
        Case memory c = signed(7, 11, keccak256("hash"));
        vm.mockCallRevert(address(2), "", "");
        vm.assertFalse(verify(c), "good signature");
        c.z ^= 1;
        vm.assertFalse(verify(c), "bad signature");
    }

    function test_gas_of_one_verification() public view {
        string memory json = vectors();
        uint256 most = 0;
        for (uint256 i = 0; i < 18; i++) {
            Case memory c = fromVector(json, string.concat(".signatures[", vm.toString(i), "]"));
            (bool valid, uint256 gas) = verifier.measure(c.px, c.py % 2 == 1, c.message, c.rx, c.ry, c.z);
            vm.assertTrue(valid, "vector");
            most = gas > most ? gas : most;
        }
        measured("FrostVerifier.verify: gas", most);
        vm.assertLe(most, GAS_LIMIT, "gas of one verification");
    }

    function pointAddress(uint256 x, uint256 y) private pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode(x, y)))));
    }

    function copy(Case memory c) private pure returns (Case memory) {
        return Case(c.px, c.py, c.message, c.rx, c.ry, c.z);
    }
}
