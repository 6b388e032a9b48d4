//! Who connects, as HAProxy says it before the first byte of a connection: the PROXY protocol, version 2, section 2.2 of its
//! specification.
//!
//! Whoever may say it is decided elsewhere, by the address that says it.

use std::net::{IpAddr, SocketAddr};

/// What stands before the connection's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The edge speaks for itself: a check.
    Local,
    /// The edge speaks for whoever is at this address.
    For(SocketAddr),
}

/// Bytes that are no such header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAHeader {
    /// Something else is spoken.
    #[error("a connection from an edge does not begin with a PROXY header of version 2")]
    Signature,
    /// Another version, or neither a check nor a connection.
    #[error("a PROXY header of another version or for another command")]
    Unsupported,
    /// Not TCP.
    #[error("a PROXY header for something that is not TCP")]
    Family,
    /// Longer than [`ProxyHeader::BODY_BYTES_MAX`].
    #[error("a PROXY header that is too long")]
    TooLong,
    /// Shorter than what it says.
    #[error("a PROXY header that is too short")]
    TooShort,
}

impl ProxyHeader {
    /// Signature, command, family and length.
    pub const HEAD_BYTES: usize = 16;
    /// Addresses and what may follow them: an edge of ours sends 36 at most.
    pub const BODY_BYTES_MAX: usize = 512;
    const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

    /// How many bytes follow the head.
    ///
    /// # Errors
    /// See [`NotAHeader`].
    pub fn body_bytes(head: &[u8; Self::HEAD_BYTES]) -> Result<usize, NotAHeader> {
        let [signature @ .., command, _, high, low] = head;
        match (signature == &Self::SIGNATURE, command, u16::from_be_bytes([*high, *low]).into()) {
            (false, ..) => Err(NotAHeader::Signature),
            (true, 0x20 | 0x21, length) if length <= Self::BODY_BYTES_MAX => Ok(length),
            (true, 0x20 | 0x21, _) => Err(NotAHeader::TooLong),
            (true, ..) => Err(NotAHeader::Unsupported),
        }
    }

    /// Reads it. What follows the addresses is left out: it is for those who have asked for it.
    ///
    /// # Errors
    /// See [`NotAHeader`].
    pub fn parse(head: &[u8; Self::HEAD_BYTES], body: &[u8]) -> Result<Self, NotAHeader> {
        if body.len() != Self::body_bytes(head)? {
            return Err(NotAHeader::TooShort);
        }
        let [.., command, family, _, _] = head;
        match (command, family) {
            (0x20, _) => Ok(Self::Local),
            (_, 0x11) => address::<4>(body),
            (_, 0x21) => address::<16>(body),
            _ => Err(NotAHeader::Family),
        }
    }
}

/// The source stands first, the destination next, then both ports.
fn address<const BYTES: usize>(body: &[u8]) -> Result<ProxyHeader, NotAHeader>
where
    IpAddr: From<[u8; BYTES]>,
{
    let (ip, rest) = body.split_first_chunk::<BYTES>().ok_or(NotAHeader::TooShort)?;
    let (_, rest) = rest.split_first_chunk::<BYTES>().ok_or(NotAHeader::TooShort)?;
    let ([high, low, _, _], _) = rest.split_first_chunk::<4>().ok_or(NotAHeader::TooShort)?;
    let ip = IpAddr::from(*ip).to_canonical();
    Ok(ProxyHeader::For((ip, u16::from_be_bytes([*high, *low])).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, body: &[u8]) -> ([u8; 16], Vec<u8>) {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let head = [&ProxyHeader::SIGNATURE[..], &[command, family], &length].concat();
        (head.try_into().unwrap(), body.to_vec())
    }

    fn parse(command: u8, family: u8, body: &[u8]) -> Result<ProxyHeader, NotAHeader> {
        let (head, body) = header(command, family, body);
        ProxyHeader::parse(&head, &body)
    }

    #[test]
    fn an_address_is_read_whatever_follows_it() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0x20, 0xfb];
        let expected = Ok(ProxyHeader::For("192.0.2.1:4660".parse().unwrap()));
        assert_eq!(parse(0x21, 0x11, &v4), expected);
        assert_eq!(parse(0x21, 0x11, &[&v4[..], &[3, 0, 1, 7]].concat()), expected);
        let mut v6 = [0; 36];
        v6[..2].copy_from_slice(&[0x20, 0x01]);
        v6[15] = 9;
        v6[33] = 80;
        assert_eq!(parse(0x21, 0x21, &v6), Ok(ProxyHeader::For("[2001::9]:80".parse().unwrap())));
        let mapped: Vec<u8> = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 1], &[0; 16], &[0, 7, 0, 8]].concat();
        assert_eq!(parse(0x21, 0x21, &mapped), Ok(ProxyHeader::For("192.0.2.1:7".parse().unwrap())));
        assert_eq!(parse(0x20, 0x00, &[]), Ok(ProxyHeader::Local));
        assert_eq!(parse(0x20, 0x11, &v4), Ok(ProxyHeader::Local), "a check names addresses too");
    }

    #[test]
    fn everything_else_is_refused() {
        assert_eq!(parse(0x11, 0x11, &[0; 12]), Err(NotAHeader::Unsupported), "another version");
        assert_eq!(parse(0x22, 0x11, &[0; 12]), Err(NotAHeader::Unsupported), "another command");
        for family in [0x00, 0x12, 0x22, 0x31, 0x32, 0xff] {
            assert_eq!(parse(0x21, family, &[0; 216]), Err(NotAHeader::Family));
        }
        assert_eq!(parse(0x21, 0x11, &[0; 11]), Err(NotAHeader::TooShort));
        assert_eq!(parse(0x21, 0x21, &[0; 35]), Err(NotAHeader::TooShort));
        assert_eq!(parse(0x21, 0x11, &[0; 513]), Err(NotAHeader::TooLong));
        let (head, body) = header(0x21, 0x11, &[0; 12]);
        assert_eq!(ProxyHeader::parse(&head, &body[1..]), Err(NotAHeader::TooShort));
        assert_eq!(ProxyHeader::body_bytes(b"PROXY TCP4 192.0"), Err(NotAHeader::Signature));
        assert_eq!(
            ProxyHeader::body_bytes(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\0\0\0\0\0"),
            Err(NotAHeader::Signature)
        );
    }
}
