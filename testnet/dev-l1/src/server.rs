//! Sockets, the block timer, and the process around them.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, U256};
use alloy::signers::local::{LocalSignerError, MnemonicBuilder, coins_bip39::English};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tower_http::cors::CorsLayer;

use crate::chain::{Chain, Params};
use crate::connections::Limited;
use crate::ctl::CtlError;
use crate::fault::{Endpoint, Fault};
use crate::node::{Node, SharedNode, unix_now};
use crate::options::{Args, Command, MAX_ENDPOINTS, Options};
use crate::{beacon, ctl, kzg, rpc};

/// Requests that are worked on at once; more wait for their turn.
const MAX_CONCURRENT_CALLS: usize = 32;
/// How often a silent endpoint looks whether it may speak again.
const HANG_NAP: Duration = Duration::from_millis(50);
/// Of longer answers than this nothing is left when they are spoilt.
const MAX_GARBLED_BYTES: usize = 1024 * 1024;
/// How long open connections may take to finish once the chain is told to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Why the chain could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is in use or not ours.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// More addresses than one chain serves.
    #[error("{0} addresses are too many: at most {MAX_ENDPOINTS} with --listen and --also-listen")]
    Endpoints(usize),
    /// The phrase is not a BIP-39 mnemonic.
    #[error("the mnemonic does not work: {0}")]
    Mnemonic(#[from] LocalSignerError),
    /// The genesis block cannot be built.
    #[error("the genesis state cannot be built: {0}")]
    Genesis(String),
    /// A call of `dev-l1 ctl` failed.
    #[error(transparent)]
    Ctl(#[from] CtlError),
    /// Threads or signals are unavailable.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

/// A running chain. Dropping the handle stops it.
#[derive(Debug)]
pub struct Handle {
    /// Never empty: the first is `--listen`'s.
    addresses: Vec<SocketAddr>,
    accounts: Vec<Address>,
    options: Options,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

/// Starts chains; see [`DevL1::spawn`].
#[derive(Debug)]
pub struct DevL1;

impl DevL1 {
    /// Starts a chain on the current tokio runtime and returns once it answers requests.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn spawn(options: Options) -> Result<Handle, StartError> {
        let accounts = funded_accounts(&options)?;
        let listeners = listen(&options).await?;
        let addresses =
            listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, std::io::Error>>()?;
        // The trusted setup takes a while to load and must not hold up the runtime.
        tokio::task::spawn_blocking(kzg::settings).await.map_err(std::io::Error::other)?;
        let node = Arc::new(Node::new(new_chain(&options, &accounts)?, !options.no_mining));
        let (stop, stopped) = oneshot::channel();
        let endpoints = Endpoint::each(&node, &addresses);
        let served = listeners.into_iter().zip(endpoints).collect();
        let task = tokio::spawn(serve(served, node, options.block_time, stopped));
        Ok(Handle { addresses, accounts, options, stop: Some(stop), task: Some(task) })
    }
}

impl Handle {
    /// Base URL of the JSON-RPC API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Base URLs of all endpoints of this chain; the first is [`Self::url`].
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.addresses.iter().map(|address| format!("http://{address}")).collect()
    }

    /// Base URL of the beacon API: the same, it shares the port.
    #[must_use]
    pub fn beacon_url(&self) -> String {
        self.url()
    }

    /// The address that is listened on; the first, if there are several.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses.first().copied().unwrap_or(self.options.listen)
    }

    /// The funded accounts, in the order of their derivation.
    #[must_use]
    pub fn accounts(&self) -> &[Address] {
        &self.accounts
    }

    /// What the chain was started with.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Stops the chain and waits until its port is free.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            // A task that panicked has stopped too.
            let _ = task.await;
        }
    }

    /// The line that tells a program how to reach this chain.
    fn ready_json(&self) -> String {
        serde_json::json!({
            "ready": true,
            "rpc": self.url(),
            "beacon": self.beacon_url(),
            "endpoints": self.urls(),
            "chain_id": self.options.chain_id,
            "block_time_ms": self.options.block_time.as_millis() as u64,
            "mnemonic": self.options.mnemonic,
            "accounts": self.accounts,
        })
        .to_string()
    }

    fn ready_text(&self) -> String {
        let accounts: String = self.accounts.iter().map(|account| format!("  {account}\n")).collect();
        format!(
            "dev-l1 is ready: JSON-RPC and beacon API on {} (chain id {}, a block every {:?})\n\
             {} ETH each (mnemonic: {}):\n{accounts}Ctrl-C stops it; nothing is kept.",
            self.urls().join(", "),
            self.options.chain_id,
            self.options.block_time,
            self.options.balance,
            self.options.mnemonic,
        )
    }
}

fn funded_accounts(options: &Options) -> Result<Vec<Address>, LocalSignerError> {
    let key = MnemonicBuilder::<English>::default().phrase(options.mnemonic.as_str()).build_parent_key()?;
    (0..options.accounts).map(|index| Ok(key.child(index)?.signer().address())).collect()
}

fn new_chain(options: &Options, accounts: &[Address]) -> Result<Chain, StartError> {
    let params = Params {
        chain_id: options.chain_id,
        gas_limit: options.gas_limit,
        slot_seconds: options.block_time.as_secs().max(1),
        safe_lag: options.safe_lag,
        finalized_lag: options.finalized_lag,
        block_history: options.block_history,
        blob_retention: options.blob_retention,
        blob_limit: options.blob_limit,
    };
    let balance = U256::from(options.balance).saturating_mul(U256::from(10).pow(U256::from(18)));
    Chain::new(params, accounts, balance, unix_now()).map_err(|error| StartError::Genesis(error.to_string()))
}

/// Takes all addresses.
async fn listen(options: &Options) -> Result<Vec<TcpListener>, StartError> {
    let addresses = [std::slice::from_ref(&options.listen), &options.also_listen].concat();
    if addresses.len() > MAX_ENDPOINTS {
        return Err(StartError::Endpoints(addresses.len()));
    }
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.map_err(|source| StartError::Listen { address, source })?);
    }
    Ok(listeners)
}

/// Serves every endpoint and makes blocks until told to stop, or until an endpoint ends.
async fn serve(
    served: Vec<(TcpListener, Endpoint)>,
    node: SharedNode,
    block_time: Duration,
    stopped: oneshot::Receiver<()>,
) {
    let turns = Arc::new(Semaphore::new(MAX_CONCURRENT_CALLS));
    let (quit, quitting) = watch::channel(());
    let mut servers = JoinSet::new();
    for (listener, endpoint) in served {
        let mut quitting = quitting.clone();
        let router = router(endpoint, turns.clone());
        let server = axum::serve(Limited::new(listener), router).with_graceful_shutdown(async move {
            // Either end means stop.
            let _ = quitting.changed().await;
        });
        servers.spawn(server.into_future());
    }
    tokio::select! {
        () = mine_forever(node, block_time) => {}
        _ = stopped => {}
        _ = servers.join_next() => {}
    }
    drop(quit);
    let ended = async { while servers.join_next().await.is_some() {} };
    // What is left after the grace ends with the set.
    let _ = tokio::time::timeout(SHUTDOWN_GRACE, ended).await;
    servers.shutdown().await;
}

async fn mine_forever(node: SharedNode, block_time: Duration) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + block_time, block_time);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if !node.automine() {
            continue;
        }
        let miner = node.clone();
        match tokio::task::spawn_blocking(move || miner.mine()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a block failed; restart dev-l1 with a fresh chain"),
            Err(error) => tracing::error!(%error, "the miner crashed; restart dev-l1"),
        }
    }
}

fn router(endpoint: Endpoint, turns: Arc<Semaphore>) -> Router {
    let call = move |State(endpoint): State<Endpoint>, body: Bytes| call(endpoint, turns.clone(), body);
    let faulty = middleware::from_fn_with_state(endpoint.clone(), faulty_beacon);
    let beacon = beacon::routes().with_state::<Endpoint>(endpoint.node.clone()).layer(faulty);
    Router::new()
        .route("/", post(call))
        .merge(beacon)
        .layer(DefaultBodyLimit::max(rpc::MAX_REQUEST_BYTES))
        .layer(CorsLayer::permissive())
        .with_state(endpoint)
}

/// Answers a JSON-RPC body, or does what the endpoint's fault has it do.
async fn call(endpoint: Endpoint, turns: Arc<Semaphore>, body: Bytes) -> Response {
    let fault = endpoint.faults.now().map(|(_, fault)| fault).filter(|_| !rpc::is_control(&body));
    match fault {
        None => answer(endpoint, turns, body).await,
        Some(Fault::Refuse | Fault::Hang) => unavailable(&endpoint).await,
        Some(Fault::RateLimit(seconds)) => too_many(seconds),
        Some(Fault::Error(code)) => json_reply(rpc::refuse(&body, code)),
        Some(Fault::Garbage) => {
            let faults = endpoint.faults.clone();
            let reply = answer(endpoint, turns, body).await.into_body();
            let reply = axum::body::to_bytes(reply, MAX_GARBLED_BYTES).await.unwrap_or_default();
            json_reply(Some(faults.garble(&reply)))
        }
    }
}

/// Answers a JSON-RPC body on a blocking thread: execution and KZG take milliseconds.
async fn answer(endpoint: Endpoint, turns: Arc<Semaphore>, body: Bytes) -> Response {
    let Ok(_turn) = turns.acquire_owned().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    match tokio::task::spawn_blocking(move || rpc::answer(&endpoint, &body)).await {
        Ok(reply) => json_reply(reply),
        Err(error) => {
            tracing::error!(%error, "a request crashed its handler; please report it");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn json_reply(reply: Option<Vec<u8>>) -> Response {
    match reply {
        Some(reply) => ([(header::CONTENT_TYPE, "application/json")], Body::from(reply)).into_response(),
        None => StatusCode::OK.into_response(),
    }
}

/// The beacon API shares the faults of the HTTP side. A lie about the head is one of the execution layer alone.
async fn faulty_beacon(State(endpoint): State<Endpoint>, request: Request, next: Next) -> Response {
    match endpoint.faults.now().map(|(_, fault)| fault) {
        None => next.run(request).await,
        Some(Fault::Refuse | Fault::Hang) => unavailable(&endpoint).await,
        Some(Fault::RateLimit(seconds)) => too_many(seconds),
        Some(Fault::Error(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Fault::Garbage) => json_reply(Some(endpoint.faults.garble(br#"{"data":[{"slot":"1"}]}"#))),
    }
}

/// HTTP 429, as providers say that somebody asks too often.
fn too_many(seconds: u64) -> Response {
    let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"rate limit exceeded"}}"#;
    let headers =
        [(header::CONTENT_TYPE, "application/json".to_owned()), (header::RETRY_AFTER, seconds.to_string())];
    (StatusCode::TOO_MANY_REQUESTS, headers, body).into_response()
}

/// HTTP 503, at once or when the silence ends.
async fn unavailable(endpoint: &Endpoint) -> Response {
    while let Some((left, Fault::Hang)) = endpoint.faults.now() {
        // Short naps: it may be ended early.
        tokio::time::sleep(left.min(HANG_NAP)).await;
    }
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

/// Runs a chain until Ctrl-C, SIGTERM or, if asked to, the end of standard input.
async fn run_until_told(args: Args) -> Result<(), StartError> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let stdin_ended = stdin_end(args.exit_on_stdin_eof);
    let handle = DevL1::spawn(args.options).await?;
    let line = if args.json { handle.ready_json() } else { handle.ready_text() };
    // Nobody reading our output is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{line}");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = stdin_ended => {}
    }
    handle.stop().await;
    Ok(())
}

/// Resolves when standard input ends, or never if nobody watches it.
async fn stdin_end(watch: bool) {
    if !watch {
        return std::future::pending().await;
    }
    let (ended, end) = oneshot::channel();
    // A thread of its own: the runtime would wait for a blocked read on shutdown.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}

/// Runs a chain with these options until Ctrl-C or SIGTERM; for a process of its own.
///
/// # Errors
/// See [`StartError`].
pub fn run(options: Options) -> Result<(), StartError> {
    block_on(Args { command: None, options, json: false, exit_on_stdin_eof: false })
}

fn block_on(args: Args) -> Result<(), StartError> {
    let runtime = tokio::runtime::Runtime::new()?;
    match args.command {
        Some(Command::Ctl(ctl)) => Ok(runtime.block_on(ctl::run(ctl))?),
        None => runtime.block_on(run_until_told(args)),
    }
}

/// The `dev-l1` program: parses `args` (the first is the program's name) and runs until told to stop.
/// Wrong arguments, `--help` and `--version` print and exit as usual.
///
/// # Errors
/// See [`StartError`].
pub fn main_from_args<I, T>(args: I) -> Result<(), StartError>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let args = Args::parse_from(args);
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,dev_l1=info"));
    // A host program may have installed its own subscriber.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    block_on(args)
}
