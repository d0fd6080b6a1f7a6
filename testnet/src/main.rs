//! `testnet`: one command brings up a whole local network. See `testnet --help`.

/// Chunks come and go by the hundred a second: this allocator keeps their pages instead of handing them back each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    testnet::main_from_args(std::env::args_os().collect())
}
