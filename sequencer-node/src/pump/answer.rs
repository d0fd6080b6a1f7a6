//! The answering thread: what peers ask of the store. When too many ask, they are not answered and ask another.

use std::sync::mpsc::Receiver;

use ordering_types::ValidatorId;

use super::Outbound;
use crate::core_api::{Class, Recipient, StoreRequest};
use crate::store::{Reader, StoreError};

/// Questions that may wait.
pub(super) const MAX_WAITING_QUESTIONS: usize = 64;

/// A peer's question.
#[derive(Debug)]
pub(super) enum Question {
    Ordering(StoreRequest),
    Sealed(u64),
}

/// Answers until the core is gone.
pub(super) fn run<S: Outbound>(questions: &Receiver<(ValidatorId, Question)>, reader: &Reader, outbound: &S) {
    while let Ok((to, question)) = questions.recv() {
        if let Err(error) = answer(to, &question, reader, outbound) {
            tracing::error!(%error, "cannot read the store to answer a peer; check the disk");
        }
    }
}

fn answer<S: Outbound>(
    to: ValidatorId,
    question: &Question,
    reader: &Reader,
    outbound: &S,
) -> Result<(), StoreError> {
    let to = Recipient::One(to);
    match question {
        Question::Ordering(StoreRequest::Chunk(digest)) => {
            if let Some(chunk) = reader.chunk(*digest)? {
                outbound.send(to, Class::Chunks, &ordering::wire::chunk_answer(&chunk));
            }
        }
        Question::Ordering(StoreRequest::Decided { first, last, chunks }) => {
            let blocks = reader.served((*first, *last), *chunks, ordering::wire::MAX_SYNC_ANSWER_BYTES)?;
            if !blocks.is_empty() {
                outbound.send(to, Class::Sync, &ordering::wire::sync_answer(blocks));
            }
        }
        Question::Ordering(StoreRequest::Checkpoint { at_most }) => {
            if let Some(checkpoint) = reader.checkpoint(*at_most)? {
                outbound.send(to, Class::Sync, &ordering::wire::checkpoint_answer(&checkpoint));
            }
        }
        Question::Sealed(number) => {
            if let Some(batch) = reader.sealed(*number)? {
                outbound.send(to, Class::Ceremony, &node_core::wire::sealed_answer(&batch));
            }
        }
    }
    Ok(())
}
