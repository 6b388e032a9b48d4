//! The people on the other side: whose accounts are looked up, who they are, and what is decided about them.

use endtoend_crypto_e2e::identity_public;
use endtoend_protocol::{AccountTag, Arrangement, OwnNews, RefusalCode, UnixMillis};

use super::account::{self, expect_identity};
use super::command::{AddError, ArrangeError, Command, DecideError, NicknameError, Reply, Verification, VerifyError};
use super::establish::is_passing;
use super::event::{Change, Event};
use super::lookup::Reason;
use super::repair::{Queued, copy_for_own_devices, decision_for_own_devices, settle_for_own_devices};
use super::run::{Runner, Verifying};
use super::told::answer;
use crate::clock;
use crate::contact_link::ContactLink;
use crate::database::{Account, AccountState, Contact, DatabaseError, Standing, Store};
use crate::handle::Handle;
use crate::nickname::Nickname;

/// Questions about somebody's identity that may wait for the server.
const VERIFYING_MAX: usize = 64;
/// Handles of people who wait to be written to, looked up on a connection; the rest on the next.
const UNADDRESSED_MAX: u32 = 16;
/// Names to be confirmed, looked up on a connection; the rest on the next, and room is left for commands.
const CLAIMS_MAX: u32 = 32;

/// What stood in for an account is that account from now on. Gives what its own other devices hear of it, inside a transaction:
/// what was written meanwhile, what that person was called, and how the conversation was kept.
pub(super) fn addressed(
    store: &Store<'_>,
    stand_in: AccountTag,
    tag: AccountTag,
    handle: &Handle,
    alone: bool,
    now: UnixMillis,
) -> Result<Vec<Queued>, DatabaseError> {
    let before = store.contact(stand_in)?;
    let messages = store.address(stand_in, tag, handle, now)?;
    let mut queued = Vec::new();
    for message in messages.into_iter().filter(|_| !alone) {
        match copy_for_own_devices(store, message) {
            // Not worth the connection on which it would go.
            Err(DatabaseError::Limit { .. }) => break,
            copy => queued.extend(copy?),
        }
    }
    let Some(Contact { nickname, arrangement, .. }) = before else { return Ok(queued) };
    if let Some(nickname) = nickname {
        let news = OwnNews::Nickname { about: tag, name: nickname.as_str().to_owned() };
        queued.extend(settle_for_own_devices(store, news, alone, now)?);
    }
    if arrangement != Arrangement::default() {
        let news = OwnNews::Arranged { with: tag, arrangement };
        queued.extend(settle_for_own_devices(store, news, alone, now)?);
    }
    Ok(queued)
}

impl Runner {
    pub(super) fn decide(&mut self, about: &Handle, standing: Standing) -> Result<(), DecideError> {
        let tag = self.database().read().tag_of(about)?.ok_or_else(|| DecideError::Unknown(about.clone()))?;
        let (alone, now) = (self.alone, clock::now());
        let (decided, for_others) = self.database().write(|store| -> Result<_, DatabaseError> {
            let decided = store.decide(tag, standing, now)?;
            let told = if decided && !alone { decision_for_own_devices(store, tag, now)? } else { None };
            Ok((decided, told))
        })?;
        self.decided |= decided;
        self.owes_faces = true;
        self.queued(for_others);
        Ok(())
    }

    /// Whether a handle is this account's own: nobody has to be asked whose it is.
    pub(super) fn is_own(&self, handle: &Handle) -> bool {
        self.account.as_ref().is_some_and(|account| account.handle == *handle)
    }

    pub(super) fn own_link(&mut self) -> Result<ContactLink, VerifyError> {
        let account = self.account.as_ref().filter(|account| account.state == AccountState::Registered);
        let Account { server, handle, .. } = account.cloned().ok_or(VerifyError::NotRegistered)?;
        let identity = identity_public(&self.database().read()).map_err(|_| VerifyError::NotRegistered)?;
        Ok(ContactLink { server, handle, identity })
    }

    pub(super) fn add_contact(&mut self, link: &ContactLink, compared: bool) -> Result<Verification, AddError> {
        let ContactLink { server, handle, identity } = link;
        let account = self.account.as_ref().filter(|account| account.state == AccountState::Registered);
        let account = account.ok_or(AddError::NotRegistered)?;
        let own = account.address().ok_or(AddError::NotRegistered)?;
        // A node may get another address and another certificate; its identity is what it is known by.
        if account.server.pin.identity != server.pin.identity {
            return Err(AddError::OtherServer);
        }
        if account.handle == *handle {
            return Err(AddError::Oneself);
        }
        let tag = self.database().read().tag_of(handle)?.ok_or_else(|| AddError::Unknown(handle.clone()))?;
        let (alone, now) = (self.alone, clock::now());
        let queued = self.database().write(|store| {
            expect_identity(store, tag, handle, identity)?;
            match compared {
                true => {
                    store.set_verified(tag, Some(identity))?;
                    let news = OwnNews::Compared { about: tag, compared: store.comparison(tag)? };
                    Ok::<_, AddError>(settle_for_own_devices(store, news, alone, now)?)
                }
                false => Ok(None),
            }
        })?;
        self.queued(queued);
        self.decide(handle, Standing::Accepted).map_err(|error| match error {
            DecideError::Database(error) => AddError::Database(error),
            DecideError::Unknown(_) | DecideError::Refused(_) | DecideError::Stopped => {
                AddError::Unknown(handle.clone())
            }
        })?;
        account::verification(&self.database().read(), own, tag, handle).map_err(|error| match error {
            VerifyError::Database(error) => AddError::Database(error),
            _ => AddError::BadKey,
        })
    }

    pub(super) fn mark_verified(
        &mut self,
        with: &Handle,
        compared: Option<[u8; 33]>,
    ) -> Result<Verification, VerifyError> {
        let (alone, now) = (self.alone, clock::now());
        let tag = self.database().read().tag_of(with)?.ok_or_else(|| VerifyError::Unknown(with.clone()))?;
        let queued = self.database().write(|store| {
            let changed = store.contact(tag)?.is_some_and(|contact| contact.changed_identity.is_some());
            if compared.is_some() && (changed || store.trusted_identity(tag)? != compared) {
                return Err(VerifyError::NotCompared(with.clone()));
            }
            store.set_verified(tag, compared.as_ref())?;
            let news = OwnNews::Compared { about: tag, compared: store.comparison(tag)? };
            Ok(settle_for_own_devices(store, news, alone, now)?)
        })?;
        self.queued(queued);
        self.verification(tag, with)
    }

    pub(super) fn set_nickname(&mut self, of: &Handle, nickname: Option<&Nickname>) -> Result<(), NicknameError> {
        let (alone, now) = (self.alone, clock::now());
        let queued = self.database().write(|store| {
            let tag = store.peer_of(of)?.ok_or_else(|| NicknameError::Unknown(of.clone()))?;
            store.set_nickname(tag, nickname)?;
            let name = nickname.map(|name| name.as_str().to_owned()).unwrap_or_default();
            // What stands in for an account means nothing to the other devices.
            let alone = alone || store.is_unaddressed(tag)?;
            Ok::<_, NicknameError>(settle_for_own_devices(store, OwnNews::Nickname { about: tag, name }, alone, now)?)
        })?;
        self.queued(queued);
        Ok(())
    }

    pub(super) fn arrange(&mut self, with: &Handle, arrangement: Arrangement) -> Result<(), ArrangeError> {
        let (alone, now) = (self.alone, clock::now());
        let queued = self.database().write(|store| {
            let tag = store.peer_of(with)?.ok_or_else(|| ArrangeError::Unknown(with.clone()))?;
            store.set_arrangement(tag, arrangement)?;
            // What stands in for an account means nothing to the other devices.
            let alone = alone || store.is_unaddressed(tag)?;
            let news = OwnNews::Arranged { with: tag, arrangement };
            Ok::<_, ArrangeError>(settle_for_own_devices(store, news, alone, now)?)
        })?;
        self.queued(queued);
        Ok(())
    }

    pub(super) fn verify(&mut self, with: Handle, reply: Reply<Result<Verification, VerifyError>>) {
        match self.database().read().tag_of(&with) {
            Ok(Some(tag)) => self.verify_account(tag, with, reply),
            Ok(None) if self.options.online && !self.is_own(&with) => {
                self.look_up(with.clone(), Command::Verify(with, reply));
            }
            Ok(None) => answer(reply, Err(VerifyError::Unknown(with))),
            Err(error) => answer(reply, Err(error.into())),
        }
    }

    /// Whoever asks who somebody is knows him no better for it: nothing but his identity is kept.
    fn verify_account(&mut self, tag: AccountTag, with: Handle, reply: Reply<Result<Verification, VerifyError>>) {
        match self.verification(tag, &with) {
            Err(VerifyError::Unknown(_)) if self.options.online && self.verifying.len() < VERIFYING_MAX => {
                self.verifying.push((tag, with, reply));
            }
            result => answer(reply, result),
        }
    }

    /// What is written to somebody waits until the server has said which account that is.
    pub(super) fn wait_for_address(&mut self, stand_in: AccountTag, handle: Handle) {
        self.outbox.block(stand_in);
        // Beyond the bound it is asked on the next connection.
        let _later = self.lookups.want(handle, Reason::Address);
    }

    /// On every connection: those whose account is not known yet, and those whose name the server has not confirmed.
    pub(super) fn look_up_everybody(&mut self) -> Result<(), DatabaseError> {
        for (stand_in, handle) in self.database().read().unaddressed(UNADDRESSED_MAX)? {
            self.wait_for_address(stand_in, handle);
        }
        for (tag, claimed) in self.database().read().claims(CLAIMS_MAX)? {
            // Beyond the bound it is asked on the next connection.
            let _later = self.lookups.want(claimed, Reason::Claim { tag, messages: Vec::new() });
        }
        Ok(())
    }

    /// Carries out a command when the account of the handle that it is about is known.
    pub(super) fn look_up(&mut self, handle: Handle, command: Command) {
        if let Err(reason) = self.lookups.want(handle.clone(), Reason::Command(Box::new(command))) {
            self.not_found(handle, reason, None);
        }
    }

    /// Whoever was written to by this handle, before anybody knew whose it is, has this account.
    fn address(&mut self, handle: &Handle, tag: AccountTag) -> Result<(), DatabaseError> {
        let store = self.database().read();
        let Some(stand_in) = store.peer_of(handle)? else { return Ok(()) };
        if !store.is_unaddressed(stand_in)? {
            return Ok(());
        }
        let (alone, now) = (self.alone, clock::now());
        let copies = self.database().write(|store| addressed(store, stand_in, tag, handle, alone, now))?;
        copies.into_iter().for_each(|copy| self.queued(Some(copy)));
        self.outbox.readdress(stand_in, tag);
        self.decided = true;
        Ok(())
    }

    /// The server has said which account a handle belongs to.
    pub(super) fn found(&mut self, handle: &Handle, tag: AccountTag) -> Result<(), DatabaseError> {
        let own = self.account.as_ref().and_then(|account| account.tag) == Some(tag);
        // First, because nobody else can have the name before.
        self.address(handle, tag)?;
        for reason in self.lookups.answered(handle) {
            match reason {
                Reason::Command(command) => match *command {
                    Command::Verify(with, reply) if !own => self.verify_account(tag, with, reply),
                    command => {
                        if !own {
                            self.database().write(|store| store.put_contact(tag, Some(handle)))?;
                        }
                        self.told(Some(command));
                    }
                },
                Reason::Address => {}
                Reason::Claim { tag: claimed, messages } => {
                    let name = if claimed == tag { Some(handle.clone()) } else { None };
                    self.database().write(|store| match claimed == tag {
                        true => store.name_contact(tag, handle),
                        false => store.refuse_claim(claimed),
                    })?;
                    if messages.is_empty() {
                        // Of those that were announced before.
                        self.tell(Event::Changed { with: name.clone(), id: None, change: Change::Settled });
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
                Command::Verify(_, reply) | Command::MarkVerified(_, _, reply) => {
                    let error = refused.map_or(VerifyError::Unknown(handle), VerifyError::Refused);
                    answer(reply, Err(error));
                }
                Command::Decide(_, _, reply) => {
                    let error = refused.map_or(DecideError::Unknown(handle), DecideError::Refused);
                    answer(reply, Err(error));
                }
                Command::AddContact { reply, .. } => {
                    answer(reply, Err(refused.map_or(AddError::Unknown(handle), AddError::Refused)));
                }
                _ => {}
            },
            // Asked again on the next connection, if not before.
            Reason::Address => {}
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

    pub(super) fn abandon_lookups(&mut self) {
        for (handle, reason) in self.lookups.give_up() {
            self.not_found(handle, reason, None);
        }
    }

    /// What to compare with somebody whose identity is known here.
    pub(super) fn verification(&mut self, tag: AccountTag, with: &Handle) -> Result<Verification, VerifyError> {
        let own = self.account.as_ref().and_then(Account::address).ok_or(VerifyError::NotRegistered)?;
        account::verification(&self.database().read(), own, tag, with)
    }

    pub(super) fn accept_identity(&mut self, with: &Handle) -> Result<Verification, VerifyError> {
        let own = self.account.as_ref().and_then(Account::address).ok_or(VerifyError::NotRegistered)?;
        let tag = self.database().read().tag_of(with)?.ok_or_else(|| VerifyError::Unknown(with.clone()))?;
        let opened = account::accept_identity(self.database(), own, tag, with)?;
        self.outbox.unblock(tag);
        for (envelope, arrival) in opened {
            self.announce(envelope.id, arrival);
        }
        self.tell_notices()?;
        self.verification(tag, with)
    }

    /// Answers those who wait for somebody's identity.
    pub(super) fn answer_verifying(&mut self, tag: AccountTag, failure: Option<&dyn Fn(Handle) -> VerifyError>) {
        let (done, waiting) = std::mem::take(&mut self.verifying).into_iter().partition(|(of, ..)| *of == tag);
        self.verifying = waiting;
        let done: Vec<Verifying> = done;
        for (_, with, reply) in done {
            let result = match failure {
                Some(error) => Err(error(with)),
                None => self.verification(tag, &with),
            };
            answer(reply, result);
        }
    }
}
