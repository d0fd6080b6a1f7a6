//! The `sequencer-node` binary.

use std::process::ExitCode;

/// Chunks come and go by the hundred a second: this allocator keeps their pages instead of handing them back each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sequencer_node::main_from_args(std::env::args_os())
}
