//! What does the client's engine cost, each part beside what bounds it?
//!
//! Opening a profile beside Argon2id alone; storing messages beside a bare SQLite file that is synced as often; a page of a short and
//! of a long conversation; searching; files beside the bare AEAD and the disk; and, with a real node, what a message costs its writer
//! and its reader beside ratchet and envelope alone, and what memory a reader takes for whom thousands wait. Limits are measured in
//! the same run. Processor time is that of the processes, as Linux counts it.
#![expect(clippy::expect_used, reason = "a measurement that fails should stop")]

mod disk;
mod local;
mod ratchet;
mod talk;

use std::path::PathBuf;

use clap::Parser;

/// What the client's engine costs.
#[derive(Clone, Debug, Parser)]
#[command(name = "engine-cost", version)]
struct Options {
    /// Messages of the long conversation.
    #[arg(long, default_value_t = 100_000)]
    history: u32,
    /// Messages that are stored one by one.
    #[arg(long, default_value_t = 2_000)]
    stored: u32,
    /// MiB of a file.
    #[arg(long, default_value_t = 256)]
    file: usize,
    /// Messages that are sent, and wait for their reader.
    #[arg(long, default_value_t = 9_900)]
    messages: u32,
    /// Reads what waits for the profile in this folder, and says what that took: the second process of a measurement.
    #[arg(long, hide = true, value_name = "DIR")]
    receive: Option<PathBuf>,
}

fn main() {
    let options = Options::parse();
    if let Some(home) = &options.receive {
        return talk::receive(home, options.messages);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    local::measure(folder.path(), options.history, options.stored);
    disk::measure(folder.path(), options.file);
    talk::measure(folder.path(), options.messages);
}

/// A figure beside its limit, in the same unit; `ratio` is how near it comes, 1 being the limit.
fn row(what: &str, limit: f64, ours: f64, unit: &str, ratio: f64) {
    println!("{what:<58} {limit:>10.1} {ours:>10.1} {unit:<6} {ratio:>5.2}");
}

fn heading(what: &str) {
    println!("\n{what:<58} {:>10} {:>10} {:<6} {:>5}", "limit", "ours", "", "ratio");
}
