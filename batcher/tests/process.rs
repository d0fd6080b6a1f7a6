//! The binary as an operator starts it: files, flags, a kill, an end, and mistakes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

mod support;

use std::fs::{Permissions, set_permissions, write};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::json;
use support::poster::derived;
use support::{Network, account, until};

/// Writes everything that a batcher needs into a folder.
fn prepare(folder: &Path, network: &Network, edit: impl FnOnce(String) -> String) {
    let private = |name: &str, text: &str| {
        write(folder.join(name), text).unwrap();
        set_permissions(folder.join(name), Permissions::from_mode(0o600)).unwrap();
    };
    let mut rng = rand::thread_rng();
    let secret = account(0).to_bytes();
    eth_keystore::encrypt_key(folder, &mut rng, secret, "open sesame", Some("key.json")).unwrap();
    set_permissions(folder.join("key.json"), Permissions::from_mode(0o600)).unwrap();
    private("password", "open sesame\n");
    private("chain-spec.toml", &toml::to_string(&*network.spec).unwrap());
    let config = format!(
        "chain_spec = \"chain-spec.toml\"\nl1 = [\"{}\"]\nnodes = [\"{}\"]\nkeystore = \"key.json\"\n\
         password_file = \"password\"\nmetrics = \"off\"\nl1_slot_ms = 1000\n",
        network.l1.url(),
        network.node
    );
    private("batcher.toml", &edit(config));
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batcher"));
    command.arg("--config").arg(folder.join("batcher.toml")).arg("--exit-on-stdin-eof");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// As on a machine that has no CA certificates.
fn without_certificates(command: &mut Command) -> &mut Command {
    command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent")
}

/// A child that is killed if its test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_posts_survives_a_kill_and_ends_with_its_parent() {
    let network = Network::start().await;
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), &network, |config| config);
    network.seal(200);
    // The L1 is plain HTTP: certificates are not needed.
    let mut first = Running(without_certificates(&mut command(folder.path())).spawn().unwrap());
    derived(&network, 1).await;
    first.0.kill().unwrap();
    first.0.wait().unwrap();

    network.seal(200);
    let mut second = Running(command(folder.path()).spawn().unwrap());
    derived(&network, 2).await;
    network.check_derivation().await;
    // L1 has the batch before the batcher has seen its receipt.
    let stdout = second.0.stdout.take().unwrap();
    let line = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next().unwrap().unwrap());
    let line = tokio::time::timeout(Duration::from_secs(60), line).await.expect("it never says so").unwrap();
    let status: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(status["posted"], 1, "{line}");
    drop(second.0.stdin.take());
    let status = until("the end", async || second.0.try_wait().unwrap()).await;
    assert!(status.success());
    let mut logs = String::new();
    second.0.stderr.take().unwrap().read_to_string(&mut logs).unwrap();
    assert!(!logs.contains("open sesame"));
}

/// Runs to its end: only for what cannot start.
async fn fails(mut command: Command) -> Output {
    let mut running = Running(command.spawn().unwrap());
    let status = until("the refusal", async || running.0.try_wait().unwrap()).await;
    let mut stderr = Vec::new();
    running.0.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    Output { status, stdout: Vec::new(), stderr }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_start_says_why() {
    let network = Network::start().await;
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = holder.local_addr().unwrap().to_string();
    let spec = |config: String| config;
    type Break<'a> = Box<dyn Fn(&Path, &mut Command) + 'a>;
    let table: Vec<(Break<'_>, &str)> = vec![
        (Box::new(|_, command| _ = command.arg("--metrics").arg("nowhere")), "metrics"),
        (Box::new(|_, command| _ = command.arg("--l1").arg("ftp://example")), "endpoint 1 is not an http://"),
        (
            Box::new(|_, command| _ = without_certificates(command).arg("--l1").arg("https://example")),
            "install the system's CA certificates",
        ),
        (Box::new(|_, command| _ = command.arg("--index").arg("1")), "batcher index 1 of 1"),
        (
            Box::new(|folder, command| _ = command.arg("--calldata-keystore").arg(folder.join("key.json"))),
            "pays for blobs already",
        ),
        (
            Box::new(|folder, command| _ = command.arg("--calldata-keystore").arg(folder.join("none.json"))),
            "none.json",
        ),
        (Box::new(|_, command| _ = command.env("BATCHER_L2", "x")), "BATCHER_L2"),
        (Box::new(|_, command| _ = command.arg("--frobnicate")), "--frobnicate"),
        (Box::new(|folder, _| write(folder.join("batcher.toml"), "inbox = 1").unwrap()), "inbox"),
        (
            Box::new(|folder, _| write(folder.join("password"), "wrong").unwrap()),
            "does not open this keystore",
        ),
        (
            Box::new(|folder, _| {
                set_permissions(folder.join("key.json"), Permissions::from_mode(0o644)).unwrap();
            }),
            "chmod 600",
        ),
        (Box::new(|folder, _| write(folder.join("chain-spec.toml"), "x = 1").unwrap()), "chain-spec.toml"),
    ];
    for (breaks, wanted) in table {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), &network, spec);
        let mut command = command(folder.path());
        breaks(folder.path(), &mut command);
        let output = fails(command).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(wanted), "{wanted}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), &network, spec);
    let mut command = command(folder.path());
    command.arg("--metrics").arg(&busy);
    let text = String::from_utf8_lossy(&fails(command).await.stderr).into_owned();
    assert!(text.contains(&busy), "{text}");
    drop(holder);
}

/// An account without money is an alarm: at ERROR level, once, with the address to send ether to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_account_is_an_alarm() {
    let network = Network::start().await;
    let payer = account(0).address();
    let _: serde_json::Value = network.rpc.call("dev_setBalance", json!([payer, "0x1"])).await.unwrap();
    network.seal(200);
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), &network, |config| config);
    let mut running = Running(command(folder.path()).env("NO_COLOR", "1").spawn().unwrap());
    let stderr = BufReader::new(running.0.stderr.take().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    let lines = tokio::task::spawn_blocking(move || {
        let mut lines = std::iter::from_fn(|| told.recv_timeout(Duration::from_secs(60)).ok());
        let alarm = lines.find(|line| line.contains("ERROR"));
        // Some polls later it has not been said again.
        let more = std::iter::from_fn(|| told.recv_timeout(Duration::from_secs(2)).ok());
        (alarm, more.filter(|line| line.contains("ERROR")).count())
    });
    let (alarm, more) = lines.await.unwrap();
    let alarm = alarm.expect("no alarm");
    let what = "out of money: send ether to the account of `keystore`, posting then goes on by itself";
    assert!(alarm.contains(what) && alarm.contains(&payer.to_string()), "{alarm}");
    assert_eq!(more, 0);
}

/// A dead L1, or one of another chain, is no reason to stop: it is named, and `/readyz` says no.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_or_wrong_l1_is_named_and_tried_again() {
    let network = Network::start().await;
    for (from, to, wanted) in [
        (network.l1.url(), "http://127.0.0.1:1".to_owned(), "127.0.0.1:1:"),
        ("l1_chain_id = 1337".to_owned(), "l1_chain_id = 7".to_owned(), "is of chain 1337"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), &network, |config| config.replace(&from, &to));
        let spec_path = folder.path().join("chain-spec.toml");
        let spec = std::fs::read_to_string(&spec_path).unwrap().replace(&from, &to);
        write(&spec_path, spec).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = command(folder.path());
        command.arg("--metrics").arg(port.to_string());
        let mut running = Running(command.spawn().unwrap());
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap();
        until(wanted, async || {
            let answer = client.get(format!("http://{port}/readyz")).send().await.ok()?;
            let refused = answer.status().as_u16() == 503;
            (refused && answer.text().await.unwrap().contains(wanted)).then_some(())
        })
        .await;
        let live = client.get(format!("http://{port}/livez")).send().await.unwrap();
        assert_eq!(live.status().as_u16(), 200);
        assert!(running.0.try_wait().unwrap().is_none(), "it must keep trying");
    }
}
