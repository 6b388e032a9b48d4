//! `[gateway] listen`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The word for [`ListenOn::Systemd`].
const SYSTEMD: &str = "systemd";

/// Where clients connect to, or programs that watch the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum ListenOn {
    /// An address that the node opens.
    Address(SocketAddr),
    /// Sockets that whoever starts the node has opened, and hands over. They stay while the node restarts.
    Systemd,
}

/// Neither of the two.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address with a port, like \"0.0.0.0:8443\", and not \"systemd\"")]
pub struct NoListenOn(String);

impl FromStr for ListenOn {
    type Err = NoListenOn;

    fn from_str(text: &str) -> Result<Self, NoListenOn> {
        match text {
            SYSTEMD => Ok(Self::Systemd),
            address => address.parse().map(Self::Address).map_err(|_| NoListenOn(text.to_owned())),
        }
    }
}

impl TryFrom<String> for ListenOn {
    type Error = NoListenOn;

    fn try_from(text: String) -> Result<Self, NoListenOn> {
        text.parse()
    }
}

impl From<ListenOn> for String {
    fn from(listen: ListenOn) -> Self {
        listen.to_string()
    }
}

impl From<SocketAddr> for ListenOn {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for ListenOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Systemd => f.write_str(SYSTEMD),
        }
    }
}
