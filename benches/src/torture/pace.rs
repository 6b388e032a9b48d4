//! The messages of a fault that has several steps, spread over them: each step strikes traffic.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::LOOK;
use super::world::World;

/// The messages of one step are allowed over this time, or as soon as the next one begins.
const STEP: Duration = Duration::from_secs(2);

/// Dropped, it allows no more.
pub(crate) struct Pace {
    world: Arc<World>,
    /// Messages in all before the fault, and of the fault.
    before: usize,
    messages: usize,
    steps: usize,
    begun: usize,
    allowing: JoinSet<()>,
}

impl Pace {
    pub(crate) fn new(world: Arc<World>, before: usize, messages: usize, steps: usize) -> Self {
        Self { world, before, messages, steps, begun: 0, allowing: JoinSet::new() }
    }

    /// The next step begins.
    pub(crate) fn step(&mut self) {
        let until = |step: usize| self.before + self.messages * step.min(self.steps) / self.steps.max(1);
        let (from, to) = (until(self.begun), until(self.begun + 1));
        self.begun += 1;
        self.allowing = JoinSet::new();
        self.allowing.spawn(allow(Arc::clone(&self.world), from, to));
    }
}

async fn allow(world: Arc<World>, from: usize, to: usize) {
    let begun = world.watch.elapsed();
    loop {
        let passed = (world.watch.elapsed() - begun).div_duration_f64(STEP).min(1.0);
        world.allow(from + ((to - from) as f64 * passed) as usize);
        if passed >= 1.0 {
            return;
        }
        sleep(LOOK * 5).await;
    }
}
