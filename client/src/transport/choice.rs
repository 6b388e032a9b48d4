//! Rules: which way leads to a server.
//!
//! A server on this machine is reached directly, any other through Tor. Whoever wants another way says so, and what was said is kept
//! in the profile. No way ever stands in for another one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use endtoend_crypto_core::visitor::VisitorSecret;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::bridges::{BRIDGES_MAX, BridgeLine, TEXT_BYTES_MAX};
use super::keys::{KEYS_MAX, OnionName};
use crate::address::Host;

const SOCKS: &str = "socks5://";
/// Transports whose programs somebody has named.
const PROGRAMS_MAX: usize = 16;

/// What somebody has chosen for a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Directly to this machine, through Tor to any other.
    #[default]
    Automatic,
    /// Through Tor, whatever the server.
    Tor,
    /// Through a SOCKS5 proxy, whatever the server: that of a Tor which runs already, as a rule.
    Proxy(SocketAddr),
    /// Without Tor: server and network learn the address of this machine. An onion service is reached through Tor all the same.
    Direct,
}

/// A way to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a socket of our own to the server.
    Direct,
    /// Through Tor, in this program.
    Tor,
    /// Through a proxy, which is given the server's name as it stands.
    Proxy(SocketAddr),
}

impl Way {
    /// Stable name, for `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Tor => "tor",
            Self::Proxy(_) => "proxy",
        }
    }
}

impl Choice {
    /// The way to a host.
    pub fn way_to(self, host: &Host) -> Way {
        match self {
            Self::Automatic if host.is_loopback() => Way::Direct,
            Self::Direct if !host.is_onion() => Way::Direct,
            Self::Automatic | Self::Tor | Self::Direct => Way::Tor,
            Self::Proxy(proxy) => Way::Proxy(proxy),
        }
    }

    /// Whether the network to that host learns from which address it is reached.
    pub fn exposes(self, host: &Host) -> bool {
        self.way_to(host) == Way::Direct && !host.is_loopback()
    }
}

/// Not a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the network is one of: automatic, tor, direct, socks5://ADDRESS:PORT, where ADDRESS is an IP address or localhost"
)]
pub struct BadChoice;

/// As [`Choice`] shows itself. A proxy is named by its address: to look up a name would tell somebody.
impl FromStr for Choice {
    type Err = BadChoice;

    fn from_str(text: &str) -> Result<Self, BadChoice> {
        match text {
            "automatic" => Ok(Self::Automatic),
            "tor" => Ok(Self::Tor),
            "direct" => Ok(Self::Direct),
            _ => {
                let place = text.strip_prefix(SOCKS).ok_or(BadChoice)?;
                let place = place.strip_suffix('/').unwrap_or(place);
                let proxy = match place.split_once(':') {
                    Some(("localhost", port)) => {
                        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().map_err(|_| BadChoice)?)
                    }
                    _ => place.parse().map_err(|_| BadChoice)?,
                };
                if proxy.port() == 0 { Err(BadChoice) } else { Ok(Self::Proxy(proxy)) }
            }
        }
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Automatic => f.write_str("automatic"),
            Self::Tor => f.write_str("tor"),
            Self::Direct => f.write_str("direct"),
            Self::Proxy(proxy) => write!(f, "{SOCKS}{proxy}"),
        }
    }
}

/// What a profile keeps about its way to the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Which way.
    pub choice: Choice,
    /// Where Tor begins, in the place of its public relays; none: at those. At most [`BRIDGES_MAX`].
    pub bridges: Vec<BridgeLine>,
    /// Programs for transports of bridges, by the transport's name, where PATH has not the right one.
    pub programs: BTreeMap<String, PathBuf>,
    /// By which onion services that are not for everybody let this profile find them. At most [`KEYS_MAX`].
    pub keys: BTreeMap<OnionName, VisitorSecret>,
}

/// All of it as text: far above what the longest bridges, programs and keys take.
const KEPT_BYTES_MAX: usize = 2 * TEXT_BYTES_MAX;

/// [`NetworkSettings`] as they are written. What a later version has written is not guessed at.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    choice: String,
    bridges: Vec<String>,
    programs: BTreeMap<String, PathBuf>,
    /// Not there with none, as in what earlier versions have written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    keys: BTreeMap<String, Wiped>,
}

/// A text that is overwritten when it is not needed any more.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Wiped(String);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl NetworkSettings {
    /// For [`NetworkSettings::from_bytes`].
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let Self { choice, bridges, programs, keys } = self;
        let bridges = bridges.iter().map(|line| line.as_str().to_owned()).collect();
        let keys = keys.iter().map(|(name, key)| (name.to_string(), Wiped(key.to_text().to_string()))).collect();
        let kept = Kept { choice: choice.to_string(), bridges, programs: programs.clone(), keys };
        // With room from the start: what grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEPT_BYTES_MAX));
        if serde_json::to_writer(&mut *bytes, &kept).is_err() {
            bytes.clear();
        }
        bytes
    }

    /// `None` for what this version has not written.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let Kept { choice, bridges, programs, keys } = serde_json::from_slice(bytes).ok()?;
        let bridges = bridges.iter().map(|line| line.parse().ok()).collect::<Option<Vec<BridgeLine>>>()?;
        let key = |(name, key): (String, Wiped)| Some((name.parse().ok()?, key.0.parse().ok()?));
        let keys = keys.into_iter().map(key).collect::<Option<BTreeMap<_, _>>>()?;
        let within = bridges.len() <= BRIDGES_MAX && programs.len() <= PROGRAMS_MAX && keys.len() <= KEYS_MAX;
        within.then_some(Self { choice: choice.parse().ok()?, bridges, programs, keys })
    }

    /// Names the program for a transport. `false` when too many are named.
    pub fn set_program(&mut self, transport: &str, program: PathBuf) -> bool {
        if self.programs.len() >= PROGRAMS_MAX && !self.programs.contains_key(transport) {
            return false;
        }
        self.programs.insert(transport.to_owned(), program);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9050);

    fn way(choice: Choice, host: &str) -> Way {
        choice.way_to(&host.parse().unwrap())
    }

    #[test]
    fn only_this_machine_is_reached_directly_unless_somebody_says_so() {
        for host in ["chat.example.org", "192.168.1.2", "10.0.0.1", "2001:db8::1", "169.254.1.1", "0.0.0.0"] {
            assert_eq!(way(Choice::Automatic, host), Way::Tor, "{host}");
            assert_eq!(way(Choice::Tor, host), Way::Tor, "{host}");
            assert_eq!(way(Choice::Proxy(PROXY), host), Way::Proxy(PROXY), "{host}");
            assert_eq!(way(Choice::Direct, host), Way::Direct, "{host}");
            assert!(Choice::Direct.exposes(&host.parse().unwrap()));
            assert!(!Choice::Automatic.exposes(&host.parse().unwrap()));
        }
        for host in ["127.0.0.1", "localhost", "::1"] {
            assert_eq!(way(Choice::Automatic, host), Way::Direct, "{host}");
            assert_eq!(way(Choice::Tor, host), Way::Tor, "what was chosen is done: {host}");
            assert_eq!(way(Choice::Proxy(PROXY), host), Way::Proxy(PROXY), "{host}");
            assert!(!Choice::Direct.exposes(&host.parse().unwrap()));
        }
    }

    #[test]
    fn an_onion_service_is_never_looked_up() {
        for choice in [Choice::Automatic, Choice::Tor, Choice::Direct] {
            assert_eq!(way(choice, "expyuzz4wqqyqhjn.onion"), Way::Tor, "{choice}");
        }
        assert_eq!(way(Choice::Proxy(PROXY), "expyuzz4wqqyqhjn.onion"), Way::Proxy(PROXY));
    }

    #[test]
    fn a_choice_survives_its_display() {
        for text in ["automatic", "tor", "direct", "socks5://127.0.0.1:9050", "socks5://[::1]:1"] {
            assert_eq!(text.parse::<Choice>().unwrap().to_string(), text);
        }
        assert_eq!("socks5://localhost:9150/".parse::<Choice>().unwrap().to_string(), "socks5://127.0.0.1:9150");
    }

    #[test]
    fn a_proxy_is_named_by_its_address() {
        for text in
            ["socks5://proxy.example.org:9050", "socks5://127.0.0.1", "socks5://127.0.0.1:0", "socks4://1.2.3.4:5", ""]
        {
            assert_eq!(text.parse::<Choice>(), Err(BadChoice), "{text}");
        }
    }

    #[test]
    fn keys_are_kept_and_shown_to_nobody_and_where_there_are_none_an_earlier_version_reads_the_rest() {
        let name = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion".parse().unwrap();
        let key = VisitorSecret::generate(&mut rand::rng());
        let settings = NetworkSettings { keys: [(name, key.clone())].into(), ..NetworkSettings::default() };
        assert_eq!(NetworkSettings::from_bytes(&settings.to_bytes()).as_ref(), Some(&settings));
        let letters = key.to_text().rsplit(':').next().unwrap().to_owned();
        assert!(!format!("{settings:?}").contains(&letters));
        let without = NetworkSettings::default().to_bytes();
        assert!(!String::from_utf8_lossy(&without).contains("keys"));
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let mut settings = NetworkSettings { choice: Choice::Proxy(PROXY), ..NetworkSettings::default() };
        settings.bridges.push("192.0.2.3:443 0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap());
        assert!(settings.set_program("obfs4", PathBuf::from("/opt/lyrebird")));
        assert_eq!(NetworkSettings::from_bytes(&settings.to_bytes()), Some(settings));
    }

    #[test]
    fn what_a_later_version_has_kept_is_not_taken_for_something_else() {
        for kept in [
            r#"{"choice":"i2p","bridges":[],"programs":{}}"#,
            r#"{"choice":"tor","bridges":["?"],"programs":{}}"#,
            r#"{"choice":"tor","bridges":[],"programs":{},"more":1}"#,
            "",
        ] {
            assert_eq!(NetworkSettings::from_bytes(kept.as_bytes()), None, "{kept}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_choice_that_shows_itself_or_none(text in ".{0,40}|socks5://[0-9.:\\[\\]a-f]{0,30}") {
            if let Ok(choice) = text.parse::<Choice>() {
                prop_assert_eq!(choice.to_string().parse(), Ok(choice));
            }
        }
    }
}
