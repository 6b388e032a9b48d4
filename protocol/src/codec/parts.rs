//! Parts of frames: envelopes and devices.

use bytes::Bytes;

use super::{
    Broken, Checked, account, array, body, copy, device, envelope_id, exactly, link, opaque, optional, or_empty,
    present, proof, within,
};
use crate::frame::{Envelope, ListedDevice, Request, Work};
use crate::ids::{Address, UnixMillis};
use crate::invite::InviteCode;
use crate::keys::NewDevice;
use crate::{limits, wire};

impl wire::Send {
    pub(super) fn checked(self) -> Checked<Envelope> {
        Ok(Envelope {
            id: envelope_id(&self.id)?,
            to: Address { account: account(&self.account)?, device: device(self.device)? },
            body: body(self.body)?,
            devices_version: self.devices_version,
        })
    }
}
impl From<&Envelope> for wire::Send {
    fn from(envelope: &Envelope) -> Self {
        Self {
            id: copy(envelope.id.as_bytes()),
            account: copy(envelope.to.account.as_bytes()),
            device: envelope.to.device.get().into(),
            body: envelope.body.clone(),
            devices_version: envelope.devices_version,
        }
    }
}

impl wire::RegisterFinish {
    pub(super) fn checked(self) -> Checked<Request> {
        Ok(Request::RegisterFinish {
            device: new_device(self.keys, self.device_key, self.registration_id, &self.identity_key)?,
            opaque: opaque(self.opaque)?,
            device_proof: proof(self.device_proof)?,
            invite: optional(self.invite, |invite| array(&invite, "invite").map(InviteCode))?,
        })
    }
}

impl wire::AddDevice {
    pub(super) fn checked(self) -> Checked<Request> {
        let secret = optional(self.secret, |secret| array(&secret, "secret"))?;
        Ok(Request::AddDevice {
            device: new_device(self.keys, self.device_key, self.registration_id, &self.identity_key)?,
            account: account(&self.account)?,
            link: match (optional(self.link, |bytes| link(&bytes))?, secret) {
                (Some(link), Some(secret)) => Some((link, secret)),
                (None, None) => None,
                _ => return Err(Broken("secret")),
            },
            device_proof: proof(self.device_proof)?,
        })
    }
}

pub(super) fn new_device(
    keys: Option<wire::DeviceKeys>,
    device_key: Bytes,
    registration_id: u32,
    identity_key: &[u8],
) -> Checked<Box<NewDevice>> {
    let keys = present(keys, "keys")?.checked()?;
    Ok(Box::new(NewDevice {
        device_key: exactly(device_key, limits::DEVICE_KEY_BYTES, "device_key")?,
        registration_id,
        identity_key: array(identity_key, "identity_key")?,
        signed_pre_key: present(keys.signed_pre_key, "signed_pre_key")?,
        last_resort_kem_pre_key: present(keys.last_resort_kem_pre_key, "last_resort_kem_pre_key")?,
        envelope_key: present(keys.envelope_key, "envelope_key")?,
        one_time_pre_keys: keys.one_time_pre_keys,
        one_time_kem_pre_keys: keys.one_time_kem_pre_keys,
    }))
}

impl wire::Device {
    pub(super) fn checked(self) -> Checked<ListedDevice> {
        Ok(ListedDevice {
            device: device(self.device)?,
            name: optional(self.name, |name| within(name, limits::DEVICE_NAME_BYTES_MAX, "name"))?,
            added_at: UnixMillis::new(self.added_at_ms),
            active_at: UnixMillis::new(self.active_at_ms),
        })
    }
}
impl From<&ListedDevice> for wire::Device {
    fn from(listed: &ListedDevice) -> Self {
        Self {
            device: listed.device.get().into(),
            name: or_empty(&listed.name),
            added_at_ms: listed.added_at.get(),
            active_at_ms: listed.active_at.get(),
        }
    }
}

pub(super) fn work(bits: u32, counter: u64) -> Checked<Option<Work>> {
    match u8::try_from(bits) {
        Ok(0) if counter == 0 => Ok(None),
        Ok(bits @ 1..=limits::WORK_BITS_MAX) => Ok(Some(Work { bits, counter })),
        _ => Err(Broken("work_bits")),
    }
}
