//! A world from its beginning to its calm: what happens at each moment.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Schedule;
use super::chance;
use super::operators::Ended;
use super::plan::Plan;
use super::world::{CALM, NODES_MAX, World};
use crate::control::Beginning;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

impl World {
    pub(super) async fn live(&mut self, schedule: &Schedule) -> Result<(), String> {
        let Plan { members, steps } = Plan::new(schedule.seed);
        self.founded(members).await?;
        self.say(&format!("{members} members"));
        for (number, (step, pause)) in steps.into_iter().enumerate() {
            if schedule.without.contains(&number) {
                continue;
            }
            self.act(number, step).await;
            let end = Instant::now() + Duration::from_millis(pause);
            while Instant::now() < end {
                self.pass().await?;
            }
        }
        self.calm().await
    }

    /// As many members, and nothing has happened yet.
    async fn founded(&mut self, members: usize) -> Result<(), String> {
        for at in 1..members {
            self.begun += 1;
            let one = self.one(0).ok_or("nobody runs")?;
            self.joins(at, [one.clone(), one.clone(), one]);
            self.until("a member", CALM, |world| world.nodes[at].joined).await?;
        }
        self.until("the first members", CALM, |world| world.is_settled().is_some()).await
    }

    /// A moment.
    pub(super) async fn pass(&mut self) -> Result<(), String> {
        sleep(LOOK).await;
        while let Some(ended) = self.ending.try_join_next() {
            match ended.map_err(|error| error.to_string())? {
                Ended::Done => {}
                Ended::NotAdmitted(at) => self.nodes[at].joining = false,
                Ended::Admitted(at, admitted) => {
                    self.nodes[at].joining = false;
                    if !self.nodes[at].joined {
                        self.say(&format!("node {at} joins"));
                        self.admit(at, admitted).await.map_err(|error| error.to_string())?;
                    }
                }
            }
        }
        while let Some(ended) = self.touching.try_join_next() {
            let Some(at) = ended.map_err(|error| error.to_string())? else { continue };
            self.say(&format!("node {at} hears that it was removed"));
            let (id, removed) = (self.id(at), self.is_removed(at));
            chance::oracle(|oracle| oracle.must(removed, || format!("{id} was told that it was removed")));
            self.stop(at).await;
        }
        let due: Vec<usize> =
            (0..NODES_MAX).filter(|at| self.nodes[*at].starts.is_some_and(|starts| starts <= Instant::now())).collect();
        for at in due {
            self.begin_again(at).await?;
        }
        self.look();
        match chance::oracle(|oracle| oracle.failed()) {
            None => Ok(()),
            Some(failed) => Err(failed),
        }
    }

    pub(super) async fn until(
        &mut self,
        what: &str,
        patience: Duration,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        let end = Instant::now() + patience;
        while !holds(self) {
            self.pass().await?;
            if Instant::now() > end {
                let all: Vec<String> = self
                    .running()
                    .iter()
                    .map(|node| {
                        let view = node.control.view().borrow().clone();
                        let states: Vec<_> = view.members.values().map(|member| (&member.name, member.state)).collect();
                        format!(
                            "{}: {:?}, leader {:?}, voters {:?}, authorities {}, {states:?}",
                            node.at,
                            node.control.metrics(),
                            view.leader,
                            view.voters,
                            view.authorities.len()
                        )
                    })
                    .collect();
                return Err(format!("waited in vain for {what}:\n{}", all.join("\n")));
            }
        }
        Ok(())
    }

    pub(super) async fn begin_again(&mut self, at: usize) -> Result<(), String> {
        self.say(&format!("node {at} starts"));
        self.start(at, Beginning::Known).await.map_err(|error| format!("node {at} does not start: {error}"))
    }
}
