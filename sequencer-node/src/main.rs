//! The `sequencer-node` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    sequencer_node::main_from_args(std::env::args_os())
}
