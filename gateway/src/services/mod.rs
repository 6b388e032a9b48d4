//! What connections ask for: accounts, devices, tokens, handles, relations. No sockets here, and no actors but those that
//! hear notices.
//!
//! One type, [`Services`], with a file for each theme. Refusals do not tell what of a credential was wrong.

mod accounts;
mod audit;
mod blobs;
mod devices;
mod doubts;
mod guest;
mod handles;
mod operators;
mod relations;
mod secrets;
#[cfg(test)]
mod tests;
mod tokens;

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;
use bytes::Bytes;
use endtoend_crypto_core::proof::{DeviceStatement, Purpose, verify_device_proof};
use endtoend_crypto_core::signature::VerifyingKey;
use endtoend_protocol::{Address, Refusal, RefusalCode, UnixMillis, limits};
use endtoend_storage::{FamilyId, Store, StoreError};
use zeroize::Zeroizing;

pub(crate) use accounts::{PasswordCheck, PasswordLogin, Registration};
pub(crate) use audit::Auditor;
pub(crate) use guest::Guest;
pub(crate) use operators::{OperatorError, Who};
pub(crate) use relations::Standings;
pub(crate) use secrets::ServiceSecrets;

use audit::{Event, Outcome};
use doubts::{Doubts, Judge as _};

use crate::blobs::Blobs;
use crate::limits::{Limits, Operation, Origin, Subject, TooMany};
use crate::sessions::{Entered, Notice, SessionId, Sessions};

/// Who speaks on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) device: Address,
    /// Of its tokens. The login ends with it.
    pub(crate) family: FamilyId,
}

/// What the operator has decided.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) registration: Registration,
    /// Asked from everybody, before anything else.
    pub(crate) server_password: Option<ServerPassword>,
    /// How long a device that was added by password waits.
    pub(crate) password_device_delay: Duration,
}

/// The password of the whole server. `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServerPassword(Zeroizing<Vec<u8>>);

impl fmt::Debug for ServerPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerPassword(..)")
    }
}

impl ServerPassword {
    /// `None` unless it has 1 to 256 bytes.
    pub(crate) fn new(password: Zeroizing<Vec<u8>>) -> Option<Self> {
        (1..=limits::SERVER_PASSWORD_BYTES_MAX).contains(&password.len()).then_some(Self(password))
    }

    /// Compares hashes, so that the time tells nothing.
    fn is(&self, shown: &[u8]) -> bool {
        blake3::hash(&self.0) == blake3::hash(shown)
    }
}

/// Everything that connections ask for.
pub(crate) struct Services {
    store: Arc<dyn Store>,
    secrets: ServiceSecrets,
    policy: Policy,
    pub(crate) limits: Arc<Limits>,
    pub(crate) sessions: Arc<Sessions>,
    audit: Auditor,
    /// None where no attachments are kept.
    blobs: Option<Blobs>,
    /// Grows with every change that a [`Standings`] must not sleep through.
    changes: std::sync::atomic::AtomicU64,
    /// What another node has ended.
    doubts: Doubts,
}

type Answered<T> = Result<T, Refusal>;

impl Services {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        secrets: ServiceSecrets,
        policy: Policy,
        limits: Arc<Limits>,
        sessions: Arc<Sessions>,
        audit: Auditor,
    ) -> Self {
        Self {
            store,
            secrets,
            policy,
            limits,
            sessions,
            audit,
            blobs: None,
            changes: Default::default(),
            doubts: Doubts::default(),
        }
    }

    /// Where attachments are kept.
    pub(crate) fn with_blobs(self, blobs: Option<Blobs>) -> Self {
        Self { blobs, ..self }
    }

    /// Entries of the audit that wait, and those that were missed since the node started.
    pub(crate) fn audit_backlog(&self) -> (usize, u64) {
        self.audit.backlog()
    }

    /// Enters a connection among those that are told when their device is removed. Looks once more afterwards: a device that
    /// was removed meanwhile is not here, nor one whose login or whose account was ended.
    pub(crate) async fn enter(
        &self,
        login: Login,
        origin: Origin,
        notice: Recipient<Notice>,
        now: UnixMillis,
    ) -> Answered<SessionId> {
        let Login { device, family } = login;
        let (id, elsewhere) = self.sessions.enter(device, family, origin, notice);
        let stays = self.store.may_go_on(Entered { id, device, family }).await;
        if !matches!(stays, Ok(true)) {
            self.sessions.leave(device.account, id);
            return Err(stays.map_or_else(|error| unavailable(&error), |_| RefusalCode::BadCredentials.into()));
        }
        if elsewhere {
            self.audit.note(Event::Enter, Outcome::Ok, Some(device), &["elsewhere"], now);
        }
        Ok(id)
    }

    /// Lets a stranger go on: within the limit of his address, and beyond it for work.
    async fn admit(&self, operation: Operation, guest: &mut Guest) -> Answered<()> {
        match self.limits.check(operation, Subject::Origin(guest.origin)).await {
            Ok(()) => Ok(()),
            Err(too_many) => self.pay(too_many, guest),
        }
    }

    /// Beyond the limit of an address there is work.
    fn pay(&self, too_many: TooMany, guest: &mut Guest) -> Answered<()> {
        let operation = too_many.operation;
        guest.pay(self.limits.work_bits(operation), too_many)?;
        self.limits.worked(operation);
        Ok(())
    }

    /// Whether the device of an account may go on, and shows that it has its key.
    async fn check_device(
        &self,
        device: Address,
        purpose: Purpose,
        proof: Bytes,
        guest: &mut Guest,
        now: UnixMillis,
    ) -> Answered<()> {
        let known = self.store.device(device).await.map_err(|error| unavailable(&error))?;
        let known = known.ok_or(RefusalCode::BadCredentials)?;
        check_proof(known.device_key, device.account.as_bytes(), device.device.get(), purpose, proof, guest).await?;
        if known.disabled {
            return Err(RefusalCode::Disabled.into());
        }
        let Some(waits_until) = known.waits_until else { return Ok(()) };
        if now < waits_until {
            let left = u64::try_from(waits_until.since(now).as_millis()).unwrap_or(u64::MAX);
            let retry_after_ms = NonZeroU64::new(left);
            return Err(Refusal { retry_after_ms, ..RefusalCode::DeviceWaits.into() });
        }
        self.activate(device).await
    }
}

async fn check_proof(
    key: Bytes,
    account: &[u8; 32],
    device: u8,
    purpose: Purpose,
    proof: Bytes,
    guest: &mut Guest,
) -> Answered<()> {
    let challenge = guest.use_challenge().ok_or(RefusalCode::BadCredentials)?;
    let (account, channel_binding) = (*account, guest.channel_binding);
    off_thread(move || {
        let statement = DeviceStatement {
            challenge: &challenge,
            channel_binding: &channel_binding,
            account: &account,
            device,
            purpose,
        };
        VerifyingKey::from_bytes(&key).and_then(|key| verify_device_proof(&key, &statement, &proof)).is_ok()
    })
    .await?
    .then_some(())
    .ok_or(RefusalCode::BadCredentials.into())
}

/// ML-DSA takes about a millisecond: not on a thread that carries messages.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Answered<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| RefusalCode::Unavailable.into())
}

fn unavailable(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "store did not answer");
    Refusal { retry_after_ms: retry_after(Duration::from_secs(1)), ..RefusalCode::Unavailable.into() }
}

fn retry_after(wait: Duration) -> Option<NonZeroU64> {
    NonZeroU64::new(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}
