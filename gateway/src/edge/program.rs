//! The program `haproxy`: which one it is, and what it thinks of a configuration.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use endtoend_haproxy::Version;
use tokio::time::timeout;

use crate::child;

/// Checking takes some 30 ms; certificates and a busy machine make it more.
const DEADLINE: Duration = Duration::from_secs(20);

/// The program.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) version: Version,
    /// Its TLS library has X25519MLKEM768.
    pub(super) hybrid: bool,
}

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error("cannot run {}: install HAProxy (Debian's package `haproxy`), or name the program in `haproxy`", path.display())]
    NotRun { path: PathBuf, source: io::Error },
    #[error("{} has not ended within {DEADLINE:?}", .0.display())]
    Hangs(PathBuf),
    #[error("{} does not say which version it is", .0.display())]
    NoVersion(PathBuf),
    #[error("HAProxy {0} is too old: {oldest} at least", oldest = Version::OLDEST)]
    TooOld(Version),
    /// Nothing is changed by it.
    #[error("HAProxy refuses the configuration: {0}")]
    Refused(String),
}

impl Program {
    /// # Errors
    /// See [`ProgramError`].
    pub(super) async fn find(path: &Path) -> Result<Self, ProgramError> {
        let said = output(path, &["-vv".as_ref()]).await?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let no_version = || ProgramError::NoVersion(path.to_owned());
        let version =
            said.lines().find_map(|line| Version::parse(line.split("version ").nth(1)?)).ok_or_else(no_version)?;
        match version < Version::OLDEST {
            true => Err(ProgramError::TooOld(version)),
            false => Ok(Self { path: path.to_owned(), version, hybrid: has_hybrid(&said) }),
        }
    }

    /// What it thinks of this file.
    ///
    /// # Errors
    /// `Refused`, with the first thing that it says against it.
    pub(super) async fn check(&self, file: &Path) -> Result<(), ProgramError> {
        let output = output(&self.path, &["-c".as_ref(), "-f".as_ref(), file.as_os_str()]).await?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let alarm = said.lines().find(|line| line.contains("[ALERT]")).unwrap_or("it does not say why");
        Err(ProgramError::Refused(alarm.chars().filter(|letter| !letter.is_control()).take(300).collect()))
    }
}

async fn output(path: &Path, arguments: &[&std::ffi::OsStr]) -> Result<Output, ProgramError> {
    let mut command = child::command(path);
    command.args(arguments).stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || command.output());
    match timeout(DEADLINE, run).await {
        Err(_) => Err(ProgramError::Hangs(path.to_owned())),
        Ok(ran) => ran
            .unwrap_or_else(|broken| Err(io::Error::other(broken)))
            .map_err(|source| ProgramError::NotRun { path: path.to_owned(), source }),
    }
}

/// OpenSSL has it since 3.5; others say their names.
fn has_hybrid(said: &str) -> bool {
    let Some(library) = said.lines().find_map(|line| line.strip_prefix("Running on OpenSSL version : ")) else {
        return false;
    };
    let openssl = library.strip_prefix("OpenSSL ").and_then(Version::parse);
    library.starts_with("AWS-LC") || openssl >= Some(Version { major: 3, minor: 5 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hybrid_group_is_there_since_openssl_3_5() {
        let has = |library: &str| has_hybrid(&format!("Features\nRunning on OpenSSL version : {library}\nmore\n"));
        for (library, expected) in [
            ("OpenSSL 3.0.19 27 Jan 2026", false),
            ("OpenSSL 3.5.0 8 Apr 2025", true),
            ("OpenSSL 4.0.1", true),
            ("AWS-LC 1.40.0", true),
            ("wolfSSL 5.7", false),
            ("", false),
        ] {
            assert_eq!(has(library), expected, "{library}");
        }
        assert!(!has_hybrid(""));
    }
}
