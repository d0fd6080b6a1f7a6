//! Foreign clients, unmodified, against this chain and against anvil: what they see must be equal.
//!
//! cast, ethers, viem and web3.py each tell one story (`with_*`, plot in `story.json`): reads, transactions of every type,
//! logs, filters, proofs, refusals. Each prints a document of what it saw. The two documents are compared field by
//! field; `allowed.rs` names what may differ. Where the two chains disagree, geth and the specifications decide.
//!
//! Needs Node.js, anvil and the folder that `CLIENTS` names (see `install`); skipped without them, unless
//! `REQUIRE_CLIENTS=1`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod allowed;
mod anvil;
mod compare;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use allowed::{WORDS, exceptions};
use anvil::Anvil;
use compare::{Exception, compare, unused};
use dev_l1::{DevL1, Options};
use serde_json::Value;

/// A whole story takes some ten seconds, most of them for KZG in JavaScript.
const STORY_TIMEOUT: Duration = Duration::from_secs(300);
const STORIES: [&str; 4] = ["with_cast.mjs", "with_ethers.mjs", "with_viem.mjs", "with_web3.py"];

fn required(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| value == "1")
}

/// The folder in which the clients are installed.
fn clients() -> Option<PathBuf> {
    let named = std::env::var_os("CLIENTS").filter(|named| !named.is_empty()).map(PathBuf::from);
    assert!(
        named.is_some() || !required("REQUIRE_CLIENTS"),
        "REQUIRE_CLIENTS=1, but CLIENTS names no folder: run tests/clients/install FOLDER"
    );
    let named = named?;
    assert!(named.join("node_modules").is_dir(), "CLIENTS names {named:?}, where no clients are installed");
    Some(named)
}

/// Lets a client tell its story; what it printed.
fn told(clients: &Path, story: &str, url: &str, mine: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let python = clients.join("venv/bin/python");
    let program = if story.ends_with(".py") { python.as_path() } else { Path::new("node") };
    let mut child = Command::new(program)
        .arg(folder.join(story))
        .args([url, mine])
        .env("CLIENTS", clients)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let read = |mut from: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut text = String::new();
            from.read_to_string(&mut text).unwrap();
            text
        })
    };
    let (out, err) =
        (read(Box::new(child.stdout.take().unwrap())), read(Box::new(child.stderr.take().unwrap())));
    let deadline = Instant::now() + STORY_TIMEOUT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(20));
    };
    let (out, err) = (out.join().unwrap(), err.join().unwrap());
    assert!(status.success(), "{story} on {url} ended with {status}: {err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{story} on {url}: {error}: {out:.300}"))
}

/// What one client sees of both chains, at the same time.
async fn both(clients: &Path, program: &Path, story: &'static str) -> [Value; 2] {
    let listen = ([127, 0, 0, 1], 0).into();
    let block_time = Duration::from_secs(1);
    let l1 =
        DevL1::spawn(Options { listen, block_time, no_mining: true, ..Options::default() }).await.unwrap();
    let program = program.to_owned();
    let anvil = tokio::task::spawn_blocking(move || Anvil::start(&program)).await.unwrap();
    let tell = |url: String, mine: &'static str| {
        let clients = clients.to_owned();
        tokio::task::spawn_blocking(move || told(&clients, story, &url, mine))
    };
    let (ours, theirs) = tokio::join!(tell(l1.url(), "dev_mine"), tell(anvil.url.clone(), "evm_mine"));
    l1.stop().await;
    [ours.unwrap(), theirs.unwrap()]
}

/// Every refusal here has geth's code and words.
fn wrong_words(document: &Value) -> Vec<String> {
    let refused = document["refused"].as_object().unwrap();
    let mut found = Vec::new();
    for (name, told) in refused {
        let Some((_, code, words)) = WORDS.iter().find(|(known, ..)| known == name) else {
            found.push(format!("{name}: not in WORDS"));
            continue;
        };
        // cast's code is text. web3.py keeps a revert's data and not its code.
        let decoded = *code == 3 && told["class"] == "ContractLogicError" && told["data"].is_string();
        let coded = told["code"] == *code || told["code"].as_str() == Some(&code.to_string()) || decoded;
        if !coded || !told["message"].as_str().is_some_and(|text| text.starts_with(words)) {
            found.push(format!("{name}: {told} is not {code} {words:?}"));
        }
    }
    assert!(refused.len() >= 10, "the story has its refusals");
    found
}

async fn check(clients: &Path, anvil: &Path, exceptions: &[Exception]) -> Vec<String> {
    let mut found = Vec::new();
    for story in STORIES {
        let started = Instant::now();
        let [ours, theirs] = both(clients, anvil, story).await;
        eprintln!("{story}: {} s", started.elapsed().as_secs());
        let differences = compare(exceptions, &ours, &theirs);
        found
            .extend(differences.into_iter().chain(wrong_words(&ours)).map(|what| format!("{story}: {what}")));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_see_the_same_on_anvil_and_here() {
    let (Some(clients), Some(anvil)) = (clients(), Anvil::find()) else {
        eprintln!("skipped: set CLIENTS and ANVIL; see tests/clients/install");
        return;
    };
    let exceptions = exceptions();
    let found = check(&clients, &anvil, &exceptions).await;
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
    assert_eq!(unused(&exceptions), Vec::<&str>::new(), "exceptions that nothing needs");
}
