//! A chunk: a run of transactions that one validator received, chained to the chunk before it in its lane.
//!
//! ```text
//!   u16 validator │ u64 incarnation │ u64 sequence │ 32 parent digest │ u32 count │ count × transaction
//!   transaction = u32 rollup │ u32 length │ length bytes                     (all integers big-endian)
//! ```
//!
//! The digest is SHA-256 over exactly these bytes, as received. Chunks carry no signature: a decided cut names
//! their digests, and that authenticates them.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::transaction::MAX_TRANSACTION_BYTES;
use crate::{Digest, Incarnation, LaneId, LaneSequence, RollupId, Transaction, ValidatorId};

/// Most bytes of one encoded chunk.
pub const MAX_CHUNK_BYTES: usize = 1 << 20;
/// Most transactions in one chunk.
pub const MAX_CHUNK_TRANSACTIONS: usize = 16_384;

const PREFIX_BYTES: usize = 2 + 8 + 8 + 32 + 4;
const TRANSACTION_PREFIX_BYTES: usize = 8;

/// Why bytes are no chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Longer than [`MAX_CHUNK_BYTES`].
    #[error("chunk of {0} bytes, at most {MAX_CHUNK_BYTES} allowed")]
    TooLong(usize),
    /// Ends inside a field.
    #[error("chunk ends inside a field")]
    Truncated,
    /// Bytes after the last transaction.
    #[error("{0} bytes after the last transaction")]
    Trailing(usize),
    /// No transactions, or more than [`MAX_CHUNK_TRANSACTIONS`].
    #[error("chunk of {0} transactions, 1 to {MAX_CHUNK_TRANSACTIONS} allowed")]
    Count(usize),
    /// One transaction is empty or longer than any may be.
    #[error("transaction of {0} bytes, 1 to {MAX_TRANSACTION_BYTES} allowed")]
    TransactionLength(usize),
    /// Sequences start at 1.
    #[error("lane sequence 0")]
    ZeroSequence,
}

/// A decoded chunk together with the bytes it came from. Transactions share those bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    lane: LaneId,
    sequence: LaneSequence,
    parent: Digest,
    transactions: Vec<Transaction>,
    bytes: Bytes,
    digest: Digest,
}

impl Chunk {
    /// Lays out a new chunk. `parent` is [`Digest::ZERO`] for sequence 1.
    pub fn new(
        lane: LaneId,
        sequence: LaneSequence,
        parent: Digest,
        transactions: &[Transaction],
    ) -> Result<Self, ChunkError> {
        let length: usize =
            PREFIX_BYTES + transactions.iter().map(|t| Self::cost(t.data.len())).sum::<usize>();
        let mut bytes = BytesMut::with_capacity(length);
        bytes.put_u16(lane.validator.get());
        bytes.put_u64(lane.incarnation.get());
        bytes.put_u64(sequence.get());
        bytes.put_slice(parent.as_ref());
        bytes.put_u32(u32::try_from(transactions.len()).map_err(|_| ChunkError::Count(transactions.len()))?);
        for transaction in transactions {
            bytes.put_u32(transaction.rollup.get());
            let length = transaction.data.len();
            bytes.put_u32(u32::try_from(length).map_err(|_| ChunkError::TransactionLength(length))?);
            bytes.put_slice(&transaction.data);
        }
        Self::decode(bytes.freeze())
    }

    /// Bytes that a transaction of `length` bytes takes up in a chunk.
    pub const fn cost(length: usize) -> usize {
        TRANSACTION_PREFIX_BYTES + length
    }

    /// Reads a chunk; transactions are slices of `bytes`, nothing is copied.
    pub fn decode(bytes: Bytes) -> Result<Self, ChunkError> {
        if bytes.len() > MAX_CHUNK_BYTES {
            return Err(ChunkError::TooLong(bytes.len()));
        }
        if bytes.len() < PREFIX_BYTES {
            return Err(ChunkError::Truncated);
        }
        let mut rest = bytes.clone();
        let lane = LaneId {
            validator: ValidatorId::new(rest.get_u16()),
            incarnation: Incarnation::new(rest.get_u64()),
        };
        let sequence = LaneSequence::new(rest.get_u64());
        if sequence.get() == 0 {
            return Err(ChunkError::ZeroSequence);
        }
        let mut parent = [0; 32];
        rest.copy_to_slice(&mut parent);
        let count = rest.get_u32() as usize;
        let transactions = decode_transactions(&mut rest, count)?;
        if rest.has_remaining() {
            return Err(ChunkError::Trailing(rest.remaining()));
        }
        let digest = Digest::sha256(&[&bytes]);
        Ok(Self { lane, sequence, parent: Digest::new(parent), transactions, bytes, digest })
    }

    /// The lane it belongs to.
    pub const fn lane(&self) -> LaneId {
        self.lane
    }

    /// Its place in the lane.
    pub const fn sequence(&self) -> LaneSequence {
        self.sequence
    }

    /// Digest of the chunk before it.
    pub const fn parent(&self) -> Digest {
        self.parent
    }

    /// Its transactions, in the order received.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// The encoding.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// SHA-256 of the encoding.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

fn decode_transactions(rest: &mut Bytes, count: usize) -> Result<Vec<Transaction>, ChunkError> {
    if count == 0 || count > MAX_CHUNK_TRANSACTIONS {
        return Err(ChunkError::Count(count));
    }
    let mut transactions = Vec::with_capacity(count);
    for _ in 0..count {
        if rest.remaining() < TRANSACTION_PREFIX_BYTES {
            return Err(ChunkError::Truncated);
        }
        let rollup = RollupId::new(rest.get_u32());
        let length = rest.get_u32() as usize;
        if length == 0 || length > MAX_TRANSACTION_BYTES {
            return Err(ChunkError::TransactionLength(length));
        }
        if rest.remaining() < length {
            return Err(ChunkError::Truncated);
        }
        transactions.push(Transaction { rollup, data: rest.split_to(length) });
    }
    Ok(transactions)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lane() -> LaneId {
        LaneId { validator: ValidatorId::new(3), incarnation: Incarnation::new(9) }
    }

    fn sample() -> Chunk {
        let transactions = [b"one".as_slice(), b"three"]
            .map(|data| Transaction { rollup: RollupId::new(7), data: Bytes::copy_from_slice(data) });
        Chunk::new(lane(), LaneSequence::new(4), Digest::sha256(&[b"parent"]), &transactions).unwrap()
    }

    #[test]
    fn the_layout_is_pinned() {
        assert_eq!(
            sample().digest().to_string(),
            "b7c86b2613847a0b24aa9ea3cf376f22bd366a6a18be8d718e1fb85b6874a9e0"
        );
    }

    #[test]
    fn every_cut_of_the_bytes_is_refused() {
        let bytes = sample().bytes().clone();
        for end in 0..bytes.len() {
            assert!(Chunk::decode(bytes.slice(..end)).is_err(), "cut at {end}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(Chunk::decode(longer.into()), Err(ChunkError::Trailing(1)));
    }

    #[test]
    fn empty_chunks_and_sequence_zero_are_refused() {
        assert_eq!(Chunk::new(lane(), LaneSequence::new(1), Digest::ZERO, &[]), Err(ChunkError::Count(0)));
        let transaction = sample().transactions().to_vec();
        assert_eq!(
            Chunk::new(lane(), LaneSequence::new(0), Digest::ZERO, &transaction),
            Err(ChunkError::ZeroSequence)
        );
    }

    proptest! {
        #[test]
        fn whatever_decodes_encodes_to_itself(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(chunk) = Chunk::decode(bytes.into()) {
                let again = Chunk::new(chunk.lane(), chunk.sequence(), chunk.parent(), chunk.transactions());
                prop_assert_eq!(again, Ok(chunk));
            }
        }
    }
}
