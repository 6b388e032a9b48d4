//! One connection for files, beside the one for messages, so that a message does not wait behind a file. It lives on a thread of its
//! own, does one job at a time, and ends when it is dropped. It touches no database: what it has done it reports.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use endtoend_crypto_e2e::blob_bytes;
use endtoend_protocol::{
    self as protocol, Answer, BlobId, BlobRequest, ClientFrame, Refusal, Request, RequestId, ServerFrame, UnixMillis,
    limits,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::establish::{Login, establish};
use crate::clock::{self, Instant};
use crate::files::open::{Incoming, OpenError};
use crate::files::spool::{LocalName, Spool};
use crate::transport::{LinkReceiver, LinkSender};

/// Parts on their way at one time: enough that the server need not wait for us, and less than a MiB.
const WINDOW: usize = 4;
/// A server that does not answer for a part within this time is away; on a wire, see [`Pace`](crate::transport::Pace).
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);
/// News of progress are not older than this.
const STEP_AGE_MAX: Duration = Duration::from_secs(1);
const PART_BYTES: u64 = limits::BLOB_PART_BYTES_MAX as u64;

/// Which way files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the server: those of messages of ours.
    Up,
    /// From there.
    Down,
}

/// What a courier is to do.
pub(super) enum Job {
    /// Bring a sealed file to the server.
    Send { file: protocol::File, local: LocalName, secret: Zeroizing<[u8; 32]> },
    /// Fetch one.
    Fetch { file: protocol::File, local: LocalName },
    /// Remove one from the server.
    Remove { blob: BlobId, secret: Zeroizing<[u8; 32]> },
}

/// What has come of it.
pub(super) enum Report {
    /// It is in.
    Entered(Entered),
    /// So much of the blob has been moved.
    Moved(u64),
    /// The job is done.
    Done,
    /// The server said no.
    Refused(Refusal),
    /// The server gave something else than what was sent.
    Forged,
    /// The disk did not give or take it.
    Disk,
    /// There is no connection any more. The courier has ended.
    Away,
}

/// What a courier that is in has been given.
pub(super) struct Entered {
    /// The refresh token that was there when it went in, as [`mark`] marks it: if another is there by now, that one is later.
    pub(super) before: Option<blake3::Hash>,
    pub(super) token: Zeroizing<Vec<u8>>,
    pub(super) expires: UnixMillis,
    /// `None` when the one before stays.
    pub(super) refresh: Option<Zeroizing<Vec<u8>>>,
}

/// Tells a refresh token from others without keeping it.
pub(super) fn mark(token: Option<&[u8]>) -> Option<blake3::Hash> {
    token.map(blake3::hash)
}

/// Why a job was not done.
enum Trouble {
    Refused(Refusal),
    Forged,
    Disk,
    /// With the connection. So does a job that was given up.
    Away,
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Forged => Self::Forged,
            OpenError::Io(_) | OpenError::Out(_) => Self::Disk,
            OpenError::GivenUp => Self::Away,
        }
    }
}

/// A courier's outside. Without it the courier ends.
pub(super) struct Courier {
    jobs: mpsc::Sender<Job>,
    given_up: Arc<AtomicBool>,
    /// Ends it when it is dropped.
    _stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Tells that a courier has ended, even if it has panicked.
struct LastWord(Reports);

impl Drop for LastWord {
    fn drop(&mut self) {
        // Without an engine nobody is left to hear it.
        let _gone = self.0.notes.blocking_send(super::lanes::Note::Left { number: self.0.number });
    }
}

impl Courier {
    /// Sends one on its way. What it has to say goes to `reports`; the last of it is that it has left.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        login: Login,
        before: Option<blake3::Hash>,
        spool: Spool,
        reports: Reports,
    ) -> std::io::Result<Self> {
        let (jobs, given) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel();
        let given_up = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asked = Arc::clone(&given_up);
        let thread = std::thread::Builder::new().name("endtoend-files".to_owned()).spawn(move || {
            let _last_word = LastWord(reports.clone());
            runtime.block_on(async {
                tokio::select! {
                    () = serve(login, before, spool, given, reports, asked) => {}
                    _ = stopped => {}
                }
            });
            // A name that is being looked up, or a puzzle, is left to itself.
            runtime.shutdown_background();
        })?;
        Ok(Self { jobs, given_up, _stop: stop, thread })
    }

    /// Ends it. It may be bringing gigabytes to the disk, so whoever has to wait for that waits for the thread that is given.
    pub(super) fn leave(self) -> JoinHandle<()> {
        self.given_up.store(true, Ordering::Relaxed);
        self.thread
    }

    /// One of which nothing is known but its thread.
    #[cfg(test)]
    pub(super) fn of(thread: JoinHandle<()>) -> Self {
        let ((jobs, _), (_stop, _)) = (mpsc::channel(1), oneshot::channel());
        Self { jobs, given_up: Arc::default(), _stop, thread }
    }

    /// Gives it the next job. It has done the one before.
    pub(super) fn give(&self, job: Job) {
        // One that has ended has said so.
        let _given = self.jobs.try_send(job);
    }
}

/// Where reports go: which way, and which courier, so that nobody listens to one that is not there any more.
#[derive(Clone)]
pub(super) struct Reports {
    pub(super) notes: mpsc::Sender<super::lanes::Note>,
    pub(super) way: Way,
    pub(super) number: u64,
}

impl Reports {
    async fn tell(&self, report: Report) {
        let note = super::lanes::Note::Courier { way: self.way, number: self.number, report };
        // Without an engine nobody is left to hear it.
        let _gone = self.notes.send(note).await;
    }
}

async fn serve(
    login: Login,
    before: Option<blake3::Hash>,
    spool: Spool,
    mut jobs: mpsc::Receiver<Job>,
    reports: Reports,
    given_up: Arc<AtomicBool>,
) {
    let Ok(established) = establish(login).await else { return reports.tell(Report::Away).await };
    let entered = Entered {
        before,
        token: established.token,
        expires: established.token_expires,
        refresh: established.refresh_token,
    };
    reports.tell(Report::Entered(entered)).await;
    let deadline = established.pace.answer(ANSWER_DEADLINE);
    let mut desk = Desk { sender: established.sender, receiver: established.receiver, last: 1_000, deadline };
    let stop = || given_up.load(Ordering::Relaxed);
    while let Some(job) = jobs.recv().await {
        let done = match job {
            Job::Send { file, local, secret } => send(&mut desk, &file, &spool, local, &secret, &reports).await,
            Job::Fetch { file, local } => fetch(&mut desk, file, &spool, local, &reports, &stop).await,
            Job::Remove { blob, secret } => desk.ask(BlobRequest::Remove { blob, secret: *secret }).await.map(|_| ()),
        };
        let report = match done {
            Ok(()) => Report::Done,
            Err(Trouble::Refused(refusal)) => Report::Refused(refusal),
            Err(Trouble::Forged) => Report::Forged,
            Err(Trouble::Disk) => Report::Disk,
            Err(Trouble::Away) => return reports.tell(Report::Away).await,
        };
        reports.tell(report).await;
    }
}

/// Questions and answers about blobs, which come in their order.
struct Desk {
    sender: LinkSender,
    receiver: LinkReceiver,
    last: u64,
    /// For an answer.
    deadline: Duration,
}

impl Desk {
    async fn post(&mut self, request: BlobRequest) -> Result<RequestId, Trouble> {
        self.last = self.last.saturating_add(1);
        let id = RequestId(NonZeroU64::MIN.saturating_add(self.last));
        let frame = ClientFrame::Request { id, request: Request::Blob(request) };
        self.sender.send(&frame).await.map_err(|_| Trouble::Away)?;
        Ok(id)
    }

    async fn answer(&mut self, to: RequestId) -> Result<Answer, Trouble> {
        let answer = async {
            loop {
                match self.receiver.recv().await.map_err(|_| Trouble::Away)? {
                    ServerFrame::Answer { id, answer } if id == to => return Ok(answer),
                    ServerFrame::Refused { id: Some(id), refusal } if id == to => {
                        return Err(Trouble::Refused(refusal));
                    }
                    // News for the other connection; or a server that speaks out of turn, and is out of time soon.
                    _ => {}
                }
            }
        };
        timeout(self.deadline, answer).await.map_err(|_| Trouble::Away)?
    }

    async fn ask(&mut self, request: BlobRequest) -> Result<Answer, Trouble> {
        let id = self.post(request).await?;
        self.answer(id).await
    }

    /// Hears what is still to be answered after a refusal, so that the next job begins with nothing on its way.
    async fn drain(&mut self, waiting: VecDeque<RequestId>) -> Result<(), Trouble> {
        for id in waiting {
            match self.answer(id).await {
                Ok(_) | Err(Trouble::Refused(_)) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }
}

/// News of progress for every hundredth of a blob, and not for less than a MiB; but each second while anything moves, so that whoever
/// waits on a slow line knows it.
struct Steps {
    step: u64,
    told: u64,
    told_at: Instant,
}

impl Steps {
    fn new(total: u64) -> Self {
        Self { step: (total / 100).max(1024 * 1024), told: 0, told_at: clock::monotonic() }
    }

    async fn at(&mut self, done: u64, reports: &Reports) {
        let now = clock::monotonic();
        if done.saturating_sub(self.told) >= self.step || now.duration_since(self.told_at) >= STEP_AGE_MAX {
            (self.told, self.told_at) = (done, now);
            reports.tell(Report::Moved(done)).await;
        }
    }
}

async fn send(
    desk: &mut Desk,
    file: &protocol::File,
    spool: &Spool,
    local: LocalName,
    secret: &[u8; 32],
    reports: &Reports,
) -> Result<(), Trouble> {
    let (blob, total) = (file.blob, blob_bytes(file.bytes));
    let mut disk = File::open(spool.path(local)).map_err(|_| Trouble::Disk)?;
    if disk.metadata().map_err(|_| Trouble::Disk)?.len() != total {
        return Err(Trouble::Disk);
    }
    let secret_hash = *blake3::hash(secret).as_bytes();
    let opened = desk.ask(BlobRequest::Open { blob, bytes: total, secret_hash }).await?;
    let mut have = has(&opened, 0, total)?;
    disk.seek(SeekFrom::Start(have)).map_err(|_| Trouble::Disk)?;
    let (mut sent, mut waiting, mut steps) = (have, VecDeque::new(), Steps::new(total));
    while have < total {
        while sent < total && waiting.len() < WINDOW {
            let length = PART_BYTES.min(total.saturating_sub(sent));
            let mut part = Vec::with_capacity(limits::BLOB_PART_BYTES_MAX);
            (&mut disk).take(length).read_to_end(&mut part).map_err(|_| Trouble::Disk)?;
            if part.len() as u64 != length {
                return Err(Trouble::Disk);
            }
            let put = BlobRequest::Put { blob, secret: *secret, offset: sent, part: Bytes::from(part) };
            waiting.push_back(desk.post(put).await?);
            sent = sent.saturating_add(length);
        }
        let Some(id) = waiting.pop_front() else { return Err(Trouble::Away) };
        match desk.answer(id).await {
            Ok(answer) => have = has(&answer, have, total)?,
            Err(refused @ Trouble::Refused(_)) => {
                desk.drain(waiting).await?;
                return Err(refused);
            }
            Err(trouble) => return Err(trouble),
        }
        steps.at(have, reports).await;
    }
    Ok(())
}

/// How much the server says that it has: not less than before, and where a part may begin.
fn has(answer: &Answer, before: u64, total: u64) -> Result<u64, Trouble> {
    match answer {
        Answer::BlobHas(have)
            if (before..=total).contains(have) && (have.is_multiple_of(PART_BYTES) || *have == total) =>
        {
            Ok(*have)
        }
        _ => Err(Trouble::Away),
    }
}

async fn fetch(
    desk: &mut Desk,
    file: protocol::File,
    spool: &Spool,
    local: LocalName,
    reports: &Reports,
    stop: &dyn Fn() -> bool,
) -> Result<(), Trouble> {
    let (blob, total) = (file.blob, blob_bytes(file.bytes));
    let disk = spool.open(local).map_err(|_| Trouble::Disk)?;
    let mut incoming = Incoming::resume(file, disk, stop)?;
    let (mut asked, mut waiting, mut steps) = (incoming.offset(), VecDeque::new(), Steps::new(total));
    while incoming.offset() < total {
        while asked < total && waiting.len() < WINDOW {
            waiting.push_back((desk.post(BlobRequest::Fetch { blob, offset: asked }).await?, asked));
            asked = asked.saturating_add(part_from(asked, total));
        }
        let Some((id, offset)) = waiting.pop_front() else { return Err(Trouble::Away) };
        let others = |waiting: VecDeque<(RequestId, u64)>| waiting.into_iter().map(|(id, _)| id).collect();
        let taken = match desk.answer(id).await {
            Ok(Answer::BlobPart { bytes, part }) if bytes == total && part.len() as u64 == part_from(offset, total) => {
                incoming.take(&part).map_err(Trouble::from)
            }
            Ok(_) => Err(Trouble::Forged),
            Err(trouble) => Err(trouble),
        };
        match taken {
            Ok(()) => steps.at(incoming.offset(), reports).await,
            Err(Trouble::Away) => return Err(Trouble::Away),
            Err(trouble) => {
                desk.drain(others(waiting)).await?;
                return Err(trouble);
            }
        }
    }
    match incoming.finish() {
        Err(OpenError::Forged) => {
            // What its writer has said of it is not true of it: nothing of it is worth to be gone on with.
            spool.remove(local).map_err(|_| Trouble::Disk)?;
            Err(Trouble::Forged)
        }
        finished => Ok(finished?),
    }
}

/// How long the part is that begins there: up to where the server's next one does.
const fn part_from(offset: u64, total: u64) -> u64 {
    let (part, rest) = (PART_BYTES - offset % PART_BYTES, total.saturating_sub(offset));
    if part < rest { part } else { rest }
}
