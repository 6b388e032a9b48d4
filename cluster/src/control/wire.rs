//! What control planes say to each other: `version(1) || postcard`, within [`Calls`](crate::Calls).

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, VoteRequest, VoteResponse};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::command::Outcome;
use super::raft::{LogId, Types, Vote};
use crate::NodeId;

const VERSION: u8 = 1;

/// A question. Variants are only ever added at the end.
#[derive(Deserialize, Serialize)]
pub(super) enum Question {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<u64>),
    Snapshot(InstallSnapshotRequest<Types>),
    /// Whether one would vote for who asks, whose log ends so. Nothing is promised.
    Canvass {
        last: Option<LogId>,
    },
    /// For the leader: an encoded proposal.
    Propose(Vec<u8>),
    /// For the leader: up to where a member has to read, to read what everybody has agreed upon.
    Read,
    /// For the leader: this member goes, and its secrets are replaced.
    Remove(NodeId),
    /// For the leader: this member leads from now on.
    Transfer(NodeId),
    /// From the leader: take over.
    Campaign,
}

/// Its answer.
#[derive(Deserialize, Serialize)]
pub(super) enum Answer {
    Append(AppendEntriesResponse<u64>),
    Vote(VoteResponse<u64>),
    Snapshot(SnapshotAnswer),
    Canvass(bool),
    Led(Led),
    Campaign(bool),
}

/// How a piece of a snapshot was taken.
#[derive(Deserialize, Serialize)]
pub(super) enum SnapshotAnswer {
    Taken(Vote),
    /// It is not the next piece of what is being received; raft begins anew.
    OutOfPlace,
}

/// What a leader did.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum Led {
    /// The proposal went into the log.
    Decided(Outcome),
    /// The log up to here is agreed upon.
    ReadUpTo(u64),
    /// The leadership is about to pass to another.
    Passing,
    /// It has passed to whom it was given.
    Passed,
    /// This node does not lead; perhaps that one does.
    NotLeader(Option<NodeId>),
    /// It could not be done now, for lack of a majority or of secrets.
    NotNow,
}

/// Not of a version that this program speaks, or not one of its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a word of the control plane")]
pub(super) struct Unreadable;

pub(super) fn encode(word: &impl Serialize) -> Result<Vec<u8>, Unreadable> {
    postcard::to_extend(word, vec![VERSION]).map_err(|_| Unreadable)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    let [VERSION, rest @ ..] = bytes else { return Err(Unreadable) };
    match postcard::take_from_bytes(rest) {
        Ok((word, [])) => Ok(word),
        _ => Err(Unreadable),
    }
}
