//! The processes of a network, and their names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One process of the network. Nodes and batchers are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The development L1.
    L1,
    /// A validator's node.
    Node(u16),
    /// A batcher.
    Batcher(u16),
    /// The relay between the nodes.
    Relay,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::L1 => f.pad("dev-l1"),
            Self::Relay => f.pad("relay"),
            Self::Node(number) => f.pad(&format!("node-{number}")),
            Self::Batcher(number) => f.pad(&format!("batcher-{number}")),
        }
    }
}

/// Not the name of a process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" names no process: say 2 or node-2 for a node, batcher-1 for a batcher, dev-l1 for the L1, relay for the relay"
)]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim().to_ascii_lowercase().replace([' ', '_'], "-");
        let numbered = |digits: &str| digits.parse::<u16>().ok().filter(|number| *number > 0);
        let role = match name.as_str() {
            "l1" | "dev-l1" => Some(Self::L1),
            "relay" => Some(Self::Relay),
            name => name
                .strip_prefix("batcher-")
                .map(|digits| numbered(digits).map(Self::Batcher))
                .unwrap_or_else(|| numbered(name.strip_prefix("node-").unwrap_or(name)).map(Self::Node)),
        };
        role.ok_or_else(|| RoleError(text.to_owned()))
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_name_is_understood_and_every_other_refused() {
        for (text, role) in [
            ("2", Some(Role::Node(2))),
            ("node-2", Some(Role::Node(2))),
            ("node 2", Some(Role::Node(2))),
            ("Batcher-1", Some(Role::Batcher(1))),
            ("batcher 2", Some(Role::Batcher(2))),
            ("l1", Some(Role::L1)),
            ("dev-l1", Some(Role::L1)),
            ("relay", Some(Role::Relay)),
            ("0", None),
            ("node-", None),
            ("batcher", None),
            ("-1", None),
            ("70000", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Role>().ok(), role, "{text}");
        }
    }

    #[test]
    fn a_name_reads_back() {
        for role in [Role::L1, Role::Relay, Role::Node(10), Role::Batcher(2)] {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
    }
}
