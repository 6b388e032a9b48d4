//! Bridges: relays that no list names, and the lines by which people pass them on.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Bridges that a profile keeps. More than anybody is given; each is tried.
pub const BRIDGES_MAX: usize = 32;
/// A line for Snowflake names its servers, and is the longest with less than a quarter of this.
pub const LINE_BYTES_MAX: usize = 4096;
/// A file or a paste with more is none of bridges.
pub const TEXT_BYTES_MAX: usize = BRIDGES_MAX * LINE_BYTES_MAX;

/// One bridge, as a line. Whoever reads it knows where somebody enters Tor: `Debug` shows the transport only.
#[derive(Clone, PartialEq, Eq)]
pub struct BridgeLine(String);

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBridge {
    /// Neither `ADDRESS:PORT FINGERPRINT` nor `TRANSPORT ADDRESS:PORT FINGERPRINT KEY=VALUE ..`.
    #[error("not the line of a bridge: it is ADDRESS:PORT FINGERPRINT, and for a transport its name before that")]
    Malformed,
    /// The first word is no address, and no name of a transport.
    #[error("the name of a transport has 1 to 32 letters, digits and '_'")]
    Transport,
    /// Longer than [`LINE_BYTES_MAX`].
    #[error("the line of a bridge has at most {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`BRIDGES_MAX`].
    #[error("at most {BRIDGES_MAX} bridges are kept")]
    TooMany,
    /// Nothing in it is a bridge.
    #[error("there is no bridge in it")]
    None,
}

impl BridgeLine {
    /// As it is passed on, without the word `Bridge`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the transport; `None` for one that is spoken to as to any relay.
    pub fn transport(&self) -> Option<&str> {
        self.0.split(' ').next().filter(|word| word.parse::<SocketAddr>().is_err())
    }

    /// What may be shown of it to whoever looks over a shoulder: how it is spoken to.
    pub fn kind(&self) -> &str {
        self.transport().unwrap_or("vanilla")
    }
}

impl fmt::Debug for BridgeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BridgeLine({})", self.kind())
    }
}

impl FromStr for BridgeLine {
    type Err = BadBridge;

    fn from_str(text: &str) -> Result<Self, BadBridge> {
        if text.len() > LINE_BYTES_MAX {
            return Err(BadBridge::TooLong);
        }
        let mut words: Vec<&str> = text.split_ascii_whitespace().collect();
        if words.first().is_some_and(|word| word.eq_ignore_ascii_case("bridge")) {
            words.remove(0);
        }
        let (transport, rest) = match words.as_slice() {
            [address, rest @ ..] if address.parse::<SocketAddr>().is_ok() => (None, rest),
            [transport, _, rest @ ..] => (Some(*transport), rest),
            _ => return Err(BadBridge::Malformed),
        };
        let named = |name: &str| {
            (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if transport.is_some_and(|name| !named(name)) {
            return Err(BadBridge::Transport);
        }
        let is_fingerprint = |word: &&str| word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !rest.first().is_some_and(is_fingerprint) || text.chars().any(|char| char.is_control() && char != '\t') {
            return Err(BadBridge::Malformed);
        }
        let line = Self(words.join(" "));
        understood(&line)?;
        Ok(line)
    }
}

/// Whether Tor would take the line. What it refuses is not kept.
#[cfg(feature = "tor")]
fn understood(line: &BridgeLine) -> Result<(), BadBridge> {
    let built = line.0.parse().map(|builder: arti_client::config::BridgeConfigBuilder| builder.build().is_ok());
    if built.unwrap_or(false) { Ok(()) } else { Err(BadBridge::Malformed) }
}

#[cfg(not(feature = "tor"))]
fn understood(_: &BridgeLine) -> Result<(), BadBridge> {
    Ok(())
}

/// The bridges in what somebody has pasted, or has in a file: one a line. Empty lines and those that begin with `#` are passed over. Also
/// those in the text of a QR code as Tor's bridge service makes it: in quotes, in brackets.
///
/// # Errors
/// See [`BadBridge`]; with the number of the line, from 1, when it is one line's.
pub fn read_lines(text: &str) -> Result<Vec<BridgeLine>, (Option<usize>, BadBridge)> {
    if text.len() > TEXT_BYTES_MAX {
        return Err((None, BadBridge::TooMany));
    }
    let mut found: Vec<BridgeLine> = Vec::new();
    let listed = text.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let lines: Vec<&str> = match listed {
        // What is between two quotes; between two of those are commas.
        Some(list) => list.split(['\'', '"']).skip(1).step_by(2).collect(),
        None => text.lines().collect(),
    };
    for (at, line) in lines.into_iter().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.parse().map_err(|error| (Some(at + 1), error))?;
        if !found.contains(&line) {
            found.push(line);
        }
    }
    match found.len() {
        0 => Err((None, BadBridge::None)),
        1..=BRIDGES_MAX => Ok(found),
        _ => Err((None, BadBridge::TooMany)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FINGERPRINT: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

    fn obfs4() -> String {
        format!("obfs4 192.0.2.3:443 {FINGERPRINT} cert={} iat-mode=0", "A".repeat(70))
    }

    #[test]
    fn each_kind_is_known_by_its_line() {
        let vanilla: BridgeLine = format!("  Bridge 192.0.2.3:443   {FINGERPRINT} ").parse().unwrap();
        assert_eq!((vanilla.kind(), vanilla.transport()), ("vanilla", None));
        assert_eq!(vanilla.as_str(), format!("192.0.2.3:443 {FINGERPRINT}"));
        let six: BridgeLine = format!("[2001:db8::3]:443 {FINGERPRINT}").parse().unwrap();
        assert_eq!(six.kind(), "vanilla");
        let obfs4: BridgeLine = obfs4().parse().unwrap();
        assert_eq!((obfs4.kind(), obfs4.transport()), ("obfs4", Some("obfs4")));
        let snowflake = format!(
            "Bridge snowflake 192.0.2.3:80 {FINGERPRINT} fingerprint={FINGERPRINT} url=https://broker.example.net/ \
             fronts=a.example.net,b.example.net ice=stun:stun.example.net:3478 utls-imitate=hellorandomizedalpn"
        );
        assert_eq!(snowflake.parse::<BridgeLine>().unwrap().kind(), "snowflake");
    }

    #[test]
    fn what_is_no_bridge_is_told_apart() {
        for (line, error) in [
            ("", BadBridge::Malformed),
            ("192.0.2.3:443", BadBridge::Malformed),
            ("obfs4 192.0.2.3:443", BadBridge::Malformed),
            ("192.0.2.3:443 0123", BadBridge::Malformed),
            ("ob-fs4! 192.0.2.3:443 0123456789ABCDEF0123456789ABCDEF01234567", BadBridge::Transport),
        ] {
            assert_eq!(line.parse::<BridgeLine>(), Err(error), "{line}");
        }
        let long = format!("obfs4 192.0.2.3:443 {FINGERPRINT} cert={}", "A".repeat(LINE_BYTES_MAX));
        assert_eq!(long.parse::<BridgeLine>(), Err(BadBridge::TooLong));
    }

    #[test]
    fn a_paste_may_have_comments_and_repeats() {
        let text = format!("# from a friend\n\n{0}\r\nBridge {0}\n192.0.2.3:443 {FINGERPRINT}\n", obfs4());
        let kinds: Vec<_> = read_lines(&text).unwrap().iter().map(|line| line.kind().to_owned()).collect();
        assert_eq!(kinds, ["obfs4", "vanilla"]);
        assert_eq!(read_lines("# nothing\n"), Err((None, BadBridge::None)));
        assert_eq!(read_lines(&format!("{}\nrubbish\n", obfs4())), Err((Some(2), BadBridge::Malformed)));
        let many: Vec<_> = (1..=33).map(|port| format!("192.0.2.3:{port} {FINGERPRINT}")).collect();
        assert_eq!(read_lines(&many.join("\n")), Err((None, BadBridge::TooMany)));
    }

    #[test]
    fn the_text_of_a_code_is_a_list() {
        let text = format!("['{}', '192.0.2.3:443 {FINGERPRINT}']", obfs4());
        let kinds: Vec<_> = read_lines(&text).unwrap().iter().map(|line| line.kind().to_owned()).collect();
        assert_eq!(kinds, ["obfs4", "vanilla"]);
        assert_eq!(read_lines("[]"), Err((None, BadBridge::None)));
        assert_eq!(read_lines("['rubbish']"), Err((Some(1), BadBridge::Malformed)));
    }

    #[test]
    fn nothing_of_a_bridge_is_in_its_debug() {
        assert_eq!(format!("{:?}", obfs4().parse::<BridgeLine>().unwrap()), "BridgeLine(obfs4)");
    }

    proptest! {
        #[test]
        fn any_text_is_a_bridge_that_reads_as_itself_or_none(text in ".{0,80}|[a-z0-9]{0,8} ?192.0.2.3:1 [0-9A-F]{40}( [a-z=]{1,9})?") {
            if let Ok(line) = text.parse::<BridgeLine>() {
                prop_assert_eq!(line.as_str().parse(), Ok(line));
            }
        }
    }
}
