//! The steps of a plan, on whom they can happen to.

use std::time::Duration;

use tokio::time::Instant;

use super::chance;
use super::plan::Step;
use super::weather::Weather;
use super::world::{NODES_MAX, World};
use crate::NodeId;
use crate::control::ClusterState;
use crate::control::command::Command;

impl World {
    pub(super) async fn act(&mut self, number: usize, step: Step) {
        let done = self.done(number, step).await;
        self.say(&format!("{number:>3} {}", done.unwrap_or_else(|| format!("{step:?}: nobody"))));
    }

    /// What was done, in words.
    async fn done(&mut self, number: usize, step: Step) -> Option<String> {
        let all = self.begun;
        let any = |pick: u8| usize::from(pick) % all;
        match step {
            Step::CutOneWay(a, b) => {
                self.net.cut(self.id(any(a)), self.id(any(b)));
                Some(format!("what {} says to {} is lost", any(a), any(b)))
            }
            Step::CutBothWays(a, b) => {
                self.net.cut(self.id(any(a)), self.id(any(b)));
                self.net.cut(self.id(any(b)), self.id(any(a)));
                Some(format!("{} and {} are cut off from each other", any(a), any(b)))
            }
            Step::Isolate(a) => {
                self.net.isolate(self.id(any(a)));
                Some(format!("{} is cut off", any(a)))
            }
            Step::Deafen(a) => {
                for other in (0..all).filter(|other| *other != any(a)) {
                    self.net.cut(self.id(other), self.id(any(a)));
                }
                Some(format!("{} hears nobody", any(a)))
            }
            Step::Heal => {
                self.net.heal();
                Some("the network is whole".to_owned())
            }
            Step::Weather { lost, late, twice } => {
                let weather = Weather { lost: lost.into(), late: late.into(), twice: twice.into() };
                self.weather(weather);
                Some(format!("{weather:?}"))
            }
            Step::Disk(ms) => {
                chance::slow(Duration::from_millis(ms.into()));
                Some(format!("disks take {ms} ms"))
            }
            Step::Crash(a, starts) => {
                let at = self.one(a)?.at;
                self.crash(at).await;
                self.nodes[at].starts = starts.map(|ms| Instant::now() + Duration::from_millis(ms.into()));
                Some(format!("{at} is killed"))
            }
            Step::Stop(a) => {
                let at = self.one(a)?.at;
                self.stop(at).await;
                Some(format!("{at} has ended"))
            }
            Step::Start(a) => {
                let down: Vec<usize> =
                    (0..all).filter(|at| self.nodes[*at].joined && self.nodes[*at].run.is_none()).collect();
                let at = *down.get(usize::from(a) % down.len().max(1))?;
                self.nodes[at].starts = Some(Instant::now());
                Some(format!("{at} is to start"))
            }
            Step::Jump(a, ms) => {
                self.jump(any(a), ms.into());
                Some(format!("the clock of {} jumps by {ms} ms", any(a)))
            }
            Step::Hours(hours) => {
                (0..NODES_MAX).for_each(|at| self.jump(at, i64::from(hours) * 3_600_000));
                Some(format!("{hours} hours go by"))
            }
            Step::Transfer(a, b) => {
                let one = self.one(a)?;
                let said = format!("{} is asked to let {} lead", one.at, any(b));
                self.transfers(one, self.id(any(b)));
                Some(said)
            }
            Step::Join(a, b, c) => {
                let three = [self.one(a)?, self.one(b)?, self.one(c)?];
                let waits = |at: &usize| !self.nodes[*at].joined && !self.nodes[*at].joining;
                let at = (0..NODES_MAX).find(waits)?;
                self.begun = self.begun.max(at + 1);
                let said = format!(
                    "{at} asks to join, with a token of {}, of {} and let in by {}",
                    three[0].at, three[1].at, three[2].at
                );
                self.joins(at, three);
                Some(said)
            }
            Step::Drain(a, b) => self.turned(a, b, "drains", |node| Command::Drain { node }),
            Step::Undrain(a, b) => self.turned(a, b, "undrains", |node| Command::Undrain { node }),
            Step::Remove(a, b) => {
                let one = self.one(a)?;
                let member = self.member(&one.control.state(), b)?;
                let said = format!("{} is asked to remove {member}", one.at);
                self.removes(one, self.id(member));
                Some(said)
            }
            Step::Rotate(a) => {
                let one = self.one(a)?;
                let said = format!("{} is asked for new secrets", one.at);
                self.rotates(one);
                Some(said)
            }
            Step::Token(a) => {
                let one = self.one(a)?;
                let said = format!("{} is asked for a token", one.at);
                self.makes_token(one);
                Some(said)
            }
            Step::Say(a) => {
                let one = self.one(a)?;
                let said = format!("{} says step-{number}", one.at);
                self.says(one, format!("step-{number}"));
                Some(said)
            }
            Step::Read(a) => {
                let one = self.one(a)?;
                let said = format!("{} is asked what is agreed upon", one.at);
                self.reads(one);
                Some(said)
            }
        }
    }

    fn turned(&mut self, a: u8, b: u8, how: &str, command: impl Fn(NodeId) -> Command) -> Option<String> {
        let one = self.one(a)?;
        let member = self.member(&one.control.state(), b)?;
        let said = format!("{} {how} {member}", one.at);
        self.asks(one, command(self.id(member)));
        Some(said)
    }

    /// One of the members.
    fn member(&self, state: &ClusterState, pick: u8) -> Option<usize> {
        let members: Vec<usize> = (0..NODES_MAX).filter(|at| state.members().get(&self.id(*at)).is_some()).collect();
        members.get(usize::from(pick) % members.len().max(1)).copied()
    }
}
