//! Types of the protocol's crate on the wire, as it leaves serde to those who need it. What is read keeps every rule of its type.

use ::bytes::Bytes;
use endtoend_protocol::{AccountTag, Address, DeviceId, Envelope, EnvelopeId, limits};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes as they are. Copied when read: what is kept for long must not keep the buffer that it was read from.
pub(crate) mod bytes {
    use super::{Bytes, Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        <&[u8]>::deserialize(from).map(Bytes::copy_from_slice)
    }
}

pub(super) mod account {
    use super::{AccountTag, Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(account: &AccountTag, to: S) -> Result<S::Ok, S::Error> {
        account.as_bytes().serialize(to)
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<AccountTag, D::Error> {
        <[u8; 32]>::deserialize(from).map(AccountTag::new)
    }
}

pub(super) mod address {
    use super::{AccountTag, Address, Deserialize as _, Deserializer, DeviceId, Serialize as _, Serializer};
    use serde::de::Error as _;

    pub(crate) fn serialize<S: Serializer>(address: &Address, to: S) -> Result<S::Ok, S::Error> {
        (address.account.as_bytes(), address.device.get()).serialize(to)
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Address, D::Error> {
        let (account, device) = <([u8; 32], u8)>::deserialize(from)?;
        let device = DeviceId::new(device.into()).map_err(D::Error::custom)?;
        Ok(Address { account: AccountTag::new(account), device })
    }
}

pub(super) mod envelope {
    use super::{Deserialize as _, Deserializer, Envelope, Parts, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(envelope: &Envelope, to: S) -> Result<S::Ok, S::Error> {
        Parts {
            id: *envelope.id.as_bytes(),
            to: envelope.to,
            devices_version: envelope.devices_version,
            body: &envelope.body,
        }
        .serialize(to)
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Envelope, D::Error> {
        Parts::deserialize(from)?.try_into()
    }
}

#[derive(Deserialize, Serialize)]
struct Parts<'a> {
    id: [u8; 16],
    #[serde(with = "address")]
    to: Address,
    devices_version: u32,
    #[serde(with = "borrowed")]
    body: &'a [u8],
}

mod borrowed {
    use super::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &&[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<&'de [u8], D::Error> {
        <&[u8]>::deserialize(from)
    }
}

impl Parts<'_> {
    fn try_into<E: serde::de::Error>(self) -> Result<Envelope, E> {
        if !(1..=limits::ENVELOPE_BYTES_MAX).contains(&self.body.len()) {
            return Err(E::custom("an envelope without a body, or with too long a one"));
        }
        let id = EnvelopeId::from_slice(&self.id).map_err(E::custom)?;
        let body = Bytes::copy_from_slice(self.body);
        Ok(Envelope { id, to: self.to, devices_version: self.devices_version, body })
    }
}
