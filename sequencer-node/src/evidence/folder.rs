//! The folder `evidence` in the data folder.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use node_core::evidence::Evidence;
use ordering_types::ChainSpec;

use super::EvidenceFile;

/// Its name in the data folder.
pub(super) const FOLDER: &str = "evidence";
/// So many files of each kind are kept about a validator: one convinces, and a liar may go on for ever.
const MAX_FILES_OF_A_KIND: u32 = 4;

/// Where evidence goes.
pub(crate) struct EvidenceFolder {
    path: PathBuf,
    spec: Arc<ChainSpec>,
}

impl EvidenceFolder {
    /// Of this data folder and network; made when there is something to keep.
    pub(crate) fn new(data: &Path, spec: Arc<ChainSpec>) -> Self {
        Self { path: data.join(FOLDER), spec }
    }

    /// Keeps it, unless there is enough of its kind, and says where. That it cannot be written is no reason to stop.
    pub(crate) fn keep(&self, evidence: &Evidence) {
        match self.write(evidence) {
            Ok(Some(file)) => tracing::error!(
                what = %evidence,
                file = %file.display(),
                "a validator provably misbehaved; keep the file and show it to the other operators"
            ),
            Ok(None) => tracing::debug!(what = %evidence, "more of what is proven already"),
            Err(error) => tracing::error!(
                what = %evidence,
                file = serde_json::to_string(&EvidenceFile::new(&self.spec, evidence)).unwrap_or_default(),
                %error,
                "a validator provably misbehaved, and the evidence cannot be written to the data folder; keep this line"
            ),
        }
    }

    /// The new file; `None` if there are enough.
    fn write(&self, evidence: &Evidence) -> io::Result<Option<PathBuf>> {
        fs::create_dir_all(&self.path)?;
        let name = |number| {
            self.path.join(format!("validator-{}-{}-{number}.json", evidence.culprit(), evidence.name()))
        };
        let free = (1..=MAX_FILES_OF_A_KIND).map(name).find(|file| !file.exists());
        let Some(file) = free else { return Ok(None) };
        let mut text = serde_json::to_string_pretty(&EvidenceFile::new(&self.spec, evidence))?;
        text.push('\n');
        // A reader never sees half of it.
        let unfinished = file.with_extension("new");
        let mut out = fs::File::create(&unfinished)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&unfinished, &file)?;
        fs::File::open(&self.path)?.sync_all()?;
        Ok(Some(file))
    }
}
