//! What a seed makes of the world: how many are in it, what they do, and what goes wrong how often.

use super::chance::Chance;
use super::store::Room;

/// What can go wrong. Each can be left out, to find out which of them a failure needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Fault {
    /// A client loses its connection; the node learns of it late.
    Vanish,
    /// A client ends its connection, as it does when it is restarted.
    Leave,
    /// A client reads nothing for a while.
    Stall,
    /// A mailbox panics.
    MailboxPanics,
    /// The node is killed.
    NodeDies,
    /// A commit is not confirmed, and was not written.
    CommitFails,
    /// A commit is not confirmed, and was written.
    CommitLies,
    /// A commit is not confirmed, and is written later.
    CommitLands,
    /// A read of the store fails.
    ReadFails,
    /// The store answers nothing for a while.
    StoreAway,
    /// The writer's queue is full.
    WriterFull,
    /// The node is off for a month.
    Month,
    /// A link between two nodes breaks, and they find no way to each other for a while.
    LinkBreaks,
    /// Nothing comes over a link in one direction for a while.
    LinkBlocks,
    /// A node does nothing for a while.
    Pause,
    /// A node does not reach the directory of claims.
    ClaimsAway,
    /// The directory of claims forgets everything.
    ClaimsFlushed,
    /// A question to the directory of claims is carried out, perhaps, and its answer lost; or it is carried out twice.
    AnswersLost,
    /// A client goes to another node and leaves a connection open, often at once after it was told that something is accepted.
    Moves,
    /// A node reaches neither others nor the directory of claims for a while, and half of its clients move.
    CutOff,
}

impl Fault {
    pub(super) const ALL: [Self; 20] = [
        Self::Vanish,
        Self::Leave,
        Self::Stall,
        Self::MailboxPanics,
        Self::NodeDies,
        Self::CommitFails,
        Self::CommitLies,
        Self::CommitLands,
        Self::ReadFails,
        Self::StoreAway,
        Self::WriterFull,
        Self::Month,
        Self::LinkBreaks,
        Self::LinkBlocks,
        Self::Pause,
        Self::ClaimsAway,
        Self::ClaimsFlushed,
        Self::AnswersLost,
        Self::Moves,
        Self::CutOff,
    ];

    /// What there is only between several nodes.
    fn is_between(self) -> bool {
        match self {
            Self::Vanish
            | Self::Leave
            | Self::Stall
            | Self::MailboxPanics
            | Self::NodeDies
            | Self::CommitFails
            | Self::CommitLies
            | Self::CommitLands
            | Self::ReadFails
            | Self::StoreAway
            | Self::WriterFull
            | Self::Month => false,
            Self::LinkBreaks
            | Self::LinkBlocks
            | Self::Pause
            | Self::ClaimsAway
            | Self::ClaimsFlushed
            | Self::AnswersLost
            | Self::Moves
            | Self::CutOff => true,
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    /// Devices of each user.
    pub(super) devices: Vec<usize>,
    /// Envelopes that are written in all.
    pub(super) envelopes: usize,
    /// Of 1000 steps, so many begin with new envelopes; and so many are written at one time.
    pub(super) writes: u32,
    pub(super) burst: usize,
    /// Of 1000 envelopes, so many are large.
    pub(super) large: u32,
    /// Only the first device is written to.
    pub(super) one_addressee: bool,
    /// Of 1000 acknowledgements that could be sent, so many are.
    pub(super) acks: u32,
    /// Of 1000 clients, so many get deliveries; the rest only sends.
    pub(super) attach: u32,
    /// Envelopes that may wait for one device.
    pub(super) room: Room,
    /// Of 1000 senders, so many are strangers to a device until it accepts them.
    pub(super) strangers: u32,
    /// Messages that may wait for a mailbox.
    pub(super) mailbox_max: usize,
    /// KiB of envelopes without answer.
    pub(super) memory_kib: usize,
    /// Of several nodes: envelopes that are written to a device when something happens to its claim.
    pub(super) stirs: usize,
    /// Of several nodes: before the storm all devices have been where they are for a while.
    pub(super) settled: bool,
    /// Of several nodes: one misfortune in so many comes with a leap of time.
    pub(super) leaps: usize,
    /// Of 10 000 occasions, so many are used.
    faults: [u32; Fault::ALL.len()],
}

impl Weather {
    /// The weather of a seed, with some faults left out (a bit each).
    pub(super) fn new(chance: &mut Chance, without: u32, nodes: usize) -> Self {
        let devices = (0..1 + chance.below(3)).map(|_| 1 + chance.below(3)).collect();
        let mut faults = [0; Fault::ALL.len()];
        // A third of the seeds has fine weather: only the order of things is left to chance.
        let fine = chance.below(3) == 0;
        for fault in Fault::ALL.into_iter().filter(|fault| nodes > 1 || !fault.is_between()) {
            let rate = match fault {
                Fault::Vanish | Fault::Leave | Fault::Stall => [0, 0, 300, 1500, 4000],
                Fault::MailboxPanics | Fault::NodeDies | Fault::StoreAway => [0, 0, 0, 300, 2000],
                Fault::CommitFails | Fault::CommitLies | Fault::CommitLands | Fault::ReadFails => {
                    [0, 0, 300, 1000, 4000]
                }
                Fault::Month => [0, 0, 0, 100, 1000],
                Fault::WriterFull => [0, 0, 0, 50, 1000],
                Fault::LinkBreaks
                | Fault::LinkBlocks
                | Fault::Pause
                | Fault::ClaimsAway
                | Fault::ClaimsFlushed
                | Fault::AnswersLost
                | Fault::CutOff => [0, 0, 500, 1500, 4000],
                Fault::Moves => [0, 500, 1500, 1500, 4000],
            };
            let rate = chance.of(&rate);
            if !fine && without & (1 << fault as u8) == 0 {
                faults[fault as usize] = rate;
            }
        }
        let mut strange = chance.apart();
        Self {
            devices,
            envelopes: chance.of(&[5, 20, 20, 60, 60, 150, 400]),
            writes: chance.of(&[10, 60, 200]),
            burst: chance.of(&[1, 1, 4, 100]),
            large: chance.of(&[0, 0, 100, 900]),
            one_addressee: chance.below(3) == 0,
            acks: chance.of(&[20, 300, 1000]),
            attach: chance.of(&[1000, 1000, 700]),
            room: Room { all: chance.of(&[10_000, 10_000, 30, 5]), requests: strange.of(&[100, 2, 1]) },
            strangers: strange.of(&[0, 0, 0, 1000]),
            mailbox_max: chance.of(&[1024, 1024, 3]),
            memory_kib: chance.of(&[64 * 1024, 64 * 1024, 300]),
            stirs: strange.of(&[0, 20, 60]),
            settled: strange.below(4) != 0,
            leaps: strange.of(&[2, 8, 30]),
            faults,
        }
    }

    /// Whether it happens now.
    pub(super) fn strikes(&self, fault: Fault, chance: &mut Chance) -> bool {
        let rate = self.faults[fault as usize];
        rate > 0 && chance.below(10_000) < rate as usize
    }

    /// Whether it happens at all; for what is more likely where it does most harm.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults[fault as usize] > 0
    }

    /// From here on nothing goes wrong.
    pub(super) fn calm(&mut self) {
        self.faults = [0; Fault::ALL.len()];
        self.acks = 1000;
        self.writes = 0;
        self.stirs = 0;
    }
}
