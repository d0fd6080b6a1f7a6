//! The bench's client processes: started, watched, and what they say.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use ordering_types::RollupId;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::BenchError;
use super::measure::{Meter, Used};
use crate::cli::DeadNode;
use crate::client::{Outcome, Said};
use crate::launch::CLIENT;
use crate::progress::{Progress, Stage};
use crate::role::Role;
use crate::session::Session;

/// How long a client may take beyond the load itself.
const PATIENCE: Duration = Duration::from_secs(90);
/// The nodes' memory is looked at this often.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// What one client offers.
pub(super) struct Offered<'a> {
    /// A name for its files.
    pub(super) name: &'a str,
    /// Every node's ingress.
    pub(super) endpoints: &'a [String],
    /// For which rollup.
    pub(super) rollup: RollupId,
    /// Per second.
    pub(super) rate: u32,
    /// How long.
    pub(super) seconds: u64,
    /// Size of opaque transactions.
    pub(super) tx_bytes: u32,
    /// To every node at once.
    pub(super) everywhere: bool,
    /// The node that dies meanwhile.
    pub(super) dead: Option<DeadNode>,
}

impl Offered<'_> {
    /// Where everything that it was told is.
    pub(super) fn ledger(&self, session: &Session) -> PathBuf {
        session.folder.root().join(format!("{}.told", self.name))
    }

    fn start(&self, session: &Session) -> std::io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(CLIENT).arg("--spec").arg(session.folder.genesis());
        command.arg("--ledger").arg(self.ledger(session));
        for endpoint in self.endpoints {
            command.args(["--endpoint", endpoint]);
        }
        if self.everywhere {
            command.arg("--everywhere");
        }
        if self.dead.is_some() {
            command.arg("--outage");
        }
        let log = std::fs::File::create(session.folder.logs().join(format!("{}.log", self.name)))?;
        command
            .args(["--rollup", &self.rollup.get().to_string()])
            .args(["--rate", &self.rate.to_string()])
            .args(["--seconds", &self.seconds.to_string()])
            .args(["--tx-bytes", &self.tx_bytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// Runs it, measures between its `begin` and `end`, and gives its result. Of several at once, one shows how far it is.
    pub(super) async fn run(
        &self,
        session: &Session,
        progress: Option<&Progress>,
    ) -> Result<(Outcome, Used), BenchError> {
        let mut client = self.start(session).map_err(BenchError::Client)?;
        let patience = Duration::from_secs(self.seconds) + PATIENCE;
        let watched = tokio::time::timeout(patience, self.watch(&mut client, session, progress)).await;
        watched.map_err(|_| BenchError::GaveUp("it does not end".into()))?
    }

    async fn watch(
        &self,
        client: &mut Child,
        session: &Session,
        progress: Option<&Progress>,
    ) -> Result<(Outcome, Used), BenchError> {
        let silent = || BenchError::GaveUp("it ended without a result".to_owned());
        let mut lines = BufReader::new(client.stdout.take().ok_or_else(silent)?).lines();
        let (mut meter, mut used) = (None::<Meter>, Used::default());
        let mut samples = tokio::time::interval(SAMPLE_INTERVAL);
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        let mut shown = Shown { progress, signing: None, load: None };
        let mut death = None;
        loop {
            let line = tokio::select! {
                line = lines.next_line() => line.map_err(BenchError::Client)?.ok_or_else(silent)?,
                node = due(death) => {
                    death = None;
                    kill(session, node, client).await?;
                    continue;
                }
                _ = samples.tick() => {
                    if let Some(meter) = &mut meter {
                        meter.sample(session).await;
                    }
                    continue;
                }
                _ = seconds.tick() => {
                    shown.second_passed();
                    continue;
                }
            };
            match serde_json::from_str(&line) {
                Ok(Said::Signing { done, of }) => shown.signing(done, of),
                Ok(Said::Begin) => {
                    shown.load_begins(self.seconds);
                    meter = Some(Meter::start(session).await);
                    death = self.dead.map(|dead| (dead.node, Instant::now() + dead.after));
                }
                Ok(Said::End) => {
                    shown.load_ends();
                    if let Some(meter) = meter.take() {
                        used = meter.stop(session).await;
                    }
                }
                Ok(Said::Result(outcome)) => return Ok((*outcome, used)),
                Ok(Said::Error { why }) => return Err(BenchError::GaveUp(why)),
                Err(_) => {}
            }
        }
    }
}

/// What a person sees of a client meanwhile.
struct Shown<'a> {
    progress: Option<&'a Progress>,
    signing: Option<Stage>,
    load: Option<(Stage, Instant)>,
}

impl Shown<'_> {
    fn signing(&mut self, done: u64, of: u64) {
        if self.signing.is_none() {
            self.signing = self.progress.map(|progress| progress.counted("signing", of));
        }
        if let Some(stage) = &self.signing {
            stage.reached(done);
        }
    }

    fn load_begins(&mut self, seconds: u64) {
        if let Some(stage) = self.signing.take() {
            stage.done("transactions are signed");
        }
        self.load =
            self.progress.map(|progress| (progress.counted("seconds of load", seconds), Instant::now()));
    }

    fn second_passed(&self) {
        if let Some((stage, began)) = &self.load {
            stage.reached(began.elapsed().as_secs());
        }
    }

    fn load_ends(&mut self) {
        if let Some((stage, _)) = self.load.take() {
            stage.done("everything is offered");
        }
    }
}

/// Completes when the node has to die.
async fn due(death: Option<(u16, Instant)>) -> u16 {
    match death {
        Some((node, at)) => {
            tokio::time::sleep_until(at).await;
            node
        }
        None => std::future::pending().await,
    }
}

/// Kills a node and tells the client, which measures from there.
async fn kill(session: &Session, node: u16, client: &mut Child) -> Result<(), BenchError> {
    if let Some(input) = &mut client.stdin {
        input.write_all(b"died\n").await.map_err(BenchError::Client)?;
        input.flush().await.map_err(BenchError::Client)?;
    }
    session.network.lock().await.kill(Role::Node(node)).await?;
    Ok(())
}
