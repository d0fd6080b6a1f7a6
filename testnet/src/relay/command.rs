//! What can be changed while the relay runs.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::link::Conditions;

/// Which directed links. By default all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// One end: alone, every link of this validator.
    pub from: Option<u16>,
    /// The other end.
    pub to: Option<u16>,
    /// Only what `from` sends.
    pub one_way: bool,
}

impl Selection {
    /// Whether a directed link is meant.
    pub fn contains(&self, from: u16, to: u16) -> bool {
        let directed = |a: u16, b: u16| {
            self.from.is_none_or(|wanted| wanted == a) && self.to.is_none_or(|wanted| wanted == b)
        };
        directed(from, to) || (!self.one_way && directed(to, from))
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = if self.one_way { "→" } else { "↔" };
        match (self.from, self.to) {
            (None, None) => f.write_str("all links"),
            (Some(one), None) | (None, Some(one)) => write!(f, "{one}{arrow}all others"),
            (Some(from), Some(to)) => write!(f, "{from}{arrow}{to}"),
        }
    }
}

/// New conditions; what is not named stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// One way.
    pub delay: Option<Duration>,
    /// Either way of the delay.
    pub jitter: Option<Duration>,
    /// Share, 0 to 1.
    pub loss: Option<f64>,
    /// Share, 0 to 1.
    pub reorder: Option<f64>,
    /// Longest payload of a datagram.
    pub mtu: Option<u16>,
}

impl Settings {
    /// On top of what is.
    pub fn apply(&self, now: Conditions) -> Conditions {
        Conditions {
            delay: self.delay.unwrap_or(now.delay),
            jitter: self.jitter.unwrap_or(now.jitter),
            loss: self.loss.unwrap_or(now.loss),
            reorder: self.reorder.unwrap_or(now.reorder),
            mtu: self.mtu.or(now.mtu),
        }
    }
}

/// What to do to the links.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Nothing passes.
    Cut,
    /// Passes again.
    Heal,
    /// Under other conditions.
    Set(Settings),
}

/// A change of some links.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkCommand {
    /// What.
    pub change: Change,
    /// To which.
    pub links: Selection,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_means_both_ways_unless_it_says_one() {
        let select = |from, to, one_way| Selection { from, to, one_way };
        let meant = |selection: Selection| {
            let pairs = [(1, 2), (2, 1), (1, 3), (3, 2)];
            pairs.into_iter().filter(|(a, b)| selection.contains(*a, *b)).collect::<Vec<_>>()
        };
        assert_eq!(meant(Selection::default()).len(), 4);
        assert_eq!(meant(select(Some(1), None, false)), [(1, 2), (2, 1), (1, 3)]);
        assert_eq!(meant(select(Some(1), None, true)), [(1, 2), (1, 3)]);
        assert_eq!(meant(select(Some(1), Some(2), false)), [(1, 2), (2, 1)]);
        assert_eq!(meant(select(Some(2), Some(1), true)), [(2, 1)]);
    }
}
