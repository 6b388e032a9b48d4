//! Where a new device and an existing one meet. Both sides' parts are theirs: the store sees an offer and a sealed answer.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use endtoend_protocol::{AccountTag, UnixMillis};

use crate::StoreError;

/// Names a meeting; random, chosen by the new device.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkId(pub [u8; 16]);

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkId(..)")
    }
}

/// What an existing device has answered.
#[derive(Clone)]
pub struct LinkAnswer {
    /// Whose device.
    pub account: AccountTag,
    /// For the new device only.
    pub sealed: Bytes,
    /// Of the secret that is in it, and that the new device must show; `None` for what comes before it.
    pub secret_hash: Option<[u8; 32]>,
}

impl fmt::Debug for LinkAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkAnswer({:?})", self.account)
    }
}

/// Meetings. Every method is atomic and durable when it returns. One ends by `DeviceStore::add_device`.
#[async_trait]
pub trait LinkStore: Send + Sync {
    /// Begins a meeting. `false`: the id is taken, or there are `StoreLimits::links_max` meetings already.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn put_link(
        &self,
        id: LinkId,
        offer: Bytes,
        now: UnixMillis,
        expires_at: UnixMillis,
    ) -> Result<bool, StoreError>;

    /// The new device's offer.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn link_offer(&self, id: LinkId, now: UnixMillis) -> Result<Option<Bytes>, StoreError>;

    /// Notes the answer: once without a secret, and once with one, of the same account. `false`: there is no such meeting, or
    /// it has such an answer.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn answer_link(&self, id: LinkId, answer: LinkAnswer, now: UnixMillis) -> Result<bool, StoreError>;

    /// What was answered: the account and the sealed part. `None` when there is no meeting, `Some(None)` before the answer.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn link_answer(&self, id: LinkId, now: UnixMillis)
    -> Result<Option<Option<(AccountTag, Bytes)>>, StoreError>;

    /// Forgets meetings that ended before `now`; returns how many.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn remove_expired_links(&self, now: UnixMillis) -> Result<u64, StoreError>;
}
