//! Who works on files: the couriers and what they have in hand, and threads that seal, save and open.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use endtoend_protocol::{AccountTag, MessageId};
use tokio::sync::mpsc;

use super::command::{AttachError, Attaching, Reply};
use super::courier::{Courier, Report, Way};
use crate::backoff::Backoff;
use crate::clock::Instant;
use crate::database::MessageRef;
use crate::files::PrepareError;
use crate::files::prepare::Prepared;
use crate::files::spool::{LocalName, Spool};

/// Files that are sealed, saved or opened at one time.
const CRAFTS_MAX: usize = 8;
/// Couriers that were told to leave and have something open still. At the bound no other is sent.
pub(super) const LEAVING_MAX: usize = 4;
/// What couriers and crafts have to say, until the engine hears it.
const NOTES_MAX: usize = 64;

/// What a thread beside the engine has done.
pub(super) enum Note {
    /// A file is sealed, or is not.
    Sealed {
        attaching: Box<Attaching>,
        sealed: Result<Prepared, PrepareError>,
        reply: Reply<Result<MessageId, AttachError>>,
    },
    /// A file that should be here as a whole is not.
    Damaged { seq: i64 },
    /// What a courier has to say.
    Courier { way: Way, number: u64, report: Report },
    /// A courier has ended, and has nothing open any more.
    Left { number: u64 },
}

/// What a courier works on.
#[derive(Clone, Copy)]
pub(super) struct Busy {
    /// Of the file, or of what is to be removed.
    pub(super) seq: i64,
    /// None of what is removed.
    pub(super) file: Option<Moved>,
}

/// A file that a courier moves.
#[derive(Clone, Copy)]
pub(super) struct Moved {
    pub(super) peer: AccountTag,
    pub(super) message: MessageRef,
    pub(super) bytes: u64,
    pub(super) local: LocalName,
}

/// A courier, and what it works on.
pub(super) struct Sent {
    pub(super) courier: Courier,
    pub(super) number: u64,
    /// It is logged in. It has nothing to do before.
    pub(super) entered: bool,
    pub(super) busy: Option<Busy>,
}

/// A courier that was told to leave, and what it has had open.
pub(super) struct Leaving {
    pub(super) number: u64,
    pub(super) busy: Option<Busy>,
    pub(super) thread: JoinHandle<()>,
}

/// Who works on files.
pub(super) struct Files {
    pub(super) spool: Spool,
    notes: mpsc::Receiver<Note>,
    pub(super) sender: mpsc::Sender<Note>,
    pub(super) up: Lane,
    pub(super) down: Lane,
    pub(super) leaving: Vec<Leaving>,
    /// Files that the server did not want to hear of yet.
    pub(super) later: HashMap<i64, Instant>,
    /// There may be something to do.
    pub(super) due: bool,
    /// There may be something to remove from the disk.
    pub(super) gone: bool,
    /// Counts couriers.
    pub(super) last: u64,
    crafts: Vec<(Arc<AtomicBool>, JoinHandle<()>)>,
}

/// One way.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) sent: Option<Sent>,
    pub(super) backoff: Option<Backoff>,
    pub(super) away_until: Option<Instant>,
}

impl Drop for Files {
    fn drop(&mut self) {
        // Nobody waits for room to tell something.
        self.notes.close();
        self.crafts.iter().for_each(|(given_up, _)| given_up.store(true, Ordering::Relaxed));
        self.disconnected();
        let couriers = self.leaving.drain(..).map(|leaving| leaving.thread);
        for thread in couriers.chain(self.crafts.drain(..).map(|(_, thread)| thread)) {
            // One that has panicked has nothing open either.
            let _ended = thread.join();
        }
    }
}

impl Files {
    pub(super) fn new(spool: Spool) -> Self {
        let (sender, notes) = mpsc::channel(NOTES_MAX);
        let (up, down) = (Lane::default(), Lane::default());
        Self {
            spool,
            notes,
            sender,
            up,
            down,
            leaving: Vec::new(),
            later: HashMap::new(),
            due: true,
            gone: true,
            last: 0,
            crafts: Vec::new(),
        }
    }

    /// The next thing to hear. Cancel-safe.
    pub(super) async fn note(&mut self) -> Note {
        match self.notes.recv().await {
            Some(note) => note,
            // A sender is kept here, so this is never.
            None => std::future::pending().await,
        }
    }

    /// A connection has begun.
    pub(super) fn connected(&mut self) {
        (self.up.away_until, self.down.away_until, self.due) = (None, None, true);
    }

    /// The connection has ended, and couriers with it.
    pub(super) fn disconnected(&mut self) {
        [Way::Up, Way::Down].into_iter().for_each(|way| self.dismiss(way));
    }

    /// Tells a courier to leave. Nobody waits for that here: it may be bringing gigabytes to the disk.
    pub(super) fn dismiss(&mut self, way: Way) {
        if let Some(Sent { courier, number, busy, .. }) = self.lane(way).sent.take() {
            self.leaving.push(Leaving { number, busy, thread: courier.leave() });
        }
    }

    /// Whether this file or removal can be worked on: the server wants to hear of it, and no courier has it open.
    pub(super) fn is_free(&self, seq: i64) -> bool {
        let open = |leaving: &Leaving| leaving.busy.is_some_and(|busy| busy.seq == seq);
        !self.later.contains_key(&seq) && !self.leaving.iter().any(open)
    }

    /// When to look again if nothing happens.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let lanes = [&self.up, &self.down].into_iter().filter_map(|lane| lane.away_until);
        self.later.values().copied().chain(lanes).min()
    }

    /// Whether a courier has not logged in yet.
    pub(super) fn is_entering(&self) -> bool {
        [&self.up, &self.down].into_iter().any(|lane| lane.sent.as_ref().is_some_and(|sent| !sent.entered))
    }

    pub(super) fn lane(&mut self, way: Way) -> &mut Lane {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// Whether another file can be sealed, saved or opened.
    pub(super) fn has_room(&mut self) -> bool {
        self.crafts.retain(|(_, thread)| !thread.is_finished());
        self.crafts.len() < CRAFTS_MAX
    }

    /// Does something on a thread of its own. What it is told to is given up when it says so. Without a thread it is dropped, and
    /// whoever waits for it hears that there is no answer.
    pub(super) fn craft(&mut self, work: impl FnOnce(&dyn Fn() -> bool) + Send + 'static) {
        let given_up = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&given_up);
        let works = move || work(&|| asked.load(Ordering::Relaxed));
        if let Ok(thread) = std::thread::Builder::new().name("endtoend-file".to_owned()).spawn(works) {
            self.crafts.push((given_up, thread));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::PATIENCE;

    /// A courier that is in the middle of something that takes its time until `go_on` says so, or nobody can any more.
    /// `over` says that it has ended.
    fn busy_courier(files: &Files, number: u64, over: &Arc<AtomicBool>) -> (std::sync::mpsc::Sender<()>, Sent) {
        let (go_on, told) = std::sync::mpsc::channel();
        let (sender, busy) = (files.sender.clone(), Some(Busy { seq: 7, file: None }));
        let over = Arc::clone(over);
        let thread = std::thread::spawn(move || {
            let _told = told.recv_timeout(PATIENCE);
            let _gone = sender.blocking_send(Note::Left { number });
            // Whoever does not wait for it is through long before: nobody says anything here.
            let (_silent, nothing) = std::sync::mpsc::channel::<()>();
            let _passes = nothing.recv_timeout(std::time::Duration::from_millis(50));
            over.store(true, Ordering::SeqCst);
        });
        (go_on, Sent { courier: Courier::of(thread), number, entered: true, busy })
    }

    #[tokio::test]
    async fn nobody_waits_for_a_courier_that_leaves_and_its_file_is_not_given_to_another() {
        let home = tempfile::tempdir().unwrap();
        let mut files = Files::new(Spool::of(home.path()));
        let (go_on, sent) = busy_courier(&files, 1, &Arc::default());
        files.up.sent = Some(sent);
        files.disconnected();
        assert!(files.up.sent.is_none() && files.leaving.iter().all(|leaving| !leaving.thread.is_finished()));
        assert!(!files.is_free(7) && files.is_free(8));
        drop(go_on);
        assert!(matches!(files.note().await, Note::Left { number: 1 }));
    }

    #[test]
    fn at_the_end_every_courier_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let mut files = Files::new(Spool::of(home.path()));
        let over: [Arc<AtomicBool>; 2] = Default::default();
        let (first, left) = busy_courier(&files, 1, &over[0]);
        let (second, sent) = busy_courier(&files, 2, &over[1]);
        files.up.sent = Some(left);
        files.disconnected();
        files.down.sent = Some(sent);
        let ended = std::thread::spawn(move || drop(files));
        drop((first, second));
        ended.join().unwrap();
        assert!(over.iter().all(|over| over.load(Ordering::SeqCst)));
    }
}
