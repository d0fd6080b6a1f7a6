//! `evidence submit`: two conflicting votes go to the registry on L1, which burns the stake of whoever signed both.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256};
use node_core::evidence::Evidence;
use ordering_types::chain_spec::Committee;
use ordering_types::registry::key_of_endpoint;
use ordering_types::{ChainSpec, PublicKey, SecretKey, SignedVote, ValidatorId};
use rollup::registry::IValidatorRegistry::{Status, Validator, idOfCall};
use rollup::registry::slash_call;
use serde::Serialize;

use super::verify::{judge, read_file};
use crate::cli::SubmitArgs;
use crate::exit::Failure;
use crate::l1::{Account, At, Contract, Say};
use crate::membership::{Desk, MembershipError, Told, ether, finish, say};

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Submitted {
    /// Whether it was this transaction that slashed; else it had happened before.
    pub(super) slashed_now: bool,
    /// Who is out.
    pub(super) validator: ValidatorId,
    /// Wei that were burnt by this transaction.
    burnt_wei: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l1_block: Option<u64>,
}

impl Told for Submitted {
    fn lines(&self) -> Vec<String> {
        let Some(transaction) = self.transaction else {
            return vec![format!("validator {} was slashed before; nothing was sent", self.validator)];
        };
        vec![
            format!(
                "validator {} is slashed: {} are burnt",
                self.validator,
                ether(self.burnt_wei.parse().unwrap_or_default())
            ),
            format!("transaction     {transaction}, L1 block {}", self.l1_block.unwrap_or_default()),
        ]
    }
}

/// Judges the file here first: L1 would take the money for a transaction that does nothing.
pub(crate) fn run(args: &SubmitArgs) -> Result<(), Failure> {
    finish(args.json, async {
        let desk = Desk::open(&args.config)?;
        let evidence = read_file(&args.file, &desk.spec)?.evidence;
        let payer = args.payer.open()?;
        let committee = accused(&desk.spec, &desk.contract, evidence.culprit()).await?;
        judge(&args.file, &desk.spec, &committee)?;
        submit(&desk.contract, &evidence, &committee, &payer, &say).await
    })
}

/// The founders, and the accused as the registry knows it if it joined later.
pub(super) async fn accused(
    spec: &ChainSpec,
    contract: &Contract,
    culprit: ValidatorId,
) -> Result<Committee, MembershipError> {
    let mut members: BTreeMap<ValidatorId, PublicKey> =
        spec.validators.iter().map(|v| (v.id, v.key)).collect();
    if !members.contains_key(&culprit) {
        let validator = contract.validator(culprit, At::Latest).await?;
        let key = validator.and_then(|validator| {
            key_of_endpoint(&validator.endpoint)
                .filter(|key| key.address().as_bytes() == validator.node.as_slice())
        });
        members.extend(key.map(|key| (culprit, key)));
    }
    Ok(Committee::new(members))
}

/// Sends what was judged, unless its culprit is out already.
pub(super) async fn submit(
    contract: &Contract,
    evidence: &Evidence,
    committee: &Committee,
    payer: &SecretKey,
    say: Say<'_>,
) -> Result<Submitted, MembershipError> {
    let Evidence::Votes { first, second } = evidence else { return Err(MembershipError::NotForL1) };
    let culprit = evidence.culprit();
    contract.check_chain().await?;
    let account = Account::new(contract, payer, say);
    account.settle().await?;
    let validator = by_key(contract, committee, culprit).await?;
    match validator.status {
        Status::Slashed => return Ok(Submitted::before(culprit)),
        Status::Withdrawn => return Err(MembershipError::TooLate(culprit)),
        _ => {}
    }
    say(&format!("slashing validator {culprit}"));
    send(&account, &validator, culprit, (first, second)).await
}

async fn send(
    account: &Account<'_>,
    validator: &Validator,
    culprit: ValidatorId,
    (first, second): (&SignedVote, &SignedVote),
) -> Result<Submitted, MembershipError> {
    let mined = account.send(&slash_call(first, second), U256::ZERO).await?;
    Ok(Submitted {
        slashed_now: true,
        validator: culprit,
        burnt_wei: validator.stake.to_string(),
        transaction: Some(mined.hash),
        l1_block: Some(mined.block),
    })
}

/// The registry goes by keys, not by the ids that votes name.
async fn by_key(
    contract: &Contract,
    committee: &Committee,
    culprit: ValidatorId,
) -> Result<Validator, MembershipError> {
    let unknown = MembershipError::UnknownCulprit(culprit);
    let Some(key) = committee.key(culprit) else { return Err(unknown) };
    let node = Address::from(*key.address().as_bytes());
    let id = contract.read(idOfCall { node }, At::Latest).await?;
    if id == 0 {
        return Err(unknown);
    }
    contract.validator(ValidatorId::new(id), At::Latest).await?.ok_or(unknown)
}

impl Submitted {
    const fn before(validator: ValidatorId) -> Self {
        Self { slashed_now: false, validator, burnt_wei: String::new(), transaction: None, l1_block: None }
    }
}
