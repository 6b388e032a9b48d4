//! One live connection: sends what the rules say, stores what comes, acknowledges what is stored.
//!
//! What is asked is in `asking`, what is sent in `sending`; what comes is stored by `effects`, and `answers` has the rest.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use endtoend_protocol::{
    AccountTag, Address, ClientFrame, DecodeError, DeviceId, EnvelopeId, KeyCounts, RefusalCode, RejectReason, Request,
    RequestId, ServerFrame, limits,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::account::{self, OneTimeIds, trust_oneself};
use super::acks::{Acks, Misnumbered};
use super::establish::Established;
use super::event::Event;
use super::later::{Again, Later};
use super::lookup::Question;
use super::outbox::SILENCE_MAX;
use super::requests::Given;
use super::rotation::{self, AgreedTime};
use super::run::Runner;
use super::say;
use crate::clock::{self, Instant};
use crate::database::{AccountState, DatabaseError, OUTBOX_MAX, Standing};
use crate::transport::{LinkError, LinkReceiver, LinkSender, Pace};

/// Frames read but not dealt with: more than both windows together, so that reading never waits for our writing.
const INBOX_MAX: usize = 256;
/// Frames dealt with in one transaction, and rows sealed in one.
pub(super) const BATCH_MAX: usize = 32;
/// Who commands an engine for a moment does not wait for what his other devices have to hear, nor for what the server has to: the engine
/// stays so long for it.
const FAREWELL_MAX: Duration = Duration::from_secs(3);
/// Decisions about people that the server is told in one go, within the requests that it takes at one time.
const UNTOLD_MAX: u32 = 2;
/// Notices that nobody has seen and that are told of in one go: whoever hears of one asks for all.
const NOTICES_TOLD: u32 = 8;
/// Pause after keys that do not verify, and after a refusal that names no time.
pub(super) const PAUSE: Duration = Duration::from_secs(30);

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum End {
    Stopped,
    Link(LinkError),
    Silent,
    /// Another way, or other circuits, were chosen.
    Rewired,
    Misnumbered(Misnumbered),
    Refused(RefusalCode),
    Storage(DatabaseError),
}

impl From<LinkError> for End {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}
impl From<DatabaseError> for End {
    fn from(error: DatabaseError) -> Self {
        Self::Storage(error)
    }
}

/// What a request was for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Attach,
    /// One-time keys.
    Publish(OneTimeIds),
    /// The set of keys with this number.
    Rotate(i64),
    Bundles(AccountTag),
    Identity(AccountTag),
    /// What the owner has asked about the account.
    Account,
    /// What was decided about an account.
    Relation(AccountTag, Standing),
    /// The account of a handle, which `Online::questions` has.
    Lookup,
}

/// A live connection and what is open on it.
pub(super) struct Online {
    pub(super) own: Address,
    pub(super) sender: LinkSender,
    pub(super) pace: Pace,
    pub(super) inbox: mpsc::Receiver<Result<ServerFrame, LinkError>>,
    pub(super) last_request: u64,
    pub(super) asked: HashMap<RequestId, (Asked, Instant)>,
    pub(super) fetching: HashSet<AccountTag>,
    /// Senders about whom the server must be asked, and those about whom it was.
    pub(super) strangers: HashSet<AccountTag>,
    pub(super) identifying: HashSet<AccountTag>,
    pub(super) acks: Acks,
    /// Since when there is the connection.
    since: Instant,
    pub(super) keys: KeyCounts,
    /// The server takes no more keys on this connection, or none could be made.
    pub(super) keys_settled: bool,
    /// When the own keys are looked at again, and by what time.
    pub(super) care_at: Instant,
    pub(super) time: AgreedTime,
    /// Handles that the server was asked about.
    pub(super) questions: HashMap<RequestId, Question>,
    pub(super) oprf_key: [u8; 32],
    /// Accounts whose list of devices has changed.
    pub(super) stale: HashSet<AccountTag>,
    /// What the server did not want to hear yet.
    pub(super) later: Later,
    /// What the owner has asked about the account goes on with this.
    pub(super) second_step: Option<Request>,
    /// `Retry`s of this connection that were dealt with, and how many of them the server knows of.
    pub(super) retries: u64,
    pub(super) retries_told: Option<u64>,
    /// Lengths of the frames in flight.
    pub(super) wire_bytes: HashMap<EnvelopeId, u64>,
    _reader: Reader,
}

/// Stops reading when it is dropped.
struct Reader(JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn read(mut receiver: LinkReceiver) -> (Reader, mpsc::Receiver<Result<ServerFrame, LinkError>>) {
    let (sender, inbox) = mpsc::channel(INBOX_MAX);
    let reader = tokio::spawn(async move {
        loop {
            let frame = receiver.recv().await;
            let over = match &frame {
                // One frame that breaks a rule: the connection goes on.
                Err(LinkError::Protocol(DecodeError::Invalid { .. })) => continue,
                Err(_) => true,
                Ok(_) => false,
            };
            if sender.send(frame).await.is_err() || over {
                return;
            }
        }
    });
    (Reader(reader), inbox)
}

impl Runner {
    /// Lives as long as the connection.
    pub(super) async fn online(&mut self, established: Established) -> End {
        let Established { sender, receiver, send_window, server_time, token, token_expires, keys, .. } = established;
        let Established { own, oprf_key, refresh_token, devices_version, pace, .. } = established;
        let Some(account) = self.account.as_mut() else { return End::Stopped };
        account.state = AccountState::Registered;
        (account.tag, account.oprf_key) = (Some(own.account), Some(oprf_key));
        let kept = self.database().write(|store| {
            store.set_account_state(AccountState::Registered)?;
            store.name_account(own, &oprf_key)?;
            trust_oneself(store, own.account)?;
            store.set_token(Some((&token, token_expires)))?;
            // Before anything else happens: the one before is good once more at most.
            if let Some(token) = &refresh_token {
                store.set_refresh_token(Some(token))?;
            }
            store.strangers()
        });
        let strangers = match kept {
            Ok(strangers) => strangers,
            Err(error) => return End::Storage(error),
        };
        let (reader, inbox) = read(receiver);
        let mut online = Online {
            own,
            sender,
            pace,
            inbox,
            last_request: 1000,
            asked: HashMap::new(),
            fetching: HashSet::new(),
            strangers,
            identifying: HashSet::new(),
            acks: Acks::default(),
            since: clock::monotonic(),
            keys,
            keys_settled: false,
            care_at: clock::monotonic(),
            time: AgreedTime::new(server_time, clock::monotonic()),
            retries: 0,
            retries_told: None,
            wire_bytes: HashMap::new(),
            questions: HashMap::new(),
            second_step: None,
            stale: HashSet::new(),
            later: Later::default(),
            oprf_key,
            _reader: reader,
        };
        let now = clock::now();
        let by = now.since(server_time).max(server_time.since(now));
        if by > limits::CLOCK_SKEW_MAX {
            self.tell(Event::ClockOff { by, ahead: now > server_time });
        }
        if let Err(error) = self.held_at_server(&online) {
            return End::Storage(error);
        }
        if let Err(error) = self.own_devices_changed(&mut online, devices_version) {
            return End::Storage(error);
        }
        if let Err(error) = self.look_up_everybody() {
            return End::Storage(error);
        }
        self.outbox.connected(usize::try_from(send_window).unwrap_or(usize::MAX), pace.answer(SILENCE_MAX));
        self.files.connected();
        let end = match self.live(&mut online).await {
            Ok(()) => End::Stopped,
            Err(end) => end,
        };
        self.files.disconnected();
        // If the disk fails the server is taken to keep what it has heard to be here.
        let _noted = self.note_acknowledged(&mut online);
        if matches!(end, End::Stopped) && !self.is_locking() {
            // The goodbye is a courtesy: what matters is stored and acknowledged.
            let _left = online.sender.close().await;
        }
        end
    }

    async fn live(&mut self, online: &mut Online) -> Result<(), End> {
        online.ask(Asked::Attach, Request::Attach).await?;
        let mut frames = Vec::new();
        // What was left for connecting counts no more.
        self.leave_at = None;
        while !self.may_leave(online)? {
            self.pump(online).await?;
            let wake = self.outbox.next_wake().into_iter().chain(online.deadline()).chain([online.care_at]);
            let wake = wake.chain(self.leave_at).chain(online.later.next()).chain(self.life_at);
            let wake = wake.chain(self.files.next_wake());
            let wake = wake.chain(self.idle.look_at(clock::monotonic())).min();
            tokio::select! {
                count = online.inbox.recv_many(&mut frames, BATCH_MAX) => if count == 0 {
                    return Err(LinkError::Closed { said: None }.into());
                },
                note = self.files.note() => self.noted(note)?,
                command = self.commands.recv(), if !self.is_stopping() => self.told(command),
                () = wait(wake) => {}
            }
            self.live_on_if_due();
            self.lock_if_idle();
            if std::mem::take(&mut self.rewired) {
                return Err(End::Rewired);
            }
            if online.deadline().is_some_and(|deadline| clock::monotonic() >= deadline) {
                return Err(End::Silent);
            }
            let end = self.deal_with(online, &mut frames)?;
            self.sweep_files()?;
            if let Some(up_to) = online.acks.take_due(!online.inbox.is_empty() && !self.is_stopping()) {
                online.sender.send(&ClientFrame::Ack { up_to }).await?;
            }
            if let Some(end) = end {
                return Err(end);
            }
        }
        Ok(())
    }

    /// Whether the engine was told to stop, and has nothing left to say to the own other devices, nor to those whose messages were
    /// seen, nor to the server, or has tried for long enough. A lock waits for nobody.
    fn may_leave(&mut self, online: &mut Online) -> Result<bool, DatabaseError> {
        if !self.is_stopping() || self.is_locking() {
            return Ok(self.is_stopping());
        }
        self.note_acknowledged(online)?;
        let now = clock::monotonic();
        let own = online.own.account;
        let looks = online.stale.contains(&own) || online.fetching.contains(&own);
        let introduced = !looks && (self.alone || !self.introduces);
        let said = self.outbox.len_for(own) == 0 && self.receipts.is_empty() && !self.owes_receipts && introduced;
        // What a program has stored that was killed before it could say so is delivered again to a device that has just come. Later it
        // is not there any more.
        let young = now.duration_since(online.since) < FAREWELL_MAX;
        let owes = online.acks.owes() || (young && self.database().read().owes_acknowledgements()?);
        let leaves = (said && !owes) || now >= *self.leave_at.get_or_insert(now + FAREWELL_MAX);
        if leaves && !young && !online.acks.owes() {
            self.database().write(|store| store.owes_none())?;
        }
        Ok(leaves)
    }

    fn note_acknowledged(&mut self, online: &mut Online) -> Result<(), DatabaseError> {
        let told = online.acks.take_told();
        if told.is_empty() {
            return Ok(());
        }
        self.database().write(|store| store.acknowledged(&told))
    }

    /// Sends everything that may be sent now.
    async fn pump(&mut self, online: &mut Online) -> Result<(), End> {
        for again in online.later.due(clock::monotonic()) {
            match again {
                Again::Decisions => self.decided = true,
                Again::LookUps => self.look_up_everybody()?,
                Again::Keys => online.keys_settled = false,
                Again::Identity(account) => {
                    online.strangers.insert(account);
                }
            }
        }
        if account::keys_are_low(online.keys) && !online.keys_settled {
            online.keys_settled = true;
            if let Some((ids, keys)) = account::more_keys(self.database(), online.keys)? {
                online.ask(Asked::Publish(ids), Request::PublishKeys(Box::new(keys))).await?;
            }
        }
        let now = clock::monotonic();
        if now >= online.care_at {
            online.care_at = now + rotation::CARE_INTERVAL;
            if let Some(now) = online.agreed_time()
                && let Some((set, keys)) = self.database().write(|store| rotation::care(store, now))?
            {
                online.ask(Asked::Rotate(set), Request::PublishKeys(Box::new(keys))).await?;
            }
            self.database().write(|store| store.forget_early(clock::now()))?;
            self.database().empty_log()?;
            self.tell_due()?;
        }
        if std::mem::take(&mut self.decided) {
            for (tag, standing) in self.database().read().untold(UNTOLD_MAX)? {
                let request = Request::SetRelation { account: tag, relation: standing.relation() };
                online.ask(Asked::Relation(tag, standing), request).await?;
            }
        }
        let given = Given { store: self.profile.database().read(), own: online.own, oprf_key: online.oprf_key };
        let next = online.second_step.take().or_else(|| self.requests.next(&given));
        if let Some(request) = next {
            online.ask(Asked::Account, request).await?;
        }
        while let Some(handle) = self.lookups.next() {
            online.look_up(handle).await?;
        }
        let unknown: Vec<AccountTag> = self.verifying.iter().map(|(tag, ..)| *tag).collect();
        for peer in unknown {
            online.fetch(peer).await?;
        }
        for account in std::mem::take(&mut online.stale) {
            online.fetch(account).await?;
        }
        for stranger in std::mem::take(&mut online.strangers) {
            online.identify(stranger).await?;
        }
        let room = OUTBOX_MAX.saturating_sub(self.outbox.len());
        if self.owes_receipts && room > 0 {
            let now = clock::now();
            let told = self.database().write(|store| say::tell_receipts(store, room, now))?;
            // The rest when something has left.
            self.owes_receipts = told.len() == room;
            for row in told {
                self.receipts.insert(row.0);
                self.queued(Some(row));
            }
        }
        self.tell_own_devices(online.own.account)?;
        self.tell_faces(online.own.account)?;
        self.tend_files()?;
        while self.send_batch(online).await? {}
        Ok(())
    }

    /// Tells what nobody has seen: among it what was asked for again and has not come in time.
    fn tell_due(&mut self) -> Result<(), DatabaseError> {
        let due = self.database().read().unseen_notices(None, clock::now(), NOTICES_TOLD)?;
        due.into_iter().for_each(|notice| self.tell(Event::Noticed(Box::new(notice))));
        Ok(())
    }

    /// The server has said which version of the own list of devices there is.
    pub(super) fn own_devices_changed(&mut self, online: &mut Online, version: u32) -> Result<(), DatabaseError> {
        let own = online.own.account;
        let store = self.database().read();
        // The first version has the first device only.
        let before = store.devices_version(own)?;
        let known = version == 1 || before == version;
        self.alone = known && store.devices(own)?.is_empty();
        if !known {
            online.stale.insert(own);
            // A device that has just been linked knows of the others.
            if before > 0 || online.own.device == DeviceId::FIRST {
                self.tell(Event::DevicesChanged);
            }
        }
        if self.alone {
            self.forget_copies(own)?;
        }
        Ok(())
    }

    /// There is no other device: what was queued for one goes.
    fn forget_copies(&mut self, own: AccountTag) -> Result<(), DatabaseError> {
        let rows = self.outbox.unsealed(own);
        if rows.is_empty() {
            return Ok(());
        }
        self.database().write(|store| -> Result<(), DatabaseError> {
            rows.iter().try_for_each(|&row| store.rejected(row, RejectReason::UnknownRecipient).map(|_| ()))
        })?;
        rows.into_iter().for_each(|row| self.outbox.settle(row, own));
        Ok(())
    }

    /// Notes which one-time keys the server has handed out.
    pub(super) fn held_at_server(&mut self, online: &Online) -> Result<(), DatabaseError> {
        let Some(now) = online.agreed_time() else { return Ok(()) };
        self.database().write(|store| rotation::note_held(store, online.keys, now))
    }
}

/// Until then; for good without a time.
pub(super) async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
