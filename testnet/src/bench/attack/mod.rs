//! `bench --attack`: the same honest load through one node, first in peace, then while that node's doors are attacked.
//!
//! The doors are all five: QUIC for rollups, QUIC for validators (libp2p's and the one for chunks), JSON-RPC with WebSocket, and
//! metrics. Honest traffic is the bench's client on QUIC, which talks to the attacked node alone, and somebody who asks for
//! `seq_status` and `/metrics` on new connections.
//!
//! The attacker is a process of its own of low priority: on a machine with few cores it would otherwise measure that it takes their
//! time. Its CPU time is in the result.

mod frames;
mod handshakes;
mod initials;
mod loris;
mod probe;
mod program;
mod report;

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::BenchError;
use super::clients::Offered;
use crate::cli::BenchArgs;
use crate::genesis::BULK;
use crate::launch::ATTACKER;
use crate::layout::Ports;
use crate::load::Ledger;
use crate::progress::Progress;
use crate::session::Session;
use crate::stages::Up;
use probe::{Look, Probe, Watched};
use program::Deeds;
pub(crate) use program::main_from_args;
pub(super) use report::Report;

/// The node whose doors are attacked.
const VICTIM: u16 = 1;
/// The attack begins so long before what is measured beside it: slow clients need a moment to be many.
const LEAD: Duration = Duration::from_secs(2);
/// How long an attacker may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the node may take to let go of what it held for the attacker: its longest time limit, for WebSockets, and a little more.
const RELEASE: Duration = Duration::from_secs(75);
const POLL: Duration = Duration::from_millis(500);
/// Files that may be open for other reasons than before: segments of the journal, runs of ids.
const OTHER_FILES: usize = 16;

/// What attackers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Attack {
    /// 1,000 QUIC Initials and 100 completed handshakes a second, at each QUIC door
    Initials,
    /// Malformed frames and requests on connections that were properly opened
    Frames,
    /// Clients that send a byte a second and read nothing
    SlowLoris,
    /// All of these at once
    All,
}

/// Measures both phases; the ledger is of what the honest client was told under attack.
pub(super) async fn measure(
    attack: Attack,
    args: &BenchArgs,
    session: &Session,
    up: &Up,
    progress: &Progress,
) -> Result<(Report, Ledger), BenchError> {
    let endpoint = up.endpoints.get(..1).unwrap_or_default();
    let offered = |name| Offered {
        name,
        endpoints: endpoint,
        rollup: BULK,
        rate: args.rate,
        seconds: args.seconds,
        tx_bytes: args.tx_bytes,
        everywhere: false,
        dead: None,
    };
    progress.say(&format!("offering {} transactions a second through node {VICTIM} in peace", args.rate));
    let calm_load = offered("calm");
    let (calm, calm_seen) = phase(&calm_load, session, progress).await?;
    progress.say("the same under attack");
    let mut attacker = start(attack, session)?;
    tokio::time::sleep(LEAD).await;
    let attacked_load = offered("attacked");
    let attacked = phase(&attacked_load, session, progress).await;
    let deeds = end(&mut attacker).await?;
    let (attacked, attacked_seen) = attacked?;
    progress.say("waiting until the node has let go of what it held for the attacker");
    let aftermath = aftermath(session, &calm_seen).await;
    let ledger = super::ledger_of(&attacked_load, session)?;
    let phases = [(calm, calm_seen), (attacked, attacked_seen)];
    Ok((Report::new(attack, args, phases, deeds, &aftermath), ledger))
}

async fn phase(
    load: &Offered<'_>,
    session: &Session,
    progress: &Progress,
) -> Result<(crate::client::Outcome, Watched), BenchError> {
    let probe = Probe::start(session, VICTIM).await;
    let outcome = load.run(session, Some(progress)).await;
    let seen = probe.stop().await;
    Ok((outcome?.0, seen))
}

fn start(attack: Attack, session: &Session) -> Result<Child, BenchError> {
    let kind = clap::ValueEnum::to_possible_value(&attack).expect("no kind is hidden");
    let local = |port: u16| format!("127.0.0.1:{port}");
    let ports: Ports = session.ports;
    let log =
        std::fs::File::create(session.folder.logs().join("attacker.log")).map_err(BenchError::Client)?;
    Command::new("nice")
        .args(["-n", "10"])
        .arg(std::env::current_exe().map_err(BenchError::Client)?)
        .arg(ATTACKER)
        .args(["--kind", kind.get_name()])
        .arg("--spec")
        .arg(session.folder.genesis())
        .args(["--ingress", &local(ports.ingress(VICTIM))])
        .args(["--p2p", &local(ports.p2p(VICTIM))])
        .args(["--chunks", &local(ports.chunks(VICTIM))])
        .args(["--rpc", &local(ports.rpc(VICTIM))])
        .args(["--metrics", &local(ports.metrics(VICTIM))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(BenchError::Client)
}

/// Ends the attack; what it did.
async fn end(attacker: &mut Child) -> Result<Deeds, BenchError> {
    drop(attacker.stdin.take());
    let silent = || BenchError::GaveUp("the attacker did not say what it did; see attacker.log".to_owned());
    let mut output = attacker.stdout.take().ok_or_else(silent)?;
    let mut text = String::new();
    let read = timeout(PATIENCE, output.read_to_string(&mut text)).await;
    read.map_err(|_| silent())?.map_err(BenchError::Client)?;
    let _ = timeout(PATIENCE, attacker.wait()).await;
    serde_json::from_str(&text).map_err(|_| silent())
}

/// What the node still holds after an attack.
struct Aftermath {
    /// Time until its memory was below twice what it had been, and its open files were as many as before.
    released: Option<Duration>,
    /// The last look.
    last: Option<Look>,
}

async fn aftermath(session: &Session, calm: &Watched) -> Aftermath {
    let (began, mut last) = (Instant::now(), None);
    while began.elapsed() < RELEASE {
        last = probe::look(session, VICTIM).await;
        let fits = |now: &Look| now.files <= calm.files + OTHER_FILES && now.rss <= 2 * calm.rss_peak;
        if last.as_ref().is_some_and(fits) {
            return Aftermath { released: Some(began.elapsed()), last };
        }
        tokio::time::sleep(POLL).await;
    }
    Aftermath { released: None, last }
}
