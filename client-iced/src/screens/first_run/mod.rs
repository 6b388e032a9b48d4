//! The way to an account: server, name, password, and the wait.

mod view;

use std::path::{Path, PathBuf};

use endtoend_client::address::ServerAddress;
use endtoend_client::files::Source;
use endtoend_client::handle::Handle;
use endtoend_protocol::InviteCode;

use crate::app::Action;
use crate::failure::Failure;
use crate::order::{Arrival, Entry, News, Order, Restoring, Step, Ticket};
use crate::secret::Secret;
use crate::strength::Strength;
use crate::ui::id;

/// How somebody comes to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// There is none yet.
    Create,
    /// Another device lets this one in.
    Link,
    /// By the password, and what was left at the server for this.
    Recover,
    /// By the password, and a backup in a file.
    Restore,
}

/// Where on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The beginning.
    #[default]
    Welcome,
    /// With another device, or without.
    SignIn,
    /// Which server.
    Server,
    /// Which backup.
    Backup,
    /// Who.
    Who,
    /// The password.
    Password,
    /// Something is done.
    Waiting,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// This way, please.
    Begin(Way),
    /// There is an account.
    SignIn,
    /// One stage back.
    Back,
    /// One stage on.
    Next,
    /// Of the server.
    AddressEdited(String),
    /// It is in a code in a picture, which is to be chosen.
    ReadCode,
    /// Where the backup lies.
    PathEdited(String),
    /// It is to be chosen in the system's window.
    ChooseBackup,
    /// What opens it.
    PassphraseEdited(Secret),
    /// Of the account.
    HandleEdited(String),
    /// That somebody was given.
    InviteEdited(String),
    /// Of the server itself.
    ServerPasswordEdited(Secret),
    /// Of the profile.
    PasswordEdited(Secret),
    /// The same once more.
    AgainEdited(Secret),
    /// No more waiting.
    Cancel,
    /// Without the profile that is here.
    StartOver,
    /// Into the clipboard.
    Copy(String),
}

/// Somebody on the way.
#[derive(Debug)]
pub struct FirstRun {
    stage: Stage,
    way: Way,
    address: String,
    /// That were used last.
    servers: Vec<ServerAddress>,
    /// The system's window is open.
    choosing: bool,
    path: String,
    passphrase: Secret,
    handle: String,
    invite: String,
    server_password: Secret,
    password: Secret,
    again: Secret,
    /// There is a profile, and this opens it: no other is asked for.
    profile: bool,
    step: Step,
    cancelling: bool,
    failure: Option<Failure>,
}

impl Default for FirstRun {
    fn default() -> Self {
        Self {
            stage: Stage::Welcome,
            way: Way::Create,
            address: String::new(),
            servers: Vec::new(),
            choosing: false,
            path: String::new(),
            passphrase: Secret::default(),
            handle: String::new(),
            invite: String::new(),
            server_password: Secret::default(),
            password: Secret::default(),
            again: Secret::default(),
            profile: false,
            step: Step::Opening,
            cancelling: false,
            failure: None,
        }
    }
}

/// Longest text that a field takes, in bytes. The longest good one is an address with its pin.
const FIELD_BYTES_MAX: usize = 1024;

/// Longest path, in bytes, as Linux has it.
const PATH_BYTES_MAX: usize = 4_096;

fn take(field: &mut String, typed: String) {
    if typed.len() <= FIELD_BYTES_MAX {
        *field = typed;
    }
}

/// Nothing where nothing was typed.
fn unless_empty<T>(text: &str, read: impl FnOnce(&str) -> Result<T, Failure>) -> Result<Option<T>, Failure> {
    if text.trim().is_empty() { Ok(None) } else { read(text.trim()).map(Some) }
}

impl FirstRun {
    /// With a profile that has no account, and its password.
    pub fn with_profile(password: Secret) -> Self {
        Self { password, profile: true, ..Self::default() }
    }

    /// Something happened.
    pub fn update(&mut self, message: Message) -> Vec<Action> {
        if !matches!(message, Message::Copy(_)) {
            self.failure = None;
        }
        match message {
            Message::Begin(way) => {
                self.way = way;
                self.go(if way == Way::Restore { Stage::Backup } else { Stage::Server })
            }
            Message::ReadCode => self.choose(Order::ReadCode(None)),
            Message::ChooseBackup => self.choose(Order::Choose),
            Message::PathEdited(typed) => {
                if typed.len() <= PATH_BYTES_MAX {
                    self.path = typed;
                }
                Vec::new()
            }
            Message::PassphraseEdited(typed) => {
                self.passphrase = typed;
                Vec::new()
            }
            Message::SignIn => self.go(Stage::SignIn),
            Message::Back => self.back(),
            Message::Next => self.next().unwrap_or_else(|failure| {
                self.failure = Some(failure);
                Vec::new()
            }),
            Message::AddressEdited(typed) => {
                take(&mut self.address, typed);
                Vec::new()
            }
            Message::HandleEdited(typed) => {
                take(&mut self.handle, typed);
                Vec::new()
            }
            Message::InviteEdited(typed) => {
                take(&mut self.invite, typed);
                Vec::new()
            }
            Message::ServerPasswordEdited(typed) => {
                self.server_password = typed;
                Vec::new()
            }
            Message::PasswordEdited(typed) => {
                self.password = typed;
                Vec::new()
            }
            Message::AgainEdited(typed) => {
                self.again = typed;
                Vec::new()
            }
            Message::Cancel => {
                self.cancelling = true;
                vec![Action::Order(Order::Cancel)]
            }
            Message::StartOver => vec![Action::Order(Order::StartOver)],
            Message::Copy(text) => vec![Action::Copy(text)],
        }
    }

    /// The system's window is opened, once.
    fn choose(&mut self, order: Order) -> Vec<Action> {
        if std::mem::replace(&mut self.choosing, true) { Vec::new() } else { vec![Action::Order(order)] }
    }

    /// A file was let fall on the window: a backup where one is asked for, else a picture of a code.
    pub fn dropped(&mut self, path: &Path) -> Vec<Action> {
        self.failure = None;
        match (self.stage, path.to_str()) {
            (Stage::Backup, Some(path)) => {
                path.clone_into(&mut self.path);
                vec![Action::Focus(id::PASSPHRASE)]
            }
            (Stage::Backup, None) => {
                self.failure = Some(Failure::new("file-unreadable"));
                Vec::new()
            }
            (Stage::Server, _) => vec![Action::Order(Order::ReadCode(Some(path.to_owned())))],
            _ => Vec::new(),
        }
    }

    /// Whether the server is known, and the handle too: all that is asked for is what the server may ask of everybody.
    const fn is_known(&self) -> bool {
        matches!(self.way, Way::Link | Way::Restore)
    }

    fn go(&mut self, stage: Stage) -> Vec<Action> {
        self.stage = stage;
        match stage {
            Stage::Server => vec![Action::Order(Order::Servers), Action::Focus(id::ADDRESS)],
            Stage::Backup => vec![Action::Focus(id::BACKUP)],
            Stage::Who if self.is_known() => vec![Action::Focus(id::SERVER_PASSWORD)],
            Stage::Who => vec![Action::Focus(id::HANDLE)],
            Stage::Password if !self.profile => vec![Action::Focus(id::PASSWORD)],
            Stage::Welcome | Stage::SignIn | Stage::Password | Stage::Waiting => Vec::new(),
        }
    }

    fn back(&mut self) -> Vec<Action> {
        let stage = match (self.stage, self.way) {
            (Stage::Server, Way::Link | Way::Recover) | (Stage::Backup, _) => Stage::SignIn,
            (Stage::Who, Way::Restore) => Stage::Backup,
            (Stage::Who, _) => Stage::Server,
            (Stage::Password, _) => Stage::Who,
            // A wait is ended by `Cancel`.
            (Stage::Waiting, _) => Stage::Waiting,
            (Stage::Welcome | Stage::SignIn | Stage::Server, _) => Stage::Welcome,
        };
        self.go(stage)
    }

    fn next(&mut self) -> Result<Vec<Action>, Failure> {
        match self.stage {
            Stage::Welcome | Stage::SignIn | Stage::Waiting => Ok(Vec::new()),
            Stage::Server => {
                self.server()?;
                Ok(self.go(Stage::Who))
            }
            Stage::Backup => {
                self.backup()?;
                Ok(self.go(Stage::Who))
            }
            Stage::Who => {
                self.invite()?;
                if !self.is_known() {
                    self.who()?;
                }
                Ok(self.go(Stage::Password))
            }
            Stage::Password => {
                let entry = self.entry()?;
                (self.stage, self.step, self.cancelling) = (Stage::Waiting, Step::Opening, false);
                Ok(vec![Action::Order(Order::Enter(Box::new(entry)))])
            }
        }
    }

    fn server(&self) -> Result<ServerAddress, Failure> {
        Ok(self.address.parse::<ServerAddress>()?)
    }

    /// Where the backup lies, and what opens it.
    fn backup(&self) -> Result<(PathBuf, Secret), Failure> {
        let path = self.path.trim();
        match path.is_empty() || self.passphrase.is_empty() {
            true => Err(Failure::new("backup-missing")),
            false => Ok((PathBuf::from(path), self.passphrase.clone())),
        }
    }

    fn who(&self) -> Result<Handle, Failure> {
        Ok(self.handle.trim().parse::<Handle>()?)
    }

    fn invite(&self) -> Result<Option<InviteCode>, Failure> {
        unless_empty(&self.invite, |text| text.parse().map_err(|_| Failure::new("invite-form")))
    }

    /// How long the password stands that was typed.
    fn strength(&self) -> Strength {
        Strength::of(self.password.as_str(), &[self.handle.trim()])
    }

    /// Whether the password is made here, and not one that exists already.
    fn is_new_password(&self) -> bool {
        self.way == Way::Create && !self.profile
    }

    fn entry(&self) -> Result<Entry, Failure> {
        if self.is_new_password() {
            if self.strength() < Strength::LEAST {
                return Err(Failure::new("password-weak"));
            }
            if self.password != self.again {
                return Err(Failure::new("password-differs"));
            }
        } else if self.password.is_empty() {
            return Err(Failure::new("password-missing"));
        }
        let server_password = Some(self.server_password.clone()).filter(|password| !password.is_empty());
        if self.way == Way::Restore {
            let (path, passphrase) = self.backup()?;
            let password = self.password.clone();
            return Ok(Entry::Restore(Restoring { path, passphrase, server_password, password }));
        }
        let arrival = Arrival { server: self.server()?, server_password, password: self.password.clone() };
        Ok(match self.way {
            Way::Link => Entry::Link(arrival),
            Way::Create => Entry::Register(Ticket { handle: self.who()?, arrival }, self.invite()?),
            // It is returned above.
            Way::Restore | Way::Recover => Entry::Recover(Ticket { handle: self.who()?, arrival }),
        })
    }

    /// The bridge tells something.
    pub fn news(&mut self, news: News) -> Vec<Action> {
        match news {
            News::Step(step) => {
                self.step = step;
                Vec::new()
            }
            News::NotEntered(failure, profile) => {
                self.profile = profile;
                let stage = match stage_of(failure.key) {
                    // The server of a backup is in it: nothing about it can be put right there.
                    Stage::Server if self.way == Way::Restore => Stage::Password,
                    stage => stage,
                };
                self.failure = Some(failure);
                self.go(stage)
            }
            News::Servers(servers) => {
                self.servers = servers;
                Vec::new()
            }
            News::Chosen(files) => {
                self.choosing = false;
                match files.into_iter().next() {
                    Some(Source::File(path)) => self.dropped(&path),
                    Some(Source::Bytes(..)) | None => Vec::new(),
                }
            }
            News::Code(code) => {
                self.choosing = false;
                match code {
                    Ok(Some(code)) => take(&mut self.address, code),
                    Ok(None) => {}
                    Err(failure) => self.failure = Some(failure),
                }
                Vec::new()
            }
            News::Cancelled(profile) => {
                self.profile = profile;
                self.go(Stage::Password)
            }
            News::StartedOver(Ok(())) => {
                *self = Self::default();
                Vec::new()
            }
            News::StartedOver(Err(failure)) | News::Failed(failure) => {
                self.failure = Some(failure);
                if self.stage == Stage::Waiting { self.go(Stage::Password) } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }
}

/// Where something can be done about a failure.
fn stage_of(key: &str) -> Stage {
    match key {
        "refused-handle-taken"
        | "refused-invite"
        | "refused-server-password"
        | "refused-registration-closed"
        | "refused-unknown-account" => Stage::Who,
        "backup-none" | "backup-newer" | "backup-passphrase" | "backup-damaged" | "file-unreadable" => Stage::Backup,
        "offline-unreachable" | "offline-untrusted" | "offline-protocol" | "refused-version" => Stage::Server,
        _ => Stage::Password,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::server;

    fn at_the_password() -> FirstRun {
        let mut run = FirstRun::default();
        run.update(Message::Begin(Way::Create));
        run.update(Message::AddressEdited(server().to_string()));
        run.update(Message::Next);
        run.update(Message::HandleEdited("alice".to_owned()));
        run.update(Message::Next);
        assert_eq!(run.stage, Stage::Password);
        run
    }

    fn type_password(run: &mut FirstRun, password: &str, again: &str) {
        run.update(Message::PasswordEdited(password.to_owned().into()));
        run.update(Message::AgainEdited(again.to_owned().into()));
    }

    const GOOD: &str = "stapler gravel quorum";

    #[test]
    fn nothing_is_asked_for_before_it_can_be_had() {
        let mut run = FirstRun::default();
        run.update(Message::Begin(Way::Create));
        for (address, key) in
            [("https://x", "address-scheme"), ("endtoend://x/", "address-pin"), ("endtoend://:1/#pin=", "address-pin")]
        {
            run.update(Message::AddressEdited(address.to_owned()));
            assert!(run.update(Message::Next).is_empty());
            assert_eq!((run.stage, run.failure.as_ref().unwrap().key), (Stage::Server, key));
        }
        let mut run = at_the_password();
        for (password, again, key) in [("password", "password", "password-weak"), (GOOD, "other", "password-differs")] {
            type_password(&mut run, password, again);
            assert!(run.update(Message::Next).is_empty());
            assert_eq!(run.failure.as_ref().unwrap().key, key);
        }
        type_password(&mut run, GOOD, GOOD);
        let asked = run.update(Message::Next);
        let [Action::Order(Order::Enter(entry))] = asked.as_slice() else { panic!("{asked:?}") };
        assert!(matches!(&**entry, Entry::Register(ticket, None) if ticket.handle.as_str() == "alice"));
        assert!(!format!("{run:?} {asked:?}").contains("gravel"), "a password in a `Debug`");
    }

    #[test]
    fn a_failure_leads_to_where_something_can_be_done_about_it() {
        for (key, stage) in [
            ("refused-handle-taken", Stage::Who),
            ("offline-unreachable", Stage::Server),
            ("disk-full", Stage::Password),
        ] {
            let mut run = at_the_password();
            type_password(&mut run, GOOD, GOOD);
            run.update(Message::Next);
            run.news(News::NotEntered(Failure::new(key), true));
            assert_eq!((run.stage, run.failure.as_ref().unwrap().key), (stage, key));
        }
    }

    #[test]
    fn a_backup_needs_its_place_and_its_passphrase_and_then_the_password() {
        let mut run = FirstRun::default();
        run.update(Message::SignIn);
        run.update(Message::Begin(Way::Restore));
        assert_eq!(run.stage, Stage::Backup);
        run.dropped(Path::new("/tmp/alice.backup"));
        run.update(Message::Next);
        assert_eq!((run.stage, run.failure.as_ref().unwrap().key), (Stage::Backup, "backup-missing"));
        run.update(Message::PassphraseEdited("open sesame".to_owned().into()));
        run.update(Message::Next);
        run.update(Message::Next);
        assert_eq!(run.stage, Stage::Password);
        run.update(Message::PasswordEdited(GOOD.to_owned().into()));
        let asked = run.update(Message::Next);
        let [Action::Order(Order::Enter(entry))] = asked.as_slice() else { panic!("{asked:?}") };
        assert!(matches!(&**entry, Entry::Restore(it) if it.path == Path::new("/tmp/alice.backup")));
        assert!(!format!("{run:?} {asked:?}").contains("sesame"), "a passphrase in a `Debug`");
        run.news(News::NotEntered(Failure::new("backup-passphrase"), false));
        assert_eq!(run.stage, Stage::Backup);
        assert_eq!((run.update(Message::Back).len(), run.stage), (0, Stage::SignIn));
    }

    #[test]
    fn an_address_comes_from_a_code_or_from_the_servers_of_before() {
        let mut run = FirstRun::default();
        let asked = run.update(Message::Begin(Way::Create));
        assert!(matches!(asked.first(), Some(Action::Order(Order::Servers))), "{asked:?}");
        run.news(News::Servers(vec![server()]));
        assert_eq!(run.servers, [server()]);
        assert!(matches!(run.update(Message::ReadCode).as_slice(), [Action::Order(Order::ReadCode(None))]));
        assert!(run.update(Message::ReadCode).is_empty(), "the window is open");
        run.news(News::Code(Err(Failure::new("code-none"))));
        assert_eq!(run.failure.as_ref().unwrap().key, "code-none");
        let asked = run.dropped(Path::new("/tmp/code.png"));
        assert!(matches!(asked.as_slice(), [Action::Order(Order::ReadCode(Some(_)))]));
        run.news(News::Code(Ok(Some(server().to_string()))));
        run.update(Message::Next);
        assert_eq!(run.stage, Stage::Who);
    }

    #[test]
    fn a_profile_that_was_made_keeps_its_password_and_can_be_left() {
        let mut run = at_the_password();
        type_password(&mut run, GOOD, GOOD);
        run.update(Message::Next);
        assert!(matches!(run.update(Message::Cancel).as_slice(), [Action::Order(Order::Cancel)]));
        run.news(News::Cancelled(true));
        assert!(!run.is_new_password() && run.stage == Stage::Password);
        assert!(matches!(run.update(Message::Next).as_slice(), [Action::Order(Order::Enter(_))]));
        run.news(News::Cancelled(true));
        run.update(Message::StartOver);
        run.news(News::StartedOver(Ok(())));
        assert_eq!((run.stage, run.profile, run.password.is_empty()), (Stage::Welcome, false, true));
    }
}
