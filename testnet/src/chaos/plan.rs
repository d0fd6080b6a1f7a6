//! The timetable: `kill node 2 at 10s, restart node 2 at 20s, kill all nodes at 30s`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::cli::parse_duration;
use crate::relay::Selection;
use crate::role::Role;

/// Most steps of one plan.
const MAX_STEPS: usize = 64;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// Start again.
    Restart,
    /// Let nothing pass on links.
    Cut,
    /// Let everything pass again.
    Heal,
    /// A validator more.
    Join,
    /// Off the registry's list; the node goes on running.
    Leave,
}

/// To whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One process.
    One(Role),
    /// Every node at once.
    AllNodes,
    /// Every batcher at once.
    AllBatchers,
    /// The batcher that posted last.
    ActiveBatcher,
    /// The link between two nodes, both ways.
    Link(u16, u16),
    /// Every link between nodes.
    AllLinks,
    /// Whoever joins next.
    Newcomer,
}

/// One entry of the timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// After the load began.
    pub at: Duration,
    /// What.
    pub action: Action,
    /// To whom.
    pub target: Target,
}

/// The timetable, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Its entries.
    pub steps: Vec<Step>,
}

/// A step that says nothing we can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not of the form.
    #[error(
        "\"{0}\" is no step: say `kill node 2 at 10s` or `restart all nodes at 31s`, separated by commas; \
         to links, `cut node 3 at 40s` or `heal link 1-2 at 50s`; to validators, `join at 20s` or `leave node 5 at 40s`"
    )]
    Form(String),
    /// No such target.
    #[error(
        "\"{0}\" names nothing to break: say `node 2`, `batcher 1`, `active batcher`, `all nodes` or `all batchers`; to cut and heal, `node 2`, `link 1-2` or `all links`"
    )]
    Target(String),
    /// Too many.
    #[error("{0} steps, at most {MAX_STEPS} allowed")]
    Length(usize),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(role) => role.fmt(f),
            Self::AllNodes => f.write_str("all nodes"),
            Self::AllBatchers => f.write_str("all batchers"),
            Self::ActiveBatcher => f.write_str("the active batcher"),
            Self::Link(from, to) => write!(f, "link {from}-{to}"),
            Self::AllLinks => f.write_str("all links"),
            Self::Newcomer => f.write_str("another node"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Kill => "kill",
            Action::Restart => "restart",
            Action::Cut => "cut",
            Action::Heal => "heal",
            Action::Join => "join",
            Action::Leave => "leave",
        };
        write!(f, "{action} {} at {:.1}s", self.target, self.at.as_secs_f64())
    }
}

/// `link 1-2`.
fn ends(text: &str) -> Option<Target> {
    let (from, to) = text.strip_prefix("link ")?.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u16>().ok().filter(|number| *number > 0);
    let (from, to) = (number(from)?, number(to)?);
    (from != to).then_some(Target::Link(from, to))
}

impl Target {
    /// Whether it can be cut off, and which links that are.
    pub(super) const fn links(self) -> Option<Selection> {
        let (from, to) = match self {
            Self::One(Role::Node(number)) => (Some(number), None),
            Self::Link(from, to) => (Some(from), Some(to)),
            Self::AllLinks => (None, None),
            Self::One(_) | Self::AllNodes | Self::AllBatchers | Self::ActiveBatcher | Self::Newcomer => {
                return None;
            }
        };
        Some(Selection { from, to, one_way: false })
    }
}

impl FromStr for Target {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        match text.trim() {
            "all nodes" => Ok(Self::AllNodes),
            "all batchers" => Ok(Self::AllBatchers),
            "active batcher" | "the active batcher" => Ok(Self::ActiveBatcher),
            "all links" => Ok(Self::AllLinks),
            link if link.starts_with("link ") => ends(link).ok_or_else(|| PlanError::Target(link.to_owned())),
            other => other.parse().map(Self::One).map_err(|_| PlanError::Target(other.to_owned())),
        }
    }
}

impl FromStr for Step {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let form = || PlanError::Form(text.trim().to_owned());
        let (what, at) = text.trim().rsplit_once(" at ").ok_or_else(form)?;
        let at = parse_duration(at).map_err(|_| form())?;
        if what.trim() == "join" {
            return Ok(Self { at, action: Action::Join, target: Target::Newcomer });
        }
        let (verb, target) = what.trim().split_once(' ').ok_or_else(form)?;
        let action = match verb {
            "kill" => Action::Kill,
            "restart" | "start" => Action::Restart,
            "cut" => Action::Cut,
            "heal" => Action::Heal,
            "leave" => Action::Leave,
            _ => return Err(form()),
        };
        let target = target.parse()?;
        if action == Action::Restart && target == Target::ActiveBatcher {
            return Err(PlanError::Target("the active batcher, to restart".into()));
        }
        let of_links = matches!(target, Target::Link(..) | Target::AllLinks);
        let fits = match action {
            Action::Cut | Action::Heal => target.links().is_some(),
            Action::Kill | Action::Restart => !of_links,
            Action::Leave => matches!(target, Target::One(Role::Node(_))),
            Action::Join => false,
        };
        if !fits {
            return Err(PlanError::Target(format!("{target}, to {verb}")));
        }
        Ok(Self { at, action, target })
    }
}

impl Plan {
    /// The nodes that something is done to, of so many.
    pub fn touched(&self, nodes: u16) -> BTreeSet<u16> {
        let of = |target| match target {
            Target::One(Role::Node(number)) => vec![number],
            Target::AllNodes | Target::AllLinks => (1..=nodes).collect(),
            Target::Link(from, to) => vec![from, to],
            Target::One(_) | Target::AllBatchers | Target::ActiveBatcher | Target::Newcomer => Vec::new(),
        };
        self.steps.iter().flat_map(|step| of(step.target)).collect()
    }

    /// Whether it needs a relay.
    pub fn touches_links(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.action, Action::Cut | Action::Heal))
    }
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut steps: Vec<Step> = text
            .split(',')
            .filter(|part| !part.trim().is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        if steps.len() > MAX_STEPS {
            return Err(PlanError::Length(steps.len()));
        }
        steps.sort_by_key(|step| step.at);
        Ok(Self { steps })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_plan_is_read_and_sorted() {
        let text =
            "restart node 2 at 20s, kill node 2 at 10s,kill active batcher at 1500ms, kill all nodes at 1m";
        let plan: Plan = text.parse().unwrap();
        let shown: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        let expected = [
            "kill the active batcher at 1.5s",
            "kill node-2 at 10.0s",
            "restart node-2 at 20.0s",
            "kill all nodes at 60.0s",
        ];
        assert_eq!(shown, expected);
        assert_eq!("".parse::<Plan>().unwrap(), Plan::default());
    }

    #[test]
    fn links_are_cut_and_healed() {
        let plan: Plan = "cut node 2 at 1s, cut link 1-3 at 2s, heal all links at 3s".parse().unwrap();
        assert!(plan.touches_links());
        let shown: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["cut node-2 at 1.0s", "cut link 1-3 at 2.0s", "heal all links at 3.0s"]);
        assert!(!"kill node 2 at 1s".parse::<Plan>().unwrap().touches_links());
    }

    #[test]
    fn validators_join_and_leave() {
        let plan: Plan = "leave node 5 at 40s, join at 20s".parse().unwrap();
        let shown: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["join another node at 20.0s", "leave node-5 at 40.0s"]);
        assert_eq!(plan.touched(4), BTreeSet::from([5]));
    }

    #[test]
    fn nonsense_is_named() {
        for (text, expected) in [
            ("kill node 2", "no step"),
            ("maim node 2 at 3s", "no step"),
            ("kill node 2 at noon", "no step"),
            ("kill everybody at 3s", "names nothing"),
            ("restart active batcher at 3s", "names nothing"),
            ("cut batcher 1 at 3s", "names nothing"),
            ("cut link 1-1 at 3s", "names nothing"),
            ("cut link 1 at 3s", "names nothing"),
            ("kill link 1-2 at 3s", "names nothing"),
            ("heal all nodes at 3s", "names nothing"),
            ("leave all nodes at 3s", "names nothing"),
            ("leave batcher 1 at 3s", "names nothing"),
            ("join", "no step"),
            ("join node 5 at 3s", "no step"),
        ] {
            let error = text.parse::<Plan>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
