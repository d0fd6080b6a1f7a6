//! Proof of validators' misdeeds: kept in the data folder, judged by `evidence verify` for whoever is shown it, and taken to
//! the registry on L1 by `evidence submit`.

mod folder;
mod slasher;
mod submit;
mod verify;

use node_core::evidence::Evidence;
use ordering_types::{ChainSpec, Digest};
use serde::{Deserialize, Serialize};

pub(crate) use folder::EvidenceFolder;
pub(crate) use slasher::Slasher;
pub(crate) use submit::run as submit;
pub(crate) use verify::run;

/// Most bytes of a file: a signing package of the largest committee with its key's public data, in hexadecimal, fits several times.
const MAX_FILE_BYTES: u64 = 256 << 10;

/// What a file holds, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvidenceFile {
    /// Name of the network, for people.
    network: String,
    /// Hash of its genesis file.
    chain_spec: Digest,
    /// The proof.
    evidence: Evidence,
}

impl EvidenceFile {
    fn new(spec: &ChainSpec, evidence: &Evidence) -> Self {
        Self { network: spec.network.clone(), chain_spec: spec.hash(), evidence: evidence.clone() }
    }
}

/// For fuzz targets: a file that says anything about four validators.
#[cfg(feature = "fuzzing")]
pub(crate) fn parse_any(text: &str) {
    use ordering_types::chain_spec::Committee;
    use ordering_types::preimage::Domain;
    use ordering_types::{Address, SecretKey, ValidatorId};

    let Ok(file) = serde_json::from_str::<EvidenceFile>(text) else { return };
    let key = |id: u8| SecretKey::from_bytes([id; 32]).expect("far below the group order").public_key();
    let committee = Committee::new((1..=4).map(|id| (ValidatorId::new(id.into()), key(id))).collect());
    let domain = Domain { l1_chain_id: 1337, inbox: Address::new([0xaa; 20]) };
    // Whatever it says, judging it ends.
    let _ = file.evidence.verify(&domain, &committee);
}
