//! What a network uses between two moments, from `/proc`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::network::Condition;
use crate::procfs::{ProcessId, Usage, load_average, loopback_bytes};
use crate::role::Role;
use crate::session::Session;

/// One process's use.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ProcessUse {
    /// CPU time.
    pub(super) cpu: Duration,
    /// Most resident memory since its start, bytes.
    pub(super) rss_peak: u64,
    /// Resident memory so long after the measurement began, bytes.
    pub(super) memory: Vec<(Duration, u64)>,
}

/// What was used.
#[derive(Clone, Debug, Default)]
pub(super) struct Used {
    /// Wall time.
    pub(super) wall: Duration,
    /// Each process of the network.
    pub(super) processes: BTreeMap<Role, ProcessUse>,
    /// Bytes sent over the loopback interface, by everything on the machine.
    pub(super) wire_bytes: u64,
    /// Runnable processes over the last minute.
    pub(super) load_average: f64,
}

impl Used {
    /// The nodes, in order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &ProcessUse> {
        let node = |(role, used)| matches!(role, &Role::Node(_)).then_some(used);
        self.processes.iter().filter_map(node)
    }
}

/// A measurement under way.
pub(super) struct Meter {
    began: Instant,
    processes: BTreeMap<Role, (ProcessId, Usage)>,
    wire: u64,
    memory: BTreeMap<Role, Vec<(Duration, u64)>>,
}

async fn processes(session: &Session) -> BTreeMap<Role, (ProcessId, Usage)> {
    let conditions = session.network.lock().await.conditions();
    let usage = |(role, condition): (&Role, &Condition)| match condition {
        Condition::Running(id) => Some((*role, (*id, id.usage()?))),
        _ => None,
    };
    conditions.iter().filter_map(usage).collect()
}

impl Meter {
    /// From now.
    pub(super) async fn start(session: &Session) -> Self {
        let processes = processes(session).await;
        let wire = loopback_bytes().unwrap_or_default();
        Self { began: Instant::now(), processes, wire, memory: BTreeMap::new() }
    }

    /// Looks at what the processes hold in memory.
    pub(super) async fn sample(&mut self, session: &Session) {
        let at = self.began.elapsed();
        for (role, (_, usage)) in processes(session).await {
            self.memory.entry(role).or_default().push((at, usage.rss));
        }
    }

    /// Until now.
    pub(super) async fn stop(mut self, session: &Session) -> Used {
        let wire_bytes = loopback_bytes().unwrap_or_default().saturating_sub(self.wire);
        let now = processes(session).await;
        let used = |(role, (id, now)): (Role, (ProcessId, Usage))| {
            let before = self.processes.get(&role).filter(|(known, _)| *known == id);
            let cpu = before.map_or(now.cpu, |(_, before)| now.cpu.saturating_sub(before.cpu));
            let memory = self.memory.remove(&role).unwrap_or_default();
            (role, ProcessUse { cpu, rss_peak: now.rss_peak, memory })
        };
        Used {
            wall: self.began.elapsed(),
            processes: now.into_iter().map(used).collect(),
            wire_bytes,
            load_average: load_average().unwrap_or_default(),
        }
    }
}
