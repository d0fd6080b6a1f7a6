//! `run`: everything put together, and taken apart again in order.

use std::io::Read;
use std::sync::Arc;

use node_core::NodeCore;
use rand_core::{OsRng, RngCore};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::cli::RunArgs;
use crate::evidence::{EvidenceFolder, Slasher};
use crate::exit::{Exit, Failure};
use crate::front::Front;
use crate::ingress::Ingress;
use crate::l1::{self, L1Feed, L1State, L1Status, PostedView, RegistryState};
use crate::membership::{self, MembershipError};
use crate::network::{ChunksPort, Directory, Network, NetworkError, NetworkOptions};
use crate::pressure::{Valve, Watch};
use crate::pump::{self, Clock, Handle, Pump, PumpOptions};
use crate::quic::reset;
use crate::rpc::Rpc;
use crate::setup::Setup;
use crate::store::{self, Opened, Reader};
use crate::telemetry::{self, Health, HealthServer, Telemetry};

const MIB: usize = 1 << 20;

/// Runs the node until it is told to stop.
pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    let setup = Setup::load(&args.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("io")
        .build()
        .map_err(|e| Failure::new(Exit::Failure, e))?;
    let telemetry = telemetry::start(&setup, runtime.handle()).map_err(|e| Failure::new(Exit::Config, e))?;
    let outcome = run_on(&runtime, &setup, &telemetry, args);
    telemetry.stop();
    // Threads that read for clients are not waited for.
    runtime.shutdown_background();
    outcome
}

fn run_on(runtime: &Runtime, setup: &Setup, telemetry: &Telemetry, args: &RunArgs) -> Result<(), Failure> {
    setup.probe_ports()?;
    let slasher = slasher(setup)?;
    let (l1, feed) = runtime.block_on(watch_l1(setup))?;
    let mut clock = Clock::default();
    let options = store::OpenOptions {
        folder: &setup.config.data_dir,
        key: &setup.key,
        spec: Arc::clone(&setup.spec),
        cache_bytes: setup.config.store.cache_mib as usize * MIB,
        retain_blocks: setup.config.store.retain_blocks,
        archive: store::Retention {
            days: setup.config.store.archive_days,
            bytes: u64::from(setup.config.store.archive_gib) << 30,
        },
        now_micros: clock.now().as_micros(),
    };
    let opened = store::open(&options).map_err(|e| Failure::new(Exit::Store, e))?;
    if setup.config.l1.endpoint.is_some() {
        // Nothing is forgotten before it is known what L1 has.
        opened.reader.set_final_batch(Some(0));
    }
    if let Some(slasher) = slasher {
        runtime.spawn(slasher.run());
    }
    runtime.block_on(async {
        let (network, pump, handle, reader) = start_core(setup, opened, clock, feed).await?;
        let valve = Arc::new(Valve::new(&setup.spec, setup.config.admission));
        let watch = Watch {
            valve: Arc::clone(&valve),
            handle: handle.clone(),
            reader: reader.clone(),
            folder: setup.config.data_dir.clone(),
            posted: watch_posted(setup),
        };
        watch.start().await;
        let doors = Doors::open(setup, telemetry, &network, (handle, valve), reader, l1).await?;
        doors.announce(setup, &network, args.json);
        let (stop, ended) = (stop_signal(args.exit_on_stdin_eof)?, pump.ended());
        tokio::select! {
            why = stop => tracing::info!(why, "stopping"),
            () = ended => {}
        }
        doors.close().await;
        let stopped = tokio::task::spawn_blocking(move || pump.stop()).await;
        drop(network);
        match stopped {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error @ pump::PumpError::Store(_))) => Err(Failure::new(Exit::Store, error)),
            Ok(Err(error)) => Err(Failure::new(Exit::Failure, error)),
            Err(panic) => Err(Failure::new(Exit::Failure, panic)),
        }
    })
}

/// Checks the L1 endpoint once, then keeps looking, and follows the contracts.
async fn watch_l1(setup: &Setup) -> Result<(L1Status, L1Feed), Failure> {
    let expected = setup.spec.l1_chain_id;
    let first = setup.check_l1().await?;
    if let Some(Err(error)) = &first {
        l1::report(error);
    }
    let state = first.map_or(L1State::NotConfigured, |outcome| l1::state_of(&outcome, expected));
    let (sender, receiver) = watch::channel(state);
    if let Some(endpoint) = setup.config.l1.endpoint.clone() {
        tokio::spawn(l1::watch_endpoint(endpoint, expected, sender));
    }
    let (feed, registry) = follow_contracts(setup);
    Ok((L1Status { endpoint: receiver, registry }, feed))
}

/// Who takes evidence to L1, if the config names an account for it.
fn slasher(setup: &Setup) -> Result<Option<Slasher>, Failure> {
    let l1 = &setup.config.l1;
    let Some(file) = &l1.slash_key_file else { return Ok(None) };
    let payer = membership::open_account(file, l1.slash_password_file.as_deref())
        .map_err(|e| Failure::from(MembershipError::from(e)))?;
    let contract = membership::contract(&setup.config, &setup.spec).map_err(Failure::from)?;
    Ok(Some(Slasher::new(&setup.config.data_dir, Arc::clone(&setup.spec), contract, payer)))
}

/// Follows inbox and registry at final blocks, if there is an endpoint to follow them through.
fn follow_contracts(setup: &Setup) -> (L1Feed, watch::Receiver<RegistryState>) {
    let idle = |state| (L1Feed::idle(), watch::channel(state).1);
    let Some(endpoint) = &setup.config.l1.endpoint else { return idle(RegistryState::NotConfigured) };
    l1::follow(endpoint, &setup.spec).unwrap_or_else(|error| {
        tracing::warn!(%error, "the contracts on L1 cannot be followed");
        idle(RegistryState::Failing { why: error.to_string(), block: None })
    })
}

/// Which batches L1 has, if there is an endpoint to ask.
fn watch_posted(setup: &Setup) -> Option<watch::Receiver<PostedView>> {
    let endpoint = setup.config.l1.endpoint.as_ref()?;
    let watched = l1::watch_posted(endpoint, &setup.spec, &setup.config.data_dir);
    // The same endpoint is followed for the contracts, and that says so where it cannot be.
    watched.inspect_err(|error| tracing::debug!(%error, "nothing is asked of L1's batches")).ok()
}

async fn start_core(
    setup: &Setup,
    opened: Opened,
    mut clock: Clock,
    l1: L1Feed,
) -> Result<(Network, Pump, Handle, Reader), Failure> {
    let Opened { store, reader, recovered, incarnation } = opened;
    let config = node_core::Config {
        spec: Arc::clone(&setup.spec),
        me: setup.me,
        incarnation,
        settings: node_core::Settings::default(),
    };
    let mut entropy = [0; 32];
    OsRng.fill_bytes(&mut entropy);
    let core = NodeCore::new(config, setup.key.clone(), entropy, recovered, clock.now())
        .map_err(|e| Failure::new(Exit::Store, e))?;
    let refused = |error: NetworkError| {
        let exit = if matches!(error, NetworkError::Listen { .. }) { Exit::PortBusy } else { Exit::Config };
        Failure::new(exit, error)
    };
    let options = NetworkOptions {
        listen: setup.config.network.listen,
        chunks: Some(ChunksPort {
            listen: setup.config.network.chunks(),
            announce: setup.config.network.chunks_announce,
            congestion: setup.config.network.congestion,
        }),
        me: setup.me,
        key: setup.key.clone(),
        spec: Arc::clone(&setup.spec),
        directory: Directory::of_genesis(&setup.spec, setup.me).map_err(refused)?,
    };
    let (network, inbox) = Network::start(options).await.map_err(refused)?;
    let options = PumpOptions {
        core,
        clock,
        outbound: network.sender(),
        inbox,
        l1,
        store,
        reader: reader.clone(),
        evidence: EvidenceFolder::new(&setup.config.data_dir, Arc::clone(&setup.spec)),
        spec: Arc::clone(&setup.spec),
    };
    let (pump, handle) = pump::start(options).map_err(|e| Failure::new(Exit::Failure, e))?;
    Ok((network, pump, handle, reader))
}

/// The ports that clients and operators use.
struct Doors {
    ingress: Ingress,
    rpc: Rpc,
    health: HealthServer,
}

impl Doors {
    async fn open(
        setup: &Setup,
        telemetry: &Telemetry,
        network: &Network,
        handle: (Handle, Arc<Valve>),
        reader: Reader,
        l1: L1Status,
    ) -> Result<Self, Failure> {
        let config = &setup.config;
        let sender = network.sender();
        let peers = Box::new(move || sender.peers());
        let (spec, key) = (Arc::clone(&setup.spec), setup.key.clone());
        let front = Arc::new(Front::new(spec, setup.me, key, handle, reader, peers));
        let busy = |error: Box<dyn std::error::Error + Send + Sync>| Failure::new(Exit::PortBusy, error);
        let (listen, limit) = (config.ingress.listen, config.ingress.max_connections);
        let ingress = Ingress::start(
            listen,
            limit,
            reset::key("mpc-sequencer/quic-reset/1", &setup.key),
            Arc::clone(&front),
        )
        .map_err(|e| busy(e.into()))?;
        // Keys were checked to be numbers when the config was read.
        let execution =
            config.execution.iter().filter_map(|(c, url)| Some((c.parse().ok()?, url.clone()))).collect();
        let rpc = Rpc::start(config.rpc.listen, config.rpc.max_connections, execution, Arc::clone(&front))
            .await
            .map_err(|e| busy(e.into()))?;
        let health = HealthServer::start(config.metrics.listen, telemetry, Health { front, l1 })
            .await
            .map_err(|e| busy(e.into()))?;
        Ok(Self { ingress, rpc, health })
    }

    fn announce(&self, setup: &Setup, network: &Network, json: bool) {
        let line = json!({
            "ready": true,
            "validator": setup.me,
            "pid": std::process::id(),
            "network": network.address,
            "chunks": network.chunks,
            "ingress": self.ingress.address,
            "rpc": self.rpc.address,
            "metrics": self.health.address,
        });
        if json {
            println!("{line}");
        }
        tracing::info!(
            validator = %setup.me,
            network = %network.address,
            ingress = %self.ingress.address,
            rpc = %self.rpc.address,
            metrics = %self.health.address,
            "running"
        );
    }

    async fn close(self) {
        self.rpc.stop().await;
        self.ingress.stop().await;
    }
}

/// Completes with the reason to stop.
fn stop_signal(on_stdin_eof: bool) -> Result<impl Future<Output = &'static str>, Failure> {
    let failed = |e| Failure::new(Exit::Failure, e);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (sender, stdin_closed) = oneshot::channel::<()>();
    // Without the flag the sender is kept, and never speaks.
    let mut sender = Some(sender);
    if on_stdin_eof {
        let sender = sender.take();
        // A thread of its own: a blocked read of stdin would keep the runtime from ending.
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || {
                let mut ignored = [0; 1_024];
                while std::io::stdin().read(&mut ignored).is_ok_and(|n| n > 0) {}
                drop(sender);
            })
            .map_err(failed)?;
    }
    Ok(async move {
        let _kept = sender;
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = stdin_closed => "stdin closed",
        }
    })
}
