//! Brings a network up, stage by stage: keys, L1, contracts, nodes, key ceremony, first block, first batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::Address;
use ordering_types::{ChainSpec, PublicKey};

use crate::contract::{L1, L1Error, deploy, deploy_registry};
use crate::control::{self, Request};
use crate::genesis::{self, Contracts, GenesisError, Variant};
use crate::launch;
use crate::layout::{BATCHERS, Size};
use crate::membership::MembershipError;
use crate::network::NetworkError;
use crate::node_api::{NodeApi, NodeStatus};
use crate::progress::{Progress, Stage};
use crate::session::Session;

/// How often a stage looks whether it is through.
const POLL: Duration = Duration::from_millis(100);
/// A stage that takes longer has failed. Generous: the machine may be small and busy.
const L1_PATIENCE: Duration = Duration::from_secs(60);
const NODES_PATIENCE: Duration = Duration::from_secs(90);
const CEREMONY_PATIENCE: Duration = Duration::from_secs(180);
const BLOCK_PATIENCE: Duration = Duration::from_secs(60);
const BATCH_PATIENCE: Duration = Duration::from_secs(180);

/// Why a network does not come up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A process ended.
    #[error("{0}")]
    Died(String),
    /// A stage took too long.
    #[error("{what} did not happen within {} s ({seen}); look into the logs in {logs}", patience.as_secs())]
    Late {
        /// What was waited for.
        what: &'static str,
        /// How long.
        patience: Duration,
        /// What was seen instead.
        seen: String,
        /// Where to look.
        logs: String,
    },
    /// Keys and files.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The L1.
    #[error(transparent)]
    L1(#[from] L1Error),
    /// Validators that join.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// Processes.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// A network that is up.
#[derive(Clone, Debug)]
pub(crate) struct Up {
    /// The genesis file.
    pub(crate) spec: Arc<ChainSpec>,
    /// The inbox.
    pub(crate) inbox: Address,
    /// The registry.
    pub(crate) registry: Address,
    /// The ingress of every node that runs from the beginning.
    pub(crate) endpoints: Vec<String>,
    /// Accounts of the batchers.
    pub(crate) batchers: Vec<Address>,
}

/// Waits until `poll` finds something. It says what it sees instead as an error.
async fn wait_for<T>(
    session: &Session,
    stage: &Stage,
    what: &'static str,
    patience: Duration,
    mut poll: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, StartError> {
    let deadline = Instant::now() + patience;
    loop {
        let seen = match poll().await {
            Ok(found) => return Ok(found),
            Err(seen) => seen,
        };
        stage.note(seen.as_str());
        if let Some((_, text)) = session.network.lock().await.collect().into_iter().next() {
            return Err(StartError::Died(text));
        }
        if Instant::now() >= deadline {
            let logs = session.folder.logs().display().to_string();
            return Err(StartError::Late { what, patience, seen, logs });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Everything after the preflight.
pub(crate) async fn bring_up(
    session: &Session,
    size: Size,
    block_time: Duration,
    variant: Variant,
    progress: &mut Progress,
) -> Result<Up, StartError> {
    let nodes = size.founders;
    let keys = make_keys(session, nodes, progress).await?;
    let l1 = L1::new(&session.ports.l1_url());
    let l1_chain = start_l1(session, &l1, block_time, progress).await?;
    let (inbox, registry) = deploy_contracts(session, &keys, variant, progress).await?;
    let own = |address: Address| ordering_types::Address::new(address.into_array());
    let contracts = Contracts { inbox: own(inbox), registry: own(registry) };
    let spec = genesis::spec(l1_chain, contracts, &keys, session.ports, variant);
    start_relay(session, size.registered, progress).await?;
    let batchers = start_nodes(session, size, block_time, &spec, progress).await?;
    let apis: Vec<NodeApi> = (1..=nodes).map(|number| NodeApi::new(session.ports, number)).collect();
    found(session, &l1, inbox, &apis, progress).await?;
    join(session, size, progress).await?;
    let endpoints = (1..=size.registered).map(|number| session.ports.ingress_endpoint(number));
    Ok(Up { spec: Arc::new(spec), inbox, registry, endpoints: endpoints.collect(), batchers })
}

async fn make_keys(
    session: &Session,
    nodes: u16,
    progress: &mut Progress,
) -> Result<Vec<PublicKey>, StartError> {
    let stage = progress.stage();
    let mut keys = Vec::new();
    for number in 1..=nodes {
        stage.note(format!("node {number} of {nodes}"));
        keys.push(genesis::init_node(&session.folder, number, session.ports).await?);
    }
    stage.done(&format!("{nodes} validators"));
    Ok(keys)
}

async fn start_l1(
    session: &Session,
    l1: &L1,
    block_time: Duration,
    progress: &mut Progress,
) -> Result<u64, StartError> {
    let stage = progress.stage();
    let launch = launch::dev_l1(&session.folder, session.ports, block_time, genesis::ACCOUNTS);
    session.network.lock().await.start(launch)?;
    let chain = wait_for(session, &stage, "an answer of the L1", L1_PATIENCE, async || {
        l1.chain_id().await.map_err(|_| "loading the trusted setup".to_owned())
    })
    .await?;
    stage.done(&format!("chain {chain} on {}, a block every {:?}", session.ports.l1_url(), block_time));
    Ok(chain)
}

/// The inbox and the registry beside it.
async fn deploy_contracts(
    session: &Session,
    keys: &[PublicKey],
    variant: Variant,
    progress: &mut Progress,
) -> Result<(Address, Address), StartError> {
    let stage = progress.stage();
    let deployer = crate::contract::account(genesis::MNEMONIC, genesis::DEPLOYER)?;
    let founders = keys.iter().map(|key| Address::from(*key.address().as_bytes())).collect();
    let url = session.ports.l1_url();
    let inbox = deploy(&url, deployer.clone(), founders).await?;
    session.network.lock().await.deployed(inbox.to_string())?;
    let founders = genesis::founders(keys, session.ports, variant)?;
    let registry = deploy_registry(&url, deployer, inbox, founders).await?;
    session.membership.registry_is(registry);
    stage.done(&format!("SequencerInbox at {inbox}, ValidatorRegistry at {registry}"));
    Ok((inbox, registry))
}

/// Before the nodes: they dial each other through it.
async fn start_relay(session: &Session, nodes: u16, progress: &Progress) -> Result<(), StartError> {
    let Some(relay) = session.relay else { return Ok(()) };
    let stage = progress.aside("relay");
    genesis::write_relay(&session.folder, session.ports, nodes, relay)?;
    session.network.lock().await.start(launch::relay(&session.folder))?;
    let socket = session.folder.relay_socket();
    wait_for(session, &stage, "an answer of the relay", NODES_PATIENCE, async || {
        control::ask(&socket, &Request::Links).await.map(drop).map_err(|error| error.to_string())
    })
    .await?;
    stage.done(&format!("every link: {}, seed {}", relay.conditions, relay.seed));
    Ok(())
}

async fn start_nodes(
    session: &Session,
    size: Size,
    block_time: Duration,
    spec: &ChainSpec,
    progress: &mut Progress,
) -> Result<Vec<Address>, StartError> {
    let stage = progress.stage();
    let nodes = size.founders;
    genesis::write_spec(&session.folder, spec)?;
    let accounts = genesis::batcher_accounts()?;
    for (number, account) in (1_u16..).zip(&accounts) {
        genesis::init_batcher(&session.folder, number, size.registered, session.ports, block_time, account)?;
    }
    {
        let mut network = session.network.lock().await;
        for number in 1..=nodes {
            network.start(launch::node(&session.folder, number, session.ports, session.relay.is_some()))?;
        }
        for number in 1..=BATCHERS {
            network.start(launch::batcher(&session.folder, number))?;
        }
    }
    let apis: Vec<NodeApi> = (1..=nodes).map(|number| NodeApi::new(session.ports, number)).collect();
    wait_for(session, &stage, "an answer of every node", NODES_PATIENCE, async || {
        let answering = statuses(&apis).await.iter().filter(|status| status.answers).count();
        if answering == apis.len() { Ok(()) } else { Err(format!("{answering} of {nodes} answer")) }
    })
    .await?;
    stage.done(&format!("{nodes} nodes and {BATCHERS} batchers run"));
    Ok(accounts.iter().map(alloy::signers::local::PrivateKeySigner::address).collect())
}

async fn statuses(apis: &[NodeApi]) -> Vec<NodeStatus> {
    futures::future::join_all(apis.iter().map(NodeApi::status)).await
}

/// The committee makes its key, L1 learns it, blocks are signed, and a batch arrives.
async fn found(
    session: &Session,
    l1: &L1,
    inbox: Address,
    apis: &[NodeApi],
    progress: &mut Progress,
) -> Result<(), StartError> {
    let stage = progress.stage();
    let what = "the group key's arrival on L1";
    wait_for(session, &stage, what, CEREMONY_PATIENCE, async || match l1.initialised(inbox).await {
        Ok(true) => Ok(()),
        _ => Err(format!("height {}", height(apis).await)),
    })
    .await?;
    stage.done("L1 knows the group key");

    let stage = progress.stage();
    let certified = wait_for(session, &stage, "a softly confirmed block", BLOCK_PATIENCE, async || {
        let newest = statuses(apis).await.iter().map(|status| status.certified).max().unwrap_or_default();
        if newest > 0 { Ok(newest) } else { Err(format!("height {}, none signed", height(apis).await)) }
    })
    .await?;
    stage.done(&format!("height {certified} is ordered and softly confirmed"));

    let stage = progress.stage();
    let batch = wait_for(session, &stage, "a batch on L1", BATCH_PATIENCE, async || {
        let (batches, _) = l1.batches(inbox, 0).await.map_err(|error| error.to_string())?;
        batches.into_iter().next().ok_or_else(|| "none yet".to_owned())
    })
    .await?;
    stage.done(&format!(
        "batch {} with {} blobs, heights {}-{}, {} gas",
        batch.number, batch.blobs, batch.first_height, batch.last_height, batch.gas
    ));
    Ok(())
}

/// Those who are no founders register on L1, one after the other so that their ids are the numbers of their nodes, and start when
/// that is final.
async fn join(session: &Session, size: Size, progress: &Progress) -> Result<(), StartError> {
    if size.newcomers().is_empty() {
        return Ok(());
    }
    let stage = progress.aside("joining");
    let mut newest = 0;
    for number in size.newcomers() {
        stage.note(format!("node {number} of {}", size.registered));
        genesis::init_node(&session.folder, number, session.ports).await?;
        newest = session.membership.register(number).await?;
    }
    session.membership.until_final(newest).await?;
    for number in size.newcomers() {
        session.membership.start(number).await?;
    }
    let apis: Vec<NodeApi> = size.newcomers().map(|number| NodeApi::new(session.ports, number)).collect();
    wait_for(session, &stage, "a newcomer's answer", NODES_PATIENCE, async || {
        let answering = statuses(&apis).await.iter().filter(|status| status.answers).count();
        if answering == apis.len() { Ok(()) } else { Err(format!("{answering} of {} answer", apis.len())) }
    })
    .await?;
    stage
        .done(&format!("{} more validators are registered, final in L1 block {newest}, and run", apis.len()));
    Ok(())
}

async fn height(apis: &[NodeApi]) -> u64 {
    statuses(apis).await.iter().map(|status| status.height).max().unwrap_or_default()
}
