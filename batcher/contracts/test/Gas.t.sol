// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {InboxFixture} from "./InboxFixture.sol";

/// @title What a whole L1 transaction costs: execution with cold storage, calldata and the 21,000 of each transaction
/// (blob gas is paid apart)
contract GasTest is InboxFixture {
    uint256 private constant FIRST = 75_000;
    uint256 private constant ONE_BLOB = 60_000;
    uint256 private constant SIX_BLOBS = 65_000;
    uint256 private constant SERIES = 130_000;
    uint256 private constant ENQUEUE = 62_000;
    uint256 private constant DUPLICATE = 32_000;
    uint256 private constant ROTATE = 50_000;
    uint256 private constant RECOVER_4 = 66_000;
    uint256 private constant RECOVER_100 = 520_000;

    function setUp() public override {
        super.setUp();
        initialise();
        postNext(1);
    }

    /// Alone in paying for a fresh storage slot.
    function test_gas_of_the_first_post() public {
        super.setUp();
        initialise();
        uint256 used = post(1);
        measured("post, 1 blob, batch 1: gas of the transaction", used);
        vm.assertLe(used, FIRST, "first post");
    }

    function test_gas_of_a_post_with_one_blob() public {
        uint256 used = post(1);
        measured("post, 1 blob: gas of the transaction", used);
        vm.assertLe(used, ONE_BLOB, "post, 1 blob");
    }

    function test_gas_of_a_post_with_six_blobs() public {
        uint256 used = post(6);
        measured("post, 6 blobs: gas of the transaction", used);
        vm.assertLe(used, SIX_BLOBS, "post, 6 blobs");
    }

    /// The queue holds an entry, which is looked at and not covered.
    function test_gas_of_a_post_beside_an_entry() public {
        inbox.enqueue{value: FORCED_FEE}(1, "a transaction");
        uint256 used = post(1);
        measured("post, 1 blob, an entry waits: gas of the transaction", used);
        vm.assertLe(used, ONE_BLOB + 5_000, "post beside an entry");
    }

    function test_gas_of_a_series_of_four() public {
        ISequencerInbox.Posting[] memory postings = new ISequencerInbox.Posting[](4);
        for (uint256 i = 0; i < 4; i++) {
            ISequencerInbox.BatchHeader memory header = nextHeader();
            header.number += uint64(i);
            header.firstHeight += uint64(10 * i);
            header.lastHeight += uint64(10 * i);
            if (i > 0) header.parentId = idOf(postings[i - 1].header);
            bytes32[] memory own = new bytes32[](1);
            own[0] = blobs(4)[i];
            postings[i] = ISequencerInbox.Posting(header, 0, "", signBatch(header, 0, own), 1);
        }
        vm.blobhashes(blobs(4));
        (bool accepted, uint256 used) = transact(abi.encodeCall(inbox.postSeries, (postings)));
        vm.assertTrue(accepted, "series");
        measured("postSeries, 4 batches of 1 blob: gas of the transaction", used);
        vm.assertLe(used, SERIES, "series");
    }

    /// A signed transfer of 110 bytes; not the queue's first entry.
    function test_gas_of_an_entry() public {
        inbox.enqueue{value: FORCED_FEE}(1, new bytes(110));
        bytes memory data = new bytes(110);
        for (uint256 i = 0; i < data.length; i++) data[i] = 0x5a;
        bytes memory payload = abi.encodeCall(inbox.enqueue, (1, data));
        vm.cool(address(inbox));
        (bool accepted,) = address(inbox).call{value: FORCED_FEE}(payload);
        vm.assertTrue(accepted, "enqueue");
        uint256 used = vm.lastCallGas().gasTotalUsed;
        measured("enqueue, 110 bytes: gas of the call alone", used);
        vm.assertLe(used, ENQUEUE, "enqueue");
    }

    function test_gas_of_a_duplicate_post() public {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(1));
        bytes memory payload = abi.encodeCall(inbox.post, (header, 0, "", signature));
        vm.blobhashes(blobs(1));
        (bool accepted, uint256 used) = transact(payload);
        vm.assertTrue(accepted, "the first");
        (accepted, used) = transact(payload);
        vm.assertFalse(accepted, "the duplicate");
        measured("post, duplicate: gas of the transaction", used);
        vm.assertLe(used, DUPLICATE, "duplicate");
    }

    function test_gas_of_a_rotation() public {
        rotateTo(0xabc, addresses(validatorKeys));
        ISequencerInbox.Handover memory next = nextHandover(0xdef, addresses(validatorKeys));
        next.committeeHash = keccak256("another committee");
        (bool accepted, uint256 used) = transact(abi.encodeCall(inbox.rotate, (next, signHandover(next))));
        vm.assertTrue(accepted, "rotate");
        measured("rotate: gas of the transaction", used);
        vm.assertLe(used, ROTATE, "rotate");
    }

    function test_gas_of_a_recovery_by_4() public {
        uint256 used = recoverWith(4);
        measured("recover, 3 of 4: gas of the transaction", used);
        vm.assertLe(used, RECOVER_4, "recover, 3 of 4");
    }

    function test_gas_of_a_recovery_by_100() public {
        uint256 used = recoverWith(100);
        measured("recover, 67 of 100: gas of the transaction", used);
        vm.assertLe(used, RECOVER_100, "recover, 67 of 100");
    }

    /// A recovery by the last n − f of `size` members, who are looked for longest.
    function recoverWith(uint256 size) private returns (uint256 used) {
        uint256[] memory keys = new uint256[](size);
        for (uint256 i = 0; i < size; i++) {
            keys[i] = 1_000 + i;
        }
        rotateTo(0xabc, addresses(keys));
        vm.warp(block.timestamp + RECOVERY_DELAY);
        uint256 faults = (size - 1) / 3;
        bytes[] memory signatures = new bytes[](size - faults);
        bytes32 digest = preimage(23, 1, group.publicKeyX, bytes32(group.publicKeyY));
        for (uint256 i = faults; i < size; i++) {
            signatures[i - faults] = ecdsa(keys[i], digest);
        }
        bool accepted;
        (accepted, used) =
            transact(abi.encodeCall(inbox.recover, (group.publicKeyX, group.publicKeyY, addresses(keys), signatures)));
        vm.assertTrue(accepted, "recover");
    }

    function post(uint256 count) private returns (uint256 used) {
        ISequencerInbox.BatchHeader memory header = nextHeader();
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(count));
        vm.blobhashes(blobs(count));
        bool accepted;
        (accepted, used) = transact(abi.encodeCall(inbox.post, (header, 0, "", signature)));
        vm.assertTrue(accepted, "post");
    }

    /// Gas of a transaction with this payload: forge's isolation cannot send one with blobs, so the execution is
    /// measured with all storage cold and the rest is added as EIP-2028 and EIP-7623 say. `post` refunds nothing.
    function transact(bytes memory payload) private returns (bool accepted, uint256) {
        vm.cool(address(inbox));
        (accepted,) = address(inbox).call(payload);
        uint256 execution = vm.lastCallGas().gasTotalUsed;

        uint256 tokens = 0;
        for (uint256 i = 0; i < payload.length; i++) {
            tokens += payload[i] == 0 ? 1 : 4;
        }
        uint256 standard = 21_000 + 4 * tokens + execution;
        uint256 floor = 21_000 + 10 * tokens;
        return (accepted, standard > floor ? standard : floor);
    }
}
