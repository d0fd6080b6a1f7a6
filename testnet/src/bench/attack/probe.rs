//! What the attacked node looks like from outside: memory, open files, and how fast it answers somebody who asks now and then.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::network::Condition;
use crate::node_api::NodeApi;
use crate::procfs::ProcessId;
use crate::role::Role;
use crate::session::Session;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);
/// Microseconds that a histogram holds.
const LONGEST: u64 = 60_000_000;

/// One look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) rss: u64,
    pub(super) files: usize,
    pub(super) cpu: Duration,
}

/// What was seen during a phase.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watched {
    /// Most resident bytes at any look.
    pub(super) rss_peak: u64,
    /// Most open files.
    pub(super) files: usize,
    /// CPU time of the node.
    pub(super) cpu: Duration,
    /// Median of `seq_status`, milliseconds, each on a connection of its own.
    pub(super) rpc_p50_ms: f64,
    /// Median of `/metrics`.
    pub(super) metrics_p50_ms: f64,
    /// Questions without an answer.
    pub(super) unanswered: u64,
}

async fn process(session: &Session, node: u16) -> Option<ProcessId> {
    match session.network.lock().await.conditions().get(&Role::Node(node)) {
        Some(Condition::Running(id)) => Some(*id),
        _ => None,
    }
}

/// `None` if the node does not run.
pub(super) async fn look(session: &Session, node: u16) -> Option<Look> {
    look_at(process(session, node).await?)
}

fn look_at(id: ProcessId) -> Option<Look> {
    let usage = id.usage()?;
    let files = std::fs::read_dir(format!("/proc/{}/fd", id.pid)).ok()?.count();
    Some(Look { rss: usage.rss, files, cpu: usage.cpu })
}

/// Watches a node until it is told to stop.
pub(super) struct Probe {
    stop: watch::Sender<bool>,
    task: JoinHandle<Watched>,
}

impl Probe {
    pub(super) async fn start(session: &Session, node: u16) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (ports, id) = (session.ports, process(session, node).await);
        let task = tokio::spawn(async move { watch_node(id, || NodeApi::new(ports, node), stopped).await });
        Self { stop, task }
    }

    pub(super) async fn stop(self) -> Watched {
        self.stop.send_replace(true);
        self.task.await.unwrap_or_default()
    }
}

async fn watch_node(
    id: Option<ProcessId>,
    newcomer: impl Fn() -> NodeApi,
    stopped: watch::Receiver<bool>,
) -> Watched {
    let mut seen = Watched::default();
    let began = id.and_then(look_at);
    let histogram = || Histogram::<u64>::new_with_max(LONGEST, 3).expect("three digits up to a minute");
    let (mut rpc, mut metrics) = (histogram(), histogram());
    while !*stopped.borrow() {
        // Who is connected already is not who a full door keeps out.
        let api = newcomer();
        let (question, scrape) = tokio::join!(timed(api.call("seq_status", json!([]))), timed(api.metrics()));
        for (histogram, answer) in [(&mut rpc, question), (&mut metrics, scrape)] {
            match answer {
                Some(micros) => histogram.saturating_record(micros),
                None => seen.unanswered += 1,
            }
        }
        if let Some(now) = id.and_then(look_at) {
            seen.rss_peak = seen.rss_peak.max(now.rss);
            seen.files = seen.files.max(now.files);
            seen.cpu = began.map_or(Duration::ZERO, |began| now.cpu.saturating_sub(began.cpu));
        }
        tokio::time::sleep(PAUSE).await;
    }
    let median = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.5) as f64 / 1_000.0;
    Watched { rpc_p50_ms: median(&rpc), metrics_p50_ms: median(&metrics), ..seen }
}

/// Microseconds until there is an answer.
async fn timed<T>(question: impl Future<Output = Option<T>>) -> Option<u64> {
    let asked = Instant::now();
    question.await.map(|_| u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX))
}
