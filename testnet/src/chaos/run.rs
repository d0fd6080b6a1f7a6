//! Carries a plan out while the load runs, and measures afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::outcome::{MAX_PAUSE, MAX_REJOIN, Outcome, Timeline, missed_slots};
use super::plan::{Action, Plan, Step, Target};
use crate::control::{self, Request};
use crate::layout::BATCHERS;
use crate::membership::{Membership, MembershipError};
use crate::network::Network;
use crate::node_api::NodeApi;
use crate::observe::{Observer, locked};
use crate::relay::{Change, LinkCommand};
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
    /// A validator that joins or leaves takes some L1 blocks: how long, or why not.
    registering: Option<JoinHandle<Result<Duration, MembershipError>>>,
}

/// Carries out the whole plan; returns what can be measured once the load has ended.
pub(crate) async fn execute(
    plan: Plan,
    began: Instant,
    (network, membership): (Arc<Mutex<Network>>, Arc<Membership>),
    observer: Observer,
) -> Aftermath {
    let mut absent = Absent::default();
    let mut done = Vec::new();
    for step in plan.steps {
        tokio::time::sleep_until((began + step.at).into()).await;
        let nodes = u16::try_from(observer.nodes().len()).unwrap_or(u16::MAX);
        let members = observer.last().committee.len();
        let roles = resolve(step.target, nodes, &observer);
        let l1_block = observer.l1().0.block_number().await.unwrap_or_default();
        let at = Instant::now();
        let before = absent.leave_quorum(members);
        let errors = carry_out(&step, &roles, &network).await;
        absent.note(&step, &roles, nodes);
        let quorum = absent.leave_quorum(members);
        let rejoining = match step.action {
            Action::Restart | Action::Heal => watch(&roles, at, &observer),
            Action::Kill | Action::Cut | Action::Join | Action::Leave => Vec::new(),
        };
        let registering = register(&step, &membership);
        done.push(Done { step, at, l1_block, before, quorum, errors, rejoining, registering });
    }
    Aftermath { done, observer }
}

/// Who cannot take part.
#[derive(Default)]
struct Absent {
    dead: BTreeSet<Role>,
    /// Nodes with all their links cut, and healed since only as a whole.
    cut_off: BTreeSet<Role>,
}

impl Absent {
    fn note(&mut self, step: &Step, roles: &[Role], nodes: u16) {
        match step.action {
            Action::Kill => self.dead.extend(roles),
            Action::Restart => self.dead.retain(|role| !roles.contains(role)),
            Action::Cut if step.target == Target::AllLinks => {
                self.cut_off.extend((1..=nodes).map(Role::Node));
            }
            Action::Heal if step.target == Target::AllLinks => self.cut_off.clear(),
            // One link less keeps nobody from anybody: the others are a quorum for both ends.
            Action::Cut if matches!(step.target, Target::Link(..)) => {}
            Action::Heal if matches!(step.target, Target::Link(..)) => {}
            Action::Join | Action::Leave => {}
            Action::Cut => self.cut_off.extend(roles),
            Action::Heal => self.cut_off.retain(|role| !roles.contains(role)),
        }
    }

    /// At most f nodes of a committee with so many members are absent. All that are count: the next committee may have been drawn with
    /// them.
    fn leave_quorum(&self, members: usize) -> bool {
        let absent = self.dead.union(&self.cut_off).filter(|role| matches!(role, Role::Node(_))).count();
        absent <= members.saturating_sub(1) / 3
    }
}

fn resolve(target: Target, nodes: u16, observer: &Observer) -> Vec<Role> {
    match target {
        Target::One(role) => vec![role],
        Target::AllNodes | Target::AllLinks => (1..=nodes).map(Role::Node).collect(),
        Target::Link(from, to) => vec![Role::Node(from), Role::Node(to)],
        Target::AllBatchers => (1..=BATCHERS).map(Role::Batcher).collect(),
        Target::Newcomer => Vec::new(),
        Target::ActiveBatcher => {
            let last = observer.last();
            let active = last.batchers.iter().find(|batcher| batcher.active);
            vec![active.map_or(Role::Batcher(1), |batcher| batcher.role)]
        }
    }
}

/// All at once, as far as one lock allows: kills of several processes are microseconds apart.
async fn carry_out(step: &Step, roles: &[Role], network: &Mutex<Network>) -> Vec<String> {
    let mut network = network.lock().await;
    let mut errors = Vec::new();
    match step.action {
        Action::Cut => errors.extend(change_links(step.target, Change::Cut, &network).await.err()),
        Action::Heal => errors.extend(change_links(step.target, Change::Heal, &network).await.err()),
        // These do not come at once.
        Action::Join | Action::Leave => {}
        Action::Kill | Action::Restart => {
            for role in roles {
                let result = match step.action {
                    Action::Kill => network.kill(*role).await,
                    _ => network.restart(*role).await,
                };
                errors.extend(result.err().map(|error| error.to_string()));
            }
        }
    }
    errors
}

/// Joins or leaves, if that is the step.
fn register(
    step: &Step,
    membership: &Arc<Membership>,
) -> Option<JoinHandle<Result<Duration, MembershipError>>> {
    let (membership, began) = (Arc::clone(membership), Instant::now());
    match (step.action, step.target) {
        (Action::Join, _) => {
            Some(tokio::spawn(async move { membership.join().await.map(|_| began.elapsed()) }))
        }
        (Action::Leave, Target::One(Role::Node(number))) => {
            Some(tokio::spawn(async move { membership.leave(number).await.map(|_| began.elapsed()) }))
        }
        _ => None,
    }
}

async fn change_links(target: Target, change: Change, network: &Network) -> Result<(), String> {
    let links = target.links().ok_or_else(|| format!("{target} has no links"))?;
    let request = Request::Link { command: LinkCommand { change, links } };
    let reply = control::ask(&network.folder().relay_socket(), &request).await;
    match reply {
        Ok(reply) if reply.ok => Ok(()),
        Ok(reply) => Err(reply.message),
        Err(error) => Err(error.to_string()),
    }
}

fn watch(roles: &[Role], since: Instant, observer: &Observer) -> Vec<(Role, JoinHandle<Option<Duration>>)> {
    let node = |role: &Role| {
        let Role::Node(number) = role else { return None };
        let (_, api) = observer.nodes().into_iter().find(|(known, _)| known == number)?;
        Some((*role, tokio::spawn(until_back(api, since))))
    };
    roles.iter().filter_map(node).collect()
}

async fn until_back(api: NodeApi, since: Instant) -> Option<Duration> {
    while since.elapsed() < REJOIN_PATIENCE {
        if api.takes_part().await {
            return Some(since.elapsed());
        }
        tokio::time::sleep(POLL).await;
    }
    None
}

/// What is left to measure when the load has ended.
pub(crate) struct Aftermath {
    done: Vec<Done>,
    observer: Observer,
}

impl Aftermath {
    /// Measures every step's effect: between it and the next one, or the end of the load.
    pub(crate) async fn outcomes(self, load_ended: Instant) -> Vec<Outcome> {
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
            if let Some(registering) = done.registering {
                outcomes.push(match registering.await {
                    Ok(Ok(took)) => Outcome::happened(&step, "done on L1 after", Some(took)),
                    Ok(Err(error)) => Outcome::happened(&step, &error.to_string(), None),
                    Err(error) => Outcome::happened(&step, &error.to_string(), None),
                });
            }
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
    let of_links = matches!(done.step.target, Target::Link(..));
    match done.step.action {
        Action::Cut if done.quorum => {
            let pause = Some(timeline.longest_pause(done.at, end.0));
            // A node that nobody reaches is as good as dead, and that has a price. Of single links nothing is promised.
            vec![if of_links {
                Outcome::happened(step, "ordering paused for", pause)
            } else {
                Outcome::within(step, "ordering paused for", pause, MAX_PAUSE)
            }]
        }
        Action::Heal if !of_links && done.quorum && !done.before => {
            vec![Outcome::happened(step, "ordered transactions told after", timeline.resumed_after(done.at))]
        }
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
