//! Whether the nodes' memory grows under a long load: a line through what was sampled after the first quarter.

use serde::Serialize;

use super::measure::Used;
use super::output::rounded;

/// A shorter load says nothing: caches and windows still fill.
const SHORTEST_S: f64 = 1_200.0;
/// What comes before this share of the load is not looked at.
const WARM_SHARE: f64 = 0.25;
/// A node grows by less than this.
const MAX_MB_PER_MIN: f64 = 1.0;

/// The slope of each node's resident memory.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Growth {
    from_s: f64,
    samples: usize,
    nodes_mb_per_min: Vec<f64>,
    promised_mb_per_min: f64,
}

impl Growth {
    /// None after a short load.
    pub(super) fn of(used: &Used) -> Option<Self> {
        let wall = used.wall.as_secs_f64();
        if wall < SHORTEST_S {
            return None;
        }
        let from_s = wall * WARM_SHARE;
        let warm: Vec<Vec<(f64, f64)>> = used
            .nodes()
            .map(|node| node.memory.iter().map(|(at, bytes)| (at.as_secs_f64(), *bytes as f64)))
            .map(|samples| samples.filter(|(at, _)| *at >= from_s).collect())
            .collect();
        let per_minute = |samples: &Vec<(f64, f64)>| slope(samples) * 60.0 / f64::from(1 << 20);
        Some(Self {
            from_s: rounded(from_s, 0),
            samples: warm.iter().map(Vec::len).min().unwrap_or_default(),
            nodes_mb_per_min: warm.iter().map(|samples| rounded(per_minute(samples), 3)).collect(),
            promised_mb_per_min: MAX_MB_PER_MIN,
        })
    }

    /// Whether every node grows slowly enough.
    pub(super) fn held(&self) -> bool {
        !self.nodes_mb_per_min.is_empty() && self.nodes_mb_per_min.iter().all(|slope| *slope < MAX_MB_PER_MIN)
    }

    pub(super) fn text(&self) -> String {
        let slopes: Vec<String> = self.nodes_mb_per_min.iter().map(|slope| format!("{slope:.2}")).collect();
        format!(
            "{} MB a minute from {:.0} s on (promised: below {MAX_MB_PER_MIN})",
            slopes.join(", "),
            self.from_s
        )
    }
}

/// Of the least-squares line through points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len().max(1) as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let along: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if spread > 0.0 { along / spread } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::measure::ProcessUse;
    use crate::role::Role;

    fn used(seconds: u64, memory: impl Fn(u64) -> u64) -> Used {
        let memory = (0..seconds / 5).map(|n| (Duration::from_secs(n * 5), memory(n * 5))).collect();
        let process = ProcessUse { memory, ..ProcessUse::default() };
        Used {
            wall: Duration::from_secs(seconds),
            processes: [(Role::Node(1), process)].into(),
            ..Used::default()
        }
    }

    #[test]
    fn what_fills_in_the_first_quarter_is_no_growth() {
        let filled = used(3_600, |second| second.min(800) << 20);
        assert!(Growth::of(&filled).is_some_and(|growth| growth.held()));
        let grows = used(3_600, |second| (second << 20) / 50);
        let growth = Growth::of(&grows);
        assert!(growth.as_ref().is_some_and(|growth| !growth.held()), "1.2 MB a minute: {growth:?}");
        assert!(Growth::of(&used(600, |_| 0)).is_none(), "too short to say");
    }
}
