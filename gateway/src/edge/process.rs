//! HAProxy itself: started, taken over from an earlier agent, ended.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use endtoend_haproxy::{Master, ProcessKind, RuntimeError};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};

use super::config::Supervision;
use super::files::Files;
use super::program::Program;
use crate::child;

/// Open files of HAProxy beside two for each connection.
const FILES_ASIDE: u64 = 1_000;

/// The master and its workers.
#[derive(Debug)]
pub(super) struct Process {
    supervision: Supervision,
    program: PathBuf,
    config: PathBuf,
    master_socket: PathBuf,
    master: Master,
    /// One that this agent has started.
    child: Option<Child>,
    /// Everybody whom the master has named last, itself among them. Its workers may outlive it.
    known: Vec<u32>,
    /// It has answered, and was not seen to end since.
    there: bool,
}

/// How HAProxy is kept, for whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Started,
    TakenOver,
    ByOthers,
    Absent,
}

impl Kept {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::TakenOver => "taken_over",
            Self::ByOthers => "by_others",
            Self::Absent => "absent",
        }
    }
}

/// HAProxy would not get the open files that its connections need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} open files are needed and {allowed} allowed: allow more (ulimit -Hn, or LimitNOFILE= of the service), or set \
     [limits] connections_max to {fitting} or less"
)]
pub(crate) struct TooFewFiles {
    needed: u64,
    allowed: u64,
    fitting: u64,
}

/// # Errors
/// When the connections do not fit: HAProxy would not start, and would say so to nobody.
pub(super) fn fits(connections_max: u32) -> Result<(), TooFewFiles> {
    fits_into(connections_max, getrlimit(Resource::Nofile).maximum)
}

fn fits_into(connections_max: u32, allowed: Option<u64>) -> Result<(), TooFewFiles> {
    let needed = 2 * u64::from(connections_max) + FILES_ASIDE;
    match allowed {
        Some(allowed) if allowed < needed => {
            Err(TooFewFiles { needed, allowed, fitting: allowed.saturating_sub(FILES_ASIDE) / 2 })
        }
        _ => Ok(()),
    }
}

impl Process {
    pub(super) fn new(supervision: Supervision, program: &Program, files: &Files) -> Self {
        Self {
            supervision,
            program: program.path.clone(),
            config: files.config(),
            master_socket: files.master(),
            master: Master::at(files.master()),
            child: None,
            known: Vec::new(),
            there: false,
        }
    }

    pub(super) const fn master(&self) -> &Master {
        &self.master
    }

    /// How it is now.
    pub(super) fn kept(&self) -> Kept {
        match (self.supervision, &self.child, self.there) {
            (Supervision::Other, ..) => Kept::ByOthers,
            (_, Some(_), _) => Kept::Started,
            (_, None, true) => Kept::TakenOver,
            (_, None, false) => Kept::Absent,
        }
    }

    /// Looks who is there. Whoever answers at the socket of this edge's master is its HAProxy, whoever has started it.
    pub(super) async fn look(&mut self) -> bool {
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            tracing::error!(%status, "HAProxy has ended");
            (self.child, self.there) = (None, false);
        }
        match self.master.processes().await {
            Ok(processes) => {
                self.known = processes.iter().filter(|p| p.kind != ProcessKind::Program).map(|p| p.pid).collect();
                self.there = true;
                true
            }
            // One that hangs is there.
            Err(RuntimeError::Absent { .. }) => self.child.is_some(),
            Err(_) => true,
        }
    }

    /// Whether this agent may start one.
    pub(super) const fn may_start(&self) -> bool {
        matches!(self.supervision, Supervision::Own)
    }

    /// Starts one with the file as it is. Its sockets replace those that an earlier one has left; there is no PID file.
    pub(super) fn start(&mut self) -> io::Result<()> {
        // Workers whose master has ended may hang, and share the port.
        self.kill();
        let mut command = child::command(&self.program);
        command.arg("-W").arg("-S").arg(&self.master_socket).arg("-f").arg(&self.config);
        // What it warns of goes where the agent's own log goes.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// Ends master and workers at once: they hang, or are not to be any more.
    pub(super) fn kill(&mut self) {
        self.there = false;
        let own = self.child.as_ref().map(Child::id);
        for pid in self.known.drain(..).chain(own) {
            self::kill(pid, &self.config);
        }
        if let Some(mut child) = self.child.take() {
            let _reaped = child.kill().and_then(|()| child.wait());
        }
    }
}

/// Ends a process if it still is the HAProxy of this edge: its number may be somebody else's by now.
fn kill(pid: u32, config: &std::path::Path) {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let ours = command.split(|byte| *byte == 0).any(|word| word == config.as_os_str().as_encoded_bytes());
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid.filter(|_| ours) {
        // It may have ended in between.
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dropping it ends it.
    struct Follows(Child);

    impl Follows {
        fn file(path: &std::path::Path) -> Self {
            Self(child::command("tail".as_ref()).arg("-f").arg(path).spawn().unwrap())
        }
    }

    impl Drop for Follows {
        fn drop(&mut self) {
            let _ended_already = self.0.kill().and_then(|()| self.0.wait());
        }
    }

    #[tokio::test]
    async fn workers_whose_master_has_ended_are_ended_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("haproxy.cfg");
        fs::write(&config, "").unwrap();
        // One that has this edge's configuration in its command line, as a worker has, and one whose number it got.
        let (mut worker, mut stranger) = (Follows::file(&config), Follows::file("/dev/null".as_ref()));
        let master = child::command("true".as_ref()).spawn().unwrap();
        let mut process = Process {
            supervision: Supervision::Own,
            program: "haproxy".into(),
            config,
            master_socket: folder.path().join("master.sock"),
            master: Master::at(folder.path().join("master.sock")),
            known: vec![master.id(), worker.0.id(), stranger.0.id()],
            child: Some(master),
            there: true,
        };
        assert_eq!(process.kept(), Kept::Started);
        let ended = async {
            while process.look().await {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(endtoend_keeper::PATIENCE, ended).await.unwrap();
        assert_eq!(process.kept(), Kept::Absent);
        process.kill();
        assert!(endtoend_keeper::eventually(|| worker.0.try_wait().unwrap().is_some()), "the worker goes on");
        assert!(stranger.0.try_wait().unwrap().is_none());
    }

    #[test]
    fn connections_have_to_fit_into_the_limit_of_open_files() {
        assert_eq!(fits_into(20_000, Some(41_000)), Ok(()));
        assert_eq!(fits_into(u32::MAX, None), Ok(()));
        let refused = fits_into(20_000, Some(20_000)).unwrap_err();
        assert_eq!(refused, TooFewFiles { needed: 41_000, allowed: 20_000, fitting: 9_500 });
        assert_eq!(fits_into(9_500, Some(20_000)), Ok(()));
    }
}
