//! Public keys that devices publish and others fetch. Lengths are checked here, signatures by whoever uses a key.

use bytes::Bytes;

use crate::ids::DeviceId;
use crate::limits;

type SignalPublicKey = [u8; limits::SIGNAL_PUBLIC_KEY_BYTES];
type SignalSignature = [u8; limits::SIGNAL_SIGNATURE_BYTES];

/// A pre-key that is replaced weekly. Source: Signal's PQXDH specification, section 3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPreKey {
    /// Chosen by the device.
    pub id: u32,
    /// Curve25519 key as libsignal writes it.
    pub public: SignalPublicKey,
    /// XEdDSA by the identity key over `public`.
    pub signature: SignalSignature,
}

/// A pre-key that the server hands out once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimePreKey {
    /// Chosen by the device.
    pub id: u32,
    /// Curve25519 key as libsignal writes it.
    pub public: SignalPublicKey,
}

/// An ML-KEM-1024 pre-key, handed out once or, as last resort, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KemPreKey {
    /// Chosen by the device.
    pub id: u32,
    /// Type byte and encapsulation key, 1569 bytes.
    pub public: Bytes,
    /// XEdDSA by the identity key over `public`.
    pub signature: SignalSignature,
}

/// What the outer envelope to a device is sealed for. See docs/cryptography.md, "PQ envelope".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeKey {
    /// Chosen by the device; an envelope names it.
    pub id: u32,
    /// X25519 public key.
    pub x25519: [u8; limits::X25519_KEY_BYTES],
    /// ML-KEM-1024 encapsulation key, 1568 bytes.
    pub ml_kem: Bytes,
    /// XEdDSA by the identity key; see docs/cryptography.md for what it covers.
    pub signature: SignalSignature,
}

/// Keys to publish. Empty fields leave what is published as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceKeys {
    /// Replaces the present one.
    pub signed_pre_key: Option<SignedPreKey>,
    /// Replaces the present one.
    pub last_resort_kem_pre_key: Option<KemPreKey>,
    /// Replaces the present one.
    pub envelope_key: Option<EnvelopeKey>,
    /// Added to those that are there, at most 100.
    pub one_time_pre_keys: Vec<OneTimePreKey>,
    /// Added to those that are there, at most 50.
    pub one_time_kem_pre_keys: Vec<KemPreKey>,
}

/// The part of a registration that describes the first device. All three signed keys are present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// Ed25519 and ML-DSA-87 verifying keys, 2624 bytes.
    pub device_key: Bytes,
    /// Random number by which libsignal notices a reinstalled device.
    pub registration_id: u32,
    /// The account's identity key.
    pub identity_key: SignalPublicKey,
    /// Replaced weekly.
    pub signed_pre_key: SignedPreKey,
    /// Handed out when the one-time keys have run out.
    pub last_resort_kem_pre_key: KemPreKey,
    /// What envelopes are sealed for.
    pub envelope_key: EnvelopeKey,
    /// At most 100.
    pub one_time_pre_keys: Vec<OneTimePreKey>,
    /// At most 50.
    pub one_time_kem_pre_keys: Vec<KemPreKey>,
}

/// How many one-time keys of a device a server holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// Curve25519 keys.
    pub one_time: u32,
    /// ML-KEM-1024 keys.
    pub one_time_kem: u32,
}

/// What is needed to write to one device for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Whose keys these are.
    pub device: DeviceId,
    /// See [`NewDevice::registration_id`].
    pub registration_id: u32,
    /// Replaced weekly.
    pub signed_pre_key: SignedPreKey,
    /// `None` when they have run out.
    pub one_time_pre_key: Option<OneTimePreKey>,
    /// One-time, or the last-resort key when they have run out.
    pub kem_pre_key: KemPreKey,
    /// What envelopes are sealed for.
    pub envelope_key: EnvelopeKey,
}

/// Bundles of every device of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundles {
    /// Version of the account's list of devices.
    pub devices_version: u32,
    /// The account's identity key, which signs the rest.
    pub identity_key: SignalPublicKey,
    /// One per device, 1 to 8.
    pub devices: Vec<Bundle>,
}

/// Who an account is, and how its devices are written to within a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Version of the account's list of devices.
    pub devices_version: u32,
    /// The account's identity key, which signs the rest.
    pub identity_key: SignalPublicKey,
    /// One per device, 1 to 8.
    pub envelope_keys: Vec<(DeviceId, EnvelopeKey)>,
}
