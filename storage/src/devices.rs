//! The devices of an account.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use endtoend_protocol::{AccountTag, Address, DeviceId, NewDevice, UnixMillis};

use crate::{LinkId, StoreError};

/// A device to add. `Debug` shows no keys.
#[derive(Clone)]
pub struct AddDevice {
    /// Whose.
    pub account: AccountTag,
    /// Its keys.
    pub device: NewDevice,
    /// By the node's clock.
    pub added_at: UnixMillis,
    /// Until then it may do nothing, and nobody writes to it.
    pub active_at: UnixMillis,
    /// What an existing device has allowed it by, and the hash of the secret that it has shown. Is used up.
    pub link: Option<(LinkId, [u8; 32])>,
}

impl fmt::Debug for AddDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddDevice({:?})", self.account)
    }
}

/// Why a device was not added. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AddDeviceError {
    /// No such account, or its identity key is another one.
    #[error("no such account")]
    UnknownAccount,
    /// The account has `StoreLimits::devices_max` devices.
    #[error("too many devices")]
    TooMany,
    /// No existing device has allowed it, or not to the holder of this secret.
    #[error("the link is not valid")]
    Link,
    /// Maybe added: the list of devices tells.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What must be known about a device that shows a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Verifies its proofs.
    pub device_key: Bytes,
    /// Until then it may do nothing; `None` when it waits no more.
    pub waits_until: Option<UnixMillis>,
    /// Its account is disabled.
    pub disabled: bool,
}

/// An entry of the list of devices. `Debug` shows no name.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedDevice {
    /// Its number.
    pub device: DeviceId,
    /// Sealed by the client.
    pub name: Option<Bytes>,
    /// By the node's clock.
    pub added_at: UnixMillis,
    /// Until then it may do nothing.
    pub active_at: UnixMillis,
}

impl fmt::Debug for ListedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListedDevice({})", self.device)
    }
}

/// Devices. Every method is atomic and durable when it returns. Each change of the list makes its version grow.
#[async_trait]
pub trait DeviceStore: Send + Sync {
    /// Adds a device and gives its number, which no device of the account had lately.
    ///
    /// # Errors
    /// See [`AddDeviceError`].
    async fn add_device(&self, device: AddDevice) -> Result<DeviceId, AddDeviceError>;

    /// Ends the waiting of a device. `false`: it was not waiting, or there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn activate_device(&self, device: Address) -> Result<bool, StoreError>;

    /// A device, `None` when there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn device(&self, device: Address) -> Result<Option<DeviceRecord>, StoreError>;

    /// All devices of an account in the order of their numbers, and the version of the list; nothing and 0 for none.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn devices(&self, tag: AccountTag) -> Result<(Vec<ListedDevice>, u32), StoreError>;

    /// `false`: there is no such device.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn rename_device(&self, device: Address, name: Bytes) -> Result<bool, StoreError>;

    /// Removes a device with its keys, its queue and its tokens. `false`: there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn remove_device(&self, device: Address) -> Result<bool, StoreError>;
}
