//! What a network uses between two moments, from `/proc`.

use std::time::{Duration, Instant};

use crate::network::Condition;
use crate::procfs::{ProcessId, Usage, load_average, loopback_bytes};
use crate::role::Role;
use crate::session::Session;

/// One node's use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct NodeUse {
    /// CPU time.
    pub(super) cpu: Duration,
    /// Most resident memory since its start, bytes.
    pub(super) rss_peak: u64,
}

/// What was used.
#[derive(Clone, Debug, Default)]
pub(super) struct Used {
    /// Wall time.
    pub(super) wall: Duration,
    /// Each node.
    pub(super) nodes: Vec<NodeUse>,
    /// Bytes sent over the loopback interface, by everything on the machine.
    pub(super) wire_bytes: u64,
    /// Runnable processes over the last minute.
    pub(super) load_average: f64,
}

/// A measurement under way.
pub(super) struct Meter {
    began: Instant,
    nodes: Vec<(ProcessId, Usage)>,
    wire: u64,
}

async fn nodes(session: &Session) -> Vec<(ProcessId, Usage)> {
    let conditions = session.network.lock().await.conditions();
    let usage = |(role, condition): (&Role, &Condition)| match (role, condition) {
        (Role::Node(_), Condition::Running(id)) => Some((*id, id.usage()?)),
        _ => None,
    };
    conditions.iter().filter_map(usage).collect()
}

impl Meter {
    /// From now.
    pub(super) async fn start(session: &Session) -> Self {
        let nodes = nodes(session).await;
        Self { began: Instant::now(), nodes, wire: loopback_bytes().unwrap_or_default() }
    }

    /// Until now.
    pub(super) async fn stop(self, session: &Session) -> Used {
        let wire_bytes = loopback_bytes().unwrap_or_default().saturating_sub(self.wire);
        let used = |(id, now): (ProcessId, Usage)| {
            let before = self.nodes.iter().find(|(known, _)| *known == id);
            let cpu = before.map_or(now.cpu, |(_, before)| now.cpu.saturating_sub(before.cpu));
            NodeUse { cpu, rss_peak: now.rss_peak }
        };
        Used {
            wall: self.began.elapsed(),
            nodes: nodes(session).await.into_iter().map(used).collect(),
            wire_bytes,
            load_average: load_average().unwrap_or_default(),
        }
    }
}
