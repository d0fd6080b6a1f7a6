//! What all commands about the registry have in front of them.

use std::time::Duration;

use alloy::primitives::utils::format_ether;
use alloy::primitives::{Address, U256};
use ordering_types::{ChainSpec, ValidatorId};
use rollup::registry::IValidatorRegistry::{Status, Validator, idOfCall};
use serde::Serialize;

use super::MembershipError;
use crate::cli::ConfigArgs;
use crate::config::{self, Config};
use crate::exit::{Exit, Failure};
use crate::keys::{self, PublicKeyFile};
use crate::l1::{At, Contract};

/// Config, genesis file, the node key's public half, and the registry.
pub(crate) struct Desk {
    pub(crate) config: Config,
    pub(crate) spec: ChainSpec,
    pub(crate) node: PublicKeyFile,
    pub(crate) contract: Contract,
}

impl Desk {
    /// Reads files only; the node key stays closed.
    pub(crate) fn open(args: &ConfigArgs) -> Result<Self, Failure> {
        let config =
            config::load(&args.config, &args.overrides).map_err(|e| Failure::new(Exit::Config, e))?;
        let spec = config::load_chain_spec(&config.chain_spec).map_err(|e| Failure::new(Exit::Config, e))?;
        let node = keys::public(&config.key.file).map_err(|e| Failure::new(Exit::Key, e))?;
        let contract = contract(&config, &spec)?;
        Ok(Self { config, spec, node, contract })
    }

    /// The node's address, as L1 writes it.
    pub(crate) fn address(&self) -> Address {
        Address::from(*self.node.address.as_bytes())
    }

    /// The validator of the node's key, if it has ever been registered.
    pub(crate) async fn validator(&self) -> Result<Option<Validator>, MembershipError> {
        let id = self.contract.read(idOfCall { node: self.address() }, At::Latest).await?;
        match id {
            0 => Ok(None),
            id => Ok(self.contract.validator(ValidatorId::new(id), At::Latest).await?),
        }
    }
}

/// The registry that the genesis file names, through the endpoint that the config names.
pub(crate) fn contract(config: &Config, spec: &ChainSpec) -> Result<Contract, MembershipError> {
    let Some(registry) = spec.registry else {
        return Err(MembershipError::NoRegistry(config.chain_spec.clone()));
    };
    let endpoint = config.l1.endpoint.as_deref().ok_or(MembershipError::NoEndpoint)?;
    Ok(Contract::new(endpoint, spec, registry)?)
}

/// Says on standard error how far a command is; standard output is for its result.
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// A command's result, for people and for programs.
pub(crate) trait Told: Serialize {
    /// Lines for people.
    fn lines(&self) -> Vec<String>;

    /// What failed although there was something to tell.
    fn failure(self) -> Option<Failure>
    where
        Self: Sized,
    {
        None
    }
}

/// Runs a command to its end and prints what came of it; with `json`, failures too are one JSON object.
pub(crate) fn finish<T: Told>(
    json: bool,
    command: impl Future<Output = Result<T, MembershipError>>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Failure, e))?;
    match runtime.block_on(command) {
        Ok(told) => {
            if json {
                println!("{}", serde_json::to_string(&told).map_err(|e| Failure::new(Exit::Failure, e))?);
            } else {
                told.lines().iter().for_each(|line| println!("{line}"));
            }
            told.failure().map_or(Ok(()), Err)
        }
        Err(error) => {
            if json {
                let exit = error.exit() as u8;
                println!("{}", serde_json::json!({ "error": error.to_string(), "exit": exit }));
            }
            Err(error.into())
        }
    }
}

/// A status in one word, as JSON has it.
pub(super) const fn status_name(status: &Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Leaving => "leaving",
        Status::Unbonding => "unbonding",
        Status::Withdrawn => "withdrawn",
        Status::Slashed => "slashed",
        Status::None | Status::__Invalid => "none",
    }
}

/// Wei, for people.
pub(crate) fn ether(wei: U256) -> String {
    let text = format_ether(wei);
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{short} ETH")
}

/// How long it is from one time to another, both in seconds since 1970; `None` if that has come.
pub(super) fn until(time: u64, now: u64) -> Option<Duration> {
    time.checked_sub(now).filter(|left| *left > 0).map(Duration::from_secs)
}

/// A stretch of time, for people.
pub(super) fn stretch(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds.div_ceil(60)),
        seconds @ 7_200..172_800 => format!("{} h", seconds.div_ceil(3_600)),
        seconds => format!("{} days", seconds.div_ceil(86_400)),
    }
}
