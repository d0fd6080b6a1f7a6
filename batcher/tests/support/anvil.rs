//! anvil, a development L1 that others wrote: a second opinion on ours.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Redirect;
use axum::routing::get;
use axum::{Json, Router};
use dev_l1::{DEFAULT_CHAIN_ID, DEFAULT_MNEMONIC};
use rollup::l1::Rpc;
use serde_json::{Value, json};

/// Seconds between blocks, on the clock and in timestamps.
const SLOT_SECONDS: u64 = 1;
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running anvil; dropping it ends the process.
pub(crate) struct Anvil {
    child: Child,
    url: String,
    beacon: String,
}

impl Anvil {
    /// The program that `ANVIL` names, or the one on the path. With neither, `None`; unless `REQUIRE_ANVIL=1` says
    /// that this is a failure.
    pub(crate) fn find() -> Option<PathBuf> {
        if let Some(named) = std::env::var_os("ANVIL").filter(|named| !named.is_empty()) {
            assert!(Path::new(&named).is_file(), "ANVIL names {named:?}, which is no file");
            return Some(named.into());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found =
            std::env::split_paths(&path).map(|folder| folder.join("anvil")).find(|file| file.is_file());
        let required = std::env::var("REQUIRE_ANVIL").is_ok_and(|value| value == "1");
        assert!(
            found.is_some() || !required,
            "REQUIRE_ANVIL=1, but ANVIL is not set and none is on the path"
        );
        found
    }

    /// Starts it with the chain id, accounts and fork of the development L1.
    pub(crate) async fn start(program: &Path) -> Self {
        let chain_id = DEFAULT_CHAIN_ID.to_string();
        let mut child = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0", "--hardfork", "osaka", "--no-mining"])
            .args(["--chain-id", &chain_id, "--mnemonic", DEFAULT_MNEMONIC])
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
        let mut anvil = Self { child, url: String::new(), beacon: String::new() };
        let address = tokio::task::spawn_blocking(move || told.recv_timeout(START_TIMEOUT)).await.unwrap();
        let address = address.expect("anvil does not start");
        anvil.url = format!("http://{address}");
        anvil.beacon = beacon(&anvil.url).await;
        // Timestamps must grow by exactly one slot a block, or blobs are not found: see `beacon`.
        let rpc = Rpc::new(&[anvil.url()]).unwrap();
        let _: Value = rpc.call("anvil_setBlockTimestampInterval", json!([SLOT_SECONDS])).await.unwrap();
        let _: Value = rpc.call("evm_setIntervalMining", json!([SLOT_SECONDS])).await.unwrap();
        anvil
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn beacon_url(&self) -> String {
        self.beacon.clone()
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What anvil's beacon API lacks: `config/spec`. All else is anvil's own answer. It takes a block id for the number of
/// an execution block where real beacon nodes take it for a slot; since timestamps grow by one slot a block, that is
/// the same number.
async fn beacon(anvil: &str) -> String {
    let spec = json!({ "data": { "SECONDS_PER_SLOT": SLOT_SECONDS.to_string() } });
    let elsewhere = |State(anvil): State<String>, uri: Uri| async move {
        Redirect::temporary(&format!("{anvil}{}", uri.path_and_query().map_or("", |path| path.as_str())))
    };
    let routes = Router::new()
        .route("/eth/v1/config/spec", get(|| async { Json(spec) }))
        .fallback(elsewhere)
        .with_state(anvil.to_owned());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    format!("http://{address}")
}
