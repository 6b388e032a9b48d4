//! The settings, in the window: there is no file to edit. What can be undone is done at once; what cannot asks first.
//!
//! | file | what it is |
//! |---|---|
//! | `mod.rs` | state, and what a person does to it |
//! | `news.rs` | what the bridge tells |
//! | `view.rs` | the sections, and the parts that they are made of |
//! | `profile.rs`, [`face`], `devices.rs`, `privacy.rs`, [`network`], `notices.rs`, `appearance.rs`, `storage.rs`, `about.rs` | one each |
//! | [`licences`] | what this program is made of, and under which licences |

mod about;
mod appearance;
mod devices;
pub mod face;
pub mod licences;
pub mod network;
mod news;
mod notices;
mod parts;
mod privacy;
mod profile;
mod storage;
mod view;

use std::path::Path;
use std::time::Duration;

use endtoend_client::database::Settings;
use endtoend_client::engine::OwnDevice;
use endtoend_protocol::DeviceId;

use super::{FILTER_BYTES_MAX, Home};
use crate::action::Action;
use crate::failure::Failure;
use crate::order::{Order, Usage, Written};
use crate::qr::Code;
use crate::secret::Secret;
use crate::strength::Strength;
use face::FaceForm;
use network::NetworkPage;

/// What the settings are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Section {
    /// Who this is, and how that is passed on.
    #[default]
    Profile,
    /// What is in the account.
    Devices,
    /// What others learn, and who gets at this device.
    Privacy,
    /// Where the account lives.
    Network,
    /// What the desktop is told.
    Notices,
    /// How things look.
    Appearance,
    /// What lies on the disk.
    Storage,
    /// What keys do.
    Keyboard,
    /// What this is.
    About,
}

impl Section {
    /// All of them, as they stand.
    pub const ALL: [Self; 9] = [
        Self::Profile,
        Self::Devices,
        Self::Privacy,
        Self::Network,
        Self::Notices,
        Self::Appearance,
        Self::Storage,
        Self::Keyboard,
        Self::About,
    ];
}

/// Something that cannot be undone, and is asked about first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grave {
    /// A device goes out of the account.
    RemoveDevice(DeviceId),
    /// Everything that was said goes into a file that anybody can read.
    Export,
    /// Files that were fetched go from this device.
    ClearFiles,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// Something else, please.
    Show(Section),
    /// Something else is told to others.
    SetPrivacy(Settings),
    /// The profile locks itself after so long; with `None` never.
    LockAfter(Option<Duration>),
    /// It is locked now.
    Lock,
    /// That is wanted: asks once more; with `None` it is not wanted after all.
    Ask(Option<Grave>),
    /// It is meant.
    Meant,
    /// What a new device shows.
    LinkCodeEdited(String),
    /// That is it.
    Meet,
    /// The digits are the same.
    LetIn,
    /// They are not.
    LinkStopped,
    /// Of a backup.
    PassphraseEdited(Secret),
    /// The same once more.
    AgainEdited(Secret),
    /// Make it.
    Backup,
    /// The list of licences, or not.
    Licences(bool),
    /// About how this account shows itself.
    Face(face::Message),
    /// About the way to the network.
    Network(network::Message),
}

/// Something between a new device and this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Linking {
    /// Nothing yet.
    #[default]
    Idle,
    /// Its code is here, and the server is asked.
    Asking,
    /// Both have to show this.
    Digits(String),
    /// The person has said so, and the server is told.
    LettingIn,
    /// It is in.
    Done,
}

/// How this account is passed on.
#[derive(Debug)]
struct OwnLink {
    text: String,
    /// `None` for a link that is too long for a code.
    code: Option<Code>,
}

/// Something that is written or cleared.
#[derive(Debug, Default)]
enum Work {
    /// Nothing.
    #[default]
    None,
    /// It is being done.
    Busy,
    /// It lies there.
    Written(Written),
    /// So many bytes are free again.
    Cleared(u64),
}

/// Everything about the settings that is not a preference.
#[derive(Debug, Default)]
pub struct SettingsPage {
    section: Section,
    face: FaceForm,
    network: NetworkPage,
    link: Option<Result<OwnLink, Failure>>,
    privacy: Option<Settings>,
    lock_after: Option<Option<Duration>>,
    devices: Option<Result<Vec<OwnDevice>, Failure>>,
    asked: Option<Grave>,
    code: String,
    linking: Linking,
    usage: Option<Result<Usage, Failure>>,
    passphrase: Secret,
    again: Secret,
    work: Work,
    licences: bool,
    failure: Option<Failure>,
}

impl SettingsPage {
    /// What a backup is sealed with, when it is long enough and the same twice.
    fn sealed_with(&self) -> Result<&Secret, Failure> {
        if self.passphrase.is_empty() || self.again.is_empty() {
            return Err(Failure::new("password-missing"));
        }
        if self.passphrase != self.again {
            return Err(Failure::new("password-differs"));
        }
        match Strength::of(self.passphrase.as_str(), &[]) < Strength::LEAST {
            true => Err(Failure::new("password-weak")),
            false => Ok(&self.passphrase),
        }
    }

    fn update(&mut self, message: Message) -> Vec<Action> {
        self.failure = None;
        let order = match message {
            Message::Show(section) => return self.show(section),
            Message::SetPrivacy(settings) => Order::SetSettings(settings),
            Message::LockAfter(after) => Order::SetLockAfter(after),
            Message::Lock => Order::Lock,
            Message::Ask(grave) => {
                self.asked = grave;
                return Vec::new();
            }
            Message::Meant => return self.meant(),
            Message::LinkCodeEdited(typed) => {
                if typed.len() <= FILTER_BYTES_MAX {
                    self.code = typed;
                }
                return Vec::new();
            }
            Message::Meet if self.code.trim().is_empty() => return Vec::new(),
            Message::Meet => {
                self.linking = Linking::Asking;
                Order::Meet(self.code.trim().to_owned())
            }
            Message::LetIn => {
                self.linking = Linking::LettingIn;
                Order::LetIn
            }
            Message::LinkStopped => {
                self.linking = Linking::Idle;
                self.code.clear();
                return Vec::new();
            }
            Message::PassphraseEdited(typed) => {
                self.passphrase = typed;
                return Vec::new();
            }
            Message::AgainEdited(typed) => {
                self.again = typed;
                return Vec::new();
            }
            Message::Backup => return self.back_up(),
            Message::Network(message) => return self.network.update(message),
            Message::Face(message) => return self.face.update(message),
            Message::Licences(shown) => {
                self.licences = shown;
                return Vec::new();
            }
        };
        vec![Action::Order(order)]
    }

    /// A file was let fall on the window.
    pub(super) fn dropped(&mut self, path: &Path) -> Vec<Action> {
        match self.section {
            Section::Network => self.network.form().map(|form| form.dropped(path.to_owned())).unwrap_or_default(),
            Section::Profile => vec![Action::Order(Order::FaceSource(Some(path.to_owned())))],
            _ => Vec::new(),
        }
    }

    fn show(&mut self, section: Section) -> Vec<Action> {
        (self.section, self.asked) = (section, None);
        let order = match section {
            Section::Devices => Order::Devices,
            Section::Network => Order::Network,
            Section::Storage => Order::Usage,
            _ => return Vec::new(),
        };
        vec![Action::Order(order)]
    }

    fn meant(&mut self) -> Vec<Action> {
        let order = match self.asked.take() {
            None => return Vec::new(),
            Some(Grave::RemoveDevice(device)) => {
                self.devices = None;
                Order::RemoveDevice(device)
            }
            Some(Grave::Export) => {
                self.work = Work::Busy;
                Order::Export
            }
            Some(Grave::ClearFiles) => {
                self.work = Work::Busy;
                Order::ClearFiles
            }
        };
        vec![Action::Order(order)]
    }

    fn back_up(&mut self) -> Vec<Action> {
        if matches!(self.work, Work::Busy) {
            return Vec::new();
        }
        match self.sealed_with().cloned() {
            Ok(passphrase) => {
                (self.passphrase, self.again) = (Secret::default(), Secret::default());
                self.work = Work::Busy;
                vec![Action::Order(Order::Backup(passphrase))]
            }
            Err(failure) => {
                self.failure = Some(failure);
                Vec::new()
            }
        }
    }
}

impl Home {
    pub(super) fn open_settings(&mut self) -> Vec<Action> {
        self.settings = Some(SettingsPage::default());
        [Order::Settings, Order::LockAfter, Order::Devices, Order::OwnLink].map(Action::Order).to_vec()
    }

    pub(super) fn settings_message(&mut self, message: Message) -> Vec<Action> {
        if let Message::Network(network::Message::Save) = message {
            return self.set_network();
        }
        self.settings.as_mut().map(|page| page.update(message)).unwrap_or_default()
    }

    /// How it stands with the network, and what can be chosen about it.
    pub(super) fn show_network(&mut self) -> Vec<Action> {
        let mut actions = if self.settings.is_some() { Vec::new() } else { self.open_settings() };
        actions.extend(self.settings_message(Message::Show(Section::Network)));
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::News;

    fn orders(actions: &[Action]) -> Vec<String> {
        actions.iter().map(|action| format!("{action:?}")).collect()
    }

    fn asked_twice(grave: Grave) -> Vec<String> {
        let mut page = SettingsPage::default();
        assert!(page.update(Message::Ask(Some(grave))).is_empty());
        assert!(page.update(Message::Ask(None)).is_empty());
        assert!(page.update(Message::Meant).is_empty(), "not after all");
        page.update(Message::Ask(Some(grave)));
        page.update(Message::Show(Section::About));
        assert!(page.update(Message::Meant).is_empty(), "another section asks nothing");
        page.update(Message::Ask(Some(grave)));
        orders(&page.update(Message::Meant))
    }

    #[test]
    fn what_cannot_be_undone_is_done_only_when_it_is_meant() {
        let device = DeviceId::new(2).unwrap();
        assert_eq!(asked_twice(Grave::RemoveDevice(device)), [format!("Order(RemoveDevice({device:?}))")]);
        assert_eq!(asked_twice(Grave::Export), ["Order(Export)"]);
        assert_eq!(asked_twice(Grave::ClearFiles), ["Order(ClearFiles)"]);
    }

    #[test]
    fn a_backup_is_sealed_with_something_good_that_was_typed_twice_and_is_not_kept() {
        let mut page = SettingsPage::default();
        let mut attempt = |one: &str, two: &str| {
            page.update(Message::PassphraseEdited(one.to_owned().into()));
            page.update(Message::AgainEdited(two.to_owned().into()));
            let actions = page.update(Message::Backup);
            (orders(&actions), page.failure.as_ref().map(|failure| failure.key))
        };
        assert_eq!(attempt("", ""), (vec![], Some("password-missing")));
        assert_eq!(attempt("one two", "three four"), (vec![], Some("password-differs")));
        assert_eq!(attempt("password", "password"), (vec![], Some("password-weak")));
        let good = "tundra moat ferric oblong";
        assert_eq!(attempt(good, good), (vec!["Order(Backup(Secret(..)))".to_owned()], None));
        assert!(page.passphrase.is_empty() && page.again.is_empty());
        assert!(page.update(Message::Backup).is_empty(), "one at a time");
        page.news(News::Written(Err(Failure::new("disk-full"))));
        assert_eq!(page.failure.as_ref().unwrap().key, "disk-full");
        assert!(!matches!(page.work, Work::Busy));
    }

    #[test]
    fn a_section_asks_for_what_it_shows() {
        let mut page = SettingsPage::default();
        assert_eq!(orders(&page.update(Message::Show(Section::Storage))), ["Order(Usage)"]);
        assert_eq!(orders(&page.update(Message::Show(Section::Devices))), ["Order(Devices)"]);
        let after = Some(Duration::from_secs(300));
        assert_eq!(orders(&page.update(Message::LockAfter(after))), ["Order(SetLockAfter(Some(300s)))"]);
    }
}
