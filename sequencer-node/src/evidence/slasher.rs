//! Takes two conflicting votes to the registry on L1 without being asked to, if the config names an account that pays for it.
//!
//! It looks into the evidence folder from time to time, and sends one transaction after the other. A validator that is out already, by whoever's
//! word, costs nothing; one that L1 does not take is left to people after some tries, so that no account is emptied.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ordering_types::{ChainSpec, SecretKey, ValidatorId};

use super::folder::FOLDER;
use super::submit::{accused, submit};
use super::verify::{judge, read_file};
use crate::l1::Contract;
use crate::membership::MembershipError;

/// Pause between two looks into the folder; twice as long after each failure, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));
/// Tries for one validator.
const MAX_TRIES: u32 = 5;
/// Most files of the folder that are looked at.
const MAX_FILES: usize = 1_024;

/// Who takes evidence to L1.
pub(crate) struct Slasher {
    folder: PathBuf,
    spec: Arc<ChainSpec>,
    contract: Contract,
    payer: SecretKey,
    /// Failures by validator; [`MAX_TRIES`] for those that are done with.
    tries: BTreeMap<ValidatorId, u32>,
}

impl Slasher {
    /// For the evidence in this data folder.
    pub(crate) fn new(data: &Path, spec: Arc<ChainSpec>, contract: Contract, payer: SecretKey) -> Self {
        Self { folder: data.join(FOLDER), spec, contract, payer, tries: BTreeMap::new() }
    }

    /// Goes on until its task ends.
    pub(crate) async fn run(mut self) {
        let mut pause = PAUSE.0;
        loop {
            pause = if self.look().await { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Submits what is new; whether nothing failed.
    async fn look(&mut self) -> bool {
        let folder = self.folder.clone();
        let files = tokio::task::spawn_blocking(move || votes(&folder)).await.unwrap_or_default();
        let mut fine = true;
        for file in files {
            fine &= self.try_file(&file).await;
        }
        fine
    }

    async fn try_file(&mut self, file: &Path) -> bool {
        let Ok(claim) = read_file(file, &self.spec) else { return true };
        let culprit = claim.evidence.culprit();
        if self.tries.get(&culprit).is_some_and(|tries| *tries >= MAX_TRIES) {
            return true;
        }
        let outcome = match self.slash(file, culprit).await {
            // The next file about it may prove more.
            Err(MembershipError::Other(error)) => {
                tracing::debug!(%error, "no evidence for L1");
                return true;
            }
            outcome => outcome,
        };
        let tries = self.tries.entry(culprit).or_default();
        match outcome {
            Ok(()) => {
                *tries = MAX_TRIES;
                true
            }
            Err(error) => {
                *tries = if hopeless(&error) { MAX_TRIES } else { *tries + 1 };
                let left = MAX_TRIES - *tries;
                tracing::warn!(validator = %culprit, file = %file.display(), %error, tries_left = left, "evidence does not reach L1");
                false
            }
        }
    }

    async fn slash(&self, file: &Path, culprit: ValidatorId) -> Result<(), MembershipError> {
        let committee = accused(&self.spec, &self.contract, culprit).await?;
        let evidence = judge(file, &self.spec, &committee)?.evidence;
        let say = |text: &str| tracing::info!(validator = %culprit, "{text}");
        let done = submit(&self.contract, &evidence, &committee, &self.payer, &say).await?;
        tracing::info!(validator = %done.validator, now = done.slashed_now, "slashed on L1");
        Ok(())
    }
}

/// What another try does not change.
const fn hopeless(error: &MembershipError) -> bool {
    matches!(
        error,
        MembershipError::TooLate(_) | MembershipError::UnknownCulprit(_) | MembershipError::NotForL1
    )
}

/// Files that claim two votes.
fn votes(folder: &Path) -> Vec<PathBuf> {
    // Without evidence there is no folder.
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let claims = |path: &PathBuf| name(path).is_some_and(|n| n.contains("-votes-") && n.ends_with(".json"));
    let mut files: Vec<PathBuf> =
        entries.take(MAX_FILES).flatten().map(|entry| entry.path()).filter(claims).collect();
    files.sort();
    files
}
