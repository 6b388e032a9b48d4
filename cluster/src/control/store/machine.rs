//! Raft's state machine: the state in memory, snapshots of it on disk.

use std::io::Cursor;
use std::sync::{Arc, Mutex, PoisonError};

use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine, Snapshot};
use openraft::{AnyError, EntryPayload, OptionalSend, SnapshotMeta, StorageIOError};
use tokio::sync::watch;

use super::file::{ADMITTED, COMMITTED, ControlFile, FileError};
use super::log::any;
use super::record::{Id, Members, SnapshotHead};
use crate::control::command::{Done, Proposal};
use crate::control::raft::{Applied, Entry, LogId, StorageError, StoredMembership, Types, leadership};
use crate::control::recent::Recent;
use crate::control::state::ClusterState;
use crate::join::Admitted;

/// What is known at one position of the log.
#[derive(Clone, Debug, Default)]
pub(in crate::control) struct Known {
    pub(in crate::control) last: Option<LogId>,
    pub(in crate::control) membership: StoredMembership,
    pub(in crate::control) state: ClusterState,
}

/// The state machine of one node. It tells `known` after each change.
pub(in crate::control) struct Machine {
    file: Arc<ControlFile>,
    known: watch::Sender<Arc<Known>>,
    recent: Arc<Mutex<Recent>>,
}

impl Machine {
    /// With the state of the last snapshot, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(in crate::control) async fn restore(file: Arc<ControlFile>) -> Result<Self, StorageError> {
        let read = file.snapshot().await.map_err(|error| StorageIOError::read_snapshot(None, any(&error)))?;
        let known = match read {
            None => Known::default(),
            Some((head, data)) => Known {
                last: head.last.map(LogId::from),
                membership: head.members.into(),
                state: ClusterState::decode(&data)
                    .map_err(|error| StorageIOError::read_snapshot(None, AnyError::new(&error)))?,
            },
        };
        Ok(Self { file, known: watch::Sender::new(Arc::new(known)), recent: Arc::default() })
    }

    /// The state that raft will come to when it starts: the snapshot's, and what was agreed upon since.
    ///
    /// # Errors
    /// When it cannot be read, or holds a command that this program does not know.
    pub(in crate::control) async fn foresee(&self) -> Result<ClusterState, StorageError> {
        let known = self.current();
        let read = async {
            let committed = self.file.read::<Id>(COMMITTED).await?.map(LogId::from);
            let next = known.last.map_or(0, |id| id.index + 1);
            let end = committed.map_or(0, |id| id.index + 1);
            let agreed = self.file.entries(next, end.max(next), u64::MAX).await?;
            Ok::<_, FileError>((agreed, self.file.entries(end.max(next), i64::MAX as u64, u64::MAX).await?))
        };
        let (agreed, open) = read.await.map_err(|error| StorageIOError::read_logs(any(&error)))?;
        let mut state = known.state.clone();
        for Entry { log_id, payload } in open {
            if let EntryPayload::Normal(command) = payload {
                // A leader that starts again leads on in its term: it must not write this once more.
                let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
                recent.found(&command.0, log_id.leader_id.term);
            }
        }
        for Entry { log_id, payload } in agreed {
            if let EntryPayload::Normal(command) = payload {
                let proposal = Proposal::decode(&command.0)
                    .map_err(|error| StorageIOError::apply(log_id, AnyError::new(&error)))?;
                // A refusal is as good as it was the first time.
                let _ = state.apply(&proposal, leadership(&log_id));
            }
        }
        Ok(state)
    }

    /// What is known, and what comes after.
    pub(in crate::control) fn known(&self) -> watch::Receiver<Arc<Known>> {
        self.known.subscribe()
    }

    /// What it has applied lately.
    pub(in crate::control) fn recent(&self) -> Arc<Mutex<Recent>> {
        Arc::clone(&self.recent)
    }

    fn current(&self) -> Arc<Known> {
        Arc::clone(&self.known.borrow())
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let known = self.current();
        Ok((known.last, known.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Applied>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut known = Known::clone(&self.current());
        let mut applied = Vec::new();
        for entry in entries {
            let id = entry.log_id;
            #[cfg(test)]
            let payload = entry.payload.clone();
            applied.push(match entry.payload {
                EntryPayload::Blank => None,
                EntryPayload::Membership(membership) => {
                    known.membership = StoredMembership::new(Some(id), membership);
                    None
                }
                // Skipping what this program does not know would make its state another than everybody's: it stops.
                EntryPayload::Normal(command) => {
                    let proposal = Proposal::decode(&command.0)
                        .map_err(|error| StorageIOError::apply(id, AnyError::new(&error)))?;
                    let changed = known.state.apply(&proposal, leadership(&id));
                    let outcome = changed.map(|changed| Done { index: id.index, changed });
                    self.recent.lock().unwrap_or_else(PoisonError::into_inner).applied(&command.0, &outcome);
                    Some(outcome)
                }
            });
            known.last = Some(id);
            #[cfg(test)]
            crate::control::tests::seeded::chance::applied(&payload, &known, applied.last());
        }
        self.known.send_replace(Arc::new(known));
        Ok(applied)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { file: Arc::clone(&self.file), known: self.current() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, openraft::impls::EmptyNode>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let data = snapshot.into_inner();
        let broken = |error: AnyError| StorageIOError::write_snapshot(Some(meta.signature()), error);
        let state = ClusterState::decode(&data).map_err(|error| broken(AnyError::new(&error)))?;
        let known = Known { last: meta.last_log_id, membership: meta.last_membership.clone(), state };
        self.file.write_snapshot(&head(&known, &meta.snapshot_id), &data).await.map_err(|error| broken(any(&error)))?;
        self.known.send_replace(Arc::new(known));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        let read = self.file.snapshot().await.map_err(|error| StorageIOError::read_snapshot(None, any(&error)))?;
        Ok(read.map(|(head, data)| Snapshot {
            meta: SnapshotMeta {
                last_log_id: head.last.map(LogId::from),
                last_membership: head.members.into(),
                snapshot_id: head.id,
            },
            snapshot: Box::new(Cursor::new(data)),
        }))
    }
}

/// What a member has told this node when it was admitted, if it is still on disk.
///
/// # Errors
/// When it cannot be read.
pub(in crate::control) async fn admitted(file: &ControlFile) -> Result<Option<Admitted>, StorageError> {
    Ok(file.read(ADMITTED).await.map_err(|error| StorageIOError::read(any(&error)))?)
}

/// Keeps what a member has told.
///
/// # Errors
/// When it cannot be written.
pub(in crate::control) async fn keep_admitted(file: &ControlFile, admitted: &Admitted) -> Result<(), StorageError> {
    Ok(file.write(ADMITTED, admitted).await.map_err(|error| StorageIOError::write(any(&error)))?)
}

/// Writes a snapshot of one moment.
pub(in crate::control) struct Builder {
    file: Arc<ControlFile>,
    known: Arc<Known>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let Known { last, membership, state } = &*self.known;
        // The same state has the same name: a snapshot that is sent again goes on where it was.
        let snapshot_id = last.map(|id| id.to_string()).unwrap_or_default();
        let broken = |error: AnyError| StorageIOError::write_snapshot(None, error);
        let data = state.encode().map_err(|error| broken(AnyError::new(&error)))?;
        let written: Result<(), FileError> = self.file.write_snapshot(&head(&self.known, &snapshot_id), &data).await;
        written.map_err(|error| broken(any(&error)))?;
        let meta = SnapshotMeta { last_log_id: *last, last_membership: membership.clone(), snapshot_id };
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(data)) })
    }
}

fn head(known: &Known, id: &str) -> SnapshotHead {
    SnapshotHead {
        last: known.last.as_ref().map(Into::into),
        members: Members::from(&known.membership),
        id: id.to_owned(),
    }
}
