//! Invitations to register.

use std::fmt;

use async_trait::async_trait;
use endtoend_protocol::UnixMillis;

use crate::StoreError;

/// Keyed hash of an invitation's code: what names it here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InviteHash(pub [u8; 32]);

impl fmt::Debug for InviteHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "InviteHash({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Names it.
    pub hash: InviteHash,
    /// What the operator wrote beside it.
    pub note: String,
    /// Registrations that it was made for.
    pub uses_max: u32,
    /// Registrations that are left.
    pub uses_left: u32,
    /// By the node's clock.
    pub created_at: UnixMillis,
    /// From then on it is not valid.
    pub expires_at: UnixMillis,
}

/// Invitations. Every method is atomic and durable when it returns. One is used by `AccountStore::create_account`.
#[async_trait]
pub trait InviteStore: Send + Sync {
    /// Adds an invitation.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn put_invite(&self, invite: Invite) -> Result<(), StoreError>;

    /// All invitations that expire after `now`, latest first.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn invites(&self, now: UnixMillis) -> Result<Vec<Invite>, StoreError>;

    /// Revokes an invitation. `false`: there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn remove_invite(&self, hash: InviteHash) -> Result<bool, StoreError>;

    /// Forgets invitations that ended before `now`; returns how many.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn remove_expired_invites(&self, now: UnixMillis) -> Result<u64, StoreError>;
}
