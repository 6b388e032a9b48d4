//! The few texts that reach a configuration, each of characters that mean nothing there.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a node, an edge or a DNS name is called: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// A text that is no [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit")]
pub struct NotAName;

/// An absolute path of at most 96 bytes of `A-Z a-z 0-9 / . _ -`: a Unix socket's has at most 107, and HAProxy binds under a
/// longer name first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

/// A text that is no [`FilePath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a path begins with '/' and has at most 96 of A-Z, a-z, 0-9, '/', '.', '_' and '-', without '..'")]
pub struct NotAPath;

/// Addresses with one prefix: `192.0.2.0/24`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network is written like 192.0.2.0/24 or 2001:db8::/32")]
pub struct NotANetwork;

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let begins = text.bytes().next().is_some_and(alphanumeric);
        let fits = text.len() <= 64 && text.bytes().all(|byte| alphanumeric(byte) || b"._-".contains(&byte));
        if begins && fits { Ok(Self(text.to_owned())) } else { Err(NotAName) }
    }
}

impl FromStr for FilePath {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Self, NotAPath> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        let whole = text.starts_with('/') && text.len() <= 96 && text.bytes().all(fits);
        if whole && text.split('/').all(|part| part != "..") { Ok(Self(text.to_owned())) } else { Err(NotAPath) }
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| NotANetwork)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        match bits.unwrap_or(width) {
            bits if bits <= width => Ok(Self { address, bits }),
            _ => Err(NotANetwork),
        }
    }
}

impl Network {
    /// Whether an address belongs to it, as a socket of both families may show it too.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |one: u128, other: u128, width: u32| {
            let ignored = width.saturating_sub(self.bits.into());
            one.checked_shr(ignored).unwrap_or(0) == other.checked_shr(ignored).unwrap_or(0)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same(own.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl AsRef<std::path::Path> for FilePath {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(&self.0)
    }
}

macro_rules! as_text {
    ($type:ty, $error:ty) => {
        impl TryFrom<String> for $type {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}
as_text!(Name, NotAName);
as_text!(FilePath, NotAPath);
as_text!(Network, NotANetwork);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_a_directive_is_no_name() {
        for text in ["n1", "0", "chat-1.example.org", "a_b", &"a".repeat(64)] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), text);
        }
        let bad = [
            "", "-n", ".n", "N1", "a b", "a\nb", "a\tb", "a#b", "a\"b", "a'b", "a\\b", "a$b", "a;b", "a/b", "ä", "a\0",
        ];
        for text in bad.into_iter().chain([&*"a".repeat(65)]) {
            assert_eq!(text.parse::<Name>(), Err(NotAName), "{text:?}");
        }
    }

    #[test]
    fn a_path_is_absolute_and_plain() {
        assert_eq!("/run/edge/stats.sock".parse::<FilePath>().unwrap().to_string(), "/run/edge/stats.sock");
        let long = format!("/{}", "a".repeat(96));
        for text in ["", "run", "./run", "/a b", "/a\n", "/a#", "/a,mode", "/a:1", "/../a", "/a/..", "/\"", &long] {
            assert_eq!(text.parse::<FilePath>(), Err(NotAPath), "{text:?}");
        }
    }

    #[test]
    fn a_network_contains_what_has_its_prefix() {
        let contains =
            |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address.parse().unwrap());
        for (network, inside, outside) in [
            ("10.1.0.0/16", "10.1.255.255", "10.2.0.0"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.0"),
            ("192.0.2.1", "::ffff:192.0.2.1", "::192.0.2.1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
            ("::1", "::1", "127.0.0.1"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("::/0", "ffff::", "1.2.3.4"),
        ] {
            assert!(contains(network, inside) && !contains(network, outside), "{network}");
        }
    }

    #[test]
    fn a_network_has_as_many_bits_as_its_address() {
        for (text, shown) in [("10.0.0.0/8", "10.0.0.0/8"), ("192.0.2.1", "192.0.2.1/32"), ("::1", "::1/128")] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), shown);
        }
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/8/8", "localhost", "10.0.0.0/-1", "::1%eth0"] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text:?}");
        }
    }
}
