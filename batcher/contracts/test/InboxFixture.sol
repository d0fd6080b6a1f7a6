// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {ISequencerInbox} from "../src/ISequencerInbox.sol";
import {SequencerInbox} from "../src/SequencerInbox.sol";
import {GroupSigner} from "./GroupSigner.sol";
import {TestBase, Vm} from "./TestBase.sol";

/// @title An inbox with four founding validators and a group key, and what is needed to sign for it
abstract contract InboxFixture is TestBase {
    uint256 internal constant GROUP_SECRET = 0x5ec2e7;
    /// Seconds.
    uint64 internal constant RECOVERY_DELAY = 86_400;
    /// Seconds after which an entry of the forced-inclusion queue is overdue.
    uint64 internal constant INCLUSION_DELAY = 3_600;
    /// Seconds after which one can escape.
    uint64 internal constant ESCAPE_DELAY = 14_400;
    /// Wei.
    uint64 internal constant FORCED_FEE = 1e14;

    /// Seconds since 1970 when a test begins.
    uint256 internal constant START = 1_790_000_000;

    SequencerInbox internal inbox;
    /// Of the current group key.
    uint256 internal secret;
    Vm.Wallet internal group;
    /// Private key of validator i; their addresses are in no particular order.
    uint256[] internal validatorKeys = [uint256(101), 102, 103, 104];

    function setUp() public virtual {
        vm.warp(START);
        secret = GROUP_SECRET;
        group = vm.createWallet(GROUP_SECRET);
        inbox = new SequencerInbox(addresses(validatorKeys), termsWith(RECOVERY_DELAY));
    }

    function termsWith(uint64 recoveryDelay) internal pure returns (ISequencerInbox.Terms memory) {
        return ISequencerInbox.Terms(recoveryDelay, INCLUSION_DELAY, ESCAPE_DELAY, FORCED_FEE);
    }

    function addresses(uint256[] memory keys) internal pure returns (address[] memory result) {
        result = new address[](keys.length);
        for (uint256 i = 0; i < keys.length; i++) {
            result[i] = vm.addr(keys[i]);
        }
    }

    /// Word by word from the protocol's description, not through the contract's own library.
    function preimage(uint256 kind, uint256 epoch, uint256 fifth, bytes32 sixth) internal view returns (bytes32) {
        return preimageFor(address(inbox), kind, epoch, fifth, sixth);
    }

    /// The same for another contract than the inbox.
    function preimageFor(address verifier, uint256 kind, uint256 epoch, uint256 fifth, bytes32 sixth)
        internal
        view
        returns (bytes32)
    {
        uint256 word3 = uint256(uint160(verifier));
        return
            keccak256(abi.encodePacked("mpc-sequencer/v1", bytes16(0), kind, block.chainid, word3, epoch, fifth, sixth));
    }

    function initialiseDigest() internal view returns (bytes32) {
        return preimage(16, 0, group.publicKeyX, bytes32(group.publicKeyY));
    }

    function ecdsa(uint256 privateKey, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(privateKey, digest);
        return abi.encodePacked(r, s, v);
    }

    /// Signatures of `initialiseDigest` by the validators with these indices, in this order.
    function signedBy(uint256[3] memory indices) internal view returns (bytes[] memory signatures) {
        signatures = new bytes[](3);
        for (uint256 i = 0; i < 3; i++) {
            signatures[i] = ecdsa(validatorKeys[indices[i]], initialiseDigest());
        }
    }

    function initialise() internal {
        inbox.initialise(group.publicKeyX, group.publicKeyY, signedBy([uint256(0), 1, 2]));
    }

    /// The header that `post` expects next, with 10 blocks.
    function nextHeader() internal view returns (ISequencerInbox.BatchHeader memory header) {
        (uint64 number, bytes32 id, uint64 lastHeight) = inbox.lastBatch();
        header.number = number + 1;
        header.parentId = id;
        header.epoch = inbox.epoch();
        header.firstHeight = lastHeight + 1;
        header.lastHeight = lastHeight + 10;
        header.lastHeaderHash = keccak256(abi.encode("header", lastHeight + 10));
        header.lastTime = 1_790_000_000_000 + 500 * lastHeight;
    }

    function idOf(ISequencerInbox.BatchHeader memory h) internal pure returns (bytes32) {
        bytes memory first =
            abi.encodePacked(uint256(1), uint256(h.number), h.parentId, uint256(h.epoch), uint256(h.firstHeight));
        bytes memory second = abi.encodePacked(
            uint256(h.lastHeight),
            h.lastHeaderHash,
            uint256(h.lastTime),
            uint256(h.forcedCursor),
            uint256(h.l1Reference)
        );
        return keccak256(bytes.concat(first, second));
    }

    function batchDigest(ISequencerInbox.BatchHeader memory h, bytes32 calldataHash, bytes32[] memory blobHashes)
        internal
        view
        returns (bytes32)
    {
        return batchDigest(h, calldataHash, 0, blobHashes);
    }

    function batchDigest(
        ISequencerInbox.BatchHeader memory h,
        bytes32 calldataHash,
        bytes32 inlineHash,
        bytes32[] memory blobHashes
    ) internal view returns (bytes32) {
        bytes memory joined;
        for (uint256 i = 0; i < blobHashes.length; i++) {
            joined = bytes.concat(joined, blobHashes[i]);
        }
        bytes32 carrier = keccak256(bytes.concat(keccak256(joined), calldataHash, inlineHash));
        return preimage(2, h.epoch, h.number, keccak256(bytes.concat(idOf(h), carrier)));
    }

    function signBatch(ISequencerInbox.BatchHeader memory h, bytes32 calldataHash, bytes32[] memory blobHashes)
        internal
        returns (ISequencerInbox.GroupSignature memory)
    {
        return groupSign(batchDigest(h, calldataHash, blobHashes));
    }

    /// The current group key's signature.
    function groupSign(bytes32 digest) internal returns (ISequencerInbox.GroupSignature memory) {
        return GroupSigner.sign(secret, 1 + uint256(digest) % 1_000_000, abi.encode(digest));
    }

    /// The handover to this key and committee that `rotate` expects next.
    function nextHandover(uint256 newSecret, address[] memory committee)
        internal
        returns (ISequencerInbox.Handover memory next)
    {
        Vm.Wallet memory key = vm.createWallet(newSecret);
        (uint64 number,, uint64 lastHeight) = inbox.lastBatch();
        next.epoch = inbox.epoch() + 1;
        next.keyX = key.publicKeyX;
        next.keyY = key.publicKeyY;
        next.firstBatch = number + 1;
        next.firstHeight = lastHeight + 1;
        next.committeeHash = hashOf(committee);
    }

    function handoverDigest(uint256 outgoing, ISequencerInbox.Handover memory next) internal view returns (bytes32) {
        bytes32 content = keccak256(
            abi.encodePacked(
                next.keyX, next.keyY, uint256(next.firstBatch), uint256(next.firstHeight), next.committeeHash
            )
        );
        return preimage(3, outgoing, next.epoch, content);
    }

    function signHandover(ISequencerInbox.Handover memory next)
        internal
        returns (ISequencerInbox.GroupSignature memory)
    {
        return groupSign(handoverDigest(inbox.epoch(), next));
    }

    /// Hands over to this key and committee, and signs with that key from now on.
    function rotateTo(uint256 newSecret, address[] memory committee)
        internal
        returns (ISequencerInbox.Handover memory next)
    {
        next = nextHandover(newSecret, committee);
        inbox.rotate(next, signHandover(next));
        secret = newSecret;
    }

    /// How a committee is named, word by word: offset, length, members.
    function hashOf(address[] memory committee) internal pure returns (bytes32) {
        bytes memory words = abi.encodePacked(uint256(32), committee.length);
        for (uint256 i = 0; i < committee.length; i++) {
            words = bytes.concat(words, bytes32(uint256(uint160(committee[i]))));
        }
        return keccak256(words);
    }

    function compressedKey(uint256 ofSecret) internal returns (bytes memory) {
        Vm.Wallet memory key = vm.createWallet(ofSecret);
        return GroupSigner.compress(key.publicKeyX, key.publicKeyY);
    }

    /// Versioned hashes of `count` blobs, as a transaction would carry them.
    function blobs(uint256 count) internal pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](count);
        for (uint256 i = 0; i < count; i++) {
            hashes[i] = keccak256(abi.encode("blob", i)) >> 8 | bytes32(uint256(1) << 248);
        }
    }

    /// Posts the next batch in `count` blobs.
    function postNext(uint256 count) internal returns (ISequencerInbox.BatchHeader memory header) {
        header = nextHeader();
        ISequencerInbox.GroupSignature memory signature = signBatch(header, 0, blobs(count));
        vm.blobhashes(blobs(count));
        inbox.post(header, 0, "", signature);
    }
}
