//! Which validator a key is: by the genesis file, else by what an earlier start found, else by the registry on L1.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use ordering_types::{ChainSpec, Digest, PublicKey, ValidatorId};
use rollup::registry::IValidatorRegistry::idOfCall;
use serde::{Deserialize, Serialize};

use super::desk::contract;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::l1::{At, Contract, ReadError};

/// Its name in the data folder.
const FILE: &str = "validator.json";
/// Most bytes of it.
const MAX_FILE_BYTES: u64 = 1_024;

/// Why a key's validator is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdError {
    /// It is no founder, and the network has no others.
    #[error("the key in {} ({key}) is not that of a validator in genesis file {}", key_file.display(), genesis.display())]
    NoFounder {
        /// The key file.
        key_file: PathBuf,
        /// Its key.
        key: PublicKey,
        /// The genesis file.
        genesis: PathBuf,
    },
    /// It is nowhere.
    #[error(
        "the key in {} ({key}) is not that of a validator in genesis file {}, and the registry on L1 does not have it either: \
         register it with `sequencer-node join`, or use the right key", key_file.display(), genesis.display()
    )]
    NotRegistered {
        /// The key file.
        key_file: PathBuf,
        /// Its key.
        key: PublicKey,
        /// The genesis file.
        genesis: PathBuf,
    },
    /// Its registration may still be reverted.
    #[error(
        "the registration of key {0} is not final on L1 yet: the network takes notice of final blocks only. Wait (some 15 \
         minutes on Ethereum; `sequencer-node status` shows it) and start again"
    )]
    NotFinal(PublicKey),
    /// The registry cannot be asked.
    #[error("the key {key} is not in the genesis file, and the registry on L1 cannot be asked for it: {why}")]
    Unasked {
        /// The key.
        key: PublicKey,
        /// Why.
        why: String,
    },
}

impl IdError {
    const fn exit(&self) -> Exit {
        match self {
            Self::NoFounder { .. } | Self::NotRegistered { .. } => Exit::Key,
            Self::NotFinal(_) | Self::Unasked { .. } => Exit::L1,
        }
    }
}

impl From<IdError> for Failure {
    fn from(error: IdError) -> Self {
        Self::new(error.exit(), error)
    }
}

/// What an earlier start found. Ids never change and no other key ever has them, so it stays true.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    validator: ValidatorId,
    key: PublicKey,
    chain_spec: Digest,
}

/// The validator of this key. Asks L1 only if neither the genesis file nor the data folder knows it, and keeps the answer there.
pub(crate) fn validator_id(
    config: &Config,
    spec: &ChainSpec,
    key: &PublicKey,
) -> Result<ValidatorId, Failure> {
    if let Some(founder) = spec.validators.iter().find(|v| v.key == *key) {
        return Ok(founder.id);
    }
    let (key_file, genesis) = (config.key.file.clone(), config.chain_spec.clone());
    if spec.registry.is_none() {
        return Err(IdError::NoFounder { key_file, key: *key, genesis }.into());
    }
    let file = config.data_dir.join(FILE);
    if let Some(id) = read(&file, spec, key) {
        return Ok(id);
    }
    let contract = contract(config, spec).map_err(Failure::from)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Failure, e))?;
    let (latest, last) = runtime
        .block_on(ask(&contract, key))
        .map_err(|e| IdError::Unasked { key: *key, why: e.to_string() })?;
    match (latest, last) {
        (_, Some(id)) => {
            keep(&file, &Found { validator: id, key: *key, chain_spec: spec.hash() });
            Ok(id)
        }
        (Some(_), None) => Err(IdError::NotFinal(*key).into()),
        (None, None) => Err(IdError::NotRegistered { key_file, key: *key, genesis }.into()),
    }
}

/// The id at the newest and at the newest final block.
async fn ask(
    contract: &Contract,
    key: &PublicKey,
) -> Result<(Option<ValidatorId>, Option<ValidatorId>), ReadError> {
    contract.check_chain().await?;
    let node = Address::from(*key.address().as_bytes());
    let id = |id: u16| (id != 0).then(|| ValidatorId::new(id));
    let latest = id(contract.read(idOfCall { node }, At::Latest).await?);
    let last = match contract.read(idOfCall { node }, At::Finalized).await {
        // The contract itself is newer.
        Err(ReadError::NoContract(_)) => None,
        other => id(other?),
    };
    Ok((latest, last))
}

fn read(file: &Path, spec: &ChainSpec, key: &PublicKey) -> Option<ValidatorId> {
    let mut text = String::new();
    fs::File::open(file).ok()?.take(MAX_FILE_BYTES).read_to_string(&mut text).ok()?;
    let found: Found = serde_json::from_str(&text).ok()?;
    (found.key == *key && found.chain_spec == spec.hash()).then_some(found.validator)
}

/// That it cannot be kept costs a question at the next start.
fn keep(file: &Path, found: &Found) {
    // A missing data folder is a lost one, and is not made here.
    let Some(text) = serde_json::to_string(found).ok().filter(|_| file.parent().is_some_and(Path::is_dir))
    else {
        return;
    };
    let unfinished = file.with_extension("new");
    let written = fs::write(&unfinished, text + "\n").and_then(|()| fs::rename(&unfinished, file));
    if let Err(error) = written {
        tracing::warn!(file = %file.display(), %error, "this validator's id cannot be kept; L1 is asked again at the next start");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ordering_types::SecretKey;

    use super::*;

    #[test]
    fn what_was_found_counts_for_its_key_and_network_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let key = |n| SecretKey::from_bytes([n; 32]).unwrap().public_key();
        let spec = ChainSpec::default();
        let found = Found { validator: ValidatorId::new(5), key: key(1), chain_spec: spec.hash() };
        keep(&folder.path().join("none").join(FILE), &found);
        assert!(!folder.path().join("none").exists());
        assert_eq!(read(&file, &spec, &key(1)), None);
        keep(&file, &found);
        assert_eq!(read(&file, &spec, &key(1)), Some(ValidatorId::new(5)));
        assert_eq!(read(&file, &spec, &key(2)), None);
        let other = ChainSpec { network: "other".to_owned(), ..ChainSpec::default() };
        assert_eq!(read(&file, &other, &key(1)), None);
        fs::write(&file, "{\"validator\":").unwrap();
        assert_eq!(read(&file, &spec, &key(1)), None);
    }
}
