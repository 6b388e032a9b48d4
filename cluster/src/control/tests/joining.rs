//! Nodes come, and those that must not come do not.

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, VoteRequest};

use super::*;
use crate::calls::CallError;
use crate::control::raft::{Types, Vote};
use crate::control::wire::{Question, encode};
use crate::join::JoinRefusal;

#[tokio::test]
async fn nodes_join_one_after_the_other_and_all_know_the_same() {
    let world = World::of(3).await;
    let states: Vec<ClusterState> = (0..3).map(|at| world.at(at).state()).collect();
    assert!(states.iter().all(|state| *state == states[0]));
    for at in 0..3 {
        let secrets = world.at(at).secrets().get().unwrap().1;
        assert_eq!(secrets.get("identity"), Some(&b"of all nodes"[..]), "one identity for all");
        assert!(world.view(at).certificates.contains_key(&world.id(at)));
        // Any of them may decide something, and any of them knows it at once who asks what was agreed upon.
        world.say(at, &format!("said-by-{at}"), PATIENCE).await.unwrap();
        let read = world.at((at + 1) % 3).read(PATIENCE).await.unwrap();
        assert_eq!(read.settings().unwrap().name, format!("said-by-{at}"));
    }
    world.end().await;
}

#[tokio::test]
async fn a_newcomer_gets_a_snapshot_when_the_log_has_been_purged() {
    let mut world = World::found().await;
    for at in 0..600 {
        world.say(0, &format!("step-{at}"), PATIENCE).await.unwrap();
    }
    world.eventually("a snapshot", |world| world.at(0).metrics().snapshot_index > 256).await;
    let new = world.join().await;
    world.settle(2).await;
    assert!(world.at(new).metrics().snapshot_index > 256, "it came by a snapshot");
    assert_eq!(world.at(new).state(), world.at(0).state());
    world.end().await;
}

#[tokio::test]
async fn whoever_is_not_let_in_stays_out() {
    let mut world = World::found().await;
    let (token, at) = (world.token().await, world.add());
    let foreign = JoinToken::generate(&mut rand::rng(), token.authority());
    let unknown = JoinReply::Refused(JoinRefusal::Refused(Refused::UnknownToken));
    assert_eq!(world.ask(0, at, Some(&foreign)).await, unknown);
    assert_eq!(world.ask(0, at, Some(&token)).await, JoinReply::Pending);
    assert_eq!(world.ask(0, at, Some(&token)).await, JoinReply::Pending, "nobody has approved it");

    // It is pending: it talks to nobody, and has nothing to start with.
    let hello = Bytes::from(encode(&Question::Read).unwrap());
    let calls = world.net.calls_of(world.id(at));
    assert_eq!(calls.call(world.id(0), hello, PATIENCE).await, Err(CallError::Refused(world.id(0))));
    let begun = Control::start(world.setup(at), Beginning::Known).await;
    assert!(matches!(begun, Err(StartError::Nothing)));

    let other = world.add();
    let used = JoinReply::Refused(JoinRefusal::Refused(Refused::TokenUsed));
    assert_eq!(world.ask(0, other, Some(&token)).await, used);
    world.at(0).propose(Command::Reject { node: world.id(at) }, PATIENCE).await.unwrap();
    let removed = JoinReply::Refused(JoinRefusal::Refused(Refused::Removed(world.id(at))));
    assert_eq!(world.ask(0, at, Some(&token)).await, removed);
    let late = world.token().await;
    world.pass(Duration::from_secs(600));
    let expired = world.ask(0, other, Some(&late)).await;
    let words = [Refused::TokenExpired, Refused::UnknownToken].map(|no| JoinReply::Refused(JoinRefusal::Refused(no)));
    assert!(words.contains(&expired), "{expired:?}, and forgotten a moment later");
    world.end().await;
}

#[tokio::test]
async fn with_the_policy_a_token_is_enough() {
    let mut world = World::found().await;
    let settings = Settings { name: "home".to_owned(), auto_approve: true, timings: world.timings };
    world.at(0).propose(Command::Configure(settings), PATIENCE).await.unwrap();
    let (token, at) = (world.token().await, world.add());
    assert_eq!(world.ask(0, at, Some(&token)).await, JoinReply::Pending);
    world.eventually("approval", |world| world.view(0).members[&world.id(at)].state == MemberState::Joining).await;
    let admitted = world.admitted(0, at, Some(&token)).await;
    world.start(at, Beginning::Join(Box::new(admitted))).await;
    world.settle(2).await;
    world.end().await;
}

#[tokio::test]
async fn forged_messages_change_nothing() {
    let world = World::of(2).await;
    let leader = world.leader().await;
    let follower = 1 - leader;
    let before = (world.at(follower).state(), world.view(follower).term);
    let append = |by: NodeId| {
        let vote = Vote::new_committed(before.1 + 50, by.get());
        Question::Append(AppendEntriesRequest::<Types> {
            vote,
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        })
    };
    let vote = |by: NodeId| Question::Vote(VoteRequest::new(Vote::new(before.1 + 50, by.get()), None));
    let stranger = NodeId::new(9);
    let send = async |from: NodeId, to: NodeId, question: Bytes| {
        world.net.calls_of(from).call(to, question, PATIENCE).await.map(drop)
    };
    let (to, mine) = (world.id(follower), world.id(leader));
    for question in [append(stranger), vote(stranger), append(mine), Question::Read, Question::Campaign] {
        let forged = send(stranger, to, encode(&question).unwrap().into()).await;
        assert_eq!(forged, Err(CallError::Refused(to)), "a stranger's, whoever it says it is");
    }
    for question in [append(to), vote(to), append(stranger), vote(stranger)] {
        let forged = send(mine, to, encode(&question).unwrap().into()).await;
        assert_eq!(forged, Err(CallError::Refused(to)), "a member's in another's name");
    }
    for garbage in [&b""[..], b"\x02", b"\x01\xff\xff", b"\x01\x04\x03abc"] {
        assert_eq!(send(mine, to, garbage.into()).await, Err(CallError::Refused(to)));
    }
    // A command that nobody can read would stop every member.
    let poison = encode(&Question::Propose(vec![2, 3, 4])).unwrap();
    assert_eq!(send(to, mine, poison.into()).await, Err(CallError::Refused(mine)));
    assert_eq!((world.at(follower).state(), world.view(follower).term), before);
    world.say(follower, "alive", PATIENCE).await.unwrap();
    world.end().await;
}
