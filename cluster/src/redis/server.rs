//! One server of Redis: its address, and how it is spoken to.

use std::fmt;
use std::str::FromStr;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, RedisError,
    TlsCertificates,
};

/// Where a server listens. An IPv6 address has brackets in its text and none in `host`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort {
    /// Name or address.
    pub host: String,
    /// Not 0.
    pub port: u16,
}

/// The text is no address of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the address of a server: write it like \"cache1.example.org:6379\"")]
pub struct BadHostPort;

impl FromStr for HostPort {
    type Err = BadHostPort;

    fn from_str(text: &str) -> Result<Self, BadHostPort> {
        let (host, port) = text.rsplit_once(':').ok_or(BadHostPort)?;
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match inside {
            Some(address) => address,
            None if host.contains([':', '[', ']', '/', '@']) => return Err(BadHostPort),
            None => host,
        };
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(BadHostPort)?;
        if host.is_empty() { Err(BadHostPort) } else { Ok(Self { host: host.to_owned(), port }) }
    }
}

impl TryFrom<String> for HostPort {
    type Error = BadHostPort;
    fn try_from(text: String) -> Result<Self, BadHostPort> {
        text.parse()
    }
}

impl From<HostPort> for String {
    fn from(at: HostPort) -> Self {
        at.to_string()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// How servers are spoken to whose addresses are learned from others.
#[derive(Clone)]
pub struct Manner {
    login: RedisConnectionInfo,
    tls: Option<TlsCertificates>,
}

impl Manner {
    /// `tls`: none for plain TCP.
    pub const fn new(login: RedisConnectionInfo, tls: Option<TlsCertificates>) -> Self {
        Self { login, tls }
    }

    /// For the server there.
    ///
    /// # Errors
    /// When the certificates are none.
    pub fn client(&self, at: &HostPort) -> Result<Client, RedisError> {
        let HostPort { host, port } = at.clone();
        match &self.tls {
            None => {
                let info = ConnectionAddr::Tcp(host, port).into_connection_info()?;
                Client::open(info.set_redis_settings(self.login.clone()))
            }
            Some(certificates) => {
                let address = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
                let info = address.into_connection_info()?.set_redis_settings(self.login.clone());
                Client::build_with_tls(info, certificates.clone())
            }
        }
    }
}

/// Without time limits of its own: whoever asks has one.
pub(super) async fn connect(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["cache:6379", "10.0.0.1:1", "[::1]:26379"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        assert_eq!("[::1]:26379".parse::<HostPort>().unwrap().host, "::1");
        for text in ["", "cache", "cache:", ":6379", "cache:0", "cache:65536", "::1:6379", "redis://cache:6379", "[]:1"]
        {
            assert_eq!(text.parse::<HostPort>(), Err(BadHostPort), "{text}");
        }
    }
}
