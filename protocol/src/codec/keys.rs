//! What devices publish, and what is handed out of it.

use super::{Broken, Checked, array, at_most, copy, device, exactly, present};
use crate::ids::DeviceId;
use crate::keys::{
    Bundle, Bundles, DeviceKeys, EnvelopeKey, Identity, KemPreKey, NewDevice, OneTimePreKey, SignedPreKey,
};
use crate::{limits, wire};

impl wire::DeviceKeys {
    pub(super) fn checked(self) -> Checked<DeviceKeys> {
        Ok(DeviceKeys {
            signed_pre_key: self.signed_pre_key.map(wire::SignedPreKey::checked).transpose()?,
            last_resort_kem_pre_key: self.last_resort_kem_pre_key.map(wire::KemPreKey::checked).transpose()?,
            envelope_key: self.envelope_key.map(wire::EnvelopeKey::checked).transpose()?,
            one_time_pre_keys: at_most(
                self.one_time_pre_keys,
                limits::ONE_TIME_PRE_KEYS_UPLOAD_MAX,
                "one_time_pre_keys",
                wire::OneTimePreKey::checked,
            )?,
            one_time_kem_pre_keys: at_most(
                self.one_time_kem_pre_keys,
                limits::ONE_TIME_KEM_PRE_KEYS_UPLOAD_MAX,
                "one_time_kem_pre_keys",
                wire::KemPreKey::checked,
            )?,
        })
    }
}
impl From<&DeviceKeys> for wire::DeviceKeys {
    fn from(keys: &DeviceKeys) -> Self {
        Self {
            signed_pre_key: keys.signed_pre_key.as_ref().map(Into::into),
            last_resort_kem_pre_key: keys.last_resort_kem_pre_key.as_ref().map(Into::into),
            envelope_key: keys.envelope_key.as_ref().map(Into::into),
            one_time_pre_keys: keys.one_time_pre_keys.iter().map(Into::into).collect(),
            one_time_kem_pre_keys: keys.one_time_kem_pre_keys.iter().map(Into::into).collect(),
        }
    }
}
impl From<&NewDevice> for wire::DeviceKeys {
    fn from(device: &NewDevice) -> Self {
        Self {
            signed_pre_key: Some((&device.signed_pre_key).into()),
            last_resort_kem_pre_key: Some((&device.last_resort_kem_pre_key).into()),
            envelope_key: Some((&device.envelope_key).into()),
            one_time_pre_keys: device.one_time_pre_keys.iter().map(Into::into).collect(),
            one_time_kem_pre_keys: device.one_time_kem_pre_keys.iter().map(Into::into).collect(),
        }
    }
}

impl wire::SignedPreKey {
    pub(super) fn checked(self) -> Checked<SignedPreKey> {
        Ok(SignedPreKey {
            id: self.id,
            public: array(&self.public, "signed_pre_key.public")?,
            signature: array(&self.signature, "signed_pre_key.signature")?,
        })
    }
}
impl From<&SignedPreKey> for wire::SignedPreKey {
    fn from(key: &SignedPreKey) -> Self {
        Self { id: key.id, public: copy(&key.public), signature: copy(&key.signature) }
    }
}

impl wire::OneTimePreKey {
    pub(super) fn checked(self) -> Checked<OneTimePreKey> {
        Ok(OneTimePreKey { id: self.id, public: array(&self.public, "one_time_pre_key.public")? })
    }
}
impl From<&OneTimePreKey> for wire::OneTimePreKey {
    fn from(key: &OneTimePreKey) -> Self {
        Self { id: key.id, public: copy(&key.public) }
    }
}

impl wire::KemPreKey {
    pub(super) fn checked(self) -> Checked<KemPreKey> {
        Ok(KemPreKey {
            id: self.id,
            public: exactly(self.public, limits::SIGNAL_KEM_KEY_BYTES, "kem_pre_key.public")?,
            signature: array(&self.signature, "kem_pre_key.signature")?,
        })
    }
}
impl From<&KemPreKey> for wire::KemPreKey {
    fn from(key: &KemPreKey) -> Self {
        Self { id: key.id, public: key.public.clone(), signature: copy(&key.signature) }
    }
}

impl wire::EnvelopeKey {
    pub(super) fn checked(self) -> Checked<EnvelopeKey> {
        Ok(EnvelopeKey {
            id: self.id,
            x25519: array(&self.x25519, "envelope_key.x25519")?,
            ml_kem: exactly(self.ml_kem, limits::ML_KEM_KEY_BYTES, "envelope_key.ml_kem")?,
            signature: array(&self.signature, "envelope_key.signature")?,
        })
    }
}
impl From<&EnvelopeKey> for wire::EnvelopeKey {
    fn from(key: &EnvelopeKey) -> Self {
        Self { id: key.id, x25519: copy(&key.x25519), ml_kem: key.ml_kem.clone(), signature: copy(&key.signature) }
    }
}

impl wire::Identity {
    pub(super) fn checked(self) -> Checked<Identity> {
        let envelope_keys = at_most(self.devices, limits::DEVICES_MAX, "devices", |entry| {
            Ok((device(entry.device)?, present(entry.envelope_key, "envelope_key")?.checked()?))
        })?;
        if envelope_keys.is_empty() {
            return Err(Broken("devices"));
        }
        let identity_key = array(&self.identity_key, "identity_key")?;
        Ok(Identity { devices_version: self.devices_version, identity_key, envelope_keys })
    }
}
impl From<&Identity> for wire::Identity {
    fn from(identity: &Identity) -> Self {
        let entry = |(device, key): &(DeviceId, EnvelopeKey)| wire::DeviceEnvelopeKey {
            device: device.get().into(),
            envelope_key: Some(key.into()),
        };
        Self {
            identity_key: copy(&identity.identity_key),
            devices: identity.envelope_keys.iter().map(entry).collect(),
            devices_version: identity.devices_version,
        }
    }
}

impl wire::Bundles {
    pub(super) fn checked(self) -> Checked<Bundles> {
        let devices = at_most(self.devices, limits::DEVICES_MAX, "devices", wire::Bundle::checked)?;
        if devices.is_empty() {
            return Err(Broken("devices"));
        }
        let identity_key = array(&self.identity_key, "identity_key")?;
        Ok(Bundles { devices_version: self.devices_version, identity_key, devices })
    }
}
impl From<&Bundles> for wire::Bundles {
    fn from(bundles: &Bundles) -> Self {
        Self {
            identity_key: copy(&bundles.identity_key),
            devices: bundles.devices.iter().map(Into::into).collect(),
            devices_version: bundles.devices_version,
        }
    }
}

impl wire::Bundle {
    pub(super) fn checked(self) -> Checked<Bundle> {
        Ok(Bundle {
            device: device(self.device)?,
            registration_id: self.registration_id,
            signed_pre_key: present(self.signed_pre_key, "signed_pre_key")?.checked()?,
            one_time_pre_key: self.one_time_pre_key.map(wire::OneTimePreKey::checked).transpose()?,
            kem_pre_key: present(self.kem_pre_key, "kem_pre_key")?.checked()?,
            envelope_key: present(self.envelope_key, "envelope_key")?.checked()?,
        })
    }
}
impl From<&Bundle> for wire::Bundle {
    fn from(bundle: &Bundle) -> Self {
        Self {
            device: bundle.device.get().into(),
            registration_id: bundle.registration_id,
            signed_pre_key: Some((&bundle.signed_pre_key).into()),
            one_time_pre_key: bundle.one_time_pre_key.as_ref().map(Into::into),
            kem_pre_key: Some((&bundle.kem_pre_key).into()),
            envelope_key: Some((&bundle.envelope_key).into()),
        }
    }
}
