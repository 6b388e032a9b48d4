//! `[storage] url`.

use std::fmt;

use endtoend_storage::{ConnectionUrl, InvalidUrl};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Where the store's database is, or nothing. It may hold a password, so `Debug`, `Display` and the serialised form, which
/// `config show` prints, leave that out.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreUrl(Option<Given>);

/// What was written, and what it means.
#[derive(Clone)]
struct Given {
    text: Zeroizing<String>,
    url: ConnectionUrl,
}

impl StoreUrl {
    /// The URL, if there is one.
    pub fn get(&self) -> Option<&ConnectionUrl> {
        self.0.as_ref().map(|given| &given.url)
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        let text = Zeroizing::new(text);
        if text.is_empty() {
            return Ok(Self(None));
        }
        let url = text.parse()?;
        Ok(Self(Some(Given { text, url })))
    }
}

impl PartialEq for StoreUrl {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref().map(|given| &given.text) == other.0.as_ref().map(|given| &given.text)
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().map_or(Ok(()), |url| url.fmt(f))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}
