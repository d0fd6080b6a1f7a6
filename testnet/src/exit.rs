//! Exit codes: part of the command line's interface.

use std::process::ExitCode;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done; with `--for`, every promise held.
    Done = 0,
    /// Could not be done.
    Failure = 1,
    /// A promise of the design was broken.
    Broken = 3,
    /// Nothing runs with that data folder.
    NotRunning = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
