//! Rules of the state: by random commands, and each refusal by itself.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use endtoend_crypto_core::sealing::SealingSecret;
use proptest::prelude::*;

use super::random::{Source, applicant};
use super::*;
use crate::NodeKeys;
use crate::control::command::{Admission, CommandError, EdgeApplicant, Rekeying};

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);
const BY: Leadership = Leadership { term: 3, leader: NodeId::new(7) };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_proposed_the_state_is_possible_and_the_same_everywhere(seed in any::<u64>()) {
        let mut source = Source::new(seed);
        let (mut state, mut other) = (ClusterState::default(), ClusterState::default());
        let mut gone = BTreeSet::new();
        for step in 0..120 {
            let proposal = source.next(&state, BY);
            let before = state.clone();
            let outcome = state.apply(&proposal, BY);
            prop_assert_eq!(state.check_invariants(), Ok(()), "after {:?}", proposal);
            // What is read from a log does the same as what was written.
            let read = Proposal::decode(&proposal.encode().unwrap()).unwrap();
            prop_assert_eq!(&other.apply(&read, BY), &outcome);
            prop_assert_eq!(&other, &state);
            let unchanged = ClusterState { clock: state.clock, ..before.clone() };
            if outcome != Ok(true) {
                prop_assert_eq!(&unchanged, &state, "{:?} changed something", outcome);
            }
            prop_assert!(state.edge_generation >= before.edge_generation);
            prop_assert!(state.sealed.generation >= before.sealed.generation);
            prop_assert!(state.edges.keys().all(|edge| !gone.contains(edge)));
            let edges = |state: &ClusterState| -> Vec<_> {
                let serves = |entry: &Entry| matches!(entry.member.state, MemberState::Active | MemberState::Draining);
                state
                    .members
                    .iter()
                    .filter(|(_, entry)| serves(entry))
                    .map(|(node, entry)| (*node, entry.member.state, entry.member.client_address.clone()))
                    .collect()
            };
            prop_assert_eq!(edges(&before) != edges(&state), before.edge_generation != state.edge_generation);
            // A token lets one node ask, and a node that is out stays out.
            gone.extend(state.gone.keys().copied());
            prop_assert!(state.members.keys().all(|node| !gone.contains(node)));
            for (id, token) in &state.tokens {
                let users = state.members.values().filter(|entry| entry.token == Some(*id)).count()
                    + state.edges.values().filter(|edge| edge.token == *id).count();
                prop_assert!(users <= 1 && (users == 0 || token.used_by.is_some()));
            }
            if outcome == Ok(true) {
                let repeat = Proposal { fence: None, ..proposal };
                prop_assert_eq!(state.clone().apply(&repeat, BY), Ok(false), "a repeat of {:?}", repeat);
            }
            if step % 40 == 39 {
                prop_assert_eq!(ClusterState::decode(&state.encode().unwrap()), Ok(state.clone()));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_command_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(proposal) = Proposal::decode(&bytes) {
            prop_assert_eq!(Proposal::decode(&proposal.encode().unwrap()), Ok(proposal));
        }
        let _ = ClusterState::decode(&bytes);
    }
}

static FOUNDER: LazyLock<Applicant> = LazyLock::new(|| someone("one"));
static SECOND: LazyLock<Applicant> = LazyLock::new(|| someone("two"));
static THIRD: LazyLock<Applicant> = LazyLock::new(|| someone("three"));

fn someone(name: &str) -> Applicant {
    let keys = NodeKeys::generate(&mut rand::rng()).unwrap();
    Applicant { name: name.to_owned(), ..applicant(keys.key(), &SealingSecret::generate(&mut rand::rng())) }
}

const fn authority(byte: u8) -> AuthorityCertificate {
    AuthorityCertificate { der: Vec::new(), key: [byte; 32] }
}

fn certificate(by: u8) -> NodeCertificate {
    NodeCertificate { der: vec![1], authority: [by; 32], not_after: NOW }
}

fn sealed(generation: u64, nodes: &[NodeId]) -> Sealed {
    let keys = nodes.iter().map(|node| (*node, vec![0; SEALED_KEY_BYTES])).collect();
    Sealed { generation, blob: vec![1], keys }
}

fn admission() -> Box<Admission> {
    Box::new(Admission { certificate: certificate(1), generation: 1, sealed_key: vec![0; SEALED_KEY_BYTES] })
}

fn founding() -> Founding {
    Founding {
        cluster: ClusterId::new([1; 16]),
        settings: Settings { name: "home".to_owned(), auto_approve: false, timings: super::super::Timings::LAN },
        founder: FOUNDER.clone(),
        certificate: certificate(1),
        authority: AuthorityCertificate { der: vec![1], ..authority(1) },
        sealed: sealed(1, &[FOUNDER.node]),
    }
}

fn say(state: &mut ClusterState, at: UnixMillis, command: Command) -> Result<bool, Refused> {
    let outcome = state.apply(&Proposal { at, fence: None, command }, BY);
    assert_eq!(state.check_invariants(), Ok(()));
    outcome
}

/// A founded cluster with a token for each of the other two.
fn founded() -> ClusterState {
    let mut state = ClusterState::default();
    say(&mut state, NOW, Command::Found(Box::new(founding()))).unwrap();
    for id in [[2; 16], [3; 16]] {
        let expires_at = NOW.plus(Duration::from_secs(60));
        say(&mut state, NOW, Command::CreateToken { id, check: [0; 32], expires_at }).unwrap();
    }
    state
}

fn ask(applicant: &Applicant, token: u8) -> Command {
    Command::Ask { applicant: Box::new(applicant.clone()), token: [token; 16] }
}

/// The second node is active.
fn pair() -> ClusterState {
    let mut state = founded();
    let node = SECOND.node;
    for command in [ask(&SECOND, 2), Command::Approve { node, admission: admission() }, Command::Activate { node }] {
        assert_eq!(say(&mut state, NOW, command), Ok(true));
    }
    state
}

#[test]
fn a_node_comes_by_states_and_edges_see_it_when_it_serves() {
    let mut state = founded();
    let node = SECOND.node;
    let stands = |state: &ClusterState| state.members[&node].member.state;
    assert_eq!(say(&mut state, NOW, Command::Activate { node }), Err(Refused::UnknownNode(node)));
    assert_eq!(say(&mut state, NOW, ask(&SECOND, 2)), Ok(true));
    assert_eq!(stands(&state), MemberState::Pending);
    assert_eq!(say(&mut state, NOW, Command::Activate { node }), Err(Refused::WrongState(node, "pending".to_owned())));
    assert_eq!(say(&mut state, NOW, Command::Approve { node, admission: admission() }), Ok(true));
    assert_eq!((stands(&state), state.edge_generation), (MemberState::Joining, 1));
    assert_eq!(say(&mut state, NOW, Command::Drain { node }), Err(Refused::WrongState(node, "joining".to_owned())));
    assert_eq!(say(&mut state, NOW, Command::Activate { node }), Ok(true));
    assert_eq!((stands(&state), state.edge_generation), (MemberState::Active, 2));
    assert_eq!(say(&mut state, NOW, Command::Drain { node }), Ok(true));
    assert_eq!(say(&mut state, NOW, Command::Undrain { node }), Ok(true));
    assert_eq!((stands(&state), state.edge_generation), (MemberState::Active, 4));
}

#[test]
fn a_token_is_good_for_one_node_until_it_expires() {
    let mut state = founded();
    assert_eq!(say(&mut state, NOW, ask(&SECOND, 9)), Err(Refused::UnknownToken));
    assert_eq!(say(&mut state, NOW, ask(&SECOND, 2)), Ok(true));
    assert_eq!(say(&mut state, NOW, ask(&SECOND, 2)), Ok(false), "it asks how it stands");
    assert_eq!(say(&mut state, NOW, ask(&SECOND, 3)), Err(Refused::AlreadyMember(SECOND.node)));
    assert_eq!(say(&mut state, NOW, ask(&THIRD, 2)), Err(Refused::TokenUsed));
    let late = NOW.plus(Duration::from_secs(60));
    assert_eq!(say(&mut state, late, ask(&THIRD, 3)), Err(Refused::TokenExpired));
    assert!(!state.is_expiring(late) && state.is_expiring(late.plus(TOKEN_KEPT)));
    assert_eq!(say(&mut state, late, Command::Expire), Ok(true));
    assert_eq!(say(&mut state, late, ask(&THIRD, 3)), Err(Refused::UnknownToken));
    assert_eq!(say(&mut state, NOW, ask(&THIRD, 3)), Err(Refused::UnknownToken), "a late clock does not bring it back");
    for expires_at in [late, late.plus(TOKEN_LIFE_MAX + Duration::from_secs(1))] {
        let bad = Command::CreateToken { id: [4; 16], check: [0; 32], expires_at };
        assert_eq!(say(&mut state, late, bad), Err(Refused::BadExpiry));
    }
}

#[test]
fn who_was_removed_or_rejected_does_not_come_back() {
    let mut state = pair();
    let node = SECOND.node;
    let rekeying = Box::new(Rekeying { sealed: sealed(2, &[FOUNDER.node]), authority: None });
    assert_eq!(say(&mut state, NOW, Command::Remove { node, rekeying }), Ok(true));
    assert_eq!(state.edge_generation, 3);
    assert_eq!(say(&mut state, NOW, ask(&SECOND, 3)), Err(Refused::Removed(node)));
    assert_eq!(say(&mut state, NOW, Command::Activate { node }), Err(Refused::Removed(node)));
    assert_eq!(say(&mut state, NOW, ask(&THIRD, 3)), Ok(true));
    assert_eq!(say(&mut state, NOW, Command::Reject { node: THIRD.node }), Ok(true));
    let expires_at = NOW.plus(Duration::from_secs(1));
    say(&mut state, NOW, Command::CreateToken { id: [4; 16], check: [0; 32], expires_at }).unwrap();
    assert_eq!(say(&mut state, NOW, ask(&THIRD, 4)), Err(Refused::Removed(THIRD.node)));
    let node = FOUNDER.node;
    let rekeying = Box::new(Rekeying { sealed: sealed(3, &[]), authority: None });
    assert_eq!(say(&mut state, NOW, Command::Remove { node, rekeying }), Err(Refused::LastMember(node)));
}

#[test]
fn secrets_are_sealed_for_exactly_those_who_stay() {
    let mut state = pair();
    let (node, both) = (SECOND.node, [FOUNDER.node, SECOND.node]);
    let remove = |sealed: Sealed| Command::Remove { node, rekeying: Box::new(Rekeying { sealed, authority: None }) };
    assert_eq!(say(&mut state, NOW, remove(sealed(2, &both))), Err(Refused::Stale), "for who goes, too");
    assert_eq!(say(&mut state, NOW, remove(sealed(2, &[]))), Err(Refused::Stale), "not for who stays");
    assert_eq!(say(&mut state, NOW, remove(sealed(1, &[FOUNDER.node]))), Err(Refused::Stale), "the old generation");
    assert_eq!(say(&mut state, NOW, ask(&THIRD, 3)), Ok(true));
    let old = Admission { generation: 0, ..*admission() };
    let approve = |admission| Command::Approve { node: THIRD.node, admission: Box::new(admission) };
    assert_eq!(say(&mut state, NOW, approve(old)), Err(Refused::Stale));
    let foreign = Admission { certificate: certificate(2), ..*admission() };
    assert_eq!(say(&mut state, NOW, approve(foreign)), Err(Refused::Stale), "a certificate of another authority");
}

#[test]
fn an_authority_is_forgotten_when_nobody_has_a_certificate_of_it() {
    let mut state = pair();
    let both = [FOUNDER.node, SECOND.node];
    let new = AuthorityCertificate { der: vec![2], ..authority(2) };
    let rekeying = Rekeying { sealed: sealed(2, &both), authority: Some(new) };
    assert_eq!(say(&mut state, NOW, Command::Rekey(Box::new(rekeying))), Ok(true));
    assert_eq!(state.authorities.iter().map(|authority| authority.key[0]).collect::<Vec<_>>(), [2, 1]);
    let forget = |byte: u8| Command::ForgetAuthority { key: [byte; 32] };
    let renew = |node, by| Command::Renew { node, certificate: Box::new(certificate(by)) };
    assert_eq!(say(&mut state, NOW, renew(both[0], 3)), Err(Refused::Stale));
    for node in both {
        assert_eq!(say(&mut state, NOW, forget(1)), Err(Refused::AuthorityInUse));
        assert_eq!(state.unused_authorities().count(), 0);
        assert_eq!(say(&mut state, NOW, renew(node, 2)), Ok(true));
    }
    assert_eq!(state.unused_authorities().collect::<Vec<_>>(), [[1; 32]]);
    assert_eq!(say(&mut state, NOW, forget(2)), Err(Refused::AuthorityInUse), "the newest");
    assert_eq!(say(&mut state, NOW, forget(1)), Ok(true));
    assert_eq!(say(&mut state, NOW, renew(both[0], 1)), Err(Refused::Stale), "the old one is not believed any more");
}

fn edge_of(applicant: &Applicant) -> Box<EdgeApplicant> {
    let Applicant { node: edge, name, key, version, .. } = applicant.clone();
    Box::new(EdgeApplicant { edge, name, key, version })
}

#[test]
fn an_edge_comes_waits_and_goes_and_has_no_part_in_anything() {
    let mut state = pair();
    let before = (state.edge_generation, state.sealed.clone(), state.encode().unwrap());
    let edge = THIRD.node;
    let ask = |token: u8| Command::AskEdge { applicant: edge_of(&THIRD), token: [token; 16] };
    let approve = |by| Command::ApproveEdge { edge, certificate: Box::new(certificate(by)) };
    assert_eq!(say(&mut state, NOW, approve(1)), Err(Refused::UnknownNode(edge)));
    assert_eq!(say(&mut state, NOW, ask(2)), Err(Refused::TokenUsed));
    assert_eq!(say(&mut state, NOW, ask(3)), Ok(true));
    assert_eq!(say(&mut state, NOW, ask(3)), Ok(false), "it asks how it stands");
    assert!(!state.edges[&edge].is_approved());
    assert_eq!(say(&mut state, NOW, approve(2)), Err(Refused::Stale), "a certificate of another authority");
    assert_eq!(say(&mut state, NOW, approve(1)), Ok(true));
    assert_eq!((state.edge_generation, &state.sealed), (before.0, &before.1), "it gets no key and changes nothing");
    assert_eq!(ClusterState::decode(&state.encode().unwrap()), Ok(state.clone()));
    // As a node it cannot come, nor anybody under its name.
    for applicant in [THIRD.clone(), Applicant { name: "three".to_owned(), ..someone("four") }] {
        let expires_at = NOW.plus(Duration::from_secs(9));
        say(&mut state, NOW, Command::CreateToken { id: [4; 16], check: [0; 32], expires_at }).unwrap();
        let refused = say(&mut state, NOW, self::ask(&applicant, 4)).unwrap_err();
        assert!(matches!(refused, Refused::AlreadyMember(_) | Refused::NameTaken(_)), "{refused}");
    }
    // An authority is in use while an edge has a certificate of it.
    let both = [FOUNDER.node, SECOND.node];
    let new = AuthorityCertificate { der: vec![2], ..authority(2) };
    let rekeying = Rekeying { sealed: sealed(2, &both), authority: Some(new) };
    say(&mut state, NOW, Command::Rekey(Box::new(rekeying))).unwrap();
    for node in both {
        say(&mut state, NOW, Command::Renew { node, certificate: Box::new(certificate(2)) }).unwrap();
    }
    let forget = Command::ForgetAuthority { key: [1; 32] };
    assert_eq!(say(&mut state, NOW, forget.clone()), Err(Refused::AuthorityInUse));
    assert_eq!(say(&mut state, NOW, Command::RenewEdge { edge, certificate: Box::new(certificate(2)) }), Ok(true));
    assert_eq!(say(&mut state, NOW, forget), Ok(true));
    assert_eq!(say(&mut state, NOW, Command::RemoveEdge { edge }), Ok(true));
    assert_eq!(say(&mut state, NOW, Command::RemoveEdge { edge }), Ok(false));
    assert_eq!(say(&mut state, NOW, ask(4)), Err(Refused::Removed(edge)));
    assert!(state.edges.is_empty() && state.encode().unwrap()[0] == before.2[0], "without edges it is what it was");
}

#[test]
fn edges_are_bounded_and_those_that_nobody_approves_are_forgotten() {
    let mut state = founded();
    let expires_at = NOW.plus(TOKEN_LIFE_MAX);
    for at in 0..=EDGES_MAX {
        let id = [at as u8 + 10; 16];
        say(&mut state, NOW, Command::CreateToken { id, check: [0; 32], expires_at }).unwrap();
        let applicant = edge_of(&someone(&format!("edge-{at}")));
        let asked = say(&mut state, NOW, Command::AskEdge { applicant, token: id });
        assert_eq!(asked, if at < EDGES_MAX { Ok(true) } else { Err(too_many("edges", EDGES_MAX)) });
    }
    assert_eq!(say(&mut state, NOW.plus(PENDING_LIFE), Command::Expire), Ok(true));
    assert_eq!(state.edges.len(), 0);
}

#[test]
fn what_another_leader_has_decided_is_refused() {
    let mut state = founded();
    let proposal = |fence| Proposal { at: NOW, fence: Some(fence), command: ask(&SECOND, 2) };
    for other in
        [Leadership { term: 2, ..BY }, Leadership { term: 4, ..BY }, Leadership { leader: NodeId::new(8), ..BY }]
    {
        assert_eq!(state.apply(&proposal(other), BY), Err(Refused::OtherLeader));
    }
    assert_eq!(state.apply(&proposal(BY), BY), Ok(true));
}

#[test]
fn names_addresses_and_keys_are_looked_at() {
    let bad = |change: fn(&mut Applicant), what: &str| {
        let mut applicant = SECOND.clone();
        change(&mut applicant);
        assert_eq!(say(&mut founded(), NOW, ask(&applicant, 2)), Err(Refused::Invalid(what.to_owned())));
    };
    bad(|a| a.name = "Two".to_owned(), "name");
    bad(|a| a.name = String::new(), "name");
    bad(|a| a.name = "a".repeat(64), "name");
    bad(|a| a.peer_address = "nowhere".to_owned(), "address");
    bad(|a| a.peer_address = "host:0".to_owned(), "address");
    bad(|a| a.client_address = format!("{}:1", "a".repeat(ADDRESS_BYTES_MAX)), "address");
    bad(|a| a.version = "0.1.0\n".to_owned(), "version");
    bad(|a| a.node = NodeId::new(5), "node key");
    bad(|a| a.key.push(0), "node key");
    bad(|a| a.sealing.truncate(100), "sealing key");
    let namesake = Applicant { name: "one".to_owned(), ..SECOND.clone() };
    assert_eq!(say(&mut founded(), NOW, ask(&namesake, 2)), Err(Refused::NameTaken("one".to_owned())));
}

#[test]
fn pending_nodes_and_tokens_are_bounded_and_forgotten() {
    let mut state = founded();
    let expires_at = NOW.plus(TOKEN_LIFE_MAX);
    for at in state.tokens.len()..TOKENS_MAX {
        say(&mut state, NOW, Command::CreateToken { id: [at as u8 + 10; 16], check: [0; 32], expires_at }).unwrap();
    }
    let more = Command::CreateToken { id: [9; 16], check: [0; 32], expires_at };
    assert_eq!(say(&mut state, NOW, more), Err(too_many("join tokens", TOKENS_MAX)));
    for at in 0..=PENDING_MAX {
        let asked = say(&mut state, NOW, ask(&someone(&format!("node-{at}")), at as u8 + 12));
        let full = Err(too_many("nodes that wait for approval", PENDING_MAX));
        assert_eq!(asked, if at < PENDING_MAX { Ok(true) } else { full });
    }
    assert!(!state.is_expiring(NOW.plus(Duration::from_secs(59))));
    assert_eq!(say(&mut state, NOW.plus(PENDING_LIFE), Command::Expire), Ok(true));
    assert_eq!((state.members.len(), state.tokens.len()), (1, 0));
}

#[test]
fn commands_of_newer_programs_are_told_apart() {
    let proposal = Proposal { at: NOW, fence: None, command: Command::Expire };
    let encoded = proposal.encode().unwrap();
    assert_eq!(Proposal::decode(&encoded), Ok(proposal));
    let newer = [&[2], &encoded[1..]].concat();
    assert_eq!(Proposal::decode(&newer), Err(CommandError::NewerVersion { version: 2 }));
    let unknown = [&encoded[..encoded.len() - 1], &[99]].concat();
    assert_eq!(Proposal::decode(&unknown), Err(CommandError::Unknown));
    assert_eq!(Proposal::decode(&[&encoded[..], &[0]].concat()), Err(CommandError::Unknown), "something after it");
}

#[test]
fn a_state_that_cannot_be_is_not_read() {
    let mut state = pair();
    assert_eq!(ClusterState::decode(&state.encode().unwrap()), Ok(state.clone()));
    state.sealed.keys.remove(&SECOND.node);
    assert_eq!(ClusterState::decode(&state.encode().unwrap()), Err(BadState));
}
