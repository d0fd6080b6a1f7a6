//! The key in force and its changes, as L1 shows them. The contract has checked the same; where the call is there to be
//! read, an endpoint that invents a key does not pass.

use alloy::primitives::Bytes as AbiBytes;
use alloy::sol_types::SolCall;
use ordering_types::{Digest, Epoch, GroupKey, Handover, Height, NextEpoch, Signature, SignedHandover};

use super::logs::{NextKey, Point};
use crate::inbox::ISequencerInbox::{initialiseCall, recoverCall, rotateCall};
use crate::inbox::{group_key, group_signature};
use crate::verify::Network;

/// Why a key on L1 is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A later key before the first one.
    #[error("the inbox has a key of epoch {0} but no first one: was reading started after `initialise`?")]
    NoFirst(Epoch),
    /// Not the next epoch.
    #[error("a key of epoch {got} follows that of epoch {present}")]
    NotNext {
        /// Of the key in force.
        present: Epoch,
        /// Of the new key.
        got: Epoch,
    },
    /// An epoch that does not begin where the one before ended.
    #[error(
        "epoch {epoch} begins with batch {batch} and height {height}, but {expected_batch} and {expected_height} are next"
    )]
    Place {
        /// The new epoch.
        epoch: Epoch,
        /// Its first batch.
        batch: u64,
        /// Its first height.
        height: Height,
        /// The next batch.
        expected_batch: u64,
        /// The next height.
        expected_height: Height,
    },
    /// Coordinates of no point.
    #[error("the key of epoch {0} is no point of the curve")]
    NoPoint(Epoch),
    /// A first key, or one after a silence, that no quorum signed.
    #[error("the key of epoch {0} is not signed by a quorum of the committee")]
    Quorum(Epoch),
    /// A handover that the outgoing key did not sign.
    #[error("the handover to epoch {0} is not signed by the key of the epoch before")]
    Handover(Epoch),
}

/// The key in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    pub(super) epoch: Epoch,
    pub(super) key: GroupKey,
}

/// What comes next on L1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) batch: u64,
    pub(super) height: Height,
}

impl Present {
    /// The first key. `input`: calldata, if the inbox was called directly.
    pub(super) fn founded(
        network: &Network,
        point: Point,
        input: Option<AbiBytes>,
    ) -> Result<Self, KeyError> {
        let epoch = Epoch::new(0);
        let key = point.key(epoch)?;
        if let Some(call) = input.and_then(|input| initialiseCall::abi_decode(&input).ok()) {
            let (x, y) = key.coordinates();
            require_quorum(network, epoch, network.domain().initialise(epoch, x, y), &call.signatures)?;
        }
        Ok(Self { epoch, key })
    }

    /// The key that this one hands over to.
    pub(super) fn rotated(
        self,
        network: &Network,
        next: Next,
        event: NextKey,
        input: Option<AbiBytes>,
    ) -> Result<Self, KeyError> {
        let successor = self.successor(next, event)?;
        if let Some(call) = input.and_then(|input| rotateCall::abi_decode(&input).ok()) {
            let Self { epoch, key } = successor;
            let NextKey { first_batch, first_height, committee, .. } = event;
            let handover = Handover { next: NextEpoch { epoch, key, committee }, first_batch, first_height };
            let signed = SignedHandover { handover, signature: group_signature(&call.signature) };
            signed.verify(&network.domain(), &self.key).map_err(|_| KeyError::Handover(epoch))?;
        }
        Ok(successor)
    }

    /// The key that the members put in this one's place.
    pub(super) fn recovered(
        self,
        network: &Network,
        next: Next,
        event: NextKey,
        input: Option<AbiBytes>,
    ) -> Result<Self, KeyError> {
        let successor = self.successor(next, event)?;
        if let Some(call) = input.and_then(|input| recoverCall::abi_decode(&input).ok()) {
            let (x, y) = successor.key.coordinates();
            let signed = network.domain().recover(self.epoch, x, y);
            require_quorum(network, successor.epoch, signed, &call.signatures)?;
        }
        Ok(successor)
    }

    fn successor(self, next: Next, event: NextKey) -> Result<Self, KeyError> {
        let NextKey { epoch, point, first_batch: batch, first_height: height, .. } = event;
        if epoch != self.epoch.next() {
            return Err(KeyError::NotNext { present: self.epoch, got: epoch });
        }
        if (batch, height) != (next.batch, next.height) {
            let Next { batch: expected_batch, height: expected_height } = next;
            return Err(KeyError::Place { epoch, batch, height, expected_batch, expected_height });
        }
        Ok(Self { epoch, key: point.key(epoch)? })
    }
}

impl Point {
    /// The key at these coordinates, which is told of `epoch`.
    fn key(self, epoch: Epoch) -> Result<GroupKey, KeyError> {
        let key = group_key(self.x, self.y.bit(0)).ok_or(KeyError::NoPoint(epoch))?;
        if key.coordinates().1 != self.y.to_be_bytes() {
            return Err(KeyError::NoPoint(epoch));
        }
        Ok(key)
    }
}

fn require_quorum(
    network: &Network,
    epoch: Epoch,
    signed: Digest,
    signatures: &[AbiBytes],
) -> Result<(), KeyError> {
    let committee = network.committee();
    let signer = |key: &ordering_types::PublicKey| {
        signatures.iter().any(|signature| {
            <[u8; 65]>::try_from(signature.as_ref())
                .is_ok_and(|bytes| key.verify(signed, &Signature::new(bytes)))
        })
    };
    let enough = signatures.len() <= committee.len()
        && committee.iter().filter(|(_, key)| signer(key)).count() >= committee.quorum();
    if enough { Ok(()) } else { Err(KeyError::Quorum(epoch)) }
}

#[cfg(test)]
mod tests;
