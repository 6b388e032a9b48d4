//! The engine's own loop: what it knows and what it plans.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use super::command::{AccountError, Command, Reply, Stopped, Verification, VerifyError};
use super::copying::Copying;
use super::establish::{EstablishError, Login, Method, establish};
use super::event::{ConnectionState, Event, OfflineReason};
use super::handle::Options;
use super::idle::Idle;
use super::lanes::Files;
use super::lock::{Left, Locked, Outside};
use super::lookup::Lookups;
use super::online::{End, wait};
use super::outbox::Outbox;
use super::receive::read_again;
use super::repair::queue_stranded;
use super::requests::Requests;
use super::told::answer;
use crate::backoff::Backoff;
use crate::clock::{self, Instant};
use crate::database::{Account, AccountState, Database, DatabaseError};
use crate::files::spool::Spool;
use crate::handle::Handle;
use crate::life::LifeClock;
use crate::profile::Profile;
use crate::transport::{LinkError, Network, NetworkSettings, NetworkStatus, Said, Traffic};
use endtoend_crypto_core::refresh::RefreshToken;
use endtoend_protocol::{AccountTag, ClosingReason, InviteCode, NewDevice, RefusalCode, UnixMillis};
use rand::RngExt as _;
use tokio::sync::{broadcast, mpsc, watch};

/// A token that ends sooner is not worth trying: clocks differ.
const TOKEN_MARGIN: Duration = Duration::from_secs(30);

/// When to connect.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan {
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

/// Why the loop is to end.
pub(super) enum Stopping {
    /// For good.
    End,
    /// Until somebody gives the password; he hears when the profile is closed.
    Lock(Option<Reply<Result<(), Stopped>>>),
}

/// What a profile has of the engine's state.
struct Kept {
    account: Option<Account>,
    outbox: Outbox,
    noticed: i64,
    life: LifeClock,
    idle: Idle,
    network: NetworkSettings,
}

impl Kept {
    fn read(profile: &mut Profile) -> Result<Self, DatabaseError> {
        let now = clock::now();
        let own = profile.database().read().account()?.and_then(|account| account.tag);
        profile.database().write(|store| {
            store.forget_early(now)?;
            if store.understands_more()? {
                read_again(store, own, now)?;
            }
            if own.is_some() { queue_stranded(store) } else { Ok(()) }
        })?;
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
        let (_, noticed) = store.notices_since(0, now)?;
        let life = LifeClock::start(store.life()?, now, clock::monotonic());
        let idle = Idle::new(store.lock_after()?);
        let network = store.network()?;
        Ok(Self { account, outbox, noticed, life, idle, network })
    }
}

/// Owns the profile, the rules' state and the plan. Lives on the engine's thread.
pub(super) struct Runner {
    pub(super) profile: Profile,
    pub(super) options: Options,
    pub(super) commands: mpsc::Receiver<Command>,
    events: broadcast::Sender<Event>,
    pub(super) state: watch::Sender<ConnectionState>,
    pub(super) told_network: watch::Sender<NetworkStatus>,
    /// The way out.
    pub(super) network: Network,
    /// Those before it, which are still to be closed.
    pub(super) outdated: Vec<Network>,
    /// What is connected, or about to be, must not stay so.
    pub(super) rewired: bool,
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
    /// Some may have to hear how this account shows itself.
    pub(super) owes_faces: bool,
    /// The own other devices may have to hear what was settled before one of them came.
    pub(super) introduces: bool,
    /// By which messages disappear.
    pub(super) life: LifeClock,
    /// When messages may disappear next, or the clock is kept. `None` while nothing does.
    pub(super) life_at: Option<Instant>,
    /// When the profile locks itself.
    pub(super) idle: Idle,
    /// A backup or export that is being written.
    pub(super) copying: Copying,
    /// Who seals, moves and saves files.
    pub(super) files: Files,
    /// This device is the only one of the account, as far as the server at the other end of the connection has said.
    pub(super) alone: bool,
    backoff: Backoff,
    pub(super) plan: Plan,
    pub(super) means: Means,
    /// Who asked for the registration or login that is under way.
    pub(super) waiting: Option<Reply<Result<(), AccountError>>>,
    pub(super) stopping: Option<Stopping>,
    /// Until when an engine stays that was told to stop.
    pub(super) leave_at: Option<Instant>,
}

impl Runner {
    /// Reads what the profile has. When that fails the engine's side is given back.
    pub(super) fn new(
        mut profile: Profile,
        options: Options,
        outside: Outside,
    ) -> Result<Self, (DatabaseError, Outside)> {
        let Kept { account, outbox, noticed, life, idle, network } = match Kept::read(&mut profile) {
            Ok(kept) => kept,
            Err(error) => return Err((error, outside)),
        };
        let registered = account.as_ref().is_some_and(|account| account.state == AccountState::Registered);
        let plan = if options.online && registered { Plan::Now } else { Plan::Idle };
        let Outside { commands, events, state, network: told_network } = outside;
        let network = Network::telling(network, profile.home(), told_network.clone());
        if let Some(account) = &account {
            network.expect(&account.server.host);
        }
        let files = Files::new(Spool::of(profile.home()));
        let mut runner = Self {
            profile,
            options,
            commands,
            events,
            state,
            told_network,
            network,
            outdated: Vec::new(),
            rewired: false,
            account,
            outbox,
            verifying: Vec::new(),
            lookups: Lookups::default(),
            requests: Requests::default(),
            decided: true,
            noticed,
            owes_receipts: true,
            owes_faces: true,
            introduces: true,
            receipts: BTreeSet::new(),
            life,
            life_at: None,
            idle,
            copying: Copying::default(),
            files,
            alone: false,
            backoff: Backoff::new(),
            plan,
            means: Means::Account,
            waiting: None,
            stopping: None,
            leave_at: None,
        };
        // What has died while nothing ran is gone before anybody can ask for it.
        let ready = runner.live_on().and_then(|()| runner.clean_files()).and_then(|()| runner.sweep_files());
        match ready {
            Ok(()) => Ok(runner),
            Err(error) => {
                let Self { commands, events, state, told_network: network, .. } = runner;
                Err((error, Outside { commands, events, state, network }))
            }
        }
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

    pub(super) fn events(&self) -> broadcast::Sender<Event> {
        self.events.clone()
    }

    pub(super) const fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Runs until told to stop or to lock, or until nobody is left to tell. The profile is closed then.
    pub(super) async fn run(mut self) -> Left {
        while !self.is_stopping() {
            self.close_outdated().await;
            match self.plan {
                Plan::Now => self.connect().await,
                Plan::Idle => self.next_command(None).await,
                Plan::At(when) => self.next_command(Some(when)).await,
            }
        }
        self.abandon_lookups();
        self.close_outdated().await;
        self.network.close().await;
        match self.stopping.take() {
            Some(Stopping::Lock(asker)) => {
                self.requests.give_up(&OfflineReason::Locked);
                let Self { profile, options, commands, events, state, told_network: network, .. } = self;
                let Options { online, connect_timeout, .. } = options;
                let (home, outside) = (profile.home().to_owned(), Outside { commands, events, state, network });
                Left::Locked(Box::new(Locked { home, online, connect_timeout, outside }), asker)
            }
            Some(Stopping::End) | None => {
                self.requests.give_up(&OfflineReason::Stopped);
                self.set_state(ConnectionState::Offline { retry_at: None, why: OfflineReason::Stopped });
                Left::Stopped
            }
        }
    }

    /// Ends the loop, to open the profile again with the password only.
    pub(super) fn lock(&mut self, asker: Option<Reply<Result<(), Stopped>>>) {
        self.stopping.get_or_insert(Stopping::Lock(asker));
    }

    /// Whether it is to lock, for which nobody waits.
    pub(super) const fn is_locking(&self) -> bool {
        matches!(self.stopping, Some(Stopping::Lock(_)))
    }

    /// Somebody was not there for too long.
    pub(super) fn lock_if_idle(&mut self) {
        if self.idle.is_over(clock::monotonic(), clock::now()) {
            self.lock(None);
        }
    }

    /// The next command, or the time to connect, or the end of a message's life.
    async fn next_command(&mut self, connect_at: Option<Instant>) {
        tokio::select! {
            () = wait(connect_at) => self.plan = Plan::Now,
            () = wait(self.life_at) => {}
            () = wait(self.idle.look_at(clock::monotonic())) => {}
            note = self.files.note() => self.noted_offline(note),
            command = self.commands.recv() => self.told(command),
        }
        self.live_on_if_due();
        // If the disk fails it is tried again.
        let _swept = self.sweep_files();
        self.lock_if_idle();
    }

    /// Deals with what a thread has done. If the disk fails, what is kept says what is still to be done.
    fn noted_offline(&mut self, note: super::lanes::Note) {
        let _noted = self.noted(note);
    }

    /// Whether the server may still keep what is here, because a program was killed before it could acknowledge it: then an engine that
    /// was told to stop finishes this one attempt to connect, if it comes to anything in time.
    fn stays_to_acknowledge(&mut self) -> bool {
        let owes = !self.is_locking() && self.database().read().owes_acknowledgements().unwrap_or(false);
        if owes {
            let time = self.options.connect_timeout;
            self.leave_at.get_or_insert_with(|| clock::monotonic() + time);
        }
        owes
    }

    async fn connect(&mut self) {
        let (login, next) = match self.login() {
            Ok(Some(login)) => login,
            Ok(None) => return self.give_up(OfflineReason::Idle),
            Err(error) => return self.try_later(OfflineReason::Storage(error.to_string()), None),
        };
        self.set_state(ConnectionState::Connecting);
        self.rewired = false;
        let mut attempt = pin!(establish(login));
        let result = loop {
            tokio::select! {
                result = &mut attempt => break result,
                () = wait(self.idle.look_at(clock::monotonic())) => {}
                () = wait(self.leave_at) => return,
                note = self.files.note() => self.noted_offline(note),
                command = self.commands.recv(), if !self.is_stopping() => self.told(command),
            }
            self.lock_if_idle();
            let may_stop = self.is_stopping() && !self.stays_to_acknowledge();
            if may_stop || std::mem::take(&mut self.rewired) {
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
    pub(super) fn login(&mut self) -> Result<Option<(Login, Option<Means>)>, DatabaseError> {
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
            network: self.network.clone(),
            traffic: Traffic::Messages,
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
        let pace = self.account.as_ref().map(|account| self.network.pace_to(&account.server.host));
        self.backoff.stretch(pace.map_or(1, |pace| pace.patience));
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
            // The next attempt goes the other way.
            End::Rewired => self.set_state(ConnectionState::Connecting),
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
}
