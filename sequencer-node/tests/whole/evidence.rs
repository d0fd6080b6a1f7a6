//! `evidence verify`, as somebody uses it who has a file and the genesis file, and no node.

use std::fs;
use std::path::Path;
use std::process::Output;

use node_core::evidence::Evidence;
use ordering_types::{ChainSpec, Digest, Epoch, Height, Round, SecretKey, ValidatorId, Vote, VoteKind};
use serde_json::{Value, json};

use crate::node::{Folders, node};

/// The network with a fourth validator whose key is known here.
fn genesis(folders: &Folders, secret: &SecretKey) -> ChainSpec {
    let path = folders.path("genesis.toml");
    let mut spec: ChainSpec = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    spec.validators[3].key = secret.public_key();
    fs::write(&path, toml::to_string(&spec).unwrap()).unwrap();
    spec
}

fn vote(value: u8) -> Vote {
    Vote {
        kind: VoteKind::Prevote,
        epoch: Epoch::new(0),
        height: Height::new(12),
        round: Round::new(0),
        value: Some(Digest::new([value; 32])),
        validator: ValidatorId::new(4),
    }
}

fn verify(folders: &Folders, file: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = node();
    command.args(["evidence", "verify"]).arg(file);
    command.arg("--chain-spec").arg(folders.path("genesis.toml")).args(more);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn evidence_is_judged_by_the_genesis_file_alone() {
    let folders = Folders::new();
    let secret = SecretKey::from_bytes([9; 32]).unwrap();
    let spec = genesis(&folders, &secret);
    let sign = |value| vote(value).sign(&spec.domain(), &secret);
    let write = |evidence: &Evidence, chain_spec: Digest| {
        let file = folders.path("evidence.json");
        let whole = json!({ "network": "test", "chain_spec": chain_spec, "evidence": evidence });
        fs::write(&file, whole.to_string()).unwrap();
        file
    };
    let proven = Evidence::Votes { first: sign(1), second: sign(2) };
    let file = write(&proven, spec.hash());
    let (code, said) = verify(&folders, &file, &[]);
    assert_eq!(
        (code, said.contains("validator 4 signed two Prevotes for height 12")),
        (Some(0), true),
        "{said}"
    );
    let (code, said) = verify(&folders, &file, &["--json"]);
    let verdict: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &verdict["proven"], &verdict["validator"]),
        (Some(0), &json!(true), &json!(4)),
        "{said}"
    );

    let twice = Evidence::Votes { first: sign(1), second: sign(1) };
    let (code, said) = verify(&folders, &write(&twice, spec.hash()), &[]);
    assert_eq!((code, said.contains("both are for the same value")), (Some(8), true), "{said}");
    let (code, said) = verify(&folders, &write(&proven, Digest::ZERO), &[]);
    assert_eq!((code, said.contains("name the right one with --chain-spec")), (Some(8), true), "{said}");
    let (code, said) = verify(&folders, &folders.path("password"), &["--json"]);
    assert_eq!((code, said.contains("\"proven\":false")), (Some(8), true), "{said}");
    let (code, said) = verify(&folders, &folders.path("nowhere"), &[]);
    assert_eq!((code, said.contains("nowhere")), (Some(1), true), "{said}");
}
