//! The wire and disk codec, in one place: no other module of this crate names it.
//!
//! Bincode 2 with fixed-width big-endian integers and an explicit size limit. Trailing bytes are an error,
//! so one value has one encoding that we accept as a whole. Nothing signed goes through here: see
//! [`crate::preimage`].

use bincode::config::{self, BigEndian, Configuration, Fixint, Limit};
use serde::{Serialize, de::DeserializeOwned};

/// Why bytes did not decode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than this message may ever have.
    #[error("{got} bytes, at most {limit} allowed")]
    TooLong {
        /// The named limit of the message.
        limit: usize,
        /// Length of the input.
        got: usize,
    },
    /// Bytes that are no encoding of the expected type.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A whole value, and then more.
    #[error("{0} bytes left after the value")]
    Trailing(usize),
}

/// The limit only has to stop a hostile length prefix from reserving memory; each message's own limit is
/// checked before.
const CONFIGURATION: Configuration<BigEndian, Fixint, Limit<DECODE_BUDGET>> =
    config::standard().with_big_endian().with_fixed_int_encoding().with_limit::<DECODE_BUDGET>();

/// Encodes `value`.
///
/// # Panics
/// Never for the types of this project: they contain no map, unsized sequence or custom failure.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, CONFIGURATION).expect("our types always encode")
}

/// Decodes a whole `T` of at most `limit` bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong { limit, got: bytes.len() });
    }
    let (value, used) = bincode::serde::decode_from_slice(bytes, CONFIGURATION)
        .map_err(|e| DecodeError::Malformed(e.to_string()))?;
    match bytes.len() - used {
        0 => Ok(value),
        left => Err(DecodeError::Trailing(left)),
    }
}

/// Most bytes that one decoded value may claim, whatever its message's own limit.
pub const DECODE_BUDGET: usize = 64 << 20;
