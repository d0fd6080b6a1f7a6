//! How another terminal speaks to a running `testnet up`: a Unix socket in the data folder, one JSON line each way.
//!
//! The processes belong to the supervisor (it holds their standard input), so it does the killing and starting; the
//! other terminal only asks. The socket has mode 0600 in a folder of mode 0700.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::membership::JOIN_PATIENCE;
use crate::observe::Snapshot;
use crate::relay::{LinkCommand, RelayStats};
use crate::role::Role;

/// Longest request line, in bytes.
const MAX_REQUEST: u64 = 4 << 10;
/// Longest reply line, in bytes.
const MAX_REPLY: u64 = 4 << 20;
/// Terminals served at once.
const MAX_CONNECTIONS: usize = 8;
/// A terminal that sends nothing for so long is hung up on.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest that a stop of everything takes, with every process killed in the end.
const REPLY_PATIENCE: Duration = Duration::from_secs(90);
/// `sun_path` holds 108 bytes with its final zero.
const MAX_SOCKET_PATH: usize = 100;

/// What another terminal asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// What is going on.
    Status,
    /// Stop everything and end.
    Down,
    /// SIGKILL one process.
    Kill {
        /// Which.
        who: Role,
    },
    /// Start one process again.
    Restart {
        /// Which.
        who: Role,
    },
    /// One more validator.
    Join,
    /// A validator goes; its node stays.
    Leave {
        /// Which.
        node: u16,
    },
    /// Change links of the relay.
    Link {
        /// What, and which.
        command: LinkCommand,
    },
    /// What the relay counted.
    Links,
}

impl Request {
    /// How long the answer may take.
    const fn patience(&self) -> Duration {
        match self {
            Self::Join | Self::Leave { .. } => JOIN_PATIENCE,
            _ => REPLY_PATIENCE,
        }
    }
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// Whether it was done.
    pub ok: bool,
    /// What was done, or why not.
    pub message: String,
    /// For [`Request::Status`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Box<Snapshot>>,
    /// For [`Request::Links`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Box<RelayStats>>,
}

impl Reply {
    /// Done.
    pub fn done(message: impl Into<String>) -> Self {
        Self { ok: true, message: message.into(), snapshot: None, relay: None }
    }

    /// Not done.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { ok: false, message: message.into(), snapshot: None, relay: None }
    }
}

/// A request on its way to the supervisor, and where its answer goes.
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// For the answer.
    pub answer: oneshot::Sender<Reply>,
}

/// Why the running network cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("no testnet runs with the data folder {0} (nobody answers on its control socket)")]
    NotRunning(PathBuf),
    /// The conversation broke off.
    #[error("the running testnet does not answer: {0}")]
    Io(#[from] io::Error),
    /// Something else answers.
    #[error("the running testnet answers something else: {0}; is it of another version?")]
    Reply(#[from] serde_json::Error),
}

/// A path to the socket that fits `sun_path` however deep the folder is, and what keeps it valid.
struct ShortPath {
    path: PathBuf,
    _folder: Option<std::fs::File>,
}

fn short(socket: &Path) -> io::Result<ShortPath> {
    if socket.as_os_str().len() <= MAX_SOCKET_PATH {
        return Ok(ShortPath { path: socket.to_owned(), _folder: None });
    }
    let (Some(parent), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = std::fs::File::open(parent)?;
    let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok(ShortPath { path, _folder: Some(folder) })
}

/// Opens the socket. One that a dead supervisor left behind is replaced: the folder is ours by now.
pub fn listen(socket: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&short(socket)?.path)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the socket until the other end of `calls` is gone and whoever was being answered has the answer: the last one is told how the
/// network ended, and lost that when the process was quicker.
pub async fn serve(listener: UnixListener, calls: mpsc::Sender<Call>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    accept(listener, calls, &slots).await;
    // All of them are free when nobody is answered any more.
    let _ = slots.acquire_many(MAX_CONNECTIONS as u32).await;
}

async fn accept(listener: UnixListener, calls: mpsc::Sender<Call>, slots: &Arc<Semaphore>) {
    while !calls.is_closed() {
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else { return };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of file descriptors, say: later is better than never.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = calls.closed() => return,
        };
        let calls = calls.clone();
        tokio::spawn(async move {
            // A terminal that hangs up does not concern us.
            let _ = converse(stream, calls).await;
            drop(slot);
        });
    }
}

async fn converse(stream: UnixStream, calls: mpsc::Sender<Call>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    timeout(PATIENCE, BufReader::new(reader.take(MAX_REQUEST)).read_line(&mut line)).await??;
    let reply = match serde_json::from_str(&line) {
        Ok(request) => {
            let (answer, reply) = oneshot::channel();
            let sent = calls.send(Call { request, answer }).await;
            let ending = || Reply::refused("the network is stopping");
            if sent.is_err() { ending() } else { reply.await.unwrap_or_else(|_| ending()) }
        }
        Err(error) => Reply::refused(format!("not a request: {error}")),
    };
    let mut bytes = serde_json::to_vec(&reply)?;
    bytes.push(b'\n');
    writer.write_all(&bytes).await?;
    writer.shutdown().await
}

/// Asks who listens on a socket: the network that runs in a folder, or its relay.
pub async fn ask(socket: &Path, request: &Request) -> Result<Reply, ControlError> {
    let folder = socket.parent().unwrap_or(socket);
    let path = match short(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ControlError::NotRunning(folder.to_owned()));
        }
        path => path?,
    };
    let connected = UnixStream::connect(&path.path).await;
    let stream = connected.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ControlError::NotRunning(folder.to_owned())
        }
        _ => ControlError::Io(error),
    })?;
    let (reader, mut writer) = stream.into_split();
    let mut bytes = serde_json::to_vec(request)?;
    bytes.push(b'\n');
    writer.write_all(&bytes).await?;
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_REPLY));
    let read = timeout(request.patience(), reader.read_line(&mut line)).await;
    read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(serde_json::from_str(&line)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::layout::DataFolder;

    async fn serving(path: &Path) -> (DataFolder, mpsc::Receiver<Call>) {
        let folder = DataFolder::create(path).unwrap();
        let (calls, incoming) = mpsc::channel(1);
        tokio::spawn(serve(listen(&folder.socket()).unwrap(), calls));
        (folder, incoming)
    }

    #[tokio::test]
    async fn a_request_reaches_the_supervisor_and_its_answer_comes_back() {
        let temporary = tempfile::tempdir().unwrap();
        let (folder, mut incoming) = serving(&temporary.path().join("data")).await;
        let mode = folder.socket().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let asking = async { ask(&folder.socket(), &Request::Kill { who: Role::Node(2) }).await.unwrap() };
        let answering = async {
            let call = incoming.recv().await.unwrap();
            assert_eq!(call.request, Request::Kill { who: Role::Node(2) });
            call.answer.send(Reply::done("killed")).ok().unwrap();
        };
        let (reply, ()) = tokio::join!(asking, answering);
        assert!(reply.ok && reply.message == "killed");
    }

    #[tokio::test]
    async fn garbage_gets_an_answer_and_the_socket_stays() {
        let temporary = tempfile::tempdir().unwrap();
        let (folder, mut incoming) = serving(&temporary.path().join("data")).await;
        for garbage in [&b"{\"do\":\"dance\"}\n"[..], b"\xff\xfe\n", &[b'x'; 10_000]] {
            let mut stream = UnixStream::connect(folder.socket()).await.unwrap();
            // The server may have heard enough before everything is written.
            let _ = stream.write_all(garbage).await;
            let mut reply = Vec::new();
            let _ = stream.read_to_end(&mut reply).await;
        }
        let socket = folder.socket();
        let (reply, ()) = tokio::join!(ask(&socket, &Request::Status), async {
            incoming.recv().await.unwrap().answer.send(Reply::done("fine")).ok().unwrap();
        });
        assert_eq!(reply.unwrap().message, "fine");
    }

    #[tokio::test]
    async fn a_deep_folder_has_a_socket_too_and_a_silent_one_is_named() {
        let temporary = tempfile::tempdir().unwrap();
        let deep = temporary.path().join("d".repeat(120));
        let folder = DataFolder::create(&deep).unwrap();
        let socket = folder.socket();
        assert!(matches!(ask(&socket, &Request::Status).await, Err(ControlError::NotRunning(_))));
        let (folder, mut incoming) = serving(&deep).await;
        assert_eq!(socket, folder.socket());
        let (reply, ()) = tokio::join!(ask(&socket, &Request::Down), async {
            incoming.recv().await.unwrap().answer.send(Reply::done("bye")).ok().unwrap();
        });
        assert_eq!(reply.unwrap().message, "bye");
    }
}
