//! `testnet up`: a network, its light load, the live status, and at the end of `--for` the judgement.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ordering_types::RollupId;
use ordering_types::chain_spec::KeyPolicy;
use rollup::client::ConnectError;
use rollup::registry::IValidatorRegistry::Validator;
use rollup::verify::Network as ClientNetwork;
use tokio::task::JoinHandle;

use crate::chaos::{self, Aftermath, Outcome};
use crate::cli::{CheckError, UpArgs};
use crate::contract::{L1, L1Error};
use crate::exit::Exit;
use crate::forcer::Forcer;
use crate::genesis::{ALPHA, BETA, GAMMA, MNEMONIC, Variant, senders};
use crate::judge::{self, Committees, Evidence, FromL1};
use crate::layout::Size;
use crate::load::{self, Book, Load, Source, Transfers};
use crate::observe::{NodeView, Observer, Snapshot, locked};
use crate::progress::Progress;
use crate::relay::{ConditionsError, RelaySettings};
use crate::report::{Check, L1Summary, Summary};
use crate::role::Role;
use crate::screen::Screen;
use crate::session::{Session, SessionError, Stop, Wanted, describe};
use crate::stages::{self, StartError, Up};

/// The rollup whose data goes into calldata has so many times less of the load.
const CALLDATA_IS_DEARER: f64 = 10.0;
/// While L1 is broken, of so many transactions one goes there.
const COMMITTEES_SHARE: f64 = 10.0;
/// How often the network is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// While things are broken on purpose, posting is measured in slots: look more often.
const CHAOS_LOOK: Duration = Duration::from_millis(250);
/// A transaction without an answer for so long goes to another node.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How long the last transactions may take to be ordered and confirmed.
const ORDER_DRAIN: Duration = Duration::from_secs(20);
/// How long they may take to L1.
const L1_DRAIN: Duration = Duration::from_secs(120);

/// Why `up` failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpError {
    /// Before anything ran.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// While coming up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A timetable that is longer than the run.
    #[error("`{0}` comes after the end of the load ({1} s): make --for longer")]
    Plan(String, u64),
    /// How many of what.
    #[error(transparent)]
    Size(#[from] CheckError),
    /// What the relay is asked to be.
    #[error(transparent)]
    Relay(#[from] ConditionsError),
    /// The load's clients.
    #[error("clients: {0}")]
    Client(#[from] ConnectError),
    /// The load's accounts.
    #[error(transparent)]
    Account(#[from] L1Error),
}

/// Runs until Ctrl-C, `testnet down`, or the end of `--for`.
pub(crate) async fn up(args: UpArgs) -> Result<Exit, UpError> {
    if let Some((step, duration)) =
        args.chaos.iter().flat_map(|plan| plan.steps.last()).zip(args.duration).next()
        && step.at >= duration
    {
        return Err(UpError::Plan(step.to_string(), duration.as_secs()));
    }
    let size = args.size()?;
    let mut progress = Progress::new(false);
    let stage = progress.stage();
    let (session, mut stops) = Session::open(Wanted {
        data: &args.folder.data,
        port_base: args.port_base,
        nodes: size.registered,
        must_be_disk: false,
        relay: relay(&args)?,
    })?;
    stage.done(&format!(
        "ports {} to {} free; {} with {} GiB free",
        session.ports.base() + 101,
        session.ports.l1(),
        session.disk.filesystem,
        session.disk.free >> 30
    ));
    let ended = tokio::select! {
        biased;
        stop = stops.wanted() => Ended::Stopped(stop),
        result = body(&args, size, &session, &mut progress) => Ended::Finished(Box::new(result)),
    };
    conclude(ended, session, args.json).await
}

/// The relay asked for; a timetable that cuts links needs one, too.
fn relay(args: &UpArgs) -> Result<Option<RelaySettings>, ConditionsError> {
    let asked = args.relay.settings()?;
    let cuts = args.chaos.iter().any(crate::chaos::Plan::touches_links);
    Ok(asked.or_else(|| cuts.then(|| args.relay.direct())))
}

enum Ended {
    Stopped(Stop),
    Finished(Box<Result<Summary, UpError>>),
}

async fn conclude(ended: Ended, session: Session, json: bool) -> Result<Exit, UpError> {
    let (asked, result) = match ended {
        Ended::Stopped(stop) => {
            if let Stop::Signal(name) = stop {
                eprintln!("\n{name}: stopping");
            }
            (Some(stop), None)
        }
        Ended::Finished(result) => (None, Some(*result)),
    };
    let logs = session.folder.logs();
    let farewell = session.close(asked).await;
    eprintln!("{}", describe(&farewell));
    let left = !farewell.left.is_empty();
    let Some(result) = result else { return Ok(if left { Exit::Failure } else { Exit::Done }) };
    let summary = result.inspect_err(|_| eprintln!("logs are in {}", logs.display()))?;
    if json {
        println!("{}", serde_json::to_string(&summary).unwrap_or_default());
    } else {
        print!("{}", summary.table());
    }
    for broken in &summary.broken {
        eprintln!("BROKEN: {broken}");
    }
    Ok(match (summary.ok, left) {
        (false, _) => Exit::Broken,
        (true, true) => Exit::Failure,
        (true, false) => Exit::Done,
    })
}

/// Everything between the preflight and the stop. Without `--for` it never returns.
async fn body(
    args: &UpArgs,
    size: Size,
    session: &Session,
    progress: &mut Progress,
) -> Result<Summary, UpError> {
    let variant = Variant {
        relay: session.relay.is_some(),
        epoch: args.epoch,
        most_members: Some(size.committee),
        keep_key: args.keep_key,
        committee: args.l1_faults_every.is_some(),
        ..Variant::default()
    };
    let up = stages::bring_up(session, size, args.block_time, variant, progress).await?;
    progress.say(&banner(session, &up));
    let book = Arc::new(Mutex::new(Book::new(args.duration.is_some())));
    let observer = Observer::new(
        Arc::clone(&session.network),
        Arc::clone(&book),
        session.ports,
        size.registered,
        up.batchers.clone(),
        up.inbox,
    );
    // Set once, here.
    let _ = session.observer.set(observer.clone());
    let load = start_load(args, &up, book)?;
    let began = Instant::now();
    load.begin();
    let chaos = args.chaos.clone().filter(|plan| !plan.steps.is_empty()).map(|plan| {
        let processes = (Arc::clone(&session.network), Arc::clone(&session.membership));
        tokio::spawn(chaos::execute(plan, began, processes, observer.clone()))
    });
    let chain_id = up.spec.rollup(ALPHA).map_or(0, |rollup| rollup.chain_id);
    let forcer = Forcer::start(&session.ports.l1_url(), up.inbox, ALPHA, chain_id)?;
    let l1_faults = args.l1_faults_every.zip(args.duration).map(|(every, lasts)| {
        let campaign = chaos::Campaign {
            every,
            network: Arc::clone(&session.network),
            batchers: up.batchers.clone(),
            lying: L1::new(session.ports.l1_urls().first().map_or("", String::as_str)),
        };
        tokio::spawn(campaign.run(began, lasts, observer.clone()))
    });
    watch(args, &observer, began).await;
    load.end();
    drop(forcer);
    let run = Run { size, began, ended: Instant::now(), chaos, l1_faults };
    finish(args, session, &up, &observer, load, run).await
}

fn start_load(args: &UpArgs, up: &Up, book: Arc<Mutex<Book>>) -> Result<Load, UpError> {
    let mut streams = Vec::new();
    for (rollup, tps) in rates(args) {
        let chain_id = up.spec.rollup(rollup).map_or(0, |rollup| rollup.chain_id);
        let transfers = Transfers::new(chain_id, &senders()?);
        streams.push((Source::transfers(rollup, transfers), tps));
    }
    let plan = load::Plan {
        network: ClientNetwork::new(Arc::clone(&up.spec)),
        endpoints: up.endpoints.clone(),
        followers: up.endpoints.len(),
        streams,
        patience: PATIENCE,
        everywhere: false,
    };
    Ok(Load::new(plan, book)?)
}

/// Transactions a second of each rollup.
fn rates(args: &UpArgs) -> [(RollupId, f64); 3] {
    let tps = f64::from(args.tps);
    if args.l1_faults_every.is_none() {
        return [(ALPHA, tps), (BETA, tps), (GAMMA, tps / CALLDATA_IS_DEARER)];
    }
    // As many as one machine can prove blobs for.
    let on_l1 = tps / COMMITTEES_SHARE;
    let gamma = on_l1 / CALLDATA_IS_DEARER;
    [(ALPHA, tps - on_l1), (BETA, on_l1 - gamma), (GAMMA, gamma)]
}

fn banner(session: &Session, up: &Up) -> String {
    let rollups: Vec<String> = up
        .spec
        .rollups
        .iter()
        .map(|rollup| {
            let node = session.ports.rpc_url(1);
            format!("  {:<6} chain id {}   {node}/rollup/{}", rollup.name, rollup.chain_id, rollup.chain_id)
        })
        .collect();
    let accounts: Vec<String> =
        senders().unwrap_or_default().iter().map(|signer| format!("  {}", signer.address())).collect();
    format!(
        "\nThe network is up. Data folder: {}\nL1 {} (chain {}), inbox {}, registry {}\nRollups:\n{}\n\
         Mnemonic of the funded accounts: {MNEMONIC}\nAccounts that send on the rollups:\n{}\n\
         Another terminal: testnet status | kill 2 | restart 2 | join | leave 5 | down. Ctrl-C stops everything.\n",
        session.folder.root().display(),
        session.ports.l1_url(),
        up.spec.l1_chain_id,
        up.inbox,
        up.registry,
        rollups.join("\n"),
        accounts.join("\n"),
    )
}

/// Shows the live status until `--for` is over.
async fn watch(args: &UpArgs, observer: &Observer, began: Instant) {
    let mut screen = Screen::new(false);
    let every = if args.chaos.is_some() { CHAOS_LOOK } else { LOOK };
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let end = async {
        match args.duration {
            Some(duration) => tokio::time::sleep_until((began + duration).into()).await,
            None => std::future::pending().await,
        }
    };
    let looking = async {
        loop {
            ticks.tick().await;
            screen.show(&observer.look().await);
        }
    };
    tokio::select! {
        () = end => {}
        () = looking => {}
    }
}

/// A load that is over.
struct Run {
    size: Size,
    began: Instant,
    ended: Instant,
    chaos: Option<JoinHandle<Aftermath>>,
    l1_faults: Option<JoinHandle<Vec<Outcome>>>,
}

/// Drains to L1, judges, sums up.
async fn finish(
    args: &UpArgs,
    session: &Session,
    up: &Up,
    observer: &Observer,
    load: Load,
    run: Run,
) -> Result<Summary, UpError> {
    eprintln!("load ended; waiting until everything told is on L1");
    let aftermath = match run.chaos {
        Some(running) => running.await.ok(),
        None => None,
    };
    load.drained(Instant::now() + ORDER_DRAIN).await;
    let (ledger, counts) = {
        let book = locked(load.book());
        (book.ledger(), book.counts())
    };
    let (l1, inbox) = observer.l1();
    let forced = l1.forced(inbox).await?;
    let from_l1 = drain_to_l1(up, observer, (judge::last_with_transactions(&ledger), forced)).await;
    let last = observer.look().await;
    // What was seen meanwhile may have been undone since.
    let batches = l1.all_batches(inbox).await?;
    let committees = match args.epoch {
        Some(_) => Some(committees(args, up, observer, run.size).await?),
        None => None,
    };
    let evidence = Evidence {
        spec: Arc::clone(&up.spec),
        ledger: &ledger,
        counts,
        conflicts: load.conflicts(),
        from_l1: &from_l1,
        batches: &batches,
        endpoints: live_endpoints(session, &last),
        forced,
        died: session.network.lock().await.deaths(),
        committees,
        epochs: args.epoch.map(|epoch| least_epochs(run.ended.duration_since(run.began), epoch)),
    };
    let mut checks = judge::judge(&evidence).await;
    let gas = l1.wasted_gas(inbox, &up.batchers).await?;
    let mut chaos = match aftermath {
        Some(aftermath) => aftermath.outcomes(run.ended).await,
        None => Vec::new(),
    };
    if let Some(faults) = run.l1_faults {
        chaos.extend(faults.await.unwrap_or_default());
        checks.push(judge::thrifty(gas));
    }
    let (ordered_ms, certified_ms) = {
        let book = locked(load.book());
        (book.ordered_ms(), book.certified_ms())
    };
    load.stop().await;
    let seconds = run.ended.duration_since(run.began).as_secs_f64();
    let broken = broken(&checks, &chaos);
    Ok(Summary {
        ok: broken.is_empty(),
        broken,
        checks,
        nodes: u16::try_from(last.nodes.len()).unwrap_or(u16::MAX),
        committees: observer.committees(),
        seconds,
        counts,
        ordered_tps: counts.ordered as f64 / seconds.max(1.0),
        ordered_ms,
        certified_ms,
        height: last.height,
        l1: l1_summary(&from_l1, &batches, gas),
        chaos,
    })
}

/// Ingress of the nodes that run.
fn live_endpoints(session: &Session, last: &Snapshot) -> Vec<String> {
    let live = last.nodes.iter().filter(|node| node.process.starts_with("pid"));
    let endpoint = |node: &NodeView| match node.role {
        Role::Node(number) => Some(session.ports.ingress_endpoint(number)),
        _ => None,
    };
    live.filter_map(endpoint).collect()
}

/// Who was in which committee, as the nodes and L1 say.
async fn committees(args: &UpArgs, up: &Up, observer: &Observer, size: Size) -> Result<Committees, UpError> {
    let (l1, inbox) = observer.l1();
    let address =
        |validator: Validator| (validator.id, ordering_types::Address::new(validator.node.into_array()));
    let touched = args.chaos.as_ref().map(|plan| plan.touched(size.registered)).unwrap_or_default();
    let handovers = l1.handovers(inbox).await?;
    Ok(Committees {
        size,
        newcomers: size.newcomers().filter(|number| !touched.contains(number)).collect(),
        told: observer.committees(),
        on_l1: handovers.iter().map(|(epoch, one)| (*epoch, one.committee)).collect(),
        keys: handovers.into_iter().map(|(epoch, one)| (epoch, one.key_x)).collect(),
        keeps_key: up.spec.epochs.key == KeyPolicy::Keep,
        registry: l1.validators(up.registry).await?.into_iter().map(address).collect(),
    })
}

/// An epoch ends a little after it is due, and the first began before the load: one in ten may be missing, and the one that runs.
fn least_epochs(lasted: Duration, epoch: Duration) -> u64 {
    let whole = lasted.as_millis() / epoch.as_millis().max(1);
    u64::try_from(whole - whole.div_ceil(10)).unwrap_or(u64::MAX)
}

/// Reads L1 until it covers this height and so many forced entries, and keeps looking meanwhile: batches and slots are still counted.
async fn drain_to_l1(up: &Up, observer: &Observer, until: (u64, u64)) -> FromL1 {
    let deadline = Instant::now() + L1_DRAIN;
    let looking = async {
        loop {
            observer.look().await;
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        found = judge::read(Arc::clone(&up.spec), observer.l1_url(), until, deadline) => found,
        () = looking => unreachable!("looking never ends"),
    }
}

fn broken(checks: &[Check], chaos: &[Outcome]) -> Vec<String> {
    let checks = checks.iter().filter(|check| !check.held);
    let chaos = chaos.iter().filter(|outcome| !outcome.held);
    checks
        .map(|check| format!("{}: {}", check.promise, check.found))
        .chain(chaos.map(ToString::to_string))
        .collect()
}

/// What L1 cost, over the batches that were derived.
pub(crate) fn l1_summary(
    from_l1: &FromL1,
    batches: &[crate::contract::Batch],
    (wasted, spent): (u64, u64),
) -> L1Summary {
    let count = from_l1.batches.len();
    let gas: u64 = batches.iter().take(count).map(|batch| batch.gas).sum();
    let blobs: u64 = from_l1.batches.iter().map(|batch| batch.blobs as u64).sum();
    let in_blobs = from_l1.batches.iter().filter(|batch| batch.blobs > 0);
    let mut fills: Vec<f64> = in_blobs
        .map(|batch| batch.payload_bytes as f64 / (batch.blobs * batcher_format::blob::USABLE_BYTES) as f64)
        .collect();
    fills.sort_by(f64::total_cmp);
    let bytes = |batch: &judge::Load| (batch.payload_bytes + batch.inline_bytes) as u64;
    let payload: u64 = from_l1.batches.iter().map(bytes).sum();
    let transactions = from_l1.transactions();
    let per = |amount: u64, of: u64| if of == 0 { 0.0 } else { amount as f64 / of as f64 };
    L1Summary {
        batches: count as u64,
        blobs,
        bytes_per_tx: per(payload, transactions),
        blob_fill: fills.get(fills.len() / 2).copied().unwrap_or_default(),
        wasted_gas: per(wasted, spent),
        blob_bytes_per_tx: per(blobs * crate::observe::BLOB_BYTES, transactions),
        gas_per_tx: per(gas, transactions),
        gas_per_batch: per(gas, count as u64),
        transactions,
    }
}
