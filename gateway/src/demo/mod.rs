//! `endtoend demo`: a conversation between two real clients through a real node, with a `kill -9` in the middle, and a
//! search of everything that the node kept. Succeeds only if all that was promised was observed.

mod client;
mod process;
mod report;
mod script;
pub mod search;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

/// Options of `endtoend demo`.
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// Leave the node running, and print how to chat from two terminals.
    #[arg(long)]
    keep: bool,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

/// Why the demo did not get to its end.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("cannot find {0}: build it with cargo build --workspace --bins")]
    NoProgram(PathBuf),
    #[error("cannot {what}")]
    Io { what: &'static str, source: std::io::Error },
    #[error("{what} took longer than {seconds} s")]
    TooLong { what: String, seconds: u64 },
    #[error("the node did not start:\n{log}")]
    NodeFailed { log: String },
    #[error("endtoend-cli {command} failed with code {code:?}:\n{text}")]
    ClientFailed { command: String, code: Option<i32>, text: String },
    #[error("endtoend-cli printed what was not expected: {0}")]
    Unexpected(String),
}

impl DemoError {
    fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// Runs the demo and prints what was seen.
pub fn main(options: &Options) -> ExitCode {
    let result = script::play(options.keep).and_then(|seen| {
        match options.json {
            true => report::print_json(&seen),
            false => report::print(&seen),
        }
        .map_err(DemoError::io("print"))?;
        Ok(seen.promises.iter().all(|promise| promise.kept))
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("endtoend demo: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}
