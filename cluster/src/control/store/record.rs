//! How raft's things stand on disk: our own layout, so that it stays when openraft's changes.
//!
//! Everything is `version(1) || postcard || check(8)`. The check is the beginning of a hash over what it is and where it
//! stands, so that a damaged or misplaced record is noticed.

use std::collections::BTreeSet;

use openraft::EntryPayload;
use openraft::entry::RaftEntry as _;
use openraft::impls::EmptyNode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::control::raft::{Encoded, Entry, LogId, Membership, StoredMembership, Vote};

const VERSION: u8 = 1;
const CHECK_BYTES: usize = 8;
const CHECK_CONTEXT: &str = "endtoend 2026-11 control plane record v1";

/// A record that is not what was written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record is damaged, or of a newer program")]
pub(super) struct BadRecord;

#[derive(Clone, Copy, Deserialize, Serialize)]
pub(super) struct Id {
    term: u64,
    leader: u64,
    index: u64,
}

#[derive(Deserialize, Serialize)]
pub(super) struct Ballot {
    term: u64,
    candidate: u64,
    committed: bool,
}

#[derive(Deserialize, Serialize)]
pub(super) struct Members {
    at: Option<Id>,
    config: Config,
}

#[derive(Deserialize, Serialize)]
struct Config {
    voters: Vec<BTreeSet<u64>>,
    all: BTreeSet<u64>,
}

#[derive(Deserialize, Serialize)]
enum Payload {
    Blank,
    Command(Vec<u8>),
    Members(Config),
}

#[derive(Deserialize, Serialize)]
pub(super) struct Logged {
    id: Id,
    payload: Payload,
}

/// What stands before the snapshot's data.
#[derive(Deserialize, Serialize)]
pub(super) struct SnapshotHead {
    pub(super) last: Option<Id>,
    pub(super) members: Members,
    pub(super) id: String,
}

impl From<&LogId> for Id {
    fn from(id: &LogId) -> Self {
        Self { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
    }
}

impl From<Id> for LogId {
    fn from(id: Id) -> Self {
        Self::new(openraft::CommittedLeaderId::new(id.term, id.leader), id.index)
    }
}

impl From<&Vote> for Ballot {
    fn from(vote: &Vote) -> Self {
        let id = vote.leader_id();
        Self { term: id.term, candidate: id.node_id, committed: vote.is_committed() }
    }
}

impl From<Ballot> for Vote {
    fn from(ballot: Ballot) -> Self {
        if ballot.committed {
            Self::new_committed(ballot.term, ballot.candidate)
        } else {
            Self::new(ballot.term, ballot.candidate)
        }
    }
}

impl From<&Membership> for Config {
    fn from(membership: &Membership) -> Self {
        let all = membership.nodes().map(|(node, _)| *node).collect();
        Self { voters: membership.get_joint_config().clone(), all }
    }
}

impl From<Config> for Membership {
    fn from(config: Config) -> Self {
        let nodes = config.all.into_iter().map(|node| (node, EmptyNode {}));
        Self::new(config.voters, nodes.collect::<std::collections::BTreeMap<_, _>>())
    }
}

impl From<&StoredMembership> for Members {
    fn from(stored: &StoredMembership) -> Self {
        Self { at: stored.log_id().as_ref().map(Id::from), config: stored.membership().into() }
    }
}

impl From<Members> for StoredMembership {
    fn from(members: Members) -> Self {
        Self::new(members.at.map(LogId::from), members.config.into())
    }
}

impl From<&Entry> for Logged {
    fn from(entry: &Entry) -> Self {
        let payload = match &entry.payload {
            EntryPayload::Blank => Payload::Blank,
            EntryPayload::Normal(command) => Payload::Command(command.0.clone()),
            EntryPayload::Membership(membership) => Payload::Members(membership.into()),
        };
        Self { id: (&entry.log_id).into(), payload }
    }
}

impl From<Logged> for Entry {
    fn from(logged: Logged) -> Self {
        let log_id = logged.id.into();
        match logged.payload {
            Payload::Blank => Self::new_blank(log_id),
            Payload::Command(command) => Self { log_id, payload: EntryPayload::Normal(Encoded(command)) },
            Payload::Members(config) => Self::new_membership(log_id, config.into()),
        }
    }
}

/// What stands on disk under this name.
pub(super) fn encode(name: &str, value: &impl Serialize) -> Result<Vec<u8>, BadRecord> {
    let mut bytes = postcard::to_extend(value, vec![VERSION]).map_err(|_| BadRecord)?;
    let check = check(name, &bytes);
    bytes.extend_from_slice(&check);
    Ok(bytes)
}

/// Reads what [`encode`] wrote under the same name.
pub(super) fn decode<T: DeserializeOwned>(name: &str, record: &[u8]) -> Result<T, BadRecord> {
    let (bytes, kept) = record.split_last_chunk::<CHECK_BYTES>().ok_or(BadRecord)?;
    if check(name, bytes) != *kept {
        return Err(BadRecord);
    }
    let [VERSION, rest @ ..] = bytes else { return Err(BadRecord) };
    match postcard::take_from_bytes(rest) {
        Ok((value, [])) => Ok(value),
        _ => Err(BadRecord),
    }
}

fn check(name: &str, bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key(CHECK_CONTEXT);
    hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes()).update(bytes);
    let mut check = [0; CHECK_BYTES];
    hasher.finalize_xof().fill(&mut check);
    check
}
