//! Child processes: found beside the test, heard line by line, ended for certain.

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::clock::{PATIENCE, eventually};

/// A program of this workspace, to be started with nothing of the tester's own settings.
///
/// # Panics
/// When it was not built.
pub fn command(name: &str) -> Command {
    let own = std::env::current_exe().expect("a program knows where it is");
    // A test lies one folder below the programs, a benchmark beside them.
    let candidates: Vec<PathBuf> = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).collect();
    let program =
        candidates.iter().find(|path| path.is_file()).or(candidates.last()).expect("a program lies somewhere");
    assert!(program.is_file(), "{} is missing: run `cargo build --workspace --bins` first", program.display());
    let mut command = Command::new(program);
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("ENDTOEND_") {
            command.env_remove(variable);
        }
    }
    command
}

/// Programs that tests use and that nobody wants installed: where `scripts/other-programs` has put them. `None`, and said on
/// standard error, where they cannot be had.
///
/// # Panics
/// When the script does not start.
pub fn other_programs(what: &str) -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/other-programs");
    let fetched = Command::new(script).arg(what).output().expect("bash is there");
    let said = String::from_utf8_lossy(&fetched.stdout).trim().to_owned();
    if !fetched.status.success() || said.is_empty() {
        eprintln!("NOT TESTED: {what} cannot be had: {}", String::from_utf8_lossy(&fetched.stderr));
        return None;
    }
    Some(PathBuf::from(said))
}

/// The same, started by other words: a program that starts another one.
pub(crate) fn launched(name: &str, launcher: &[String]) -> Command {
    let own = command(name);
    let Some((first, rest)) = launcher.split_first() else { return own };
    let mut command = Command::new(first);
    command.args(rest).arg(own.get_program());
    for (variable, value) in own.get_envs() {
        match value {
            Some(value) => command.env(variable, value),
            None => command.env_remove(variable),
        };
    }
    command
}

/// What a stream says, line by line, read by a thread of its own until the stream ends.
#[derive(Debug)]
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let (line, lines) = mpsc::channel();
        thread::spawn(move || {
            for text in BufReader::new(stream).lines().map_while(Result::ok) {
                if line.send(text).is_err() {
                    return;
                }
            }
        });
        Self(lines)
    }

    /// The next line; `None` when the stream has ended.
    pub(crate) fn next(&self) -> Option<String> {
        self.next_within(PATIENCE)
    }

    /// The same, where it may take so long.
    pub(crate) fn next_within(&self, patience: Duration) -> Option<String> {
        match self.0.recv_timeout(patience) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line and no end of output in {patience:?}"),
        }
    }

    /// Everything that is still said.
    pub(crate) fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

/// Waits for the end of a program; kills it when that does not come.
pub(crate) fn wait(child: &mut Child, what: &str) -> ExitStatus {
    let mut status = None;
    let mut ended = || {
        status = child.try_wait().expect("the child is ours");
        status.is_some()
    };
    eventually(PATIENCE, &format!("the end of {what}"), &mut ended);
    status.expect("it has ended")
}

/// Asks a program to end.
pub(crate) fn terminate(child: &Child) {
    signal(child, "TERM");
}

/// Sends a program a signal.
pub(crate) fn signal(child: &Child, name: &str) {
    let killed = Command::new("sh").args(["-c", "kill -\"$0\" \"$1\"", name, &child.id().to_string()]).status();
    assert!(killed.expect("sh runs").success(), "no process {} for a signal", child.id());
}

/// Ends a program now. One that has ended already stays so.
pub(crate) fn kill(child: &mut Child) {
    let _ended_already = child.kill();
    let _reaped_already = child.wait();
}
