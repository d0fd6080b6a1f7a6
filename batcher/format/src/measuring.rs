//! What a bench and the maker of the dictionary see of an encoding.

use bytes::Bytes;

use crate::transactions;

/// One column of the layout of transactions.
#[derive(Clone, Debug)]
pub struct Column {
    /// What it holds.
    pub name: &'static str,
    /// Its bytes.
    pub raw: Vec<u8>,
    /// How many they are compressed.
    pub stored: usize,
}

/// The columns of these transactions.
pub fn columns(transactions: &[Bytes]) -> Vec<Column> {
    let all: Vec<&Bytes> = transactions.iter().collect();
    transactions::measure(&all).into_iter().map(|(name, raw, stored)| Column { name, raw, stored }).collect()
}
