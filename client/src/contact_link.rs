//! A person as people pass him on: `endtoend://host:port/#pin=<128 hex digits>&handle=<name>&identity=<66 hex digits>`.
//!
//! It is the address of a server and, behind it, who is meant there: the handle, percent-encoded, and the whole public identity
//! key, which is no longer than a fingerprint of it would be. All of that stands behind the `#`, which no program sends to a
//! server. There is one way to write a link, and nothing in it is optional: what was cut off or put in is noticed.

use std::fmt;
use std::str::FromStr;

use crate::address::{AddressError, ServerAddress};
use crate::handle::{BadHandle, Handle};

/// Longest link, in bytes: the longest name of a host, the longest handle with each byte encoded, and the keys.
pub const LINK_BYTES_MAX: usize = 1024;
const HANDLE: &str = "&handle=";
const IDENTITY: &str = "&identity=";

/// Who is meant, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactLink {
    /// Where the account lives.
    pub server: ServerAddress,
    /// How it is called there.
    pub handle: Handle,
    /// Its public identity key, as libsignal writes it.
    pub identity: [u8; 33],
}

/// What is wrong with a text that should be a [`ContactLink`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContactLinkError {
    /// Longer than [`LINK_BYTES_MAX`].
    #[error("a person's link has at most {LINK_BYTES_MAX} bytes")]
    TooLong,
    /// There may be a server in it, but nobody there.
    #[error("the link names nobody; a person's link ends with &handle=…&identity=…")]
    NoPerson,
    /// The server's part.
    #[error(transparent)]
    Server(#[from] AddressError),
    /// Not percent-encoded, or no UTF-8.
    #[error("the handle in the link is not written as in a link")]
    Encoding,
    /// No handle.
    #[error(transparent)]
    Handle(#[from] BadHandle),
    /// Not 66 hexadecimal digits.
    #[error("the identity in the link is not 66 hexadecimal digits; copy the whole link")]
    Identity,
}

impl FromStr for ContactLink {
    type Err = ContactLinkError;

    fn from_str(text: &str) -> Result<Self, ContactLinkError> {
        let text = text.trim();
        if text.len() > LINK_BYTES_MAX {
            return Err(ContactLinkError::TooLong);
        }
        let (server, person) = text.split_once(HANDLE).ok_or(ContactLinkError::NoPerson)?;
        let (handle, key) = person.split_once(IDENTITY).ok_or(ContactLinkError::NoPerson)?;
        let mut identity = [0; 33];
        hex::decode_to_slice(key, &mut identity).map_err(|_| ContactLinkError::Identity)?;
        Ok(Self { server: server.parse()?, handle: decoded(handle)?.parse()?, identity })
    }
}

impl fmt::Display for ContactLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{HANDLE}", self.server)?;
        for &byte in self.handle.as_str().as_bytes() {
            match is_unreserved(byte) {
                true => write!(f, "{}", char::from(byte))?,
                false => write!(f, "%{byte:02X}")?,
            }
        }
        write!(f, "{IDENTITY}{}", hex::encode(self.identity))
    }
}

/// RFC 3986, section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn decoded(text: &str) -> Result<String, ContactLinkError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'%' => {
                let (digits, after) = after.split_first_chunk::<2>().ok_or(ContactLinkError::Encoding)?;
                let mut byte = [0];
                hex::decode_to_slice(digits, &mut byte).map_err(|_| ContactLinkError::Encoding)?;
                bytes.extend(byte);
                after
            }
            byte if is_unreserved(byte) => {
                bytes.push(byte);
                after
            }
            _ => return Err(ContactLinkError::Encoding),
        };
    }
    String::from_utf8(bytes).map_err(|_| ContactLinkError::Encoding)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERVER: &str = "endtoend://chat.example.org:8443/#pin=\
        00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\
        ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";
    const KEY: &str = "05ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

    #[test]
    fn a_link_says_server_handle_and_identity() {
        let text = format!("{SERVER}&handle=alice&identity={KEY}");
        let link: ContactLink = text.parse().unwrap();
        assert_eq!((link.server.to_string().as_str(), link.handle.as_str()), (SERVER, "alice"));
        assert_eq!(hex::encode(link.identity), KEY);
        assert_eq!(link.to_string(), text);
        assert_eq!(format!(" {text}\n").parse(), Ok(link));
    }

    #[test]
    fn a_handle_of_any_alphabet_survives() {
        let text = format!("{SERVER}&handle=m%C3%BCller&identity={KEY}");
        let link: ContactLink = text.parse().unwrap();
        assert_eq!((link.handle.as_str(), link.to_string()), ("müller", text));
    }

    #[test]
    fn each_mistake_is_named() {
        use ContactLinkError as E;
        let person = |handle: &str, key: &str| format!("{SERVER}&handle={handle}&identity={key}");
        for (text, error) in [
            (String::new(), E::NoPerson),
            (SERVER.to_owned(), E::NoPerson),
            (format!("{SERVER}&handle=alice"), E::NoPerson),
            (format!("{SERVER}&identity={KEY}&handle=alice"), E::NoPerson),
            (format!("https://example.org/#pin=00&handle=alice&identity={KEY}"), E::Server(AddressError::Scheme)),
            (format!("{SERVER}&more=1&handle=alice&identity={KEY}"), E::Server(AddressError::Pin)),
            (person("müller", KEY), E::Encoding),
            (person("ali ce", KEY), E::Encoding),
            (person("alice%2", KEY), E::Encoding),
            (person("alice%zz", KEY), E::Encoding),
            (person("alice%FF", KEY), E::Encoding),
            (person("alice&x=1", KEY), E::Encoding),
            (person("a", KEY), E::Handle(BadHandle::Length)),
            (person("ali%20ce", KEY), E::Handle(BadHandle::Character)),
            (person("alice", &KEY[2..]), E::Identity),
            (person("alice", ""), E::Identity),
            (format!("{}&more=1", person("alice", KEY)), E::Identity),
            ("x".repeat(LINK_BYTES_MAX + 1), E::TooLong),
        ] {
            assert_eq!(text.parse::<ContactLink>(), Err(error), "{text}");
        }
    }

    #[test]
    fn the_longest_link_is_within_the_bound() {
        let host = format!("{}.{}", "h".repeat(63), ["h"; 94].join("."));
        let server = SERVER.replace("chat.example.org", &host).replace("8443", "65535");
        // 32 characters of four bytes each.
        let handle = "𐐨".repeat(32);
        let link = format!(
            "{server}{HANDLE}{}{IDENTITY}{KEY}",
            handle.bytes().map(|b| format!("%{b:02X}")).collect::<String>()
        );
        assert!(host.len() > 250 && link.len() <= LINK_BYTES_MAX, "{}", link.len());
    }

    proptest! {
        #[test]
        fn any_string_gives_a_value_or_an_error(text: String, tail in ".{0,80}") {
            let _ = text.parse::<ContactLink>();
            let _ = format!("{SERVER}&handle={tail}&identity={KEY}").parse::<ContactLink>();
            let _ = format!("{SERVER}&handle=alice&identity={tail}").parse::<ContactLink>();
        }

        #[test]
        fn what_parses_shows_as_itself_and_has_one_form(handle in "[a-zA-Z0-9%._-]{3,40}|\\PC{3,12}", key: [u8; 32]) {
            let key = hex::encode([&[5][..], &key].concat());
            let text = format!("{SERVER}&handle={handle}&identity={key}");
            if let Ok(link) = text.parse::<ContactLink>() {
                let shown = link.to_string();
                prop_assert_eq!(shown.parse(), Ok(link));
                prop_assert!(shown.len() <= LINK_BYTES_MAX && shown.is_ascii());
            }
        }

        #[test]
        fn a_link_with_a_byte_changed_is_another_or_none(at in any::<prop::sample::Index>(), byte in 0x21_u8..0x7f) {
            let text = format!("{SERVER}&handle=alice&identity={KEY}");
            let link: ContactLink = text.parse().unwrap();
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            let same = bytes[at].eq_ignore_ascii_case(&byte);
            bytes[at] = byte;
            let changed = String::from_utf8(bytes).unwrap().parse::<ContactLink>();
            prop_assert!(same || changed != Ok(link));
        }
    }
}
