//! What a leader does when.

use std::time::Duration;

use openraft::impls::EmptyNode;

use super::*;
use crate::control::command::Settings;
use crate::control::state::random::{Source, settle};
use crate::control::timings::Timings;

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

/// A state with so many active members, and their names in order.
fn active(members: usize) -> (ClusterState, Vec<NodeId>) {
    settle(members, NOW)
}

fn membership(voters: &[NodeId], learners: &[NodeId]) -> Membership {
    let nodes: BTreeMap<u64, EmptyNode> =
        voters.iter().chain(learners).map(|node| (node.get(), EmptyNode {})).collect();
    Membership::new(vec![voters.iter().map(|node| node.get()).collect()], nodes)
}

fn with_log(nodes: &[NodeId]) -> BTreeMap<NodeId, u64> {
    nodes.iter().map(|node| (*node, 100)).collect()
}

#[test]
fn at_most_five_vote_and_the_rest_learns() {
    let (state, nodes) = active(7);
    let all = plan(&state, &membership(&nodes[..1], &nodes[1..]), &with_log(&nodes), 100, NOW);
    let [Duty::Voters(voters)] = &all[..] else { panic!("{all:?}") };
    assert_eq!((voters.len(), voters.contains(&nodes[0])), (VOTERS_MAX, true));
    let five: Vec<NodeId> = voters.iter().copied().collect();
    let rest: Vec<NodeId> = nodes.iter().filter(|node| !voters.contains(node)).copied().collect();
    assert_eq!(plan(&state, &membership(&five, &rest), &with_log(&nodes), 100, NOW), []);
    // Who is behind does not become a voter.
    let behind = with_log(&nodes[..2]);
    let voters = Duty::Voters(nodes[..2].iter().copied().collect());
    assert_eq!(plan(&state, &membership(&nodes[..1], &nodes[1..]), &behind, 100, NOW), [voters]);
}

#[test]
fn members_are_taught_and_strangers_are_not() {
    let (state, nodes) = active(3);
    let stranger = NodeId::new(5);
    let duties = plan(&state, &membership(&nodes[..2], &[stranger]), &with_log(&nodes[..2]), 100, NOW);
    assert_eq!(duties, [Duty::Forget([stranger].into()), Duty::Teach(nodes[2])]);
    let voting = plan(&state, &membership(&[nodes[0], nodes[1], stranger], &nodes[2..]), &BTreeMap::new(), 100, NOW);
    assert_eq!(voting, [Duty::Voters(nodes[..2].iter().copied().collect())], "it stops voting first");
}

#[test]
fn an_unfinished_change_of_voters_is_finished() {
    let (state, nodes) = active(3);
    let ids: Vec<u64> = nodes.iter().map(|node| node.get()).collect();
    let halves = vec![ids[..1].iter().copied().collect(), ids.iter().copied().collect()];
    let joint = Membership::new(halves, BTreeMap::<u64, EmptyNode>::new());
    assert_eq!(plan(&state, &joint, &with_log(&nodes), 100, NOW), [Duty::Voters(nodes.into_iter().collect())]);
}

#[test]
fn certificates_are_renewed_at_half_life() {
    let (state, nodes) = active(2);
    let members = membership(&nodes, &[]);
    let half = NOW.plus(crate::CERTIFICATE_LIFE / 2);
    assert_eq!(plan(&state, &members, &with_log(&nodes), 100, half.minus(Duration::from_secs(1))), []);
    let both: Vec<Duty> = nodes.iter().map(|node| Duty::Renew(*node)).collect();
    assert_eq!(plan(&state, &members, &with_log(&nodes), 100, half), both);
}

#[test]
fn whoever_asks_is_approved_only_by_policy() {
    let (mut state, nodes) = active(1);
    let members = membership(&nodes, &[]);
    let asked = Source::ask(&mut state, NOW);
    assert_eq!(plan(&state, &members, &with_log(&nodes), 100, NOW), []);
    let settings = Settings { name: "home".to_owned(), auto_approve: true, timings: Timings::LAN };
    Source::say(&mut state, NOW, crate::control::command::Command::Configure(settings));
    assert_eq!(plan(&state, &members, &with_log(&nodes), 100, NOW), [Duty::Approve(asked)]);
    Source::approve(&mut state, asked, NOW);
    let late = NOW.plus(Duration::from_secs(3600));
    assert_eq!(plan(&state, &members, &with_log(&nodes), 100, late), [Duty::Teach(asked), Duty::Expire]);
    let learner = membership(&nodes, &[asked]);
    let matched = |index| [(nodes[0], 100), (asked, index)].into();
    assert_eq!(plan(&state, &learner, &matched(100 - LAG_MAX - 1), 100, NOW), [], "it has not caught up");
    assert_eq!(plan(&state, &learner, &matched(100 - LAG_MAX), 100, NOW), [Duty::Activate(asked)]);
}
