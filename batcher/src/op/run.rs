//! From arguments to a running `batcher op`, and back to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use batcher_format::kzg::{Kzg, PRECOMPUTE_PROVE};
use color_eyre::eyre::{Context, Result};
use rollup::client::Nodes;
use rollup::verify::Network;
use tokio::sync::watch;

use super::carry::Carrier;
use super::execution::Execution;
use super::feeder::{Feeder, Posted};
use super::settings::{self, Config, Flags};
use super::status::Board;
use super::watch::Watch;
use crate::key;
use crate::l1::L1;
use crate::run::{show, start, stopped, variables};

/// Runs until it is told to stop. Prints a JSON line to standard output for each channel; logs go to standard error.
pub(crate) fn run_from_args(args: Vec<OsString>) -> ExitCode {
    start(
        "batcher op",
        args,
        |flags: Flags| {
            let until_stdin_ends = flags.exit_on_stdin_eof;
            Ok((settings::load(flags, variables())?, until_stdin_ends))
        },
        work,
    )
}

async fn work(config: Config, stop: watch::Receiver<bool>) -> Result<()> {
    let Config { spec, execution, l1, inbox, keystore, password_file, plan, limits, metrics } = config;
    let signer = tokio::task::spawn_blocking(move || key::load(&keystore, &password_file)).await??;
    let l1 = Arc::new(L1::new(&l1, spec.l1_chain_id, inbox.into_array(), signer)?);
    let account = l1.account();
    let board = Arc::new(Board::new(account)?);
    let nodes = Nodes::new(Network::new(Arc::clone(&spec)), &plan.endpoints)?;
    let execution = Arc::new(Execution::new(&execution)?);
    let server = show(metrics, &board, stop.clone()).await?;
    tracing::info!(%account, %inbox, rollup = %plan.rollup, network = spec.network, "batcher op starts");
    tracing::warn!("what L1 has of this rollup is what this account says: no committee signs it");
    let watch = Watch {
        l1: Arc::clone(&l1),
        l1_chain_id: spec.l1_chain_id,
        execution: Arc::clone(&execution),
        chain_id: plan.chain_id,
        nodes: nodes.clone(),
        board: Arc::clone(&board),
    };
    let loading = tokio::task::spawn_blocking(|| Kzg::load(PRECOMPUTE_PROVE));
    let feeding = async {
        let (poll, kzg) = (plan.poll, loading.await?);
        let carrier = Carrier::new(l1, spec.l1_chain_id, limits, kzg, poll, Arc::clone(&board));
        Feeder::new(plan, execution, nodes, carrier, board).run(tell).await;
        Result::<()>::Ok(())
    };
    tokio::select! {
        ended = feeding => ended?,
        () = watch.run() => {}
        () = stopped(stop) => tracing::info!("batcher op stops"),
    }
    if let Some(server) = server {
        server.await?.wrap_err("metrics server")?;
    }
    Ok(())
}

fn tell(posted: Posted) {
    if let Ok(line) = serde_json::to_string(&posted) {
        println!("{line}");
    }
}
