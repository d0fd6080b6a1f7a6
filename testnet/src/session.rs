//! What owns a running network: the data folder, the processes, the control socket, and the wish to stop.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::control::{self, Call, ControlError, Reply, Request};
use crate::genesis::MNEMONIC;
use crate::layout::{DataFolder, FolderError, PortBaseError, Ports};
use crate::membership::{Membership, MembershipError};
use crate::network::{Farewell, Network, NetworkError};
use crate::observe::Observer;
use crate::preflight::{self, Disk, PreflightError};
use crate::relay::RelaySettings;
use crate::state::{State, StateError};

/// How long the last answers to other terminals may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why a session cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// Another `testnet up` owns the folder.
    #[error(
        "a testnet already runs with the data folder {folder} (process {pid}): stop it with `testnet down`, \
         or choose another folder and other ports with --data and --port-base"
    )]
    Running {
        /// The folder.
        folder: String,
        /// Its supervisor.
        pid: u32,
    },
    /// Processes of a supervisor that is gone still run.
    #[error("{0} of the last testnet in this folder still runs (process {1}): end it first")]
    Left(crate::role::Role, u32),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The state file.
    #[error(transparent)]
    State(#[from] StateError),
    /// The ports.
    #[error(transparent)]
    PortBase(#[from] PortBaseError),
    /// The machine.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The processes.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The control socket.
    #[error("control socket: {0}")]
    Socket(io::Error),
    /// Signals.
    #[error("signals: {0}")]
    Signals(io::Error),
    /// The running network.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// Who wants the network to stop.
pub(crate) enum Stop {
    /// Ctrl-C, SIGTERM, or the terminal is gone.
    Signal(&'static str),
    /// Another terminal, which waits for the answer.
    Down(oneshot::Sender<Reply>),
}

/// Waits for the wish to stop.
pub(crate) struct Stops(mpsc::Receiver<Stop>);

impl Stops {
    /// Resolves when someone wants the network to stop.
    pub(crate) async fn wanted(&mut self) -> Stop {
        match self.0.recv().await {
            Some(stop) => stop,
            None => std::future::pending().await,
        }
    }
}

/// What a session is opened for.
pub(crate) struct Wanted<'a> {
    /// The data folder.
    pub(crate) data: &'a Path,
    /// Base of all ports.
    pub(crate) port_base: u16,
    /// Validators that are known to come.
    pub(crate) nodes: u16,
    /// Whether a folder in memory is refused.
    pub(crate) must_be_disk: bool,
    /// A relay between the nodes.
    pub(crate) relay: Option<RelaySettings>,
}

/// A running session.
pub(crate) struct Session {
    /// Where everything is.
    pub(crate) folder: DataFolder,
    /// Which ports.
    pub(crate) ports: Ports,
    /// The relay between the nodes, if there is one.
    pub(crate) relay: Option<RelaySettings>,
    /// The disk under the folder.
    pub(crate) disk: Disk,
    /// The processes.
    pub(crate) network: Arc<Mutex<Network>>,
    /// The observer, once there is something to observe.
    pub(crate) observer: Arc<OnceLock<Observer>>,
    /// Validators that join and leave.
    pub(crate) membership: Arc<Membership>,
    answering: JoinHandle<()>,
    serving: JoinHandle<()>,
}

/// Refuses a folder that another network uses.
pub(crate) fn free(path: &Path) -> Result<(), SessionError> {
    let Some(folder) = DataFolder::claim(path)? else { return Ok(()) };
    let Ok(Some(state)) = State::read(&folder) else { return Ok(()) };
    if state.running() {
        let folder = folder.root().display().to_string();
        return Err(SessionError::Running { folder, pid: state.supervisor.pid });
    }
    match state.left().next() {
        Some((role, id)) => Err(SessionError::Left(role, id.pid)),
        None => Ok(()),
    }
}

impl Session {
    /// Checks the machine, takes the folder, and listens to other terminals and to signals.
    pub(crate) fn open(wanted: Wanted<'_>) -> Result<(Self, Stops), SessionError> {
        let Wanted { data, port_base, nodes, must_be_disk, relay } = wanted;
        let ports = Ports::new(port_base)?;
        free(data)?;
        let mut used = ports.all(nodes);
        if relay.is_some() {
            used.extend(ports.relay(nodes));
        }
        preflight::ports_free(used)?;
        let folder = DataFolder::create(data)?;
        let disk = preflight::disk_ready(folder.root(), must_be_disk)?;
        let network = Network::new(folder.clone(), ports, nodes, MNEMONIC.to_owned())?;
        let network = Arc::new(Mutex::new(network));
        let listener = control::listen(&folder.socket()).map_err(SessionError::Socket)?;
        let (calls, incoming) = mpsc::channel(1);
        let (stop, stops) = mpsc::channel(1);
        let observer = Arc::new(OnceLock::new());
        let membership = Arc::new(Membership::new(
            Arc::clone(&network),
            Arc::clone(&observer),
            (folder.clone(), ports),
            relay.map(|_| nodes),
        ));
        listen_to_signals(&stop).map_err(SessionError::Signals)?;
        let serving = tokio::spawn(control::serve(listener, calls));
        let answering = tokio::spawn(answer(
            incoming,
            Arc::clone(&membership),
            (Arc::clone(&network), Arc::clone(&observer)),
            stop,
        ));
        Ok((
            Self { folder, ports, relay, disk, network, observer, membership, answering, serving },
            Stops(stops),
        ))
    }

    /// Stops everything, tells who asked for it, and says what is left.
    pub(crate) async fn close(self, asked: Option<Stop>) -> Farewell {
        let farewell = self.network.lock().await.stop().await;
        if let Some(Stop::Down(answer)) = asked {
            let reply = Reply { ok: farewell.left.is_empty(), ..Reply::done(describe(&farewell)) };
            // The terminal may be gone.
            let _ = answer.send(reply);
        }
        self.answering.abort();
        let _ = tokio::time::timeout(LAST_WORDS, self.serving).await;
        let _ = std::fs::remove_file(self.folder.socket());
        farewell
    }
}

/// What stopping came to, in words.
pub(crate) fn describe(farewell: &Farewell) -> String {
    let mut text = format!("stopped {} processes", farewell.stopped);
    if !farewell.killed.is_empty() {
        let names: Vec<String> = farewell.killed.iter().map(ToString::to_string).collect();
        text.push_str(&format!(" ({} did not stop when asked and had to be killed)", names.join(", ")));
    }
    if farewell.left.is_empty() {
        text.push_str("; none is left");
    } else {
        let left: Vec<String> =
            farewell.left.iter().map(|(role, id)| format!("{role} (process {})", id.pid)).collect();
        text.push_str(&format!("; STILL RUNNING: {}", left.join(", ")));
    }
    text
}

fn listen_to_signals(stop: &mpsc::Sender<Stop>) -> io::Result<()> {
    let kinds = [
        (SignalKind::interrupt(), "Ctrl-C"),
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::hangup(), "the terminal closed"),
    ];
    for (kind, name) in kinds {
        let mut stream: Signal = signal(kind)?;
        let stop = stop.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                // A second Ctrl-C while stopping changes nothing: stopping is bounded.
                let _ = stop.try_send(Stop::Signal(name));
            }
        });
    }
    Ok(())
}

/// Answers other terminals until the session closes.
async fn answer(
    mut calls: mpsc::Receiver<Call>,
    membership: Arc<Membership>,
    (network, observer): (Arc<Mutex<Network>>, Arc<OnceLock<Observer>>),
    stop: mpsc::Sender<Stop>,
) {
    while let Some(Call { request, answer }) = calls.recv().await {
        let reply = match request {
            Request::Down => {
                let _ = stop.send(Stop::Down(answer)).await;
                continue;
            }
            Request::Status => status(&observer).await,
            // That takes some L1 blocks: others are answered meanwhile.
            request @ (Request::Join | Request::Leave { .. }) => {
                let membership = Arc::clone(&membership);
                tokio::spawn(async move {
                    // The terminal may be gone.
                    let _ = answer.send(come_or_go(&membership, request).await);
                });
                continue;
            }
            request @ (Request::Link { .. } | Request::Links) => to_relay(&network, &request).await,
            Request::Kill { who } => match network.lock().await.kill(who).await {
                Ok(id) => Reply::done(format!("killed {who} (process {})", id.pid)),
                Err(error) => Reply::refused(error.to_string()),
            },
            Request::Restart { who } => match network.lock().await.restart(who).await {
                Ok(id) => Reply::done(format!("started {who} (process {})", id.pid)),
                Err(error) => Reply::refused(error.to_string()),
            },
        };
        // The terminal may be gone.
        let _ = answer.send(reply);
    }
}

async fn come_or_go(membership: &Membership, request: Request) -> Reply {
    let done: Result<String, MembershipError> = match request {
        Request::Leave { node } => membership.leave(node).await,
        _ => membership.join().await.map(|number| {
            format!("node {number} has joined and runs; it may be in the committee of a later epoch")
        }),
    };
    match done {
        Ok(text) => Reply::done(text),
        Err(error) => Reply::refused(error.to_string()),
    }
}

/// The relay speaks the same language on a socket of its own.
async fn to_relay(network: &Mutex<Network>, request: &Request) -> Reply {
    let socket = network.lock().await.folder().relay_socket();
    match control::ask(&socket, request).await {
        Ok(reply) => reply,
        Err(ControlError::NotRunning(_)) => Reply::refused(
            "no relay runs in this network: start the network with --link-delay (0ms is enough to cut links)",
        ),
        Err(error) => Reply::refused(format!("relay: {error}")),
    }
}

async fn status(observer: &OnceLock<Observer>) -> Reply {
    match observer.get() {
        Some(observer) => {
            let snapshot = Box::new(observer.look().await);
            Reply { snapshot: Some(snapshot), ..Reply::done("running") }
        }
        None => Reply::done("the network is coming up"),
    }
}
