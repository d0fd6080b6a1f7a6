// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {InboxFixture} from "./InboxFixture.sol";

/// @title What a whole L1 transaction costs: execution with cold storage, calldata and the 21,000 of each transaction
/// (blob gas is paid apart)
contract GasTest is InboxFixture {
    uint256 private constant ONE_BLOB = 75_000;
    uint256 private constant SIX_BLOBS = 80_000;
    uint256 private constant DUPLICATE = 35_000;

    function setUp() public override {
        super.setUp();
        initialise();
        // The first batch pays once for a fresh storage slot.
        postNext(1);
    }

    /// forge-config: default.isolate = true
    function test_gas_of_a_post_with_one_blob() public {
        uint256 used = post(1);
        measured("post, 1 blob: gas of the transaction", used);
        vm.assertLe(used, ONE_BLOB, "post, 1 blob");
    }

    /// forge-config: default.isolate = true
    function test_gas_of_a_post_with_six_blobs() public {
        uint256 used = post(6);
        measured("post, 6 blobs: gas of the transaction", used);
        vm.assertLe(used, SIX_BLOBS, "post, 6 blobs");
    }

    /// forge-config: default.isolate = true
    function test_gas_of_a_duplicate_post() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
        vm.blobhashes(blobs(1));
        inbox.post(header, 0, signature);
        bytes memory again = abi.encodeCall(inbox.post, (header, 0, signature));
        (bool accepted,) = address(inbox).call(again);
        uint256 used = vm.lastCallGas().gasTotalUsed;
        vm.assertFalse(accepted, "a duplicate");
        measured("post, duplicate: gas of the transaction", used);
        vm.assertLe(used, DUPLICATE, "duplicate");
    }

    function post(uint256 count) private returns (uint256) {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(count));
        vm.blobhashes(blobs(count));
        inbox.post(header, 0, signature);
        return vm.lastCallGas().gasTotalUsed;
    }
}
