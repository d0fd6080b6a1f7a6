//! What was done to a network, counted by kind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Faults injected, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Faults(BTreeMap<String, u64>);

impl Faults {
    /// One more of a kind.
    pub fn count(&mut self, kind: &str) {
        self.add(kind, 1);
    }

    /// Some more of a kind.
    pub fn add(&mut self, kind: &str, count: u64) {
        if count == 0 {
            return;
        }
        match self.0.get_mut(kind) {
            Some(known) => *known += count,
            None => {
                self.0.insert(kind.to_owned(), count);
            }
        }
    }

    /// Takes over another count.
    pub fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            self.add(kind, *count);
        }
    }

    /// How many of a kind.
    pub fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or_default()
    }

    /// Every kind with its count, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(kind, count)| (kind.as_str(), *count))
    }
}
