//! The program `haproxy`: which one it is, and what it thinks of a configuration.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Output, Stdio};
use std::time::Duration;

use endtoend_haproxy::Version;
use tokio::io::{AsyncReadExt as _, copy, sink};
use tokio::net::unix::pipe::Receiver;
use tokio::time::{sleep, timeout};

use crate::child;

/// Checking takes some 30 ms; certificates and a busy machine make it more.
const DEADLINE: Duration = Duration::from_secs(20);
/// Between two looks whether a program that has said everything has ended.
const PAUSE: Duration = Duration::from_millis(2);
/// So much of what it says is looked at; the rest is let go by.
const SAID_BYTES_MAX: u64 = 256 * 1024;

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
        let said = output(path, &["-vv".as_ref()], DEADLINE).await?;
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
        let output = output(&self.path, &["-c".as_ref(), "-f".as_ref(), file.as_os_str()], DEADLINE).await?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let alarm = said.lines().find(|line| line.contains("[ALERT]")).unwrap_or("it does not say why");
        Err(ProgramError::Refused(alarm.chars().filter(|letter| !letter.is_control()).take(300).collect()))
    }
}

async fn output(path: &Path, arguments: &[&std::ffi::OsStr], within: Duration) -> Result<Output, ProgramError> {
    let run = async {
        let mut command = child::command(path);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running(Some(command.spawn()?));
        let (stdout, stderr) = running.pipes();
        let (stdout, stderr) = tokio::try_join!(said(stdout), said(stderr))?;
        Ok(Output { status: running.ended().await?, stdout, stderr })
    };
    match timeout(within, run).await {
        Err(_) => Err(ProgramError::Hangs(path.to_owned())),
        Ok(ran) => ran.map_err(|source| ProgramError::NotRun { path: path.to_owned(), source }),
    }
}

/// All that comes, and as much of it as is looked at.
async fn said(pipe: Option<OwnedFd>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let mut pipe = Receiver::from_owned_fd(pipe)?;
        (&mut pipe).take(SAID_BYTES_MAX).read_to_end(&mut bytes).await?;
        copy(&mut pipe, &mut sink()).await?;
    }
    Ok(bytes)
}

/// A program that has not ended. Dropping it ends it.
struct Running(Option<Child>);

impl Running {
    fn pipes(&mut self) -> (Option<OwnedFd>, Option<OwnedFd>) {
        let child = self.0.as_mut();
        child
            .map(|child| (child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)))
            .unwrap_or_default()
    }

    async fn ended(mut self) -> io::Result<ExitStatus> {
        loop {
            match self.0.as_mut().map(Child::try_wait).transpose()?.flatten() {
                Some(status) => {
                    self.0 = None;
                    return Ok(status);
                }
                None => sleep(PAUSE).await,
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ended_already = child.kill();
            // One whose disk does not answer ends when that does: nobody waits here for it.
            let _or_never = std::thread::Builder::new().spawn(move || child.wait());
        }
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

    #[tokio::test]
    async fn one_that_hangs_is_ended_and_what_is_said_is_bounded() {
        let run = async |line: &str, within| output(Path::new("sh"), &["-c".as_ref(), line.as_ref()], within).await;
        let said = run("head -c 1000000 /dev/zero; echo x >&2; exit 3", DEADLINE).await.unwrap();
        assert_eq!((said.stdout.len() as u64, said.stderr.as_slice()), (SAID_BYTES_MAX, b"x\n".as_slice()));
        assert_eq!(said.status.code(), Some(3));

        let folder = tempfile::tempdir().unwrap();
        for end in ["exec sleep 1000", "exec sleep 1000 >&- 2>&-"] {
            let pid = folder.path().join("pid");
            let line = format!("echo $$ > {0}.new; mv {0}.new {0}; {end}", pid.display());
            let hangs = run(&line, Duration::from_secs(2)).await;
            assert!(matches!(hangs, Err(ProgramError::Hangs(_))), "{hangs:?}");
            let pid = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
            assert!(endtoend_keeper::eventually(|| endtoend_keeper::is_over(pid)), "it goes on");
        }
    }

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
