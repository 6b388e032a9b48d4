//! Whom an account has accepted or blocked. The other side is kept as a keyed hash of both.

use async_trait::async_trait;
use endtoend_protocol::AccountTag;

use crate::StoreError;

/// Keyed hash of an account and somebody whom it relates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerHash(pub [u8; 32]);

/// What an account has decided about somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// May write.
    Accepted,
    /// Is not heard.
    Blocked,
}

/// What must be known before something is sent to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What the recipient has decided about the sender; `None` for a stranger.
    pub relation: Option<Relation>,
    /// The version of the recipient's list of devices.
    pub devices_version: u32,
}

/// Relations. Every method is atomic and durable when it returns.
#[async_trait]
pub trait RelationStore: Send + Sync {
    /// How an account stands to somebody who wants to write to it; `None` when there is no such account.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn standing(&self, owner: AccountTag, peer: PeerHash) -> Result<Option<Standing>, StoreError>;

    /// Notes what an account has decided, `None` to forget it. `false`: there is no such account, or it has
    /// `StoreLimits::relations_max` relations.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn set_relation(
        &self,
        owner: AccountTag,
        peer: PeerHash,
        relation: Option<Relation>,
    ) -> Result<bool, StoreError>;

    /// Notes that an account has accepted somebody about whom it had decided nothing, because it writes to them. Says whether
    /// something was noted.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn accept_if_new(&self, owner: AccountTag, peer: PeerHash) -> Result<bool, StoreError>;
}
