//! `testnet`: one command brings up a whole local network. See `testnet --help`.

fn main() -> std::process::ExitCode {
    testnet::main_from_args(std::env::args_os().collect())
}
