//! Real processes and how to talk to them. Every wait has a condition and a deadline.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(50);
/// A command that should end by itself is killed after so long.
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);
/// An answer over TCP comes within this time, even from a debug build on a busy machine.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// Bases of ports: below those that the system hands out by itself, so far apart that two networks never meet.
const PORT_BASES: std::ops::Range<u16> = 20_000..32_000;
const PORT_BASE_STEP: u16 = 600;

/// One program of the project: `node`, `batcher`, `dev-l1` or `testnet`.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_suite"));
    command.arg(name).env("NO_COLOR", "1");
    command
}

/// A folder on the build's own disk, not in memory.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Looks until there is something; panics with `what` when it takes too long.
pub(crate) fn until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

/// A started process; killed when dropped. What it prints is in a file.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it with a pipe as standard input.
    pub(crate) fn start(mut command: Command, log: PathBuf) -> Self {
        let file = fs::File::create(&log).unwrap();
        command.stdin(Stdio::piped()).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it printed.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for text in its output; panics when it ends before.
    pub(crate) fn says(&mut self, text: &str) -> String {
        until(&format!("{text:?} in {}", self.log.display()), COMMAND_PATIENCE, || {
            let ended = self.ended();
            let said = self.said();
            assert!(ended.is_none() || said.contains(text), "ended with {ended:?}: {said}");
            said.contains(text).then_some(said)
        })
    }

    /// Waits for its first line of JSON.
    pub(crate) fn ready(&mut self) -> Value {
        let said = self.says("\"ready\":true");
        let line = said.lines().find(|line| line.contains("\"ready\":true")).unwrap();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// Waits for its end; gives what it said and, as the last line, `exit N`.
    pub(crate) fn transcript(mut self, patience: Duration) -> String {
        let status = until(&format!("the end of {}", self.log.display()), patience, || self.ended());
        let code = status.code().map_or_else(|| status.to_string(), |code| code.to_string());
        format!("{}\nexit {code}", self.said())
    }

    /// As its parent would stop it: by closing its standard input.
    pub(crate) fn stop(mut self) -> String {
        drop(self.child.stdin.take());
        self.transcript(COMMAND_PATIENCE)
    }

    /// As if the power failed.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end; gives what it said and `exit N`.
pub(crate) fn run(mut command: Command, scratch: &Path) -> String {
    let (file, log) = tempfile::NamedTempFile::new_in(scratch).unwrap().into_parts();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let child = command.spawn().unwrap();
    Running { child, log: log.to_path_buf() }.transcript(COMMAND_PATIENCE)
}

/// The answer to an HTTP request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn ok(&self) -> bool {
        self.head.starts_with("HTTP/1.1 200")
    }
}

pub(crate) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A TCP connection that never waits for ever.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_PATIENCE)?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    stream.set_write_timeout(Some(ANSWER_PATIENCE))?;
    Ok(stream)
}

/// Sends bytes and reads until the other side closes. What was read before an error counts.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> io::Result<String> {
    let mut stream = connect(address)?;
    // The other side may have heard enough and closed.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if answer.is_empty() => Err(error),
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

fn http(address: SocketAddr, request: &str) -> io::Result<Answer> {
    let text = exchange(address, request.as_bytes())?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Ok(Answer { head: head.to_owned(), body: body.to_owned() })
}

pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    http(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
}

pub(crate) fn post(address: SocketAddr, path: &str, body: &str) -> io::Result<Answer> {
    let length = body.len();
    http(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        ),
    )
}

/// One JSON-RPC call; the whole answer.
pub(crate) fn call(address: SocketAddr, path: &str, method: &str, params: &Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let answer = post(address, path, &body).unwrap();
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{method}: {answer:?}: {error}"))
}

/// A network of real processes under `testnet`.
pub(crate) struct Network {
    pub(crate) base: u16,
    data: TempDir,
    supervisor: Running,
}

impl Network {
    /// Starts `testnet` with these arguments on ports that nobody has.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let data = folder();
        let bases: Vec<u16> = PORT_BASES.step_by(PORT_BASE_STEP.into()).collect();
        let first = std::process::id() as usize;
        for attempt in 0..bases.len() {
            let base = bases[(first + attempt) % bases.len()];
            let mut command = program("testnet");
            command.arg("--data").arg(data.path().join("net")).args(["--port-base", &base.to_string()]);
            command.args(arguments);
            let mut supervisor = Running::start(command, data.path().join("testnet.log"));
            // Ports are looked at first of all: either they are free, or it ends at once.
            let free = until("the look at the ports", COMMAND_PATIENCE, || {
                if supervisor.said().contains("free;") {
                    return Some(true);
                }
                supervisor.ended().map(|status| {
                    let said = supervisor.said();
                    assert!(said.contains("--port-base"), "{status:?}: {said}");
                    false
                })
            });
            if free {
                return Self { base, data, supervisor };
            }
        }
        panic!("every block of ports is taken");
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.data.path().join("net")
    }

    pub(crate) fn node_rpc(&self, node: u16) -> SocketAddr {
        local(self.base + 300 + node)
    }

    /// Runs a `testnet` command on this network, as from another terminal.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let mut command = program("testnet");
        command.args(arguments).arg("--data").arg(self.data());
        run(command, self.data.path())
    }

    /// A command of a node's operator about its own validator, with its owner's key.
    pub(crate) fn as_owner(&self, node: &str, arguments: &[&str]) -> String {
        let home = self.data().join(node);
        let mut command = program("node");
        command.args(arguments).arg("--config").arg(home.join("node.toml"));
        command.arg("--owner-key-file").arg(home.join("owner.json"));
        command.arg("--owner-password-file").arg(home.join("password"));
        run(command, self.data.path())
    }

    /// What it printed, and how it ended.
    pub(crate) fn transcript(self, patience: Duration) -> String {
        let Self { supervisor, data: _kept, .. } = self;
        supervisor.transcript(patience)
    }

    /// Waits until the load runs.
    pub(crate) fn up(&mut self) {
        self.supervisor.says("The network is up");
    }

    pub(crate) fn said(&self) -> String {
        self.supervisor.said()
    }
}
