//! Which way leads to the network: on the way to an account, and in the settings. A form, and what is said of how it stands.

pub mod keys;
mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;

use endtoend_client::address::Host;
use endtoend_client::transport::bridges::{BadBridge, TEXT_BYTES_MAX, read_lines};
use endtoend_client::transport::programs::Program;
use endtoend_client::transport::{BridgeLine, Choice, NetworkSettings, TorTrouble};
use iced::widget::text_editor::{self, Content};

use crate::action::Action;
use crate::failure::Failure;
use crate::order::Order;
use keys::Keys;
pub use view::{meter, state_words, status};

/// Longest proxy that is typed, in bytes: an address and a port.
const PROXY_BYTES_MAX: usize = 64;
/// Longest path, in bytes, as Linux has it.
const PATH_BYTES_MAX: usize = 4_096;
/// What a proxy begins with.
const SOCKS: &str = "socks5://";

/// A way, without what belongs to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Through Tor to everywhere but this machine.
    #[default]
    Automatic,
    /// Through Tor.
    Tor,
    /// Through a proxy.
    Proxy,
    /// Without either.
    Direct,
}

impl Kind {
    /// All of them, as they stand.
    pub const ALL: [Self; 4] = [Self::Automatic, Self::Tor, Self::Proxy, Self::Direct];

    const fn of(choice: Choice) -> Self {
        match choice {
            Choice::Automatic => Self::Automatic,
            Choice::Tor => Self::Tor,
            Choice::Proxy(_) => Self::Proxy,
            Choice::Direct => Self::Direct,
        }
    }

    /// What it is called, and what follows from it.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Automatic => ("way-automatic", "way-automatic-note"),
            Self::Tor => ("way-tor", "way-tor-note"),
            Self::Proxy => ("way-proxy", "way-proxy-note"),
            Self::Direct => ("way-direct", "way-direct-note"),
        }
    }

    /// Whether Tor in this program may be on it.
    const fn has_tor(self) -> bool {
        !matches!(self, Self::Proxy)
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// This way, please.
    Choose(Kind),
    /// Of the proxy.
    ProxyEdited(String),
    /// Of the bridges, one a line.
    BridgesEdited(text_editor::Action),
    /// They are in a file, or in a picture of a code, which is to be chosen.
    ReadBridges,
    /// None.
    NoBridges,
    /// Where the program lies that is missing.
    ProgramEdited(String),
    /// Of keys of onion services.
    Keys(keys::Message),
    /// A person has read what it means to be seen, and wants it; or not.
    Expose(bool),
    /// As it was.
    Discard,
}

/// A way that is being chosen.
#[derive(Debug)]
pub struct Form {
    /// What counts at the moment.
    kept: NetworkSettings,
    kind: Kind,
    proxy: String,
    bridges: Content,
    programs: BTreeMap<String, PathBuf>,
    keys: Keys,
    /// Whether the programs are here that the bridges need.
    found: Option<Result<Vec<Program>, TorTrouble>>,
    /// A person wants to be seen.
    exposed: bool,
    /// The system's window is open.
    choosing: bool,
    failure: Option<Failure>,
}

impl Default for Form {
    fn default() -> Self {
        Self::of(NetworkSettings::default())
    }
}

impl Form {
    /// With what was chosen before.
    pub fn of(kept: NetworkSettings) -> Self {
        let proxy = match kept.choice {
            Choice::Proxy(proxy) => proxy.to_string(),
            Choice::Automatic | Choice::Tor | Choice::Direct => String::new(),
        };
        let lines: Vec<&str> = kept.bridges.iter().map(BridgeLine::as_str).collect();
        Self {
            kind: Kind::of(kept.choice),
            proxy,
            bridges: Content::with_text(&lines.join("\n")),
            programs: kept.programs.clone(),
            keys: Keys::of(kept.keys.clone()),
            found: None,
            exposed: kept.choice == Choice::Direct,
            choosing: false,
            failure: None,
            kept,
        }
    }

    /// Which way is chosen.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Something happened.
    pub fn update(&mut self, message: Message) -> Vec<Action> {
        self.failure = None;
        match message {
            Message::Choose(kind) => {
                // To want it once is not to want it again.
                self.exposed = kind == Kind::Direct && self.kept.choice == Choice::Direct;
                self.kind = kind;
            }
            Message::ProxyEdited(typed) => {
                if typed.len() <= PROXY_BYTES_MAX {
                    self.proxy = typed;
                }
            }
            Message::BridgesEdited(action) => return self.bridges_edited(action),
            Message::ReadBridges => {
                let asks = !std::mem::replace(&mut self.choosing, true);
                return asks.then_some(Action::Order(Order::ReadBridges(None))).into_iter().collect();
            }
            Message::NoBridges => (self.bridges, self.found) = (Content::new(), None),
            Message::ProgramEdited(typed) => return self.program_edited(typed),
            Message::Keys(message) => return self.keys.update(message),
            Message::Expose(exposed) => self.exposed = exposed,
            Message::Discard => {
                let kept = std::mem::take(&mut self.kept);
                *self = Self::of(kept);
                return self.look();
            }
        }
        Vec::new()
    }

    fn bridges_edited(&mut self, action: text_editor::Action) -> Vec<Action> {
        let pasted = match &action {
            text_editor::Action::Edit(text_editor::Edit::Paste(words)) => words.len(),
            _ => 1,
        };
        let edits = action.is_edit();
        if edits && self.bridges.text().len().saturating_add(pasted) > TEXT_BYTES_MAX {
            self.failure = Some(Failure::new("bridges-too-many"));
            return Vec::new();
        }
        self.bridges.perform(action);
        if edits { self.look() } else { Vec::new() }
    }

    fn program_edited(&mut self, typed: String) -> Vec<Action> {
        let Some(transport) = self.missing().map(str::to_owned) else { return Vec::new() };
        if typed.len() > PATH_BYTES_MAX {
            return Vec::new();
        }
        match typed.is_empty() {
            true => self.programs.remove(&transport),
            false => self.programs.insert(transport, PathBuf::from(typed)),
        };
        self.look()
    }

    /// The transport that nothing speaks here.
    fn missing(&self) -> Option<&str> {
        match &self.found {
            Some(Err(TorTrouble::ProgramMissing { transport, .. })) => Some(transport),
            Some(_) | None => None,
        }
    }

    /// A file with bridges was let fall on the window.
    pub fn dropped(&self, path: PathBuf) -> Vec<Action> {
        vec![Action::Order(Order::ReadBridges(Some(path)))]
    }

    /// What was in a file, or in a code. `None` when none was chosen.
    pub fn bridges_read(&mut self, read: Result<Option<Vec<BridgeLine>>, Failure>) -> Vec<Action> {
        self.choosing = false;
        match read {
            Ok(Some(lines)) => {
                let lines: Vec<&str> = lines.iter().map(BridgeLine::as_str).collect();
                self.bridges = Content::with_text(&lines.join("\n"));
                self.look()
            }
            Ok(None) => Vec::new(),
            Err(failure) => {
                self.failure = Some(failure);
                Vec::new()
            }
        }
    }

    /// Asks whether the programs are here that the bridges need.
    pub fn look(&mut self) -> Vec<Action> {
        let bridges = self.lines().unwrap_or_default();
        if bridges.iter().all(|line| line.transport().is_none()) {
            self.found = None;
            return Vec::new();
        }
        let settings = NetworkSettings { bridges, programs: self.programs.clone(), ..NetworkSettings::default() };
        vec![Action::Order(Order::Programs(Box::new(settings)))]
    }

    /// Whether they are.
    pub fn programs_found(&mut self, found: Result<Vec<Program>, TorTrouble>) {
        let asked = self.lines().is_ok_and(|lines| lines.iter().any(|line| line.transport().is_some()));
        self.found = asked.then_some(found);
    }

    fn lines(&self) -> Result<Vec<BridgeLine>, Failure> {
        let text = self.bridges.text();
        if text.trim().is_empty() { Ok(Vec::new()) } else { lines(&text) }
    }

    /// Whether the network to that host, or to any, would learn from where it is reached, and that was not so before.
    pub fn exposes(&self, host: Option<&Host>) -> bool {
        let exposes = self.kind == Kind::Direct && host.is_none_or(|host| Choice::Direct.exposes(host));
        exposes && self.kept.choice != Choice::Direct
    }

    /// What was chosen, for a server there.
    ///
    /// # Errors
    /// When something is not whole, or would show where somebody is and that was not confirmed.
    pub fn settings(&self, host: Option<&Host>) -> Result<NetworkSettings, Failure> {
        let choice = match self.kind {
            Kind::Automatic => Choice::Automatic,
            Kind::Tor => Choice::Tor,
            Kind::Proxy => {
                let typed = self.proxy.trim();
                let typed = typed.strip_prefix(SOCKS).unwrap_or(typed);
                format!("{SOCKS}{typed}").parse().map_err(|_| Failure::new("proxy-bad"))?
            }
            Kind::Direct => Choice::Direct,
        };
        if self.exposes(host) && !self.exposed {
            return Err(Failure::new("exposure-unconfirmed"));
        }
        let (programs, keys) = (self.programs.clone(), self.keys.all().clone());
        Ok(NetworkSettings { choice, bridges: self.lines()?, programs, keys })
    }

    /// Whether something else is chosen than what counts.
    pub fn is_changed(&self) -> bool {
        let host = None;
        match self.settings(host) {
            Ok(settings) => settings != self.kept,
            Err(_) => true,
        }
    }

    /// It counts now.
    pub fn keep(&mut self, kept: NetworkSettings) {
        let found = self.found.take();
        *self = Self { found, ..Self::of(kept) };
    }

    /// It does not.
    pub fn failed(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }
}

/// The bridges in a text, each once.
///
/// # Errors
/// When there is none, or something that is none.
pub fn lines(text: &str) -> Result<Vec<BridgeLine>, Failure> {
    read_lines(text).map_err(|(line, error)| match (line, error) {
        (Some(line), _) => Failure::because("bridges-bad", &line),
        (None, BadBridge::TooMany | BadBridge::TooLong) => Failure::new("bridges-too-many"),
        (None, BadBridge::None | BadBridge::Malformed | BadBridge::Transport) => Failure::new("bridges-none"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

    fn host(name: &str) -> Host {
        name.parse().unwrap()
    }

    fn paste(form: &mut Form, text: &str) -> Vec<Action> {
        let words = std::sync::Arc::new(text.to_owned());
        form.update(Message::BridgesEdited(text_editor::Action::Edit(text_editor::Edit::Paste(words))))
    }

    #[test]
    fn nobody_is_shown_where_somebody_is_unless_that_is_said_each_time() {
        let (server, here) = (host("chat.example.org"), host("127.0.0.1"));
        let mut form = Form::default();
        form.update(Message::Choose(Kind::Direct));
        assert_eq!(form.settings(Some(&server)), Err(Failure::new("exposure-unconfirmed")));
        assert_eq!(form.settings(None), Err(Failure::new("exposure-unconfirmed")), "nobody knows which server");
        assert!(form.settings(Some(&here)).is_ok(), "nobody is between this machine and itself");
        form.update(Message::Expose(true));
        assert_eq!(form.settings(Some(&server)).unwrap().choice, Choice::Direct);
        form.update(Message::Choose(Kind::Tor));
        form.update(Message::Choose(Kind::Direct));
        assert!(form.settings(Some(&server)).is_err(), "it is asked again");
        form.update(Message::Expose(true));
        form.keep(form.settings(Some(&server)).unwrap());
        assert!(form.settings(Some(&server)).is_ok() && !form.is_changed(), "it counts");
    }

    #[test]
    fn a_proxy_is_named_by_its_address() {
        let mut form = Form::default();
        form.update(Message::Choose(Kind::Proxy));
        for (typed, good) in
            [("", false), ("proxy.example.org:9050", false), ("127.0.0.1:9050", true), ("socks5://[::1]:9150", true)]
        {
            form.update(Message::ProxyEdited(typed.to_owned()));
            assert_eq!(form.settings(None).is_ok(), good, "{typed}");
        }
        let kept = form.settings(None).unwrap();
        assert_eq!(Form::of(kept.clone()).settings(None), Ok(kept));
    }

    #[test]
    fn bridges_are_looked_at_and_so_is_what_speaks_to_them() {
        let mut form = Form::default();
        assert!(paste(&mut form, &format!("192.0.2.3:443 {FINGERPRINT}")).is_empty(), "as to any relay");
        assert_eq!(form.settings(None).unwrap().bridges.len(), 1);
        form.update(Message::NoBridges);
        let obfs4 = format!("obfs4 192.0.2.3:443 {FINGERPRINT} cert={} iat-mode=0", "A".repeat(70));
        let asked = paste(&mut form, &obfs4);
        assert!(matches!(asked.as_slice(), [Action::Order(Order::Programs(_))]), "{asked:?}");
        let wanted = vec!["lyrebird".to_owned()];
        form.programs_found(Err(TorTrouble::ProgramMissing { transport: "obfs4".to_owned(), wanted }));
        assert_eq!(form.missing(), Some("obfs4"));
        form.update(Message::ProgramEdited("/opt/lyrebird".to_owned()));
        assert_eq!(form.settings(None).unwrap().programs["obfs4"], PathBuf::from("/opt/lyrebird"));
        paste(&mut form, "\nrubbish");
        assert_eq!(form.settings(None).unwrap_err().key, "bridges-bad");
        form.update(Message::Discard);
        assert!(!form.is_changed());
    }

    #[test]
    fn what_a_file_or_a_code_has_takes_the_place_of_what_was_typed() {
        let mut form = Form::default();
        assert!(matches!(form.update(Message::ReadBridges).as_slice(), [Action::Order(Order::ReadBridges(None))]));
        assert!(form.update(Message::ReadBridges).is_empty(), "one window");
        paste(&mut form, "rubbish");
        let code = format!("['192.0.2.3:443 {FINGERPRINT}', '192.0.2.4:443 {FINGERPRINT}']");
        form.bridges_read(lines(&code).map(Some));
        assert_eq!(form.settings(None).unwrap().bridges.len(), 2);
        form.bridges_read(lines("no bridge").map(Some));
        assert_eq!(form.failure.as_ref().unwrap().key, "bridges-bad");
        assert_eq!(form.settings(None).unwrap().bridges.len(), 2, "what was there stays");
    }
}
