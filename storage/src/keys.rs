//! The public keys that devices publish, and that others take to write to them.

use async_trait::async_trait;
use endtoend_protocol::{AccountTag, Address, Bundles, DeviceKeys, Identity, KeyCounts};

use crate::StoreError;

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

/// Published keys. Every method is atomic and durable when it returns.
#[async_trait]
pub trait KeyStore: Send + Sync {
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
