//! Where the password comes from: a file (named in the config, by a flag or by an environment variable) or a prompt.
//! Never the command line, which every user of the machine can read.

use std::fs;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Most bytes of a password file that are read.
const MAX_PASSWORD_BYTES: u64 = 4_096;

/// A password; wiped when dropped.
pub(crate) type Password = Zeroizing<String>;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// The file cannot be read.
    #[error("password file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("password file {path} can be read by other users; run: chmod 600 {path}", path = .0.display())]
    Open(PathBuf),
    /// Nothing in it.
    #[error("password file {} is empty", .0.display())]
    Empty(PathBuf),
    /// No file and no terminal.
    #[error(
        "no password: set key.password_file in the config, or SEQUENCER_KEY__PASSWORD_FILE, or run from a terminal"
    )]
    NoSource,
    /// The prompt failed.
    #[error("password prompt: {0}")]
    Prompt(std::io::Error),
    /// The two entries differ.
    #[error("the two passwords differ")]
    Differ,
}

/// Where to get the password.
#[derive(Clone, Debug)]
pub(crate) enum PasswordSource {
    /// The first line of this file.
    File(PathBuf),
    /// Ask on the terminal.
    Prompt,
}

impl PasswordSource {
    /// A file if one is named, else the terminal.
    pub(crate) fn from_option(file: Option<&Path>) -> Self {
        file.map_or(Self::Prompt, |path| Self::File(path.to_owned()))
    }

    /// The password of an existing key.
    pub(crate) fn read(&self) -> Result<Password, PasswordError> {
        self.read_for("Password of the node key: ")
    }

    /// The same of another key; a prompt asks with these words.
    pub(crate) fn read_for(&self, words: &str) -> Result<Password, PasswordError> {
        match self {
            Self::File(path) => read_file(path),
            Self::Prompt => prompt(words),
        }
    }

    /// The password for a new key; a prompt asks twice.
    pub(crate) fn choose(&self) -> Result<Password, PasswordError> {
        match self {
            Self::File(path) => read_file(path),
            Self::Prompt => {
                let first = prompt("New password for the node key: ")?;
                let second = prompt("Again: ")?;
                if first == second { Ok(first) } else { Err(PasswordError::Differ) }
            }
        }
    }
}

fn prompt(text: &str) -> Result<Password, PasswordError> {
    if !std::io::stdin().is_terminal() {
        return Err(PasswordError::NoSource);
    }
    rpassword::prompt_password(text).map(Zeroizing::new).map_err(PasswordError::Prompt)
}

fn read_file(path: &Path) -> Result<Password, PasswordError> {
    let failed = |source| PasswordError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    if super::keystore::readable_by_others(&file.metadata().map_err(failed)?) {
        return Err(PasswordError::Open(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_PASSWORD_BYTES).read_to_string(&mut text).map_err(failed)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(PasswordError::Empty(path.to_owned()));
    }
    Ok(Zeroizing::new(line.to_owned()))
}
