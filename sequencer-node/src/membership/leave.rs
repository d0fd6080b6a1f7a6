//! `leave`: a validator goes, in three steps, each of which waits for something.
//!
//! | status | what is next |
//! |---|---|
//! | active | `exit`: it is not drawn any more |
//! | leaving | it goes on signing until a committee without it is in office; then `relieve` |
//! | unbonding | its stake still answers for its votes; after the delay `withdraw` |

use alloy::primitives::{B256, U256};
use ordering_types::{SecretKey, ValidatorId};
use rollup::registry::IValidatorRegistry::{
    Status, Validator, exitCall, relieveCall, unbondingDelayCall, withdrawCall,
};
use serde::Serialize;

use super::MembershipError;
use super::committee::in_office;
use super::desk::{Desk, Told, ether, finish, say, status_name, stretch, until};
use crate::cli::LeaveArgs;
use crate::exit::Failure;
use crate::l1::{Account, At};

/// A transaction that was sent.
#[derive(Debug, Serialize)]
struct Sent {
    what: &'static str,
    transaction: B256,
    l1_block: u64,
}

/// Where the validator stands now.
#[derive(Debug, Serialize)]
struct Left {
    validator: ValidatorId,
    status: &'static str,
    stake_wei: String,
    /// While unbonding: when the stake is free, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    release_at: Option<u64>,
    sent: Vec<Sent>,
    next: String,
}

impl Told for Left {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("validator {}     {}", self.validator, self.status)];
        lines.extend(self.sent.iter().map(|sent| {
            format!("sent            {} in L1 block {}: {}", sent.what, sent.l1_block, sent.transaction)
        }));
        lines.push(format!("stake           {}", ether(self.stake_wei.parse().unwrap_or_default())));
        lines.push(format!("next            {}", self.next));
        lines
    }
}

/// Takes the next step that can be taken, or says what it waits for.
pub(crate) fn run(args: &LeaveArgs) -> Result<(), Failure> {
    finish(args.json, async {
        let desk = Desk::open(&args.config)?;
        let mut leaver = Leaver { desk: &desk, owner: args.owner.open()?, sent: Vec::new() };
        leaver.leave(args.withdraw).await
    })
}

struct Leaver<'a> {
    desk: &'a Desk,
    owner: SecretKey,
    sent: Vec<Sent>,
}

impl Leaver<'_> {
    async fn leave(&mut self, withdraw: bool) -> Result<Left, MembershipError> {
        self.desk.contract.check_chain().await?;
        Account::new(&self.desk.contract, &self.owner, &say).settle().await?;
        let validator = self.own().await?;
        match (&validator.status, withdraw) {
            (Status::Active, false) => {
                say(&format!("taking validator {} off the list", validator.id));
                self.send("exit", &exitCall { id: validator.id }).await?;
            }
            (Status::Active, true) => {
                return Err(MembershipError::StillActive(ValidatorId::new(validator.id)));
            }
            (Status::Leaving, true) => self.relieve(&validator).await?,
            (Status::Unbonding, true) => self.withdraw(&validator).await?,
            _ => {}
        }
        self.told().await
    }

    /// The validator of the node key, if the owner's key is its owner's.
    async fn own(&self) -> Result<Validator, MembershipError> {
        let node = self.desk.address();
        let validator = self.desk.validator().await?.ok_or(MembershipError::NotRegistered(node))?;
        let (id, owner) = (ValidatorId::new(validator.id), validator.owner);
        let given = Account::new(&self.desk.contract, &self.owner, &say).address();
        if owner != given {
            return Err(MembershipError::OtherOwner { node, id, owner, given });
        }
        if matches!(validator.status, Status::Slashed) {
            return Err(MembershipError::Slashed(id));
        }
        Ok(validator)
    }

    async fn send(
        &mut self,
        what: &'static str,
        call: &impl alloy::sol_types::SolCall,
    ) -> Result<(), MembershipError> {
        let account = Account::new(&self.desk.contract, &self.owner, &say);
        let mined = account.send(call, U256::ZERO).await?;
        self.sent.push(Sent { what, transaction: mined.hash, l1_block: mined.block });
        Ok(())
    }

    /// Shows the contract that the committee in office does without it.
    async fn relieve(&mut self, validator: &Validator) -> Result<(), MembershipError> {
        let id = ValidatorId::new(validator.id);
        let committee = in_office(self.desk).await?;
        if committee.contains(&validator.node) {
            return Err(MembershipError::StillInCommittee(id));
        }
        say(&format!("relieving validator {id}"));
        self.send("relieve", &relieveCall { id: validator.id, committee }).await
    }

    async fn withdraw(&mut self, validator: &Validator) -> Result<(), MembershipError> {
        let now = self.desk.contract.time().await?;
        if let Some(left) = until(validator.releaseAt, now) {
            let (release_at, left) = (validator.releaseAt, left.as_secs());
            return Err(MembershipError::StillBonded { release_at, left });
        }
        say(&format!("withdrawing the stake of validator {}", validator.id));
        self.send("withdraw", &withdrawCall { id: validator.id }).await
    }

    async fn told(&mut self) -> Result<Left, MembershipError> {
        let validator = self.own().await?;
        let unbonding = self.desk.contract.read(unbondingDelayCall {}, At::Latest).await?;
        let now = self.desk.contract.time().await?;
        let release_at = matches!(validator.status, Status::Unbonding).then_some(validator.releaseAt);
        Ok(Left {
            validator: ValidatorId::new(validator.id),
            status: status_name(&validator.status),
            stake_wei: validator.stake.to_string(),
            release_at,
            sent: std::mem::take(&mut self.sent),
            next: next(&validator, unbonding, now),
        })
    }
}

/// What a leaver waits for.
fn next(validator: &Validator, unbonding: u64, now: u64) -> String {
    let delay = stretch(std::time::Duration::from_secs(unbonding));
    match validator.status {
        Status::Leaving => format!(
            "keep the node running until a committee without it is in office (`sequencer-node status`); then \
             `sequencer-node leave --withdraw` relieves it, and {delay} later, run again, pays the stake out"
        ),
        Status::Unbonding => match until(validator.releaseAt, now) {
            Some(left) => format!(
                "the stake still answers for its votes; `sequencer-node leave --withdraw` pays it out in {}",
                stretch(left)
            ),
            None => "the stake is free: `sequencer-node leave --withdraw` pays it out".to_owned(),
        },
        Status::Withdrawn => "nothing: the stake is with its owner, and the node can be deleted".to_owned(),
        _ => "nothing".to_owned(),
    }
}
