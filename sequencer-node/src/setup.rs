//! What every command that needs a whole configuration reads: config, genesis file, key, place in the committee.

use std::sync::Arc;

use ordering_types::{ChainSpec, SecretKey, ValidatorId};

use crate::cli::ConfigArgs;
use crate::config::{self, Config};
use crate::exit::{Exit, Failure};
use crate::keys::{self, PasswordSource};
use crate::l1::{self, L1Error};
use crate::membership;
use crate::ports::{self, Carrier};

/// A configuration that fits together.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) key: SecretKey,
    pub(crate) me: ValidatorId,
}

impl Setup {
    /// Reads and checks files; of L1 it asks which validator the key is, if no file says that.
    pub(crate) fn load(args: &ConfigArgs) -> Result<Self, Failure> {
        let config =
            config::load(&args.config, &args.overrides).map_err(|e| Failure::new(Exit::Config, e))?;
        let spec = config::load_chain_spec(&config.chain_spec).map_err(|e| Failure::new(Exit::Config, e))?;
        config::check_retention(&config, &spec).map_err(|e| Failure::new(Exit::Config, e))?;
        let password = PasswordSource::from_option(config.key.password_file.as_deref())
            .read()
            .map_err(|e| Failure::new(Exit::Key, e))?;
        let key = keys::open(&config.key.file, &password).map_err(|e| Failure::new(Exit::Key, e))?;
        let me = membership::validator_id(&config, &spec, &key.public_key())?;
        Ok(Self { config, spec: Arc::new(spec), key, me })
    }

    /// Tries every port.
    pub(crate) fn probe_ports(&self) -> Result<(), Failure> {
        let Config { network, ingress, rpc, metrics, .. } = &self.config;
        for (key, carrier, address) in [
            ("network.listen", Carrier::Udp, network.listen),
            ("network.chunks_listen", Carrier::Udp, network.chunks()),
            ("ingress.listen", Carrier::Udp, ingress.listen),
            ("rpc.listen", Carrier::Tcp, rpc.listen),
            ("metrics.listen", Carrier::Tcp, metrics.listen),
        ] {
            ports::probe(key, carrier, address).map_err(|e| Failure::new(Exit::PortBusy, e))?;
        }
        Ok(())
    }

    /// Asks the L1 endpoint for its chain. A wrong chain is a failure; no answer, or no endpoint, is not.
    pub(crate) async fn check_l1(&self) -> Result<Option<Result<(), L1Error>>, Failure> {
        let Some(endpoint) = &self.config.l1.endpoint else { return Ok(None) };
        match l1::check(endpoint, self.spec.l1_chain_id).await {
            Err(error @ L1Error::WrongChain { .. }) => Err(Failure::new(Exit::WrongL1, error)),
            other => Ok(Some(other)),
        }
    }
}
