//! `evidence verify`: does this file prove what it says?

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ordering_types::ChainSpec;
use ordering_types::chain_spec::Committee;
use serde_json::json;

use super::{EvidenceFile, MAX_FILE_BYTES};
use crate::cli::VerifyArgs;
use crate::config;
use crate::exit::{Exit, Failure};

/// Judges the file by the genesis file alone: no node, no network.
pub(crate) fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let spec = config::load_chain_spec(&args.chain_spec).map_err(|e| Failure::new(Exit::Config, e))?;
    let judged = judge(&args.file, &spec, &spec.committee());
    if args.json {
        let verdict = match &judged {
            Ok(file) => json!({
                "proven": true,
                "validator": file.evidence.culprit(),
                "kind": file.evidence.name(),
                "what": file.evidence.to_string(),
            }),
            Err(failure) => json!({ "proven": false, "why": failure.to_string() }),
        };
        println!("{verdict}");
    }
    let file = judged?;
    if !args.json {
        println!("proven          {}", file.evidence);
        println!("network         {}, genesis file {}", file.network, file.chain_spec);
    }
    Ok(())
}

/// Whether the file proves what it says before this committee.
pub(super) fn judge(path: &Path, spec: &ChainSpec, committee: &Committee) -> Result<EvidenceFile, Failure> {
    let file = read_file(path, spec)?;
    let judged = file.evidence.verify(&spec.domain(), committee);
    let culprit = file.evidence.culprit();
    judged
        .map_err(|why| unproven(path, format!("this proves nothing against validator {culprit}: {why}")))?;
    Ok(file)
}

fn unproven(path: &Path, why: String) -> Failure {
    Failure::new(Exit::Unproven, format!("{}: {why}", path.display()))
}

/// A file about this network; nothing of it is proven yet.
pub(super) fn read_file(path: &Path, spec: &ChainSpec) -> Result<EvidenceFile, Failure> {
    let text = read(path).map_err(|e| Failure::new(Exit::Failure, format!("{}: {e}", path.display())))?;
    let file: EvidenceFile =
        serde_json::from_str(&text).map_err(|e| unproven(path, format!("no evidence file: {e}")))?;
    if file.chain_spec == spec.hash() {
        return Ok(file);
    }
    Err(unproven(
        path,
        format!(
            "it is about network {:?} with genesis file {}, this genesis file is {} of network {:?}; name the right one \
             with --chain-spec",
            file.network,
            file.chain_spec,
            spec.hash(),
            spec.network
        ),
    ))
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(std::io::Error::other(format!(
            "larger than {MAX_FILE_BYTES} bytes, which no evidence file is"
        )));
    }
    Ok(text)
}
