//! Validators that come and go while the network runs, as their operators would have it: with the node's own `join` and `leave`.

use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use alloy::primitives::Address;
use rollup::registry::IValidatorRegistry::{Status, Validator};
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};

use crate::contract::{L1, L1Error};
use crate::genesis::{self, GenesisError, OWNER_KEY, PASSWORD};
use crate::launch::{self, NODE, node_config};
use crate::layout::{DataFolder, FEWEST, MAX_NODES, Ports};
use crate::network::{Network, NetworkError};
use crate::node_api::NodeApi;
use crate::observe::Observer;
use crate::preflight::{self, PreflightError};
use crate::role::Role;

/// How long one command may take: a transaction and its block.
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);
/// How long the registration may take until it is final.
const FINAL_PATIENCE: Duration = Duration::from_secs(90);
/// How long the node may take to answer.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// The longest that joining takes, with some room.
pub(crate) const JOIN_PATIENCE: Duration = Duration::from_secs(230);
/// How often something is looked for.
const POLL: Duration = Duration::from_millis(200);

/// Why a validator does not join or leave.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MembershipError {
    /// No ports.
    #[error("{MAX_NODES} nodes are there already: there are no ports for another one")]
    Full,
    /// No way to it.
    #[error(
        "the relay between the nodes has no place for node {0}: start the network with --registered {0} or more, or without a relay"
    )]
    NoFront(u16),
    /// There is no registry yet.
    #[error("the network is still coming up: wait until its first batch is on L1")]
    NotUp,
    /// One at a time.
    #[error("another validator is joining or leaving: try again when that is done")]
    Busy,
    /// The node's command failed.
    #[error("`sequencer-node {command}` for node {number}: {said}")]
    Command {
        /// Which command.
        command: &'static str,
        /// For whom.
        number: u16,
        /// What it said.
        said: String,
    },
    /// Numbers of nodes are ids of validators here.
    #[error(
        "the registry calls node {number} validator {id}: somebody else has joined. Only one `testnet` may register validators"
    )]
    OtherId {
        /// The node.
        number: u16,
        /// Its validator.
        id: u64,
    },
    /// The L1 does not go on.
    #[error("L1 block {0}, with a registration in it, was not final within {limit} s: see the log of dev-l1", limit = FINAL_PATIENCE.as_secs())]
    NotFinal(u64),
    /// The process does not come up.
    #[error("node {0} did not answer within {limit} s: see its log in {1}", limit = START_PATIENCE.as_secs())]
    Silent(u16, String),
    /// No such node.
    #[error("there is no node {0} in this network")]
    Unknown(u16),
    /// It has left.
    #[error("node {0} has left before: no new committee is drawn with it")]
    Left(u16),
    /// Nobody to take its place.
    #[error(
        "{active} validators are active on L1, and a committee has {FEWEST} at least: without node {number} the present one would stay for ever. `testnet join` adds another validator"
    )]
    TooFew {
        /// Who would leave.
        number: u16,
        /// How many there are.
        active: usize,
    },
    /// The `sequencer-node` could not be started.
    #[error("cannot start `sequencer-node`: {0}")]
    Start(std::io::Error),
    /// Somebody else has its ports.
    #[error(transparent)]
    Ports(#[from] PreflightError),
    /// Its keys and files.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The L1.
    #[error(transparent)]
    L1(#[from] L1Error),
    /// The process.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// Who may join and leave.
pub(crate) struct Membership {
    folder: DataFolder,
    ports: Ports,
    /// With a relay: up to which node it has fronts.
    fronts: Option<u16>,
    network: Arc<Mutex<Network>>,
    observer: Arc<OnceLock<Observer>>,
    registry: OnceLock<Address>,
    turn: Mutex<()>,
}

impl Membership {
    pub(crate) fn new(
        network: Arc<Mutex<Network>>,
        observer: Arc<OnceLock<Observer>>,
        (folder, ports): (DataFolder, Ports),
        fronts: Option<u16>,
    ) -> Self {
        Self { folder, ports, fronts, network, observer, registry: OnceLock::new(), turn: Mutex::new(()) }
    }

    /// The registry is deployed.
    pub(crate) fn registry_is(&self, registry: Address) {
        // Deployed once.
        let _ = self.registry.set(registry);
    }

    /// One more node: its keys, its registration, its process. Gives its number.
    pub(crate) async fn join(&self) -> Result<u16, MembershipError> {
        let _turn = self.turn()?;
        // Not before all that are to join at first have: the numbers are given in order.
        let observer = self.observer.get().ok_or(MembershipError::NotUp)?;
        let number = self.network.lock().await.nodes().into_iter().max().unwrap_or_default() + 1;
        if number > MAX_NODES {
            return Err(MembershipError::Full);
        }
        if self.fronts.is_some_and(|fronts| number > fronts) {
            return Err(MembershipError::NoFront(number));
        }
        preflight::ports_free(self.ports.of_node(number))?;
        // What did not finish the last time goes on where it was.
        if !node_config(&self.folder, number).exists() {
            genesis::init_node(&self.folder, number, self.ports).await?;
        }
        let block = self.register(number).await?;
        self.until_final(block).await?;
        self.start(number).await?;
        observer.add_node(number);
        self.until_it_answers(number).await?;
        Ok(number)
    }

    /// Runs `sequencer-node join`; gives the L1 block that has it.
    pub(crate) async fn register(&self, number: u16) -> Result<u64, MembershipError> {
        let endpoint = genesis::address(number, self.ports, self.fronts.is_some());
        let told = self.command("join", number, &["--endpoint", &endpoint]).await?;
        let field = |name: &str| told.get(name).and_then(Value::as_u64);
        let id = field("validator").unwrap_or_default();
        if id != u64::from(number) {
            return Err(MembershipError::OtherId { number, id });
        }
        match field("l1_block") {
            Some(block) => Ok(block),
            // It had joined before; when, is not said.
            None => Ok(self.l1().block_number().await?),
        }
    }

    /// Waits until an L1 block is final: no node takes notice before.
    pub(crate) async fn until_final(&self, block: u64) -> Result<(), MembershipError> {
        let deadline = Instant::now() + FINAL_PATIENCE;
        while self.l1().finalized().await? < block {
            if Instant::now() >= deadline {
                return Err(MembershipError::NotFinal(block));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Starts the process.
    pub(crate) async fn start(&self, number: u16) -> Result<(), MembershipError> {
        let launch = launch::node(&self.folder, number, self.ports, self.fronts.is_some());
        Ok(self.network.lock().await.start(launch)?)
    }

    async fn until_it_answers(&self, number: u16) -> Result<(), MembershipError> {
        let (api, deadline) = (NodeApi::new(self.ports, number), Instant::now() + START_PATIENCE);
        while !api.status().await.answers {
            if Instant::now() >= deadline {
                let log = self.folder.log(Role::Node(number)).display().to_string();
                return Err(MembershipError::Silent(number, log));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Takes a validator off the list; its node goes on running. Says what is next.
    pub(crate) async fn leave(&self, number: u16) -> Result<String, MembershipError> {
        let _turn = self.turn()?;
        let registry = *self.registry.get().ok_or(MembershipError::NotUp)?;
        if !self.network.lock().await.nodes().contains(&number) {
            return Err(MembershipError::Unknown(number));
        }
        let validators = self.l1().validators(registry).await?;
        let is_active = |validator: &Validator| matches!(validator.status, Status::Active);
        if !validators.iter().any(|validator| validator.id == number && is_active(validator)) {
            return Err(MembershipError::Left(number));
        }
        let active = validators.iter().filter(|validator| is_active(validator)).count();
        if active <= usize::from(FEWEST) {
            return Err(MembershipError::TooFew { number, active });
        }
        self.command("leave", number, &[]).await?;
        Ok(format!(
            "node {number} leaves: it is drawn into no committee any more, and goes on running. {} validators stay",
            active - 1
        ))
    }

    fn turn(&self) -> Result<MutexGuard<'_, ()>, MembershipError> {
        self.turn.try_lock().map_err(|_| MembershipError::Busy)
    }

    fn l1(&self) -> L1 {
        L1::new(&self.ports.l1_url())
    }

    /// A command of the node's about the registry, and the JSON that it prints.
    async fn command(
        &self,
        command: &'static str,
        number: u16,
        more: &[&str],
    ) -> Result<Value, MembershipError> {
        let home = self.folder.home(Role::Node(number));
        let program = std::env::current_exe().map_err(MembershipError::Start)?;
        let running = Command::new(program)
            .args([NODE, command, "--json", "--config"])
            .arg(node_config(&self.folder, number))
            .arg("--owner-key-file")
            .arg(home.join(OWNER_KEY))
            .arg("--owner-password-file")
            .arg(home.join(PASSWORD))
            .args(more)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let failed = |said: String| MembershipError::Command { command, number, said };
        let late = || failed(format!("did not end within {} s", COMMAND_PATIENCE.as_secs()));
        let output = tokio::time::timeout(COMMAND_PATIENCE, running).await.map_err(|_| late())?;
        let output = output.map_err(MembershipError::Start)?;
        let told = serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success());
        told.ok_or_else(|| failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}
