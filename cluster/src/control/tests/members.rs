//! What happens to members.

use super::*;
use crate::CERTIFICATE_LIFE;
use crate::calls::CallError;
use crate::control::wire::{Question, encode};
use crate::join::JoinRefusal;

#[tokio::test]
async fn a_removed_member_is_cut_off_and_knows_nothing_new() {
    let mut world = World::of(3).await;
    let leader = world.leader().await;
    // The leader itself goes: another leads first.
    let gone = leader;
    let asked = (leader + 1) % 3;
    let (id, old) = (world.id(gone), world.view(asked).authorities[0].key);
    let done = world.at(asked).remove(id, PATIENCE).await.unwrap();
    assert!(done.changed);
    let others: Vec<usize> = (0..3).filter(|at| *at != gone).collect();
    world
        .eventually("the rest to agree without it", |world| {
            others.iter().all(|at| {
                let view = world.view(*at);
                !view.members.contains_key(&id)
                    && view.voters.len() == 2
                    && view.leader.is_some_and(|leader| leader != id)
            })
        })
        .await;
    let hello = encode(&Question::Read).unwrap();
    for at in &others {
        let to = world.id(*at);
        let refused = world.net.calls_of(id).call(to, hello.clone().into(), PATIENCE).await;
        assert_eq!(refused, Err(CallError::Refused(to)));
        let (generation, secrets) = world.at(*at).secrets().get().unwrap();
        assert_eq!((generation, secrets.get("token")), (2, Some(&b"another"[..])));
        assert_eq!(secrets.get("identity"), Some(&b"of all nodes"[..]), "clients pin it: it stays");
    }
    assert_eq!(world.at(gone).secrets().get().map(|secrets| secrets.0), Some(1), "what it knew, and no more");
    assert_eq!(world.ask(asked, gone, None).await, JoinReply::Refused(JoinRefusal::Refused(Refused::Removed(id))));
    // The authority is replaced, with an overlap in which both are believed.
    world
        .eventually("certificates of the new authority only", |world| {
            let view = world.view(asked);
            view.authorities.len() == 1
                && view.authorities[0].key != old
                && view.certificates.values().all(|certificate| certificate.authority == view.authorities[0].key)
        })
        .await;
    assert!(!world.at(asked).remove(id, PATIENCE).await.unwrap().changed, "a repeat");
    world.say(asked, "without-it", PATIENCE).await.unwrap();
    // A new node takes its place.
    let token = world.at(asked).create_token(Duration::from_secs(60), PATIENCE).await.unwrap();
    assert_eq!(token.authority(), world.view(asked).authorities[0].key);
    world.stop(gone).await;
    let new = world.add();
    assert_eq!(world.ask(asked, new, Some(&token)).await, JoinReply::Pending);
    world.at(asked).approve(world.id(new), PATIENCE).await.unwrap();
    let admitted = world.admitted(asked, new, Some(&token)).await;
    world.start(new, Beginning::Join(Box::new(admitted))).await;
    world.settle(3).await;
    world.end().await;
}

#[tokio::test]
async fn one_of_two_can_be_removed_and_the_last_one_cannot() {
    let world = World::of(2).await;
    let leader = world.leader().await;
    let other = 1 - leader;
    world.at(other).remove(world.id(other), PATIENCE).await.unwrap_err_or_done();
    world.eventually("one to be left", |world| world.view(leader).members.len() == 1).await;
    let last = world.at(leader).remove(world.id(leader), PATIENCE).await;
    assert_eq!(last, Err(ControlError::Refused(Refused::LastMember(world.id(leader)))));
    world.say(leader, "alone", PATIENCE).await.unwrap();
    world.end().await;
}

/// Who removes itself may be cut off before it hears of it.
trait Whatever {
    fn unwrap_err_or_done(self);
}

impl Whatever for Result<Done, ControlError> {
    fn unwrap_err_or_done(self) {
        assert!(matches!(self, Ok(_) | Err(ControlError::NoLeader)), "{self:?}");
    }
}

#[tokio::test]
async fn drained_members_stay_and_edges_are_told() {
    let world = World::of(2).await;
    let node = world.id(1);
    let before = world.view(0).edge_generation;
    for (command, state) in
        [(Command::Drain { node }, MemberState::Draining), (Command::Undrain { node }, MemberState::Active)]
    {
        world.at(1).propose(command, PATIENCE).await.unwrap();
        world.eventually("all to know", |world| (0..2).all(|at| world.view(at).members[&node].state == state)).await;
        assert_eq!(world.view(0).voters.len(), 2, "it votes");
    }
    assert_eq!(world.view(0).edge_generation, before + 2);
    world.end().await;
}

#[tokio::test]
async fn certificates_are_renewed_at_half_life_and_by_oneself_when_nobody_does() {
    let world = World::of(3).await;
    let leader = world.leader().await;
    let ends = |at: usize, node: usize| world.view(at).certificates[&world.id(node)].not_after;
    let before: Vec<UnixMillis> = (0..3).map(|node| ends(leader, node)).collect();
    world.pass(CERTIFICATE_LIFE / 2);
    world.eventually("new certificates", |_| (0..3).all(|node| (0..3).all(|at| ends(at, node) > before[node]))).await;
    // Everybody is cut off from everybody, for two days.
    for at in 0..3 {
        world.net.isolate(world.id(at));
    }
    world.eventually("no leader", |world| world.at(leader).leadership().is_none()).await;
    world.pass(CERTIFICATE_LIFE * 2);
    let now = UnixMillis::new(world.clock.load(Ordering::SeqCst));
    world.eventually("each to have a certificate of its own", |_| (0..3).all(|at| ends(at, at) > now)).await;
    world.net.heal();
    world.eventually("new ones for all", |_| (0..3).all(|node| (0..3).all(|at| ends(at, node) > now))).await;
    world.end().await;
}

#[tokio::test]
async fn rotating_replaces_secrets_and_authority() {
    let world = World::of(2).await;
    let old = world.view(0).authorities[0].key;
    world.at(1).rotate(PATIENCE).await.unwrap();
    world
        .eventually("the new authority alone", |world| {
            (0..2).all(|at| {
                let (view, secrets) = (world.view(at), world.at(at).secrets().get());
                view.authorities.len() == 1
                    && view.authorities[0].key != old
                    && secrets.is_some_and(|found| found.0 == 2)
            })
        })
        .await;
    world.end().await;
}
