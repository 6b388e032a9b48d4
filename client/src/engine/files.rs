//! Files of messages: who seals, moves and saves them, and what becomes of their messages.
//!
//! A file is sealed into the profile's folder first; then its message stands in the history, and from there on no crash loses or
//! doubles it. While there is a connection one courier brings files to the server and another fetches them, one after the other.
//! When a file is at the server as a whole, its message goes into the outbox, in the same transaction: what is written to somebody
//! meanwhile does not wait for it.

use std::path::PathBuf;
use std::time::Duration;

use endtoend_protocol::{MessageId, Refusal, RefusalCode};
use rand::RngExt as _;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::command::{AttachError, Attaching, FileError, Reply, SendError};
use super::conversing::Correspondent;
use super::courier::{Courier, Entered, Job, Report, Reports, Way, mark};
use super::establish::{Login, Method, is_passing};
use super::event::{Change, Event, FileStep};
use super::lanes::{Busy, LEAVING_MAX, Leaving, Moved, Note, Sent};
use super::online::PAUSE;
use super::repair::{Queued, content_again, copy_for_own_devices, own_tag};
use super::run::Runner;
use super::say::News;
use super::told::answer;
use crate::backoff::{ASKED_MAX, Backoff};
use crate::clock;
use crate::database::{
    Body, DatabaseError, Direction, FileFault, FileState, KeptFile, MessageRef, MessageState, StoredFile, StoredMessage,
};
use crate::files::prepare::{Prepared, prepare};
use crate::files::spool::LocalName;
use crate::files::{SHOWN_BYTES_MAX, SaveError, images, save};
use crate::handle::Handle;
use crate::transport::Traffic;

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
            let sealed = prepare(&attaching.source, attaching.manner.clone(), &spool, stop);
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
                if kept.is_unsent() {
                    // Nobody else has it, and whatever is left of it is its owner's to keep or to give up.
                    self.call_back(seq);
                    return self.file_is(&kept, FileState::Failed(FileFault::Disk));
                }
                let _removed = self.files.spool.remove(kept.local);
                self.file_is(&kept, FileState::Offered)
            }
            Note::Courier { way, number, report: Report::Entered(entered) } => self.entered(way, number, &entered),
            Note::Courier { way, number, report } => {
                let lane = self.files.lane(way);
                match lane.sent.as_ref().filter(|sent| sent.number == number).map(|sent| sent.busy) {
                    Some(busy) => self.reported(way, busy, &report),
                    // It is not there any more.
                    None => Ok(()),
                }
            }
            Note::Left { number } => self.left(number),
        }
    }

    /// A courier is logged in. What it was given counts unless something later is there: a connection may have been made since.
    fn entered(&mut self, way: Way, number: u64, entered: &Entered) -> Result<(), DatabaseError> {
        if let Some(sent) = self.files.lane(way).sent.as_mut().filter(|sent| sent.number == number) {
            sent.entered = true;
        }
        self.files.due = true;
        self.database().write(|store| {
            let present = store.refresh_token()?;
            if mark(present.as_ref().map(|token| token.as_slice())) != entered.before {
                return Ok(());
            }
            store.set_token(Some((&entered.token, entered.expires)))?;
            entered.refresh.as_ref().map_or(Ok(()), |token| store.set_refresh_token(Some(token)))
        })
    }

    /// A courier is gone.
    fn left(&mut self, number: u64) -> Result<(), DatabaseError> {
        self.files.due = true;
        for way in [Way::Up, Way::Down] {
            // Without a word: it has panicked.
            if self.files.lane(way).sent.as_ref().is_some_and(|sent| sent.number == number) {
                self.away(way);
            }
        }
        let Some(at) = self.files.leaving.iter().position(|leaving| leaving.number == number) else { return Ok(()) };
        let Leaving { busy, thread, .. } = self.files.leaving.swap_remove(at);
        // It was its last word.
        let _ended = thread.join();
        let Some(Busy { seq, file: Some(Moved { local, .. }) }) = busy else { return Ok(()) };
        let wanted = self.database().read().file(seq)?.is_some_and(|kept| kept.stored.state != FileState::Offered);
        if !wanted {
            // It may have begun it anew when it was gone. What stays is removed at the next start.
            let _removed = self.files.spool.remove(local);
        }
        Ok(())
    }

    /// There is no connection for this way, and none before some time.
    fn away(&mut self, way: Way) {
        self.files.dismiss(way);
        let lane = self.files.lane(way);
        let wait = lane.backoff.get_or_insert_with(Backoff::new).next_delay_of(Duration::ZERO, rand::rng().random());
        lane.away_until = Some(clock::monotonic() + wait);
        self.files.due = true;
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
            // One that has not logged in may bring the next refresh token: nothing is given to it before, and it is not called back.
            if lane.away_until.is_some() || lane.sent.as_ref().is_some_and(|sent| !sent.entered || sent.busy.is_some())
            {
                continue;
            }
            let Some((busy, job)) = self.next_job(way)? else {
                self.files.dismiss(way);
                continue;
            };
            // A refresh token is for one of them: the other goes in when that has left another.
            let may_enter = !self.files.is_entering() && self.files.leaving.len() < LEAVING_MAX;
            match &mut self.files.lane(way).sent {
                Some(sent) => {
                    sent.busy = Some(busy);
                    sent.courier.give(job);
                }
                None if may_enter => self.send_courier(way)?,
                None => {}
            }
        }
        Ok(())
    }

    fn next_job(&mut self, way: Way) -> Result<Option<(Busy, Job)>, DatabaseError> {
        let store = self.profile.database().read();
        let files = &self.files;
        let next = store.next_file(way == Way::Up, |seq| files.is_free(seq))?;
        let Some(KeptFile { seq, peer, message, stored, local, secret, .. }) = next else {
            let gone = match way {
                Way::Up => store.gone_file(true)?,
                Way::Down => None,
            };
            // Of what is gone the numbers are below zero, so that both can be told apart.
            return Ok(gone.and_then(|gone| {
                let (blob, secret) = gone.remote?;
                let seq = gone.seq.saturating_neg();
                files.is_free(seq).then_some((Busy { seq, file: None }, Job::Remove { blob, secret }))
            }));
        };
        let busy = Busy { seq, file: Some(Moved { peer, message, bytes: stored.file.bytes, local }) };
        let job = match (way, secret) {
            (Way::Up, Some(secret)) => Job::Send { file: stored.file, local, secret },
            (Way::Up, None) => return Err(DatabaseError::Invalid("files.secret")),
            (Way::Down, _) => Job::Fetch { file: stored.file, local },
        };
        Ok(Some((busy, job)))
    }

    /// A courier goes in by a token, never by the password: that would be another login, and end the first one.
    fn send_courier(&mut self, way: Way) -> Result<(), DatabaseError> {
        let login = self.login()?.map(|(login, _)| Login { traffic: Traffic::Files, ..login });
        let login = login.filter(|login| matches!(login.method, Method::Token(_) | Method::Refresh(_)));
        self.files.last = self.files.last.saturating_add(1);
        let (spool, number) = (self.files.spool.clone(), self.files.last);
        let reports = Reports { notes: self.files.sender.clone(), way, number };
        let before = mark(self.database().read().refresh_token()?.as_ref().map(|token| token.as_slice()));
        let started = login.and_then(|login| Courier::start(login, before, spool, reports).ok());
        let lane = self.files.lane(way);
        match started {
            Some(courier) => {
                lane.sent = Some(Sent { courier, number, entered: false, busy: None });
            }
            // The next connection has new tokens, and this system perhaps another thread.
            None => lane.away_until = Some(clock::monotonic() + PAUSE),
        }
        Ok(())
    }

    fn reported(&mut self, way: Way, busy: Option<Busy>, report: &Report) -> Result<(), DatabaseError> {
        match report {
            Report::Moved(done) => {
                self.files.lane(way).backoff = None;
                if let Some(Busy { file: Some(Moved { peer, message, bytes, .. }), .. }) = busy {
                    let with = self.name(peer);
                    self.tell(Event::File { with, message, step: FileStep::Moved { done: (*done).min(bytes), bytes } });
                }
                return Ok(());
            }
            Report::Away => {
                self.away(way);
                return Ok(());
            }
            // It has no job yet.
            Report::Entered(_) => return Ok(()),
            Report::Done | Report::Refused(_) | Report::Forged | Report::Disk => {}
        }
        if let Some(sent) = &mut self.files.lane(way).sent {
            sent.busy = None;
        }
        self.files.due = true;
        let Some(busy) = busy else { return Ok(()) };
        if busy.file.is_none() {
            return self.removed(busy.seq, report);
        }
        let Some(kept) = self.database().read().file(busy.seq)? else { return Ok(()) };
        let fault = match report {
            Report::Done if way == Way::Up => return self.uploaded(&kept),
            Report::Done => return self.file_is(&kept, FileState::Here),
            Report::Refused(refusal) => match fault(way, *refusal) {
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
        let written = self.database().write(|store| {
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
        });
        let rows = match written {
            // The outbox has no room. The file stays on its way, and the server will say that it has all of it.
            Err(DatabaseError::Limit { .. }) => {
                self.files.later.insert(kept.seq, clock::monotonic() + PAUSE);
                return Ok(());
            }
            written => written?,
        };
        rows.into_iter().for_each(|row| self.queued(row));
        self.tell_file(kept, FileStep::Is(FileState::Here));
        self.look_at_lives()
    }

    pub(super) fn file_is(&mut self, kept: &KeptFile, state: FileState) -> Result<(), DatabaseError> {
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
            // It is nowhere: neither here nor at the server.
            FileState::Failed(FileFault::Gone) if kept.is_unsent() && !kept.can_be_sent() => return Ok(()),
            FileState::Failed(_) if kept.can_be_sent() => FileState::Sending,
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
    pub(super) fn cancel_file(&mut self, with: &Handle, id: MessageId, way: Way) -> Result<(), FileError> {
        let kept = self.kept_file(with, id)?;
        match (kept.stored.state, way) {
            (FileState::Fetching, Way::Down) => {
                self.call_back(kept.seq);
                let _removed = self.files.spool.remove(kept.local);
                self.file_is(&kept, FileState::Offered)?;
            }
            (FileState::Fetching, Way::Up) => return Err(FileError::OtherWay(Way::Down)),
            (_, Way::Down) if kept.is_unsent() => return Err(FileError::OtherWay(Way::Up)),
            (_, Way::Up) if kept.is_unsent() => {
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
        for way in [Way::Up, Way::Down] {
            let busy = self.files.lane(way).sent.as_ref().and_then(|sent| sent.busy);
            if busy.is_some_and(|busy| busy.seq == seq) {
                self.files.dismiss(way);
            }
        }
    }

    fn file_here(&mut self, with: &Handle, id: MessageId) -> Result<(KeptFile, PathBuf), FileError> {
        let kept = self.kept_file(with, id)?;
        if !self.files.has_room() {
            return Err(FileError::Busy);
        }
        let is_here = kept.stored.state == FileState::Here || kept.can_be_sent();
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
            .filter_map(|lane| lane.sent.as_ref()?.busy.map(|busy| busy.seq))
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
