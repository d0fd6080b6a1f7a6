//! The processes of one running network: started, killed, started again, stopped, and counted at the end.

use std::collections::BTreeMap;
use std::process::ExitStatus;

use futures::future::join_all;

use crate::layout::{DataFolder, Ports};
use crate::process::{Launch, Process, StartError, Stopped, log_tail};
use crate::procfs::ProcessId;
use crate::role::Role;
use crate::state::{State, StateError};

/// How a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It runs.
    Running(ProcessId),
    /// It was killed on request.
    Killed,
    /// It ended by itself, which no process of a healthy network does.
    Died(String),
}

/// Why a request about a process cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// There is no such process in this network.
    #[error("there is no {0} in this network; there are: {1}")]
    Unknown(Role, String),
    /// It does not run.
    #[error("{0} is not running: start it with `testnet restart {0}`")]
    NotRunning(Role),
    /// It could not be killed.
    #[error("cannot kill {0}: {1}")]
    Kill(Role, std::io::Error),
    /// It does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The state file cannot be written.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What stopping everything came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Farewell {
    /// Processes that were stopped.
    pub stopped: usize,
    /// Those that had to be killed because they did not stop when asked.
    pub killed: Vec<Role>,
    /// Processes that still run: none, or the kernel does not let go of them.
    pub left: Vec<(Role, ProcessId)>,
}

/// The running network. One owner at a time; share it behind a lock.
pub struct Network {
    folder: DataFolder,
    state: State,
    launches: BTreeMap<Role, Launch>,
    running: BTreeMap<Role, Process>,
    conditions: BTreeMap<Role, Condition>,
    /// Every process ever started here, also those replaced since.
    every: Vec<(Role, ProcessId)>,
    /// What ended by itself, also if it was started again since.
    deaths: Vec<String>,
}

impl Network {
    /// Nothing runs yet; the state file is written at once, so that other terminals know who owns the folder.
    pub fn new(folder: DataFolder, ports: Ports, nodes: u16, mnemonic: String) -> Result<Self, NetworkError> {
        let supervisor = ProcessId::of(std::process::id()).expect("we are running");
        let state = State {
            supervisor,
            port_base: ports.base(),
            nodes,
            mnemonic,
            inbox: None,
            processes: BTreeMap::new(),
        };
        state.write(&folder)?;
        Ok(Self {
            folder,
            state,
            launches: BTreeMap::new(),
            running: BTreeMap::new(),
            conditions: BTreeMap::new(),
            every: Vec::new(),
            deaths: Vec::new(),
        })
    }

    /// Starts a process and remembers how, for restarts.
    pub fn start(&mut self, launch: Launch) -> Result<(), NetworkError> {
        let role = launch.role;
        let process = launch.start()?;
        self.launches.insert(role, launch);
        self.every.push((role, process.id()));
        self.conditions.insert(role, Condition::Running(process.id()));
        self.state.processes.insert(role, process.id());
        if let Role::Node(number) = role {
            self.state.nodes = self.state.nodes.max(number);
        }
        self.running.insert(role, process);
        Ok(self.state.write(&self.folder)?)
    }

    /// Remembers the deployed contract in the state file.
    pub fn deployed(&mut self, inbox: String) -> Result<(), NetworkError> {
        self.state.inbox = Some(inbox);
        Ok(self.state.write(&self.folder)?)
    }

    /// SIGKILL.
    pub async fn kill(&mut self, role: Role) -> Result<ProcessId, NetworkError> {
        self.known(role)?;
        self.collect();
        let mut process = self.running.remove(&role).ok_or(NetworkError::NotRunning(role))?;
        let id = process.id();
        process.kill().await.map_err(|error| NetworkError::Kill(role, error))?;
        self.conditions.insert(role, Condition::Killed);
        self.state.processes.remove(&role);
        self.state.write(&self.folder)?;
        Ok(id)
    }

    /// Starts a process again; one that runs is stopped politely first.
    pub async fn restart(&mut self, role: Role) -> Result<ProcessId, NetworkError> {
        self.known(role)?;
        self.collect();
        if let Some(mut process) = self.running.remove(&role) {
            process.stop().await;
        }
        let launch = self.launches.get(&role).cloned().ok_or(NetworkError::NotRunning(role))?;
        self.start(launch)?;
        self.running.get(&role).map(Process::id).ok_or(NetworkError::NotRunning(role))
    }

    fn known(&self, role: Role) -> Result<(), NetworkError> {
        if self.launches.contains_key(&role) {
            return Ok(());
        }
        let all: Vec<String> = self.launches.keys().map(ToString::to_string).collect();
        Err(NetworkError::Unknown(role, all.join(", ")))
    }

    /// Notices processes that ended by themselves, and returns those that did since the last look.
    pub fn collect(&mut self) -> Vec<(Role, String)> {
        let ended: Vec<(Role, ExitStatus)> = self
            .running
            .iter_mut()
            .filter_map(|(role, process)| process.ended().map(|status| (*role, status)))
            .collect();
        let name = |(role, status): (Role, ExitStatus)| {
            self.running.remove(&role);
            let tail = log_tail(&self.folder.log(role), 4);
            let text = format!("{role} ended by itself ({status}); the last lines of its log:\n{tail}");
            self.conditions.insert(role, Condition::Died(text.clone()));
            self.deaths.push(text.clone());
            (role, text)
        };
        ended.into_iter().map(name).collect()
    }

    /// How each process is.
    pub fn conditions(&mut self) -> BTreeMap<Role, Condition> {
        self.collect();
        self.conditions.clone()
    }

    /// Everything that ever ended by itself.
    pub fn deaths(&mut self) -> Vec<String> {
        self.collect();
        self.deaths.clone()
    }

    /// The numbers of the nodes that were ever started.
    pub fn nodes(&self) -> Vec<u16> {
        let number = |role: &Role| if let Role::Node(number) = role { Some(*number) } else { None };
        self.launches.keys().filter_map(number).collect()
    }

    /// Where everything is.
    pub const fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// Stops everything: batchers, then nodes, then the L1 and the relay, so that no one sees the one it talks to go first.
    /// Then looks whether any process ever started here is left.
    pub async fn stop(&mut self) -> Farewell {
        let mut farewell = Farewell::default();
        let order: [fn(&Role) -> bool; 3] = [
            |role| matches!(role, Role::Batcher(_)),
            |role| matches!(role, Role::Node(_)),
            |role| matches!(role, Role::L1 | Role::Relay),
        ];
        for belongs in order {
            let roles: Vec<Role> = self.running.keys().copied().filter(belongs).collect();
            let mut group: Vec<(Role, Process)> =
                roles.into_iter().filter_map(|role| Some((role, self.running.remove(&role)?))).collect();
            let stops = group.iter_mut().map(|(role, process)| async { (*role, process.stop().await) });
            for (role, stopped) in join_all(stops).await {
                farewell.stopped += 1;
                if stopped == Stopped::Killed {
                    farewell.killed.push(role);
                }
            }
        }
        farewell.left = self.every.iter().copied().filter(|(_, id)| id.alive()).collect();
        self.state.processes = farewell.left.iter().copied().collect();
        // The folder may be gone already; what counts is that the processes are.
        let _ = self.state.write(&self.folder);
        farewell
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Instant;

    use super::*;

    /// `cat` is a model child: it ends when its standard input does.
    fn child(folder: &DataFolder, role: Role) -> Launch {
        let log = folder.log(role);
        Launch { role, program: "/bin/cat".into(), args: Vec::new(), env: Vec::new(), log }
    }

    fn network(path: &std::path::Path) -> Network {
        let folder = DataFolder::create(path).unwrap();
        Network::new(folder, Ports::new(9000).unwrap(), 4, "test".into()).unwrap()
    }

    #[tokio::test]
    async fn killed_started_again_and_stopped_without_a_trace() {
        let temporary = tempfile::tempdir().unwrap();
        let mut network = network(&temporary.path().join("data"));
        let role = Role::Node(1);
        for role in [Role::L1, role, Role::Batcher(1), Role::Relay] {
            network.start(child(&network.folder().clone(), role)).unwrap();
        }
        let first = network.kill(role).await.unwrap();
        assert!(!first.alive());
        assert_eq!(network.conditions().get(&role), Some(&Condition::Killed));
        assert!(matches!(network.kill(role).await, Err(NetworkError::NotRunning(_))));
        assert!(matches!(network.kill(Role::Node(9)).await, Err(NetworkError::Unknown(..))));
        let second = network.restart(role).await.unwrap();
        assert!(second.alive() && second != first);
        let state = State::read(network.folder()).unwrap().unwrap();
        assert_eq!(state.processes.get(&role), Some(&second));
        let farewell = network.stop().await;
        assert_eq!((farewell.stopped, farewell.left.len()), (4, 0));
        assert!(!second.alive());
        assert_eq!(State::read(network.folder()).unwrap().unwrap().left().count(), 0);
    }

    #[tokio::test]
    async fn one_that_ends_by_itself_is_noticed_with_its_last_words() {
        let temporary = tempfile::tempdir().unwrap();
        let mut network = network(&temporary.path().join("data"));
        let mut launch = child(&network.folder().clone(), Role::Node(2));
        launch.args = vec!["/does/not/exist".into()];
        network.start(launch).unwrap();
        let deadline = Instant::now() + std::time::Duration::from_secs(10);
        let died = loop {
            if let Some((role, text)) = network.collect().pop() {
                break (role, text);
            }
            assert!(Instant::now() < deadline, "its end was not noticed");
            tokio::task::yield_now().await;
        };
        assert_eq!(died.0, Role::Node(2));
        assert!(died.1.contains("ended by itself") && died.1.contains("/does/not/exist"), "{}", died.1);
        assert!(matches!(network.conditions().get(&Role::Node(2)), Some(Condition::Died(_))));
    }
}
