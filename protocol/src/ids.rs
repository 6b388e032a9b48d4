//! Names of things: accounts, devices, envelopes, moments.

use std::fmt;
use std::num::NonZeroU8;
use std::time::Duration;

use uuid::Uuid;

use crate::limits;

/// Bytes or a number that cannot name what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// The bytes have another length than the name.
    #[error("a name of {len} bytes where {want} are needed")]
    Length {
        /// What was met.
        len: usize,
        /// What is needed.
        want: usize,
    },
    /// An identifier that is not a version 7 UUID.
    #[error("not a version 7 UUID")]
    NotUuidV7,
    /// A device number outside 1 to 127.
    #[error("device number {0} is not within 1 to 127")]
    Device(u32),
}

fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], BadId> {
    bytes.try_into().map_err(|_| BadId::Length { len: bytes.len(), want: N })
}

/// Names an account to the server: 32 bytes from which the handle cannot be read.
///
/// `Debug` shows the first four bytes: enough to tell two apart in a test, too little to look one up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountTag([u8; 32]);

impl AccountTag {
    /// The tag of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    /// # Errors
    /// `Length` unless there are 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, BadId> {
        exact(bytes).map(Self)
    }
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for AccountTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "AccountTag({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Names a blob, which is an attachment as the server sees it: random, and told only to those who may fetch it.
///
/// `Debug` shows the first two bytes, since whoever knows all can fetch it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobId(pub [u8; limits::BLOB_ID_BYTES]);

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.0;
        write!(f, "BlobId({a:02x}{b:02x}…)")
    }
}

/// Number of a device within its account, 1 to 127.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(NonZeroU8);

impl DeviceId {
    /// The device that an account is registered from.
    pub const FIRST: Self = Self(NonZeroU8::MIN);

    /// # Errors
    /// `Device` when the number is 0 or above 127.
    pub fn new(number: u32) -> Result<Self, BadId> {
        match u8::try_from(number).ok().and_then(NonZeroU8::new) {
            Some(id) if number <= limits::DEVICE_ID_MAX => Ok(Self(id)),
            _ => Err(BadId::Device(number)),
        }
    }
    /// The number.
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One device of one account: where an envelope goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Whose device.
    pub account: AccountTag,
    /// Which one.
    pub device: DeviceId,
}

macro_rules! uuid_v7 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl std::str::FromStr for $name {
            type Err = BadId;

            /// As it is displayed.
            fn from_str(text: &str) -> Result<Self, BadId> {
                let uuid = Uuid::try_parse(text).map_err(|_| BadId::NotUuidV7)?;
                Self::from_slice(uuid.as_bytes())
            }
        }

        impl $name {
            /// A new name from the time and 80 random bits (RFC 9562, section 5.7).
            pub fn new(at: UnixMillis, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(at.get(), &random).into_uuid())
            }
            /// # Errors
            /// `Length` unless there are 16 bytes, `NotUuidV7` unless version and variant say so.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, BadId> {
                let id = Uuid::from_bytes(exact(bytes)?);
                match (id.get_version_num(), id.get_variant()) {
                    (7, uuid::Variant::RFC4122) => Ok(Self(id)),
                    _ => Err(BadId::NotUuidV7),
                }
            }
            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
            /// When it was made, by the clock of whoever made it: its first 48 bits.
            pub const fn at(&self) -> UnixMillis {
                let [a, b, c, d, e, f, ..] = *self.0.as_bytes();
                UnixMillis::new(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_v7!(
    /// Names an envelope. Chosen by the sender and kept across retries: a repeat is stored once.
    EnvelopeId
);
uuid_v7!(
    /// Names a message between people: the same in every envelope that carries it.
    MessageId
);

/// Milliseconds since 1970 UTC by somebody's wall clock. For showing and for expiry, never for leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// The moment this many milliseconds after 1970.
    pub const fn new(ms: u64) -> Self {
        Self(ms)
    }
    /// Milliseconds since 1970.
    pub const fn get(self) -> u64 {
        self.0
    }
    /// This moment and `by` later, at most the end of time.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
    /// `by` earlier, at least the beginning of 1970.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
