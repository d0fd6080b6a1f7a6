//! Exit codes: what a script may rely on.

use std::process::ExitCode;

/// Why the process ended. The numbers are part of the command line's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Anything without a code of its own.
    Failure = 1,
    /// The command line itself is wrong (clap's own code, too).
    Usage = 2,
    /// A config or genesis file.
    Config = 3,
    /// The node key or its password.
    Key = 4,
    /// The data folder.
    Store = 5,
    /// A port is taken.
    PortBusy = 6,
    /// The L1 endpoint serves another chain.
    WrongL1 = 7,
    /// A file that was to prove something proves nothing.
    Unproven = 8,
    /// The registry on L1 does not allow it, or not yet.
    Registry = 9,
    /// L1 cannot be asked, or does not take a transaction.
    L1 = 10,
}

/// For `--help`.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  done, or stopped by SIGTERM or SIGINT
  1  failure
  2  wrong command line
  3  config or genesis file
  4  node key or its password
  5  data folder
  6  a port is taken
  7  the L1 endpoint serves another chain
  8  evidence that proves nothing
  9  the registry on L1 does not allow it, or not yet
  10 L1 cannot be asked, or does not take a transaction";

/// An error that ends the process, with its code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code.
    pub(crate) exit: Exit,
    /// What an operator reads.
    pub(crate) error: Box<dyn std::error::Error + Send + Sync>,
}

impl Failure {
    /// From any error.
    pub(crate) fn new(exit: Exit, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { exit, error: error.into() }
    }

    /// Prints the error and its causes to stderr; gives the code.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("error: {self}");
        ExitCode::from(self.exit as u8)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut last = self.error.to_string();
        f.write_str(&last)?;
        let mut source = self.error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many errors repeat their cause in their own text.
            if !last.contains(&text) {
                write!(f, ": {text}")?;
            }
            last = text;
            source = cause.source();
        }
        Ok(())
    }
}
