//! The relay as a process: `testnet __relay --config relay.json`. It takes commands on a Unix socket.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::plan::Plan;
use super::shell::{Relay, RelayError};
use crate::control::{self, Call, Reply, Request};

/// The hidden command line; only `testnet` uses it.
#[derive(Debug, Parser)]
#[command(name = "testnet-relay")]
struct Args {
    /// The plan, a JSON file.
    #[arg(long)]
    config: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum ProgramError {
    #[error("{0}: {1}")]
    Config(String, std::io::Error),
    #[error("{0}: {1}")]
    Json(String, serde_json::Error),
    #[error(transparent)]
    Relay(#[from] RelayError),
    #[error("control socket: {0}")]
    Control(std::io::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// The relay's `main`.
pub(crate) fn main_from_args(args: Vec<OsString>) -> ExitCode {
    let args = Args::parse_from(args);
    std::thread::spawn(|| {
        // The supervisor holds the other end: when it goes, we go.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), ProgramError> {
    let shown = || args.config.display().to_string();
    let text = std::fs::read_to_string(&args.config).map_err(|error| ProgramError::Config(shown(), error))?;
    let plan: Plan = serde_json::from_str(&text).map_err(|error| ProgramError::Json(shown(), error))?;
    // One thread: nothing here waits for anything but the network, and the cores belong to the nodes.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(&plan))
}

async fn serve(plan: &Plan) -> Result<(), ProgramError> {
    let relay = Relay::start(plan)?;
    let listener = control::listen(&plan.control).map_err(ProgramError::Control)?;
    println!("{{\"event\":\"listening\",\"fronts\":{}}}", plan.fronts.len());
    let (calls, mut incoming) = mpsc::channel(1);
    let serving = tokio::spawn(control::serve(listener, calls));
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            call = incoming.recv() => {
                let Some(Call { request, answer }) = call else { break };
                // Who asked may be gone.
                let _ = answer.send(reply(&relay, request));
            }
        }
    }
    serving.abort();
    // The log keeps what was counted.
    println!("{}", serde_json::to_string(&relay.stats()).unwrap_or_default());
    Ok(())
}

fn reply(relay: &Relay, request: Request) -> Reply {
    match request {
        Request::Link { command } => match relay.command(&command) {
            Ok(0) => Reply::refused(format!("there is no such link: {}", command.links)),
            Ok(count) => Reply::done(format!("{}: {count} directed links changed", command.links)),
            Err(error) => Reply::refused(error.to_string()),
        },
        Request::Links => Reply { relay: Some(Box::new(relay.stats())), ..Reply::done("running") },
        _ => Reply::refused("the relay only knows about links"),
    }
}
