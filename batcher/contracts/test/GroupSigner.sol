// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {FrostVerifier} from "../src/FrostVerifier.sol";
import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {Vm} from "./TestBase.sol";

/// @title Group signatures made from a whole secret key
///
/// What a FROST group produces is a Schnorr signature of its joint key, so tests can sign with the key in one hand.
/// The challenge is written here a second time, from the text of RFC 9380 and 9591 and with the compiler's own
/// `sha256`, to judge the hand-laid one of `FrostVerifier`.
library GroupSigner {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant N = FrostVerifier.N;

    function sign(uint256 secret, uint256 nonce, bytes memory message)
        internal
        returns (ISequencerInbox.GroupSignature memory)
    {
        Vm.Wallet memory key = vm.createWallet(secret);
        Vm.Wallet memory r = vm.createWallet(nonce);
        uint256 c = challenge(compress(r.publicKeyX, r.publicKeyY), compress(key.publicKeyX, key.publicKeyY), message);
        uint256 z = addmod(nonce, mulmod(c, secret, N), N);
        return ISequencerInbox.GroupSignature(r.publicKeyX, r.publicKeyY, z);
    }

    function compress(uint256 x, uint256 y) internal pure returns (bytes memory) {
        return abi.encodePacked(uint8(2 + y % 2), x);
    }

    /// H2 of RFC 9591, section 6.5.
    function challenge(bytes memory r, bytes memory key, bytes memory message) internal pure returns (uint256) {
        bytes memory dst = "FROST-secp256k1-SHA256-v1chal";
        bytes memory uniform = expandMessageXmd(abi.encodePacked(r, key, message), dst);
        uint256 result = 0;
        for (uint256 i = 0; i < 48; i++) {
            result = addmod(mulmod(result, 256, N), uint8(uniform[i]), N);
        }
        return result;
    }

    /// expand_message_xmd of RFC 9380, section 5.3.1, for 48 bytes of SHA-256.
    function expandMessageXmd(bytes memory message, bytes memory dst) private pure returns (bytes memory) {
        bytes memory dstPrime = abi.encodePacked(dst, uint8(dst.length));
        bytes memory zPad = new bytes(64);
        bytes32 b0 = sha256(abi.encodePacked(zPad, message, uint16(48), uint8(0), dstPrime));
        bytes32 b1 = sha256(abi.encodePacked(b0, uint8(1), dstPrime));
        bytes32 b2 = sha256(abi.encodePacked(b0 ^ b1, uint8(2), dstPrime));
        return abi.encodePacked(b1, b2);
    }
}
