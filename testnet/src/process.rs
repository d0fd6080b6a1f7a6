//! One supervised process: started as ourselves under another name, owned through its standard input.
//!
//! A child gets `--exit-on-stdin-eof` and the reading end of a pipe whose writing end only we hold. However we end,
//! the kernel closes the pipe and the child goes: nothing outlives the supervisor, not even after `kill -9`.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::procfs::ProcessId;
use crate::role::Role;

/// How long a process may take to stop when asked, before it is killed.
pub const STOP_PATIENCE: Duration = Duration::from_secs(8);
/// Most of a log's end that an error message looks at.
const TAIL_BYTES: u64 = 8 << 10;

/// How to start a process, as often as needed.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Who it is.
    pub role: Role,
    /// The program: ourselves.
    pub program: PathBuf,
    /// Its arguments; the first is the hidden name of a linked `main`.
    pub args: Vec<OsString>,
    /// Environment on top of our own: secrets travel by file, never here.
    pub env: Vec<(OsString, OsString)>,
    /// Standard output and error are appended here.
    pub log: PathBuf,
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {role}: {source}")]
pub struct StartError {
    role: Role,
    source: io::Error,
}

/// A process that we started.
#[derive(Debug)]
pub struct Process {
    id: ProcessId,
    child: Child,
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It ended when asked.
    Politely,
    /// It did not, and was killed.
    Killed,
}

impl Launch {
    /// Starts it, in a process group of its own: Ctrl-C in the terminal reaches only us, who stop things in order.
    pub fn start(&self) -> Result<Process, StartError> {
        let failed = |source| StartError { role: self.role, source };
        let log = OpenOptions::new().create(true).append(true).open(&self.log).map_err(failed)?;
        let errors = log.try_clone().map_err(failed)?;
        let child = Command::new(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let gone = || failed(io::Error::other("it ended at once"));
        let id = child.id().and_then(ProcessId::of).ok_or_else(gone)?;
        Ok(Process { id, child })
    }
}

impl Process {
    /// Which process it is.
    pub const fn id(&self) -> ProcessId {
        self.id
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL, and waits until it is gone. The pid is ours until waited for, so it cannot be another's by now.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Asks it to stop (SIGTERM, then the end of its standard input), and kills it when patience ends.
    pub async fn stop(&mut self) -> Stopped {
        if self.ended().is_some() {
            return Stopped::Politely;
        }
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may end at this very moment: that is what we want.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        drop(self.child.stdin.take());
        if tokio::time::timeout(STOP_PATIENCE, self.child.wait()).await.is_ok() {
            return Stopped::Politely;
        }
        // Already dead is as good as killed.
        let _ = self.child.kill().await;
        Stopped::Killed
    }
}

/// The last lines of a log, for an error message.
pub fn log_tail(path: &Path, lines: usize) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    let tail = all.get(all.len().saturating_sub(lines)..).unwrap_or_default();
    tail.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_tail_of_a_log_is_bounded_and_survives_bad_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        assert_eq!(log_tail(&path, 3), "");
        let mut bytes = vec![0xff; 20_000];
        bytes.extend_from_slice(b"\none\ntwo\nthree\n");
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(log_tail(&path, 2), "    two\n    three");
    }
}
