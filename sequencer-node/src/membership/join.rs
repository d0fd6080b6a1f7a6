//! `join`: the node key becomes a validator.

use std::time::Duration;

use alloy::primitives::utils::{ParseUnits, parse_units};
use alloy::primitives::{Address, B256, Bytes, U256};
use ordering_types::{SecretKey, ValidatorId};
use rollup::registry::IValidatorRegistry::{
    Status, Validator, isAllowedCall, joinCall, minimumStakeCall, permissionedCall, setEndpointCall,
};
use rollup::registry::registration;
use serde::Serialize;

use super::MembershipError;
use super::desk::{Desk, Told, ether, finish, say, status_name};
use super::endpoint::endpoint;
use crate::cli::JoinArgs;
use crate::exit::{Exit, Failure};
use crate::keys::{self, PasswordSource};
use crate::l1::{Account, At};

/// How often, and how many times, the new validator is looked for.
const LOOK: Duration = Duration::from_secs(1);
const MAX_LOOKS: u32 = 30;

/// What `join` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Did {
    /// Registered.
    Joined,
    /// Nothing: it was registered before.
    Nothing,
    /// Another endpoint.
    Moved,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Joined {
    did: Did,
    validator: ValidatorId,
    status: &'static str,
    node: Address,
    owner: Address,
    endpoint: String,
    stake_wei: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l1_block: Option<u64>,
    next: String,
}

impl Told for Joined {
    fn lines(&self) -> Vec<String> {
        let did = match self.did {
            Did::Joined => "joined",
            Did::Nothing => "has joined before, nothing was sent",
            Did::Moved => "moved to another endpoint",
        };
        vec![
            format!("validator {}     {did}", self.validator),
            format!("node key        {}", self.node),
            format!("owner           {}", self.owner),
            format!("endpoint        {}", self.endpoint),
            format!("stake           {}", ether(self.stake_wei.parse().unwrap_or_default())),
            format!("next            {}", self.next),
        ]
    }
}

/// Registers the node key for the owner, or says that it is.
pub(crate) fn run(args: &JoinArgs) -> Result<(), Failure> {
    finish(args.json, async {
        let desk = Desk::open(&args.config)?;
        let listen = desk.config.network.listen;
        let endpoint = endpoint(listen, args.endpoint.as_deref(), &desk.node.public_key)?;
        let (key, owner) = (node_key(&desk)?, args.owner.open()?);
        let candidate = Candidate { desk: &desk, key, owner, endpoint, stake: args.stake };
        candidate.join(args.endpoint.is_some()).await
    })
}

fn node_key(desk: &Desk) -> Result<SecretKey, Failure> {
    let password = PasswordSource::from_option(desk.config.key.password_file.as_deref());
    let password = password.read().map_err(|e| Failure::new(Exit::Key, e))?;
    keys::open(&desk.config.key.file, &password).map_err(|e| Failure::new(Exit::Key, e))
}

/// Who joins, and with what.
struct Candidate<'a> {
    desk: &'a Desk,
    key: SecretKey,
    owner: SecretKey,
    endpoint: String,
    stake: Option<U256>,
}

impl Candidate<'_> {
    /// `named`: the endpoint was named on the command line, and a validator that has another moves there.
    async fn join(&self, named: bool) -> Result<Joined, MembershipError> {
        let contract = &self.desk.contract;
        let account = Account::new(contract, &self.owner, &say);
        if account.address() == self.desk.address() {
            return Err(MembershipError::SameKey);
        }
        contract.check_chain().await?;
        account.settle().await?;
        if let Some(validator) = self.desk.validator().await? {
            self.check_seat(&validator, account.address())?;
            return if named && validator.endpoint != self.endpoint {
                self.go(&account, &validator).await
            } else {
                Ok(self.joined(Did::Nothing, &validator, None))
            };
        }
        let stake = self.affordable_stake(account.address()).await?;
        say(&format!("registering {} with a stake of {}", self.endpoint, ether(stake)));
        let digest = registration(contract.chain_id(), contract.address, account.address(), &self.endpoint);
        let proof = Bytes::copy_from_slice(self.key.sign(digest).as_bytes());
        let call = joinCall { node: self.desk.address(), endpoint: self.endpoint.clone(), proof };
        let mined = account.send(&call, stake).await?;
        let validator = self.seen(mined.hash).await?;
        Ok(self.joined(Did::Joined, &validator, Some((mined.hash, mined.block))))
    }

    /// The new validator. An endpoint of many machines may show it a little later.
    async fn seen(&self, transaction: B256) -> Result<Validator, MembershipError> {
        for _ in 0..MAX_LOOKS {
            if let Some(validator) = self.desk.validator().await? {
                return Ok(validator);
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(MembershipError::Unseen(transaction))
    }

    /// Whether the validator of the node key is the owner's, and has not left.
    fn check_seat(&self, validator: &Validator, owner: Address) -> Result<(), MembershipError> {
        let (node, id) = (validator.node, ValidatorId::new(validator.id));
        if validator.owner != owner {
            return Err(MembershipError::OtherOwner { node, id, owner: validator.owner, given: owner });
        }
        if matches!(validator.status, Status::Active) {
            return Ok(());
        }
        Err(MembershipError::KeyUsed { node, id, status: status_name(&validator.status) })
    }

    /// The stake, if the owner may join with it.
    async fn affordable_stake(&self, owner: Address) -> Result<U256, MembershipError> {
        let contract = &self.desk.contract;
        if contract.read(permissionedCall {}, At::Latest).await?
            && !contract.read(isAllowedCall { owner }, At::Latest).await?
        {
            return Err(MembershipError::NotAllowed(owner));
        }
        let minimum = U256::from(contract.read(minimumStakeCall {}, At::Latest).await?);
        let stake = self.stake.unwrap_or(minimum);
        if stake < minimum { Err(MembershipError::StakeTooLow { minimum, got: stake }) } else { Ok(stake) }
    }

    async fn go(&self, account: &Account<'_>, validator: &Validator) -> Result<Joined, MembershipError> {
        say(&format!("moving validator {} from {} to {}", validator.id, validator.endpoint, self.endpoint));
        let call = setEndpointCall { id: validator.id, endpoint: self.endpoint.clone() };
        let mined = account.send(&call, U256::ZERO).await?;
        let validator = Validator { endpoint: self.endpoint.clone(), ..validator.clone() };
        Ok(self.joined(Did::Moved, &validator, Some((mined.hash, mined.block))))
    }

    fn joined(&self, did: Did, validator: &Validator, mined: Option<(B256, u64)>) -> Joined {
        let id = ValidatorId::new(validator.id);
        let next = match did {
            Did::Nothing if validator.endpoint != self.endpoint => format!(
                "the registry says {}, this node's config says {}: run `join` with --endpoint to change the registry",
                validator.endpoint, self.endpoint
            ),
            _ => "start the node with `sequencer-node run`. Once that L1 block is final (some 15 minutes on Ethereum) the \
                  network takes notice; a committee of a later epoch may have it. `sequencer-node status` shows it"
                .to_owned(),
        };
        Joined {
            did,
            validator: id,
            status: status_name(&validator.status),
            node: validator.node,
            owner: validator.owner,
            endpoint: validator.endpoint.clone(),
            stake_wei: validator.stake.to_string(),
            transaction: mined.map(|(hash, _)| hash),
            l1_block: mined.map(|(_, block)| block),
            next,
        }
    }
}

/// Reads a stake: `32ETH`, `0.5 eth`, `1000gwei`, `7wei`.
pub(crate) fn parse_stake(text: &str) -> Result<U256, String> {
    let lower = text.trim().to_ascii_lowercase();
    let unit = |name| lower.strip_suffix(name).map(str::trim);
    let units = [("gwei", "gwei"), ("wei", "wei"), ("eth", "ether")];
    let found = units.iter().find_map(|(suffix, name)| Some((unit(suffix)?, *name)));
    let Some((number, unit)) = found else { return Err("name the unit: 32ETH, 500gwei or 7wei".to_owned()) };
    // The library takes nothing for zero.
    let plain = number.starts_with(|c: char| c.is_ascii_digit())
        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match parse_units(number, unit) {
        Ok(ParseUnits::U256(wei)) if plain => Ok(wei),
        _ => Err("not an amount: write 32ETH, 0.5ETH, 500gwei or 7wei".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_stake_has_a_unit() {
        let eth = U256::from(1_000_000_000_000_000_000_u64);
        assert_eq!(parse_stake("32ETH"), Ok(eth * U256::from(32)));
        assert_eq!(parse_stake("0.5 eth"), Ok(eth / U256::from(2)));
        assert_eq!(parse_stake("3gwei"), Ok(U256::from(3_000_000_000_u64)));
        assert_eq!(parse_stake(" 7 wei"), Ok(U256::from(7)));
        for bad in ["", "32", "ETH", "-1ETH", "1.5wei x", "0x10wei"] {
            assert!(parse_stake(bad).is_err(), "{bad}");
        }
    }
}
