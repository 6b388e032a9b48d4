//! A server as people pass it on: `endtoend://host:port/#pin=<128 hex digits>`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use rustls::pki_types::{DnsName, ServerName};

/// Used when an address names no port.
pub const PORT_DEFAULT: u16 = 8443;
const SCHEME: &str = "endtoend://";
const LOCALHOST: &str = "localhost";
const ONION: &str = ".onion";

/// Where a server is and by which key it is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// Name or address. The server's certificate must name it.
    pub host: Host,
    /// TCP port, never 0.
    pub port: u16,
    /// The keys that must vouch for the server.
    pub pin: Pin,
}

/// A name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// In lower case, without a final dot.
    Dns(DnsName<'static>),
    /// Either family.
    Ip(IpAddr),
}

/// By what a server is known: `tls(32) || identity(32)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pin {
    /// A key that vouches for its TLS certificate.
    pub tls: KeyHash,
    /// Its long-term identity, by [`fingerprint`](endtoend_crypto_core::channel::fingerprint).
    pub identity: [u8; 32],
}

/// SHA-256 of the SubjectPublicKeyInfo (DER) of a server's certificate or of the authority that issued it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

/// What is wrong with a text that should be a [`ServerAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another scheme or none.
    #[error("a server address starts with endtoend://, like endtoend://chat.example.org:8443/#pin=<128 hex digits>")]
    Scheme,
    /// Nothing between scheme and port.
    #[error("the server address names no host")]
    HostMissing,
    /// Neither a DNS name nor an IP address.
    #[error("the host is neither a DNS name nor an IP address; an IPv6 address stands in brackets, like [::1]")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// More than a single `/` between port and pin.
    #[error("only a single / may stand between host and #pin=")]
    Path,
    /// No `#pin=`.
    #[error("the server address has no #pin=; `endtoend serve` prints the whole address when it starts")]
    PinMissing,
    /// Not 128 hexadecimal digits.
    #[error("the pin is not 128 hexadecimal digits; copy the whole address that `endtoend serve` prints")]
    Pin,
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let rest = match text.split_at_checked(SCHEME.len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => rest,
            _ => return Err(AddressError::Scheme),
        };
        let (place, fragment) = rest.split_once('#').ok_or(AddressError::PinMissing)?;
        let pin = fragment.strip_prefix("pin=").ok_or(AddressError::PinMissing)?.parse()?;
        let authority = match place.split_once('/') {
            Some((authority, "")) => authority,
            Some(_) => return Err(AddressError::Path),
            None => place,
        };
        let (host, port) = host_and_port(authority)?;
        Ok(Self { host, port: port.map_or(Ok(PORT_DEFAULT), parse_port)?, pin })
    }
}

fn host_and_port(authority: &str) -> Result<(Host, Option<&str>), AddressError> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']').ok_or(AddressError::Host)?;
        let host = Host::Ip(address.parse::<Ipv6Addr>().map_err(|_| AddressError::Host)?.into());
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(AddressError::Host),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((_, rest)) if rest.contains(':') => return Err(AddressError::Host), // IPv6 without brackets
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    match host {
        "" => Err(AddressError::HostMissing),
        _ => Ok((host.parse()?, port)),
    }
}

fn parse_port(digits: &str) -> Result<u16, AddressError> {
    match digits.parse() {
        Ok(port) if port != 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(AddressError::Port),
    }
}

/// A name or address without brackets and port.
impl FromStr for Host {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        if text.ends_with('.') {
            return Err(AddressError::Host);
        }
        DnsName::try_from(text.to_ascii_lowercase()).map(Self::Dns).map_err(|_| AddressError::Host)
    }
}

impl Host {
    /// The name that a certificate must hold.
    pub fn server_name(&self) -> ServerName<'static> {
        match self {
            Self::Dns(name) => ServerName::DnsName(name.clone()),
            Self::Ip(address) => ServerName::IpAddress((*address).into()),
        }
    }

    /// Whether it is this machine itself, by its number or as `localhost`, which is never looked up.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Dns(name) => name.as_ref() == LOCALHOST,
            Self::Ip(address) => address.to_canonical().is_loopback(),
        }
    }

    /// Whether only Tor can reach it.
    pub fn is_onion(&self) -> bool {
        matches!(self, Self::Dns(name) if name.as_ref().ends_with(ONION))
    }
}

impl FromStr for Pin {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut halves = [[0; 32]; 2];
        hex::decode_to_slice(text, halves.as_flattened_mut()).map_err(|_| AddressError::Pin)?;
        let [tls, identity] = halves;
        Ok(Self { tls: KeyHash(tls), identity })
    }
}

/// As in a URL: an IPv6 address in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name.as_ref()),
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// 128 hexadecimal digits in lower case.
impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.tls, hex::encode(self.identity))
    }
}

/// 64 hexadecimal digits in lower case.
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// The form that [`FromStr`] reads, always with the port.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}:{}/#pin={}", self.host, self.port, self.pin)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PIN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\
                       ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

    fn parse(place: &str) -> Result<ServerAddress, AddressError> {
        format!("endtoend://{place}#pin={PIN}").parse()
    }

    #[test]
    fn host_port_and_pin_are_read() {
        for (text, shown) in [
            ("127.0.0.1:41234/", "127.0.0.1:41234"),
            ("[::1]:5/", "[::1]:5"),
            ("[::1]", "[::1]:8443"),
            ("Chat.Example.org/", "chat.example.org:8443"),
            ("localhost:65535", "localhost:65535"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), format!("endtoend://{shown}/#pin={PIN}"));
        }
    }

    #[test]
    fn scheme_and_pin_are_read_in_either_case() {
        let shouted = format!("  ENDTOEND://localhost/#pin={}\n", PIN.to_uppercase());
        assert_eq!(shouted.parse(), parse("localhost/"));
    }

    #[test]
    fn each_mistake_is_named() {
        use AddressError as E;
        for (place, error) in [
            ("/", E::HostMissing),
            (":8443/", E::HostMissing),
            ("::1/", E::Host),
            ("[::1/", E::Host),
            ("[::1]8443/", E::Host),
            ("[127.0.0.1]/", E::Host),
            ("999.1.1.1/", E::Host),
            ("chat example/", E::Host),
            ("user@host/", E::Host),
            ("host./", E::Host),
            ("host:/", E::Port),
            ("host:0/", E::Port),
            ("host:+1/", E::Port),
            ("host:65536/", E::Port),
            ("host:1/v1", E::Path),
            ("host//", E::Path),
        ] {
            assert_eq!(parse(place), Err(error), "{place}");
        }
        for (text, error) in [
            ("", E::Scheme),
            ("https://host/#pin=00", E::Scheme),
            ("endtoend:/", E::Scheme),
            ("endtoend://host/", E::PinMissing),
            ("endtoend://host/#key=00", E::PinMissing),
            ("endtoend://host/#pin=00", E::Pin),
            ("endtoend://host/#pin=", E::Pin),
        ] {
            assert_eq!(text.parse::<ServerAddress>(), Err(error), "{text}");
        }
        assert_eq!(format!("endtoend://h/#pin={}", PIN.replace('0', "g")).parse::<ServerAddress>(), Err(E::Pin));
    }

    #[test]
    fn this_machine_and_onion_services_are_known_by_their_names() {
        let told = |host: &str| host.parse::<Host>().map(|host| (host.is_loopback(), host.is_onion())).unwrap();
        for host in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", "LocalHost"] {
            assert_eq!(told(host), (true, false), "{host}");
        }
        for host in ["128.0.0.1", "0.0.0.0", "::", "192.168.1.2", "localhost.example.org", "my-localhost", "onion"] {
            assert_eq!(told(host), (false, false), "{host}");
        }
        assert_eq!(told("expyuzz4wqqyqhjn.onion"), (false, true));
        assert_eq!(told("chat.expyuzz4wqqyqhjn.ONION"), (false, true));
        assert_eq!(told("expyuzz4wqqyqhjn.onion.example.org"), (false, false));
    }

    fn any_host() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(|ip| IpAddr::from(ip).to_string()),
            any::<[u8; 16]>().prop_map(|ip| format!("[{}]", IpAddr::from(ip))),
            "[a-zA-Z][a-zA-Z0-9]{0,20}(\\.[a-z][a-z0-9-]{0,20}[a-z0-9]){0,3}",
        ]
    }

    proptest! {
        #[test]
        fn any_string_gives_a_value_or_an_error(text: String) {
            let _ = text.parse::<ServerAddress>();
            let _ = format!("endtoend://{text}").parse::<ServerAddress>();
        }

        #[test]
        fn what_parses_shows_as_itself(place in ".{0,40}|[a-z0-9:./\\[\\]-]{0,40}") {
            if let Ok(address) = parse(&place) {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }

        #[test]
        fn every_address_survives_its_display(host in any_host(), port in 1_u16.., tls: [u8; 32], identity: [u8; 32]) {
            let text = format!("endtoend://{host}:{port}/#pin={}{}", hex::encode(tls), hex::encode(identity));
            let address: ServerAddress = text.parse().unwrap();
            prop_assert_eq!((address.port, address.pin), (port, Pin { tls: KeyHash(tls), identity }));
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
