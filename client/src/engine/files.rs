//! Files of messages: who seals, moves and saves them, and what becomes of their messages.
//!
//! A file is sealed into the profile's folder first; then its message stands in the history, and from there on no crash loses or
//! doubles it. While there is a connection one courier brings files to the server and another fetches them, one after the other.
//! When a file is at the server as a whole, its message goes into the outbox, in the same transaction: what is written to somebody
//! meanwhile does not wait for it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use endtoend_protocol::{AccountTag, MessageId, Refusal, RefusalCode};
use rand::RngExt as _;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::command::{AttachError, Attaching, FileError, Reply, SendError};
use super::conversing::Correspondent;
use super::courier::{Courier, Job, Report, Reports, Way};
use super::establish::{Method, is_passing};
use super::event::{Change, Event, FileStep};
use super::online::PAUSE;
use super::repair::{Queued, content_again, copy_for_own_devices, own_tag};
use super::run::Runner;
use super::say::News;
use super::told::answer;
use crate::backoff::{ASKED_MAX, Backoff};
use crate::clock::{self, Instant};
use crate::database::{
    Body, DatabaseError, Direction, FileFault, FileState, KeptFile, MessageRef, MessageState, StoredFile, StoredMessage,
};
use crate::files::prepare::{Prepared, prepare};
use crate::files::spool::{LocalName, Spool};
use crate::files::{PrepareError, SHOWN_BYTES_MAX, SaveError, images, save};
use crate::handle::Handle;

/// Files that are sealed, saved or opened at one time.
const CRAFTS_MAX: usize = 8;
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
}

/// What a courier works on.
#[derive(Clone, Copy)]
struct Busy {
    /// Of the file, or of what is to be removed.
    seq: i64,
    /// The message of the file; none of what is removed.
    message: Option<(AccountTag, MessageRef, u64)>,
}

/// A courier, and what it works on.
struct Sent {
    courier: Courier,
    number: u64,
    /// It is logged in.
    entered: bool,
    busy: Busy,
}

/// Who works on files.
pub(super) struct Files {
    pub(super) spool: Spool,
    notes: mpsc::Receiver<Note>,
    sender: mpsc::Sender<Note>,
    up: Lane,
    down: Lane,
    /// Files that the server did not want to hear of yet.
    later: HashMap<i64, Instant>,
    /// There may be something to do.
    due: bool,
    /// There may be something to remove from the disk.
    gone: bool,
    /// Counts couriers.
    last: u64,
    crafts: Vec<(Arc<AtomicBool>, JoinHandle<()>)>,
}

/// One way.
#[derive(Default)]
struct Lane {
    sent: Option<Sent>,
    backoff: Option<Backoff>,
    away_until: Option<Instant>,
}

impl Drop for Files {
    fn drop(&mut self) {
        // Nobody waits for room to tell something.
        self.notes.close();
        self.crafts.iter().for_each(|(given_up, _)| given_up.store(true, Ordering::Relaxed));
        for (_, thread) in self.crafts.drain(..) {
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
        (self.up.sent, self.down.sent) = (None, None);
    }

    /// When to look again if nothing happens.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let lanes = [&self.up, &self.down].into_iter().filter_map(|lane| lane.away_until);
        self.later.values().copied().chain(lanes).min()
    }

    /// Whether a courier has not logged in yet.
    fn is_entering(&self) -> bool {
        [&self.up, &self.down].into_iter().any(|lane| lane.sent.as_ref().is_some_and(|sent| !sent.entered))
    }

    fn lane(&mut self, way: Way) -> &mut Lane {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// Whether another file can be sealed, saved or opened.
    fn has_room(&mut self) -> bool {
        self.crafts.retain(|(_, thread)| !thread.is_finished());
        self.crafts.len() < CRAFTS_MAX
    }

    /// Does something on a thread of its own. What it is told to is given up when it says so. Without a thread it is dropped, and
    /// whoever waits for it hears that there is no answer.
    fn craft(&mut self, work: impl FnOnce(&dyn Fn() -> bool) + Send + 'static) {
        let given_up = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&given_up);
        let works = move || work(&|| asked.load(Ordering::Relaxed));
        if let Ok(thread) = std::thread::Builder::new().name("endtoend-file".to_owned()).spawn(works) {
            self.crafts.push((given_up, thread));
        }
    }
}

impl Runner {
    /// Removes from the disk what a crash has left there and nothing knows of.
    pub(super) fn clean_files(&mut self) -> Result<(), DatabaseError> {
        let known = self.profile.database().read().local_files()?;
        // What cannot be removed is tried again at the next start.
        let _cleaned = self.files.spool.keep_only(&known);
        Ok(())
    }

    /// Seals a file. Its message stands in the history when that is done.
    pub(super) fn attach(&mut self, attaching: Box<Attaching>, reply: Reply<Result<MessageId, AttachError>>) {
        if let Err(error) = self.correspondent(&attaching.to) {
            return answer(reply, Err(error.into()));
        }
        if !self.files.has_room() {
            return answer(reply, Err(AttachError::Busy));
        }
        let (spool, notes) = (self.files.spool.clone(), self.files.sender.clone());
        self.files.craft(move |stop| {
            let sealed = prepare(&attaching.path, attaching.manner.clone(), &spool, stop);
            // Whoever asked hears that the engine has stopped, and the next start removes the file.
            let _gone = notes.blocking_send(Note::Sealed { attaching, sealed, reply });
        });
    }

    /// Deals with what a thread has done.
    pub(super) fn noted(&mut self, note: Note) -> Result<(), DatabaseError> {
        match note {
            Note::Sealed { attaching, sealed, reply } => {
                let queued = match sealed {
                    Ok(prepared) => {
                        let local = prepared.local;
                        let queued = self.queue_file(&attaching, prepared);
                        if queued.is_err() {
                            // What stays is removed at the next start.
                            let _removed = self.files.spool.remove(local);
                        }
                        queued.map_err(AttachError::from)
                    }
                    Err(error) => Err(error.into()),
                };
                self.files.due = true;
                answer(reply, queued);
                Ok(())
            }
            Note::Damaged { seq } => {
                let Some(kept) = self.database().read().file(seq)? else { return Ok(()) };
                let _removed = self.files.spool.remove(kept.local);
                self.file_is(&kept, FileState::Offered)
            }
            Note::Courier { way, number, report } => {
                let lane = self.files.lane(way);
                match lane.sent.as_ref().filter(|sent| sent.number == number).map(|sent| sent.busy) {
                    Some(busy) => self.reported(way, busy, report),
                    // It is not there any more.
                    None => Ok(()),
                }
            }
        }
    }

    fn queue_file(&mut self, attaching: &Attaching, prepared: Prepared) -> Result<MessageId, SendError> {
        let to = &attaching.to;
        let correspondent = self.correspondent(to)?;
        let Correspondent { tag, note, .. } = correspondent;
        let marks = self.marks(tag, attaching.reply_to)?;
        let now = clock::now();
        let id = MessageId::new(now, rand::rng().random());
        // Nobody else would fetch it.
        let stays = note && self.alone;
        let Prepared { file, local, secret } = prepared;
        let stored = StoredFile { file, state: if stays { FileState::Here } else { FileState::Sending } };
        let message = StoredMessage {
            seq: 0,
            peer: tag,
            handle: Some(to.clone()),
            direction: Direction::Out,
            id,
            state: if stays { MessageState::Accepted } else { MessageState::Queued },
            body: Body::File(Box::new(stored.clone())),
            sent_at: now,
            accepted_at: None,
            received_at: None,
            wire_bytes: None,
            shown: true,
            marks,
        };
        let named = MessageRef { direction: Direction::Out, id };
        let decided = self.database().write(|store| {
            let decided = correspondent.meet(store, to, now)?;
            store.put_file(tag, named, &stored, local, Some(&secret))?;
            store.put_message(&message)?;
            if stays {
                store.begin_own_life(tag, id)?;
            }
            Ok::<_, SendError>(decided)
        })?;
        self.decided |= decided;
        if stays {
            self.look_at_lives()?;
        }
        if !correspondent.known {
            self.wait_for_address(tag, to.clone());
        }
        Ok(id)
    }

    /// Sends couriers on their way, gives them what there is to do, and calls back those that have nothing to do.
    pub(super) fn tend_files(&mut self) -> Result<(), DatabaseError> {
        let now = clock::monotonic();
        self.files.due |= self.files.next_wake().is_some_and(|at| now >= at);
        if !std::mem::take(&mut self.files.due) {
            return Ok(());
        }
        self.files.later.retain(|_, at| now < *at);
        for way in [Way::Up, Way::Down] {
            let lane = self.files.lane(way);
            lane.away_until = lane.away_until.filter(|at| now < *at);
            if lane.away_until.is_some() || lane.sent.as_ref().is_some_and(|sent| sent.busy.seq != 0) {
                continue;
            }
            let Some((busy, job)) = self.next_job(way)? else {
                self.files.lane(way).sent = None;
                continue;
            };
            if self.files.lane(way).sent.is_none() {
                // A refresh token is for one of them: the other goes in when that has left another.
                if self.files.is_entering() {
                    continue;
                }
                self.send_courier(way)?;
            }
            if let Some(sent) = &mut self.files.lane(way).sent {
                sent.busy = busy;
                sent.courier.give(job);
            }
        }
        Ok(())
    }

    fn next_job(&mut self, way: Way) -> Result<Option<(Busy, Job)>, DatabaseError> {
        let store = self.profile.database().read();
        let later = &self.files.later;
        let next = store.next_file(way == Way::Up, |seq| !later.contains_key(&seq))?;
        let Some(KeptFile { seq, peer, message, stored, local, secret }) = next else {
            let gone = match way {
                Way::Up => store.gone_file(true)?,
                Way::Down => None,
            };
            // Of what is gone the numbers are below zero, so that both can be told apart.
            return Ok(gone.and_then(|gone| {
                let (blob, secret) = gone.remote?;
                let seq = gone.seq.saturating_neg();
                (!later.contains_key(&seq)).then_some((Busy { seq, message: None }, Job::Remove { blob, secret }))
            }));
        };
        let busy = Busy { seq, message: Some((peer, message, stored.file.bytes)) };
        let job = match (way, secret) {
            (Way::Up, Some(secret)) => Job::Send { file: stored.file, local, secret },
            (Way::Up, None) => return Err(DatabaseError::Invalid("files.secret")),
            (Way::Down, _) => Job::Fetch { file: stored.file, local },
        };
        Ok(Some((busy, job)))
    }

    /// A courier goes in by a token, never by the password: that would be another login, and end the first one.
    fn send_courier(&mut self, way: Way) -> Result<(), DatabaseError> {
        let login = self.login()?.map(|(login, _)| login);
        let login = login.filter(|login| matches!(login.method, Method::Token(_) | Method::Refresh(_)));
        self.files.last = self.files.last.saturating_add(1);
        let (spool, number) = (self.files.spool.clone(), self.files.last);
        let reports = Reports { notes: self.files.sender.clone(), way, number };
        let started = login.and_then(|login| Courier::start(login, spool, reports).ok());
        let lane = self.files.lane(way);
        match started {
            Some(courier) => {
                lane.sent = Some(Sent { courier, number, entered: false, busy: Busy { seq: 0, message: None } });
            }
            // The next connection has new tokens, and this system perhaps another thread.
            None => lane.away_until = Some(clock::monotonic() + PAUSE),
        }
        Ok(())
    }

    fn reported(&mut self, way: Way, busy: Busy, report: Report) -> Result<(), DatabaseError> {
        match report {
            Report::Entered { token, expires, refresh } => {
                if let Some(sent) = &mut self.files.lane(way).sent {
                    sent.entered = true;
                }
                self.files.due = true;
                return self.database().write(|store| {
                    store.set_token(Some((&token, expires)))?;
                    refresh.map_or(Ok(()), |token| store.set_refresh_token(Some(&token)))
                });
            }
            Report::Moved(done) => {
                self.files.lane(way).backoff = None;
                if let Some((peer, message, bytes)) = busy.message {
                    let with = self.name(peer);
                    self.tell(Event::File { with, message, step: FileStep::Moved { done: done.min(bytes), bytes } });
                }
                return Ok(());
            }
            Report::Away => {
                let lane = self.files.lane(way);
                let wait =
                    lane.backoff.get_or_insert_with(Backoff::new).next_delay_of(Duration::ZERO, rand::rng().random());
                (lane.sent, lane.away_until) = (None, Some(clock::monotonic() + wait));
                self.files.due = true;
                return Ok(());
            }
            Report::Done | Report::Refused(_) | Report::Forged | Report::Disk => {}
        }
        if let Some(sent) = &mut self.files.lane(way).sent {
            sent.busy = Busy { seq: 0, message: None };
        }
        self.files.due = true;
        if busy.message.is_none() {
            return self.removed(busy.seq, &report);
        }
        let Some(kept) = self.database().read().file(busy.seq)? else { return Ok(()) };
        let fault = match report {
            Report::Done if way == Way::Up => return self.uploaded(&kept),
            Report::Done => return self.file_is(&kept, FileState::Here),
            Report::Refused(refusal) => match fault(way, refusal) {
                Ok(fault) => fault,
                Err(wait) => {
                    self.files.later.insert(kept.seq, clock::monotonic() + wait);
                    return Ok(());
                }
            },
            Report::Forged => FileFault::Forged,
            _ => FileFault::Disk,
        };
        self.file_is(&kept, FileState::Failed(fault))
    }

    /// The server has removed a blob, or does not have it.
    fn removed(&mut self, seq: i64, report: &Report) -> Result<(), DatabaseError> {
        match report {
            Report::Refused(refusal) if is_passing(refusal.code) => {
                self.files.later.insert(seq, clock::monotonic() + PAUSE);
                Ok(())
            }
            // Nothing is gained by asking again: it expires.
            _ => self.database().write(|store| store.has_gone(seq.saturating_neg(), true)),
        }
    }

    /// A file is at the server as a whole: its message may leave.
    fn uploaded(&mut self, kept: &KeptFile) -> Result<(), DatabaseError> {
        let (alone, peer, id) = (self.alone, kept.peer, kept.message.id);
        let rows = self.database().write(|store| {
            store.set_file_state(kept.seq, FileState::Here)?;
            // Where the account is not known yet, the copy is made when it is.
            let copy = if alone || store.is_unaddressed(peer)? { None } else { copy_for_own_devices(store, id)? };
            if own_tag(store)? == Some(peer) {
                if copy.is_none() {
                    store.note_is_safe(peer, id)?;
                }
                return Ok([copy, None]);
            }
            let content = content_again(store, peer, id)?;
            let row: Option<Queued> = match content {
                Some(content) => Some((store.enqueue(id, peer, &content)?, peer)),
                None => None,
            };
            Ok::<_, DatabaseError>([copy, row])
        })?;
        rows.into_iter().for_each(|row| self.queued(row));
        self.tell_file(kept, FileStep::Is(FileState::Here));
        self.look_at_lives()
    }

    fn file_is(&mut self, kept: &KeptFile, state: FileState) -> Result<(), DatabaseError> {
        if self.database().write(|store| store.set_file_state(kept.seq, state))? {
            self.tell_file(kept, FileStep::Is(state));
        }
        Ok(())
    }

    fn tell_file(&mut self, kept: &KeptFile, step: FileStep) {
        let with = self.name(kept.peer);
        self.tell(Event::File { with, message: kept.message, step });
    }

    fn kept_file(&mut self, with: &Handle, id: MessageId) -> Result<KeptFile, FileError> {
        let store = self.database().read();
        let peer = store.peer_of(with)?.ok_or_else(|| FileError::NoConversation(with.clone()))?;
        let message = store.find_in(peer, id)?.ok_or(FileError::NoFile)?;
        store.file_of(peer, message)?.ok_or(FileError::NoFile)
    }

    /// Fetches a file, or goes on with one that did not get to the server.
    pub(super) fn fetch_file(&mut self, with: &Handle, id: MessageId) -> Result<(), FileError> {
        let kept = self.kept_file(with, id)?;
        self.files.later.remove(&kept.seq);
        self.files.due = true;
        let state = match kept.stored.state {
            FileState::Here | FileState::Sending | FileState::Fetching => return Ok(()),
            FileState::Failed(_) if kept.is_unsent() => FileState::Sending,
            FileState::Failed(_) | FileState::Offered => FileState::Fetching,
        };
        Ok(self.file_is(&kept, state)?)
    }

    /// Tries the file of a message of ours again that did not get to the server. Says whether the message waits for one.
    pub(super) fn retry_file(&mut self, to: &Handle, id: MessageId) -> Result<bool, SendError> {
        match self.kept_file(to, id) {
            Ok(kept) if kept.is_unsent() => match self.fetch_file(to, id) {
                Err(FileError::Database(error)) => Err(error.into()),
                _ => Ok(true),
            },
            Err(FileError::Database(error)) => Err(error.into()),
            _ => Ok(false),
        }
    }

    /// Ends what is on its way: a file that was to be fetched is offered again, a message whose file has not left is gone.
    pub(super) fn cancel_file(&mut self, with: &Handle, id: MessageId) -> Result<(), FileError> {
        let kept = self.kept_file(with, id)?;
        match kept.stored.state {
            FileState::Fetching => {
                self.call_back(kept.seq);
                let _removed = self.files.spool.remove(kept.local);
                self.file_is(&kept, FileState::Offered)?;
            }
            FileState::Sending | FileState::Failed(_) if kept.is_unsent() => {
                self.call_back(kept.seq);
                self.database()
                    .write(|store| store.delete_for_me(kept.peer, kept.message))?
                    .map_err(|_| FileError::NoFile)?;
                self.tell_news(News { peer: kept.peer, id: Some(id), change: Change::Deleted });
            }
            _ => return Err(FileError::NotMoving),
        }
        self.files.due = true;
        Ok(self.sweep_files()?)
    }

    /// Ends a courier that works on this file.
    fn call_back(&mut self, seq: i64) {
        for lane in [&mut self.files.up, &mut self.files.down] {
            lane.sent = lane.sent.take().filter(|sent| sent.busy.seq != seq);
        }
    }

    fn file_here(&mut self, with: &Handle, id: MessageId) -> Result<(KeptFile, PathBuf), FileError> {
        let kept = self.kept_file(with, id)?;
        if !self.files.has_room() {
            return Err(FileError::Busy);
        }
        let is_here = kept.stored.state == FileState::Here || kept.is_unsent();
        if !is_here {
            return Err(FileError::NotHere);
        }
        let path = self.files.spool.path(kept.local);
        Ok((kept, path))
    }

    /// Opens a file for a person, to a place of his.
    pub(super) fn save_file(
        &mut self,
        (with, id): (&Handle, MessageId),
        to: PathBuf,
        replace: bool,
        reply: Reply<Result<(), FileError>>,
    ) {
        let (kept, from) = match self.file_here(with, id) {
            Ok(here) => here,
            Err(error) => return answer(reply, Err(error)),
        };
        let notes = self.files.sender.clone();
        self.files.craft(move |stop| {
            let saved = save::save(&kept.stored.file, &from, &to, replace, stop);
            tell_damage(&notes, kept.seq, &saved);
            answer(reply, saved.map_err(FileError::from));
        });
    }

    /// Opens a file in memory, to be shown.
    pub(super) fn read_file(
        &mut self,
        with: &Handle,
        id: MessageId,
        reply: Reply<Result<Zeroizing<Vec<u8>>, FileError>>,
    ) {
        let (kept, from) = match self.file_here(with, id) {
            Ok((kept, _)) if kept.stored.file.bytes > SHOWN_BYTES_MAX => {
                return answer(reply, Err(FileError::TooLarge));
            }
            Ok(here) => here,
            Err(error) => return answer(reply, Err(error)),
        };
        let notes = self.files.sender.clone();
        self.files.craft(move |stop| {
            let read = save::read(&kept.stored.file, &from, stop);
            tell_damage(&notes, kept.seq, &read);
            // What its writer has said of its size proves nothing.
            let is_picture = matches!(kept.stored.file.shown, endtoend_protocol::Shown::Picture(_));
            let read =
                read.map_err(FileError::from).and_then(|bytes| match !is_picture || images::look(&bytes).is_some() {
                    true => Ok(bytes),
                    false => Err(FileError::TooLarge),
                });
            answer(reply, read);
        });
    }

    /// Messages may have lost their files.
    pub(super) fn files_may_go(&mut self) {
        (self.files.gone, self.files.due) = (true, true);
    }

    /// Removes from this disk what messages have lost. What fails is tried again the next time.
    pub(super) fn sweep_files(&mut self) -> Result<(), DatabaseError> {
        if !std::mem::take(&mut self.files.gone) {
            return Ok(());
        }
        let busy: Vec<i64> = [&self.files.up, &self.files.down]
            .into_iter()
            .filter_map(|lane| lane.sent.as_ref().map(|sent| sent.busy.seq))
            .filter(|seq| *seq > 0)
            .collect();
        for seq in busy {
            if self.database().read().file(seq)?.is_none() {
                self.call_back(seq);
            }
        }
        while let Some(gone) = self.profile.database().read().gone_file(false)? {
            let removed = gone.local.map_or(Ok(()), |local: LocalName| self.files.spool.remove(local));
            if removed.is_err() {
                break;
            }
            self.database().write(|store| store.has_gone(gone.seq, false))?;
        }
        Ok(())
    }
}

/// A file that is damaged on this disk has to be fetched again.
fn tell_damage<T>(notes: &mpsc::Sender<Note>, seq: i64, done: &Result<T, SaveError>) {
    if matches!(done, Err(SaveError::Damaged)) {
        // Without an engine nobody is left to hear it.
        let _gone = notes.blocking_send(Note::Damaged { seq });
    }
}

/// What a refusal means for a file, or when to ask again.
fn fault(way: Way, refusal: Refusal) -> Result<FileFault, Duration> {
    match (refusal.code, refusal.retry_after_ms) {
        (RefusalCode::BlobBudget, Some(_)) => Ok(FileFault::NoRoom),
        (RefusalCode::BlobBudget | RefusalCode::Unsupported, _) => Ok(FileFault::NotTaken),
        (RefusalCode::UnknownBlob, _) if way == Way::Down => Ok(FileFault::Gone),
        // Another connection, which has ended since, has brought a part of it.
        (RefusalCode::BlobElsewhere, _) => Err(Duration::from_secs(1)),
        (code, after) if is_passing(code) => {
            Err(after.map_or(PAUSE, |ms| Duration::from_millis(ms.get()).min(ASKED_MAX)))
        }
        _ => Ok(FileFault::Refused),
    }
}
