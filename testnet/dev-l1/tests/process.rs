//! The program as a process: what its parent sees of its start and its end.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn start(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_dev-l1"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn ready_line(child: &mut Child) -> Value {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

fn ends(mut child: Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it did not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn it_says_when_it_is_ready_and_obeys_sigterm() {
    let mut child = start(&["--listen", "127.0.0.1:0", "--json", "--accounts", "2", "--block-time", "250ms"]);
    let ready = ready_line(&mut child);
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["chain_id"], 1337);
    assert_eq!(ready["block_time_ms"], 250);
    assert_eq!(ready["accounts"][0].as_str().unwrap(), "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    assert_eq!(ready["accounts"].as_array().unwrap().len(), 2);
    let address = ready["rpc"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    std::net::TcpStream::connect(&address).expect("ready means that it listens");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert!(ends(child).success());
    TcpListener::bind(&address).expect("its port is free");
}

#[test]
fn it_goes_with_its_parent() {
    let mut child = start(&["--listen", "127.0.0.1:0", "--json", "--exit-on-stdin-eof"]);
    ready_line(&mut child);
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    assert!(ends(child).success());
}

#[test]
fn what_is_wrong_with_its_arguments_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap().to_string();
    for (args, expected) in [
        (vec!["--listen", &busy], "cannot listen on 127.0.0.1:"),
        (vec!["--listen", "127.0.0.1:0", "--mnemonic", "seven wrong words"], "the mnemonic does not work"),
        (vec!["--block-time", "0"], "must be between 10ms and 3600s"),
        (vec!["--accounts", "0"], "invalid value '0' for '--accounts"),
        (vec!["--nonsense"], "unexpected argument '--nonsense'"),
    ] {
        let mut child = start(&args);
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(!ends(child).success());
        assert!(text.contains(expected), "{args:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

fn ctl(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dev-l1")).arg("ctl").args(args).output().unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_second_one_turns_the_first_ones_switches() {
    let any = "127.0.0.1:0";
    let mut child = start(&["--listen", any, "--also-listen", any, "--json", "--no-mining"]);
    let ready = ready_line(&mut child);
    let [first, second] = [0, 1].map(|index| ready["endpoints"][index].as_str().unwrap());
    assert_eq!(ready["rpc"], first);
    assert_eq!(ctl(&["mine", "3", "--rpc", first]), (true, "\"0x3\"\n".into()));
    assert!(ctl(&["reorg", r#"{"depth":2}"#, "--rpc", second]).1.contains("orphaned"));
    let account = ready["accounts"][0].as_str().unwrap();
    assert_eq!(ctl(&["dev_setBalance", account, "0x0", "--rpc", first]), (true, "true\n".into()));
    assert!(ctl(&["outage", r#"{"seconds":600}"#, "--rpc", second]).0);
    let (_, faults) = ctl(&["faults", "--rpc", second]);
    let faults: Value = serde_json::from_str(&faults).unwrap();
    assert_eq!((&faults[1]["outage"]["mode"], &faults[0]["outage"]), (&"refuse".into(), &Value::Null));
    let (done, text) = ctl(&["reorg", r#"{"depth":99}"#, "--rpc", first]);
    assert!(!done && text.contains("depth must be between 1 and 64"), "{text}");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert!(ends(child).success());
    let (done, text) = ctl(&["mine", "--rpc", first]);
    assert!(!done && text.contains("is dev-l1 running there?") && !text.contains("panicked"), "{text}");
}
