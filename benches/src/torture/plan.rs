//! Which faults strike, and when: all of it follows from the seed. Plain data.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// kill -9 of the node, and a start a moment later.
    NodeKilled,
    /// The same, and once more while it starts.
    NodeKilledTwice,
    /// SIGSTOP, and SIGCONT after the time.
    NodePaused,
    /// kill -9 of a node that stands still.
    NodePausedAndKilled,
    /// Each fsync of whoever writes the database takes longer.
    DiskSlow,
    /// The same, and kill -9 of the node in the middle.
    DiskSlowNodeKilled,
    /// Each fsync of it fails with EIO.
    DiskSyncFails,
    /// Each write of it to a file fails with EIO.
    DiskWriteFails,
    /// Each write of it to a file fails with ENOSPC.
    DiskWriteRefused,
    /// The node's disk is full, really.
    DiskFull,
    /// The same, and kill -9 of the node; it starts again on the full disk, or fails and starts when there is room.
    DiskFullNodeKilled,
    /// kill -9 of all processes of PostgreSQL, and a start a moment later.
    StoreKilled,
    /// kill -9 of both at once.
    StoreAndNodeKilled,
    /// kill -9 of the node that leads, and a start a moment later.
    LeaderKilled,
    /// kill -9 of the node where a receiver is attached.
    OwnerKilled,
    /// kill -9 of a sender's node and of its receiver's node at once.
    BothEndsKilled,
    /// SIGSTOP of a node for longer than its lease, and SIGCONT; some of its devices move meanwhile.
    NodePausedBeyondLease,
    /// SIGTERM: it drains, ends, and starts again.
    NodeEndsInOrder,
    /// `cluster drain`, and `cluster undrain` after the time.
    NodeDrained,
    /// `cluster transfer-leader`.
    LeaderMoves,
    /// A node joins, is approved, serves, is drained and removed.
    MemberComesAndGoes,
    /// The same, and it is removed while clients are there.
    MemberRemovedWhileItServes,
    /// `cluster rotate`.
    MembersGetNewSecrets,
    /// Each node is drained, ends, starts and serves again, one after the other.
    MembersRestartOneByOne,
    /// kill -9 of Redis, and a start without anything a moment later.
    RedisKilled,
    /// FLUSHALL.
    RedisFlushed,
    /// SIGSTOP of Redis, and SIGCONT.
    RedisHangs,
    /// Nothing comes from a node to the others, nor from them.
    NodeCutOff,
    /// Nothing comes in one of these two directions.
    NodeCutOffOneWay,
    /// Nothing comes between two nodes.
    LinkCut,
    /// kill -9 of HAProxy's worker.
    HaproxyKilled,
    /// SIGSTOP of it, and SIGCONT.
    HaproxyHangs,
    /// kill -9 of the edge's agent, and a start after the time.
    AgentKilled,
    /// A sender's socket is gone without a word.
    SenderVanishes,
    /// A sender goes on over a second connection and leaves the first one open.
    SenderConnectsTwice,
    /// A receiver's socket is gone without a word, and comes back after the time.
    ReceiverVanishes,
    /// A receiver attaches on a second connection while the first one is attached.
    ReceiverAttachesTwice,
    /// A receiver writes down what it gets, and ends before it acknowledges it.
    ReceiverEndsBeforeAck,
    /// A receiver ends before it has written down what it got.
    ReceiverEndsBeforeStoring,
    /// A receiver reads nothing for the time.
    ReceiverSleeps,
}

impl Kind {
    /// On a node with a SQLite file.
    const SQLITE: [(Self, u32); 18] = [
        (Self::NodeKilled, 6),
        (Self::NodeKilledTwice, 2),
        (Self::NodePaused, 2),
        (Self::NodePausedAndKilled, 1),
        (Self::DiskSlow, 2),
        (Self::DiskSlowNodeKilled, 2),
        (Self::DiskSyncFails, 2),
        (Self::DiskWriteFails, 2),
        (Self::DiskWriteRefused, 1),
        (Self::DiskFull, 2),
        (Self::DiskFullNodeKilled, 2),
        (Self::SenderVanishes, 2),
        (Self::SenderConnectsTwice, 2),
        (Self::ReceiverVanishes, 3),
        (Self::ReceiverAttachesTwice, 2),
        (Self::ReceiverEndsBeforeAck, 2),
        (Self::ReceiverEndsBeforeStoring, 2),
        (Self::ReceiverSleeps, 1),
    ];

    /// On a node with a PostgreSQL database: its disk is that of the server, which is not filled.
    const POSTGRES: [(Self, u32); 17] = [
        (Self::NodeKilled, 6),
        (Self::NodeKilledTwice, 2),
        (Self::NodePaused, 2),
        (Self::NodePausedAndKilled, 1),
        (Self::StoreKilled, 6),
        (Self::StoreAndNodeKilled, 3),
        (Self::DiskSlow, 2),
        (Self::DiskSlowNodeKilled, 2),
        (Self::DiskSyncFails, 2),
        (Self::DiskWriteRefused, 1),
        (Self::SenderVanishes, 2),
        (Self::SenderConnectsTwice, 2),
        (Self::ReceiverVanishes, 3),
        (Self::ReceiverAttachesTwice, 2),
        (Self::ReceiverEndsBeforeAck, 2),
        (Self::ReceiverEndsBeforeStoring, 2),
        (Self::ReceiverSleeps, 1),
    ];

    /// On several nodes, which have PostgreSQL.
    const SEVERAL: [(Self, u32); 29] = [
        (Self::NodeKilled, 3),
        (Self::LeaderKilled, 5),
        (Self::OwnerKilled, 5),
        (Self::BothEndsKilled, 3),
        (Self::NodeKilledTwice, 1),
        (Self::NodePaused, 2),
        (Self::NodePausedBeyondLease, 4),
        (Self::NodeEndsInOrder, 3),
        (Self::NodeDrained, 2),
        (Self::LeaderMoves, 1),
        (Self::MemberComesAndGoes, 3),
        (Self::MemberRemovedWhileItServes, 2),
        (Self::MembersGetNewSecrets, 2),
        (Self::MembersRestartOneByOne, 1),
        (Self::RedisKilled, 3),
        (Self::RedisFlushed, 3),
        (Self::RedisHangs, 2),
        (Self::NodeCutOff, 3),
        (Self::NodeCutOffOneWay, 3),
        (Self::LinkCut, 2),
        (Self::StoreKilled, 2),
        (Self::StoreAndNodeKilled, 1),
        (Self::SenderVanishes, 1),
        (Self::SenderConnectsTwice, 2),
        (Self::ReceiverVanishes, 2),
        (Self::ReceiverAttachesTwice, 3),
        (Self::ReceiverEndsBeforeAck, 1),
        (Self::ReceiverEndsBeforeStoring, 1),
        (Self::ReceiverSleeps, 1),
    ];

    /// On several nodes behind an edge, where nobody chooses the node that takes him.
    const BEHIND_EDGE: [(Self, u32); 25] = [
        (Self::NodeKilled, 6),
        (Self::LeaderKilled, 4),
        (Self::NodeKilledTwice, 1),
        (Self::NodePaused, 2),
        (Self::NodePausedBeyondLease, 3),
        (Self::NodeEndsInOrder, 3),
        (Self::NodeDrained, 3),
        (Self::MemberComesAndGoes, 3),
        (Self::MemberRemovedWhileItServes, 2),
        (Self::MembersGetNewSecrets, 1),
        (Self::MembersRestartOneByOne, 2),
        (Self::HaproxyKilled, 4),
        (Self::HaproxyHangs, 2),
        (Self::AgentKilled, 3),
        (Self::RedisFlushed, 2),
        (Self::RedisKilled, 2),
        (Self::NodeCutOff, 3),
        (Self::NodeCutOffOneWay, 2),
        (Self::StoreKilled, 1),
        (Self::SenderVanishes, 2),
        (Self::SenderConnectsTwice, 2),
        (Self::ReceiverVanishes, 2),
        (Self::ReceiverAttachesTwice, 3),
        (Self::ReceiverEndsBeforeAck, 1),
        (Self::ReceiverEndsBeforeStoring, 1),
    ];

    /// Needs `strace`, and leave to trace.
    pub(crate) const fn needs_trace(self) -> bool {
        matches!(
            self,
            Self::DiskSlow
                | Self::DiskSlowNodeKilled
                | Self::DiskSyncFails
                | Self::DiskWriteFails
                | Self::DiskWriteRefused
        )
    }

    /// Needs a disk of the node's own.
    pub(crate) const fn needs_own_disk(self) -> bool {
        matches!(self, Self::DiskFull | Self::DiskFullNodeKilled)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NodeKilled => "node killed",
            Self::NodeKilledTwice => "node killed, and again while it starts",
            Self::NodePaused => "node paused",
            Self::NodePausedAndKilled => "node paused, then killed",
            Self::DiskSlow => "disk slow",
            Self::DiskSlowNodeKilled => "disk slow, node killed",
            Self::DiskSyncFails => "fsync fails (EIO)",
            Self::DiskWriteFails => "write fails (EIO)",
            Self::DiskWriteRefused => "write fails (ENOSPC)",
            Self::DiskFull => "disk full",
            Self::DiskFullNodeKilled => "disk full, node killed",
            Self::StoreKilled => "PostgreSQL killed",
            Self::StoreAndNodeKilled => "PostgreSQL and node killed",
            Self::LeaderKilled => "leader killed",
            Self::OwnerKilled => "owner killed",
            Self::BothEndsKilled => "both ends' nodes killed",
            Self::NodePausedBeyondLease => "node paused beyond its lease",
            Self::NodeEndsInOrder => "node ends in order",
            Self::NodeDrained => "node drained",
            Self::LeaderMoves => "leader moves",
            Self::MemberComesAndGoes => "member comes and goes",
            Self::MemberRemovedWhileItServes => "member removed while it serves",
            Self::MembersGetNewSecrets => "members get new secrets",
            Self::MembersRestartOneByOne => "members restart one by one",
            Self::RedisKilled => "Redis killed",
            Self::RedisFlushed => "Redis flushed",
            Self::RedisHangs => "Redis hangs",
            Self::NodeCutOff => "node cut off",
            Self::NodeCutOffOneWay => "node cut off in one direction",
            Self::LinkCut => "link cut",
            Self::HaproxyKilled => "HAProxy killed",
            Self::HaproxyHangs => "HAProxy hangs",
            Self::AgentKilled => "the edge's agent killed",
            Self::SenderVanishes => "sender vanishes",
            Self::SenderConnectsTwice => "sender connects twice",
            Self::ReceiverVanishes => "receiver vanishes",
            Self::ReceiverAttachesTwice => "receiver attaches twice",
            Self::ReceiverEndsBeforeAck => "receiver ends before Ack",
            Self::ReceiverEndsBeforeStoring => "receiver ends before storing",
            Self::ReceiverSleeps => "receiver sleeps",
        }
    }

    /// Of those that last as long as they take: their messages are spread over so many.
    pub(crate) const fn steps(self) -> usize {
        match self {
            Self::MemberComesAndGoes | Self::MemberRemovedWhileItServes | Self::MembersRestartOneByOne => 3,
            Self::MembersGetNewSecrets => 2,
            _ => 1,
        }
    }

    /// Shortest and longest time of it in milliseconds.
    const fn lasts_ms(self) -> (u64, u64) {
        match self {
            Self::NodeKilled | Self::NodeKilledTwice | Self::StoreKilled | Self::StoreAndNodeKilled => (0, 400),
            Self::LeaderKilled | Self::OwnerKilled | Self::BothEndsKilled => (0, 5_000),
            // A lease is 3 s.
            Self::NodePausedBeyondLease => (3_500, 8_000),
            Self::NodeEndsInOrder | Self::LeaderMoves | Self::RedisFlushed => (0, 500),
            Self::NodeDrained => (500, 2_000),
            Self::RedisKilled | Self::AgentKilled => (0, 2_000),
            Self::RedisHangs => (200, 5_000),
            Self::NodeCutOff | Self::NodeCutOffOneWay | Self::LinkCut => (300, 6_000),
            Self::NodePaused | Self::HaproxyHangs => (300, 3_000),
            Self::NodePausedAndKilled => (100, 1_000),
            Self::DiskSlow => (500, 2_000),
            Self::DiskSlowNodeKilled | Self::DiskFullNodeKilled => (200, 800),
            Self::DiskSyncFails | Self::DiskWriteFails | Self::DiskWriteRefused => (200, 1_000),
            Self::DiskFull => (300, 1_500),
            Self::SenderVanishes => (0, 1_000),
            Self::MemberComesAndGoes
            | Self::MemberRemovedWhileItServes
            | Self::MembersGetNewSecrets
            | Self::MembersRestartOneByOne
            | Self::HaproxyKilled
            | Self::SenderConnectsTwice => (0, 0),
            Self::ReceiverVanishes => (0, 3_000),
            Self::ReceiverAttachesTwice => (0, 0),
            Self::ReceiverEndsBeforeAck | Self::ReceiverEndsBeforeStoring => (0, 200),
            Self::ReceiverSleeps => (300, 2_000),
        }
    }
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// So many messages have to be accepted before it strikes.
    pub(crate) after: usize,
    /// And this much time after that: into the middle of whatever is going on.
    pub(crate) pause: Duration,
    pub(crate) lasts: Duration,
    /// Chooses the client, the delay of a disk, the deliveries before an end.
    pub(crate) choice: u32,
}

/// What this machine can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    pub(crate) postgres: bool,
    pub(crate) trace: bool,
    pub(crate) own_disk: bool,
    /// There are several nodes.
    pub(crate) several: bool,
    /// An edge is before them.
    pub(crate) edge: bool,
}

impl Means {
    /// The kinds that are possible, with their weights.
    fn kinds(self) -> Vec<(Kind, u32)> {
        let all: &[_] = match self {
            Self { edge: true, .. } => &Kind::BEHIND_EDGE,
            Self { several: true, .. } => &Kind::SEVERAL,
            Self { postgres: true, .. } => &Kind::POSTGRES,
            _ => &Kind::SQLITE,
        };
        let possible =
            |(kind, _): &(Kind, u32)| (self.trace || !kind.needs_trace()) && (self.own_disk || !kind.needs_own_disk());
        all.iter().copied().filter(possible).collect()
    }
}

/// `faults` of them, over `messages`. The first ones are of each kind once, in an order of the seed, so that a run of a few
/// dozen has all. `only`: of those kinds whose names have this; none when there is no such kind.
pub(crate) fn faults(seed: u64, faults: usize, messages: usize, means: Means, only: &str) -> Vec<Fault> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut kinds = means.kinds();
    kinds.retain(|(kind, _)| kind.name().contains(only));
    if kinds.is_empty() {
        return Vec::new();
    }
    let total: u32 = kinds.iter().map(|(_, weight)| weight).sum();
    let mut once: Vec<Kind> = kinds.iter().map(|(kind, _)| *kind).collect();
    (0..faults)
        .map(|number| {
            let kind = match once.len() {
                0 => {
                    let mut at = rng.random_range(0..total);
                    let chosen = kinds.iter().find(|(_, weight)| {
                        let found = at < *weight;
                        at = at.saturating_sub(*weight);
                        found
                    });
                    chosen.map_or(Kind::NodeKilled, |(kind, _)| *kind)
                }
                left => once.swap_remove(rng.random_range(0..left)),
            };
            let (shortest, longest) = kind.lasts_ms();
            let share = share(faults, messages);
            Fault {
                kind,
                after: share * (number + 1) + rng.random_range(0..=share / 2),
                pause: Duration::from_millis(rng.random_range(0..50)),
                lasts: Duration::from_millis(rng.random_range(shortest..=longest)),
                choice: rng.random(),
            }
        })
        .collect()
}

/// Messages between two faults; as many are left before the first and after the last one.
pub(crate) const fn share(faults: usize, messages: usize) -> usize {
    messages / (faults + 2)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ALL: Means = Means { postgres: false, trace: true, own_disk: true, several: false, edge: false };

    #[test]
    fn a_plan_follows_from_its_seed() {
        assert_eq!(faults(7, 40, 10_000, ALL, ""), faults(7, 40, 10_000, ALL, ""));
        assert_ne!(faults(7, 40, 10_000, ALL, ""), faults(8, 40, 10_000, ALL, ""));
    }

    #[test]
    fn every_kind_comes_once_before_any_comes_again() {
        let several = Means { several: true, ..ALL };
        for means in [ALL, Means { postgres: true, ..ALL }, several, Means { edge: true, ..several }] {
            let kinds = means.kinds().len();
            let first: BTreeSet<_> =
                faults(3, kinds + 5, 1_000, means, "").iter().take(kinds).map(|fault| fault.kind).collect();
            assert_eq!(first.len(), kinds);
        }
    }

    #[test]
    fn what_a_machine_cannot_do_is_not_planned() {
        let plan = faults(3, 200, 1_000, Means { trace: false, own_disk: false, ..ALL }, "");
        assert!(plan.iter().all(|fault| !fault.kind.needs_trace() && !fault.kind.needs_own_disk()));
    }

    #[test]
    fn a_plan_may_be_of_some_kinds_only() {
        let plan = faults(3, 30, 1_000, Means { several: true, ..ALL }, "leader killed");
        assert!(plan.len() == 30 && plan.iter().all(|fault| fault.kind == Kind::LeaderKilled));
        assert!(faults(3, 30, 1_000, ALL, "leader killed").is_empty());
    }

    #[test]
    fn all_faults_strike_while_messages_are_sent() {
        let plan = faults(3, 50, 10_000, ALL, "");
        assert!(plan.iter().all(|fault| fault.after + share(50, 10_000) / 2 <= 10_000));
        assert!(plan.is_sorted_by_key(|fault| fault.after));
    }
}
