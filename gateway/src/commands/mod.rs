//! The operator's commands: what they take, what they print, and how they end.
//!
//! Each has `Options` for clap and a `run` that gives a [`Failure`] or nothing. With `--json` a command prints one object
//! per line on standard output, the last one being `error` when it failed. docs/operating.md lists them.

pub mod abuse;
pub mod admin;
pub mod audit;
pub mod cluster;
pub mod config;
pub mod db;
pub mod dev_cluster;
pub mod edge;
pub mod invite;
pub mod joining;
pub mod onion;
mod qr;
pub mod restore;
pub mod tunnel;
pub mod user;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::PREFIX;

/// The environment as it was when the program started. Nothing below `main` reads it.
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// What may be configuration, as text.
    pub fn settings(&self) -> impl Iterator<Item = (String, String)> {
        let text = |text: &OsString| text.to_string_lossy().into_owned();
        self.0.iter().map(move |(name, value)| (text(name), text(value))).filter(|(name, _)| name.starts_with(PREFIX))
    }

    /// Everything, for those who look for secrets.
    pub fn all(&self) -> impl Iterator<Item = (OsString, OsString)> {
        self.0.iter().cloned()
    }
}

/// Why a command failed, and what to do next. Travels through the admin socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    text: String,
    causes: Vec<String>,
    /// What the program ends with.
    #[serde(default = "one")]
    code: u8,
}

/// Of most failures.
const fn one() -> u8 {
    1
}

impl Failure {
    /// A failure without an error below it.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), causes: Vec::new(), code: one() }
    }

    /// Adds what it comes from.
    #[must_use]
    pub fn because(mut self, cause: String) -> Self {
        self.causes.push(cause);
        self
    }

    /// Ends the program with this code instead of 1.
    #[must_use]
    pub fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// Ends the program with its code, and says why.
    pub fn report(&self, json: bool) -> ExitCode {
        if json {
            let object = json!({
                "event": "error", "error": "failed", "exit_code": self.code, "text": self.text, "causes": self.causes,
            });
            // Nobody may be reading any more; the exit code tells.
            let _ = Out { json }.object(&object);
        } else {
            eprintln!("endtoend: {}", self.text);
            for cause in &self.causes {
                eprintln!("  because: {cause}");
            }
        }
        ExitCode::from(self.code)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let (text, mut causes) = (error.to_string(), Vec::new());
        // A transparent layer says the same as what it wraps.
        let (mut said, mut cause) = (text.clone(), error.source());
        while let Some(error) = cause {
            let text = error.to_string();
            if text != said {
                causes.push(text.clone());
            }
            (said, cause) = (text, error.source());
        }
        Self { text, causes, code: one() }
    }
}

/// Turns the end of a command into an exit code.
pub fn end(done: Result<(), Failure>, json: bool) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

/// Standard output, for people or for programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    pub(crate) json: bool,
}

impl Out {
    /// One of the two, by what was asked for.
    pub(crate) fn say(self, object: &Value, text: &str) -> io::Result<()> {
        if self.json { self.object(object) } else { self.text(text) }
    }

    pub(crate) fn object(self, object: &Value) -> io::Result<()> {
        self.text(&object.to_string())
    }

    pub(crate) fn text(self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush())
    }
}
