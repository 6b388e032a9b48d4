//! Families of refresh tokens. What is kept of a token is a keyed hash.

use async_trait::async_trait;
use endtoend_protocol::{AccountTag, Address, DeviceId, UnixMillis};

use crate::StoreError;

/// Names a family: all tokens that come from one login of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FamilyId(pub [u8; 16]);

/// A family of tokens. One that is revoked is gone, and with it every token of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Names it.
    pub id: FamilyId,
    /// Whose tokens.
    pub device: Address,
    /// How often the token was replaced.
    pub generation: u32,
    /// Of the present token.
    pub token_hash: [u8; 32],
    /// Of the token before, until the present one is used.
    pub previous_hash: Option<[u8; 32]>,
    /// When the device logged in.
    pub created_at: UnixMillis,
    /// When the present token was given.
    pub refreshed_at: UnixMillis,
    /// The end of the present token.
    pub expires_at: UnixMillis,
}

/// Families. Every method is atomic and durable when it returns.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Adds a family in place of the one that its device has. `false`: there is no such device.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn put_family(&self, family: Family) -> Result<bool, StoreError>;

    /// A family, `None` when there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn family(&self, id: FamilyId) -> Result<Option<Family>, StoreError>;

    /// Writes `after` if the family still is what `before` says; says whether it was.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn swap_family(&self, before: &Family, after: &Family) -> Result<bool, StoreError>;

    /// Revokes a family. `false`: there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn remove_family(&self, id: FamilyId) -> Result<bool, StoreError>;

    /// Revokes all families of an account but this one; says whose devices' they were.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn remove_families(&self, tag: AccountTag, except: Option<FamilyId>) -> Result<Vec<DeviceId>, StoreError>;

    /// Forgets up to `max` families that ended before `now`; returns how many.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn remove_expired_families(&self, now: UnixMillis, max: u32) -> Result<u64, StoreError>;
}
