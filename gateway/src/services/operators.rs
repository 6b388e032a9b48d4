//! What an operator does to accounts and invitations, on a running node and on a stopped one.

use std::time::Duration;

use endtoend_crypto_core::handle::Handle;
use endtoend_protocol::{AccountTag, InviteCode, UnixMillis};
use endtoend_storage::{
    AccountSummary, AuditQuery, AuditRow, AuditVerdict, Invite, InviteHash, Pseudonym, StoreError, verify_audit,
};

use super::Services;
use super::audit::{Event, Outcome};

/// Invitations that are valid at one time. At the bound: refused; one that is good for many is one.
pub(crate) const INVITES_MAX: usize = 200;
/// Longest note beside an invitation, in bytes.
pub(crate) const NOTE_BYTES_MAX: usize = 100;
/// What marks an operator's doing in the audit.
const SIGNALS: &[&str] = &["operator"];

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorError {
    #[error("there is no such account")]
    NoAccount,
    #[error("several accounts begin so: give more of the tag")]
    Ambiguous,
    #[error("there is no such invitation: `endtoend invite list` shows those that are valid")]
    NoInvite,
    #[error("there are {INVITES_MAX} invitations: revoke some, or make one that is good for many")]
    TooManyInvites,
    #[error("a note has at most {NOTE_BYTES_MAX} bytes")]
    Note,
    #[error("the handle has no tag")]
    Handle,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How an operator names an account. `Debug` shows no handle.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// The tag's first bytes, or all of them.
    Tag(Vec<u8>),
    Handle(Handle),
}

impl std::fmt::Debug for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "Tag({})", hex::encode(tag)),
            Self::Handle(_) => f.write_str("Handle(..)"),
        }
    }
}

impl Services {
    /// Makes an invitation. The code is known to nobody but whoever it is given to.
    pub(crate) async fn create_invite(
        &self,
        uses: u32,
        life: Duration,
        note: String,
        now: UnixMillis,
    ) -> Result<(InviteCode, Invite), OperatorError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(OperatorError::Note);
        }
        if self.store.invites(now).await?.len() >= INVITES_MAX {
            return Err(OperatorError::TooManyInvites);
        }
        let code = InviteCode(rand::random());
        let invite = Invite {
            hash: self.secrets.invite(&code),
            note,
            uses_max: uses,
            uses_left: uses,
            created_at: now,
            expires_at: now.plus(life),
        };
        self.store.put_invite(invite.clone()).await?;
        self.write_down(Event::InviteCreate, None, now).await;
        Ok((code, invite))
    }

    /// Those that are valid, latest first.
    pub(crate) async fn invites(&self, now: UnixMillis) -> Result<Vec<Invite>, OperatorError> {
        Ok(self.store.invites(now).await?)
    }

    pub(crate) fn invite_hash(&self, code: &InviteCode) -> InviteHash {
        self.secrets.invite(code)
    }

    /// Ends an invitation; who has used it stays.
    pub(crate) async fn revoke_invite(&self, hash: InviteHash, now: UnixMillis) -> Result<(), OperatorError> {
        if !self.store.remove_invite(hash).await? {
            return Err(OperatorError::NoInvite);
        }
        self.write_down(Event::InviteRevoke, None, now).await;
        Ok(())
    }

    /// The one account that is meant.
    pub(crate) async fn find(&self, who: &Who) -> Result<AccountSummary, OperatorError> {
        let prefix = match who {
            Who::Tag(prefix) => prefix.clone(),
            Who::Handle(handle) => self.tag_of(handle)?.as_bytes().to_vec(),
        };
        let mut found = self.store.accounts(&prefix, None, 2).await?.into_iter();
        match (found.next(), found.next()) {
            (Some(account), None) => Ok(account),
            (None, _) => Err(OperatorError::NoAccount),
            (Some(_), Some(_)) => Err(OperatorError::Ambiguous),
        }
    }

    /// Accounts in the order of their tags.
    pub(crate) async fn list_accounts(
        &self,
        prefix: &[u8],
        after: Option<AccountTag>,
        max: u32,
    ) -> Result<Vec<AccountSummary>, OperatorError> {
        Ok(self.store.accounts(prefix, after, max).await?)
    }

    /// Nobody logs in any more, and whoever is here is gone; or everybody may again.
    pub(crate) async fn disable(
        &self,
        who: &Who,
        disabled: bool,
        now: UnixMillis,
    ) -> Result<AccountSummary, OperatorError> {
        let tag = self.find(who).await?.tag;
        if !self.store.set_disabled(tag, disabled.then_some(now)).await? {
            return Err(OperatorError::NoAccount);
        }
        let event = if disabled { Event::AccountDisable } else { Event::AccountEnable };
        if disabled {
            self.sessions.end_account(tag, None);
        }
        self.write_down(event, Some(tag), now).await;
        self.store.account(tag).await?.ok_or(OperatorError::NoAccount)
    }

    /// The end of an account with everything that it has.
    pub(crate) async fn delete(&self, who: &Who, now: UnixMillis) -> Result<AccountSummary, OperatorError> {
        let account = self.find(who).await?;
        if !self.store.delete_account(account.tag).await? {
            return Err(OperatorError::NoAccount);
        }
        self.changed(account.tag);
        self.sessions.end_account(account.tag, None);
        self.write_down(Event::AccountDelete, Some(account.tag), now).await;
        Ok(account)
    }

    /// How the audit names an account, which need not exist any more.
    pub(crate) async fn pseudonym(&self, who: &Who) -> Result<Pseudonym, OperatorError> {
        let tag = match who {
            Who::Handle(handle) => self.tag_of(handle)?,
            Who::Tag(prefix) => match AccountTag::from_slice(prefix) {
                Ok(tag) => tag,
                Err(_) => self.find(who).await?.tag,
            },
        };
        Ok(self.audit.key().pseudonym(tag))
    }

    /// Rows of the audit, in their order.
    pub(crate) async fn audit_rows(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, OperatorError> {
        self.audit.flush().await;
        Ok(self.store.audit(query).await?)
    }

    /// The place of the audit's last row.
    pub(crate) async fn audit_end(&self) -> Result<u64, OperatorError> {
        self.audit.flush().await;
        Ok(self.store.audit_ends().await?.last.0)
    }

    /// Checks every row.
    pub(crate) async fn verify_audit(&self) -> Result<AuditVerdict, OperatorError> {
        self.audit.flush().await;
        // A store is the audit's store too.
        Ok(verify_audit(&*self.store, self.audit.key()).await?)
    }

    fn tag_of(&self, handle: &Handle) -> Result<AccountTag, OperatorError> {
        self.secrets.account(handle).ok_or(OperatorError::Handle)
    }

    async fn write_down(&self, event: Event, account: Option<AccountTag>, now: UnixMillis) {
        self.audit.note_account(event, Outcome::Ok, account, None, SIGNALS, now);
        // An operator's doing is on disk before he hears that it is done.
        self.audit.flush().await;
    }
}
