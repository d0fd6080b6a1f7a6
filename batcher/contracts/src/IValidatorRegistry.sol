// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title The L1 list of the network's validators
///
/// Who may be in a committee, under which key, where it is reached and what it has at stake. The next committee is
/// drawn from `active()` as it was at an L1 block that the network agreed on. It has no owner, no pause and no
/// upgrade: validators come and go by their own owners' word, the allow-list follows the group key of the inbox, and
/// whoever voted twice is out by its own two signatures.
///
/// ```text
/// join ──▶ Active ──exit──▶ Leaving ──relieve──▶ Unbonding ──withdraw──▶ Withdrawn
///             │                │  ◀──recall───────    │
///             └────────────────┴────────slash─────────┴──▶ Slashed
/// ```
///
/// This file stands alone (no imports) so that other tools can read it as the ABI.
interface IValidatorRegistry {
    /// Where a validator stands. Nobody comes back from the last two.
    enum Status {
        /// No validator has this id.
        None,
        /// May be drawn into a committee.
        Active,
        /// Is not drawn any more, but goes on signing until the committee has another without it.
        Leaving,
        /// Relieved of its duty; its stake still answers for its votes.
        Unbonding,
        /// Gone with its stake.
        Withdrawn,
        /// Out, and its stake burnt.
        Slashed
    }

    /// A validator of the genesis file.
    struct Founder {
        /// Address of its validator key, which votes.
        address node;
        /// Cold address that may exit, move and withdraw.
        address owner;
        /// Where peers reach it; as for `join`.
        string endpoint;
    }

    /// All that is known of one validator.
    struct Validator {
        /// From 1, in order of arrival. Never another's.
        uint16 id;
        /// Address of its validator key.
        address node;
        /// Who may exit, move and withdraw.
        address owner;
        /// Wei that a slash burns.
        uint96 stake;
        Status status;
        /// While unbonding: when `withdraw` is good, seconds since 1970. Else zero.
        uint64 releaseAt;
        string endpoint;
    }

    /// What it takes to draw a committee.
    struct Member {
        uint16 id;
        address node;
        uint96 stake;
    }

    /// A signed vote: the signature is over the keccak256 of eight words: "mpc-sequencer/v1", kind, chain id, inbox,
    /// epoch, height, round, value.
    struct Vote {
        /// 17 prevote, 18 precommit.
        uint8 kind;
        uint64 epoch;
        uint64 height;
        uint32 round;
        /// Id of the value; zero for nil.
        bytes32 value;
        /// ECDSA, 65 bytes r ‖ s ‖ v, v 27 or 28, low s.
        bytes signature;
    }

    /// A FROST(secp256k1, SHA-256) signature of RFC 9591: the point R and the scalar z.
    struct GroupSignature {
        uint256 rx;
        uint256 ry;
        uint256 z;
    }

    /// A validator is active from now on. Founders have this event too.
    event Joined(uint16 indexed id, address indexed node, address indexed owner, string endpoint, uint96 stake);
    /// The validator is not drawn any more.
    event Left(uint16 indexed id);
    /// The validator moved.
    event EndpointSet(uint16 indexed id, string endpoint);
    /// A committee without the leaver is in office: its stake is free at `releaseAt` (seconds since 1970).
    event Relieved(uint16 indexed id, uint64 releaseAt);
    /// The relieved validator was in a committee after all.
    event Recalled(uint16 indexed id);
    /// The validator is gone, `stake` wei went to its owner.
    event Withdrawn(uint16 indexed id, uint96 stake);
    /// The validator signed two values in this step; `stake` wei are burnt.
    event Slashed(uint16 indexed id, uint96 stake, uint8 kind, uint64 epoch, uint64 height, uint32 round);
    /// The committee let this owner in, or will not any more. `nonce` counts these changes from 0.
    event Allowed(address indexed owner, bool allowed, uint64 nonce);

    /// There is no contract at the inbox's address.
    error InvalidInbox(address inbox);
    /// Neither an allow-list nor a stake: anyone could fill the list for nothing.
    error OpenToAnyone();
    /// The unbonding delay is outside [minimum, maximum] seconds.
    error UnbondingDelayOutOfRange(uint64 minimum, uint64 maximum, uint64 got);
    /// The number of founders is outside [minimum, maximum].
    error ValidatorCountOutOfRange(uint256 minimum, uint256 maximum, uint256 got);
    /// The deployment has to carry the minimum stake for each founder, exactly.
    error WrongFoundersStake(uint256 expected, uint256 got);

    /// The owner is not on the allow-list.
    error NotAllowed(address owner);
    /// Too little ether comes with the registration.
    error StakeTooLow(uint256 minimum, uint256 got);
    /// More ether than exists.
    error StakeTooHigh(uint256 maximum, uint256 got);
    /// One of them is zero, or both are the same.
    error InvalidKeys(address node, address owner);
    /// This key belongs, or once belonged, to the validator with this id.
    error NodeKeyUsed(address node, uint16 id);
    /// The owner has a validator that is not withdrawn, or was slashed.
    error OwnerHasValidator(address owner, uint16 id);
    /// The endpoint is empty, too long, or has another byte than printable ASCII without space, at this index.
    error InvalidEndpoint(uint256 length, uint256 index);
    /// The list has as many active validators as it can hold.
    error ValidatorSetFull(uint256 maximum);
    /// The last id is given away.
    error IdsExhausted();
    /// The signature is not the node key's over this registration. `signer` is zero if it is malformed.
    error InvalidProof(address node, address signer);

    /// Only the owner may do this; an id that nobody has has no owner.
    error NotOwner(uint16 id, address sender);
    /// The validator's status does not allow this.
    error WrongStatus(uint16 id, Status status);
    /// The list that was handed in is not the current committee of the inbox.
    error WrongCommittee(bytes32 expected, bytes32 got);
    /// The validator is in the current committee, at this index.
    error StillInCommittee(uint16 id, uint256 index);
    /// The validator is not in the current committee.
    error NotInCommittee(uint16 id);
    /// The stake is free from `releaseAt` on (seconds since 1970).
    error StillBonded(uint64 releaseAt, uint256 time);
    /// The owner does not accept ether.
    error TransferFailed(address owner, uint256 stake);

    /// Neither a prevote (17) nor a precommit (18).
    error NotAVote(uint8 kind);
    /// The votes are of two kinds, epochs, heights or rounds: no contradiction.
    error DifferentSteps();
    /// Both votes are for this value: no contradiction.
    error SameValue(bytes32 value);
    /// The signature of vote 0 or 1 is not 65 bytes with v 27 or 28 and a low s, or recovers nothing.
    error MalformedSignature(uint256 index);
    /// The votes are by two keys, or not over these votes in this network.
    error DifferentSigners(address first, address second);
    /// The votes are by no validator's key.
    error UnknownNode(address node);

    /// There is no allow-list.
    error NotPermissioned();
    /// The group signature does not verify over this digest: another key, epoch, nonce, chain or contract.
    error InvalidGroupSignature(bytes32 digest);

    /// @notice Registers a validator, owned by the caller, with all ether sent as its stake. The caller must be on
    /// the allow-list if there is one and may own one validator at a time.
    /// @param node address of the validator key; never used before
    /// @param endpoint where peers reach it (a libp2p address): 1 to 256 printable ASCII characters, no space
    /// @param proof the validator key's signature (65 bytes r ‖ s ‖ v, v 27 or 28, low s) over the keccak256 of seven
    /// words: "mpc-sequencer/v1", 24, chain id, this contract, 0, owner, keccak256(endpoint)
    /// @return id the next free id
    function join(address node, string calldata endpoint, bytes calldata proof) external payable returns (uint16 id);

    /// @notice Takes an active validator off the list. The node has to go on signing until it is relieved. Owner only.
    /// (`leave` is going to be a reserved word of the language.)
    function exit(uint16 id) external;

    /// @notice Moves an active or leaving validator. Owner only.
    /// @param endpoint as for `join`
    function setEndpoint(uint16 id, string calldata endpoint) external;

    /// @notice Starts the unbonding of a leaver that the committee does without. Anyone may call it.
    /// @param committee the current committee, whose hash is the inbox's `committeeHash()`
    function relieve(uint16 id, address[] calldata committee) external;

    /// @notice Takes back a relief: the validator was drawn before it left and the committee has it again. The
    /// unbonding starts anew when it is relieved again. Anyone may call it.
    /// @param committee as for `relieve`
    function recall(uint16 id, address[] calldata committee) external;

    /// @notice Pays the stake out once the unbonding is over. Owner only.
    function withdraw(uint16 id) external;

    /// @notice Burns the stake of a validator, and puts it out, for two votes for different values in one step of one
    /// round. Good until it has withdrawn, at any age of the votes. Anyone may call it.
    function slash(Vote calldata first, Vote calldata second) external;

    /// @notice Lets an owner join from now on, or not any more. It does not touch validators that have joined. Anyone
    /// may call it.
    /// @param signature the group's signature over the keccak256 of seven words: "mpc-sequencer/v1", 5, chain id, this
    /// contract, the inbox's epoch, `allowNonce()`, keccak256(owner ‖ allowed), each in a word
    function allow(address owner, bool allowed, GroupSignature calldata signature) external;

    /// @notice One validator; all zero if nobody has the id.
    function validator(uint16 id) external view returns (Validator memory);

    /// @notice The active validators, at most 100, ascending by id.
    function active() external view returns (Member[] memory);

    /// @notice One hash over the active set: keccak256(abi.encode(leaves)) with one leaf of three words, (id, node,
    /// keccak256(endpoint)), for each active validator, ascending by id. It reads the whole set at each call: free
    /// off chain; in a transaction 0.6 M gas for a full set with endpoints of 31 bytes, some 2.5 M with the longest.
    function root() external view returns (bytes32);

    /// @notice The validator that has or had this key; 0 if none.
    function idOf(address node) external view returns (uint16);

    /// @notice Whether this owner is on the allow-list.
    function isAllowed(address owner) external view returns (bool);

    /// @notice Word 5 of the next change of the allow-list.
    function allowNonce() external view returns (uint64);

    /// @notice Whether an owner must be on the allow-list to join.
    function permissioned() external view returns (bool);

    /// @notice Wei that a validator must have at stake.
    function minimumStake() external view returns (uint96);

    /// @notice Seconds from the relief to the withdrawal.
    function unbondingDelay() external view returns (uint64);

    /// @notice Wei that are burnt: they stay here, and nothing moves them.
    function burnt() external view returns (uint256);

    /// @notice The `SequencerInbox` whose group key and committee count here.
    function inbox() external view returns (address);
}
