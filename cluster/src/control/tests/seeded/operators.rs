//! What people ask of nodes, and what they are told. Each waits beside the world, as long as the node lives that it has asked.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::chance;
use super::weather::end_of;
use super::world::{Book, Running, TIMINGS, World};
use crate::calls::InMemory;
use crate::control::command::{Command, Done, Refused, Settings};
use crate::control::{Control, ControlError};
use crate::join::{Admitted, JoinRefusal, JoinReply, request};
use crate::{JoinToken, NodeId};

/// How long an operator waits for one thing.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);
const EXPORTER: [u8; 32] = [7; 32];

/// How long nobody must have led before a node asks the others that it knows.
const ALONE: Duration = Duration::from_secs(10);

/// What has come of it, where the world has to do something.
pub(super) enum Ended {
    Done,
    Admitted(usize, Admitted),
    NotAdmitted(usize),
}

/// What a node says, if it lives long enough to say it.
pub(super) async fn told<T>(of: &Running, answer: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = end_of(of.life.clone()) => None,
        answer = answer => Some(answer),
    }
}

/// Keeps what somebody was told.
fn keep(asked: u64, of: impl Fn(&Command) -> bool, answer: Option<&Result<Done, ControlError>>) {
    chance::oracle(|oracle| match answer {
        Some(Ok(done)) => oracle.answered(asked, of, done),
        Some(Err(ControlError::Refused(_))) => {}
        _ => oracle.seen.given_up += 1,
    });
}

async fn propose(of: Running, command: Command) {
    let asked = chance::oracle(|oracle| oracle.heard());
    let answer = told(&of, of.control.propose(command.clone(), PATIENCE)).await;
    keep(asked, |decided| *decided == command, answer.as_ref());
}

async fn token(of: &Running) -> Option<JoinToken> {
    let asked = chance::oracle(|oracle| oracle.heard());
    let token = told(of, of.control.create_token(Duration::from_secs(3600), PATIENCE)).await?.ok()?;
    let decided = chance::oracle(|oracle| oracle.has_token(asked, token.id()));
    chance::oracle(|oracle| oracle.must(decided, || "a token was created, and is not there".to_owned()));
    Some(token)
}

/// As [`stay_in_touch`](crate::stay_in_touch), over the network of the world: the node, when it is told that it was removed.
pub(super) async fn stay_in_touch(of: Running, book: Book, net: InMemory) -> Option<usize> {
    let asking = async {
        let (me, mut view) = (of.control.node(), of.control.view());
        loop {
            if timeout(ALONE, view.wait_for(|view| view.leader.is_some())).await.is_ok() {
                let _ = timeout(ALONE, view.wait_for(|view| view.leader.is_none())).await;
                continue;
            }
            let members: Vec<NodeId> = view.borrow().members.keys().copied().filter(|node| *node != me).collect();
            for member in members {
                let other = book.lock().unwrap_or_else(PoisonError::into_inner).get(&member).cloned();
                let Some(other) = other.filter(|_| !net.is_cut(me, member) && !net.is_cut(member, me)) else {
                    continue;
                };
                let Ok(question) = of.control.ask_again(&EXPORTER) else { continue };
                let answer = told(&other, other.control.answer_join(&question, &EXPORTER)).await;
                match answer.and_then(|answer| JoinReply::decode(&answer).ok()) {
                    Some(JoinReply::Admitted(admitted)) if of.control.admitted(&admitted).await.is_ok() => break,
                    Some(JoinReply::Refused(JoinRefusal::Refused(Refused::Removed(node)))) if node == me => return,
                    _ => {}
                }
            }
        }
    };
    told(&of, asking).await.map(|()| of.at)
}

impl World {
    /// Does something beside.
    fn beside(&mut self, doing: impl Future<Output = ()> + Send + 'static) {
        self.ending.spawn(async move {
            doing.await;
            Ended::Done
        });
    }

    pub(super) fn asks(&mut self, of: Running, command: Command) {
        self.beside(propose(of, command));
    }

    pub(super) fn says(&mut self, of: Running, name: String) {
        self.asks(of, Command::Configure(Settings { name, auto_approve: false, timings: TIMINGS }));
    }

    pub(super) fn reads(&mut self, of: Running) {
        self.beside(async move {
            let asked = chance::oracle(|oracle| oracle.heard());
            if let Some(Ok(state)) = told(&of, of.control.read(PATIENCE)).await {
                chance::oracle(|oracle| oracle.read(asked, &state));
            }
        });
    }

    pub(super) fn makes_token(&mut self, of: Running) {
        self.beside(async move { drop(token(&of).await) });
    }

    pub(super) fn rotates(&mut self, of: Running) {
        self.beside(async move {
            let asked = chance::oracle(|oracle| oracle.heard());
            let answer = told(&of, of.control.rotate(PATIENCE)).await;
            keep(asked, |decided| matches!(decided, Command::Rekey(_)), answer.as_ref());
        });
    }

    pub(super) fn removes(&mut self, of: Running, member: NodeId) {
        self.beside(async move {
            let asked = chance::oracle(|oracle| oracle.heard());
            let answer = told(&of, of.control.remove(member, PATIENCE)).await;
            let accepted = matches!(answer, Some(Ok(_)));
            keep(asked, |decided| matches!(decided, Command::Remove { node, .. } if *node == member), answer.as_ref());
            chance::oracle(|oracle| {
                let removed = oracle.is_removed(member);
                oracle.must(!accepted || removed, || format!("the removal of {member} was accepted, and is not there"));
            });
        });
    }

    pub(super) fn transfers(&mut self, of: Running, to: NodeId) {
        self.beside(async move { drop(told(&of, of.control.transfer_leader(to, PATIENCE)).await) });
    }

    /// Node `at` asks the second, with a token of the first; the third is told to let it in.
    pub(super) fn joins(&mut self, at: usize, [maker, seed, approver]: [Running; 3]) {
        let (keys, profile) = (std::sync::Arc::clone(&self.nodes[at].keys), self.profile(at));
        self.nodes[at].joining = true;
        self.ending.spawn(async move {
            let joining = async {
                let token = token(&maker).await?;
                let until = Instant::now() + PATIENCE * 3;
                while Instant::now() < until {
                    let request = request(&keys, &profile, Some(&token), &EXPORTER).ok()?;
                    let reply = told(&seed, seed.control.answer_join(&request, &EXPORTER)).await?;
                    match JoinReply::decode(&reply).ok()? {
                        JoinReply::Admitted(admitted) => return Some(*admitted),
                        JoinReply::Refused(_) => return None,
                        JoinReply::Later => {}
                        JoinReply::Pending => {
                            let asked = chance::oracle(|oracle| oracle.heard());
                            let node = keys.node();
                            let answer = told(&approver, approver.control.approve(node, PATIENCE)).await;
                            // Whoever waits is known to all that ask what is agreed upon, unless somebody has removed it since.
                            let unknown = Some(Err(ControlError::Refused(Refused::UnknownNode(node))));
                            chance::oracle(|oracle| {
                                oracle.must(answer != unknown, || format!("{node} waits, and nobody knows it"));
                            });
                            keep(
                                asked,
                                |decided| matches!(decided, Command::Approve { node: who, .. } if *who == node),
                                answer.as_ref(),
                            );
                        }
                    }
                    sleep(Duration::from_millis(200)).await;
                }
                None
            };
            match joining.await {
                Some(admitted) => Ended::Admitted(at, admitted),
                None => Ended::NotAdmitted(at),
            }
        });
    }

    /// A member that has not begun, for whoever let it in was gone too soon, asks again.
    pub(super) async fn asks_again(&self, at: usize, of: &Control) -> Option<Admitted> {
        let request = request(&self.nodes[at].keys, &self.profile(at), None, &EXPORTER).ok()?;
        match JoinReply::decode(&of.answer_join(&request, &EXPORTER).await).ok()? {
            JoinReply::Admitted(admitted) => Some(*admitted),
            _ => None,
        }
    }
}
