//! The columns of Ethereum transactions without the compression, which hides them from a fuzzer.

use bytes::Bytes;

use crate::payload::MAX_RAW_BYTES;
use crate::transactions::{self, Body};

/// Columns of these transactions.
pub fn columns(transactions: &[Bytes]) -> Vec<u8> {
    transactions::encode_stored(&transactions.iter().collect::<Vec<_>>())
}

/// So many transactions from columns, within a batch's budget.
pub fn transactions(columns: &[u8], total: usize) -> Option<Vec<Bytes>> {
    let mut budget = MAX_RAW_BYTES;
    let body = Body::open(columns, &mut budget).ok()?;
    let ((), (bytes, lengths)) = body.read(&mut budget, |_| Ok(((), total))).ok()?;
    assert!(bytes.len() + budget <= MAX_RAW_BYTES, "more bytes than the budget allows");
    let mut rest = Bytes::from(bytes);
    Some(lengths.into_iter().map(|length| rest.split_to(length)).collect())
}
