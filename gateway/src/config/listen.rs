//! An address to listen on, or none, which is the empty text.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub(super) fn serialize<S: Serializer>(listen: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    listen.map(|listen| listen.to_string()).unwrap_or_default().serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse() {
        _ if text.is_empty() => Ok(None),
        Ok(listen) => Ok(Some(listen)),
        Err(_) => Err(de::Error::custom("not an address and a port: write 127.0.0.1:9464, or \"\" for none")),
    }
}
