//! The engine's own loop: what it knows, what it plans, and how it answers commands.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use super::account;
use super::command::{AccountError, Command, DecideError, Registration, Reply, Status, Verification, VerifyError};
use super::establish::{EstablishError, Login, Method, establish, is_passing};
use super::event::{ConnectionState, Event, OfflineReason};
use super::handle::Options;
use super::lookup::{Lookups, Reason};
use super::online::{End, wait};
use super::outbox::Outbox;
use super::repair::{Queued, copy_for_own_devices, decision_for_own_devices};
use super::requests::{AccountRequest, Asker, RequestError, Requests};
use crate::backoff::Backoff;
use crate::clock::{self, Instant};
use crate::database::{Account, AccountState, Contact, Database, DatabaseError, Notice, Standing};
use crate::handle::Handle;
use crate::life::LifeClock;
use crate::profile::Profile;
use crate::transport::{LinkError, Said};
use endtoend_crypto_core::refresh::RefreshToken;
use endtoend_protocol::{AccountTag, ClosingReason, InviteCode, NewDevice, RefusalCode, UnixMillis};
use rand::RngExt as _;
use tokio::sync::{broadcast, mpsc, watch};

/// Questions about somebody's identity that may wait for the server.
const VERIFYING_MAX: usize = 64;
/// Handles of people who wait to be written to, looked up on a connection; the rest on the next.
const UNADDRESSED_MAX: u32 = 16;
/// Claimed handles that are looked up from the start; the rest of the lookups is for commands.
const CLAIMS_MAX: u32 = 32;
/// A token that ends sooner is not worth trying: clocks differ.
const TOKEN_MARGIN: Duration = Duration::from_secs(30);

/// When to connect.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// When told to.
    Idle,
    /// Then.
    At(Instant),
    /// Now.
    Now,
}

/// How to authenticate, beside the tokens that may be kept.
pub(super) enum Means {
    /// The account exists.
    Account,
    /// The account exists and the access token was refused.
    Refresh,
    /// The account exists and the password has to prove it.
    Password,
    /// The account is to be created. `again`: an earlier attempt may have created it already.
    Register { device: Box<NewDevice>, invite: Option<InviteCode>, again: bool },
    /// The handle is taken: by our own earlier attempt if the password opens it.
    Claim,
}

/// Somebody whose identity the server has to be asked for, and who wants to know it.
pub(super) type Verifying = (AccountTag, Handle, Reply<Result<Verification, VerifyError>>);

/// Owns the profile, the rules' state and the plan. Lives on the engine's thread.
pub(super) struct Runner {
    pub(super) profile: Profile,
    options: Options,
    commands: mpsc::Receiver<Command>,
    events: broadcast::Sender<Event>,
    pub(super) state: watch::Sender<ConnectionState>,
    pub(super) account: Option<Account>,
    pub(super) outbox: Outbox,
    pub(super) verifying: Vec<Verifying>,
    pub(super) lookups: Lookups,
    pub(super) requests: Requests,
    /// There may be decisions about people that the server has to hear of.
    pub(super) decided: bool,
    /// The last notice that was told of.
    pub(super) noticed: i64,
    /// Writers of messages may have to hear that these came or were seen.
    pub(super) owes_receipts: bool,
    /// Rows that tell them, and are on their way.
    pub(super) receipts: BTreeSet<i64>,
    /// By which messages disappear.
    pub(super) life: LifeClock,
    /// When messages may disappear next, or the clock is kept. `None` while nothing does.
    pub(super) life_at: Option<Instant>,
    /// This device is the only one of the account, as far as the server at the other end of the connection has said.
    pub(super) alone: bool,
    backoff: Backoff,
    plan: Plan,
    means: Means,
    /// Who asked for the registration or login that is under way.
    waiting: Option<Reply<Result<(), AccountError>>>,
    stopping: bool,
}

impl Runner {
    pub(super) fn new(
        mut profile: Profile,
        options: Options,
        commands: mpsc::Receiver<Command>,
        events: broadcast::Sender<Event>,
        state: watch::Sender<ConnectionState>,
    ) -> Result<Self, DatabaseError> {
        let store = profile.database().read();
        let account = store.account()?;
        let mut outbox = Outbox::default();
        for row in store.outbox()? {
            outbox.push(row.seq, row.recipient, row.envelope);
        }
        for contact in store.blocked_contacts()? {
            outbox.block(contact);
        }
        for (stand_in, _) in store.unaddressed(u32::MAX)? {
            outbox.block(stand_in);
        }
        let mut lookups = Lookups::default();
        for (tag, claimed) in store.claims(CLAIMS_MAX)? {
            // Beyond the bound the rest waits for another start.
            let _later = lookups.want(claimed, Reason::Claim { tag, messages: Vec::new() });
        }
        let (_, noticed) = store.notices_since(0, clock::now())?;
        let life = LifeClock::start(store.life()?, clock::now(), clock::monotonic());
        let registered = account.as_ref().is_some_and(|account| account.state == AccountState::Registered);
        let plan = if options.online && registered { Plan::Now } else { Plan::Idle };
        let mut runner = Self {
            profile,
            options,
            commands,
            events,
            state,
            account,
            outbox,
            verifying: Vec::new(),
            lookups,
            requests: Requests::default(),
            decided: true,
            noticed,
            owes_receipts: true,
            receipts: BTreeSet::new(),
            life,
            life_at: None,
            alone: false,
            backoff: Backoff::new(),
            plan,
            means: Means::Account,
            waiting: None,
            stopping: false,
        };
        // What has died while nothing ran is gone before anybody can ask for it.
        runner.live_on()?;
        Ok(runner)
    }

    pub(super) fn database(&mut self) -> &mut Database {
        self.profile.database()
    }

    pub(super) fn tell(&self, event: Event) {
        // Nobody may be listening: the database has everything that matters.
        let _listeners = self.events.send(event);
    }

    pub(super) fn set_state(&self, state: ConnectionState) {
        self.state.send_replace(state.clone());
        self.tell(Event::Connection(state));
    }

    pub(super) const fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Runs until told to stop, or until nobody is left to tell.
    pub(super) async fn run(mut self) {
        while !self.stopping {
            match self.plan {
                Plan::Now => self.connect().await,
                Plan::Idle => self.next_command(None).await,
                Plan::At(when) => self.next_command(Some(when)).await,
            }
        }
        self.abandon_lookups();
        self.requests.give_up(&OfflineReason::Stopped);
        self.set_state(ConnectionState::Offline { retry_at: None, why: OfflineReason::Stopped });
    }

    /// The next command, or the time to connect, or the end of a message's life.
    async fn next_command(&mut self, connect_at: Option<Instant>) {
        tokio::select! {
            () = wait(connect_at) => self.plan = Plan::Now,
            () = wait(self.life_at) => {}
            command = self.commands.recv() => self.told(command),
        }
        self.live_on_if_due();
    }

    /// The next command, for whoever waits for something else as well.
    pub(super) async fn receive_command(&mut self) -> Option<Command> {
        self.commands.recv().await
    }

    async fn connect(&mut self) {
        let (login, next) = match self.login() {
            Ok(Some(login)) => login,
            Ok(None) => return self.give_up(OfflineReason::Idle),
            Err(error) => return self.try_later(OfflineReason::Storage(error.to_string()), None),
        };
        self.set_state(ConnectionState::Connecting);
        let mut attempt = pin!(establish(login));
        let result = loop {
            tokio::select! {
                result = &mut attempt => break result,
                command = self.commands.recv() => self.told(command),
            }
            if self.stopping {
                return;
            }
        };
        match result {
            Ok(established) => {
                let began = clock::monotonic();
                let end = self.online(established).await;
                self.ended(end, began);
            }
            Err(error) => self.failed(&error, next),
        }
    }

    /// What to log in with, and what to try next when that is a token and is refused.
    fn login(&mut self) -> Result<Option<(Login, Option<Means>)>, DatabaseError> {
        let Some(account) = self.account.clone() else { return Ok(None) };
        let password = self.options.password.clone();
        let store = self.database().read();
        let (token, refresh) = (store.token()?, store.refresh_token()?);
        let fresh = |expires: UnixMillis| expires > clock::now().plus(TOKEN_MARGIN);
        let refresh = refresh.and_then(|token| RefreshToken::from_bytes(&token).ok());
        let by_refresh = refresh.map_or(Method::Password(password.clone()), Method::Refresh);
        let method = match &self.means {
            Means::Register { device, invite, .. } => {
                Method::Register { password, device: device.clone(), invite: invite.clone() }
            }
            Means::Claim | Means::Password => Method::Password(password),
            Means::Refresh => by_refresh,
            Means::Account => match token.filter(|token| fresh(token.expires)) {
                Some(token) => Method::Token(token.bytes),
                None => by_refresh,
            },
        };
        let with_token = match method {
            Method::Token(_) => Some(Means::Refresh),
            Method::Refresh(_) => Some(Means::Password),
            Method::Password(_) | Method::Register { .. } => None,
        };
        let Account { server, handle, tag, oprf_key, server_password, device, seed, .. } = account;
        let login = Login {
            server,
            server_password: server_password.unwrap_or_default(),
            handle,
            device,
            tag,
            oprf_key,
            seed,
            method,
            connect_timeout: self.options.connect_timeout,
        };
        Ok(Some((login, with_token)))
    }

    fn failed(&mut self, error: &EstablishError, next: Option<Means>) {
        let refused = match error {
            EstablishError::Refused(refusal) => Some(refusal.code),
            _ => None,
        };
        if let (Some(RefusalCode::BadCredentials), Some(next)) = (refused, next) {
            // The token was revoked or the server's key is new: the password decides in the end.
            self.means = next;
            return;
        }
        let reason = match (&self.means, refused) {
            (Means::Register { again: true, .. }, Some(RefusalCode::HandleTaken)) => {
                self.means = Means::Claim;
                return;
            }
            (Means::Claim, Some(RefusalCode::BadCredentials)) => OfflineReason::Refused(RefusalCode::HandleTaken),
            _ => error.reason(),
        };
        let registering = matches!(self.means, Means::Register { .. } | Means::Claim);
        if let Some(reply) = self.waiting.take() {
            answer(reply, Err(AccountError::Offline(reason.clone())));
        }
        if registering {
            self.means = Means::Account;
        }
        if registering || error.is_permanent() {
            return self.give_up(reason);
        }
        let after = match error {
            EstablishError::Refused(refusal) => refusal.retry_after_ms.map(|ms| Duration::from_millis(ms.get())),
            EstablishError::Link(LinkError::Closed { said: Some(said) }) => Some(said.come_back_after),
            _ => None,
        };
        self.try_later(reason, after);
    }

    /// Nothing more until a person acts.
    fn give_up(&mut self, why: OfflineReason) {
        self.plan = Plan::Idle;
        if let Some(reply) = self.waiting.take() {
            answer(reply, Err(AccountError::Offline(why.clone())));
        }
        self.abandon_lookups();
        self.requests.give_up(&why);
        self.set_state(ConnectionState::Offline { retry_at: None, why });
    }

    fn try_later(&mut self, why: OfflineReason, at_least: Option<Duration>) {
        let wait = self.backoff.next_delay_of(at_least.unwrap_or_default(), rand::rng().random());
        self.plan = Plan::At(clock::monotonic() + wait);
        self.requests.disconnected(&why);
        self.set_state(ConnectionState::Offline { retry_at: Some(clock::now().plus(wait)), why });
    }

    /// The connection is authenticated and attached.
    pub(super) fn arrived(&mut self) {
        self.means = Means::Account;
        if let Some(reply) = self.waiting.take() {
            answer(reply, Ok(()));
        }
        self.set_state(ConnectionState::Online);
    }

    fn ended(&mut self, end: End, began: Instant) {
        self.outbox.disconnected();
        self.alone = false;
        self.lookups.disconnected();
        let said = match &end {
            End::Link(LinkError::Closed { said: Some(said) }) => Some(said.reason),
            _ => None,
        };
        let lived = clock::monotonic().duration_since(began);
        match said {
            Some(ClosingReason::ShuttingDown) => self.backoff.sent_away(lived),
            _ => self.backoff.connection_ended(lived),
        }
        match end {
            End::Stopped => {}
            End::Link(LinkError::Closed { said: Some(Said { reason, come_back_after }) }) => match reason {
                // Somebody else has taken this device's place, or the owner has removed it: a person must act.
                ClosingReason::Replaced | ClosingReason::Removed => self.give_up(OfflineReason::Closed(reason)),
                ClosingReason::ShuttingDown => self.try_later(OfflineReason::Closed(reason), Some(come_back_after)),
                _ => self.try_later(OfflineReason::Closed(reason), None),
            },
            End::Link(LinkError::Protocol(_)) => self.try_later(OfflineReason::Protocol, None),
            End::Link(error) => {
                self.try_later(OfflineReason::Unreachable(super::establish::with_causes(&error)), None);
            }
            End::Silent => {
                self.try_later(OfflineReason::Unreachable("the server did not answer in time".to_owned()), None);
            }
            End::Misnumbered(misnumbered) => self.try_later(OfflineReason::Misnumbered(misnumbered), None),
            End::Refused(code) => self.try_later(OfflineReason::Refused(code), None),
            End::Storage(error) => self.try_later(OfflineReason::Storage(error.to_string()), None),
        }
    }

    /// Carries out a command, or notes what the connection has to do for it. `None`: nobody is left to give any.
    pub(super) fn told(&mut self, command: Option<Command>) {
        let Some(command) = command else {
            self.stopping = true;
            return;
        };
        self.live_on_if_due();
        match command {
            Command::Register(registration, reply) => match self.prepare_registration(*registration) {
                Ok(means) => self.begin(means, reply),
                Err(error) => answer(reply, Err(error)),
            },
            Command::Login(reply) => self.begin_login(reply),
            Command::Send(to, text, answered, reply) => {
                let queued = self.queue(&to, text, answered);
                answer(reply, queued);
            }
            Command::Act(with, deed, reply) => {
                let done = self.act(&with, deed);
                answer(reply, done);
            }
            Command::Waiting(somebody, reply) => {
                let tag = self.database().read().peer_of(&somebody);
                answer(reply, tag.map(|tag| tag.map_or(0, |tag| self.outbox.len_for(tag))));
            }
            Command::Timer(with, reply) => {
                let store = self.database().read();
                let timer = store.peer_of(&with).and_then(|tag| tag.map_or(Ok(None), |tag| store.timer(tag)));
                answer(reply, timer);
            }
            Command::Settings(reply) => answer(reply, self.database().read().settings()),
            Command::SetSettings(settings, reply) => {
                answer(reply, self.database().write(|store| store.set_settings(settings)));
            }
            Command::Find(id, reply) => answer(reply, self.database().read().sent_message(id)),
            Command::Pending(limit, reply) => answer(reply, self.database().read().pending(limit)),
            Command::Retry(to, message, reply) => {
                let queued = self.try_again(&to, message);
                answer(reply, queued);
            }
            Command::Search(question, with, limit, reply) => {
                let found = self.search(*question, with.as_ref(), limit);
                answer(reply, found);
            }
            Command::History(with, page, limit, reply) => {
                let store = self.database().read();
                let history = store
                    .peer_of(&with)
                    .and_then(|tag| tag.map_or_else(|| Ok(Vec::new()), |tag| store.history_page(tag, page, limit)));
                answer(reply, history);
            }
            Command::Unread(None, limit, reply) => answer(reply, self.database().read().unread(None, limit)),
            Command::Unread(Some(from), limit, reply) => {
                let store = self.database().read();
                let unread = store
                    .peer_of(&from)
                    .and_then(|tag| tag.map_or_else(|| Ok(Vec::new()), |tag| store.unread(Some(tag), limit)));
                answer(reply, unread);
            }
            Command::MarkShown(seqs, reply) => {
                let shown = self.mark_shown(&seqs);
                answer(reply, shown);
            }
            Command::UnseenNotices(of, limit, reply) => {
                let unseen = self.unseen_notices(of.as_ref(), limit);
                answer(reply, unseen);
            }
            Command::Notices(with, from, reply) => {
                let store = self.database().read();
                let notices = store
                    .peer_of(&with)
                    .and_then(|tag| tag.map_or_else(|| Ok(Vec::new()), |tag| store.notices(tag, from, clock::now())));
                answer(reply, notices);
            }
            Command::MarkNoticesShown(seqs, reply) => {
                answer(reply, self.database().write(|store| store.mark_notices_shown(&seqs)));
            }
            Command::Account(request, reply) => self.request(request, reply),
            Command::Contacts(reply) => {
                let own = self.account.as_ref().and_then(|account| account.tag);
                let contacts = self.database().read().contacts();
                let others = |contacts: Vec<Contact>| contacts.into_iter().filter(|c| Some(c.tag) != own).collect();
                answer(reply, contacts.map(others));
            }
            Command::Decide(about, standing, reply) => match self.decide(&about, standing) {
                Err(DecideError::Unknown(_)) if self.options.online => {
                    self.look_up(about.clone(), Command::Decide(about, standing, reply));
                }
                decided => answer(reply, decided),
            },
            Command::Verify(with, reply) => self.verify(with, reply),
            Command::AcceptIdentity(with, reply) => {
                let accepted = self.accept_identity(&with);
                answer(reply, accepted);
            }
            Command::Status(reply) => {
                let status = self.status();
                answer(reply, status);
            }
            Command::Shutdown => self.stopping = true,
        }
    }

    fn unseen_notices(&mut self, of: Option<&Handle>, limit: u32) -> Result<Vec<Notice>, DatabaseError> {
        let store = self.database().read();
        let peer = of.map(|of| store.peer_of(of)).transpose()?;
        // Somebody who is not known has said nothing.
        if peer == Some(None) {
            return Ok(Vec::new());
        }
        store.unseen_notices(peer.flatten(), clock::now(), limit)
    }

    /// Tells what was found out since the last time.
    pub(super) fn tell_notices(&mut self) -> Result<(), DatabaseError> {
        let (found, last) = self.profile.database().read().notices_since(self.noticed, clock::now())?;
        self.noticed = last;
        found.into_iter().for_each(|notice| self.tell(Event::Noticed(Box::new(notice))));
        Ok(())
    }

    fn prepare_registration(&mut self, registration: Registration) -> Result<Means, AccountError> {
        if self.waiting.is_some() {
            return Err(AccountError::Busy);
        }
        let Registration { server, handle, invite, server_password } = registration;
        let (account, device, again) = account::prepare_registration(self.database(), server, server_password, handle)?;
        self.account = Some(account);
        Ok(Means::Register { device, invite, again })
    }

    fn begin_login(&mut self, reply: Reply<Result<(), AccountError>>) {
        let registered = self.account.as_ref().is_some_and(|account| account.state == AccountState::Registered);
        if !registered {
            return answer(reply, Err(AccountError::NotRegistered));
        }
        if *self.state.borrow() == ConnectionState::Online {
            return answer(reply, Ok(()));
        }
        if self.waiting.is_some() {
            return answer(reply, Err(AccountError::Busy));
        }
        self.begin(Means::Password, reply);
    }

    fn begin(&mut self, means: Means, reply: Reply<Result<(), AccountError>>) {
        self.means = means;
        self.waiting = Some(reply);
        self.plan = Plan::Now;
        self.options.online = true;
    }

    fn request(&mut self, request: AccountRequest, asker: Asker) {
        let registered = self.account.as_ref().is_some_and(|account| account.state == AccountState::Registered);
        match registered {
            true => self.requests.push(request, asker),
            false => answer(asker, Err(RequestError::NotRegistered)),
        }
        if !self.options.online {
            self.requests.give_up(&OfflineReason::Idle);
        }
    }

    fn decide(&mut self, about: &Handle, standing: Standing) -> Result<(), DecideError> {
        let tag = self.database().read().tag_of(about)?.ok_or_else(|| DecideError::Unknown(about.clone()))?;
        let (alone, now) = (self.alone, clock::now());
        let (decided, for_others) = self.database().write(|store| -> Result<_, DatabaseError> {
            let decided = store.decide(tag, standing, now)?;
            let told = if decided && !alone { decision_for_own_devices(store, tag, now)? } else { None };
            Ok((decided, told))
        })?;
        self.decided |= decided;
        self.queued(for_others);
        Ok(())
    }

    fn verify(&mut self, with: Handle, reply: Reply<Result<Verification, VerifyError>>) {
        let known = self.database().read().tag_of(&with);
        match (self.verification(&with), known) {
            (Err(VerifyError::Unknown(_)), Ok(Some(tag)))
                if self.options.online && self.verifying.len() < VERIFYING_MAX =>
            {
                self.verifying.push((tag, with, reply));
            }
            (Err(VerifyError::Unknown(_)), Ok(None)) if self.options.online => {
                self.look_up(with.clone(), Command::Verify(with, reply));
            }
            (result, _) => answer(reply, result),
        }
    }

    /// What is written to somebody waits until the server has said which account that is.
    pub(super) fn wait_for_address(&mut self, stand_in: AccountTag, handle: Handle) {
        self.outbox.block(stand_in);
        // Beyond the bound it is asked on the next connection.
        let _later = self.lookups.want(handle, Reason::Address { stand_in });
    }

    /// On every connection: those whose account is not known yet.
    pub(super) fn look_up_unaddressed(&mut self) -> Result<(), DatabaseError> {
        for (stand_in, handle) in self.database().read().unaddressed(UNADDRESSED_MAX)? {
            self.wait_for_address(stand_in, handle);
        }
        Ok(())
    }

    /// Carries out a command when the account of the handle that it is about is known.
    fn look_up(&mut self, handle: Handle, command: Command) {
        if let Err(reason) = self.lookups.want(handle.clone(), Reason::Command(Box::new(command))) {
            self.not_found(handle, reason, None);
        }
    }

    /// The server has said which account a handle belongs to.
    pub(super) fn found(&mut self, handle: &Handle, tag: AccountTag) -> Result<(), DatabaseError> {
        let reasons = self.lookups.answered(handle);
        let own = self.account.as_ref().and_then(|account| account.tag) == Some(tag);
        let wanted = reasons.iter().any(|reason| match reason {
            Reason::Command(_) => !own,
            Reason::Claim { tag: claimed, .. } => *claimed == tag,
            Reason::Address { .. } => false,
        });
        if wanted {
            self.database().write(|store| store.put_contact(tag, Some(handle)))?;
        }
        for reason in reasons {
            match reason {
                Reason::Command(command) => self.told(Some(*command)),
                Reason::Address { stand_in } => {
                    let (alone, now) = (self.alone, clock::now());
                    let copies: Vec<Queued> = self.database().write(|store| {
                        let messages = store.address(stand_in, tag, handle, now)?.into_iter().filter(|_| !alone);
                        messages.filter_map(|message| copy_for_own_devices(store, message).transpose()).collect()
                    })?;
                    copies.into_iter().for_each(|copy| self.queued(Some(copy)));
                    self.outbox.readdress(stand_in, tag);
                    self.decided = true;
                }
                Reason::Claim { tag: claimed, messages } => {
                    let name = if claimed == tag { Some(handle.clone()) } else { None };
                    if name.is_none() {
                        self.database().write(|store| store.refuse_claim(claimed))?;
                    }
                    messages.into_iter().for_each(|id| self.tell(Event::Received { from: name.clone(), id }));
                }
            }
        }
        Ok(())
    }

    /// The server does not say it, or cannot be asked.
    pub(super) fn not_found(&mut self, handle: Handle, reason: Reason, refused: Option<RefusalCode>) {
        match reason {
            Reason::Command(command) => match *command {
                Command::Verify(_, reply) => {
                    let error = refused.map_or(VerifyError::Unknown(handle), VerifyError::Refused);
                    answer(reply, Err(error));
                }
                Command::Decide(_, _, reply) => {
                    let error = refused.map_or(DecideError::Unknown(handle), DecideError::Refused);
                    answer(reply, Err(error));
                }
                _ => {}
            },
            // Asked again on the next connection, if not before.
            Reason::Address { .. } => {}
            // Nameless until the next message, which says the handle again. Without a server it is asked again later.
            Reason::Claim { tag, messages } => {
                if refused.is_some_and(|code| !is_passing(code)) {
                    // If it fails the handle is asked about again on the next start.
                    let _kept = self.database().write(|store| store.refuse_claim(tag));
                }
                messages.into_iter().for_each(|id| self.tell(Event::Received { from: None, id }));
            }
        }
    }

    fn abandon_lookups(&mut self) {
        for (handle, reason) in self.lookups.give_up() {
            self.not_found(handle, reason, None);
        }
    }

    /// What to compare with somebody whose identity is known here.
    pub(super) fn verification(&mut self, with: &Handle) -> Result<Verification, VerifyError> {
        let own = self.account.as_ref().and_then(Account::address).ok_or(VerifyError::NotRegistered)?;
        account::verification(&self.database().read(), own, with)
    }

    fn accept_identity(&mut self, with: &Handle) -> Result<Verification, VerifyError> {
        let own = self.account.as_ref().and_then(Account::address).ok_or(VerifyError::NotRegistered)?;
        let opened = account::accept_identity(self.database(), own, with)?;
        if let Some(tag) = self.database().read().tag_of(with)? {
            self.outbox.unblock(tag);
        }
        for (envelope, arrival) in opened {
            self.announce(envelope.id, arrival);
        }
        self.tell_notices()?;
        self.verification(with)
    }

    /// Answers those who wait for somebody's identity.
    pub(super) fn answer_verifying(&mut self, tag: AccountTag, failure: Option<&dyn Fn(Handle) -> VerifyError>) {
        let (done, waiting) = std::mem::take(&mut self.verifying).into_iter().partition(|(of, ..)| *of == tag);
        self.verifying = waiting;
        let done: Vec<Verifying> = done;
        for (_, with, reply) in done {
            let result = match failure {
                Some(error) => Err(error(with)),
                None => self.verification(&with),
            };
            answer(reply, result);
        }
    }

    fn status(&mut self) -> Result<Status, DatabaseError> {
        let connection = self.state.borrow().clone();
        let account = self.account.clone();
        let own = account.as_ref().and_then(|account| account.tag);
        let store = self.database().read();
        // What waits for the own other devices, and what only tells that something came, is of no interest to anybody.
        let outbox = store.messages_waiting(own)?;
        Ok(Status {
            registered: account.as_ref().is_some_and(|account| account.state == AccountState::Registered),
            handle: account.as_ref().map(|account| account.handle.clone()),
            device: account.as_ref().map(|account| account.device.get()),
            server: account.map(|account| account.server),
            connection,
            outbox,
            unread: store.unread_count()?,
            unreadable: store.unreadable()?,
            repeats: store.repeats()?,
        })
    }
}

/// Whoever asked may have gone.
fn answer<T>(reply: Reply<T>, value: T) {
    let _gone = reply.send(value);
}
