//! The program as a person at a terminal meets it when things are not as they should be.

#![allow(clippy::unwrap_used, missing_docs)]

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use testnet::procfs::ProcessId;

fn testnet(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_testnet")).current_dir(folder).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn commands_about_a_network_that_does_not_run_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let links = [&["link", "cut", "1", "2"][..], &["link", "heal"], &["link", "show"]];
    for command in
        [&["status"][..], &["down"], &["kill", "2"], &["restart", "batcher-1"]].into_iter().chain(links)
    {
        let output = testnet(folder.path(), command);
        assert_eq!(output.status.code(), Some(4), "{command:?}: {}", said(&output));
        assert!(said(&output).contains("testnet-data"), "{}", said(&output));
    }
    assert_eq!(testnet(folder.path(), &["reset"]).status.code(), Some(0));
    assert_eq!(testnet(folder.path(), &["kill", "nobody"]).status.code(), Some(2));
    assert_eq!(testnet(folder.path(), &["--nodes", "3"]).status.code(), Some(2));
}

/// Before anything is made or started.
#[test]
fn a_distance_that_cannot_be_is_a_wrong_command_line() {
    let folder = tempfile::tempdir().unwrap();
    for (line, expected) in [
        ("--link-loss 101%", "expected a share such as 1%"),
        ("--link-delay soon", "expected a time such as 60s"),
        ("--link-jitter 5ms", "jitter cannot be more than its delay"),
        ("bench --link-delay 5ms --link-jitter 6ms", "jitter cannot be more than its delay"),
        ("up --link-delay 11s", "delay is at most 10 s"),
        ("link cut", "--all"),
        ("link set 1 2", "--delay"),
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let output = testnet(folder.path(), &args);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", said(&output));
        assert!(said(&output).contains(expected), "{line}: {}", said(&output));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn somebody_elses_folder_is_refused_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("testnet-data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("thesis"), "x").unwrap();
    for command in [&["--port-base", "21000"][..], &["reset"], &["status"]] {
        let output = testnet(folder.path(), command);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {}", said(&output));
        assert!(said(&output).contains("was not made by testnet"), "{}", said(&output));
    }
    assert!(data.join("thesis").exists());
}

#[test]
fn a_busy_port_is_named_with_its_holder_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    // The L1 gets base + 545, the first node's ingress base + 201. Both sockets are held from the moment they are found
    // free: a port let go for a moment may stay with a child that another test forks in between.
    let (listener, socket, base) = std::iter::repeat_with(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = listener.local_addr().unwrap().port().checked_sub(545)?;
        let socket = UdpSocket::bind(("127.0.0.1", base.checked_add(201)?)).ok()?;
        (1_024..=64_900).contains(&base).then_some((listener, socket, base))
    })
    .take(1_000)
    .find_map(|found| found)
    .unwrap();
    let output = testnet(folder.path(), &["--port-base", &base.to_string()]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let me = std::process::id();
    for expected in [
        format!("TCP port {} (L1 JSON-RPC of dev-l1) is held by process {me} (", base + 545),
        format!("UDP port {} (QUIC ingress of node-1) is held by process {me} (", base + 201),
    ] {
        assert!(text.contains(&expected), "{expected:?} is not in: {text}");
    }
    assert!(!folder.path().join("testnet-data").exists());
    drop((listener, socket));
}

#[test]
fn a_port_base_without_room_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = testnet(folder.path(), &["--port-base", "65000"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("port base 65000 does not work"), "{}", said(&output));
}

/// What holds for every child: when the parent goes, however it goes, its end of the pipe closes and the child ends.
#[test]
fn a_child_ends_with_its_standard_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_testnet"))
        .args(["__dev-l1", "--listen", "127.0.0.1:0", "--json", "--exit-on-stdin-eof"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let id = ProcessId::of(child.id()).unwrap();
    assert!(id.alive());
    drop(child.stdin.take());
    let deadline = Instant::now() + Duration::from_secs(60);
    while id.alive() {
        assert!(Instant::now() < deadline, "the child outlives its parent's pipe");
        std::thread::yield_now();
    }
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_pid_is_told_apart_from_its_successor() {
    let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
    let id = ProcessId::of(child.id()).unwrap();
    let earlier = ProcessId { started: id.started - 1, ..id };
    assert!(id.alive() && !earlier.alive());
    assert!(id.usage().is_some() && earlier.usage().is_none());
    child.kill().unwrap();
    // Not collected yet: a zombie has a pid and is no running process.
    let deadline = Instant::now() + Duration::from_secs(10);
    while id.alive() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    child.wait().unwrap();
    assert!(ProcessId::of(id.pid).is_none_or(|now| now != id));
}
