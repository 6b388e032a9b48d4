//! One live connection: sends what the rules say, stores what comes, acknowledges what is stored.
//!
//! Frames that have come in are dealt with together, in one transaction: under load one fsync serves many.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::time::Duration;

use endtoend_crypto_core::oprf::{Blinding, OprfPublic};
use endtoend_protocol::{
    AccountTag, Address, Answer, ClientFrame, DecodeError, DeviceId, Envelope, EnvelopeId, KeyCounts, MessageId,
    Refusal, RefusalCode, RejectReason, Request, RequestId, RetryReason, ServerFrame, UnixMillis, limits,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::account::{self, OneTimeIds, trust_oneself};
use super::acks::{Acks, Misnumbered};
use super::command::VerifyError;
use super::establish::{Established, is_passing};
use super::event::Event;
use super::heard::{Context, Effect, answered, store_frame};
use super::later::{Again, Later};
use super::lookup::{Question, Reason};
use super::receive::{Arrival, Learned};
use super::repair::{Queued, content_again};
use super::requests::Given;
use super::rotation::{self, AgreedTime};
use super::run::Runner;
use super::say;
use super::seal::{Opened, Sealed, seal_row};
use crate::backoff::ASKED_MAX;
use crate::clock::{self, Instant};
use crate::database::{AccountState, DatabaseError, SealedItem, Standing, Store};
use crate::handle::Handle;
use crate::transport::{LinkError, LinkReceiver, LinkSender};

/// Frames read but not dealt with: more than both windows together, so that reading never waits for our writing.
const INBOX_MAX: usize = 256;
/// Frames dealt with in one transaction, and rows sealed in one.
const BATCH_MAX: usize = 32;
/// Who commands an engine for a moment does not wait for what his other devices have to hear: the engine stays so long for it.
const FAREWELL_MAX: Duration = Duration::from_secs(3);
/// A request without an answer this long means that the connection is dead.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Decisions about people that the server is told in one go, within the requests that it takes at one time.
const UNTOLD_MAX: u32 = 2;
/// Notices that nobody has seen and that are told of in one go: whoever hears of one asks for all.
const NOTICES_TOLD: u32 = 8;
/// Pause after keys that do not verify, and after a refusal that names no time.
const PAUSE: Duration = Duration::from_secs(30);

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum End {
    Stopped,
    Link(LinkError),
    Silent,
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
    sender: LinkSender,
    inbox: mpsc::Receiver<Result<ServerFrame, LinkError>>,
    last_request: u64,
    pub(super) asked: HashMap<RequestId, (Asked, Instant)>,
    fetching: HashSet<AccountTag>,
    /// Senders about whom the server must be asked, and those about whom it was.
    strangers: HashSet<AccountTag>,
    identifying: HashSet<AccountTag>,
    acks: Acks,
    keys: KeyCounts,
    /// The server takes no more keys on this connection, or none could be made.
    keys_settled: bool,
    /// When the own keys are looked at again, and by what time.
    care_at: Instant,
    time: AgreedTime,
    /// Handles that the server was asked about.
    questions: HashMap<RequestId, Question>,
    oprf_key: [u8; 32],
    /// Accounts whose list of devices has changed.
    stale: HashSet<AccountTag>,
    /// What the server did not want to hear yet.
    later: Later,
    /// What the owner has asked about the account goes on with this.
    second_step: Option<Request>,
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
        let Established { own, oprf_key, refresh_token, devices_version, .. } = established;
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
            inbox,
            last_request: 1000,
            asked: HashMap::new(),
            fetching: HashSet::new(),
            strangers,
            identifying: HashSet::new(),
            acks: Acks::default(),
            keys,
            keys_settled: false,
            care_at: clock::monotonic(),
            time: AgreedTime::new(server_time, clock::monotonic()),
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
        if let Err(error) = self.look_up_unaddressed() {
            return End::Storage(error);
        }
        self.outbox.connected(usize::try_from(send_window).unwrap_or(usize::MAX));
        let end = match self.live(&mut online).await {
            Ok(()) => End::Stopped,
            Err(end) => end,
        };
        if matches!(end, End::Stopped) {
            // The goodbye is a courtesy: what matters is stored and acknowledged.
            let _left = online.sender.close().await;
        }
        end
    }

    async fn live(&mut self, online: &mut Online) -> Result<(), End> {
        online.ask(Asked::Attach, Request::Attach).await?;
        let mut frames = Vec::new();
        let mut leave_at = None;
        while !self.may_leave(online, &mut leave_at) {
            self.pump(online).await?;
            let wake = self.outbox.next_wake().into_iter().chain(online.deadline()).chain([online.care_at]);
            let wake = wake.chain(leave_at).chain(online.later.next()).chain(self.life_at).min();
            tokio::select! {
                count = online.inbox.recv_many(&mut frames, BATCH_MAX) => if count == 0 {
                    return Err(LinkError::Closed { said: None }.into());
                },
                command = self.receive_command(), if leave_at.is_none() => self.told(command),
                () = wait(wake) => {}
            }
            self.live_on_if_due();
            if online.deadline().is_some_and(|deadline| clock::monotonic() >= deadline) {
                return Err(End::Silent);
            }
            let end = self.deal_with(online, &mut frames)?;
            if let Some(up_to) = online.acks.take_due(!online.inbox.is_empty()) {
                online.sender.send(&ClientFrame::Ack { up_to }).await?;
            }
            if let Some(end) = end {
                return Err(end);
            }
        }
        Ok(())
    }

    /// Whether the engine was told to stop, and has nothing left to say to the own other devices, nor to
    /// those whose messages were seen, or has tried for long enough.
    fn may_leave(&self, online: &Online, leave_at: &mut Option<Instant>) -> bool {
        let now = clock::monotonic();
        self.is_stopping()
            && ((self.outbox.len_for(online.own.account) == 0 && self.receipts.is_empty() && !self.owes_receipts)
                || now >= *leave_at.get_or_insert_with(|| now + FAREWELL_MAX))
    }

    /// Sends everything that may be sent now.
    async fn pump(&mut self, online: &mut Online) -> Result<(), End> {
        for again in online.later.due(clock::monotonic()) {
            match again {
                Again::Decisions => self.decided = true,
                Again::LookUps => self.look_up_unaddressed()?,
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
        if std::mem::take(&mut self.owes_receipts) {
            let (alone, now) = (self.alone, clock::now());
            let told = self.database().write(|store| say::tell_receipts(store, alone, now))?;
            for row in told {
                self.receipts.insert(row.0);
                self.queued(Some(row));
            }
        }
        while self.send_batch(online).await? {}
        Ok(())
    }

    /// Tells what nobody has seen: among it what was asked for again and has not come in time.
    fn tell_due(&mut self) -> Result<(), DatabaseError> {
        let due = self.database().read().unseen_notices(None, clock::now(), NOTICES_TOLD)?;
        due.into_iter().for_each(|notice| self.tell(Event::Noticed(Box::new(notice))));
        Ok(())
    }

    /// Seals and sends some rows; says whether there may be more.
    async fn send_batch(&mut self, online: &mut Online) -> Result<bool, End> {
        let now = clock::monotonic();
        let mut rows = Vec::new();
        while rows.len() < BATCH_MAX
            && let Some((seq, to)) = self.outbox.next(now)
        {
            self.outbox.sent(seq, to, now);
            rows.push((seq, to));
        }
        let (own, wall) = (online.own, clock::now());
        let sealed: Vec<Sealed> = self.database().write(|store| {
            rows.iter().map(|&(seq, to)| seal_row(store, own, seq, to, wall)).collect::<Result<_, DatabaseError>>()
        })?;
        let more = rows.len() == BATCH_MAX;
        for ((seq, to), sealed) in rows.into_iter().zip(sealed) {
            match sealed {
                Sealed::Ready { envelope, message, others } => {
                    self.outbox.sealed(seq, to, envelope.id);
                    for (other, id) in others {
                        self.outbox.push(other, to, Some(id));
                    }
                    self.send_envelope(online, envelope, message).await?;
                }
                Sealed::NoKeys => {
                    self.outbox.reopened(seq, to);
                    self.outbox.retry(seq, to, now + PAUSE);
                    online.fetch(to).await?;
                }
                Sealed::StaleKeys => {
                    self.outbox.reopened(seq, to);
                    self.outbox.retry(seq, to, now + PAUSE);
                    online.identify(to).await?;
                }
                Sealed::Settled => self.settle(seq, to),
            }
        }
        Ok(more)
    }

    async fn send_envelope(&self, online: &mut Online, envelope: Envelope, message: MessageId) -> Result<(), End> {
        let id = envelope.id;
        let wire_bytes = online.sender.send(&ClientFrame::Send(envelope)).await? as u64;
        online.wire_bytes.insert(id, wire_bytes);
        self.tell(Event::Sent { id: message, wire_bytes });
        Ok(())
    }

    /// Stores what the frames say, then makes it known. Gives what ended the connection, if something did.
    fn deal_with(
        &mut self,
        online: &mut Online,
        frames: &mut Vec<Result<ServerFrame, LinkError>>,
    ) -> Result<Option<End>, End> {
        if frames.is_empty() {
            return Ok(None);
        }
        let (now, mut end) = (clock::now(), None);
        let mut good = Vec::with_capacity(frames.len());
        for frame in frames.drain(..) {
            let numbered = match &frame {
                Ok(ServerFrame::Deliver(deliver)) => online.acks.delivered(deliver.delivery),
                Ok(_) | Err(_) => Ok(()),
            };
            match (frame, numbered) {
                (Ok(frame), Ok(())) => good.push(frame),
                (Ok(_), Err(misnumbered)) => end = Some(End::Misnumbered(misnumbered)),
                (Err(error), _) => end = Some(End::Link(error)),
            }
            if end.is_some() {
                break;
            }
        }
        frames.clear();
        let rows: HashMap<EnvelopeId, (AccountTag, i64)> =
            good.iter().filter_map(answered).filter_map(|id| Some((id, self.outbox.find(id)?))).collect();
        let unsealed: HashMap<AccountTag, Vec<i64>> =
            online.fetching.iter().map(|peer| (*peer, self.outbox.unsealed(*peer))).collect();
        let context = Context { online, rows: &rows, unsealed: &unsealed, now };
        // Lives that begin with these frames begin now.
        let life = self.life_at.map(|_| self.life.now(now, clock::monotonic()));
        let effects: Vec<Effect> = self.database().write(|store| {
            life.map_or(Ok(()), |life| store.set_life(life))?;
            good.into_iter().map(|frame| store_frame(store, &context, frame)).collect::<Result<_, _>>()
        })?;
        for effect in effects {
            self.take_effect(online, effect)?;
        }
        self.tell_notices()?;
        if self.life_at.is_some() {
            self.live_on()?;
        }
        Ok(end)
    }

    fn take_effect(&mut self, online: &mut Online, effect: Effect) -> Result<(), End> {
        match effect {
            Effect::Arrived { delivery, id, arrival } => {
                online.acks.stored(delivery);
                if let Arrival::Message { new_session: true, .. } | Arrival::Unseen { new_session: true, .. } = arrival
                {
                    online.keys.one_time = online.keys.one_time.saturating_sub(1);
                    online.keys.one_time_kem = online.keys.one_time_kem.saturating_sub(1);
                    online.keys_settled &= !account::keys_are_low(online.keys);
                }
                if let Arrival::Held { from } = arrival {
                    online.strangers.insert(from);
                }
                self.announce(id, arrival);
            }
            Effect::Accepted { row: (to, seq), id, settled, at } => {
                self.settle(seq, to);
                online.wire_bytes.remove(&id);
                if let Some(id) = settled {
                    self.tell(Event::Accepted { id, at });
                }
            }
            Effect::Rejected { row: (to, seq), id, settled, reason } => {
                self.settle(seq, to);
                online.wire_bytes.remove(&id);
                if let Some(id) = settled {
                    self.tell(Event::Rejected { id, reason });
                }
            }
            Effect::Nobody { request, peer, messages } => {
                self.alone |= peer == online.own.account;
                online.asked.remove(&request);
                online.fetching.remove(&peer);
                self.outbox.release(peer);
                for (seq, message) in messages {
                    self.outbox.settle(seq, peer);
                    if let Some(id) = message {
                        self.tell(Event::Rejected { id, reason: RejectReason::UnknownRecipient });
                    }
                }
                self.answer_verifying(peer, Some(&|_| VerifyError::Refused(RefusalCode::UnknownAccount)));
            }
            Effect::Sessions { request, peer, opened } => {
                self.alone &= peer != online.own.account;
                online.asked.remove(&request);
                online.fetching.remove(&peer);
                match opened {
                    Opened::Ready => self.outbox.release(peer),
                    Opened::IdentityChanged => self.identity_changed(peer),
                    Opened::BadKeys => {
                        self.outbox.hold(peer, clock::monotonic() + PAUSE);
                        let handle = self.name(peer);
                        self.tell(Event::BadKeys { handle });
                        self.answer_verifying(peer, Some(&VerifyError::BadKeys));
                        return Ok(());
                    }
                }
                self.answer_verifying(peer, None);
            }
            Effect::Learned { request, peer, learned } => {
                online.asked.remove(&request);
                online.identifying.remove(&peer);
                match learned {
                    Learned::Known(arrivals) => {
                        self.outbox.release(peer);
                        arrivals.into_iter().for_each(|(envelope, arrival)| self.announce(envelope.id, arrival));
                    }
                    Learned::IdentityChanged => self.identity_changed(peer),
                    Learned::BadKeys => {
                        self.outbox.hold(peer, clock::monotonic() + PAUSE);
                        let handle = self.name(peer);
                        self.tell(Event::BadKeys { handle });
                    }
                }
            }
            Effect::Other(frame) => return self.answered(online, frame),
        }
        Ok(())
    }

    /// A frame that changed nothing in the database.
    fn answered(&mut self, online: &mut Online, frame: ServerFrame) -> Result<(), End> {
        if let ServerFrame::Answer { id, .. } = &frame
            && matches!(online.asked.get(id), Some((Asked::Account, _)))
            && let ServerFrame::Answer { id, answer } = frame
        {
            online.asked.remove(&id);
            // The second step is asked at the next turn.
            let given = Given { store: self.profile.database().read(), own: online.own, oprf_key: online.oprf_key };
            online.second_step = self.requests.answered(answer, &given);
            return Ok(());
        }
        match frame {
            ServerFrame::Retry { id, after_ms, reason } => {
                if let Some((to, seq)) = self.outbox.find(id)
                    && reason == RetryReason::Devices
                {
                    self.database().write(|store| devices_changed(store, to, seq))?;
                    online.stale.insert(to);
                    self.outbox.reopened(seq, to);
                    self.outbox.retry(seq, to, clock::monotonic());
                } else if let Some((to, seq)) = self.outbox.find(id) {
                    self.outbox.retry(seq, to, clock::monotonic() + Duration::from_millis(after_ms).min(ASKED_MAX));
                    self.tell(Event::Delayed { id, reason });
                }
                Ok(())
            }
            ServerFrame::Answer { id, answer } => {
                let asked = online.asked.remove(&id).map(|(asked, _)| asked);
                let question = online.questions.remove(&id);
                match (asked, answer) {
                    (Some(Asked::Attach), Answer::Attached) => self.arrived(),
                    (Some(Asked::Relation(tag, standing)), Answer::Done) => {
                        self.database().write(|store| store.told(tag, standing))?;
                        self.tell(Event::Decided { tag });
                        self.decided |= !self.database().read().untold(1)?.is_empty();
                    }
                    (Some(Asked::Lookup), Answer::Evaluated { evaluation }) => {
                        let Some(Question { handle, blinding }) = question else { return Ok(()) };
                        // An answer that does not verify is of a server that cheats.
                        let tag = OprfPublic::from_bytes(&online.oprf_key)
                            .ok()
                            .and_then(|public| blinding.finish(&evaluation, &public).ok())
                            .ok_or(LinkError::Protocol(DecodeError::Malformed))?;
                        self.found(&handle, AccountTag::new(tag))?;
                    }
                    (Some(Asked::Publish(ids)), Answer::KeysPublished(keys)) => {
                        online.keys = keys;
                        online.keys_settled = account::keys_are_low(keys);
                        self.database().write(|store| ids.published(store))?;
                        self.held_at_server(online)?;
                    }
                    // One-time keys may be on their way beside it, so these numbers do not say which were handed out.
                    (Some(Asked::Rotate(set)), Answer::KeysPublished(keys)) => {
                        online.keys = keys;
                        // Without a time that can be noted the set is published once more.
                        if let Some(now) = online.agreed_time() {
                            self.database().write(|store| store.key_set_published(set, now))?;
                        }
                    }
                    _ => return Err(LinkError::Protocol(DecodeError::Malformed).into()),
                }
                Ok(())
            }
            ServerFrame::Refused { id, refusal } => {
                let Some((asked, _)) = id.and_then(|id| online.asked.remove(&id)) else { return Ok(()) };
                let question = id.and_then(|id| online.questions.remove(&id));
                let later = clock::monotonic() + pause(refusal);
                match asked {
                    Asked::Lookup => {
                        let Some(Question { handle, .. }) = question else { return Ok(()) };
                        for reason in self.lookups.answered(&handle) {
                            self.not_found(handle.clone(), reason, Some(refusal.code));
                        }
                        if is_passing(refusal.code) {
                            online.later.put(Again::LookUps, later);
                        }
                        Ok(())
                    }
                    Asked::Attach => Err(End::Refused(refusal.code)),
                    Asked::Account => {
                        self.requests.refused(refusal.code);
                        Ok(())
                    }
                    // Heard of on the next connection, if not before.
                    Asked::Relation(..) => {
                        if refusal.retry_after_ms.is_some() {
                            online.later.put(Again::Decisions, later);
                        }
                        Ok(())
                    }
                    Asked::Publish(_) => {
                        if refusal.retry_after_ms.is_some() {
                            online.later.put(Again::Keys, later);
                        }
                        Ok(())
                    }
                    // A set that was refused is published again when it is looked at again.
                    Asked::Rotate(_) => Ok(()),
                    // What was held stays held, and is asked about on the next connection, if not before.
                    Asked::Identity(peer) => {
                        online.identifying.remove(&peer);
                        if is_passing(refusal.code) {
                            online.later.put(Again::Identity(peer), later);
                        }
                        Ok(())
                    }
                    Asked::Bundles(peer) => {
                        online.fetching.remove(&peer);
                        self.outbox.hold(peer, later);
                        let code = refusal.code;
                        self.answer_verifying(peer, Some(&|_| VerifyError::Refused(code)));
                        Ok(())
                    }
                }
            }
            ServerFrame::Accepted { .. }
            | ServerFrame::Rejected { .. }
            | ServerFrame::Deliver(_)
            | ServerFrame::Closing { .. } => Ok(()),
            ServerFrame::DevicesChanged { version } => Ok(self.own_devices_changed(online, version)?),
        }
    }

    /// The server has said which version of the own list of devices there is.
    fn own_devices_changed(&mut self, online: &mut Online, version: u32) -> Result<(), DatabaseError> {
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
    fn held_at_server(&mut self, online: &Online) -> Result<(), DatabaseError> {
        let Some(now) = online.agreed_time() else { return Ok(()) };
        self.database().write(|store| rotation::note_held(store, online.keys, now))
    }

    /// Tells what an envelope turned out to be.
    pub(super) fn announce(&mut self, id: EnvelopeId, arrival: Arrival) {
        match arrival {
            Arrival::Message { message, owes, .. } => {
                self.owes_receipts |= owes;
                let (peer, id) = (message.peer, message.id);
                // Whoever was told to wait until this person has accepted him need not any more.
                self.outbox.release(peer);
                let from = message.handle.or_else(|| self.name(peer));
                let claim = self.database().read().claim(peer).ok().flatten();
                let Some(claimed) = claim.filter(|_| from.is_none()) else {
                    return self.tell(Event::Received { from, id });
                };
                // Announced when the server has said whether the handle is the sender's.
                let reason = Reason::Claim { tag: peer, messages: vec![id] };
                if let Err(reason) = self.lookups.want(claimed.clone(), reason) {
                    self.not_found(claimed, reason, None);
                }
            }
            Arrival::Repeat | Arrival::Held { .. } => {}
            Arrival::Unseen { queued, news, .. } => {
                self.queued(queued);
                news.into_iter().for_each(|news| self.tell_news(news));
            }
            Arrival::Unreadable { reason, asked } => {
                self.queued(asked);
                self.tell(Event::Unreadable { id, reason, asked_again: asked.is_some() });
            }
        }
    }

    pub(super) fn queued(&mut self, row: Option<Queued>) {
        if let Some((seq, to)) = row {
            self.outbox.push(seq, to, None);
        }
    }

    /// A row is done with.
    fn settle(&mut self, seq: i64, to: AccountTag) {
        self.outbox.settle(seq, to);
        self.receipts.remove(&seq);
        if self.outbox.len_for(to) == 0 {
            self.tell(Event::AllSent { to });
        }
    }

    fn identity_changed(&mut self, tag: AccountTag) {
        self.outbox.block(tag);
        let handle = self.name(tag);
        self.tell(Event::IdentityChanged { tag, handle });
    }

    pub(super) fn name(&mut self, tag: AccountTag) -> Option<Handle> {
        self.database().read().contact(tag).ok().flatten().and_then(|contact| contact.handle)
    }
}

/// A row was sealed for a list of devices that has changed: it is sealed anew, for all that there are now.
fn devices_changed(store: &Store<'_>, to: AccountTag, seq: i64) -> Result<(), DatabaseError> {
    if let Some(SealedItem::Sealed { message, .. }) = store.outbox_item(seq)?
        && let Some(content) = content_again(store, to, message)?
    {
        store.reopen(seq, message, to, &content)?;
    }
    store.forget_devices(to)
}

fn pause(refusal: Refusal) -> Duration {
    refusal.retry_after_ms.map_or(PAUSE, |ms| Duration::from_millis(ms.get()).min(ASKED_MAX))
}

/// Until then; for good without a time.
pub(super) async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

impl Online {
    async fn ask(&mut self, asked: Asked, request: Request) -> Result<RequestId, LinkError> {
        self.last_request = self.last_request.saturating_add(1);
        let id = RequestId(NonZeroU64::MIN.saturating_add(self.last_request));
        self.asked.insert(id, (asked, clock::monotonic() + ANSWER_DEADLINE));
        self.sender.send(&ClientFrame::Request { id, request }).await?;
        Ok(id)
    }

    /// Asks for the account of a handle, which the server does not learn.
    async fn look_up(&mut self, handle: Handle) -> Result<(), LinkError> {
        let Ok((blinding, blinded)) = Blinding::start(&mut rand::rng(), &handle) else { return Ok(()) };
        let id = self.ask(Asked::Lookup, Request::Evaluate { blinded }).await?;
        self.questions.insert(id, Question { handle, blinding });
        Ok(())
    }

    /// The time by which keys are judged; `None` while it is not certain.
    fn agreed_time(&self) -> Option<UnixMillis> {
        self.time.check(clock::now(), clock::monotonic())
    }

    /// Asks for the keys of an account, unless that is under way.
    async fn fetch(&mut self, account: AccountTag) -> Result<(), LinkError> {
        if self.fetching.insert(account) {
            self.ask(Asked::Bundles(account), Request::FetchBundles { account }).await?;
        }
        Ok(())
    }

    /// Asks who an account is, unless that is under way.
    async fn identify(&mut self, account: AccountTag) -> Result<(), LinkError> {
        if self.identifying.insert(account) {
            self.ask(Asked::Identity(account), Request::FetchIdentity { account }).await?;
        }
        Ok(())
    }

    /// When the oldest request has waited too long.
    fn deadline(&self) -> Option<Instant> {
        self.asked.values().map(|(_, deadline)| *deadline).min()
    }
}
