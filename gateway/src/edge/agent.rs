//! The loop: hears what is wanted, applies it, and looks whether HAProxy lives.

use std::io;
use std::time::Duration;

use endtoend_haproxy::{EdgeView, FilePath, Membership, NotAPath, Plan, RuntimeError, Settings};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::alarms::Alarms;
use super::applier::{Applier, ApplyError, How};
use super::config::EdgeConfig;
use super::course::{Course, Do};
use super::files::{Files, FilesError};
use super::process::{Kept, Process, TooFewFiles, fits};
use super::program::{Program, ProgramError};
use super::source::{Heard, Source};
use super::status::{HaproxyStatus, LastChange, ServerStatus, Status, listen, tell};
use crate::clock;

/// How often the source is asked.
const TURN: Duration = Duration::from_millis(20);
/// By then an agent says that it runs, whether its source has said something or not.
const BEGINNING: Duration = Duration::from_secs(5);

/// Why an edge does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EdgeError {
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    TooFewFiles(#[from] TooFewFiles),
    #[error("the directory's sockets have longer names than a socket may have; choose a shorter one")]
    Directory(#[from] NotAPath),
    #[error("cannot make the socket for `endtoend edge status`")]
    Status(#[source] io::Error),
    #[error("the system gives no signals, so that nothing could end the edge in order")]
    Signals(#[source] io::Error),
}

/// Keeps an edge until SIGTERM or SIGINT. HAProxy that this agent, or one before it, has started ends with it; a killed agent
/// leaves HAProxy running, and the next one takes it over.
///
/// It is `ready` when HAProxy's file has been written or it is said why not, within [`BEGINNING`] in any case: whoever starts HAProxy
/// afterwards finds what it needs.
///
/// # Errors
/// When it cannot begin.
pub(crate) async fn run(config: &EdgeConfig, mut source: impl Source, ready: impl FnOnce()) -> Result<(), EdgeError> {
    let files = Files::open(config.directory.as_ref())?;
    let program = Program::find(&config.haproxy).await?;
    fits(config.connections_max())?;
    tracing::info!(haproxy = %program.version, "an edge begins");
    let mut settings = config.settings(program.hybrid)?;
    let mut other_socket = config.socket(true)?;
    if files.second_socket_answers() {
        std::mem::swap(&mut settings.socket, &mut other_socket);
    }
    let notice = (config.terminates() && !program.hybrid).then(|| {
        "HAProxy's TLS library has no X25519MLKEM768: the connection between client and edge has no post-quantum key exchange; \
         the secure channel inside it has its own"
            .to_owned()
    });
    if let Some(notice) = &notice {
        tracing::warn!("{notice}");
    }
    let listener = listen(&files.status()).map_err(EdgeError::Status)?;
    let process = Process::new(config.supervision, &program, &files);
    let status = Status { edge: settings.name.to_string(), source: source.name(), notice, ..Status::default() };
    let (status, told) = watch::channel(status);
    let telling = tokio::spawn(tell(listener, told));
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate()).map_err(EdgeError::Signals)?,
        signal(SignalKind::interrupt()).map_err(EdgeError::Signals)?,
    );
    let wanted = applied_last(&files, &mut source);
    let applier = Applier::new(files, program, process, &settings.socket);
    let course = Course::default();
    let (applied, alarms) = (None, Alarms::default());
    let mut agent = Agent { settings, other_socket, source, applier, status, wanted, applied, course, alarms };
    let (mut ready, begun) = (Some(ready), clock::monotonic());
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => {
                agent.turn().await;
                if agent.has_begun() || clock::monotonic().saturating_duration_since(begun) >= BEGINNING {
                    ready.take().into_iter().for_each(|ready| ready());
                }
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    if agent.course.is_unkept() {
        agent.keep().await;
    }
    if agent.applier.process.may_start() {
        agent.applier.process.look().await;
        agent.applier.process.kill();
    }
    telling.abort();
    Ok(())
}

/// The nodes that were applied last. For a source that begins anew they are older than whatever it says, and are so on the disk too:
/// the next start, which may come before anything is applied, has no other sign of it.
fn applied_last(files: &Files, source: &mut impl Source) -> Option<Membership> {
    let mut applied = files.applied();
    if let Some(applied) = &applied {
        tracing::info!(generation = applied.generation, "begins with the nodes that were applied last");
    }
    if source.begins_anew() {
        let written = applied.as_mut().map_or(Ok(()), |applied| {
            applied.generation = 0;
            files.write_applied(applied)
        });
        match written {
            Ok(()) => source.has_begun(),
            Err(error) => tracing::warn!(%error, "that generations begin anew cannot be written down"),
        }
    }
    applied
}

struct Agent<S> {
    settings: Settings,
    /// The name that HAProxy's socket has not.
    other_socket: FilePath,
    source: S,
    applier: Applier,
    status: watch::Sender<Status>,
    wanted: Option<Membership>,
    applied: Option<Membership>,
    course: Course,
    alarms: Alarms,
}

impl<S: Source> Agent<S> {
    async fn turn(&mut self) {
        self.listen();
        let now = clock::monotonic();
        let allowed = self.applier.pace.next().is_none_or(|at| at <= now);
        let wants = allowed && self.wanted.is_some() && self.wanted != self.applied;
        match self.course.next(now, wants) {
            Do::Apply => self.apply().await,
            Do::Keep => self.keep().await,
            Do::Watch => self.watch().await,
            Do::Nothing => {}
        }
    }

    /// It has done what it can do at first, or has said why it cannot.
    fn has_begun(&self) -> bool {
        let status = self.status.borrow();
        self.applied.is_some() || status.alarm.is_some() || status.source_fault.is_some()
    }

    /// Takes what the source says, if it is newer and can be.
    fn listen(&mut self) {
        let Some(Heard { membership, fault }) = self.source.news() else { return };
        let refused = membership.and_then(|membership| self.hear(membership));
        let fault = refused.or_else(|| {
            let fault = fault?;
            Some(match std::error::Error::source(&fault) {
                Some(cause) => format!("{fault}: {cause}"),
                None => fault.to_string(),
            })
        });
        if let Some(fault) = &fault {
            tracing::warn!("the list of nodes: {fault}");
        }
        self.status.send_modify(|status| status.source_fault = fault);
    }

    fn hear(&mut self, membership: Membership) -> Option<String> {
        if self.wanted.as_ref() == Some(&membership) {
            return None;
        }
        if let Some(wanted) = &self.wanted {
            let (new, old) = (membership.generation, wanted.generation);
            if new < old || (new == old && self.source.has_one_list_for_a_generation()) {
                return Some(format!("generation {new} is not newer than {old}, and says something else"));
            }
        }
        let view = EdgeView { membership, settings: self.settings.clone() };
        if let Err(error) = view.validate() {
            return Some(format!("generation {}: {error}", view.membership.generation));
        }
        self.status.send_modify(|status| status.generation_wanted = Some(view.membership.generation));
        self.wanted = Some(view.membership);
        self.applier.pace.forgive();
        None
    }

    async fn apply(&mut self) {
        let Some(membership) = self.wanted.clone() else { return };
        let generation = membership.generation;
        let view = EdgeView { membership, settings: self.settings.clone() };
        let begun = clock::monotonic();
        match self.applier.apply(&view).await {
            Ok(how) => {
                let now = clock::monotonic();
                let took = now.saturating_duration_since(begun);
                self.course.applied(now);
                self.applier.pace.attempted(now, true);
                self.applied = Some(view.membership);
                self.alarms.applied();
                let alarm = self.alarms.text();
                // First, so that whoever sees the generation sees its servers.
                self.tell();
                tracing::info!(generation, how = how.as_str(), ?took, "applied");
                self.status.send_modify(|status| {
                    status.generation_wanted = Some(generation);
                    status.generation_applied = Some(generation);
                    let (how, took_ms, at_ms) = (how.as_str().to_owned(), took.as_secs_f64() * 1e3, clock::now().get());
                    status.last_change = Some(LastChange { generation, how, took_ms, at_ms });
                    status.alarm = alarm;
                });
                self.count(how);
            }
            Err(ApplyError::Later(_)) => self.applier.pace.attempted(clock::monotonic(), true),
            Err(error) => {
                self.applier.pace.attempted(clock::monotonic(), false);
                let text = in_one_line(&error);
                tracing::error!(generation, "not applied: {text}");
                self.status.send_modify(|status| status.counts.failures += 1);
                self.alarm(|alarms| alarms.failed(text));
                if let ApplyError::Runtime(error) = &error {
                    self.unanswered(error).await;
                }
            }
        }
    }

    /// Writes down what was applied, for the next start of HAProxy and of this agent.
    async fn keep(&mut self) {
        let Some(membership) = self.applied.clone() else {
            match self.wanted {
                // HAProxy is to become that first.
                Some(_) => self.course.kept_later(clock::monotonic()),
                None => self.course.kept(clock::monotonic(), true),
            }
            return;
        };
        let view = EdgeView { membership, settings: self.settings.clone() };
        let unwritten = self.applier.keep(&view).await.err().map(|error| in_one_line(&error));
        if let Some(text) = &unwritten {
            tracing::error!("not written down: {text}");
        }
        self.course.kept(clock::monotonic(), unwritten.is_none());
        self.alarm(|alarms| alarms.kept(unwritten.as_deref()));
    }

    /// What is wrong has changed.
    fn alarm(&mut self, change: impl FnOnce(&mut Alarms)) {
        change(&mut self.alarms);
        let text = self.alarms.text();
        self.status.send_if_modified(|status| {
            let changed = status.alarm != text;
            status.alarm = text;
            changed
        });
    }

    fn count(&self, how: How) {
        self.status.send_modify(|status| match how {
            How::AsItWas => {}
            How::Orders(_) => status.counts.by_orders += 1,
            How::Reload => status.counts.reloads += 1,
            How::Start => status.counts.starts += 1,
        });
    }

    /// Whether HAProxy lives, and is what it was last.
    async fn watch(&mut self) {
        if self.applied.is_none() {
            return;
        }
        let there = self.applier.process.look().await;
        match self.applier.look_again().await {
            Ok(plan) if plan == Plan::Orders(Vec::new()) => {
                self.course.answered();
                let wanted = self.wanted == self.applied;
                self.alarm(|alarms| alarms.looked(wanted));
                self.tell();
            }
            // A server that was taken off the list has lost its last session.
            Ok(plan) if plan.is_settled() => self.applied = None,
            Ok(_) => self.mend("HAProxy is not any more what it was"),
            Err(_) if !there => self.mend("HAProxy does not run"),
            Err(error) => {
                self.alarm(|alarms| alarms.silent(error.to_string()));
                self.unanswered(&error).await;
            }
        }
    }

    async fn unanswered(&mut self, error: &RuntimeError) {
        if self.course.unanswered() {
            self.revive(error).await;
        }
    }

    fn mend(&mut self, why: &str) {
        tracing::warn!("{why}");
        self.applied = None;
        self.status.send_modify(|status| status.counts.mended += 1);
    }

    /// HAProxy is there, and does not answer: if its socket is gone it gets another one, and what hangs is ended, with what it has.
    async fn revive(&mut self, error: &RuntimeError) {
        let absent = matches!(error, RuntimeError::Absent { .. });
        if absent && self.applier.process.master().processes().await.is_ok() && self.renew().await {
            self.status.send_modify(|status| status.counts.reloads += 1);
            self.mend("HAProxy's socket was gone: it has another one");
        } else if self.applier.process.may_start() {
            self.applier.process.kill();
            self.mend("HAProxy hangs: it is ended and started anew");
        } else {
            tracing::error!(%error, "HAProxy does not answer, and is somebody else's to end");
        }
    }

    async fn renew(&mut self) -> bool {
        let Some(membership) = self.wanted.clone() else { return false };
        std::mem::swap(&mut self.settings.socket, &mut self.other_socket);
        let view = EdgeView { membership, settings: self.settings.clone() };
        let renewed = self.applier.renew(&view).await;
        if let Err(error) = &renewed {
            tracing::error!("HAProxy gets no other socket: {}", in_one_line(error));
            std::mem::swap(&mut self.settings.socket, &mut self.other_socket);
        }
        renewed.is_ok()
    }

    /// Renews what is told of HAProxy.
    fn tell(&self) {
        let info = self.applier.info.clone();
        let kept = self.applier.process.kept();
        let servers = self.applier.seen.iter().map(|(name, server)| ServerStatus::of(name, server)).collect();
        self.status.send_modify(|status| {
            status.servers = servers;
            status.haproxy = info.filter(|_| kept != Kept::Absent).map(|info| HaproxyStatus {
                version: info.version,
                pid: info.pid,
                kept: kept.as_str().to_owned(),
                uptime_seconds: info.uptime_seconds,
                connections: info.connections,
                connections_total: info.connections_total,
            });
        });
    }
}

/// An error with what it comes from, in one line.
fn in_one_line(error: &ApplyError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says nothing.
    struct Another {
        new: bool,
    }

    impl Source for Another {
        fn news(&mut self) -> Option<Heard> {
            None
        }

        fn name(&self) -> String {
            String::new()
        }

        fn has_one_list_for_a_generation(&self) -> bool {
            false
        }

        fn begins_anew(&self) -> bool {
            self.new
        }

        fn has_begun(&mut self) {
            self.new = false;
        }
    }

    #[test]
    fn generations_begin_anew_on_the_disk_too() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).unwrap();
        let mut source = Another { new: true };
        assert_eq!(applied_last(&files, &mut source), None);
        assert!(!source.new, "there is nothing to write down");
        let (list, anew) = (Membership { generation: 900, ..Membership::default() }, Membership::default());
        files.write_applied(&list).unwrap();
        assert_eq!(applied_last(&files, &mut source), Some(list));
        source.new = true;
        assert_eq!(applied_last(&files, &mut source), Some(anew.clone()));
        assert_eq!((files.applied(), source.new), (Some(anew), false));
        // Where that cannot be written, the next start is a first one again.
        files.write_applied(&Membership { generation: 7, ..Membership::default() }).unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join("applied.json.new")).unwrap();
        source.new = true;
        assert_eq!(applied_last(&files, &mut source).map(|applied| applied.generation), Some(0));
        assert!(source.new);
    }
}
