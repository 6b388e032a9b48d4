//! Accounts: who has one, and what proves it.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use endtoend_protocol::{AccountTag, NewDevice, UnixMillis};

use crate::{InviteHash, StoreError};

/// An account to create, with its first device. `Debug` shows neither record nor keys.
#[derive(Clone)]
pub struct NewAccount {
    /// Names it.
    pub tag: AccountTag,
    /// OPAQUE registration record: verifies a password without containing it.
    pub opaque_record: Bytes,
    /// Keys of the first device, whose number is 1.
    pub device: NewDevice,
    /// The invitation that is used up by one.
    pub invite: Option<InviteHash>,
    /// By the node's clock.
    pub created_at: UnixMillis,
}

impl fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewAccount({:?})", self.tag)
    }
}

/// Why an account was not created. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CreateAccountError {
    /// The tag has an account.
    #[error("the account exists")]
    Exists,
    /// The invitation is unknown, used up or expired.
    #[error("the invitation is not valid")]
    Invite,
    /// Maybe created: a repeat says `Exists` if it was.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What operators are told about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSummary {
    /// Names it.
    pub tag: AccountTag,
    /// By the node's clock.
    pub created_at: UnixMillis,
    /// Since when nobody can log in; `None` when everybody with the password can.
    pub disabled_at: Option<UnixMillis>,
    /// How many devices it has.
    pub devices: u32,
    /// Envelopes that wait for them.
    pub queued: u64,
}

/// Accounts. Every method is atomic and durable when it returns.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Creates an account and its first device in one step, and takes one use from its invitation.
    ///
    /// # Errors
    /// See [`CreateAccountError`].
    async fn create_account(&self, account: NewAccount) -> Result<(), CreateAccountError>;

    /// The OPAQUE record of an account, `None` when there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn opaque_record(&self, tag: AccountTag) -> Result<Option<Bytes>, StoreError>;

    /// Replaces the OPAQUE record, and forgets the backup, which the old password sealed. `false`: there is no such account.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn set_opaque_record(&self, tag: AccountTag, record: Bytes) -> Result<bool, StoreError>;

    /// Removes an account with everything that it has. `false`: there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn delete_account(&self, tag: AccountTag) -> Result<bool, StoreError>;

    /// Disables an account since then, or enables it again. `false`: there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn set_disabled(&self, tag: AccountTag, since: Option<UnixMillis>) -> Result<bool, StoreError>;

    /// One account, as operators see it.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn account(&self, tag: AccountTag) -> Result<Option<AccountSummary>, StoreError>;

    /// Up to `max` accounts whose tags begin with `prefix` and follow `after`, in the order of their tags.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn accounts(
        &self,
        prefix: &[u8],
        after: Option<AccountTag>,
        max: u32,
    ) -> Result<Vec<AccountSummary>, StoreError>;

    /// What the account's devices have sealed for a new one.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn backup(&self, tag: AccountTag) -> Result<Option<Bytes>, StoreError>;

    /// Replaces it, or forgets it. `false`: there is no such account.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn set_backup(&self, tag: AccountTag, backup: Option<Bytes>) -> Result<bool, StoreError>;
}
