// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {FrostVerifier} from "./FrostVerifier.sol";

/// @title Validators' own signatures: ECDSA over secp256k1, as r ‖ s ‖ v
library Ecdsa {
    /// Half the group order: the largest s of a signature that cannot be mirrored.
    uint256 private constant MAX_LOW_S = FrostVerifier.N / 2;

    /// @notice Who signed `digest`; the zero address if the signature is not 65 bytes with v 27 or 28 and s in the
    /// lower half, or recovers nothing. Only the low s is accepted: one signature, one encoding.
    function signerOf(bytes32 digest, bytes calldata signature) internal pure returns (address) {
        if (signature.length != 65) return address(0);
        bytes32 r = bytes32(signature[:32]);
        bytes32 s = bytes32(signature[32:64]);
        if (uint256(s) > MAX_LOW_S) return address(0);
        // Zero for a v other than 27 and 28, and for r or s out of range.
        return ecrecover(digest, uint8(signature[64]), r, s);
    }
}
