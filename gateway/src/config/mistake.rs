//! What is wrong with a configuration: where, what, and what to do about it.

use std::fmt;
use std::path::PathBuf;

use super::redact::redacted;

/// Where a mistake was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Lines count from 1.
    File { path: PathBuf, line: usize },
    /// An environment variable.
    Variable(String),
    /// No single place: a default, or an option of the command line.
    Whole,
}

/// One mistake. Its texts hold no password, even if one was written where it does not belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub place: Place,
    pub text: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Mistake {
    pub(super) fn new(place: Place, text: &str, hint: Option<String>) -> Self {
        Self { place, text: redacted(text), hint }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { path, line } => write!(f, "{}:{line}: ", path.display())?,
            Place::Variable(name) => write!(f, "{name}: ")?,
            Place::Whole => {}
        }
        f.write_str(&self.text)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  {hint}")?;
        }
        Ok(())
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: name another file with --config FILE, or write one with `endtoend config init`", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// All that were found, those of the file first.
    #[error("{}", lines(.0))]
    Mistakes(Vec<Mistake>),
}

impl ConfigError {
    /// The mistakes that were found.
    pub fn mistakes(&self) -> &[Mistake] {
        match self {
            Self::Read { .. } => &[],
            Self::Mistakes(mistakes) => mistakes,
        }
    }
}

fn lines(mistakes: &[Mistake]) -> String {
    let mut text = "the configuration is not valid".to_owned();
    for mistake in mistakes {
        text.push_str(&format!("\n{mistake}"));
    }
    text
}
