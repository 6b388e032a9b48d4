//! Makes a HAProxy that runs what is wanted, looks whether it is, and goes back when it is not.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use endtoend_haproxy::{
    EdgeView, FilePath, Info, Leaving, Name, Pace, Plan, Rendered, Runtime, RuntimeError, Seen, SeenServer, Version,
    plan, render,
};
use tokio::time::sleep;

use super::files::Files;
use super::process::{Kept, Process};
use super::program::{Program, ProgramError};
use crate::clock;

/// A new worker takes connections within a second or two, also on a machine that has much to do.
const RELOAD_MAX: Duration = Duration::from_secs(15);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(10);

/// How something was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It was so already.
    AsItWas,
    /// By this many orders.
    Orders(usize),
    /// By a reload.
    Reload,
    /// By starting HAProxy.
    Start,
}

impl How {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::AsItWas => "as_it_was",
            Self::Orders(_) => "orders",
            Self::Reload => "reload",
            Self::Start => "start",
        }
    }
}

/// Why it was not applied. What was there goes on in each case.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error("HAProxy does not answer")]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("cannot write HAProxy's configuration")]
    Write(#[source] io::Error),
    #[error("cannot start HAProxy")]
    Start(#[source] io::Error),
    #[error("HAProxy is not what it was told to be, {0}")]
    Mismatch(&'static str),
    #[error("HAProxy does not run, and is somebody else's to start")]
    NotRunning,
    /// Not a failure: there were too many reloads just now.
    #[error("a reload is needed, and there were several just now")]
    Later(Instant),
}

/// Knows what was applied last.
#[derive(Debug)]
pub(super) struct Applier {
    pub(super) files: Files,
    pub(super) program: Program,
    pub(super) process: Process,
    pub(super) pace: Pace,
    pub(super) seen: BTreeMap<Name, SeenServer>,
    /// Of the process that was seen last.
    pub(super) info: Option<Info>,
    runtime: Runtime,
    leaving: Leaving,
    /// The last one that HAProxy was seen to be.
    good: Option<Rendered>,
}

impl Applier {
    pub(super) fn new(files: Files, program: Program, process: Process, socket: &FilePath) -> Self {
        Self {
            runtime: Runtime::at(socket),
            files,
            program,
            process,
            pace: Pace::default(),
            seen: BTreeMap::new(),
            info: None,
            leaving: Leaving::default(),
            good: None,
        }
    }

    /// Makes it so. When it is done, HAProxy was seen to be what is wanted; [`Self::keep`] is for the next start.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub(super) async fn apply(&mut self, view: &EdgeView) -> Result<How, ApplyError> {
        let wanted = render(view);
        if self.process.kept() == Kept::Absent {
            // One that an earlier agent has left is taken over.
            self.process.look().await;
        }
        let how = match self.change(&wanted).await {
            // Whoever answers at its socket is there; the master is asked when nobody does.
            Err(ApplyError::Runtime(error)) => match self.process.look().await {
                true => return Err(error.into()),
                false => self.start(&wanted).await?,
            },
            how => how?,
        };
        self.good = Some(wanted);
        Ok(how)
    }

    /// HAProxy's socket has no name any more: a reload gives it that of this view.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub(super) async fn renew(&mut self, view: &EdgeView) -> Result<(), ApplyError> {
        let before = std::mem::replace(&mut self.runtime, Runtime::at(&view.settings.socket));
        let wanted = render(view);
        match self.reload(&wanted).await {
            Ok(_) => {
                self.good = Some(wanted);
                Ok(())
            }
            Err(error) => {
                self.runtime = before;
                Err(error)
            }
        }
    }

    /// What HAProxy says of itself, and what has to change there.
    async fn look(&mut self, wanted: &Rendered) -> Result<Plan, RuntimeError> {
        let seen = self.runtime.seen().await?;
        let can = Version::parse(&seen.info.version).unwrap_or(Version::OLDEST).capabilities();
        let overdue = self.leaving.overdue(&seen, wanted, clock::monotonic());
        let plan = plan(&seen, wanted, &overdue, can);
        let Seen { servers, info } = seen;
        (self.seen, self.info) = (servers, Some(info));
        Ok(plan)
    }

    /// What has to be done so that HAProxy is again what it was last: something, when somebody else has told it something or it was
    /// started anew; or it is to be tidied up.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) async fn look_again(&mut self) -> Result<Plan, RuntimeError> {
        let Some(good) = self.good.take() else { return Ok(Plan::Orders(Vec::new())) };
        let plan = self.look(&good).await;
        self.good = Some(good);
        plan
    }

    async fn change(&mut self, wanted: &Rendered) -> Result<How, ApplyError> {
        match self.look(wanted).await? {
            Plan::Orders(orders) if orders.is_empty() => return Ok(How::AsItWas),
            Plan::Orders(orders) => {
                let mut refused = false;
                for order in &orders {
                    match self.runtime.apply(order).await {
                        Ok(()) => {}
                        // A session came in between: another time.
                        Err(error) if order.is_tidying() => tracing::debug!(%error, "not tidied up"),
                        Err(error @ RuntimeError::Refused { .. }) => {
                            tracing::warn!(%error, "an order was refused");
                            refused = true;
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                if !refused && self.look(wanted).await?.is_settled() {
                    return Ok(How::Orders(orders.len()));
                }
                tracing::warn!("orders were not enough: HAProxy is loaded anew");
            }
            Plan::Reload => {}
        }
        self.reload(wanted).await
    }

    async fn reload(&mut self, wanted: &Rendered) -> Result<How, ApplyError> {
        let now = clock::monotonic();
        if let Some(at) = self.pace.next_reload().filter(|at| *at > now) {
            return Err(ApplyError::Later(at));
        }
        let before = self.files.config_text();
        self.write(&wanted.text).await?;
        self.pace.reloaded(now);
        if self.reloaded(wanted).await.is_ok() {
            return Ok(How::Reload);
        }
        // The old worker is there still, or the new one is not what it should be.
        let Some(good) = self.good.take() else { return Err(ApplyError::Mismatch(self.restore(before).await)) };
        let back = match self.write(&good.text).await {
            Ok(()) => self.reloaded(&good).await,
            Err(error) => Err(error),
        };
        self.good = Some(good);
        Err(ApplyError::Mismatch(match back {
            Ok(()) => "and is again what it was before",
            Err(_) => "and does not go back to what it was before",
        }))
    }

    /// What an earlier agent has applied is known by its file alone.
    async fn restore(&mut self, before: Option<String>) -> &'static str {
        let written = match before {
            Some(text) => Some(self.write(&text).await),
            None => None,
        };
        match written {
            Some(Ok(())) => match self.process.master().reload().await {
                Ok(()) => "and was told to be again what its file said before",
                Err(_) => "and does not go back to what its file said before",
            },
            Some(Err(ApplyError::Program(ProgramError::Refused(_)))) | None => {
                // What has just failed is not what it begins with the next time.
                if let Err(error) = self.files.remove_config() {
                    tracing::warn!(%error, "HAProxy's configuration, which it does not become, cannot be removed");
                }
                "and there is nothing that it was before"
            }
            Some(Err(_)) => "and what its file said before cannot be written",
        }
    }

    /// Orders a reload, and waits until HAProxy is what is wanted.
    async fn reloaded(&mut self, wanted: &Rendered) -> Result<(), ApplyError> {
        let end = clock::monotonic() + RELOAD_MAX;
        // A master that becomes a new one listens to nobody for some 100 ms.
        while let Err(error) = self.process.master().reload().await {
            if matches!(error, RuntimeError::Refused { .. }) || clock::monotonic() >= end {
                return Err(error.into());
            }
            sleep(PAUSE).await;
        }
        self.becomes(wanted, end, Plan::is_settled).await
    }

    async fn start(&mut self, wanted: &Rendered) -> Result<How, ApplyError> {
        let current = match self.write_new(wanted).await {
            // A full disk keeps no HAProxy dead: it begins as its file says, and is changed then.
            Err(ApplyError::Write(error)) if self.files.config_text().is_some() => {
                tracing::warn!(%error, "HAProxy is started with what was written down before");
                false
            }
            written => written.map(|()| true)?,
        };
        if !self.process.may_start() {
            return Err(ApplyError::NotRunning);
        }
        self.process.start().map_err(ApplyError::Start)?;
        let end = clock::monotonic() + RELOAD_MAX;
        if current {
            self.becomes(wanted, end, Plan::is_settled).await?;
        } else {
            self.becomes(wanted, end, |_| true).await?;
            self.change(wanted).await?;
        }
        Ok(How::Start)
    }

    /// Waits until what has to change there is little enough.
    async fn becomes(
        &mut self,
        wanted: &Rendered,
        end: Instant,
        enough: impl Fn(&Plan) -> bool,
    ) -> Result<(), ApplyError> {
        loop {
            let why = match self.look(wanted).await {
                Ok(plan) if enough(&plan) => {
                    self.process.look().await;
                    return Ok(());
                }
                Ok(_) => ApplyError::Mismatch("though it was loaded"),
                Err(error) => error.into(),
            };
            if clock::monotonic() >= end {
                return Err(why);
            }
            sleep(PAUSE).await;
        }
    }

    /// Writes down what was applied, for the next start of HAProxy and of this agent.
    ///
    /// # Errors
    /// When it cannot be written, or HAProxy would not start with it.
    pub(super) async fn keep(&self, view: &EdgeView) -> Result<(), ApplyError> {
        self.write_new(&render(view)).await?;
        if self.files.applied().as_ref() != Some(&view.membership) {
            self.files.write_applied(&view.membership).map_err(ApplyError::Write)?;
        }
        Ok(())
    }

    async fn write_new(&self, wanted: &Rendered) -> Result<(), ApplyError> {
        if self.files.has_config(&wanted.text) { Ok(()) } else { self.write(&wanted.text).await }
    }

    /// Nothing becomes HAProxy's file that HAProxy does not accept.
    async fn write(&self, text: &str) -> Result<(), ApplyError> {
        let candidate = self.files.write_candidate(text).map_err(ApplyError::Write)?;
        self.program.check(&candidate).await?;
        self.files.take_candidate().map_err(ApplyError::Write)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::edge::config::Supervision;

    /// Before no HAProxy; the program is a real one.
    async fn applier(folder: &Path) -> Applier {
        let files = Files::open(folder).unwrap();
        let program = Program::find(Path::new("haproxy")).await.unwrap();
        let process = Process::new(Supervision::Other, &program, &files);
        let socket = format!("{}/stats.sock", folder.display()).parse().unwrap();
        Applier::new(files, program, process, &socket)
    }

    #[tokio::test]
    async fn what_haproxy_did_not_become_is_not_what_it_begins_with() {
        const GOOD: &str = "frontend a\n  mode http\n  timeout client 1s\n  bind 127.0.0.1:1\n";
        let folder = tempfile::tempdir().unwrap();
        let mut applier = applier(folder.path()).await;
        for (before, after) in [(Some(GOOD), Some(GOOD)), (Some("garbage\n"), None), (None, None)] {
            applier.files.write_candidate("what failed").unwrap();
            applier.files.take_candidate().unwrap();
            let said = applier.restore(before.map(str::to_owned)).await;
            assert_eq!(applier.files.config_text().as_deref(), after, "{before:?}: {said}");
            assert_eq!(said.contains("nothing"), after.is_none(), "{said}");
        }
        // Where it cannot be written, nothing is said of it.
        applier.files.write_candidate("what failed").unwrap();
        applier.files.take_candidate().unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join("haproxy.cfg.new")).unwrap();
        assert!(applier.restore(Some(GOOD.to_owned())).await.contains("cannot be written"));
        assert_eq!(applier.files.config_text().as_deref(), Some("what failed"));
    }
}
