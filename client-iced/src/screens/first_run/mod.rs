//! The way to an account: server, name, password, and the wait.
//!
//! | file | what it is |
//! |---|---|
//! | `mod.rs` | state, and what a person does to it |
//! | `course.rs` | rules: which stage follows which, and where a failure can be mended |
//! | `typed.rs` | rules: what the fields say, read |
//! | `news.rs` | what the bridge tells |
//! | `view.rs` | what is to be seen |

mod course;
mod news;
#[cfg(test)]
mod tests;
mod typed;
mod view;

use std::path::Path;

use endtoend_client::address::ServerAddress;
use endtoend_client::transport::NetworkStatus;

use super::network::{self, Form};
use crate::action::Action;
use crate::failure::Failure;
use crate::order::{Order, Step};
use crate::secret::Secret;
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
    /// Which way to it.
    Network,
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
    /// Which way leads to it is to be chosen.
    ShowNetwork,
    /// About that way.
    Network(network::Message),
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
    /// Which way leads there.
    network: Form,
    /// A way was looked at here, so that it counts.
    network_chosen: bool,
    /// From where that was looked at.
    before_network: Stage,
    /// How it stands with the way.
    status: NetworkStatus,
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
            network: Form::default(),
            network_chosen: false,
            before_network: Stage::Server,
            status: NetworkStatus::default(),
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

impl FirstRun {
    /// Which of its pages is shown.
    pub const fn page(&self) -> u8 {
        self.stage as u8
    }

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
            Message::ShowNetwork => self.go(Stage::Network),
            Message::Network(message) => self.network.update(message),
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
            (Stage::Network, _) => self.network.dropped(path.to_owned()),
            (Stage::Server, _) => vec![Action::Order(Order::ReadCode(Some(path.to_owned())))],
            _ => Vec::new(),
        }
    }
}
