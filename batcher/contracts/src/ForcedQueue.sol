// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {CommitteeMessage} from "./CommitteeMessage.sol";
import {ISequencerInbox} from "./ISequencerInbox.sol";

/// @title The forced-inclusion queue of the inbox
///
/// An entry's way: made at a time; overdue `inclusionDelay` later, from when on batches that do not cover it are
/// pending; after `escapeDelay` anyone can make it count without the committee.
///
/// **Spam.** A block of L1 takes few entries, so that the committee can always order them all. The fee doubles with each
/// `ENTRIES_PER_DOUBLING` entries that are made faster than `ENTRIES_PER_BLOCK`, and halves in the same way: who fills
/// block after block to keep others out pays twice as much every two minutes.
abstract contract ForcedQueue is ISequencerInbox {
    /// Most bytes of one entry.
    uint256 internal constant MAX_FORCED_BYTES = 16_384;
    /// Most entries of one L1 block.
    uint64 internal constant MAX_FORCED_PER_BLOCK = 8;
    /// Entries of an L1 block that do not raise the fee.
    uint64 private constant ENTRIES_PER_BLOCK = 2;
    /// See above.
    uint64 private constant ENTRIES_PER_DOUBLING = 64;
    /// The fee stops doubling here: 2⁶⁴ wei, the most that `Terms` can say, times this is below 2¹²⁸.
    uint64 private constant MAX_DOUBLINGS = 63;

    uint64 private constant MIN_INCLUSION_DELAY = 60;
    uint64 private constant MAX_INCLUSION_DELAY = 7 * 86_400;
    uint64 private constant MAX_ESCAPE_DELAY = 30 * 86_400;

    /// How far the queue is worked off: one storage slot, full.
    struct Progress {
        uint64 count;
        uint64 covered;
        uint64 escaped;
        uint64 pendingFrom;
    }

    /// What the fee depends on.
    struct Traffic {
        /// Block of the newest entry.
        uint64 lastBlock;
        /// Entries of that block.
        uint64 inBlock;
        /// Entries that came faster than they should.
        uint64 excess;
    }

    // The order of these is the storage layout that README.md documents.
    Progress private progress;
    Traffic private traffic;
    bytes32 private accumulator;
    mapping(uint64 index => uint64 time) private times;
    Terms private fixedTerms;

    constructor(Terms memory terms_) {
        uint64 inclusion = terms_.inclusionDelay;
        if (inclusion < MIN_INCLUSION_DELAY || inclusion > MAX_INCLUSION_DELAY) {
            revert InclusionDelayOutOfRange(MIN_INCLUSION_DELAY, MAX_INCLUSION_DELAY, inclusion);
        }
        if (terms_.escapeDelay < 2 * inclusion || terms_.escapeDelay > MAX_ESCAPE_DELAY) {
            revert EscapeDelayOutOfRange(2 * inclusion, MAX_ESCAPE_DELAY, terms_.escapeDelay);
        }
        if (terms_.forcedFee == 0) revert ForcedFeeZero();
        fixedTerms = terms_;
    }

    /// @inheritdoc ISequencerInbox
    function enqueue(uint32 rollup, bytes calldata data) external payable returns (uint64 index) {
        if (data.length == 0 || data.length > MAX_FORCED_BYTES) {
            revert ForcedDataOutOfRange(MAX_FORCED_BYTES, data.length);
        }
        Traffic memory now_ = currentTraffic();
        if (now_.inBlock == MAX_FORCED_PER_BLOCK) revert ForcedBlockFull(MAX_FORCED_PER_BLOCK);
        uint256 fee = feeOf(now_);
        if (msg.value < fee) revert ForcedFeeTooLow(fee, msg.value);

        now_.inBlock++;
        now_.excess++;
        traffic = now_;
        index = progress.count;
        progress.count = index + 1;
        times[index] = uint64(block.timestamp);
        bytes32 chained = CommitteeMessage.accumulate(accumulator, rollup, data);
        accumulator = chained;
        emit ForcedEnqueued(index, rollup, chained, data);
        giveBack(msg.value - fee);
    }

    /// @inheritdoc ISequencerInbox
    function escape(uint64 to) external {
        Progress memory now_ = progress;
        uint64 from = max(now_.covered, now_.escaped);
        if (to <= from || to > now_.count) revert NothingToEscape(from, now_.count);
        // Later entries are never older: the last one decides.
        uint256 escapableAt = uint256(times[to - 1]) + fixedTerms.escapeDelay;
        if (block.timestamp < escapableAt) revert NotEscapableYet(escapableAt, block.timestamp);

        now_.escaped = to;
        now_.pendingFrom = 0;
        progress = now_;
        emit Escaped(from, to, newestBatch());
    }

    /// @inheritdoc ISequencerInbox
    function terms() external view returns (Terms memory) {
        return fixedTerms;
    }

    /// @inheritdoc ISequencerInbox
    function queue() external view returns (Queue memory) {
        Progress memory now_ = progress;
        return Queue(now_.count, now_.covered, now_.escaped, now_.pendingFrom, accumulator);
    }

    /// @inheritdoc ISequencerInbox
    function enqueuedAt(uint64 index) external view returns (uint64) {
        return times[index];
    }

    /// @inheritdoc ISequencerInbox
    function forcedFee() external view returns (uint256) {
        return feeOf(currentTraffic());
    }

    /// @dev The number of the batch that was posted last.
    function newestBatch() internal view virtual returns (uint64);

    /// @dev Seconds of silence after which `recover` is good.
    function recoveryDelay() internal view returns (uint64) {
        return fixedTerms.recoveryDelay;
    }

    /// @dev Notes what a batch covers. Says whether it is pending.
    function cover(uint64 number, uint64 cursor) internal returns (bool pending) {
        Progress memory now_ = progress;
        if (cursor < now_.covered || cursor > now_.count) {
            revert WrongForcedCursor(now_.covered, now_.count, cursor);
        }
        pending = isOverdue(max(cursor, now_.escaped), now_.count);
        uint64 pendingFrom = !pending ? 0 : now_.pendingFrom == 0 ? number : now_.pendingFrom;
        if (cursor != now_.covered || pendingFrom != now_.pendingFrom) {
            now_.covered = cursor;
            now_.pendingFrom = pendingFrom;
            progress = now_;
        }
    }

    /// @dev Whether the first entry that is not covered has waited for too long.
    function isOverdue(uint64 first, uint64 count) private view returns (bool) {
        return first < count && block.timestamp > uint256(times[first]) + fixedTerms.inclusionDelay;
    }

    /// @dev The traffic as an entry in the present block finds it.
    function currentTraffic() private view returns (Traffic memory now_) {
        now_ = traffic;
        uint64 number = uint64(block.number);
        if (number != now_.lastBlock) {
            uint256 relief = uint256(number - now_.lastBlock) * ENTRIES_PER_BLOCK;
            now_.excess = relief < now_.excess ? now_.excess - uint64(relief) : 0;
            now_.lastBlock = number;
            now_.inBlock = 0;
        }
    }

    function feeOf(Traffic memory now_) private view returns (uint256) {
        uint64 doublings = now_.excess / ENTRIES_PER_DOUBLING;
        return uint256(fixedTerms.forcedFee) << (doublings < MAX_DOUBLINGS ? doublings : MAX_DOUBLINGS);
    }

    /// @dev The last thing of a call: whoever is called back finds everything done.
    function giveBack(uint256 surplus) private {
        if (surplus == 0) return;
        (bool taken,) = msg.sender.call{value: surplus}("");
        if (!taken) revert RefundFailed();
    }

    function max(uint64 a, uint64 b) private pure returns (uint64) {
        return a > b ? a : b;
    }
}
