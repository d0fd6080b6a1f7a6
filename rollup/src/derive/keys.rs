//! The key in force and its changes, as L1 shows them. The contract has checked the same; where the call is there to be
//! read, an endpoint that invents a key does not pass.

use alloy::primitives::Bytes as AbiBytes;
use alloy::sol_types::SolCall;
use ordering_types::chain_spec::quorum;
use ordering_types::handover::{address_hash, committee_hash};
use ordering_types::{
    Address, Digest, Epoch, GroupKey, Handover, Height, NextEpoch, Signature, SignedHandover,
};

use super::logs::{Change, NextKey, Point};
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
    /// A key after a silence by other members than those of the epoch before.
    #[error("the key of epoch {0} was put in by others than the members that L1 has for the epoch before")]
    Members(Epoch),
    /// A handover that the outgoing key did not sign.
    #[error("the handover to epoch {0} is not signed by the key of the epoch before")]
    Handover(Epoch),
}

/// The key in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    pub(super) epoch: Epoch,
    pub(super) key: GroupKey,
    /// The members, as L1 names them.
    pub(super) committee: Digest,
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
        let founders = network.founders();
        if let Some(call) = input.and_then(|input| initialiseCall::abi_decode(&input).ok()) {
            let (x, y) = key.coordinates();
            let members: Vec<Address> = founders.iter().map(|(_, key)| key.address()).collect();
            require_quorum(&members, epoch, network.domain().initialise(epoch, x, y), &call.signatures)?;
        }
        Ok(Self { epoch, key, committee: committee_hash(founders) })
    }

    /// The key of the next epoch: this one handed over to it, or the members put it in this one's place.
    pub(super) fn next(
        self,
        network: &Network,
        next: Next,
        event: NextKey,
        input: Option<AbiBytes>,
    ) -> Result<Self, KeyError> {
        let successor = self.successor(next, event)?;
        match event.change {
            Change::Rotated => self.check_rotation(network, successor, event, input)?,
            Change::Recovered => self.check_recovery(network, successor, input)?,
        }
        Ok(successor)
    }

    fn check_rotation(
        self,
        network: &Network,
        successor: Self,
        event: NextKey,
        input: Option<AbiBytes>,
    ) -> Result<(), KeyError> {
        let Some(call) = input.and_then(|input| rotateCall::abi_decode(&input).ok()) else { return Ok(()) };
        let Self { epoch, key, committee } = successor;
        let NextKey { first_batch, first_height, .. } = event;
        let handover = Handover { next: NextEpoch { epoch, key, committee }, first_batch, first_height };
        let signed = SignedHandover { handover, signature: group_signature(&call.signature) };
        signed.verify(&network.domain(), &self.key).map_err(|_| KeyError::Handover(epoch))
    }

    /// L1 has the hash of the members, and the call names them by their addresses. They stay the members.
    fn check_recovery(
        self,
        network: &Network,
        successor: Self,
        input: Option<AbiBytes>,
    ) -> Result<(), KeyError> {
        let epoch = successor.epoch;
        if successor.committee != self.committee {
            return Err(KeyError::Members(epoch));
        }
        let Some(call) = input.and_then(|input| recoverCall::abi_decode(&input).ok()) else { return Ok(()) };
        let members: Vec<Address> = call.committee.iter().map(|member| Address::new(member.0.0)).collect();
        if address_hash(members.iter()) != self.committee {
            return Err(KeyError::Members(epoch));
        }
        let (x, y) = successor.key.coordinates();
        let signed = network.domain().recover(self.epoch, x, y);
        require_quorum(&members, epoch, signed, &call.signatures)
    }

    fn successor(self, next: Next, event: NextKey) -> Result<Self, KeyError> {
        let NextKey { epoch, point, first_batch: batch, first_height: height, committee, .. } = event;
        if epoch != self.epoch.next() {
            return Err(KeyError::NotNext { present: self.epoch, got: epoch });
        }
        if (batch, height) != (next.batch, next.height) {
            let Next { batch: expected_batch, height: expected_height } = next;
            return Err(KeyError::Place { epoch, batch, height, expected_batch, expected_height });
        }
        Ok(Self { epoch, key: point.key(epoch)?, committee })
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

/// As the contract does it: both lists are in one order, and one walk through the members finds every signer once.
fn require_quorum(
    members: &[Address],
    epoch: Epoch,
    signed: Digest,
    signatures: &[AbiBytes],
) -> Result<(), KeyError> {
    let mut rest = members.iter();
    let mut is_next = |signature: &AbiBytes| {
        signer(signed, signature).is_some_and(|signer| rest.any(|member| *member == signer))
    };
    let enough = !members.is_empty() && signatures.len() >= quorum(members.len());
    if enough && signatures.iter().all(&mut is_next) { Ok(()) } else { Err(KeyError::Quorum(epoch)) }
}

/// Who signed, as the contract sees it: v is 27 or 28, and s low.
fn signer(signed: Digest, signature: &AbiBytes) -> Option<Address> {
    let signature = Signature::new(signature.as_ref().try_into().ok()?);
    let key = signature.recover(signed)?;
    key.verify_as_l1(signed, &signature).then(|| key.address())
}

#[cfg(test)]
mod tests;
