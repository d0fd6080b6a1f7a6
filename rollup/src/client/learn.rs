//! Learning epochs from the node that one is connected to: their keys and members, one handover after the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ordering_types::chain_spec::Committee;
use ordering_types::{Epoch, PublicKey};
use quinn::Connection;

use super::nodes::{RequestError, ask};
use super::session::SessionError;
use crate::verify::{Keys, MAX_KEYS, Network, VerifyError};
use crate::wire::{Request, Response};

/// What one client has learnt, shared by its connections.
#[derive(Clone, Debug)]
pub(super) struct Learnt(Arc<Mutex<Option<Keys>>>);

impl Learnt {
    /// What the caller vouches for, if anything.
    pub(super) fn new(network: &Network) -> Self {
        Self(Arc::new(Mutex::new(network.trusted().cloned())))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Keys>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what is newer than what is known.
    fn offer(&self, keys: &Keys) {
        let mut known = self.lock();
        if known.as_ref().is_none_or(|known| known.newest() < keys.newest()) {
            *known = Some(keys.clone());
        }
    }

    /// The newest epoch that anything is known of.
    pub(super) fn newest(&self) -> Epoch {
        self.lock().as_ref().map_or(Epoch::new(0), Keys::newest)
    }

    /// Whether the holder of a key is a member in an epoch; `None` if the members are not known.
    pub(super) fn is_member(&self, network: &Network, epoch: Epoch, key: &PublicKey) -> Option<bool> {
        let known = self.lock();
        let members = network.members(known.as_ref(), epoch).ok()?;
        Some(members.iter().any(|(_, member)| member == key))
    }

    /// The members of the newest epoch, if they are known.
    pub(super) fn newest_members(&self, network: &Network) -> Option<Committee> {
        let known = self.lock();
        let newest = known.as_ref().map_or(Epoch::new(0), Keys::newest);
        network.members(known.as_ref(), newest).ok().cloned()
    }
}

/// Asks one node.
pub(super) struct Learner {
    pub(super) connection: Connection,
    pub(super) network: Network,
    pub(super) learnt: Learnt,
}

impl Learner {
    /// Where everything begins: what is trusted, or else the founding.
    pub(super) async fn begin(&self) -> Result<Keys, SessionError> {
        if let Some(trusted) = self.network.trusted() {
            return Ok(trusted.clone());
        }
        let Response::Founding(Some(founding)) = ask(&self.connection, Request::Founding).await? else {
            return Err(RequestError::Unavailable.into());
        };
        Ok(Keys::founded(&self.network, &self.network.founding(founding)?))
    }

    /// The epochs that this client knows already, or else the first.
    pub(super) async fn known(&self) -> Result<Keys, SessionError> {
        let known = self.learnt.lock().clone();
        match known {
            Some(known) => Ok(known),
            None => self.begin().await,
        }
    }

    /// Adds the epochs up to `wanted` as far as the node has their handovers, at most [`MAX_KEYS`] in one go. Whether there
    /// were any.
    pub(super) async fn learn(&self, keys: &mut Keys, wanted: Epoch) -> Result<bool, SessionError> {
        let before = keys.newest();
        for _ in 0..MAX_KEYS {
            let next = keys.newest().next();
            if next > wanted {
                break;
            }
            match ask(&self.connection, Request::Handover(next)).await {
                Ok(Response::Handover(Some(succession))) => {
                    keys.extend(&self.network.succession(keys, *succession)?)?;
                }
                Ok(Response::Handover(None)) | Err(RequestError::Busy) => break,
                Ok(_) => return Err(RequestError::OtherAnswer.into()),
                Err(error) => return Err(error.into()),
            }
        }
        self.learnt.offer(keys);
        Ok(keys.newest() > before)
    }

    /// Asks for the members of the trusted epoch, if they are known by their hash alone. Whether they are named now.
    pub(super) async fn name(&self, keys: &mut Keys) -> Result<bool, SessionError> {
        let Some(epoch) = keys.nameless() else { return Ok(false) };
        let Response::Handover(Some(succession)) = ask(&self.connection, Request::Handover(epoch)).await?
        else {
            return Ok(false);
        };
        keys.introduce(epoch, succession.members).map_err(|_| VerifyError::Members(epoch))?;
        let mut known = self.learnt.lock();
        if known.as_ref().is_none_or(|known| known.nameless() == Some(epoch)) {
            *known = Some(keys.clone());
        }
        Ok(true)
    }
}
