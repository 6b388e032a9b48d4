//! How a world ends: all is well again, and all members come to the same.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::chance;
use super::weather::Weather;
use super::world::{CALM, NODES_MAX, TIMINGS, World};
use crate::calls::CallError;
use crate::control::wire::{Question, encode};
use crate::control::{ClusterState, VOTERS_MAX};
use crate::{MemberState, NodeId};

impl World {
    /// All is well again: who is a member comes to the same as everybody, and who is not does no harm.
    pub(super) async fn calm(&mut self) -> Result<(), String> {
        self.say("calm");
        self.net.heal();
        self.weather(Weather::default());
        chance::slow(Duration::ZERO);
        for at in 0..NODES_MAX {
            if self.nodes[at].joined && self.nodes[at].run.is_none() {
                self.begin_again(at).await?;
            }
        }
        self.until("operators", CALM, |world| world.ending.is_empty()).await?;
        let end = Instant::now() + CALM;
        while self.is_settled().is_none() {
            self.late_comers().await?;
            self.pass().await?;
            if Instant::now() > end {
                self.until("all to agree", Duration::ZERO, |_| false).await?;
            }
        }
        for node in self.running() {
            if !self.is_removed(node.at) {
                self.says(node.clone(), format!("last-{}", node.at));
            }
        }
        let accepted = chance::oracle(|oracle| oracle.seen.given_up);
        self.until("the last words", CALM, |world| world.ending.is_empty()).await?;
        self.until("all to agree upon the last words", CALM, |world| world.is_settled().is_some()).await?;
        let given_up = chance::oracle(|oracle| oracle.seen.given_up);
        if given_up > accepted {
            return Err("all is well, and something was not decided".to_owned());
        }
        if let Some((index, state)) = self.is_settled() {
            chance::oracle(|oracle| oracle.settled(index, &state));
        }
        self.undisturbed().await?;
        self.strangers().await?;
        self.pass().await?;
        for node in self.running() {
            self.stop(node.at).await;
        }
        Ok(())
    }

    /// A follower that hears nobody for some time, and comes back, leaves the leader where it is.
    async fn undisturbed(&mut self) -> Result<(), String> {
        let members: Vec<_> = self.running().into_iter().filter(|node| !self.is_removed(node.at)).collect();
        let leads = |world: &Self| {
            let mut leading = world.running().into_iter().filter_map(|node| node.control.leadership());
            leading.next()
        };
        let Some(before) = leads(self).filter(|_| members.len() >= 3) else { return Ok(()) };
        let followers: Vec<_> = members.iter().filter(|node| self.id(node.at) != before.leader).collect();
        let away = followers[usize::try_from(chance::below(followers.len() as u64)).unwrap()].at;
        let both = chance::per_mille(500);
        self.say(&format!("{away} hears nobody{}", if both { ", and nobody hears it" } else { "" }));
        for other in members.iter().filter(|other| other.at != away) {
            self.net.cut(self.id(other.at), self.id(away));
            if both {
                self.net.cut(self.id(away), self.id(other.at));
            }
        }
        for patience in [(TIMINGS.silence + TIMINGS.spread) * 4, TIMINGS.silence * 3] {
            let end = Instant::now() + patience;
            while Instant::now() < end {
                self.pass().await?;
            }
            self.net.heal();
        }
        let after = leads(self);
        if after != Some(before) {
            return Err(format!("{away} was away, and {before:?} became {after:?}"));
        }
        Ok(())
    }

    pub(super) fn is_removed(&self, at: usize) -> bool {
        let id = self.id(at);
        chance::oracle(|oracle| oracle.is_removed(id))
    }

    /// Who was let in and has not heard of it.
    async fn late_comers(&mut self) -> Result<(), String> {
        let Some(one) = self.running().into_iter().find(|node| !self.is_removed(node.at)) else { return Ok(()) };
        let state = one.control.state();
        for at in 0..NODES_MAX {
            let approved = state.members().get(&self.id(at)).is_some_and(|entry| entry.member.state.may_link());
            if approved
                && !self.nodes[at].joined
                && let Some(admitted) = self.asks_again(at, &one.control).await
            {
                self.say(&format!("node {at} joins late"));
                self.admit(at, admitted).await.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// What all members have come to, if they have, and have nothing more to do.
    pub(super) fn is_settled(&self) -> Option<(u64, ClusterState)> {
        let running: Vec<_> = self.running().into_iter().filter(|node| !self.is_removed(node.at)).collect();
        let first = running.first()?;
        let (state, view) = (first.control.state(), first.control.view().borrow().clone());
        let approved: BTreeSet<NodeId> = state.approved().map(|(node, _)| node).collect();
        let here: BTreeSet<NodeId> = running.iter().map(|node| self.id(node.at)).collect();
        let serving = state
            .approved()
            .filter(|(_, entry)| matches!(entry.member.state, MemberState::Active | MemberState::Draining))
            .count();
        let same = running.iter().all(|node| {
            let (other, metrics) = (node.control.view().borrow().clone(), node.control.metrics());
            (other.index, other.leader, &other.voters) == (view.index, view.leader, &view.voters)
                && metrics.applied_index == metrics.last_index
                && node.control.state() == state
        });
        let done = approved == here
            && serving == approved.len()
            && view.voters.len() == serving.min(VOTERS_MAX)
            && view.leader.is_some()
            && state.authorities().len() == 1
            && same;
        done.then_some((view.index, state))
    }

    /// Who was removed gets no answer, and leads nothing.
    async fn strangers(&mut self) -> Result<(), String> {
        let question = encode(&Question::Read).map_err(|error| error.to_string())?;
        for node in self.running().iter().filter(|node| self.is_removed(node.at)) {
            let calls = self.net.calls_of(self.id(node.at));
            for other in self.running().iter().filter(|other| !self.is_removed(other.at)) {
                let to = self.id(other.at);
                let answer = calls.call(to, question.clone().into(), Duration::from_secs(5)).await;
                if answer != Err(CallError::Refused(to)) {
                    return Err(format!("{} was removed, and {} answers it", node.at, other.at));
                }
            }
        }
        Ok(())
    }
}
