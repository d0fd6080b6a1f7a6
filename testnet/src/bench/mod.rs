//! `testnet bench`: a network of its own on a real disk, a client process, one JSON object.

mod attack;
mod clients;
mod dead;
mod disk;
mod distance;
mod flood;
mod growth;
mod late;
mod measure;
mod output;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cli::{BenchArgs, Policy};
use crate::exit::Exit;
use crate::genesis::{ALPHA, BULK, GenesisError, Variant};
use crate::judge::{self, FromL1};
use crate::layout::Size;
use crate::load::{Book, Ledger};
use crate::network::NetworkError;
use crate::observe::Observer;
use crate::progress::Progress;
use crate::relay::ConditionsError;
use crate::run::l1_summary;
use crate::session::{Session, SessionError, Wanted, describe};
use crate::stages::{self, StartError, Up};
pub(crate) use attack::{Attack, main_from_args as attacker_main};
use clients::Offered;
use distance::Distance;
use flood::Flood;
use measure::Meter;
use output::{Idle, Load, Machine};

/// Between the first batch and the measurement of an idle network.
const SETTLE: Duration = Duration::from_secs(5);
/// How long the last transactions may take to L1.
const L1_DRAIN: Duration = Duration::from_secs(180);

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// L1's figures.
    #[error(transparent)]
    L1(#[from] crate::contract::L1Error),
    /// Before anything ran.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What the relay is asked to be.
    #[error(transparent)]
    Relay(#[from] ConditionsError),
    /// The network did not come up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The disk could not be measured.
    #[error("cannot measure the disk: {0}")]
    Disk(std::io::Error),
    /// The client could not be started or read.
    #[error("client: {0}")]
    Client(std::io::Error),
    /// The client gave up.
    #[error("client: {0}")]
    GaveUp(String),
    /// A node could not be killed or started again.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The late node's folder could not be emptied.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// Measures, prints, and deletes its folder.
pub(crate) async fn bench(args: BenchArgs) -> Result<Exit, BenchError> {
    let mut progress = Progress::new(false);
    let stage = progress.stage();
    let data = PathBuf::from(format!("testnet-bench-{}", std::process::id()));
    let opened = Session::open(Wanted {
        data: &data,
        port_base: args.port_base,
        nodes: args.nodes,
        must_be_disk: true,
        relay: args.relay.settings()?,
    });
    let (session, mut stops) = opened.inspect_err(|_| remove(&data))?;
    stage.done(&format!("ports free; {}", session.disk.filesystem));
    let result = tokio::select! {
        biased;
        _ = stops.wanted() => Err(BenchError::Interrupted),
        result = measured(&args, &session, &mut progress) => result,
    };
    let logs = session.folder.logs();
    let farewell = session.close(None).await;
    eprintln!("{}", describe(&farewell));
    if args.keep || (result.is_err() && !matches!(result, Err(BenchError::Interrupted))) {
        eprintln!("logs are in {}", logs.display());
    } else {
        remove(&data);
    }
    let (text, json, held) = result?;
    if args.json {
        println!("{json}");
    } else {
        print!("{text}");
    }
    Ok(if held && farewell.left.is_empty() { Exit::Done } else { Exit::Broken })
}

/// Deletes the folder if it is one of ours; what else is there stays.
fn remove(data: &std::path::Path) {
    if let Ok(folder) = crate::layout::DataFolder::open(data)
        && let Err(error) = folder.delete()
    {
        eprintln!("{error}");
    }
}

/// The text, the JSON, and whether what must hold held.
type Printed = (String, String, bool);

async fn measured(
    args: &BenchArgs,
    session: &Session,
    progress: &mut Progress,
) -> Result<Printed, BenchError> {
    let fsync_p50_us = disk::fsync_p50_us(session.folder.root()).map_err(BenchError::Disk)?;
    let variant = Variant {
        relay: session.relay.is_some(),
        flood: args.rollup_flood,
        committee: args.policy == Policy::Committee,
        epoch: args.epoch,
        most_members: None,
        keep_key: false,
    };
    let size = Size::founders(args.nodes);
    let up = stages::bring_up(session, size, args.block_time, variant, progress).await?;
    let observer = Observer::new(
        Arc::clone(&session.network),
        Arc::new(Mutex::new(Book::new(false))),
        session.ports,
        args.nodes,
        up.batchers.clone(),
        up.inbox,
    );
    // Set once, here.
    let _ = session.observer.set(observer.clone());
    let machine = Machine {
        fsync_p50_us,
        filesystem: session.disk.filesystem.clone(),
        nodes: args.nodes,
        cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
    };
    if args.idle {
        progress.say("measuring an idle network");
        tokio::time::sleep(SETTLE).await;
        let meter = Meter::start(session).await;
        tokio::time::sleep(Duration::from_secs(args.seconds)).await;
        let idle = Idle::new(&machine, &meter.stop(session).await);
        return Ok((idle.text(), output::json(&idle), idle.held()));
    }
    if let Some(kind) = args.attack {
        return attacked(kind, args, session, progress, &up, &observer).await;
    }
    if let Some(blocks) = args.late_node {
        let late = late::Late::measure(args, blocks, session, &up, progress).await?;
        return Ok((late.text(), output::json(&late), late.held()));
    }
    if args.rollup_flood {
        return flooded(args, session, progress, &up, &observer).await;
    }
    loaded(args, session, progress, &up, &observer, machine).await
}

async fn loaded(
    args: &BenchArgs,
    session: &Session,
    progress: &mut Progress,
    up: &Up,
    observer: &Observer,
    machine: Machine,
) -> Result<Printed, BenchError> {
    let rollup = if args.real { ALPHA } else { BULK };
    progress.say(&format!("offering {} transactions a second for {} s", args.rate, args.seconds));
    // What the dead node took and had not yet passed on, nobody was promised; so clients talk to the others.
    let dead = args.dead_node.map(|dead| usize::from(dead.node));
    let others = up.endpoints.iter().zip(1..).filter(|(_, number)| dead != Some(*number));
    let endpoints: Vec<String> = others.map(|(endpoint, _)| endpoint.clone()).collect();
    let offered = Offered {
        name: "client",
        endpoints: &endpoints,
        rollup,
        rate: args.rate,
        seconds: args.seconds,
        tx_bytes: args.tx_bytes,
        everywhere: args.duplicates,
        dead: args.dead_node,
    };
    let (outcome, used) = offered.run(session, Some(progress)).await?;
    let distance = Distance::of(session).await;
    let ledger = ledger_of(&offered, session)?;
    let from_l1 = drained(up, observer, progress, &ledger).await;
    let (l1, inbox) = observer.l1();
    let gas = l1.wasted_gas(inbox, &up.batchers).await?;
    let account = output::account(&ledger, &from_l1);
    let policy = up.spec.rollup(rollup).map(|rollup| rollup.data);
    let load = Load::new(output::Parts {
        machine: &machine,
        args,
        outcome,
        used: &used,
        l1: l1_summary(&from_l1, &observer.batches(), gas),
        account,
        policy,
        distance,
        trouble: trouble(&from_l1, &ledger),
    });
    Ok((load.text(), output::json(&load), load.held()))
}

async fn attacked(
    kind: Attack,
    args: &BenchArgs,
    session: &Session,
    progress: &mut Progress,
    up: &Up,
    observer: &Observer,
) -> Result<Printed, BenchError> {
    let (report, ledger) = attack::measure(kind, args, session, up, progress).await?;
    let from_l1 = drained(up, observer, progress, &ledger).await;
    if let Some(trouble) = trouble(&from_l1, &ledger) {
        progress.say(&format!("TROUBLE: {trouble}"));
    }
    let report = report.judged(output::account(&ledger, &from_l1));
    Ok((report.text(), output::json(&report), report.held()))
}

async fn flooded(
    args: &BenchArgs,
    session: &Session,
    progress: &mut Progress,
    up: &Up,
    observer: &Observer,
) -> Result<Printed, BenchError> {
    let (flood, ledger) = Flood::measure(args, session, up, progress).await?;
    let from_l1 = drained(up, observer, progress, &ledger).await;
    if let Some(trouble) = trouble(&from_l1, &ledger) {
        progress.say(&format!("TROUBLE: {trouble}"));
    }
    let flood = flood.judged(output::account(&ledger, &from_l1));
    Ok((flood.text(), output::json(&flood), flood.held()))
}

/// Waits until L1 has everything that was told, and looks once more.
async fn drained(up: &Up, observer: &Observer, progress: &Progress, ledger: &Ledger) -> FromL1 {
    progress.say("waiting until everything told is on L1");
    let height = judge::last_with_transactions(ledger);
    let deadline = Instant::now() + L1_DRAIN;
    let from_l1 = judge::read(Arc::clone(&up.spec), observer.l1_url(), (height, 0), deadline).await;
    observer.look().await;
    from_l1
}

fn ledger_of(offered: &Offered<'_>, session: &Session) -> Result<Ledger, BenchError> {
    crate::told::read(&offered.ledger(session)).map_err(BenchError::Client)
}

fn trouble(from_l1: &FromL1, ledger: &Ledger) -> Option<String> {
    let height = judge::last_with_transactions(ledger);
    let behind = from_l1.last_height < height;
    let late = || format!("L1 covers heights up to {} of {height}", from_l1.last_height);
    from_l1.error.as_ref().map(ToString::to_string).or_else(|| behind.then(late))
}
