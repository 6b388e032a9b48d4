//! `endtoend demo`: a conversation between two real clients through a real node, or several of them, with a `kill -9` in the
//! middle, and a search of everything that the servers kept. Succeeds only if all that was promised was observed.

mod client;
mod process;
mod report;
mod script;
pub mod search;
mod several;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::dev_cluster::DevError;

/// Options of `endtoend demo`.
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// Leave the node running, and print how to chat from two terminals.
    #[arg(long, conflicts_with = "nodes")]
    keep: bool,
    /// A cluster of so many nodes, 3 to 9, with PostgreSQL and Redis: nodes are killed while both talk across them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(3..=9))]
    nodes: Option<u8>,
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
    #[error(transparent)]
    Cluster(#[from] DevError),
}

impl DemoError {
    fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// Runs the demo and prints what was seen.
pub fn main(options: &Options) -> ExitCode {
    let played = match options.nodes {
        None => script::play(options.keep),
        Some(nodes) => several::play(nodes, &mut |what| report::tell(options.json, what)),
    };
    let result = played.and_then(|seen| {
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
