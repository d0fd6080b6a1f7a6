//! The bench's client: a process of its own that knows the genesis file and the nodes' public addresses, nothing else.
//!
//! It speaks JSON lines on standard output: `signing` while it makes transactions, `begin` when the load starts, `end` when it is
//! over, and `result` when everything is drained. Latency is open loop: from the moment a transaction was due.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use ordering_types::chain_spec::RollupKind;
use ordering_types::{ChainSpec, RollupId};
use rollup::client::{ConnectError, Nodes, RequestError};
use rollup::verify::Network;
use serde::{Deserialize, Serialize};

use crate::genesis::many_senders;
use crate::load::{self, Book, Counts, Load, Outage, Percentiles, Source, Transfers};
use crate::observe::locked;
use crate::procfs::{ProcessId, Usage};
use crate::told;

/// A transaction without an answer for so long goes to another node. Long: an overloaded network is not helped by
/// sending everything twice.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long catching up with the order may take before the load starts.
const CATCH_UP: Duration = Duration::from_secs(30);
/// Accounts that send signed transactions.
const SENDERS: u32 = 1_000;
/// Most transactions that are signed beforehand.
pub(crate) const MAX_SIGNED: u64 = 2_000_000;
/// How long answers may take once the load is over.
const DRAIN: Duration = Duration::from_secs(20);

/// The hidden command line; only the bench uses it.
#[derive(Debug, Parser)]
#[command(name = "testnet-client")]
struct Args {
    /// Genesis file.
    #[arg(long)]
    spec: PathBuf,
    /// Ingress of a node.
    #[arg(long)]
    endpoint: Vec<String>,
    /// For which rollup.
    #[arg(long)]
    rollup: u32,
    /// Per second.
    #[arg(long)]
    rate: u32,
    /// How long.
    #[arg(long)]
    seconds: u64,
    /// Size of opaque transactions.
    #[arg(long)]
    tx_bytes: usize,
    /// Every transaction goes to every node at once.
    #[arg(long)]
    everywhere: bool,
    /// A node will die, which a line on standard input tells: measure what that costs.
    #[arg(long)]
    outage: bool,
    /// Everything told goes there.
    #[arg(long)]
    ledger: Option<PathBuf>,
}

/// When the bench killed a node.
static DIED: OnceLock<Instant> = OnceLock::new();

/// What the client says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Said {
    /// Transactions are signed before the load starts.
    Signing {
        /// So many are.
        done: u64,
        /// So many will be.
        of: u64,
    },
    /// The load starts.
    Begin,
    /// The load is over.
    End,
    /// Everything is drained, or the patience is over.
    Result(Box<Outcome>),
    /// It cannot be done.
    Error {
        /// Why.
        why: String,
    },
}

/// What the client saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// How many of what.
    pub(crate) counts: Counts,
    /// Never told ordered, though not refused.
    pub(crate) unanswered: u64,
    /// From schedule to ordered.
    pub(crate) ordered_ms: Percentiles,
    /// From schedule to soft confirmation.
    pub(crate) certified_ms: Percentiles,
    /// From the first receipt to the last, seconds.
    pub(crate) ordered_span_s: f64,
    /// Blocks ordered while the load ran.
    pub(crate) blocks: u64,
    /// CPU time of the client itself while the load ran, seconds.
    pub(crate) client_cpu_s: f64,
    /// Most resident memory of the client, bytes.
    pub(crate) client_rss_peak: u64,
    /// What the death of a node cost, if one died.
    pub(crate) outage: Option<Outage>,
}

#[derive(Debug, thiserror::Error)]
enum ClientError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("genesis file: {0}")]
    Spec(#[from] toml::de::Error),
    #[error("genesis file: {0}")]
    BadSpec(#[from] ordering_types::chain_spec::ChainSpecError),
    #[error("rollup {0} is not in the genesis file")]
    NoRollup(u32),
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("no node answers: {0}")]
    Silent(RequestError),
    #[error("the order could not be caught up with: at height {0} of {1}")]
    Behind(u64, u64),
}

fn say(said: &Said) {
    println!("{}", serde_json::to_string(said).unwrap_or_default());
}

/// The client's `main`.
pub(crate) fn main_from_args(args: Vec<OsString>) -> ExitCode {
    let args = Args::parse_from(args);
    std::thread::spawn(|| {
        // The bench holds the other end: when it goes, we go. A word from it means that it kills a node now.
        let mut word = [0; 64];
        while std::io::stdin().read(&mut word).is_ok_and(|length| length > 0) {
            DIED.get_or_init(Instant::now);
        }
        std::process::exit(1);
    });
    let result =
        tokio::runtime::Runtime::new().map_err(ClientError::from).and_then(|rt| rt.block_on(run(&args)));
    match result {
        Ok(outcome) => {
            say(&Said::Result(Box::new(outcome)));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&Said::Error { why: error.to_string() });
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<Outcome, ClientError> {
    let spec: ChainSpec = toml::from_str(&std::fs::read_to_string(&args.spec)?)?;
    spec.validate()?;
    let network = Network::new(Arc::new(spec));
    let id = RollupId::new(args.rollup);
    let rollup = network.spec().rollup(id).ok_or(ClientError::NoRollup(args.rollup))?.clone();
    let source = match rollup.kind {
        RollupKind::Evm => Source::ready(id, signed(rollup.chain_id, args)),
        RollupKind::Opaque => Source::opaque(id, args.tx_bytes, u64::from(std::process::id())),
    };
    let book = Arc::new(Mutex::new(Book::new(true)));
    if args.outage {
        locked(&book).keep_samples();
    }
    let plan = load::Plan {
        network: network.clone(),
        endpoints: args.endpoint.clone(),
        followers: 1,
        streams: vec![(source, f64::from(args.rate))],
        patience: PATIENCE,
        everywhere: args.everywhere,
    };
    let load = Load::new(plan, Arc::clone(&book))?;
    catch_up(&Nodes::new(network, &args.endpoint)?, &book).await?;
    say(&Said::Begin);
    let (began, first) = (own_usage(), locked(&book).height());
    load.begin();
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    load.end();
    let over = Instant::now();
    let (ended, last) = (own_usage(), locked(&book).height());
    say(&Said::End);
    load.drained(Instant::now() + DRAIN).await;
    let outcome = Outcome {
        blocks: last.saturating_sub(first),
        client_cpu_s: ended.cpu.saturating_sub(began.cpu).as_secs_f64(),
        client_rss_peak: own_usage().rss_peak,
        outage: DIED.get().map(|died| outage(&locked(&book), *died, over)),
        ..outcome(&locked(&book))
    };
    if let Some(path) = &args.ledger {
        told::write(path, &locked(&book).take_ledger())?;
    }
    load.stop().await;
    Ok(outcome)
}

/// Everything that the load will offer: signing costs more than sending, and must not be part of what is measured.
fn signed(chain_id: u64, args: &Args) -> Vec<Bytes> {
    let wanted = u64::from(args.rate).saturating_mul(args.seconds).min(MAX_SIGNED);
    let transfers = Transfers::new(chain_id, &many_senders(SENDERS));
    let said = |done| say(&Said::Signing { done: done as u64, of: wanted });
    transfers.first(usize::try_from(wanted).unwrap_or(usize::MAX), said)
}

fn own_usage() -> Usage {
    ProcessId::of(std::process::id()).and_then(ProcessId::usage).unwrap_or_default()
}

async fn catch_up(nodes: &Nodes, book: &Mutex<Book>) -> Result<(), ClientError> {
    let statuses = nodes.status().await;
    let newest = statuses.iter().flatten().map(|status| status.height.get()).max();
    let Some(newest) = newest else {
        let silent = statuses.into_iter().find_map(Result::err).unwrap_or(RequestError::NoEndpoints);
        return Err(ClientError::Silent(silent));
    };
    let deadline = Instant::now() + CATCH_UP;
    loop {
        let height = locked(book).height();
        if height >= newest {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(ClientError::Behind(height, newest));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn outage(book: &Book, died: Instant, over: Instant) -> Outage {
    Outage::of(book.samples(), book.receipts().iter().map(|(at, _)| *at), died, over)
}

fn outcome(book: &Book) -> Outcome {
    let receipts = book.receipts();
    let span =
        receipts.first().zip(receipts.last()).map(|((first, _), (last, _))| last.duration_since(*first));
    Outcome {
        counts: book.counts(),
        unanswered: book.pending() as u64,
        ordered_ms: book.ordered_ms(),
        certified_ms: book.certified_ms(),
        ordered_span_s: span.unwrap_or_default().as_secs_f64(),
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_the_client_says_reads_back() {
        let text = serde_json::to_string(&Said::Result(Box::default())).unwrap();
        assert!(text.contains("\"event\":\"result\""), "{text}");
        assert!(matches!(serde_json::from_str(&text).unwrap(), Said::Result(_)));
    }
}
