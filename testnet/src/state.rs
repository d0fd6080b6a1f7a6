//! The state file: who runs in a data folder, for other terminals and for the check that nothing is left.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::layout::DataFolder;
use crate::procfs::ProcessId;
use crate::role::Role;

/// What `state.json` holds. Pids stand with their start times, so that a number used again is never mistaken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The `testnet up` that owns everything below.
    pub supervisor: ProcessId,
    /// Base of all ports.
    pub port_base: u16,
    /// Number of nodes.
    pub nodes: u16,
    /// Mnemonic of the funded development accounts (public knowledge, no secret).
    pub mnemonic: String,
    /// The inbox contract, once deployed.
    pub inbox: Option<String>,
    /// What runs, by name.
    pub processes: BTreeMap<Role, ProcessId>,
}

/// Why there is no usable state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not readable or writable.
    #[error("cannot access {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// Not what we wrote.
    #[error("{path} is damaged ({reason}): delete the data folder with `testnet reset` and start again")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl State {
    /// Reads the state of a folder; `None` if no network was ever started in it.
    pub fn read(folder: &DataFolder) -> Result<Option<Self>, StateError> {
        let path = folder.state();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Io { path: path.display().to_string(), source }),
        };
        let damaged =
            |error: serde_json::Error| StateError::Damaged { path: shown(&path), reason: error.to_string() };
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    /// Replaces the file as a whole, so that a reader never sees half of it.
    pub fn write(&self, folder: &DataFolder) -> Result<(), StateError> {
        let path = folder.state();
        let io = |source| StateError::Io { path: shown(&path), source };
        let text = serde_json::to_string_pretty(self).map_err(|error| io(error.into()))?;
        let new = path.with_extension("new");
        std::fs::write(&new, text).map_err(io)?;
        std::fs::rename(&new, &path).map_err(io)
    }

    /// Whether the supervisor that wrote this still runs.
    pub fn running(&self) -> bool {
        self.supervisor.alive()
    }

    /// Processes that still run.
    pub fn left(&self) -> impl Iterator<Item = (Role, ProcessId)> + '_ {
        self.processes.iter().filter(|(_, id)| id.alive()).map(|(role, id)| (*role, *id))
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn state(supervisor: ProcessId) -> State {
        State {
            supervisor,
            port_base: 9000,
            nodes: 4,
            mnemonic: "test".into(),
            inbox: None,
            processes: BTreeMap::from([(Role::Node(1), supervisor)]),
        }
    }

    /// Once, tools like this killed whatever process had inherited the number of a dead one.
    #[test]
    fn a_recycled_pid_is_another_process() {
        let me = ProcessId::of(std::process::id()).unwrap();
        let before = ProcessId { started: me.started - 1, ..me };
        assert!(state(me).running());
        assert!(!state(before).running());
        assert_eq!(state(before).left().count(), 0);
        assert_eq!(state(me).left().count(), 1);
    }

    #[test]
    fn it_reads_back_and_damage_is_named() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::create(&temporary.path().join("data")).unwrap();
        assert_eq!(State::read(&folder).unwrap(), None);
        let state = state(ProcessId { pid: 7, started: 9 });
        state.write(&folder).unwrap();
        assert_eq!(State::read(&folder).unwrap(), Some(state));
        std::fs::write(folder.state(), "{\"supervisor\":").unwrap();
        assert!(matches!(State::read(&folder), Err(StateError::Damaged { .. })));
    }
}
