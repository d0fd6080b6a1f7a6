//! The answering thread: what peers ask of the store. When too many ask, they are not answered and ask another.
//!
//! Peers ask for blocks as soon as they hear that this node decided them, which may be before its disk and index have them. Such a
//! question waits: unanswered, it would cost the asker the long patience that it has with answers full of chunks.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ordering_types::{Height, ValidatorId};

use super::Outbound;
use crate::core_api::{Class, Recipient, StoreRequest};
use crate::store::{Reader, StoreError};

/// Questions that may wait.
pub(super) const MAX_WAITING_QUESTIONS: usize = 64;
/// Questions before their time that may wait beside them; then the oldest is not answered.
const MAX_EARLY_QUESTIONS: usize = 64;
/// It is looked this often whether their time has come: the index grows about as often.
const EARLY_INTERVAL: Duration = Duration::from_millis(10);
/// Whoever asked has given up by then.
const EARLY_PATIENCE: Duration = Duration::from_secs(2);

/// A peer's question.
#[derive(Debug)]
pub(super) enum Question {
    Ordering(StoreRequest),
    Sealed(u64),
}

/// A question for a block that is decided, and not yet in the index.
#[derive(Debug)]
struct Early {
    since: Instant,
    first: Height,
    from: ValidatorId,
    question: Question,
}

/// Answers until the core is gone.
pub(super) fn run<S: Outbound>(questions: &Receiver<(ValidatorId, Question)>, reader: &Reader, outbound: &S) {
    let mut answers = Answers { reader, outbound, early: VecDeque::new() };
    let mut looked = Instant::now();
    loop {
        let wait = if answers.early.is_empty() { EARLY_PATIENCE } else { EARLY_INTERVAL };
        match questions.recv_timeout(wait.saturating_sub(looked.elapsed())) {
            Ok((from, question)) => answers.report(|answers| answers.take(from, question)),
            Err(RecvTimeoutError::Timeout) => {
                looked = Instant::now();
                answers.report(Answers::take_early);
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

struct Answers<'a, S> {
    reader: &'a Reader,
    outbound: &'a S,
    early: VecDeque<Early>,
}

impl<S: Outbound> Answers<'_, S> {
    fn report(&mut self, act: impl FnOnce(&mut Self) -> Result<(), StoreError>) {
        if let Err(error) = act(self) {
            tracing::error!(%error, "cannot read the store to answer a peer; check the disk");
        }
    }

    fn take(&mut self, from: ValidatorId, question: Question) -> Result<(), StoreError> {
        match question {
            Question::Ordering(StoreRequest::Decided { first, .. }) if first > self.newest()? => {
                if self.early.len() >= MAX_EARLY_QUESTIONS {
                    self.early.pop_front();
                }
                self.early.push_back(Early { since: Instant::now(), first, from, question });
                Ok(())
            }
            question => self.answer(from, &question),
        }
    }

    fn take_early(&mut self) -> Result<(), StoreError> {
        if self.early.is_empty() {
            return Ok(());
        }
        let newest = self.newest()?;
        self.early.retain(|early| early.since.elapsed() < EARLY_PATIENCE);
        for early in std::mem::take(&mut self.early) {
            if early.first <= newest {
                self.answer(early.from, &early.question)?;
            } else {
                self.early.push_back(early);
            }
        }
        Ok(())
    }

    fn newest(&self) -> Result<Height, StoreError> {
        Ok(self.reader.range()?.map_or(Height::ZERO, |(_, newest)| newest))
    }

    fn answer(&self, to: ValidatorId, question: &Question) -> Result<(), StoreError> {
        let Self { reader, outbound, .. } = self;
        let to = Recipient::One(to);
        match question {
            Question::Ordering(StoreRequest::Chunk(digest)) => {
                if let Some(chunk) = reader.chunk(*digest)? {
                    outbound.send(to, Class::Chunks, &ordering::wire::chunk_answer(&chunk));
                }
            }
            Question::Ordering(StoreRequest::Decided { first, last, chunks }) => {
                let blocks =
                    reader.served((*first, *last), *chunks, ordering::wire::MAX_SYNC_ANSWER_BYTES)?;
                if !blocks.is_empty() {
                    outbound.send(to, Class::Sync, &ordering::wire::sync_answer(blocks));
                }
            }
            Question::Ordering(StoreRequest::Checkpoint { at_most, known }) => {
                if let Some(checkpoint) = reader.checkpoint(*at_most, *known)? {
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
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;

    use bytes::Bytes;

    use super::*;
    use crate::store::tests::{fresh_folder, try_open, write_block};

    #[derive(Clone)]
    struct Sent(mpsc::Sender<(Recipient, Class)>);

    impl Outbound for Sent {
        fn send(&self, to: Recipient, class: Class, _: &Bytes) {
            self.0.send((to, class)).unwrap();
        }

        fn change(&self, _: &crate::core_api::Peers) {}
    }

    fn ask(first: u64) -> Question {
        let (first, last) = (Height::new(first), Height::new(first + 3));
        Question::Ordering(StoreRequest::Decided { first, last, chunks: true })
    }

    /// The core says what it decided; disk and index follow.
    #[test]
    fn who_asks_for_a_block_before_it_is_in_the_index_is_answered_when_it_is() {
        let folder = fresh_folder();
        let mut opened = try_open(folder.path(), 1, 0).unwrap();
        let (questions, receiver) = mpsc::sync_channel(MAX_WAITING_QUESTIONS);
        let (sender, sent) = mpsc::channel();
        let reader = opened.reader.clone();
        let thread = std::thread::spawn(move || run(&receiver, &reader, &Sent(sender)));
        let [one, two] = [1, 2].map(ValidatorId::new);
        write_block(&mut opened.store, 1);
        opened.store.sync().unwrap();
        questions.send((one, ask(2))).unwrap();
        questions.send((two, ask(1))).unwrap();
        let patience = Duration::from_secs(30);
        assert_eq!(sent.recv_timeout(patience), Ok((Recipient::One(two), Class::Sync)));
        assert!(sent.try_recv().is_err(), "there is nothing to say of block 2");
        write_block(&mut opened.store, 2);
        opened.store.sync().unwrap();
        assert_eq!(sent.recv_timeout(patience), Ok((Recipient::One(one), Class::Sync)));
        drop(questions);
        thread.join().unwrap();
    }
}
