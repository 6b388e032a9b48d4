//! Moments on the wire, as the protocol's crate leaves serde to those who need it.

use endtoend_protocol::UnixMillis;
use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

pub(crate) fn serialize<S: Serializer>(moment: &UnixMillis, to: S) -> Result<S::Ok, S::Error> {
    moment.get().serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UnixMillis, D::Error> {
    u64::deserialize(from).map(UnixMillis::new)
}
