//! Every program of the workspace in one binary: a package's tests see only the binaries of their own package.
//!
//! `suite node …`, `suite batcher …`, `suite dev-l1 …` and `suite testnet …` behave as those programs do. Anything else is
//! handed to the testnet's `main`, which starts its network by starting this very binary under hidden names.
//!
//! With `SUITE_LIAR=node-6` the node of this name signs wrongly, with real processes, and all else is as it always is:
//! `SUITE_LIAR=node-6 suite bench --nodes 7 --rate 500 --dead-node 7@1s`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use node_core::planted::{PlantedBug, plant};

/// Chunks come and go by the hundred a second: this allocator keeps their pages instead of handing them back each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Names the folder of a node that is to lie.
const LIAR: &str = "SUITE_LIAR";

/// Whether this process is the node that is to lie: its config file is in that folder.
fn lies(args: &[OsString]) -> bool {
    let Some(liar) = std::env::var_os(LIAR) else { return false };
    args.iter().map(Path::new).any(|arg| arg.components().any(|part| part.as_os_str() == liar))
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if lies(&args) {
        plant(PlantedBug::WrongShares);
    }
    let named = |name: &str| -> Vec<OsString> {
        std::iter::once(name.into()).chain(args.iter().skip(2).cloned()).collect()
    };
    match args.get(1).and_then(|first| first.to_str()) {
        Some("node") => sequencer_node::main_from_args(named("sequencer-node")),
        Some("batcher") => batcher::run_from_args(named("batcher")),
        Some("dev-l1") => match dev_l1::main_from_args(named("dev-l1")) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("Error: {error}");
                ExitCode::FAILURE
            }
        },
        Some("testnet") => testnet::main_from_args(named("testnet")),
        _ => testnet::main_from_args(args),
    }
}
