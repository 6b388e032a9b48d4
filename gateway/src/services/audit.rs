//! What is written down about accounts.
//!
//! Nobody waits for it. Entries that find no room, or whose commit the store did not confirm, are counted, and the count is
//! the first thing that is written afterwards. They are not tried again: they may be there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use endtoend_protocol::{AccountTag, Address, DeviceId, UnixMillis};
use endtoend_storage::{AuditEntry, AuditKey, Store};
use tokio::sync::{mpsc, oneshot};

use crate::metrics::{Metrics, StoreCall};

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
    /// So many entries were not written, or not confirmed.
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
    /// An entry, and how many events are missing without it.
    Write(AuditEntry, u64),
    /// Answer when everything before is written.
    Flush(oneshot::Sender<()>),
}

/// Takes entries, and has them written in their order, many in one commit. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Auditor {
    key: AuditKey,
    entries: mpsc::Sender<Told>,
    missed: Arc<Missed>,
}

/// Entries that are not written.
#[derive(Default)]
struct Missed {
    /// Their count has to be written.
    unwritten: AtomicU64,
    /// Since the node started.
    ever: AtomicU64,
}

impl Auditor {
    /// Starts the writer on the present runtime. It ends when the last auditor is dropped.
    pub(crate) fn start(store: Arc<dyn Store>, key: AuditKey, metrics: Arc<Metrics>) -> Self {
        let (entries, told) = mpsc::channel(WAITING_MAX);
        let missed = Arc::default();
        tokio::spawn(write(store, key.clone(), told, Arc::clone(&missed), metrics));
        Self { key, entries, missed }
    }

    /// Entries that wait to be written, and those that were missed since the node started.
    pub(crate) fn backlog(&self) -> (usize, u64) {
        (self.entries.max_capacity() - self.entries.capacity(), self.missed.ever.load(Relaxed))
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
        let entry = |event: Event, outcome: Outcome, signals: String| AuditEntry {
            at,
            account: account.map(|tag| self.key.pseudonym(tag)),
            device,
            event: event.as_str().to_owned(),
            outcome: outcome.as_str().to_owned(),
            signals,
        };
        let missed = self.missed.unwritten.swap(0, Relaxed);
        if missed > 0 {
            let counted = entry(Event::Missed, Outcome::Ok, format!("count={missed}"));
            let told = Told::Write(AuditEntry { account: None, device: None, ..counted }, missed);
            if self.entries.try_send(told).is_err() {
                self.missed.unwritten.fetch_add(missed, Relaxed);
            }
        }
        if self.entries.try_send(Told::Write(entry(event, outcome, signals.join(" ")), 1)).is_err() {
            self.missed.unwritten.fetch_add(1, Relaxed);
            self.missed.ever.fetch_add(1, Relaxed);
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

async fn write(
    store: Arc<dyn Store>,
    key: AuditKey,
    mut told: mpsc::Receiver<Told>,
    missed: Arc<Missed>,
    metrics: Arc<Metrics>,
) {
    let mut batch = Vec::new();
    while told.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let (mut entries, mut events, mut new, mut waiting) = (Vec::new(), 0, 0, Vec::new());
        for told in batch.drain(..) {
            match told {
                Told::Write(entry, count) => {
                    // A count that is missing was counted before.
                    new += u64::from(entry.event != Event::Missed.as_str());
                    entries.push(entry);
                    events += count;
                }
                Told::Flush(done) => waiting.push(done),
            }
        }
        if !entries.is_empty()
            && let Err(error) = store.append_audit(&key, entries).await
        {
            missed.unwritten.fetch_add(events, Relaxed);
            missed.ever.fetch_add(new, Relaxed);
            metrics.store_errors.one(StoreCall::Audit);
            tracing::error!(%error, events, "the audit may lack entries");
        }
        for done in waiting {
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use endtoend_storage::{Sqlite, StoreLimits};

    use super::*;

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(crate::clock::monotonic()))
    }

    #[tokio::test]
    async fn what_the_store_does_not_confirm_is_counted_and_the_count_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("store.db"), StoreLimits::default()).await.unwrap();
        let auditor = Auditor::start(Arc::new(store.clone()), AuditKey::new(&[7; 32]), metrics());
        let note = async || {
            auditor.note(Event::Logout, Outcome::Ok, None, &[], UnixMillis::new(1));
            auditor.flush().await;
            (auditor.missed.unwritten.load(Relaxed), auditor.backlog())
        };
        assert_eq!(note().await, (0, (0, 0)));
        store.close().await;
        // The second time the count of the first goes down with it.
        assert_eq!([note().await, note().await, note().await], [(1, (0, 1)), (2, (0, 2)), (3, (0, 3))]);
    }
}
