//! Where Redis is.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::redact::redacted;

/// `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://…` for TLS, or `unix:///PATH[?user=…&pass=…&db=…]`. `Debug` and
/// what is serialised show no password.
#[derive(Clone)]
pub struct RedisUrl {
    text: String,
    client: redis::Client,
}

/// The text is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the address of a Redis: write redis://:PASSWORD@HOST:6379/0, rediss:// for TLS, unix:///PATH, or \"\" for none"
)]
pub struct NoRedisUrl;

impl RedisUrl {
    /// Connects nowhere.
    ///
    /// # Errors
    /// [`NoRedisUrl`], which does not repeat the text.
    pub fn new(text: &str) -> Result<Self, NoRedisUrl> {
        let client = redis::Client::open(text).map_err(|_| NoRedisUrl)?;
        Ok(Self { text: text.to_owned(), client })
    }

    /// Whether it is spoken to over TLS.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self.client.get_connection_info().addr(), redis::ConnectionAddr::TcpTls { .. })
    }

    /// What connects to it.
    pub(crate) fn client(&self) -> redis::Client {
        self.client.clone()
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.text))
    }
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Empty for none.
pub(crate) fn serialize<S: Serializer>(url: &Option<RedisUrl>, serializer: S) -> Result<S::Ok, S::Error> {
    url.as_ref().map(|url| redacted(&url.text)).unwrap_or_default().serialize(serializer)
}

/// Empty for none.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RedisUrl>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    RedisUrl::new(&text).map(Some).map_err(de::Error::custom)
}
