//! Every way to join that must be refused.

use std::time::Duration;

use super::*;
use crate::control::{Admission, Command, Founding, Leadership, Proposal, Settings, Timings};
use crate::{Authority, ClusterKey, LINK_AUTHORITY};

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);
const HERE: Exporter = [1; 32];
const ELSEWHERE: Exporter = [2; 32];

/// A cluster of one, as one who has all its secrets sees it.
struct Cluster {
    state: ClusterState,
    key: ClusterKey,
    authority: Authority,
}

impl Cluster {
    fn found(byte: u8) -> Self {
        let rng = &mut rand::rng();
        let (keys, pkcs8) = (NodeKeys::generate(rng).unwrap(), Authority::new_key().unwrap());
        let (cluster, authority) = (ClusterId::new([byte; 16]), Authority::from_key(&pkcs8).unwrap());
        let mut secrets = Secrets::default();
        secrets.put(LINK_AUTHORITY, &pkcs8).unwrap();
        let key = ClusterKey::generate(rng, cluster, 1);
        let sealing = keys.sealing().public();
        let founding = Founding {
            cluster,
            settings: Settings { name: "home".to_owned(), auto_approve: false, timings: Timings::LAN },
            founder: profile("one").applicant(&keys),
            certificate: authority.issue(&keys.key(), NOW).unwrap(),
            authority: authority.certificate().clone(),
            sealed: key.seal(rng, &secrets, [(keys.node(), sealing.as_slice())].into_iter()).unwrap(),
        };
        let mut cluster = Self { state: ClusterState::default(), key, authority };
        cluster.say(Command::Found(Box::new(founding))).unwrap();
        cluster
    }

    fn say(&mut self, command: Command) -> Result<bool, Refused> {
        let by = Leadership { term: 1, leader: crate::NodeId::new(1) };
        self.state.apply(&Proposal { at: NOW, fence: None, command }, by)
    }

    fn token(&mut self) -> JoinToken {
        let token = JoinToken::generate(&mut rand::rng(), self.authority.certificate().key);
        let expires_at = NOW.plus(Duration::from_secs(60));
        self.say(Command::CreateToken { id: token.id(), check: token.check(), expires_at }).unwrap();
        token
    }

    fn judge(&self, request: &[u8]) -> Result<Judged, JoinRefusal> {
        judge(request, &HERE, &self.state, NOW)
    }

    /// Asks and is put into the log.
    fn ask(&mut self, keys: &NodeKeys, token: &JoinToken) {
        let asked = self.judge(&request(keys, &profile("two"), Some(token), &HERE).unwrap()).unwrap();
        let Judged::Ask { applicant, token } = asked else { panic!("{asked:?}") };
        self.say(Command::Ask { applicant, token }).unwrap();
    }

    fn approve(&mut self, keys: &NodeKeys) {
        let admission = Admission {
            certificate: self.authority.issue(&keys.key(), NOW).unwrap(),
            generation: 1,
            sealed_key: self.key.seal_for(&mut rand::rng(), keys.node(), &keys.sealing().public()).unwrap(),
        };
        self.say(Command::Approve { node: keys.node(), admission: Box::new(admission) }).unwrap();
    }

    fn admitted(&self) -> Admitted {
        Admitted { index: 9, state: self.state.encode().unwrap() }
    }
}

fn profile(name: &str) -> Profile {
    Profile {
        name: name.to_owned(),
        peer_address: "host.example:7443".to_owned(),
        client_address: "host.example:443".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

fn keys() -> NodeKeys {
    NodeKeys::generate(&mut rand::rng()).unwrap()
}

fn refused(refused: Refused) -> Result<Judged, JoinRefusal> {
    Err(JoinRefusal::Refused(refused))
}

#[test]
fn a_node_with_a_token_asks_waits_and_gets_what_it_needs() {
    let mut cluster = Cluster::found(1);
    let (token, keys) = (cluster.token(), keys());
    cluster.ask(&keys, &token);
    let again = request(&keys, &profile("two"), Some(&token), &HERE).unwrap();
    let stands = |state| Ok(Judged::Known(state, Box::new(profile("two").applicant(&keys))));
    assert_eq!(cluster.judge(&again), stands(MemberState::Pending));
    let early = cluster.admitted().check(&keys, Some(token.authority()), None).map(|_| ());
    assert_eq!(early, Err(BadAdmission::NotAdmitted), "nobody has approved it");
    cluster.approve(&keys);
    assert_eq!(cluster.judge(&again), stands(MemberState::Joining));
    let reply = JoinReply::Admitted(Box::new(cluster.admitted()));
    assert_eq!(JoinReply::decode(&reply.encode()), Ok(reply));
    let (state, secrets) = cluster.admitted().check(&keys, Some(token.authority()), None).unwrap();
    assert_eq!(state, cluster.state);
    let authority = Authority::from_key(secrets.get(LINK_AUTHORITY).unwrap()).unwrap();
    assert_eq!(authority.certificate().key, token.authority());
    // Later it asks without a token what has changed.
    let back = request(&keys, &profile("two"), None, &HERE).unwrap();
    assert_eq!(cluster.judge(&back), stands(MemberState::Joining));
}

#[test]
fn wrong_used_and_expired_tokens_are_refused() {
    let mut cluster = Cluster::found(1);
    let (token, other) = (cluster.token(), cluster.token());
    let (first, second) = (keys(), keys());
    let ask = |keys: &NodeKeys, token: &JoinToken| request(keys, &profile("two"), Some(token), &HERE).unwrap();
    let foreign = JoinToken::generate(&mut rand::rng(), token.authority());
    assert_eq!(cluster.judge(&ask(&first, &foreign)), refused(Refused::UnknownToken));
    // The id of one token with the secret of another.
    let (mine, theirs) = (token.to_string(), other.to_string());
    let mixed: JoinToken = [&mine[..14 + 32], &theirs[14 + 32..]].concat().parse().unwrap();
    assert_eq!((mixed.id(), mixed.check() == token.check()), (token.id(), false));
    assert_eq!(cluster.judge(&ask(&first, &mixed)), refused(Refused::UnknownToken), "a wrong secret");
    let late = judge(&ask(&first, &token), &HERE, &cluster.state, NOW.plus(Duration::from_secs(60)));
    assert_eq!(late, refused(Refused::TokenExpired));
    cluster.ask(&first, &token);
    assert_eq!(cluster.judge(&ask(&second, &token)), refused(Refused::TokenUsed));
}

#[test]
fn who_waits_goes_on_with_another_token_after_the_authority_of_the_first_was_replaced() {
    let mut cluster = Cluster::found(1);
    let (token, other, keys) = (cluster.token(), cluster.token(), keys());
    cluster.ask(&keys, &token);
    let again = request(&keys, &profile("two"), Some(&other), &HERE).unwrap();
    let stands = |state| Ok(Judged::Known(state, Box::new(profile("two").applicant(&keys))));
    assert_eq!(cluster.judge(&again), stands(MemberState::Pending));
    let late = judge(&again, &HERE, &cluster.state, NOW.plus(Duration::from_secs(60)));
    assert_eq!(late, refused(Refused::TokenExpired));
    cluster.approve(&keys);
    assert_eq!(cluster.judge(&again), stands(MemberState::Joining));
    // It was not used up, and is good for somebody else.
    let next = request(&self::keys(), &profile("three"), Some(&other), &HERE).unwrap();
    assert!(matches!(cluster.judge(&next), Ok(Judged::Ask { .. })), "{:?}", cluster.judge(&next));
}

#[test]
fn a_request_is_worth_nothing_on_another_connection_or_when_changed() {
    let mut cluster = Cluster::found(1);
    let (token, keys) = (cluster.token(), keys());
    let honest = request(&keys, &profile("two"), Some(&token), &HERE).unwrap();
    assert_eq!(judge(&honest, &ELSEWHERE, &cluster.state, NOW), Err(JoinRefusal::BadSignature), "a replay");
    for at in 0..honest.len() {
        let mut bent = honest.clone();
        bent[at] ^= 1;
        assert!(cluster.judge(&bent).is_err(), "byte {at}");
        assert_eq!(cluster.judge(&honest[..at]), Err(JoinRefusal::Malformed), "{at} bytes");
    }
    assert_eq!(cluster.judge(&[&honest[..], &[0]].concat()), Err(JoinRefusal::Malformed));
    assert_eq!(cluster.judge(&vec![VERSION; REQUEST_BYTES_MAX + 1]), Err(JoinRefusal::Malformed));
    assert!(cluster.judge(&honest).is_ok());
}

#[test]
fn who_was_removed_is_refused_with_and_without_a_token() {
    let mut cluster = Cluster::found(1);
    let (token, fresh, keys) = (cluster.token(), cluster.token(), keys());
    cluster.ask(&keys, &token);
    cluster.say(Command::Reject { node: keys.node() }).unwrap();
    for token in [None, Some(&token), Some(&fresh)] {
        let back = request(&keys, &profile("two"), token, &HERE).unwrap();
        assert_eq!(cluster.judge(&back), refused(Refused::Removed(keys.node())));
    }
}

#[test]
fn a_stranger_and_a_pending_node_are_told_nothing_without_a_token() {
    let mut cluster = Cluster::found(1);
    let (token, keys) = (cluster.token(), keys());
    let plain = request(&keys, &profile("two"), None, &HERE).unwrap();
    assert_eq!(cluster.judge(&plain), refused(Refused::UnknownNode(keys.node())));
    cluster.ask(&keys, &token);
    assert_eq!(cluster.judge(&plain), refused(Refused::UnknownNode(keys.node())));
}

#[test]
fn an_answer_of_another_cluster_or_for_another_node_is_refused() {
    let (mut cluster, mut other) = (Cluster::found(1), Cluster::found(2));
    let (token, theirs, keys) = (cluster.token(), other.token(), keys());
    for (cluster, token) in [(&mut cluster, &token), (&mut other, &theirs)] {
        cluster.ask(&keys, token);
        cluster.approve(&keys);
    }
    let check = |admitted: Admitted, keys: &NodeKeys| admitted.check(keys, Some(token.authority()), None).map(|_| ());
    assert_eq!(check(cluster.admitted(), &keys), Ok(()));
    assert_eq!(check(other.admitted(), &keys), Err(BadAdmission::OtherCluster));
    assert_eq!(check(cluster.admitted(), &self::keys()), Err(BadAdmission::NotAdmitted));
    let mine = cluster.state.cluster();
    assert_eq!(other.admitted().check(&keys, None, mine).map(|_| ()), Err(BadAdmission::OtherCluster));
    let garbage = Admitted { index: 1, state: vec![1, 2, 3] };
    assert_eq!(check(garbage, &keys), Err(BadAdmission::Malformed));
}
