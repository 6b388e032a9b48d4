//! What must hold of all nodes together, whatever happens. It knows every entry that any node has ever applied.

use std::collections::{BTreeMap, BTreeSet};

use openraft::EntryPayload;

use crate::NodeId;
use crate::control::command::{Command, Done, Leadership, Proposal, Refused, TokenId};
use crate::control::raft::{Applied, LogId, Membership, Types, leadership};
use crate::control::store::Known;
use crate::control::{ClusterState, VOTERS_MAX};

/// One place of the log, as whoever came there first has applied it.
struct Place {
    id: LogId,
    payload: blake3::Hash,
    state: blake3::Hash,
    proposal: Option<Proposal>,
    outcome: Applied,
}

/// A removal that is agreed upon.
#[derive(Clone, Copy)]
struct Removal {
    /// Of the secrets that the rest has since.
    generation: u64,
}

#[derive(Default)]
pub(super) struct Oracle {
    /// Whether every node knows what it has applied, and not only what came of it.
    entries: bool,
    log: BTreeMap<u64, Place>,
    /// What is applied only in a snapshot is not here.
    removed: BTreeMap<NodeId, Removal>,
    /// Up to where an operator has heard that something is decided.
    heard: u64,
    /// Who has led with a majority, by term.
    led: BTreeSet<(u64, NodeId)>,
    swept: Option<Leadership>,
    failed: Option<String>,
    /// What was seen, for those who want to know whether a world did anything.
    pub(super) seen: Seen,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) entries: u64,
    pub(super) leaderships: u64,
    pub(super) accepted: u64,
    pub(super) given_up: u64,
    pub(super) reads: u64,
    pub(super) sweeps: u64,
    pub(super) removed: u64,
}

fn state_hash(state: &ClusterState) -> blake3::Hash {
    blake3::hash(&state.encode().unwrap_or_default())
}

fn payload_hash(payload: &EntryPayload<Types>) -> blake3::Hash {
    match payload {
        EntryPayload::Blank => blake3::hash(b"blank"),
        EntryPayload::Normal(command) => blake3::hash(&command.0),
        EntryPayload::Membership(membership) => blake3::hash(format!("{membership:?}").as_bytes()),
    }
}

impl Oracle {
    pub(super) fn new(entries: bool) -> Self {
        Self { entries, ..Self::default() }
    }

    /// The first thing that did not hold.
    pub(super) fn failed(&self) -> Option<String> {
        self.failed.clone()
    }

    pub(super) fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.failed.is_none() {
            self.failed = Some(what());
        }
    }

    /// A node has applied this.
    pub(super) fn applied(&mut self, payload: &EntryPayload<Types>, known: &Known, outcome: Applied) {
        let Some(id) = known.last else { return };
        let place = Place {
            id,
            payload: payload_hash(payload),
            state: state_hash(&known.state),
            proposal: match payload {
                EntryPayload::Normal(command) => Proposal::decode(&command.0).ok(),
                _ => None,
            },
            outcome,
        };
        let broken = known.state.check_invariants().err();
        self.must(broken.is_none(), || format!("{id}: {broken:?}"));
        self.votes(known.membership.membership(), &known.state, id);
        if let Some(first) = self.log.get(&id.index) {
            let same = (first.id, first.payload, first.state, &first.outcome)
                == (place.id, place.payload, place.state, &place.outcome);
            let what = format!("two nodes have applied different things at {}: {} and {id}", id.index, first.id);
            self.must(same, || what);
            return;
        }
        self.first_applied(&place, &known.state);
        self.seen.entries += 1;
        self.log.insert(id.index, place);
    }

    fn first_applied(&mut self, place: &Place, state: &ClusterState) {
        let Some(proposal) = &place.proposal else { return };
        let by = leadership(&place.id);
        let fenced = proposal.fence.is_some_and(|fence| fence != by);
        let refused = place.outcome == Some(Err(Refused::OtherLeader));
        self.must(!fenced || refused, || format!("{}: a duty of another leadership was done by {by:?}", place.id));
        let before = self.log.values().find(|before| before.payload == place.payload).map(|before| before.id);
        let changed = matches!(place.outcome, Some(Ok(done)) if done.changed);
        let repeated = before.filter(|_| changed && self.entries);
        self.must(repeated.is_none(), || {
            format!(
                "{}: what was decided at {before:?} was decided once more, and has undone what came between",
                place.id
            )
        });
        if let (Command::Remove { node, .. }, Some(Ok(_))) = (&proposal.command, &place.outcome) {
            self.removed.entry(*node).or_insert(Removal { generation: state.sealed().generation });
            self.seen.removed += 1;
        }
    }

    /// Who votes is approved, and they are not too many.
    fn votes(&mut self, membership: &Membership, state: &ClusterState, id: LogId) {
        for half in membership.get_joint_config() {
            self.must(half.len() <= VOTERS_MAX, || format!("{id}: {} voters", half.len()));
        }
        if state.cluster().is_none() {
            return;
        }
        for voter in membership.voter_ids().map(NodeId::new) {
            let entry = state.members().get(&voter);
            let serves = entry.is_some_and(|entry| entry.member.state.may_link());
            self.must(serves, || format!("{id}: {voter} votes, and is {:?}", entry.map(|entry| entry.member.state)));
        }
    }

    /// Where the log is at least when somebody asks now.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// An operator, who has asked when `heard` was that, was told this.
    pub(super) fn answered(&mut self, asked: u64, of: impl Fn(&Command) -> bool, done: &Done) {
        self.seen.accepted += 1;
        // What was so already names no place of its own.
        if !done.changed {
            return;
        }
        let index = done.index;
        self.must(index > asked, || format!("{index} was decided after {asked}"));
        let place = self.log.get(&index);
        let is = place.is_some_and(|place| {
            place.proposal.as_ref().is_some_and(|proposal| of(&proposal.command)) && place.outcome == Some(Ok(*done))
        });
        self.must(is, || format!("{index} was accepted, and something else is there"));
        self.heard = self.heard.max(index);
    }

    /// Whether a token was created after `asked`.
    pub(super) fn has_token(&mut self, asked: u64, token: TokenId) -> bool {
        let creates = |place: &Place| match &place.proposal {
            Some(Proposal { command: Command::CreateToken { id, .. }, .. }) => *id == token,
            _ => false,
        };
        let at = self.log.range(asked + 1..).find(|(_, place)| creates(place)).map(|(index, _)| *index);
        // The least place that it can have: more is not told.
        self.heard = self.heard.max(at.unwrap_or_default());
        at.is_some()
    }

    /// An operator, who has asked when `heard` was that, has read this.
    pub(super) fn read(&mut self, asked: u64, state: &ClusterState) {
        self.seen.reads += 1;
        let hash = state_hash(state);
        let at = self.log.iter().rev().find(|(_, place)| place.state == hash).map(|(index, _)| *index);
        self.must(at.is_some_and(|at| at >= asked), || format!("a state of {at:?} was read when {asked} was decided"));
    }

    /// These believe at one moment that they lead.
    pub(super) fn leading(&mut self, leading: &[Leadership]) {
        self.must(leading.len() <= 1, || format!("several lead at the same moment: {leading:?}"));
        for leadership in leading {
            let removed = self.removed.contains_key(&leadership.leader);
            self.must(!removed, || format!("{leadership:?} leads, and was removed"));
            if self.led.insert((leadership.term, leadership.leader)) {
                self.seen.leaderships += 1;
            }
        }
    }

    /// A running node has secrets of this generation.
    pub(super) fn knows(&mut self, node: NodeId, generation: u64) {
        let removal = self.removed.get(&node).copied();
        let out = removal.is_none_or(|removal| generation < removal.generation);
        self.must(out, || format!("{node} was removed, and has secrets of generation {generation}"));
    }

    pub(super) fn is_removed(&self, node: NodeId) -> bool {
        self.removed.contains_key(&node)
    }

    /// A leader does its chores.
    pub(super) fn swept(&mut self, by: Leadership) {
        let order = |by: Leadership| (by.term, by.leader);
        let last = self.swept;
        let forward = last.is_none_or(|last| order(last) <= order(by));
        self.must(forward, || format!("{by:?} did its chores after {last:?}"));
        self.swept = Some(by);
        self.seen.sweeps += 1;
    }

    /// All have come to the same: it is what was agreed upon last.
    pub(super) fn settled(&mut self, index: u64, state: &ClusterState) {
        let heard = self.heard;
        self.must(index >= heard, || format!("all are at {index}, and {heard} was accepted"));
        let known = self.log.get(&index).map(|place| place.state);
        self.must(known == Some(state_hash(state)), || format!("all are at {index} with another state"));
    }
}
