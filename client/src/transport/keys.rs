//! Keys by which onion services that are not for everybody let this profile find them.

use std::fmt;
use std::str::FromStr;

use endtoend_crypto_core::base32;
pub use endtoend_crypto_core::visitor::VisitorSecret;

use crate::address::Host;

/// Services for which a profile keeps a key. More than anybody is at.
pub const KEYS_MAX: usize = 32;
const SUFFIX: &str = ".onion";
/// Key, checksum and version of a service: its name.
const NAME_BYTES: usize = 35;
const VERSION: u8 = 3;

/// The name of an onion service, as it stands in addresses. Its own is the last part, whatever stands before that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OnionName(String);

/// What is no key that can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOnionKey {
    /// No name of a service.
    #[error("not the name of an onion service: it has 56 letters and digits, and ends with .onion")]
    Name,
    /// A key, and it is not said of which service.
    #[error(
        "it is not said of which onion service this is a key: write its name before it, like NAME.onion:descriptor:x25519:KEY"
    )]
    Whose,
    /// Neither of the two ways in which one is written. Says nothing of the text, which may be a secret with a mistake.
    #[error(
        "not the key of an onion service: it is descriptor:x25519:KEY, or NAME:descriptor:x25519:KEY, with the 52 letters that are kept secret"
    )]
    Malformed,
    /// More than [`KEYS_MAX`].
    #[error("keys of at most {KEYS_MAX} onion services are kept")]
    TooMany,
}

impl OnionName {
    /// Of a server; `None` when it is none that only Tor reaches.
    pub fn of(host: &Host) -> Option<Self> {
        host.is_onion().then(|| host.to_string().parse().ok()).flatten()
    }

    /// `….onion`, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OnionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// With `.onion` or, as `tor` writes it in its files, without.
impl FromStr for OnionName {
    type Err = BadOnionKey;

    fn from_str(text: &str) -> Result<Self, BadOnionKey> {
        let text = text.to_ascii_lowercase();
        let name = text.strip_suffix(SUFFIX).unwrap_or(&text);
        let own = name.rsplit('.').next().unwrap_or_default();
        match base32::decode::<NAME_BYTES>(own) {
            Some([.., VERSION]) => Ok(Self(format!("{own}{SUFFIX}"))),
            _ => Err(BadOnionKey::Name),
        }
    }
}

/// A new key. Its public half is for the operator of a service, who lets its owner find it.
pub fn make_key() -> VisitorSecret {
    VisitorSecret::generate(&mut rand::rng())
}

/// A key as its operator or `endtoend onion client-key` gives it, or as `tor` keeps it in a file of `ClientOnionAuthDir`. `server` is whose
/// it is, where the text does not say that.
///
/// # Errors
/// See [`BadOnionKey`].
pub fn read_key(text: &str, server: Option<&OnionName>) -> Result<(OnionName, VisitorSecret), BadOnionKey> {
    let text = text.trim();
    let secret = |text: &str| text.parse().map_err(|_| BadOnionKey::Malformed);
    match text.split_once(':').ok_or(BadOnionKey::Malformed)? {
        ("descriptor", _) => {
            let secret = secret(text)?;
            Ok((server.cloned().ok_or(BadOnionKey::Whose)?, secret))
        }
        (name, rest) => Ok((name.parse()?, secret(rest)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";

    #[test]
    fn a_name_is_read_as_people_and_as_tor_write_it() {
        let name: OnionName = NAME.parse().unwrap();
        assert_eq!(name.as_str(), format!("{NAME}.onion"));
        for text in [format!("{NAME}.onion"), NAME.to_uppercase(), format!("chat.{NAME}.onion")] {
            assert_eq!(text.parse().as_ref(), Ok(&name), "{text}");
        }
        assert_eq!(OnionName::of(&format!("{NAME}.onion").parse().unwrap()), Some(name));
        assert_eq!(OnionName::of(&"chat.example.org".parse().unwrap()), None);
        for text in ["", ".onion", "expyuzz4wqqyqhjn.onion", &NAME[1..], &NAME.replace("sid", "sia")] {
            assert_eq!(text.parse::<OnionName>(), Err(BadOnionKey::Name), "{text}");
        }
    }

    #[test]
    fn a_key_is_of_the_service_that_it_names_or_of_the_server() {
        let (name, secret): (OnionName, _) = (NAME.parse().unwrap(), VisitorSecret::generate(&mut rand::rng()));
        let alone = secret.to_text();
        let whole = format!("{NAME}:{}", *alone);
        let expected = Ok((name.clone(), secret));
        assert_eq!(read_key(&format!(" {}\n", *alone), Some(&name)), expected);
        assert_eq!(read_key(&whole, None), expected);
        assert_eq!(read_key(&whole, Some(&name)), expected);
        assert_eq!(read_key(&alone, None), Err(BadOnionKey::Whose));
        for text in ["", "descriptor:x25519:", &alone[..alone.len() - 1], &whole[..whole.len() - 1], "x"] {
            assert_eq!(read_key(text, Some(&name)), Err(BadOnionKey::Malformed), "{text}");
        }
        assert_eq!(read_key(&format!("nobody:{}", *alone), None), Err(BadOnionKey::Name));
    }
}
