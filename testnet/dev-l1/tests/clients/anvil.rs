//! anvil, a development chain that others wrote, set up as alike as it can be.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use dev_l1::{DEFAULT_CHAIN_ID, DEFAULT_MNEMONIC};

const START_TIMEOUT: Duration = Duration::from_secs(30);
/// anvil's first block has the base fee of its genesis block. By EIP-1559 it is lower by an eighth, after an empty
/// genesis block of 1 gwei; from there on both chains agree.
const FIRST_BASE_FEE: u64 = 875_000_000;
/// As the development L1's.
const GAS_LIMIT: u64 = 60_000_000;

/// A running anvil; dropping it ends the process.
pub(crate) struct Anvil {
    child: Child,
    pub(crate) url: String,
}

impl Anvil {
    /// The program that `ANVIL` names, or the one on the path. With neither, `None`; unless `REQUIRE_ANVIL=1` says that
    /// this is a failure.
    pub(crate) fn find() -> Option<PathBuf> {
        if let Some(named) = std::env::var_os("ANVIL").filter(|named| !named.is_empty()) {
            assert!(Path::new(&named).is_file(), "ANVIL names {named:?}, which is no file");
            return Some(named.into());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found =
            std::env::split_paths(&path).map(|folder| folder.join("anvil")).find(|file| file.is_file());
        assert!(
            found.is_some() || !super::required("REQUIRE_ANVIL"),
            "REQUIRE_ANVIL=1, but ANVIL is not set and none is on the path"
        );
        found
    }

    /// Starts it without a timer.
    pub(crate) fn start(program: &Path) -> Self {
        let mut child = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0", "--hardfork", "osaka", "--no-mining"])
            .args(["--chain-id", &DEFAULT_CHAIN_ID.to_string(), "--mnemonic", DEFAULT_MNEMONIC])
            .args(["--gas-limit", &GAS_LIMIT.to_string()])
            .args(["--block-base-fee-per-gas", &FIRST_BASE_FEE.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (tell, told) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        // Reads to the end: anvil logs every request, and a full pipe would stop it.
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("Listening on ") {
                    let _ = tell.send(address.trim().to_owned());
                }
            }
        });
        let mut anvil = Self { child, url: String::new() };
        anvil.url = format!("http://{}", told.recv_timeout(START_TIMEOUT).expect("anvil does not start"));
        anvil
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
