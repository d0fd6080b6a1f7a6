//! What an operator of a batcher can do wrong, and an L1 or nodes that are not what they should be.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Running, folder, get, local, program, run, until};
use crate::world::{World, copy, mode, private};

/// A refusal of `/readyz` comes within so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A copy of a working batcher's folder: config, key, password.
fn home(world: &World) -> (TempDir, PathBuf) {
    let scratch = folder();
    let home = scratch.path().join("batcher");
    copy(&world.live().data().join("batcher-1"), &home);
    let config = home.join("batcher.toml");
    let text = fs::read_to_string(&config).unwrap();
    // The original runs.
    let quiet = text.lines().map(|line| if line.starts_with("metrics") { "metrics = \"off\"" } else { line });
    fs::write(&config, quiet.collect::<Vec<_>>().join("\n")).unwrap();
    (scratch, home)
}

fn batcher(home: &Path) -> Command {
    let mut command = program("batcher");
    command.arg("--exit-on-stdin-eof").arg("--config").arg(home.join("batcher.toml"));
    command
}

/// Runs it to its end, which must come by itself.
fn fails(world: &World, break_it: impl FnOnce(&Path, &mut Command)) -> String {
    let (scratch, home) = home(world);
    let mut command = program("batcher");
    command.arg("--config").arg(home.join("batcher.toml"));
    break_it(&home, &mut command);
    run(command, scratch.path())
}

pub(crate) fn usage(world: &World) -> String {
    fails(world, |_, command| _ = command.arg("--frobnicate"))
}

pub(crate) fn unknown_key(world: &World) -> String {
    fails(world, |home, _| {
        let config = home.join("batcher.toml");
        fs::write(&config, format!("inbox = 1\n{}", fs::read_to_string(&config).unwrap())).unwrap();
    })
}

pub(crate) fn unknown_variable(world: &World) -> String {
    fails(world, |_, command| _ = command.env("BATCHER_L2", "x"))
}

pub(crate) fn bad_value(world: &World) -> String {
    fails(world, |_, command| _ = command.args(["--l1-slot-ms", "1"]))
}

pub(crate) fn bad_url(world: &World) -> String {
    fails(world, |_, command| _ = command.args(["--l1", "ftp://example"]))
}

pub(crate) fn no_certificates(world: &World) -> String {
    fails(world, |_, command| {
        command.args(["--l1", "http://127.0.0.1:1,https://127.0.0.1:1"]);
        command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
    })
}

pub(crate) fn missing_value(world: &World) -> String {
    fails(world, |home, _| {
        let config = home.join("batcher.toml");
        let text = fs::read_to_string(&config).unwrap();
        let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("nodes")).collect();
        fs::write(&config, kept.join("\n")).unwrap();
    })
}

pub(crate) fn bad_rotation(world: &World) -> String {
    fails(world, |_, command| _ = command.args(["--index", "2"]))
}

pub(crate) fn wrong_password(world: &World) -> String {
    fails(world, |home, _| private(&home.join("password"), "wrong"))
}

pub(crate) fn readable_key(world: &World) -> String {
    fails(world, |home, _| mode(&home.join("key.json"), 0o644))
}

pub(crate) fn damaged_key(world: &World) -> String {
    fails(world, |home, _| private(&home.join("key.json"), "{}"))
}

pub(crate) fn busy_port(world: &World) -> String {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    fails(world, |_, command| _ = command.args(["--metrics", &address]))
}

/// Runs a batcher that cannot work; gives its log and what `/readyz` says.
fn waits(world: &World, flags: &[&str]) -> String {
    let (scratch, home) = home(world);
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = batcher(&home);
    command.args(["--metrics", &metrics.to_string()]).args(flags);
    let mut running = Running::start(command, scratch.path().join("log"));
    let log = running.says("cannot post now");
    let answer = until("/readyz to say why", PATIENCE, || {
        let answer = get(local(metrics.port()), "/readyz").ok()?;
        answer.body.contains(": ").then_some(answer)
    });
    assert!(get(metrics, "/livez").unwrap().ok() && running.ended().is_none(), "it must keep trying");
    format!("{log}\n{}\n{}", answer.head, answer.body)
}

pub(crate) fn dead_l1(world: &World) -> String {
    waits(world, &["--l1", "http://127.0.0.1:1"])
}

pub(crate) fn l1_of_another_chain(world: &World) -> String {
    waits(world, &["--l1", world.other_l1()])
}

pub(crate) fn dead_nodes(world: &World) -> String {
    waits(world, &["--nodes", "127.0.0.1:1"])
}
