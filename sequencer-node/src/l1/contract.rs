//! `ValidatorRegistry`, read at one block.

use std::sync::Arc;

use alloy::primitives::Address;
use alloy::sol_types::SolCall;
use futures::{StreamExt, TryStreamExt, stream};
use ordering_types::{ChainSpec, Digest, L1Reference, Registered, Registry, ValidatorId};
use rollup::inbox::digest;
use rollup::registry::IValidatorRegistry::{Member, Status, Validator, activeCall, rootCall, validatorCall};
use rollup::registry::MAX_ACTIVE;

use super::inbox::Inbox;
use super::reader::{At, ReadError, Reader};

/// Validators that are asked for at once.
const PARALLEL_READS: usize = 8;

/// The registry of a network, through one endpoint.
#[derive(Debug)]
pub(crate) struct Contract {
    pub(super) reader: Arc<Reader>,
    /// Where it is.
    pub(crate) address: Address,
}

impl Contract {
    /// Nothing is asked yet. `registry` is the genesis file's.
    pub(crate) fn new(
        endpoint: &str,
        spec: &ChainSpec,
        registry: ordering_types::Address,
    ) -> Result<Self, ReadError> {
        Ok(Self::at(Arc::new(Reader::new(endpoint, spec.l1_chain_id)?), registry))
    }

    /// The one at this address.
    pub(crate) fn at(reader: Arc<Reader>, registry: ordering_types::Address) -> Self {
        Self { reader, address: Address::from(*registry.as_bytes()) }
    }

    /// The inbox of the same network.
    pub(crate) fn inbox(&self, spec: &ChainSpec) -> Inbox {
        Inbox::new(Arc::clone(&self.reader), spec)
    }

    /// The chain it is on.
    pub(crate) fn chain_id(&self) -> u64 {
        self.reader.chain_id
    }

    /// Whether the endpoint serves the chain of the genesis file.
    pub(crate) async fn check_chain(&self) -> Result<(), ReadError> {
        self.reader.check_chain().await
    }

    /// The newest block that cannot be reverted.
    pub(crate) async fn finalized(&self) -> Result<L1Reference, ReadError> {
        self.reader.finalized().await
    }

    /// L1's clock: the time of its newest block, seconds since 1970.
    pub(crate) async fn time(&self) -> Result<u64, ReadError> {
        self.reader.time().await
    }

    /// One function's answer.
    pub(crate) async fn read<C: SolCall>(&self, call: C, at: At) -> Result<C::Return, ReadError> {
        self.reader.read(self.address, call, at).await
    }

    /// One validator; `None` if nobody has the id.
    pub(crate) async fn validator(&self, id: ValidatorId, at: At) -> Result<Option<Validator>, ReadError> {
        let validator = self.read(validatorCall { id: id.get() }, at).await?;
        match validator.id {
            0 => Ok(None),
            got if got == id.get() => Ok(Some(validator)),
            _ => Err(ReadError::Contradiction(id)),
        }
    }

    /// The hash over all active validators.
    pub(crate) async fn root(&self, at: At) -> Result<Digest, ReadError> {
        Ok(digest(self.read(rootCall {}, at).await?))
    }

    /// All active validators; their root is the contract's.
    pub(crate) async fn registry(&self, at: At, root: Digest) -> Result<Registry, ReadError> {
        let members = self.read(activeCall {}, at).await?;
        if members.len() > MAX_ACTIVE {
            return Err(ReadError::TooMany(members.len()));
        }
        let registered = stream::iter(members.into_iter().map(|member| self.member(member, at)));
        let registered: Vec<Registered> = registered.buffered(PARALLEL_READS).try_collect().await?;
        let registry = Registry::new(registered)?;
        let ours = registry.root();
        if ours == root { Ok(registry) } else { Err(ReadError::Root { ours, theirs: root }) }
    }

    async fn member(&self, member: Member, at: At) -> Result<Registered, ReadError> {
        let id = ValidatorId::new(member.id);
        let validator = self.validator(id, at).await?;
        let active = |v: &Validator| v.node == member.node && matches!(v.status, Status::Active);
        validator.filter(active).map(Registered::from).ok_or(ReadError::Contradiction(id))
    }
}
