//! The `batcher` binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    batcher::run_from_args(std::env::args_os())
}
