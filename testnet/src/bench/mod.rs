//! `testnet bench`: a network of its own on a real disk, a client process, one JSON object.

mod disk;
mod measure;
mod output;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::cli::BenchArgs;
use crate::client::{Outcome, Said, Told};
use crate::exit::Exit;
use crate::genesis::{ALPHA, BULK, MNEMONIC};
use crate::judge::{self, FromL1};
use crate::launch::CLIENT;
use crate::load::{Book, Ledger};
use crate::observe::Observer;
use crate::progress::Progress;
use crate::run::l1_summary;
use crate::session::{Session, SessionError, describe};
use crate::stages::{self, StartError, Up};
use measure::Meter;
use output::{Idle, Load, Machine};

/// Between the first batch and the measurement of an idle network.
const SETTLE: Duration = Duration::from_secs(5);
/// How long the client may take beyond the load itself.
const CLIENT_PATIENCE: Duration = Duration::from_secs(90);
/// How long the last transactions may take to L1.
const L1_DRAIN: Duration = Duration::from_secs(180);

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// Before anything ran.
    #[error(transparent)]
    Session(#[from] SessionError),
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
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// Measures, prints, and deletes its folder.
pub(crate) async fn bench(args: BenchArgs) -> Result<Exit, BenchError> {
    let mut progress = Progress::new(false);
    let stage = progress.stage();
    let data = PathBuf::from(format!("testnet-bench-{}", std::process::id()));
    let opened = Session::open(&data, args.port_base, args.nodes, MNEMONIC, true);
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
    let up = stages::bring_up(session, args.nodes, args.block_time, progress).await?;
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
    let path = session.folder.root().join("told.json");
    let mut client = start_client(args, session, up, rollup.get(), &path).map_err(BenchError::Client)?;
    let patience = Duration::from_secs(args.seconds) + CLIENT_PATIENCE;
    let watched = tokio::time::timeout(patience, watch_client(&mut client, session)).await;
    let (outcome, used) = watched.map_err(|_| BenchError::GaveUp("it does not end".into()))??;
    let ledger = read_ledger(&path).map_err(BenchError::Client)?;
    progress.say("waiting until everything told is on L1");
    let height = judge::last_with_transactions(&ledger);
    let from_l1 =
        judge::read(Arc::clone(&up.spec), observer.l1_url(), height, Instant::now() + L1_DRAIN).await;
    observer.look().await;
    let account = output::account(&ledger, &from_l1);
    let policy = up.spec.rollup(rollup).map(|rollup| rollup.data);
    let load = Load::new(output::Parts {
        machine: &machine,
        args,
        outcome,
        used: &used,
        l1: l1_summary(&from_l1, &observer.batches()),
        account,
        policy,
        trouble: trouble(&from_l1, &ledger),
    });
    Ok((load.text(), output::json(&load), load.held()))
}

fn trouble(from_l1: &FromL1, ledger: &Ledger) -> Option<String> {
    let height = judge::last_with_transactions(ledger);
    let behind = from_l1.last_height < height;
    let late = || format!("L1 covers heights up to {} of {height}", from_l1.last_height);
    from_l1.error.as_ref().map(ToString::to_string).or_else(|| behind.then(late))
}

fn start_client(
    args: &BenchArgs,
    session: &Session,
    up: &Up,
    rollup: u32,
    ledger: &std::path::Path,
) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(CLIENT).arg("--spec").arg(session.folder.genesis()).arg("--ledger").arg(ledger);
    for endpoint in &up.endpoints {
        command.args(["--endpoint", endpoint]);
    }
    let log = std::fs::File::create(session.folder.logs().join("client.log"))?;
    command
        .args(["--rollup", &rollup.to_string()])
        .args(["--rate", &args.rate.to_string()])
        .args(["--seconds", &args.seconds.to_string()])
        .args(["--tx-bytes", &args.tx_bytes.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Measures between the client's `begin` and `end`, and waits for its result.
async fn watch_client(client: &mut Child, session: &Session) -> Result<(Outcome, measure::Used), BenchError> {
    let silent = || BenchError::GaveUp("it ended without a result".to_owned());
    let mut lines = BufReader::new(client.stdout.take().ok_or_else(silent)?).lines();
    let (mut meter, mut used) = (None, measure::Used::default());
    while let Some(line) = lines.next_line().await.map_err(BenchError::Client)? {
        match serde_json::from_str(&line) {
            Ok(Said::Begin) => meter = Some(Meter::start(session).await),
            Ok(Said::End) => {
                if let Some(meter) = meter.take() {
                    used = meter.stop(session).await;
                }
            }
            Ok(Said::Result(outcome)) => return Ok((outcome, used)),
            Ok(Said::Error { why }) => return Err(BenchError::GaveUp(why)),
            Err(_) => {}
        }
    }
    Err(silent())
}

fn read_ledger(path: &std::path::Path) -> std::io::Result<Ledger> {
    let told: Told = serde_json::from_slice(&std::fs::read(path)?)?;
    told.ledger().ok_or_else(|| std::io::Error::other("the client's ledger is damaged"))
}
