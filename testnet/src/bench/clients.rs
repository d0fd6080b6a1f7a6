//! The bench's client processes: started, watched, and what they say.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use ordering_types::RollupId;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::BenchError;
use super::measure::{Meter, Used};
use crate::client::{Outcome, Said};
use crate::launch::CLIENT;
use crate::progress::{Progress, Stage};
use crate::session::Session;

/// How long a client may take beyond the load itself.
const PATIENCE: Duration = Duration::from_secs(90);

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

    /// Runs it, measures between its `begin` and `end`, and gives its result.
    pub(super) async fn run(
        &self,
        session: &Session,
        progress: &Progress,
    ) -> Result<(Outcome, Used), BenchError> {
        let mut client = self.start(session).map_err(BenchError::Client)?;
        let patience = Duration::from_secs(self.seconds) + PATIENCE;
        let watched = tokio::time::timeout(patience, watch(&mut client, session, progress)).await;
        watched.map_err(|_| BenchError::GaveUp("it does not end".into()))?
    }
}

async fn watch(
    client: &mut Child,
    session: &Session,
    progress: &Progress,
) -> Result<(Outcome, Used), BenchError> {
    let silent = || BenchError::GaveUp("it ended without a result".to_owned());
    let mut lines = BufReader::new(client.stdout.take().ok_or_else(silent)?).lines();
    let (mut meter, mut used) = (None, Used::default());
    let mut signing: Option<Stage> = None;
    while let Some(line) = lines.next_line().await.map_err(BenchError::Client)? {
        match serde_json::from_str(&line) {
            Ok(Said::Signing { done, of }) => {
                let stage = signing.get_or_insert_with(|| progress.counted("signing", of));
                stage.reached(done);
            }
            Ok(Said::Begin) => {
                if let Some(stage) = signing.take() {
                    stage.done("transactions are signed");
                }
                meter = Some(Meter::start(session).await);
            }
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
