//! The attacker: a process of its own, of low priority, that knows the genesis file and one node's doors.
//!
//! It attacks until its standard input ends, and then says in one line of JSON what it did.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use ordering_types::{ChainSpec, Digest};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::Attack;
use super::handshakes::{Dialler, DiallerError, Ended};
use super::initials::{Flood, InitialsError};
use super::{frames, loris};
use crate::procfs::ProcessId;

/// Initials a second at each QUIC door.
const INITIALS_PER_S: u64 = 1_000;
/// Completed handshakes a second at each QUIC door.
const HANDSHAKES_PER_S: u64 = 100;
/// How often some of both are sent.
const TICK: Duration = Duration::from_millis(10);
const TICKS_PER_S: u64 = 100;
/// Clients that send malformed frames, at each door.
const MALFORMED_CLIENTS: u64 = 4;
/// Slow clients at each QUIC door, and at each TCP door.
const SLOW_QUIC_CLIENTS: u64 = 32;
const SLOW_TCP_CLIENTS: u64 = 96;
/// Connections that are made at once and held a second: beyond that the flood waits.
const MAX_UNDER_WAY: usize = 1_000;

/// Application protocols of the QUIC doors.
const CHUNKS_ALPN: &[u8] = b"mpc-sequencer-chunks/1";
const LIBP2P_ALPN: &[u8] = b"libp2p";

/// The hidden command line; only the bench uses it.
#[derive(Debug, Parser)]
#[command(name = "testnet-attacker")]
struct Args {
    /// What to do.
    #[arg(long)]
    kind: Attack,
    /// Genesis file.
    #[arg(long)]
    spec: PathBuf,
    /// UDP, towards rollups.
    #[arg(long)]
    ingress: SocketAddr,
    /// UDP, towards validators.
    #[arg(long)]
    p2p: SocketAddr,
    /// UDP, chunks of validators.
    #[arg(long)]
    chunks: SocketAddr,
    /// TCP, JSON-RPC.
    #[arg(long)]
    rpc: SocketAddr,
    /// TCP, health and metrics.
    #[arg(long)]
    metrics: SocketAddr,
}

/// What an attacker did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Deeds {
    /// Initials sent, and datagrams that came back.
    pub(super) initials: u64,
    pub(super) initials_answered: u64,
    /// Handshakes.
    pub(super) handshakes_completed: u64,
    pub(super) handshakes_refused: u64,
    /// Malformed things.
    pub(super) malformed: u64,
    /// Slow clients that were connected at the end.
    pub(super) slow_clients: u64,
    /// The attacker's own CPU time.
    pub(super) cpu_s: f64,
}

/// Why there is no attack.
#[derive(Debug, thiserror::Error)]
enum AttackerError {
    #[error("genesis file: {0}")]
    Spec(String),
    #[error(transparent)]
    Initials(#[from] InitialsError),
    #[error(transparent)]
    Dialler(#[from] DiallerError),
    #[error("runtime: {0}")]
    Runtime(std::io::Error),
}

/// Runs it with these arguments, the program's name first.
pub(crate) fn main_from_args(args: Vec<OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    match run(&args) {
        Ok(deeds) => {
            println!("{}", serde_json::to_string(&deeds).unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<Deeds, AttackerError> {
    let text = std::fs::read_to_string(&args.spec).map_err(|e| AttackerError::Spec(e.to_string()))?;
    let spec: ChainSpec = toml::from_str(&text).map_err(|e| AttackerError::Spec(e.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(AttackerError::Runtime)?.block_on(attack(args, spec.hash()))
}

/// The three QUIC doors.
fn quic_doors(args: &Args) -> [(SocketAddr, &'static [u8]); 3] {
    [(args.ingress, rollup::wire::ALPN), (args.chunks, CHUNKS_ALPN), (args.p2p, LIBP2P_ALPN)]
}

/// What the attack has come to so far.
#[derive(Default)]
struct Tally {
    initials: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    malformed: Arc<AtomicU64>,
    slow: Arc<AtomicU64>,
    handshakes: Vec<Arc<Ended>>,
}

async fn attack(args: &Args, chain_spec: Digest) -> Result<Deeds, AttackerError> {
    let (mut tasks, mut tally) = (JoinSet::new(), Tally::default());
    if matches!(args.kind, Attack::Initials | Attack::All) {
        initials(args, &mut tasks, &mut tally)?;
    }
    if matches!(args.kind, Attack::Frames | Attack::All) {
        for (door, alpn) in quic_doors(args) {
            let dialler = Dialler::new(door, alpn)?;
            for number in 0..MALFORMED_CLIENTS {
                tasks.spawn(frames::quic(dialler.clone(), chain_spec, number, Arc::clone(&tally.malformed)));
            }
        }
        for number in 0..MALFORMED_CLIENTS {
            for door in [args.rpc, args.metrics] {
                tasks.spawn(frames::tcp(door, number, Arc::clone(&tally.malformed)));
            }
        }
    }
    if matches!(args.kind, Attack::SlowLoris | Attack::All) {
        for (door, alpn) in quic_doors(args) {
            let dialler = Dialler::new(door, alpn)?;
            for number in 0..SLOW_QUIC_CLIENTS {
                tasks.spawn(loris::quic(dialler.clone(), chain_spec, number, Arc::clone(&tally.slow)));
            }
        }
        for number in 0..SLOW_TCP_CLIENTS {
            for door in [args.rpc, args.metrics] {
                tasks.spawn(loris::tcp(door, number, Arc::clone(&tally.slow)));
            }
        }
    }
    // Whatever comes on it, its end is the end.
    let mut words = [0; 64];
    while tokio::io::stdin().read(&mut words).await.is_ok_and(|count| count > 0) {}
    let deeds = tally.deeds();
    tasks.shutdown().await;
    Ok(deeds)
}

fn initials(args: &Args, tasks: &mut JoinSet<()>, tally: &mut Tally) -> Result<(), AttackerError> {
    for (door, alpn) in quic_doors(args) {
        let mut flood = Flood::new(door, alpn)?;
        let (sent, answered) = (Arc::clone(&tally.initials), Arc::clone(&tally.answered));
        tasks.spawn(async move {
            let mut tick = ticks();
            loop {
                tick.tick().await;
                let before = (flood.sent, flood.answered);
                flood.send(INITIALS_PER_S / TICKS_PER_S);
                sent.fetch_add(flood.sent - before.0, Ordering::Relaxed);
                answered.fetch_add(flood.answered - before.1, Ordering::Relaxed);
            }
        });
        let dialler = Dialler::new(door, alpn)?;
        tally.handshakes.push(Arc::clone(&dialler.ended));
        tasks.spawn(async move {
            let (mut tick, mut visits) = (ticks(), JoinSet::new());
            for number in 0.. {
                tick.tick().await;
                while visits.try_join_next().is_some() {}
                for _ in 0..HANDSHAKES_PER_S / TICKS_PER_S {
                    if visits.len() < MAX_UNDER_WAY {
                        visits.spawn(dialler.clone().come_and_go(number));
                    }
                }
            }
        });
    }
    Ok(())
}

/// Late ticks are made up for: the rate holds.
fn ticks() -> tokio::time::Interval {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    tick
}

impl Tally {
    fn deeds(&self) -> Deeds {
        let sum = |of: fn(&Ended) -> &AtomicU64| {
            self.handshakes.iter().map(|ended| of(ended).load(Ordering::Relaxed)).sum()
        };
        let usage = ProcessId::of(std::process::id()).and_then(ProcessId::usage);
        Deeds {
            initials: self.initials.load(Ordering::Relaxed),
            initials_answered: self.answered.load(Ordering::Relaxed),
            handshakes_completed: sum(|ended| &ended.completed),
            handshakes_refused: sum(|ended| &ended.refused),
            malformed: self.malformed.load(Ordering::Relaxed),
            slow_clients: self.slow.load(Ordering::Relaxed),
            cpu_s: usage.map_or(0.0, |usage| usage.cpu.as_secs_f64()),
        }
    }
}
