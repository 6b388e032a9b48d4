//! The outside of the engine: a thread to start, commands to send, events to hear.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use endtoend_protocol::{Arrangement, Lifetime, MessageId, Text};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use zeroize::Zeroizing;

use super::command::{
    AccountError, AddError, ArrangeError, AttachError, Attaching, Command, DecideError, FaceError, FileError,
    NicknameError, Password, Registration, RemoveError, Removing, Reply, SendError, Status, Stopped, UnlockError,
    Verification, VerifyError,
};
use super::courier::Way;
use super::event::{ConnectionState, Event, OfflineReason};
use super::lock::{Outside, keep};
use super::requests::{AccountAnswer, AccountRequest, RequestError};
use super::run::Runner;
use super::say::Deed;
use crate::backup::{BackupError, Summary};
use crate::card::Card;
use crate::contact_link::ContactLink;
use crate::database::{
    Contact, Conversation, DatabaseError, Draft, Notice, Page, PeerDevice, Pending, Question, Settings, Standing,
    StoredMessage,
};
use crate::face::Face;
use crate::handle::Handle;
use crate::nickname::Nickname;
use crate::profile::Profile;
use crate::transport::{NetworkSettings, NetworkStatus};

/// Commands that may wait for the engine. Whoever sends another waits.
const COMMANDS_MAX: usize = 64;
/// Events kept for a listener that is behind; the oldest go.
const EVENTS_MAX: usize = 1024;

/// How an engine is to work.
pub struct Options {
    /// Opens the account when there is no valid token. The one that opened the profile.
    pub password: Zeroizing<String>,
    /// Whether to connect as soon as there is an account, and again whenever the connection ends.
    pub online: bool,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
}

/// A running engine. Dropping it asks the engine to stop; [`Engine::stop`] also waits for that.
#[derive(Debug)]
pub struct Engine {
    handle: EngineHandle,
    events: broadcast::Sender<Event>,
    connection: watch::Receiver<ConnectionState>,
    network: watch::Receiver<NetworkStatus>,
    thread: Option<JoinHandle<()>>,
}

/// Sends commands to an engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    commands: mpsc::Sender<Command>,
}

/// The engine's thread did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system gave no thread or no event queue.
    #[error("the engine's thread did not start")]
    Thread(#[from] std::io::Error),
    /// The profile could not be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Engine {
    /// Starts an engine on a profile. It owns the profile until it stops.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(profile: Profile, options: Options) -> Result<Self, StartError> {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let first = ConnectionState::Offline { retry_at: None, why: OfflineReason::Idle };
        let (state, connection) = watch::channel(first);
        let (told_network, network) = watch::channel(NetworkStatus::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outside = Outside { commands: inbox, events: events.clone(), state, network: told_network };
        let runner = Runner::new(profile, options, outside).map_err(|(error, _)| error)?;
        let thread = std::thread::Builder::new()
            .name("endtoend-engine".to_owned())
            .spawn(move || runtime.block_on(keep(runner)))?;
        Ok(Self { handle: EngineHandle { commands }, events, connection, network, thread: Some(thread) })
    }

    /// For commands.
    pub fn handle(&self) -> EngineHandle {
        self.handle.clone()
    }

    /// News from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The connection's state, now and whenever it changes.
    pub fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.connection.clone()
    }

    /// The way to the network and how it stands with Tor, now and whenever that changes.
    pub fn network(&self) -> watch::Receiver<NetworkStatus> {
        self.network.clone()
    }

    /// Ends the engine. When this returns the connection and the profile are closed.
    pub async fn stop(mut self) {
        let asked = self.handle.commands.send(Command::Shutdown).await;
        if let Some(thread) = self.thread.take() {
            // An engine that is not there any more has nothing left to do.
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            drop((asked, joined));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A full inbox is no loss: the engine also stops when nobody can send to it any more.
        let _asked = self.handle.commands.try_send(Command::Shutdown);
    }
}

impl EngineHandle {
    async fn ask<T, E>(&self, stopped: E, command: impl FnOnce(Reply<Result<T, E>>) -> Command) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(command(reply)).await.is_err() {
            return Err(stopped);
        }
        answer.await.unwrap_or(Err(stopped))
    }

    /// See [`Command::Register`].
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn register(&self, registration: Registration) -> Result<(), AccountError> {
        self.ask(AccountError::Stopped, |reply| Command::Register(Box::new(registration), reply)).await
    }

    /// See [`Command::Login`].
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn login(&self) -> Result<(), AccountError> {
        self.ask(AccountError::Stopped, Command::Login).await
    }

    /// See [`Command::Send`].
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, to: Handle, text: Text) -> Result<MessageId, SendError> {
        self.ask(SendError::Stopped, |reply| Command::Send(to, text, None, reply)).await
    }

    /// See [`Command::Send`].
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn answer(&self, to: Handle, text: Text, message: MessageId) -> Result<MessageId, SendError> {
        self.ask(SendError::Stopped, |reply| Command::Send(to, text, Some(message), reply)).await
    }

    /// See [`Command::Attach`].
    ///
    /// # Errors
    /// See [`AttachError`].
    pub async fn attach(&self, attaching: Attaching) -> Result<MessageId, AttachError> {
        self.ask(AttachError::Stopped, |reply| Command::Attach(Box::new(attaching), reply)).await
    }

    /// See [`Command::FetchFile`].
    ///
    /// # Errors
    /// See [`FileError`].
    pub async fn fetch_file(&self, with: Handle, message: MessageId) -> Result<(), FileError> {
        self.ask(FileError::Stopped, |reply| Command::FetchFile(with, message, reply)).await
    }

    /// See [`Command::CancelFile`].
    ///
    /// # Errors
    /// See [`FileError`].
    pub async fn cancel_file(&self, with: Handle, message: MessageId, way: Way) -> Result<(), FileError> {
        self.ask(FileError::Stopped, |reply| Command::CancelFile(with, message, way, reply)).await
    }

    /// See [`Command::SaveFile`].
    ///
    /// # Errors
    /// See [`FileError`].
    pub async fn save_file(
        &self,
        with: Handle,
        message: MessageId,
        to: PathBuf,
        replace: bool,
    ) -> Result<(), FileError> {
        self.ask(FileError::Stopped, |reply| Command::SaveFile(with, message, to, replace, reply)).await
    }

    /// See [`Command::ReadFile`].
    ///
    /// # Errors
    /// See [`FileError`].
    pub async fn read_file(&self, with: Handle, message: MessageId) -> Result<Zeroizing<Vec<u8>>, FileError> {
        self.ask(FileError::Stopped, |reply| Command::ReadFile(with, message, reply)).await
    }

    /// See [`Command::Act`].
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn act(&self, with: Handle, deed: Deed) -> Result<(), SendError> {
        self.ask(SendError::Stopped, |reply| Command::Act(with, deed, reply)).await
    }

    /// See [`Command::Waiting`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn waiting_for(&self, somebody: Handle) -> Result<usize, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::Waiting(somebody, reply)).await
    }

    /// See [`Command::Timer`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn timer(&self, with: Handle) -> Result<Option<Lifetime>, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::Timer(with, reply)).await
    }

    /// See [`Command::Settings`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn settings(&self) -> Result<Settings, DatabaseError> {
        self.ask(DatabaseError::Stopped, Command::Settings).await
    }

    /// See [`Command::SetSettings`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn set_settings(&self, settings: Settings) -> Result<(), DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::SetSettings(settings, reply)).await
    }

    /// See [`Command::Find`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn find(&self, id: MessageId) -> Result<Option<StoredMessage>, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::Find(id, reply)).await
    }

    /// See [`Command::Message`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn message(&self, with: Handle, id: MessageId) -> Result<Option<StoredMessage>, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::Message(with, id, reply)).await
    }

    /// See [`Command::History`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn history(&self, with: Handle, limit: u32) -> Result<Vec<StoredMessage>, DatabaseError> {
        self.history_page(with, Page::Last, limit).await
    }

    /// See [`Command::History`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn history_page(
        &self,
        with: Handle,
        page: Page,
        limit: u32,
    ) -> Result<Vec<StoredMessage>, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::History(with, page, limit, reply)).await
    }

    /// See [`Command::Pending`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn pending(&self, limit: u32) -> Result<Vec<Pending>, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::Pending(limit, reply)).await
    }

    /// See [`Command::Retry`].
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn retry(&self, to: Handle, message: MessageId) -> Result<(), SendError> {
        self.ask(SendError::Stopped, |reply| Command::Retry(to, message, reply)).await
    }

    /// See [`Command::Search`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn search(
        &self,
        question: Question,
        with: Option<Handle>,
        limit: u32,
    ) -> Result<Vec<StoredMessage>, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::Search(Box::new(question), with, limit, reply)).await
    }

    /// See [`Command::Unread`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn unread(&self, from: Option<Handle>, limit: u32) -> Result<Vec<StoredMessage>, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::Unread(from, limit, reply)).await
    }

    /// See [`Command::MarkShown`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn mark_shown(&self, seqs: Vec<i64>) -> Result<(), DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::MarkShown(seqs, reply)).await
    }

    /// See [`Command::UnseenNotices`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn unseen_notices(&self, of: Option<Handle>, limit: u32) -> Result<Vec<Notice>, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::UnseenNotices(of, limit, reply)).await
    }

    /// See [`Command::Notices`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn notices(&self, with: Handle, from: i64) -> Result<Vec<Notice>, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::Notices(with, from, reply)).await
    }

    /// See [`Command::MarkNoticesShown`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn mark_notices_shown(&self, seqs: Vec<i64>) -> Result<(), DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::MarkNoticesShown(seqs, reply)).await
    }

    /// See [`Command::Account`].
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn account(&self, request: AccountRequest) -> Result<AccountAnswer, RequestError> {
        self.ask(RequestError::Stopped, |reply| Command::Account(request, reply)).await
    }

    /// See [`Command::Conversations`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn conversations(&self, limit: u32) -> Result<Vec<Conversation>, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::Conversations(limit, reply)).await
    }

    /// See [`Command::Conversation`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn conversation(&self, with: Handle) -> Result<Option<Conversation>, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::Conversation(with, reply)).await
    }

    /// See [`Command::Contacts`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn contacts(&self) -> Result<Vec<Contact>, DatabaseError> {
        self.ask(DatabaseError::Stopped, Command::Contacts).await
    }

    /// See [`Command::Decide`].
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn decide(&self, about: Handle, standing: Standing) -> Result<(), DecideError> {
        self.ask(DecideError::Stopped, |reply| Command::Decide(about, standing, reply)).await
    }

    /// See [`Command::Verify`].
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify(&self, with: Handle) -> Result<Verification, VerifyError> {
        self.ask(VerifyError::Stopped, |reply| Command::Verify(with, reply)).await
    }

    /// See [`Command::MarkVerified`].
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn mark_verified(&self, with: Handle, compared: Option<[u8; 33]>) -> Result<Verification, VerifyError> {
        self.ask(VerifyError::Stopped, |reply| Command::MarkVerified(with, compared, reply)).await
    }

    /// See [`Command::Nickname`].
    ///
    /// # Errors
    /// See [`NicknameError`].
    pub async fn set_nickname(&self, of: Handle, nickname: Option<Nickname>) -> Result<(), NicknameError> {
        self.ask(NicknameError::Stopped, |reply| Command::Nickname(of, nickname, reply)).await
    }

    /// See [`Command::Arrange`].
    ///
    /// # Errors
    /// See [`ArrangeError`].
    pub async fn arrange(&self, with: Handle, arrangement: Arrangement) -> Result<(), ArrangeError> {
        self.ask(ArrangeError::Stopped, |reply| Command::Arrange(with, arrangement, reply)).await
    }

    /// See [`Command::Remove`].
    ///
    /// # Errors
    /// See [`RemoveError`].
    pub async fn remove(&self, removing: Removing) -> Result<u64, RemoveError> {
        self.ask(RemoveError::Stopped, |reply| Command::Remove(Box::new(removing), reply)).await
    }

    /// See [`Command::DevicesOf`].
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn devices_of(&self, of: Handle) -> Result<Vec<PeerDevice>, VerifyError> {
        self.ask(VerifyError::Stopped, |reply| Command::DevicesOf(of, reply)).await
    }

    /// See [`Command::SetDraft`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn set_draft(&self, with: Handle, draft: Option<Draft>) -> Result<(), DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::SetDraft(with, draft, reply)).await
    }

    /// See [`Command::Draft`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn draft(&self, with: Handle) -> Result<Option<Draft>, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::Draft(with, reply)).await
    }

    /// See [`Command::Drafts`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn drafts(&self, limit: u32) -> Result<Vec<(Handle, Draft)>, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::Drafts(limit, reply)).await
    }

    /// See [`Command::SetFace`].
    ///
    /// # Errors
    /// See [`FaceError`].
    pub async fn set_face(&self, face: Face) -> Result<(), FaceError> {
        self.ask(FaceError::Stopped, |reply| Command::SetFace(Box::new(face), reply)).await
    }

    /// See [`Command::Face`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn face(&self, of: Option<Handle>) -> Result<Face, DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::Face(of, reply)).await
    }

    /// See [`Command::SendCard`].
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_card(&self, to: Handle, card: Card, answers: Option<MessageId>) -> Result<MessageId, SendError> {
        self.ask(SendError::Stopped, |reply| Command::SendCard(to, Box::new(card), answers, reply)).await
    }

    /// See [`Command::LinkOf`].
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn link_of(&self, of: Handle) -> Result<ContactLink, VerifyError> {
        self.ask(VerifyError::Stopped, |reply| Command::LinkOf(of, reply)).await
    }

    /// See [`Command::OwnLink`].
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn own_link(&self) -> Result<ContactLink, VerifyError> {
        self.ask(VerifyError::Stopped, Command::OwnLink).await
    }

    /// See [`Command::AddContact`].
    ///
    /// # Errors
    /// See [`AddError`].
    pub async fn add_contact(&self, link: ContactLink, compared: bool) -> Result<Verification, AddError> {
        let link = Box::new(link);
        self.ask(AddError::Stopped, |reply| Command::AddContact { link, compared, reply }).await
    }

    /// See [`Command::AcceptIdentity`].
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn accept_identity(&self, with: Handle) -> Result<Verification, VerifyError> {
        self.ask(VerifyError::Stopped, |reply| Command::AcceptIdentity(with, reply)).await
    }

    /// See [`Command::Lock`].
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn lock(&self) -> Result<(), Stopped> {
        self.ask(Stopped, Command::Lock).await
    }

    /// See [`Command::Unlock`].
    ///
    /// # Errors
    /// See [`UnlockError`]. The profile stays locked then.
    pub async fn unlock(&self, password: Zeroizing<String>) -> Result<(), UnlockError> {
        self.ask(UnlockError::Stopped, |reply| Command::Unlock(Password(password), reply)).await
    }

    /// See [`Command::Active`].
    pub async fn active(&self) {
        // An engine that has stopped has nothing left to lock.
        let _sent = self.commands.send(Command::Active).await;
    }

    /// See [`Command::LockAfter`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn lock_after(&self) -> Result<Option<Duration>, DatabaseError> {
        self.ask(DatabaseError::Stopped, Command::LockAfter).await
    }

    /// See [`Command::SetLockAfter`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn set_lock_after(&self, after: Option<Duration>) -> Result<(), DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::SetLockAfter(after, reply)).await
    }

    /// See [`Command::Network`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn network(&self) -> Result<NetworkSettings, DatabaseError> {
        self.ask(DatabaseError::Stopped, Command::Network).await
    }

    /// See [`Command::SetNetwork`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn set_network(&self, settings: NetworkSettings) -> Result<(), DatabaseError> {
        self.ask(DatabaseError::Stopped, |reply| Command::SetNetwork(Box::new(settings), reply)).await
    }

    /// See [`Command::NewCircuits`].
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn new_circuits(&self) -> Result<(), Stopped> {
        self.ask(Stopped, Command::NewCircuits).await
    }

    /// See [`Command::Backup`].
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn backup(&self, path: PathBuf, passphrase: Zeroizing<String>) -> Result<Summary, BackupError> {
        self.ask(BackupError::GivenUp, |reply| Command::Backup(path, Password(passphrase), reply)).await
    }

    /// See [`Command::Export`].
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn export(&self, path: PathBuf) -> Result<Summary, BackupError> {
        self.ask(BackupError::GivenUp, |reply| Command::Export(path, reply)).await
    }

    /// See [`Command::ClearFiles`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn clear_files(&self) -> Result<u64, DatabaseError> {
        self.ask(DatabaseError::Stopped, Command::ClearFiles).await
    }

    /// See [`Command::Status`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn status(&self) -> Result<Status, DatabaseError> {
        self.ask(DatabaseError::Stopped, Command::Status).await
    }
}
