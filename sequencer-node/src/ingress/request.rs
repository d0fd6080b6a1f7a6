//! One question, one answer.

use std::sync::Arc;

use rollup::wire::{ConfirmedBlock, Founding, Request, Response, Status};

use super::ordered_block;
use crate::front::{Front, ReadError};

/// Answers one question from the store and the newest snapshot.
pub(super) async fn answer(front: &Front, request: Request) -> Result<Response, ReadError> {
    Ok(match request {
        Request::Sealed(number) => {
            Response::Sealed(front.read(move |store| store.sealed(number)).await?.map(Arc::new))
        }
        Request::LatestSealed => Response::LatestSealed(front.read(|store| store.latest_sealed()).await?),
        Request::Founding => {
            let found = front.read(|store| Ok(store.founding().cloned())).await?;
            Response::Founding(found.map(|f| Founding { key: f.key, signatures: f.signatures }))
        }
        Request::Block { height, rollup } => {
            let read = front.read(move |store| Ok((store.decided(height)?, store.confirmation(height)?)));
            let (decided, confirmation) = read.await?;
            Response::Block(decided.map(|decided| {
                let ordered = ordered_block(&decided, |id| Some(id) == rollup, true);
                Box::new(ConfirmedBlock { ordered, confirmation })
            }))
        }
        Request::Status => Response::Status(status(front)),
        Request::Handover(epoch) => {
            Response::Handover(front.read(move |store| store.succession(epoch)).await?.map(Box::new))
        }
    })
}

fn status(front: &Front) -> Status {
    let peers = (front.peers)().iter().filter(|peer| peer.connected).count();
    Status {
        chain_spec: front.chain_spec,
        validator: front.me,
        member: front.handle.is_member(),
        height: front.handle.height(),
        certified: front.handle.certified(),
        sealed: front.status().last_sealed,
        peers: u16::try_from(peers).unwrap_or(u16::MAX),
    }
}
