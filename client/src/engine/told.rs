//! How commands are answered: at once, or noted for the connection.

use super::account;
use super::command::{
    AccountError, AddError, Command, DecideError, Registration, Reply, Status, UnlockError, VerifyError,
};
use super::copying::Copy;
use super::event::{ConnectionState, Event, OfflineReason};
use super::requests::{AccountRequest, Asker, RequestError};
use super::run::{Means, Plan, Runner, Stopping};
use crate::clock;
use crate::database::{AccountState, Contact, Conversation, DatabaseError, Notice};
use crate::handle::Handle;

impl Runner {
    /// Carries out a command, or notes what the connection has to do for it. `None`: nobody is left to give any.
    pub(super) fn told(&mut self, command: Option<Command>) {
        self.carry_out(command);
        // If the disk fails it is tried again.
        let _swept = self.sweep_files();
    }

    fn carry_out(&mut self, command: Option<Command>) {
        let Some(command) = command else {
            self.stopping = Some(Stopping::End);
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
            Command::Attach(attaching, reply) => self.attach(attaching, reply),
            Command::FetchFile(with, message, reply) => {
                let fetches = self.fetch_file(&with, message);
                answer(reply, fetches);
            }
            Command::CancelFile(with, message, way, reply) => {
                let cancelled = self.cancel_file(&with, message, way);
                answer(reply, cancelled);
            }
            Command::SaveFile(with, message, to, replace, reply) => {
                self.save_file((&with, message), to, replace, reply);
            }
            Command::ReadFile(with, message, reply) => self.read_file(&with, message, reply),
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
                let set = self.set_settings(settings);
                answer(reply, set);
            }
            Command::Network(reply) => answer(reply, Ok(self.network.settings().clone())),
            Command::SetNetwork(settings, reply) => {
                let set = self.set_network(*settings);
                answer(reply, set);
            }
            Command::NewCircuits(reply) => {
                self.new_circuits();
                answer(reply, Ok(()));
            }
            Command::Find(id, reply) => answer(reply, self.database().read().sent_message(id)),
            Command::Message(with, id, reply) => {
                let store = self.database().read();
                let found = store.peer_of(&with).and_then(|tag| tag.map_or(Ok(None), |tag| store.message_in(tag, id)));
                answer(reply, found);
            }
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
            Command::Conversations(limit, reply) => {
                let own = self.account.as_ref().and_then(|account| account.tag);
                let found = self.database().read().conversations(limit);
                // What one has written to oneself is a conversation too.
                let shown = |it: &Conversation| Some(it.contact.tag) != own || it.last.is_some();
                let others = |found: Vec<Conversation>| found.into_iter().filter(shown).collect();
                answer(reply, found.map(others));
            }
            Command::Conversation(with, reply) => {
                let store = self.database().read();
                let found = store.peer_of(&with).and_then(|tag| tag.map_or(Ok(None), |tag| store.conversation(tag)));
                answer(reply, found);
            }
            Command::Contacts(reply) => {
                let own = self.account.as_ref().and_then(|account| account.tag);
                let contacts = self.database().read().contacts();
                let others = |contacts: Vec<Contact>| contacts.into_iter().filter(|c| Some(c.tag) != own).collect();
                answer(reply, contacts.map(others));
            }
            Command::Decide(about, standing, reply) => match self.decide(&about, standing) {
                Err(DecideError::Unknown(_)) if self.options.online && !self.is_own(&about) => {
                    self.look_up(about.clone(), Command::Decide(about, standing, reply));
                }
                decided => answer(reply, decided),
            },
            Command::Verify(with, reply) => self.verify(with, reply),
            Command::MarkVerified(with, compared, reply) => match self.mark_verified(&with, compared) {
                Err(VerifyError::Unknown(_)) if compared.is_some() && self.options.online && !self.is_own(&with) => {
                    self.look_up(with.clone(), Command::MarkVerified(with, compared, reply));
                }
                marked => answer(reply, marked),
            },
            Command::Nickname(of, nickname, reply) => {
                let named = self.set_nickname(&of, nickname.as_ref());
                answer(reply, named);
            }
            Command::Arrange(with, arrangement, reply) => {
                let arranged = self.arrange(&with, arrangement);
                answer(reply, arranged);
            }
            Command::Remove(removing, reply) => {
                let removed = self.remove_conversation(&removing);
                answer(reply, removed);
            }
            Command::DevicesOf(of, reply) => {
                let devices = self.devices_of(&of);
                answer(reply, devices);
            }
            Command::SetDraft(with, draft, reply) => {
                let now = clock::now();
                answer(reply, self.database().write(|store| store.set_draft(&with, draft.as_ref(), now)));
            }
            Command::Draft(with, reply) => answer(reply, self.database().read().draft(&with)),
            Command::Drafts(limit, reply) => answer(reply, self.database().read().drafts(limit)),
            Command::SetFace(face, reply) => {
                let set = self.set_face(&face);
                answer(reply, set);
            }
            Command::Face(of, reply) => {
                let face = self.face(of.as_ref());
                answer(reply, face);
            }
            Command::SendCard(to, card, answered, reply) => {
                let queued = self.send_card(&to, *card, answered);
                answer(reply, queued);
            }
            Command::LinkOf(of, reply) => {
                let link = self.link_of(&of);
                answer(reply, link);
            }
            Command::OwnLink(reply) => {
                let link = self.own_link();
                answer(reply, link);
            }
            Command::AddContact { link, compared, reply } => match self.add_contact(&link, compared) {
                Err(AddError::Unknown(handle)) if self.options.online => {
                    self.look_up(handle, Command::AddContact { link, compared, reply });
                }
                added => answer(reply, added),
            },
            Command::AcceptIdentity(with, reply) => {
                let accepted = self.accept_identity(&with);
                answer(reply, accepted);
            }
            Command::Status(reply) => {
                let status = self.status();
                answer(reply, status);
            }
            Command::Lock(reply) => self.lock(Some(reply)),
            Command::Unlock(_, reply) => answer(reply, Err(UnlockError::NotLocked)),
            Command::Backup(path, passphrase, reply) => self.copy(path, Copy::Sealed(passphrase), reply),
            Command::Export(path, reply) => self.copy(path, Copy::Plain, reply),
            Command::ClearFiles(reply) => {
                let cleared = self.clear_files();
                answer(reply, cleared);
            }
            Command::Active => self.idle.seen(clock::monotonic(), clock::now()),
            Command::LockAfter(reply) => answer(reply, self.database().read().lock_after()),
            Command::SetLockAfter(after, reply) => {
                let set = self.database().write(|store| store.set_lock_after(after));
                if set.is_ok() {
                    self.idle.set(after);
                }
                answer(reply, set);
            }
            Command::Shutdown => self.stopping = Some(Stopping::End),
        }
    }

    pub(super) fn unseen_notices(&mut self, of: Option<&Handle>, limit: u32) -> Result<Vec<Notice>, DatabaseError> {
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

    pub(super) fn prepare_registration(&mut self, registration: Registration) -> Result<Means, AccountError> {
        if self.waiting.is_some() {
            return Err(AccountError::Busy);
        }
        let Registration { server, handle, invite, server_password } = registration;
        let (account, device, again) = account::prepare_registration(self.database(), server, server_password, handle)?;
        self.account = Some(account);
        Ok(Means::Register { device, invite, again })
    }

    pub(super) fn begin_login(&mut self, reply: Reply<Result<(), AccountError>>) {
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

    pub(super) fn begin(&mut self, means: Means, reply: Reply<Result<(), AccountError>>) {
        self.means = means;
        self.waiting = Some(reply);
        self.plan = Plan::Now;
        self.options.online = true;
    }

    pub(super) fn request(&mut self, request: AccountRequest, asker: Asker) {
        let registered = self.account.as_ref().is_some_and(|account| account.state == AccountState::Registered);
        match registered {
            true => self.requests.push(request, asker),
            false => answer(asker, Err(RequestError::NotRegistered)),
        }
        if !self.options.online {
            self.requests.give_up(&OfflineReason::Idle);
        }
    }

    pub(super) fn status(&mut self) -> Result<Status, DatabaseError> {
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
pub(super) fn answer<T>(reply: Reply<T>, value: T) {
    let _gone = reply.send(value);
}
