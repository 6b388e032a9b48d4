//! Raft's log and vote.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{AnyError, OptionalSend, RaftLogReader, StorageIOError};

use super::file::{COMMITTED, ControlFile, FileError, PURGED, VOTE};
use super::record::{Ballot, Id};
use crate::calls::CALL_BYTES_MAX;
use crate::control::raft::{Entry, LogId, StorageError, Types, Vote};

/// Entries that are sent at one time: with their head they fit into a call.
const SENT_BYTES_MAX: u64 = CALL_BYTES_MAX as u64 / 2;

/// The log of one node. A clone is the same log.
#[derive(Clone)]
pub(in crate::control) struct LogStore(Arc<ControlFile>);

impl LogStore {
    pub(in crate::control) const fn new(file: Arc<ControlFile>) -> Self {
        Self(file)
    }

    async fn read(&self, start: u64, end: u64, bytes_max: u64) -> Result<Vec<Entry>, StorageError> {
        self.0.entries(start, end, bytes_max).await.map_err(|error| StorageIOError::read_logs(any(&error)).into())
    }
}

pub(super) fn any(error: &FileError) -> AnyError {
    AnyError::new(error)
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => i64::MAX as u64,
        };
        self.read(start, end, u64::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        self.read(start, end, SENT_BYTES_MAX).await
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let read = async {
            let purged = self.0.read::<Id>(PURGED).await?.map(LogId::from);
            Ok::<_, FileError>((purged, self.0.last().await?))
        };
        let (last_purged_log_id, last) = read.await.map_err(|error| StorageIOError::read_logs(any(&error)))?;
        Ok(LogState { last_purged_log_id, last_log_id: last.or(last_purged_log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let saved = self.0.write(VOTE, &Ballot::from(vote)).await;
        saved.map_err(|error| StorageIOError::write_vote(any(&error)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        let read = self.0.read::<Ballot>(VOTE).await;
        Ok(read.map_err(|error| StorageIOError::read_vote(any(&error)))?.map(Vote::from))
    }

    // The state is in memory and in snapshots; what was agreed upon since is applied again on start, so that a node knows
    // the other members before it has spoken with anybody.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let Some(committed) = committed else { return Ok(()) };
        let saved = self.0.write(COMMITTED, &Id::from(&committed)).await;
        saved.map_err(|error| StorageIOError::write(any(&error)).into())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let read = self.0.read::<Id>(COMMITTED).await;
        Ok(read.map_err(|error| StorageIOError::read(any(&error)))?.map(LogId::from))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        match self.0.append(entries.into_iter().collect()).await {
            Ok(()) => {
                callback.log_io_completed(Ok(()));
                Ok(())
            }
            Err(error) => {
                callback.log_io_completed(Err(io::Error::other("control.db was not written")));
                Err(StorageIOError::write_logs(any(&error)).into())
            }
        }
    }

    async fn truncate(&mut self, from: LogId) -> Result<(), StorageError> {
        self.0.truncate(from.index).await.map_err(|error| StorageIOError::write_logs(any(&error)).into())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        self.0.purge(&upto).await.map_err(|error| StorageIOError::write_logs(any(&error)).into())
    }
}
