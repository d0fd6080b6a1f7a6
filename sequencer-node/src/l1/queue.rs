//! Reads the forced-inclusion queue when the core asks for it: one question at a time, the newest.

use std::time::Duration;

use ordering_types::{ForcedMessage, QueueMark};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::inbox::Inbox;

/// Longest reading of one answer.
const READING_TIMEOUT: Duration = Duration::from_secs(60);

/// What the core asks for: what is told of the queue between the two.
pub(crate) type Question = Option<(QueueMark, QueueMark)>;

/// Answers until nobody asks or listens any more. A question that cannot be answered is not: the core asks again, and others do.
pub(crate) async fn answer(
    mut inbox: Inbox,
    mut questions: watch::Receiver<Question>,
    answers: mpsc::Sender<ForcedMessage>,
) {
    while questions.changed().await.is_ok() {
        let Some((from, to)) = *questions.borrow_and_update() else { continue };
        let reading = timeout(READING_TIMEOUT, inbox.telling(from, to));
        let (first, end) = (from.count, to.count);
        match reading.await {
            Ok(Ok(message)) => {
                tracing::debug!(
                    first,
                    end,
                    entries = message.entries.len(),
                    "read the forced-inclusion queue"
                );
                if answers.send(message).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, first, end, "entries of the forced-inclusion queue cannot be read; another validator may tell them");
            }
            Err(_) => {
                let seconds = READING_TIMEOUT.as_secs();
                tracing::warn!(
                    first,
                    end,
                    "entries of the forced-inclusion queue are not read within {seconds} s; another validator may tell them"
                );
            }
        }
    }
}
