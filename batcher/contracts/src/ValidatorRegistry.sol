// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {CommitteeMessage} from "./CommitteeMessage.sol";
import {Ecdsa} from "./Ecdsa.sol";
import {FrostVerifier} from "./FrostVerifier.sol";
import {ISequencerInbox} from "./ISequencerInbox.sol";
import {IValidatorRegistry} from "./IValidatorRegistry.sol";

/// @title The L1 list of the network's validators
/// @dev See `IValidatorRegistry` for what each function promises.
///
/// The only calls out of it are views of the inbox and, last of all in `withdraw`, the payment. No immutables: the
/// code on chain equals the checked-in `deployedBytecode`, byte for byte.
contract ValidatorRegistry is IValidatorRegistry {
    /// Below four validators not one fault is tolerated.
    uint256 private constant MIN_FOUNDERS = 4;
    /// Bounds the active set, and with it every loop and every committee that can be drawn.
    uint256 private constant MAX_VALIDATORS = 100;
    /// Bounds what an endpoint costs to keep and to log; a libp2p address with a DNS name has some 50 bytes.
    uint256 private constant MAX_ENDPOINT_BYTES = 256;
    /// Bounds of the unbonding delay in seconds. The longest, 365 days, also refuses most delays in milliseconds.
    uint64 private constant MIN_UNBONDING_DELAY = 60;
    uint64 private constant MAX_UNBONDING_DELAY = 365 * 86_400;

    /// What is kept of a validator: two slots and its endpoint.
    struct Entry {
        address node;
        uint96 stake;
        address owner;
        uint64 releaseAt;
        Status status;
        string endpoint;
    }

    /// What is kept of an owner.
    struct Seat {
        /// Its validator, or the last one it had; 0 if none.
        uint16 id;
        bool allowed;
    }

    /// What `root` hashes of each active validator.
    struct Leaf {
        uint16 id;
        address node;
        bytes32 endpointHash;
    }

    // The order of these is the storage layout that README.md documents.
    ISequencerInbox private sequencerInbox;
    uint64 private unbonding;
    bool private byPermission;
    uint16 private lastId;
    uint96 private leastStake;
    uint64 private nonce;
    uint256 private burntStake;
    mapping(uint16 id => Entry) private entries;
    mapping(address node => uint16 id) private ids;
    mapping(address owner => Seat) private seats;
    uint16[] private activeIds;

    /// @param inbox_ the `SequencerInbox`, already deployed
    /// @param founders the validators of the genesis file in order of their ids, which are 1, 2, 3, …; 4 to 100. They
    /// need neither permission nor proof: who deploys vouches for them, and each of them reads this list before it
    /// starts a node on a genesis file that names this contract
    /// @param permissioned_ whether later ones need the committee's permission
    /// @param minimumStake_ wei that each validator must have at stake. The deployment carries the founders'
    /// @param unbondingDelay_ seconds from relief to withdrawal, 60 to 31,536,000 (365 days): as long as a vote may
    /// take to be found out
    constructor(
        ISequencerInbox inbox_,
        Founder[] memory founders,
        bool permissioned_,
        uint96 minimumStake_,
        uint64 unbondingDelay_
    ) payable {
        if (address(inbox_).code.length == 0) revert InvalidInbox(address(inbox_));
        if (!permissioned_ && minimumStake_ == 0) revert OpenToAnyone();
        if (unbondingDelay_ < MIN_UNBONDING_DELAY || unbondingDelay_ > MAX_UNBONDING_DELAY) {
            revert UnbondingDelayOutOfRange(MIN_UNBONDING_DELAY, MAX_UNBONDING_DELAY, unbondingDelay_);
        }
        uint256 count = founders.length;
        if (count < MIN_FOUNDERS || count > MAX_VALIDATORS) {
            revert ValidatorCountOutOfRange(MIN_FOUNDERS, MAX_VALIDATORS, count);
        }
        if (msg.value != count * minimumStake_) revert WrongFoundersStake(count * minimumStake_, msg.value);

        sequencerInbox = inbox_;
        byPermission = permissioned_;
        leastStake = minimumStake_;
        unbonding = unbondingDelay_;
        for (uint256 i = 0; i < count; i++) {
            enrol(founders[i].node, founders[i].owner, founders[i].endpoint, minimumStake_);
        }
    }

    /// @inheritdoc IValidatorRegistry
    function join(address node, string calldata endpoint, bytes calldata proof) external payable returns (uint16 id) {
        if (byPermission && !seats[msg.sender].allowed) revert NotAllowed(msg.sender);
        if (msg.value < leastStake) revert StakeTooLow(leastStake, msg.value);
        if (msg.value > type(uint96).max) revert StakeTooHigh(type(uint96).max, msg.value);
        id = enrol(node, msg.sender, endpoint, uint96(msg.value));
        requireProof(node, msg.sender, endpoint, proof);
    }

    /// @inheritdoc IValidatorRegistry
    function exit(uint16 id) external {
        Entry storage entry = owned(id);
        requireStatus(id, entry, Status.Active);
        entry.status = Status.Leaving;
        deactivate(id);
        emit Left(id);
    }

    /// @inheritdoc IValidatorRegistry
    function setEndpoint(uint16 id, string calldata endpoint) external {
        Entry storage entry = owned(id);
        if (entry.status != Status.Active && entry.status != Status.Leaving) revert WrongStatus(id, entry.status);
        requireEndpoint(bytes(endpoint));
        entry.endpoint = endpoint;
        emit EndpointSet(id, endpoint);
    }

    /// @inheritdoc IValidatorRegistry
    function relieve(uint16 id, address[] calldata committee) external {
        Entry storage entry = entries[id];
        requireStatus(id, entry, Status.Leaving);
        (bool member, uint256 index) = find(committee, entry.node);
        if (member) revert StillInCommittee(id, index);
        entry.status = Status.Unbonding;
        entry.releaseAt = uint64(block.timestamp) + unbonding;
        emit Relieved(id, entry.releaseAt);
    }

    /// @inheritdoc IValidatorRegistry
    /// @dev A committee is drawn some epochs before it takes office. Whoever leaves in between is in no committee
    /// yet, so it is relieved at once; without this it could serve while its unbonding runs out.
    function recall(uint16 id, address[] calldata committee) external {
        Entry storage entry = entries[id];
        requireStatus(id, entry, Status.Unbonding);
        (bool member,) = find(committee, entry.node);
        if (!member) revert NotInCommittee(id);
        entry.status = Status.Leaving;
        entry.releaseAt = 0;
        emit Recalled(id);
    }

    /// @inheritdoc IValidatorRegistry
    function withdraw(uint16 id) external {
        Entry storage entry = owned(id);
        requireStatus(id, entry, Status.Unbonding);
        if (block.timestamp < entry.releaseAt) revert StillBonded(entry.releaseAt, block.timestamp);
        uint96 stake = entry.stake;
        entry.stake = 0;
        entry.releaseAt = 0;
        entry.status = Status.Withdrawn;
        emit Withdrawn(id, stake);
        if (stake == 0) return;
        (bool paid,) = msg.sender.call{value: stake}("");
        if (!paid) revert TransferFailed(msg.sender, stake);
    }

    /// @inheritdoc IValidatorRegistry
    /// @dev Nothing goes to who reports: whoever reports itself would get a part of its stake back.
    function slash(Vote calldata first, Vote calldata second) external {
        requireConflict(first, second);
        uint16 id = voter(first, second);
        Entry storage entry = entries[id];
        Status status = entry.status;
        if (status == Status.Withdrawn || status == Status.Slashed) revert WrongStatus(id, status);

        uint96 stake = entry.stake;
        burntStake += stake;
        entry.stake = 0;
        entry.releaseAt = 0;
        entry.status = Status.Slashed;
        if (status == Status.Active) deactivate(id);
        emit Slashed(id, stake, first.kind, first.epoch, first.height, first.round);
    }

    /// @inheritdoc IValidatorRegistry
    function allow(address owner, bool allowed, GroupSignature calldata signature) external {
        if (!byPermission) revert NotPermissioned();
        (uint64 epoch, uint256 keyX, bool keyYOdd) = sequencerInbox.groupKey();
        bytes32 content = CommitteeMessage.allowContent(owner, allowed);
        bytes32 digest = CommitteeMessage.digest(CommitteeMessage.KIND_ALLOW, epoch, nonce, content);
        if (!FrostVerifier.verify(keyX, keyYOdd, digest, signature.rx, signature.ry, signature.z)) {
            revert InvalidGroupSignature(digest);
        }
        seats[owner].allowed = allowed;
        emit Allowed(owner, allowed, nonce);
        nonce++;
    }

    /// @inheritdoc IValidatorRegistry
    function validator(uint16 id) external view returns (Validator memory) {
        Entry memory entry = entries[id];
        if (entry.status == Status.None) id = 0;
        return Validator({
            id: id,
            node: entry.node,
            owner: entry.owner,
            stake: entry.stake,
            status: entry.status,
            releaseAt: entry.releaseAt,
            endpoint: entry.endpoint
        });
    }

    /// @inheritdoc IValidatorRegistry
    function active() external view returns (Member[] memory members) {
        uint256 count = activeIds.length;
        members = new Member[](count);
        for (uint256 i = 0; i < count; i++) {
            uint16 id = activeIds[i];
            members[i] = Member({id: id, node: entries[id].node, stake: entries[id].stake});
        }
    }

    /// @inheritdoc IValidatorRegistry
    function root() external view returns (bytes32) {
        uint256 count = activeIds.length;
        Leaf[] memory leaves = new Leaf[](count);
        for (uint256 i = 0; i < count; i++) {
            uint16 id = activeIds[i];
            leaves[i] = Leaf({id: id, node: entries[id].node, endpointHash: keccak256(bytes(entries[id].endpoint))});
        }
        return keccak256(abi.encode(leaves));
    }

    /// @inheritdoc IValidatorRegistry
    function idOf(address node) external view returns (uint16) {
        return ids[node];
    }

    /// @inheritdoc IValidatorRegistry
    function isAllowed(address owner) external view returns (bool) {
        return seats[owner].allowed;
    }

    /// @inheritdoc IValidatorRegistry
    function allowNonce() external view returns (uint64) {
        return nonce;
    }

    /// @inheritdoc IValidatorRegistry
    function permissioned() external view returns (bool) {
        return byPermission;
    }

    /// @inheritdoc IValidatorRegistry
    function minimumStake() external view returns (uint96) {
        return leastStake;
    }

    /// @inheritdoc IValidatorRegistry
    function unbondingDelay() external view returns (uint64) {
        return unbonding;
    }

    /// @inheritdoc IValidatorRegistry
    function burnt() external view returns (uint256) {
        return burntStake;
    }

    /// @inheritdoc IValidatorRegistry
    function inbox() external view returns (address) {
        return address(sequencerInbox);
    }

    /// @dev Gives the next id to a key that never had one.
    function enrol(address node, address owner, string memory endpoint, uint96 stake) private returns (uint16 id) {
        if (node == address(0) || owner == address(0) || node == owner) revert InvalidKeys(node, owner);
        if (ids[node] != 0) revert NodeKeyUsed(node, ids[node]);
        Seat storage seat = seats[owner];
        if (seat.id != 0 && entries[seat.id].status != Status.Withdrawn) revert OwnerHasValidator(owner, seat.id);
        requireEndpoint(bytes(endpoint));
        if (activeIds.length == MAX_VALIDATORS) revert ValidatorSetFull(MAX_VALIDATORS);
        if (lastId == type(uint16).max) revert IdsExhausted();

        id = ++lastId;
        ids[node] = id;
        seat.id = id;
        entries[id] =
            Entry({node: node, stake: stake, owner: owner, releaseAt: 0, status: Status.Active, endpoint: endpoint});
        activeIds.push(id);
        emit Joined(id, node, owner, endpoint, stake);
    }

    /// @dev Takes an active validator's id out of the list and keeps the order: from the end on, each id moves one
    /// place to the front until the wanted one is in hand.
    function deactivate(uint16 id) private {
        uint256 index = activeIds.length - 1;
        uint16 carried = activeIds[index];
        activeIds.pop();
        while (carried != id) {
            index--;
            (activeIds[index], carried) = (carried, activeIds[index]);
        }
    }

    /// @dev The caller's validator.
    function owned(uint16 id) private view returns (Entry storage entry) {
        entry = entries[id];
        if (entry.owner != msg.sender) revert NotOwner(id, msg.sender);
    }

    function requireStatus(uint16 id, Entry storage entry, Status wanted) private view {
        if (entry.status != wanted) revert WrongStatus(id, entry.status);
    }

    /// @dev Whether the node's key signed its own registration, so that nobody registers another's.
    function requireProof(address node, address owner, string calldata endpoint, bytes calldata proof) private view {
        bytes32 digest = CommitteeMessage.digest(
            CommitteeMessage.KIND_REGISTER, 0, uint256(uint160(owner)), keccak256(bytes(endpoint))
        );
        address signer = Ecdsa.signerOf(digest, proof);
        if (signer != node) revert InvalidProof(node, signer);
    }

    /// @dev Whether the text is short and plain: whoever reads the events may take it for valid UTF-8.
    function requireEndpoint(bytes memory endpoint) private pure {
        uint256 length = endpoint.length;
        if (length == 0 || length > MAX_ENDPOINT_BYTES) revert InvalidEndpoint(length, length);
        for (uint256 i = 0; i < length; i++) {
            if (endpoint[i] <= 0x20 || endpoint[i] >= 0x7f) revert InvalidEndpoint(length, i);
        }
    }

    /// @dev Where the node is in the committee, if the list is the current committee.
    function find(address[] calldata committee, address node) private view returns (bool member, uint256 index) {
        bytes32 expected = sequencerInbox.committeeHash();
        bytes32 hash = CommitteeMessage.committeeHash(committee);
        if (hash != expected) revert WrongCommittee(expected, hash);
        while (index < committee.length && committee[index] != node) index++;
        return (index < committee.length, index);
    }

    /// @dev Whether an honest validator never signs both: same kind, epoch, height and round, two values.
    function requireConflict(Vote calldata first, Vote calldata second) private pure {
        uint8 kind = first.kind;
        if (kind != CommitteeMessage.KIND_PREVOTE && kind != CommitteeMessage.KIND_PRECOMMIT) revert NotAVote(kind);
        if (
            second.kind != kind || second.epoch != first.epoch || second.height != first.height
                || second.round != first.round
        ) revert DifferentSteps();
        if (second.value == first.value) revert SameValue(first.value);
    }

    /// @dev The validator whose key signed both votes.
    function voter(Vote calldata first, Vote calldata second) private view returns (uint16 id) {
        address node = signerOf(first, 0);
        address other = signerOf(second, 1);
        if (other != node) revert DifferentSigners(node, other);
        id = ids[node];
        if (id == 0) revert UnknownNode(node);
    }

    function signerOf(Vote calldata vote, uint256 index) private view returns (address signer) {
        bytes32 digest =
            CommitteeMessage.vote(vote.kind, address(sequencerInbox), vote.epoch, vote.height, vote.round, vote.value);
        signer = Ecdsa.signerOf(digest, vote.signature);
        if (signer == address(0)) revert MalformedSignature(index);
    }
}
