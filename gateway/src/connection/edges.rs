//! Who is at the other end of a connection, when there is an edge in between.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use endtoend_haproxy::{Network, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The addresses whose word is taken for who connects. From them a PROXY header is required, from others it is no TLS.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edges(Arc<[Network]>);

impl Edges {
    pub(crate) fn new(networks: &[Network]) -> Self {
        Self(networks.into())
    }

    /// Reads the header of an edge and no byte more. Gives the address that limits are for.
    ///
    /// # Errors
    /// When an edge begins with something else, or the connection ends.
    pub(super) async fn client(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        peer: Option<SocketAddr>,
    ) -> io::Result<Option<SocketAddr>> {
        let Some(edge) = peer.filter(|peer| self.0.iter().any(|network| network.contains(peer.ip()))) else {
            return Ok(peer);
        };
        let mut head = [0; ProxyHeader::HEAD_BYTES];
        stream.read_exact(&mut head).await?;
        let length = ProxyHeader::body_bytes(&head).map_err(invalid)?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        match ProxyHeader::parse(&head, &body).map_err(invalid)? {
            ProxyHeader::Local => Ok(Some(edge)),
            ProxyHeader::For(client) => Ok(Some(client)),
        }
    }
}

fn invalid(error: endtoend_haproxy::NotAHeader) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    async fn client(from: &str, bytes: &[u8]) -> io::Result<(Option<SocketAddr>, Vec<u8>)> {
        let edges = Edges::new(&["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
        let mut rest = bytes;
        let client = edges.client(&mut rest, Some(from.parse().unwrap())).await?;
        Ok((client, rest.to_vec()))
    }

    #[tokio::test]
    async fn an_edge_is_believed_and_nobody_else() {
        let body = [192, 0, 2, 1, 10, 0, 0, 1, 0, 7, 0, 8];
        let said = [HEAD, &[0x21, 0x11, 0, 12], &body, b"TLS"].concat();
        for edge in ["10.1.2.3:4", "[::ffff:10.1.2.3]:4", "[::1]:4"] {
            let (client, rest) = client(edge, &said).await.unwrap();
            assert_eq!(
                (client, &rest[..]),
                (Some("192.0.2.1:7".parse().unwrap()), &b"TLS"[..]),
                "and no byte more is read"
            );
        }
        for other in ["11.1.2.3:4", "127.0.0.1:4", "[::2]:4"] {
            let (client, rest) = client(other, &said).await.unwrap();
            assert_eq!(
                (client, rest),
                (Some(other.parse().unwrap()), said.clone()),
                "it stays what TLS is to begin with"
            );
        }
        let check = [HEAD, &[0x20, 0, 0, 0]].concat();
        assert_eq!(client("10.0.0.1:4", &check).await.unwrap().0, Some("10.0.0.1:4".parse().unwrap()));
    }

    #[tokio::test]
    async fn an_edge_that_says_nothing_of_the_kind_is_refused() {
        let refused = async |bytes: &[u8]| client("10.0.0.1:4", bytes).await.unwrap_err().kind();
        assert_eq!(refused(b"\x16\x03\x01 a client's first words").await, io::ErrorKind::InvalidData);
        assert_eq!(refused(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n").await, io::ErrorKind::InvalidData);
        assert_eq!(refused(&[HEAD, &[0x21, 0x11, 0xff, 0xff]].concat()).await, io::ErrorKind::InvalidData);
        assert_eq!(refused(&[HEAD, &[0x21, 0x11, 0, 12], b"short"].concat()).await, io::ErrorKind::UnexpectedEof);
        assert_eq!(refused(b"\r\n").await, io::ErrorKind::UnexpectedEof);
    }
}
