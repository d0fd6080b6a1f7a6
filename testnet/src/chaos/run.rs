//! Carries a plan out while the load runs, and measures afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::outcome::{MAX_PAUSE, MAX_REJOIN, Outcome, Timeline, missed_slots};
use super::plan::{Action, Plan, Step, Target};
use crate::layout::BATCHERS;
use crate::network::Network;
use crate::node_api::NodeApi;
use crate::observe::{Observer, locked};
use crate::role::Role;

/// How often a node that was started again is asked whether it is ready.
const POLL: Duration = Duration::from_millis(100);
/// A node that is not ready by then is given up on.
const REJOIN_PATIENCE: Duration = Duration::from_secs(60);

/// A step that was carried out, with what watches its effect.
struct Done {
    step: Step,
    at: Instant,
    l1_block: u64,
    /// Whether the nodes alive before were a quorum.
    before: bool,
    /// Whether those alive after it are.
    quorum: bool,
    errors: Vec<String>,
    rejoining: Vec<(Role, JoinHandle<Option<Duration>>)>,
}

/// Carries out the whole plan; returns what can be measured once the load has ended.
pub async fn execute(
    plan: Plan,
    began: Instant,
    network: Arc<Mutex<Network>>,
    observer: Observer,
) -> Aftermath {
    let nodes = u16::try_from(observer.nodes().len()).unwrap_or(u16::MAX);
    let mut dead: BTreeSet<Role> = BTreeSet::new();
    let mut done = Vec::new();
    for step in plan.steps {
        tokio::time::sleep_until((began + step.at).into()).await;
        let roles = resolve(step.target, nodes, &observer);
        let l1_block = observer.l1().0.block_number().await.unwrap_or_default();
        let at = Instant::now();
        let before = is_quorum(&dead, nodes);
        let errors = carry_out(step.action, &roles, &network).await;
        for role in &roles {
            match step.action {
                Action::Kill => dead.insert(*role),
                Action::Restart => dead.remove(role),
            };
        }
        let quorum = is_quorum(&dead, nodes);
        let rejoining = match step.action {
            Action::Restart => watch(&roles, at, &observer),
            Action::Kill => Vec::new(),
        };
        done.push(Done { step, at, l1_block, before, quorum, errors, rejoining });
    }
    Aftermath { done, observer }
}

/// At most f of n are dead.
fn is_quorum(dead: &BTreeSet<Role>, nodes: u16) -> bool {
    let dead = dead.iter().filter(|role| matches!(role, Role::Node(_))).count();
    dead <= usize::from(nodes.saturating_sub(1) / 3)
}

fn resolve(target: Target, nodes: u16, observer: &Observer) -> Vec<Role> {
    match target {
        Target::One(role) => vec![role],
        Target::AllNodes => (1..=nodes).map(Role::Node).collect(),
        Target::AllBatchers => (1..=BATCHERS).map(Role::Batcher).collect(),
        Target::ActiveBatcher => {
            let last = observer.last();
            let active = last.batchers.iter().find(|batcher| batcher.active);
            vec![active.map_or(Role::Batcher(1), |batcher| batcher.role)]
        }
    }
}

/// All at once, as far as one lock allows: kills of several processes are microseconds apart.
async fn carry_out(action: Action, roles: &[Role], network: &Mutex<Network>) -> Vec<String> {
    let mut network = network.lock().await;
    let mut errors = Vec::new();
    for role in roles {
        let result = match action {
            Action::Kill => network.kill(*role).await,
            Action::Restart => network.restart(*role).await,
        };
        if let Err(error) = result {
            errors.push(error.to_string());
        }
    }
    errors
}

fn watch(roles: &[Role], since: Instant, observer: &Observer) -> Vec<(Role, JoinHandle<Option<Duration>>)> {
    let node = |role: &Role| {
        let Role::Node(number) = role else { return None };
        let (_, api) = observer.nodes().iter().find(|(known, _)| known == number)?;
        Some((*role, tokio::spawn(until_ready(api.clone(), since))))
    };
    roles.iter().filter_map(node).collect()
}

async fn until_ready(api: NodeApi, since: Instant) -> Option<Duration> {
    while since.elapsed() < REJOIN_PATIENCE {
        if api.ready().await.0 {
            return Some(since.elapsed());
        }
        tokio::time::sleep(POLL).await;
    }
    None
}

/// What is left to measure when the load has ended.
pub struct Aftermath {
    done: Vec<Done>,
    observer: Observer,
}

impl Aftermath {
    /// Measures every step's effect: between it and the next one, or the end of the load.
    pub async fn outcomes(self, load_ended: Instant) -> Vec<Outcome> {
        let receipts = locked(self.observer.book()).receipts().iter().map(|(at, _)| *at).collect();
        let timeline = Timeline::new(receipts);
        let sealed = self.observer.sealed();
        let batches: Vec<(u64, u64)> = self
            .observer
            .batches()
            .iter()
            .filter_map(|batch| Some((*sealed.get(&batch.number)?, batch.l1_block)))
            .collect();
        let ends: Vec<(Instant, u64)> = self
            .done
            .iter()
            .skip(1)
            .map(|next| (next.at.min(load_ended), next.l1_block))
            .chain([(load_ended, u64::MAX)])
            .collect();
        let mut outcomes = Vec::new();
        for (done, end) in self.done.into_iter().zip(ends) {
            let step = done.step.to_string();
            outcomes.extend(done.errors.iter().map(|error| Outcome::happened(&step, error, None)));
            outcomes.extend(effects(&step, &done, end, &timeline, &batches));
            for (role, rejoining) in done.rejoining {
                let took = rejoining.await.ok().flatten();
                outcomes.push(Outcome::within(
                    &step,
                    &format!("{role} voting again after"),
                    took,
                    MAX_REJOIN,
                ));
            }
        }
        outcomes
    }
}

/// What a step did, until `end`: the next step or the end of the load, and L1's block then.
fn effects(
    step: &str,
    done: &Done,
    end: (Instant, u64),
    timeline: &Timeline,
    batches: &[(u64, u64)],
) -> Vec<Outcome> {
    let nodes = matches!(done.step.target, Target::AllNodes | Target::One(Role::Node(_)));
    let one_batcher = matches!(done.step.target, Target::ActiveBatcher | Target::One(Role::Batcher(_)));
    let posting = || Outcome::slots(step, missed_slots(batches, done.l1_block, end.1), one_batcher);
    match done.step.action {
        Action::Kill if nodes && done.quorum => {
            let pause = timeline.longest_pause(done.at, end.0);
            vec![Outcome::within(step, "ordering paused for", Some(pause), MAX_PAUSE), posting()]
        }
        Action::Restart if nodes && done.quorum && !done.before => {
            let resumed = timeline.resumed_after(done.at);
            vec![Outcome::happened(step, "ordered transactions told after", resumed), posting()]
        }
        Action::Kill if one_batcher => vec![posting()],
        _ => Vec::new(),
    }
}
