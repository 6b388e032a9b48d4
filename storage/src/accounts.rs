//! Accounts, their devices, and the public keys that devices publish.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use endtoend_protocol::{
    AccountTag, Address, Bundles, DeviceId, DeviceKeys, Identity, KeyCounts, NewDevice, UnixMillis,
};

use crate::StoreError;

/// An account to create, with its first device. `Debug` shows neither record nor keys.
#[derive(Clone)]
pub struct NewAccount {
    /// Names it.
    pub tag: AccountTag,
    /// OPAQUE registration record: verifies a password without containing it.
    pub opaque_record: Bytes,
    /// Number of the first device.
    pub device_id: DeviceId,
    /// Its keys.
    pub device: NewDevice,
    /// By the node's clock.
    pub created_at: UnixMillis,
}

impl fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewAccount({:?}, {:?})", self.tag, self.device_id)
    }
}

/// Why an account was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateAccountError {
    /// The tag has an account.
    #[error("the account exists")]
    Exists,
    /// Maybe created: a repeat says `Exists` if it was.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why keys were not published. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PublishKeysError {
    /// No such device.
    #[error("no such device")]
    UnknownDevice,
    /// The device would have more one-time keys of a kind than `StoreLimits::one_time_keys_max`.
    #[error("too many one-time keys")]
    TooMany,
    /// Maybe published: a repeat is harmless, because a one-time key that is there is kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Accounts, devices, keys. Every method is atomic and durable when it returns.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Creates an account and its first device in one step.
    ///
    /// # Errors
    /// `Exists` and nothing changed, or `Store`.
    async fn create_account(&self, account: NewAccount) -> Result<(), CreateAccountError>;

    /// The OPAQUE record of an account, `None` when there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn opaque_record(&self, tag: AccountTag) -> Result<Option<Bytes>, StoreError>;

    /// The verifying keys of a device, `None` when there is no such device.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn device_key(&self, device: Address) -> Result<Option<Bytes>, StoreError>;

    /// Adds one-time keys and replaces the signed keys that are present in `keys`.
    ///
    /// # Errors
    /// See [`PublishKeysError`].
    async fn publish_keys(&self, device: Address, keys: DeviceKeys) -> Result<KeyCounts, PublishKeysError>;

    /// One-time keys left; zeros when there is no such device.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn key_counts(&self, device: Address) -> Result<KeyCounts, StoreError>;

    /// An account's identity key and its devices' envelope keys, `None` when there is none. Takes no one-time keys.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn identity(&self, tag: AccountTag) -> Result<Option<Identity>, StoreError>;

    /// Bundles of all devices of an account, `None` when there is none. The one-time keys in them are taken: no other
    /// call ever returns them. Oldest first; a last-resort key stands in when the ML-KEM ones have run out.
    ///
    /// # Errors
    /// When the store does not answer. Keys may have been taken; they are lost, which is harmless.
    async fn take_bundles(&self, tag: AccountTag) -> Result<Option<Bundles>, StoreError>;
}
