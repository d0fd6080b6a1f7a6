//! The envelope of every ceremony message in the log: `tag (1) ‖ ceremony id (41) ‖ body`.

use super::announce::ANNOUNCEMENT_LEN;
use super::dealing::MAX_DEALING_LEN;
use super::id::{CEREMONY_ID_LEN, CeremonyId};
use crate::wire::{Reader, WireError};

const HEADER_LEN: usize = 1 + CEREMONY_ID_LEN;

/// Longest possible ceremony message: a dealing among [`MAX_MEMBERS`](crate::MAX_MEMBERS) with `t = n`.
pub const MAX_PAYLOAD: usize = HEADER_LEN + MAX_DEALING_LEN;

const _: () = assert!(ANNOUNCEMENT_LEN < MAX_DEALING_LEN, "MAX_PAYLOAD is the length of the longest message");

/// The step that a message belongs to. Its number is the tag on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Announce,
    Dealing,
    Ack,
    Complaint,
}

impl Step {
    fn byte(self) -> u8 {
        match self {
            Self::Announce => 1,
            Self::Dealing => 2,
            Self::Ack => 3,
            Self::Complaint => 4,
        }
    }
}

pub(super) struct Envelope<'a> {
    pub(super) step: Step,
    pub(super) id: CeremonyId,
    pub(super) body: &'a [u8],
}

impl<'a> Envelope<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(payload);
        let step = match reader.u8()? {
            1 => Step::Announce,
            2 => Step::Dealing,
            3 => Step::Ack,
            4 => Step::Complaint,
            other => return Err(WireError::Tag(other)),
        };
        let id = CeremonyId::read(&mut reader)?;
        let body = reader.bytes(reader.remaining())?;
        Ok(Self { step, id, body })
    }
}

pub(super) fn wrap(step: Step, id: CeremonyId, body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(HEADER_LEN + body.len());
    payload.push(step.byte());
    payload.extend(id.to_bytes());
    payload.extend(body);
    payload
}

/// Which ceremony a logged message says it belongs to, for a node that follows several.
pub fn ceremony_of(payload: &[u8]) -> Result<CeremonyId, WireError> {
    Envelope::parse(payload).map(|envelope| envelope.id)
}
