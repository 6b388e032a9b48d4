//! Where to listen, or nowhere, which is the empty text.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub(super) fn serialize<S: Serializer, T: Display>(listen: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    listen.as_ref().map(T::to_string).unwrap_or_default().serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse() {
        _ if text.is_empty() => Ok(None),
        Ok(listen) => Ok(Some(listen)),
        Err(_) => Err(de::Error::custom("not an address and a port: write 127.0.0.1:9464, or \"\" for none")),
    }
}
