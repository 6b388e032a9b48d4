//! `[onion]`: the node as an onion service.

use std::net::SocketAddr;
use std::path::PathBuf;

use endtoend_crypto_core::visitor::{NoVisitorKey, VisitorKey};
use serde::{Deserialize, Serialize};

use super::listen;

/// A descriptor has room for some hundreds of clients in all; each of them makes it longer for everybody.
const CLIENTS_MAX: usize = 128;

/// `[onion]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OnionConfig {
    /// The node has an address in the Tor network, too. Default false. Change: restart.
    pub enabled: bool,
    /// Who hosts it: `node`, or a `tor` beside it. Default `node`. Change: restart.
    pub host: OnionHost,
    /// Port of that address. Default 8443, at least 1. Change: restart.
    pub port: u16,
    /// Where connections go: an address of an edge, say. Default none, which is the empty text: where the node listens. Change:
    /// restart.
    #[serde(with = "listen")]
    pub target: Option<SocketAddr>,
    /// Public keys of those who may find the service. Default none: whoever knows the address. At most 128. Change: restart.
    pub clients: Vec<String>,
    /// With `host = "node"`: a file in arti's own format, for bridges or another Tor network than the public one. Default none, which
    /// is the empty path. Change: restart.
    pub arti: PathBuf,
}

/// Who hosts the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnionHost {
    /// The node itself.
    #[default]
    Node,
    /// A `tor` that is given what `endtoend onion export` writes.
    Tor,
}

impl OnionHost {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Tor => "tor",
        }
    }
}

impl Default for OnionConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            host: OnionHost::Node,
            port: 8443,
            target: None,
            clients: Vec::new(),
            arti: PathBuf::new(),
        }
    }
}

impl OnionConfig {
    /// Those who may find the service; none for everybody.
    ///
    /// # Errors
    /// When one is no key, which [`super::Config`] has refused when it was read.
    pub(crate) fn client_keys(&self) -> Result<Vec<VisitorKey>, NoVisitorKey> {
        self.clients.iter().map(|text| text.parse()).collect()
    }

    /// What is wrong, by key.
    pub(super) fn broken_rules(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut broken = Vec::new();
        if self.port == 0 {
            broken.push(("port", "must be at least 1".to_owned(), "nobody else listens there: the default does"));
        }
        if self.target.is_some_and(|target| target.port() == 0 || target.ip().is_unspecified()) {
            broken.push(("target", "must be one address".to_owned(), "write it like \"127.0.0.1:8443\""));
        }
        if self.clients.len() > CLIENTS_MAX {
            let text = format!("must be at most {CLIENTS_MAX} keys");
            broken.push(("clients", text, "a device of a person needs one; without any, the address is the secret"));
        }
        // Not the text: a mistaken line may be the secret one.
        for (number, _) in (1..).zip(&self.clients).filter(|(_, text)| text.parse::<VisitorKey>().is_err()) {
            let hint = "`endtoend onion client-key` prints one, and the secret line, which is the client's";
            broken.push(("clients", format!("number {number}: {NoVisitorKey}"), hint));
        }
        if self.host == OnionHost::Tor && !self.arti.as_os_str().is_empty() {
            broken.push(("arti", "is for host = \"node\"".to_owned(), "the tor beside the node has a torrc for that"));
        }
        if cfg!(not(feature = "onion")) && self.enabled && self.host == OnionHost::Node {
            let text = "needs a build with the feature \"onion\", which this one has not".to_owned();
            broken.push(("host", text, "write host = \"tor\", and see `endtoend onion export`"));
        }
        broken
    }
}
