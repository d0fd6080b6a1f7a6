//! Repairs what a long path loses, without the round trip of a retransmission. Pure.
//!
//! A lost datagram of a stream holds up everything after it until it was missed, asked for and sent again: more than one
//! round trip, during which chunks that are here already are of no use. At some hundred datagrams a second and one lost of
//! a hundred, a stream over a long path nearly always waits for something. So what is written at once is followed, a
//! little later and in datagrams of its own, by its *parity*:
//!
//! ```text
//!   stream    │a a a a a│b b b b b│c c c c c│d d│        a group: up to MAX_STRIDES pieces of one stride
//!   parity    │a⊕b⊕c⊕d …│                                one stride, cut in parts that fit into datagrams
//!
//!   datagram:  u64 offset of the group in the stream │ u32 its length │ u16 stride │ u16 offset of the part │ part
//! ```
//!
//! A stride is at least what one datagram carries of a stream, so one lost datagram, wherever its bytes begin, takes at
//! most one byte of each column, and the parity gives it back. The stream stays reliable: of two losses in one group,
//! or of a lost parity, QUIC's retransmission takes care. Parity that lies changes what its own sender says, and
//! every message is checked by the core.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Strides of one group.
const MAX_STRIDES: usize = 8;
/// Longest stride: more than any datagram.
const MAX_STRIDE: usize = 16 << 10;
/// Before a part.
const HEAD_BYTES: usize = 8 + 4 + 2 + 2;
/// Groups whose parity is here and whose bytes are not.
const MAX_GROUPS: usize = 64;
/// Bytes that were passed on and are kept, because the parity that covers them may still come.
const RETAINED_BYTES: usize = 1 << 20;
/// Bytes that wait for bytes before them.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// What no honest peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RepairError {
    /// Not a part of a parity.
    #[error("a datagram that is no part of a parity")]
    Malformed,
    /// So much after a gap.
    #[error("more than {MAX_WAITING_BYTES} bytes wait for bytes before them")]
    TooMuch,
}

/// Parity of what was just written, as datagrams of at most `room` bytes. `offset`: where it begins in the stream; `datagram`:
/// what one datagram of the stream carries at most.
pub(super) fn parity(offset: u64, written: &[Bytes], datagram: usize, room: usize) -> Vec<Bytes> {
    let total: usize = written.iter().map(Bytes::len).sum();
    let stride = datagram.clamp(1, MAX_STRIDE).min(total.max(1));
    let part = room.saturating_sub(HEAD_BYTES);
    if part == 0 {
        return Vec::new();
    }
    // Equal parts: a short one costs a datagram, too.
    let part = stride.div_ceil(stride.div_ceil(part));
    let longest = MAX_STRIDES * stride;
    let mut columns = vec![0; stride];
    let (mut start, mut length, mut all) = (offset, 0, Vec::new());
    for bytes in written {
        let mut bytes = bytes.clone();
        while !bytes.is_empty() {
            let now = bytes.split_to(bytes.len().min(longest - length));
            xor(&mut columns, length, &now);
            length += now.len();
            if length == longest {
                cut(start, length, &columns, part, &mut all);
                columns.fill(0);
                (start, length) = (start + length as u64, 0);
            }
        }
    }
    if length > 0 {
        cut(start, length, &columns, part, &mut all);
    }
    all
}

/// Adds bytes that begin at `at` in the group to the columns.
fn xor(columns: &mut [u8], at: usize, bytes: &[u8]) {
    let stride = columns.len();
    let column = at % stride;
    let (first, rest) = bytes.split_at(bytes.len().min(stride - column));
    let add =
        |columns: &mut [u8], row: &[u8]| columns.iter_mut().zip(row).for_each(|(sum, byte)| *sum ^= byte);
    add(columns.get_mut(column..).unwrap_or_default(), first);
    rest.chunks(stride).for_each(|row| add(columns, row));
}

fn cut(start: u64, length: usize, columns: &[u8], part: usize, all: &mut Vec<Bytes>) {
    // A group shorter than a stride is its own parity.
    let columns = columns.get(..length).unwrap_or(columns);
    for (at, bytes) in (0..).step_by(part).zip(columns.chunks(part)) {
        let mut datagram = BytesMut::with_capacity(HEAD_BYTES + bytes.len());
        datagram.put_u64(start);
        // Both are at most MAX_STRIDES times MAX_STRIDE.
        datagram.put_u32(u32::try_from(length).unwrap_or_default());
        datagram.put_u16(u16::try_from(columns.len()).unwrap_or_default());
        datagram.put_u16(at);
        datagram.put_slice(bytes);
        all.push(datagram.freeze());
    }
}

/// A group whose parity comes, or is here.
#[derive(Debug)]
struct Group {
    range: Range<u64>,
    columns: Vec<u8>,
    /// Bytes of the parity that are here.
    here: usize,
}

/// Puts a stream together from pieces in any order and from parity.
#[derive(Debug)]
pub(super) struct Assembler {
    /// Everything before it was passed on.
    next: u64,
    /// Disjoint pieces, some of them passed on.
    pieces: BTreeMap<u64, Bytes>,
    /// Bytes of pieces that were passed on and are kept, and that wait.
    retained: usize,
    waiting: usize,
    groups: VecDeque<Group>,
    /// The other end sends parity: keep what was passed on.
    repairs: bool,
    /// Bytes that parity gave back before the stream did.
    repaired: u64,
}

impl Assembler {
    /// For a stream that begins there.
    pub(super) const fn new(start: u64) -> Self {
        Self {
            next: start,
            pieces: BTreeMap::new(),
            retained: 0,
            waiting: 0,
            groups: VecDeque::new(),
            repairs: false,
            repaired: 0,
        }
    }

    /// Takes a piece of the stream.
    pub(super) fn take(&mut self, offset: u64, bytes: &Bytes) -> Result<(), RepairError> {
        self.insert(offset, bytes);
        if !self.groups.is_empty() {
            self.repair();
        }
        if self.waiting > MAX_WAITING_BYTES { Err(RepairError::TooMuch) } else { Ok(()) }
    }

    /// Takes a part of a parity.
    pub(super) fn take_parity(&mut self, mut datagram: Bytes) -> Result<(), RepairError> {
        if datagram.len() < HEAD_BYTES {
            return Err(RepairError::Malformed);
        }
        let (start, length) = (datagram.get_u64(), datagram.get_u32() as usize);
        let (stride, at) = (usize::from(datagram.get_u16()), usize::from(datagram.get_u16()));
        let end = start.checked_add(length as u64).ok_or(RepairError::Malformed)?;
        if length == 0 || !(1..=MAX_STRIDE).contains(&stride) || length > MAX_STRIDES * stride {
            return Err(RepairError::Malformed);
        }
        self.repairs = true;
        let range = start..end;
        // Nothing is missing: the usual case.
        if self.gaps(&range).next().is_none() {
            self.groups.retain(|group| group.range != range);
            return Ok(());
        }
        let known =
            self.groups.iter().position(|group| group.range == range && group.columns.len() == stride);
        let index = known.unwrap_or_else(|| {
            if self.groups.len() >= MAX_GROUPS {
                self.groups.pop_front();
            }
            self.groups.push_back(Group { range, columns: vec![0; stride], here: 0 });
            self.groups.len() - 1
        });
        let group = self.groups.get_mut(index).ok_or(RepairError::Malformed)?;
        let place = group.columns.get_mut(at..at + datagram.len()).ok_or(RepairError::Malformed)?;
        place.copy_from_slice(&datagram);
        // QUIC passes on no datagram twice.
        group.here += datagram.len();
        self.repair();
        Ok(())
    }

    /// The next bytes of the stream, in order.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let bytes = self.pieces.get(&self.next)?.clone();
        if self.repairs {
            self.retained += bytes.len();
        } else {
            self.pieces.remove(&self.next);
        }
        self.next += bytes.len() as u64;
        self.waiting -= bytes.len();
        while self.retained > RETAINED_BYTES {
            let Some((_, oldest)) = self.pieces.pop_first() else { break };
            self.retained -= oldest.len();
        }
        Some(bytes)
    }

    /// Bytes that parity gave back before the stream did.
    pub(super) const fn repaired(&self) -> u64 {
        self.repaired
    }

    /// What is not here of a range, in order. What was passed on and is no longer kept is not here either.
    fn gaps(&self, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<'_> {
        let before = self.pieces.range(..=range.start).next_back();
        let mut at = before.map_or(range.start, |(start, bytes)| range.start.max(start + bytes.len() as u64));
        let end = range.end;
        let mut after = self.pieces.range((range.start + 1).min(end)..end);
        std::iter::from_fn(move || {
            while at < end {
                let (next, over) = match after.next() {
                    Some((start, bytes)) => (*start, start + bytes.len() as u64),
                    None => (end, end),
                };
                let gap = at..next;
                at = at.max(over);
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// Adds what is new of a piece.
    fn insert(&mut self, offset: u64, bytes: &Bytes) {
        let end = offset.saturating_add(bytes.len() as u64);
        let gaps: Vec<Range<u64>> = self.gaps(&(offset.max(self.next)..end)).collect();
        for gap in gaps {
            // Both are within the piece.
            let (from, to) = ((gap.start - offset) as usize, (gap.end - offset) as usize);
            let piece = bytes.slice(from..to);
            self.waiting += piece.len();
            self.pieces.insert(gap.start, piece);
        }
    }

    /// Gives back what the parities that are here can.
    fn repair(&mut self) {
        let mut index = 0;
        while let Some(group) = self.groups.get(index) {
            let gaps: Vec<Range<u64>> = self.gaps(&group.range).take(2).collect();
            let whole = group.here >= group.columns.len();
            match gaps.as_slice() {
                [] => {
                    self.groups.remove(index);
                }
                // Its bytes were passed on and are no longer kept, so there is nothing to compute with, or to wait for.
                [first, ..] if first.start < self.next => {
                    self.groups.remove(index);
                }
                [gap] if whole && gap.end - gap.start <= group.columns.len() as u64 => {
                    let (start, bytes) = (gap.start, self.solve(group, gap));
                    self.groups.remove(index);
                    self.repaired += bytes.len() as u64;
                    self.insert(start, &bytes);
                }
                _ => index += 1,
            }
        }
    }

    /// The one gap of a group, at most a stride long.
    fn solve(&self, group: &Group, gap: &Range<u64>) -> Bytes {
        let Group { range, columns, .. } = group;
        let mut columns = columns.clone();
        let first = self.pieces.range(..=range.start).next_back().map_or(range.start, |(start, _)| *start);
        for (start, bytes) in self.pieces.range(first..range.end) {
            // A piece may begin before the group and end after it.
            let skipped = range.start.saturating_sub(*start).min(bytes.len() as u64) as usize;
            let kept = (range.end - start).min(bytes.len() as u64) as usize;
            let at = (start + skipped as u64).saturating_sub(range.start) as usize;
            xor(&mut columns, at, bytes.get(skipped..kept).unwrap_or_default());
        }
        let column = |at: u64| ((at - range.start) % columns.len() as u64) as usize;
        gap.clone().filter_map(|at| columns.get(column(at)).copied()).collect()
    }
}

#[cfg(test)]
mod tests;
