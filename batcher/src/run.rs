//! From arguments to a running batcher, and back to an exit code.

use std::ffi::OsString;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use alloy::signers::local::PrivateKeySigner;
use batcher_format::kzg::{Kzg, PRECOMPUTE_PROVE};
use clap::Parser;
use color_eyre::eyre::{Context, Result};
use rollup::client::Nodes;
use rollup::verify::Network;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

use crate::config::{self, Config, ConfigError, Flags};
use crate::http::Shown;
use crate::l1::L1;
use crate::poster::Poster;
use crate::status::Board;
use crate::txm::Account;
use crate::{http, key};

/// Exit code for settings that cannot be, so that a supervisor need not try again.
const EXIT_CONFIG: u8 = 2;

/// Runs a batcher until it is told to stop. `args` begin with the program's name.
///
/// Prints a JSON status line to standard output after each call to the contract; logs go to standard error
/// (`RUST_LOG` sets their level).
///
/// `batcher op` is another program with the same bounds and signals: see [`crate::op`].
pub fn run_from_args(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_some_and(|argument| argument == "op") {
        args.remove(1);
        return crate::op::run_from_args(args);
    }
    start(
        "batcher",
        args,
        |flags: Flags| {
            let until_stdin_ends = flags.exit_on_stdin_eof;
            Ok((config::load(flags, variables())?, until_stdin_ends))
        },
        work,
    )
}

/// Arguments to settings, settings to a run, and what came of it to an exit code.
///
/// `load` also says whether the program ends with standard input.
pub(crate) fn start<F: Parser, C, W: Future<Output = Result<()>>>(
    name: &str,
    args: Vec<OsString>,
    load: impl FnOnce(F) -> Result<(C, bool), ConfigError>,
    work: impl FnOnce(C, watch::Receiver<bool>) -> W,
) -> ExitCode {
    let flags = match F::try_parse_from(args) {
        Ok(flags) => flags,
        Err(error) => {
            // Help and version are no errors; clap knows where each goes.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::SUCCESS };
        }
    };
    prepare_process();
    let (config, until_stdin_ends) = match load(flags) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{name}: {error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match block_on(until_stdin_ends, |stop| work(config, stop)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Names of the environment's variables.
pub(crate) fn variables() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

/// Logs, and the one TLS provider.
fn prepare_process() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A host process may have set both up already.
    let _ = logs.try_init();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Works until it ends by itself, or sees the signal to stop.
fn block_on<F: Future<Output = Result<()>>>(
    until_stdin_ends: bool,
    work: impl FnOnce(watch::Receiver<bool>) -> F,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .wrap_err("cannot start the async runtime")?;
    runtime.block_on(async { work(stop_signal(until_stdin_ends)?).await })
}

async fn work(config: Config, stop: watch::Receiver<bool>) -> Result<()> {
    let signer = load_key(config.keystore.clone(), config.password_file.clone()).await?;
    let spec = &config.spec;
    let mut l1 = L1::new(&config.l1, spec.l1_chain_id, *spec.inbox.as_bytes(), signer)?;
    if let Some((keystore, password)) = config.calldata_keystore.clone() {
        l1 = l1.with_calldata_account(load_key(keystore, password).await?).wrap_err("calldata_keystore")?;
    }
    let board = Arc::new(Board::new(l1.account())?);
    board.update(|status| status.calldata_account = l1.address(Account::Calldata));
    let nodes = Nodes::new(Network::new(Arc::clone(spec)), &config.nodes)?;
    let server = show(config.metrics, &board, stop.clone()).await?;
    tracing::info!(account = %l1.account(), inbox = %spec.inbox, network = spec.network, "batcher starts");
    let loading = tokio::task::spawn_blocking(|| Kzg::load(PRECOMPUTE_PROVE));
    let poster = async {
        let kzg = loading.await?;
        let Config { rotation, limits, slot, .. } = config;
        Poster::new(l1, nodes, rotation, limits, slot, board, kzg).run().await;
        Result::<()>::Ok(())
    };
    tokio::select! {
        ended = poster => ended?,
        () = stopped(stop) => tracing::info!("batcher stops"),
    }
    if let Some(server) = server {
        server.await?.wrap_err("metrics server")?;
    }
    Ok(())
}

/// Serves the board at this address, if there is one. A port that cannot be had is an error at start.
pub(crate) async fn show<B: Shown>(
    address: Option<SocketAddr>,
    board: &Arc<B>,
    stop: watch::Receiver<bool>,
) -> Result<Option<JoinHandle<io::Result<()>>>> {
    let Some(address) = address else { return Ok(None) };
    let listener = http::listen(address)
        .await
        .wrap_err_with(|| format!("cannot serve metrics on {address}: choose another with --metrics"))?;
    Ok(Some(tokio::spawn(http::serve(listener, Arc::clone(board), stopped(stop)))))
}

async fn load_key(keystore: PathBuf, password: PathBuf) -> Result<PrivateKeySigner> {
    Ok(tokio::task::spawn_blocking(move || key::load(&keystore, &password)).await??)
}

pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    // A sender that is gone will never say more.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Becomes true at SIGTERM, SIGINT or, if asked for, the end of standard input.
fn stop_signal(until_stdin_ends: bool) -> Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate()).wrap_err("cannot watch SIGTERM")?;
    let (ended, stdin_ended) = oneshot::channel();
    // A plain thread: a runtime would wait for a blocking read at its end.
    let watched = until_stdin_ends.then(|| {
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            let mut sink = [0; 256];
            while std::io::stdin().lock().read(&mut sink).is_ok_and(|count| count > 0) {}
            let _ = ended.send(());
        })
    });
    watched.transpose().wrap_err("cannot watch standard input")?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
            // Fails when nobody watches standard input; then this branch is off.
            Ok(()) = stdin_ended => {}
        }
        let _ = sender.send(true);
        // The receivers must see the value before the channel closes.
        sender.closed().await;
    });
    Ok(receiver)
}
