//! Edges on a cluster in one process: how they ask, and what they may know.

use std::collections::BTreeMap;

use super::*;
use crate::join::{Exporter, JoinRefusal};
use crate::{ClusterView, Member, MemberState, NodeId};

const HERE: Exporter = [1; 32];

fn keys() -> NodeKeys {
    NodeKeys::generate(&mut rand::rng()).unwrap()
}

#[test]
fn words_are_read_back_and_nothing_else_is_any() {
    let refused = EdgeReply::Refused(JoinRefusal::Malformed);
    assert_eq!(EdgeReply::decode(&refused.encode()), Ok(refused));
    let node_reply = crate::join::JoinReply::Pending.encode();
    assert_eq!(EdgeReply::decode(&node_reply), Err(BadNews), "what a node hears");
    let answer = EdgeAnswer::Still { led: true };
    let encoded = postcard::to_stdvec(&answer).unwrap();
    assert_eq!(EdgeAnswer::decode(&encoded), Ok(answer));
    assert_eq!(EdgeAnswer::decode(&[&encoded[..], &[0]].concat()), Err(BadNews));
    assert_eq!(EdgeQuestion::decode(&[0]), Ok(EdgeQuestion::Follow));
    for other in [&[][..], &[1], &[0, 0]] {
        assert_eq!(EdgeQuestion::decode(other), Err(BadNews), "{other:?}");
    }
}

#[test]
fn an_edge_is_told_of_those_who_serve_and_only_when_it_is_approved() {
    let (edge_keys, node_keys) = (keys(), keys());
    let (edge, node) = (edge_keys.node(), node_keys.node());
    let member = Member {
        name: "one".to_owned(),
        state: MemberState::Joining,
        key: node_keys.key(),
        peer_address: "192.0.2.1:7443".to_owned(),
        client_address: "chat.example:443".to_owned(),
        version: "0.1.0".to_owned(),
    };
    let mut view = ClusterView { members: [(node, member)].into(), edge_generation: 5, ..ClusterView::default() };
    let waiting = Edge {
        name: "edge".to_owned(),
        key: edge_keys.key(),
        version: "0.1.0".to_owned(),
        certificate: None,
        since: UnixMillis::new(1),
        token: [1; 16],
    };
    let offer = Offer { clients: "192.0.2.1:8443".to_owned(), ready: None };
    let offers = BTreeMap::from([(node, offer.clone())]);
    assert_eq!(of(&view, edge, &offers), None, "a stranger");
    view.edges.insert(edge, waiting.clone());
    assert_eq!(of(&view, edge, &offers), None, "nobody has approved it");
    let certificate = NodeCertificate { der: vec![1], authority: [1; 32], not_after: UnixMillis::new(2) };
    view.edges.insert(edge, Edge { certificate: Some(certificate), ..waiting });
    let nodes = |view: &ClusterView| of(view, edge, &offers).unwrap().nodes;
    assert_eq!(nodes(&view).len(), 0, "one that joins serves nobody yet");
    for (state, draining) in [(MemberState::Active, false), (MemberState::Draining, true)] {
        view.members.get_mut(&node).unwrap().state = state;
        let told = nodes(&view).remove(&node).unwrap();
        assert_eq!((told.draining, told.offer.as_ref()), (draining, Some(&offer)));
    }
    let news = of(&view, edge, &offers).unwrap();
    assert_eq!((news.generation, EdgeNews::decode(&news.encode())), (5, Ok(news.clone())));
    assert_eq!(EdgeNews::decode(&[&news.encode()[..], &[0]].concat()), Err(BadNews));
    assert_eq!(EdgeNews::decode(&vec![1; EDGE_NEWS_BYTES_MAX + 1]), Err(BadNews));
}

#[test]
fn a_request_is_worth_nothing_on_another_connection_or_as_that_of_a_node() {
    let (keys, profile) = (keys(), EdgeProfile { name: "edge".to_owned(), version: "0.1.0".to_owned() });
    let state = crate::control::ClusterState::default();
    let asked = request(&keys, &profile, None, &HERE).unwrap();
    let now = UnixMillis::new(1);
    let unknown = JoinRefusal::Refused(crate::control::Refused::UnknownNode(keys.node()));
    assert_eq!(judge(&asked, &HERE, &state, now), Err(unknown), "it is understood");
    assert_eq!(judge(&asked, &[2; 32], &state, now), Err(JoinRefusal::BadSignature), "a replay");
    assert_eq!(crate::join::judge(&asked, &HERE, &state, now), Err(JoinRefusal::Malformed));
    let as_node = [&[1], &asked[1..]].concat();
    assert!(crate::join::judge(&as_node, &HERE, &state, now).is_err());
    for at in 0..asked.len() {
        let mut bent = asked.clone();
        bent[at] ^= 1;
        assert!(!matches!(judge(&bent, &HERE, &state, now), Err(JoinRefusal::Refused(_))), "byte {at}");
    }
    assert_eq!(NodeId::of_key(&keys.key()), keys.node());
}
