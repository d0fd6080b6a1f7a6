//! Each mistake of an operator has its own words and its own exit code.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::node::{Folders, Running};

fn private(path: &std::path::Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// An L1 endpoint that answers every request with this chain id.
fn l1_with_chain(chain_id: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request);
            let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":\"{chain_id}\"}}");
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
        }
    });
    url
}

#[test]
fn every_mistake_has_its_own_answer() {
    let folders = Folders::new();
    let text = |path: &str| folders.path(path).display().to_string();
    private(&folders.path("wrong"), "wrong password\n");
    fs::write(folders.path("open"), "correct horse\n").unwrap();
    fs::set_permissions(folders.path("open"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(folders.path("empty")).unwrap();
    fs::write(folders.path("bad.toml"), "network = 'x'").unwrap();
    let wrong_l1 = l1_with_chain("0x5");
    let table: Vec<(Vec<String>, i32, &str)> = vec![
        (vec![], 0, "all good"),
        (vec!["--no-such-flag".into()], 2, "--no-such-flag"),
        (vec!["--chain-spec".into(), text("nowhere")], 3, "nowhere"),
        (vec!["--chain-spec".into(), text("bad.toml")], 3, "l1_chain_id"),
        (vec!["--password-file".into(), text("wrong")], 4, "wrong password"),
        (vec!["--password-file".into(), text("open")], 4, "chmod 600"),
        (vec!["--data-dir".into(), text("empty")], 5, "vote twice"),
        (vec!["--l1-endpoint".into(), wrong_l1], 7, "serves chain 5, the genesis file names chain 1337"),
        (vec!["--l1-endpoint".into(), "http://127.0.0.1:1".into()], 0, "does not answer"),
    ];
    for (flags, code, words) in table {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let output = folders.command(1, &["config", "check"], &flags);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {said}");
        assert!(said.contains(words), "{flags:?}: {said}");
    }
    let again = folders.init(1);
    assert_eq!(again.status.code(), Some(5));
    let shown = folders.command(1, &["key", "show"], &[]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("peer_id"));
}

#[test]
fn a_running_node_holds_its_ports_and_its_folder() {
    let folders = Folders::new();
    let mut running = Running::start(&folders.config(1));
    let pid = running.ready["pid"].to_string();
    let busy = folders.command(1, &["run"], &[]);
    let said = String::from_utf8_lossy(&busy.stderr).into_owned();
    assert_eq!(busy.status.code(), Some(6), "{said}");
    assert!(said.contains("network.listen") && said.contains(&pid), "{said}");
    let elsewhere = |door: &str| [format!("--{door}-listen"), "127.0.0.1:0".to_owned()];
    let flags: Vec<String> =
        ["network", "ingress", "rpc", "metrics"].into_iter().flat_map(elsewhere).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let locked = folders.command(1, &["run"], &flags);
    let said = String::from_utf8_lossy(&locked.stderr).into_owned();
    assert_eq!(locked.status.code(), Some(5), "{said}");
    assert!(said.contains("in use by process") && said.contains(&pid), "{said}");
    assert_eq!(running.close_stdin(), Some(0));
    fs::remove_file(folders.path("n1/data/wal.redb")).unwrap();
    let missing = folders.command(1, &["run"], &[]);
    assert_eq!(missing.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("vote twice"));
}
