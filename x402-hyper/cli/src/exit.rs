//! How the program ends: a code for scripts, a paragraph for people.

use core::fmt;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use x402_std::config::ConfigError;
use x402_std::secret_file::{SecretPath, may_be_secret};

/// The exit codes; the table of [`crate::args`] is what users read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Limit = 3,
    Refused = 4,
    Unknown = 5,
    Unproven = 6,
    Loss = 7,
    Lost = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why the program ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    error: String,
    at: Option<String>,
    help: Option<String>,
    /// The whole of it, where somebody else wrote it.
    paragraph: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl fmt::Display) -> Self {
        Self { exit, error: error.to_string(), at: None, help: None, paragraph: None }
    }

    pub(crate) fn failed(error: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, error)
    }

    pub(crate) fn usage(error: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, error)
    }

    /// What a configuration's error is: error, place, snippet and help, written already.
    pub(crate) fn configuration(error: &ConfigError) -> Self {
        let failure = Self::usage(error.message()).help(error.help());
        Self { paragraph: Some(error.to_string()), ..failure }
    }

    /// Where it happened: a file, a seller's terms.
    pub(crate) fn at(mut self, at: impl fmt::Display) -> Self {
        self.at = Some(at.to_string());
        self
    }

    /// The file in which it happened; not what may be a secret that was given for one.
    pub(crate) fn at_file(self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let failure = self.at(SecretPath::from(path));
        match failure.help {
            None if may_be_secret(&path.to_string_lossy()) => {
                failure.help("name a file; what is secret belongs in one that only you can read")
            }
            _ => failure,
        }
    }

    /// What to do about it.
    pub(crate) fn help(mut self, help: impl fmt::Display) -> Self {
        self.help = Some(help.to_string());
        self
    }

    /// What is wrong, in one line.
    pub(crate) fn error(&self) -> &str {
        &self.error
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "ok": false,
            "exit": self.exit as u8,
            "error": self.error,
            "at": self.at,
            "help": self.help,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(paragraph) = &self.paragraph {
            return f.write_str(paragraph);
        }
        write!(f, "error: {}", self.error)?;
        for (word, text) in [("at", &self.at), ("help", &self.help)] {
            if let Some(text) = text {
                write!(f, "\n{word}: {text}")?;
            }
        }
        Ok(())
    }
}
