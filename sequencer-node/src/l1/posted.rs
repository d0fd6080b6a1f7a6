//! Which batches the inbox has: what nodes still hold for L1 is what they sealed after these.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ordering_types::ChainSpec;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::inbox::Inbox;
use super::reader::{At, ReadError, Reader};

/// Between two looks: half a slot of Ethereum.
const LOOK_INTERVAL: Duration = Duration::from_secs(6);
/// What is final is looked at, and noted, once in so many looks: Ethereum finalizes every six minutes.
const LOOKS_A_NOTE: u32 = 10;
/// Longest look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
/// Keeps over a restart what was read last: else a node that starts while L1 is away would know of no unposted batch.
const NOTE_FILE: &str = "posted.json";
/// Longest such file.
const MAX_NOTE_BYTES: u64 = 1_024;

/// Numbers of batches on L1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Posted {
    /// The newest there is.
    pub(crate) latest: u64,
    /// The newest that cannot be reverted.
    pub(crate) finalized: u64,
}

/// What the endpoint last said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PostedView {
    /// That; none if it never answered, neither now nor before the start.
    pub(crate) posted: Option<Posted>,
    /// When it last answered, or when the node began to ask.
    pub(crate) answered: Instant,
}

/// Looks again and again, until nobody listens. `folder` is the data folder.
pub(crate) fn watch_posted(
    endpoint: &str,
    spec: &ChainSpec,
    folder: &Path,
) -> Result<watch::Receiver<PostedView>, ReadError> {
    let inbox = Inbox::new(Arc::new(Reader::new(endpoint, spec.l1_chain_id)?), spec);
    let note = folder.join(NOTE_FILE);
    let posted = recall(&note);
    let (view, told) = watch::channel(PostedView { posted, answered: Instant::now() });
    tokio::spawn(look_on(inbox, note, view));
    Ok(told)
}

async fn look_on(inbox: Inbox, note: PathBuf, view: watch::Sender<PostedView>) {
    let mut looks = 0;
    while !view.is_closed() {
        let known = view.borrow().posted;
        let noted = looks % LOOKS_A_NOTE == 0;
        match timeout(LOOK_TIMEOUT, look(&inbox, known.unwrap_or_default(), noted)).await {
            Ok(Ok(posted)) => {
                looks += 1;
                view.send_replace(PostedView { posted: Some(posted), answered: Instant::now() });
                if noted && known != Some(posted) {
                    keep(&note, posted);
                }
            }
            Ok(Err(error)) => tracing::debug!(%error, "cannot read which batches L1 has"),
            Err(_) => tracing::debug!("the L1 endpoint does not say in time which batches L1 has"),
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn look(inbox: &Inbox, known: Posted, with_final: bool) -> Result<Posted, ReadError> {
    inbox.check_chain().await?;
    let latest = inbox.last_batch(At::Latest).await?;
    let finalized = match with_final {
        false => known.finalized,
        true => match inbox.last_batch(At::Finalized).await {
            // Deployed a moment ago.
            Err(ReadError::NoContract(_)) => 0,
            other => other?,
        },
    };
    Ok(Posted { latest, finalized: finalized.min(latest) })
}

/// What was noted before; nothing if the file is not there or is no note.
fn recall(note: &Path) -> Option<Posted> {
    let length = fs::metadata(note).ok()?.len();
    let text = (length <= MAX_NOTE_BYTES).then(|| fs::read_to_string(note).ok())??;
    serde_json::from_str(&text).ok()
}

/// Losing it costs what [`NOTE_FILE`] says; a torn one is none.
fn keep(note: &Path, posted: Posted) {
    let write = || -> io::Result<()> {
        let new = note.with_extension("new");
        fs::write(&new, serde_json::to_vec(&posted)?)?;
        fs::rename(&new, note)
    };
    if let Err(error) = write() {
        tracing::warn!(%error, file = %note.display(), "cannot note which batches L1 has");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_known_after_a_restart_and_anything_else_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join(NOTE_FILE);
        assert_eq!(recall(&note), None);
        let posted = Posted { latest: 9, finalized: 7 };
        keep(&note, posted);
        assert_eq!(recall(&note), Some(posted));
        for bad in ["", "{\"latest\":9}", "{\"latest\":-1,\"finalized\":0}", &" ".repeat(2_000)] {
            fs::write(&note, bad).unwrap();
            assert_eq!(recall(&note), None, "{bad:?}");
        }
    }
}
