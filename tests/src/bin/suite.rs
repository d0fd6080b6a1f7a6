//! Every program of the workspace in one binary: a package's tests see only the binaries of their own package.
//!
//! `suite node …`, `suite batcher …`, `suite dev-l1 …` and `suite testnet …` behave as those programs do. Anything else is
//! handed to the testnet's `main`, which starts its network by starting this very binary under hidden names.

use std::ffi::OsString;
use std::process::ExitCode;

/// Chunks come and go by the hundred a second: this allocator keeps their pages instead of handing them back each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
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
