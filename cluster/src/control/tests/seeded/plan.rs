//! What happens in a world: it follows from the seed alone, so that a step can be left out and the others stay.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// One thing that happens. Who it happens to is one of those who can have it happen when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// What the first sends to the second is lost.
    CutOneWay(u8, u8),
    CutBothWays(u8, u8),
    /// From all others, both ways.
    Isolate(u8),
    /// It hears nobody, and is heard.
    Deafen(u8),
    Heal,
    /// Calls are lost, late and doubled from now on: of 1000, up to so many ms, of 1000.
    Weather {
        lost: u16,
        late: u16,
        twice: u16,
    },
    /// Disks take up to so many ms from now on.
    Disk(u16),
    /// Ends without a word; starts again after so many ms, if at all by itself.
    Crash(u8, Option<u16>),
    /// Ends in order.
    Stop(u8),
    /// One that is down starts.
    Start(u8),
    /// A node's wall clock jumps by so many ms.
    Jump(u8, i32),
    /// So many hours go by on all wall clocks.
    Hours(u8),
    /// Asked of the first: the second leads.
    Transfer(u8, u8),
    /// Asked of these: a token, an admission, an approval.
    Join(u8, u8, u8),
    Drain(u8, u8),
    Undrain(u8, u8),
    Remove(u8, u8),
    Rotate(u8),
    Token(u8),
    Say(u8),
    /// Reads what is agreed upon.
    Read(u8),
}

/// A step, and for how many ms things go on until the next one.
pub(super) type Planned = (Step, u64);

pub(super) struct Plan {
    /// At the beginning.
    pub(super) members: usize,
    pub(super) steps: Vec<Planned>,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let members = rng.random_range(3..=5);
        let steps = rng.random_range(15..=45);
        // Some worlds are hasty, some calm.
        let pause = [200, 800, 2_500][rng.random_range(0..3)];
        let steps = (0..steps).map(|_| (step(&mut rng), 20 + rng.random_range(0..pause))).collect();
        Self { members, steps }
    }
}

fn step(rng: &mut SmallRng) -> Step {
    let mut who = || rng.random::<u8>();
    let (a, b, c) = (who(), who(), who());
    match rng.random_range(0..100) {
        0..8 => Step::CutOneWay(a, b),
        8..12 => Step::CutBothWays(a, b),
        12..17 => Step::Isolate(a),
        17..20 => Step::Deafen(a),
        20..30 => Step::Heal,
        30..36 => Step::Weather {
            lost: [0, 20, 100, 300][usize::from(b % 4)],
            late: [0, 5, 50, 400][usize::from(c % 4)],
            twice: [0, 0, 50, 300][usize::from(a % 4)],
        },
        36..39 => Step::Disk([0, 5, 50, 250][usize::from(a % 4)]),
        39..45 => Step::Crash(a, (b % 4 > 0).then_some(u16::from(c) * 8)),
        45..48 => Step::Stop(a),
        48..53 => Step::Start(a),
        53..55 => Step::Jump(a, (i32::from(b) - 128) * 40),
        55..57 => Step::Hours(a % 14),
        57..62 => Step::Transfer(a, b),
        62..67 => Step::Join(a, b, c),
        67..69 => Step::Drain(a, b),
        69..71 => Step::Undrain(a, b),
        71..75 => Step::Remove(a, b),
        75..77 => Step::Rotate(a),
        77..79 => Step::Token(a),
        79..95 => Step::Say(a),
        _ => Step::Read(a),
    }
}
