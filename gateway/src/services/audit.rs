//! What is written down about accounts.

use std::sync::Arc;

use endtoend_protocol::{AccountTag, Address, DeviceId, UnixMillis};
use endtoend_storage::{AuditEntry, AuditKey, Store};
use tokio::sync::{mpsc, oneshot};

/// Entries that may wait for the writer. Beyond it they are counted, and the count is written.
const WAITING_MAX: usize = 4_096;
/// Entries of one commit.
const BATCH_MAX: usize = 256;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    AccountRegister,
    AccountDelete,
    AccountDisable,
    AccountEnable,
    PasswordLogin,
    PasswordChange,
    DeviceAdd,
    DeviceRemove,
    TokenRefresh,
    Logout,
    /// A device is here from two places.
    Enter,
    InviteCreate,
    InviteRevoke,
    /// So many entries were not written.
    Missed,
}

impl Event {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AccountRegister => "account.register",
            Self::AccountDelete => "account.delete",
            Self::AccountDisable => "account.disable",
            Self::AccountEnable => "account.enable",
            Self::PasswordLogin => "password.login",
            Self::PasswordChange => "password.change",
            Self::DeviceAdd => "device.add",
            Self::DeviceRemove => "device.remove",
            Self::TokenRefresh => "token.refresh",
            Self::Logout => "account.logout",
            Self::Enter => "device.enter",
            Self::InviteCreate => "invite.create",
            Self::InviteRevoke => "invite.revoke",
            Self::Missed => "audit.missed",
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Refused,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
        }
    }
}

enum Told {
    Write(AuditEntry),
    /// Answer when everything before is written.
    Flush(oneshot::Sender<()>),
}

/// Takes entries, and has them written in their order, many in one commit. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Auditor {
    key: AuditKey,
    entries: mpsc::Sender<Told>,
    missed: Arc<std::sync::atomic::AtomicU64>,
}

impl Auditor {
    /// Starts the writer on the present runtime. It ends when the last auditor is dropped.
    pub(crate) fn start(store: Arc<dyn Store>, key: AuditKey) -> Self {
        let (entries, told) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write(store, key.clone(), told));
        Self { key, entries, missed: Arc::default() }
    }

    pub(crate) fn key(&self) -> &AuditKey {
        &self.key
    }

    /// Writes down what a device did, or what was tried in its name.
    pub(crate) fn note(&self, event: Event, outcome: Outcome, who: Option<Address>, signals: &[&str], at: UnixMillis) {
        let (account, device) = who.map(|who| (who.account, who.device)).unzip();
        self.note_account(event, outcome, account, device, signals, at);
    }

    /// As [`Self::note`], where no device is known.
    pub(crate) fn note_account(
        &self,
        event: Event,
        outcome: Outcome,
        account: Option<AccountTag>,
        device: Option<DeviceId>,
        signals: &[&str],
        at: UnixMillis,
    ) {
        use std::sync::atomic::Ordering::Relaxed;
        let entry = |event: Event, outcome: Outcome, signals: String| AuditEntry {
            at,
            account: account.map(|tag| self.key.pseudonym(tag)),
            device,
            event: event.as_str().to_owned(),
            outcome: outcome.as_str().to_owned(),
            signals,
        };
        let missed = self.missed.swap(0, Relaxed);
        if missed > 0 {
            let told = Told::Write(AuditEntry {
                account: None,
                device: None,
                ..entry(Event::Missed, Outcome::Ok, format!("count={missed}"))
            });
            if self.entries.try_send(told).is_err() {
                self.missed.fetch_add(missed, Relaxed);
            }
        }
        if self.entries.try_send(Told::Write(entry(event, outcome, signals.join(" ")))).is_err() {
            self.missed.fetch_add(1, Relaxed);
        }
    }

    /// Waits until everything noted before is written, or given up.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.entries.send(Told::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }
}

async fn write(store: Arc<dyn Store>, key: AuditKey, mut told: mpsc::Receiver<Told>) {
    let mut batch = Vec::new();
    while told.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let (mut entries, mut waiting) = (Vec::new(), Vec::new());
        for told in batch.drain(..) {
            match told {
                Told::Write(entry) => entries.push(entry),
                Told::Flush(done) => waiting.push(done),
            }
        }
        if !entries.is_empty()
            && let Err(error) = store.append_audit(&key, entries).await
        {
            tracing::error!(%error, "the audit lacks entries");
        }
        for done in waiting {
            let _ = done.send(());
        }
    }
}
