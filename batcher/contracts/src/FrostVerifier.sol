// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title Verification of FROST(secp256k1, SHA-256) group signatures (RFC 9591, section 6.5)
///
/// A signature (R, z) over a message under the group key P is good when z·G = R + c·P with the challenge
///
///     c = H2(R ‖ P ‖ message) = hash_to_field(expand_message_xmd(SHA-256, R ‖ P ‖ message, DST, 48)) mod N
///
/// (points in compressed SEC1, DST = "FROST-secp256k1-SHA256-v1" ‖ "chal", RFC 9380 section 5.3.1).
///
/// The EVM has no scalar multiplication for this curve, but `ecrecover(h, v, r, s)` returns the address of
/// r⁻¹·(s·Q − h·G), where Q is the point with x-coordinate r and the parity that v names. With r = P.x, Q = P,
/// s = −c·P.x and h = −z·P.x that is the address of z·G − c·P, which must be the address of R.
library FrostVerifier {
    /// The order of the group.
    uint256 internal constant N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    /// The order of the field.
    uint256 internal constant P = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F;

    /// I2OSP(48, 2) ‖ I2OSP(0, 1) ‖ "FROST-secp256k1-SHA256-v1chal": the output length and the separator that
    /// follow the message in the first hash, and the domain. The domain's length byte comes after it.
    bytes32 private constant LENGTH_AND_DST = 0x00300046524f53542d736563703235366b312d5348413235362d76316368616c;
    /// The length of the domain separation tag, appended to it (`DST_prime` of RFC 9380).
    uint256 private constant DST_LENGTH = 29;

    /// @notice Whether (x, y) can be installed as a group key: a point of the curve whose x is usable as the `r`
    /// of `ecrecover`, so 0 < x < N. A random key fails the last condition with probability 2⁻¹²⁸.
    function isValidKey(uint256 x, uint256 y) internal pure returns (bool) {
        return x != 0 && x < N && isOnCurve(x, y);
    }

    /// @notice Whether (x, y), each below the field order, satisfies y² = x³ + 7. No encoding of the point at
    /// infinity does.
    function isOnCurve(uint256 x, uint256 y) internal pure returns (bool) {
        return x < P && y < P && mulmod(y, y, P) == addmod(mulmod(mulmod(x, x, P), x, P), 7, P);
    }

    /// @notice Whether (R, z) is the signature over `message` of the group key with x-coordinate `px` and an odd
    /// y-coordinate if `pyOdd`.
    ///
    /// R must be on the curve and not merely hash to the recovered address: the challenge covers only R.x and one
    /// bit of R.y, so with R.y free a collision of 160-bit addresses (2⁸⁰ work) would be a forgery.
    function verify(uint256 px, bool pyOdd, bytes32 message, uint256 rx, uint256 ry, uint256 z)
        internal
        view
        returns (bool)
    {
        if (px == 0 || px >= N || z == 0 || z >= N || !isOnCurve(rx, ry)) return false;
        (bool hashed, uint256 c) = challenge(px, pyOdd, message, rx, ry);
        if (!hashed) return false;

        // Both products are below N; a zero (only c = 0 gives one) becomes N, which ecrecover refuses.
        bytes32 h = bytes32(N - mulmod(z, px, N));
        bytes32 s = bytes32(N - mulmod(c, px, N));
        address recovered = ecrecover(h, pyOdd ? 28 : 27, bytes32(px), s);
        return recovered != address(0) && recovered == addressOf(rx, ry);
    }

    /// @dev H2 of RFC 9591. The first hash is over 195 bytes laid out from the free memory pointer on:
    ///
    ///       0  64 zero bytes (Z_pad)
    ///      64  R compressed, 33 bytes
    ///      97  P compressed, 33 bytes
    ///     130  message, 32 bytes
    ///     162  0x0030, 0x00, DST (29 bytes), length of DST
    ///
    /// The second and third are over 63 bytes: 32 bytes, a counter and DST with its length. Writing those 32 bytes
    /// at 132 and the counter at 164 leaves the DST where it already is.
    ///
    /// `hashed` is false only if the precompile ran out of gas.
    function challenge(uint256 px, bool pyOdd, bytes32 message, uint256 rx, uint256 ry)
        private
        view
        returns (bool hashed, uint256 c)
    {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, 0)
            mstore(add(buffer, 32), 0)
            mstore8(add(buffer, 64), add(2, and(ry, 1)))
            mstore(add(buffer, 65), rx)
            mstore8(add(buffer, 97), add(2, pyOdd))
            mstore(add(buffer, 98), px)
            mstore(add(buffer, 130), message)
            mstore(add(buffer, 162), LENGTH_AND_DST)
            mstore8(add(buffer, 194), DST_LENGTH)

            let block32 := add(buffer, 132)
            let counter := add(buffer, 164)
            // b_0
            hashed := staticcall(gas(), 2, buffer, 195, block32, 32)
            let b0 := mload(block32)
            // b_1 = SHA-256(b_0 ‖ 1 ‖ DST_prime)
            mstore8(counter, 1)
            hashed := and(hashed, staticcall(gas(), 2, block32, 63, 0, 32))
            let b1 := mload(0)
            // b_2 = SHA-256((b_0 xor b_1) ‖ 2 ‖ DST_prime)
            mstore(block32, xor(b0, b1))
            mstore8(counter, 2)
            hashed := and(hashed, staticcall(gas(), 2, block32, 63, 0, 32))
            // 48 bytes, big-endian: b_1 and the upper half of b_2.
            c := addmod(mulmod(b1, shl(128, 1), N), shr(128, mload(0)), N)
        }
    }

    /// @dev The Ethereum address of a point: the last 20 bytes of keccak256(x ‖ y).
    function addressOf(uint256 x, uint256 y) private pure returns (address result) {
        assembly ("memory-safe") {
            mstore(0, x)
            mstore(32, y)
            result := and(keccak256(0, 64), 0xffffffffffffffffffffffffffffffffffffffff)
        }
    }
}
