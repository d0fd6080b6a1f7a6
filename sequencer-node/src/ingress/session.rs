//! A session: submissions in, refusals and the subscription out.

use std::sync::Arc;

use ordering_types::Transaction;
use quinn::{Connection, RecvStream, SendStream};
use rollup::wire::{
    self, ClientMessage, CloseReason, FrameError, Hello, NodeMessage, Refused, Submit, VERSION, Welcome,
};
use tokio::io::BufReader;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::server::{WRITE_TIMEOUT, close};
use super::subscription::{Ended, Subscriber};
use crate::admission::AdmissionError;
use crate::front::Front;

/// Refusals that may wait to be written; then no more submissions are read.
const MAX_WAITING_REFUSALS: usize = 4_096;
/// Transactions and bytes checked and handed over together.
const MAX_BATCH: usize = 1_024;
const MAX_BATCH_BYTES: usize = 1 << 20;

/// Serves one session to its end.
pub(super) async fn serve(
    front: &Arc<Front>,
    connection: &Connection,
    mut send: SendStream,
    receive: BufReader<RecvStream>,
    hello: Hello,
    stopped: watch::Receiver<bool>,
) {
    if hello.version != VERSION {
        let text = format!("this node speaks version {VERSION}");
        return close(&mut send, CloseReason::Version, &text).await;
    }
    if hello.chain_spec != front.chain_spec {
        let text = format!("this node's genesis file has hash {}", front.chain_spec);
        return close(&mut send, CloseReason::WrongChainSpec, &text).await;
    }
    // The subscriber listens before the height is read, so that nothing falls between.
    let subscriber = hello.subscription.map(|wanted| Subscriber::new(Arc::clone(front), wanted));
    let Some(welcome) = welcome(front, connection) else { return };
    if !write(&mut send, &NodeMessage::Welcome(welcome)).await {
        return;
    }
    let (refusals, waiting) = mpsc::channel(MAX_WAITING_REFUSALS);
    let reading = read_submissions(Arc::clone(front), receive, refusals);
    let writing = write_frames(send, subscriber, waiting, stopped);
    // Each side ends the other: dropping the streams resets them.
    let reader = tokio::spawn(reading);
    writing.await;
    reader.abort();
}

fn welcome(front: &Front, connection: &Connection) -> Option<Welcome> {
    let proof = wire::prove_identity(connection, &front.spec.domain(), front.me, &front.key).ok()?;
    Some(Welcome {
        version: VERSION,
        chain_spec: front.chain_spec,
        height: front.handle.height(),
        member: front.handle.is_member(),
        validator: front.me,
        key: front.key.public_key(),
        identity_proof: proof,
    })
}

/// False: the client is gone or does not read.
async fn write(send: &mut SendStream, message: &NodeMessage) -> bool {
    matches!(timeout(WRITE_TIMEOUT, wire::write(send, message)).await, Ok(Ok(())))
}

/// From the reading side.
enum FromReader {
    Refused(Vec<Refused>),
    /// The client sent something that it must not.
    Malformed(String),
}

async fn write_frames(
    mut send: SendStream,
    mut subscriber: Option<Subscriber>,
    mut waiting: mpsc::Receiver<FromReader>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut reading = true;
    loop {
        tokio::select! {
            from_reader = waiting.recv(), if reading => match from_reader {
                Some(FromReader::Refused(all)) => {
                    let all = all.into_iter().map(NodeMessage::Refused);
                    if !matches!(timeout(WRITE_TIMEOUT, wire::write_all(&mut send, all)).await, Ok(Ok(()))) {
                        return;
                    }
                }
                Some(FromReader::Malformed(why)) => {
                    return close(&mut send, CloseReason::Malformed, &why).await;
                }
                // A client may finish its side and go on listening.
                None if subscriber.is_some() => reading = false,
                None => {
                    let _ = send.finish();
                    return;
                }
            },
            next = next(&mut subscriber) => match next {
                Ok(message) => {
                    if !write(&mut send, &message).await {
                        return close(&mut send, CloseReason::Lagging, "a frame was not read in time").await;
                    }
                }
                Err(Ended { reason, text }) => return close(&mut send, reason, &text).await,
            },
            () = stop(&mut stopped) => {
                return close(&mut send, CloseReason::ShuttingDown, "the node stops").await;
            }
            _ = send.stopped() => return,
        }
    }
}

async fn stop(stopped: &mut watch::Receiver<bool>) {
    // A lost sender means that the server is gone: the same.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn next(subscriber: &mut Option<Subscriber>) -> Result<NodeMessage, Ended> {
    match subscriber {
        Some(subscriber) => subscriber.next().await,
        None => std::future::pending().await,
    }
}

async fn read_submissions(
    front: Arc<Front>,
    mut receive: BufReader<RecvStream>,
    refusals: mpsc::Sender<FromReader>,
) {
    loop {
        let batch = match read_batch(&mut receive).await {
            Ok(Some(batch)) => batch,
            Ok(None) | Err(FrameError::Io(_)) => return,
            Err(error) => {
                // The writing side closes the session; it may be gone.
                let _ = refusals.send(FromReader::Malformed(error.to_string())).await;
                return;
            }
        };
        let tags: Vec<u64> = batch.iter().map(|submit| submit.tag).collect();
        let transactions =
            batch.into_iter().map(|s| Transaction { rollup: s.rollup, data: s.data }).collect();
        let answers = front.submit(transactions).await;
        let refused: Vec<Refused> = tags
            .into_iter()
            .zip(answers)
            .filter_map(|(tag, answer)| answer.err().map(|error| refused(tag, &error)))
            .collect();
        if !refused.is_empty() && refusals.send(FromReader::Refused(refused)).await.is_err() {
            return;
        }
    }
}

fn refused(tag: u64, error: &AdmissionError) -> Refused {
    let text = error.to_string().chars().take(wire::MAX_TEXT_BYTES / 4).collect();
    Refused { tag, code: error.refusal(), text }
}

/// Waits for one frame, then takes those that are here already: together they cost one trip to the core.
async fn read_batch(receive: &mut BufReader<RecvStream>) -> Result<Option<Vec<Submit>>, FrameError> {
    let Some(first) = wire::read::<ClientMessage>(receive).await? else { return Ok(None) };
    let mut batch = Vec::new();
    let mut bytes = push(&mut batch, first);
    while batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES && has_whole_frame(receive.buffer()) {
        let Some(next) = wire::read::<ClientMessage>(receive).await? else { break };
        bytes += push(&mut batch, next);
    }
    Ok(Some(batch))
}

fn push(batch: &mut Vec<Submit>, message: ClientMessage) -> usize {
    let before = batch.len();
    match message {
        ClientMessage::Submit(submit) => batch.push(submit),
        ClientMessage::SubmitMany(all) => batch.extend(all),
    }
    batch.iter().skip(before).map(|submit| submit.data.len()).sum()
}

fn has_whole_frame(buffer: &[u8]) -> bool {
    buffer
        .split_first_chunk::<4>()
        .is_some_and(|(length, rest)| rest.len() >= u32::from_be_bytes(*length) as usize)
}
