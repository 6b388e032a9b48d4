//! What news of a cluster mean for HAProxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use endtoend_cluster::edge::EdgeNews;
use endtoend_haproxy::{Checks, Member, MemberState, Membership, Name, Weight};

use crate::node::is_loopback;

/// Which nodes are behind the edge, and why others are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) membership: Membership,
    /// In words, for an operator.
    pub(super) left_out: Vec<String>,
}

/// News of a node that has not said where it is reached, as one that has just started, say what was heard of it before.
pub(super) fn with_offers_of(mut news: EdgeNews, before: &EdgeNews) -> EdgeNews {
    for (id, node) in &mut news.nodes {
        if node.offer.is_none() {
            node.offer = before.nodes.get(id).and_then(|before| before.offer.clone());
        }
    }
    news
}

/// `address_of` knows the addresses of names, `before` who was behind the edge. One node that cannot be reached, or says what cannot
/// be, keeps no other from being known.
pub(super) fn behind(
    news: &EdgeNews,
    checks: Checks,
    weights: &BTreeMap<Name, Weight>,
    address_of: impl Fn(&str) -> Option<SocketAddr>,
    before: &Membership,
) -> Behind {
    let mut behind = Behind::default();
    behind.membership.generation = news.generation;
    let mut members: Vec<(Name, Member)> = Vec::new();
    for node in news.nodes.values() {
        let member = (|| {
            let name: Name = node.name.parse().map_err(|_| "its name is none for HAProxy".to_owned())?;
            let offer = node.offer.as_ref().ok_or("it has not said yet where it takes clients")?;
            if is_loopback(&offer.clients) && !is_loopback(&node.peer_address) {
                return Err(format!(
                    "{} is reached from its own machine alone: set [gateway] listen there to an address that the edge reaches",
                    offer.clients
                ));
            }
            let address_of = |text: &str| address_of(text).ok_or(format!("{text} has no address"));
            let ready = match (checks, &offer.ready) {
                (Checks::Connect, _) => None,
                (Checks::Ready, Some(ready)) => Some(address_of(ready)?),
                (Checks::Ready, None) => {
                    return Err(
                        "it has no admin listener that the edge reaches: set [admin] listen and beyond_loopback \
                                there, or checks = \"connect\" here"
                            .to_owned(),
                    );
                }
            };
            let state = if node.draining { MemberState::Draining } else { MemberState::Active };
            let weight = weights.get(&name).copied().unwrap_or_default();
            let member = Member { address: address_of(&offer.clients)?, ready, state, weight };
            member.validate(&name).map_err(|error| error.to_string())?;
            Ok((name, member))
        })();
        match member {
            Ok(member) => members.push(member),
            Err(why) => behind.left_out.push(format!("{} is left out: {why}", node.name)),
        }
    }
    // Of two with one address it is whose it was.
    members.sort_by_key(|(name, member)| before.members.get(name).is_none_or(|was| was.address != member.address));
    for (name, member) in members {
        let known = &mut behind.membership.members;
        match known.iter().find(|(_, known)| known.address == member.address).map(|(known, _)| known.clone()) {
            None => {
                known.insert(name, member);
            }
            Some(other) => behind.left_out.push(format!("{name} is left out: {} is {other}'s, too", member.address)),
        }
    }
    behind
}

#[cfg(test)]
pub(super) mod tests {
    use endtoend_cluster::edge::{EdgeNode, Offer};
    use endtoend_cluster::{AuthorityCertificate, ClusterId, NodeCertificate, NodeId};
    use endtoend_protocol::UnixMillis;

    use super::*;

    pub(in super::super) fn news() -> EdgeNews {
        let node = |name: &str, port: u16| EdgeNode {
            name: name.to_owned(),
            key: vec![1],
            peer_address: format!("192.0.2.1:{port}"),
            offer: Some(Offer { clients: format!("192.0.2.2:{port}"), ready: Some(format!("a.example:{port}")) }),
            draining: false,
        };
        EdgeNews {
            cluster: ClusterId::new([7; 16]),
            generation: 9,
            authorities: vec![AuthorityCertificate { der: vec![1], key: [1; 32] }],
            certificate: NodeCertificate { der: vec![2], authority: [1; 32], not_after: UnixMillis::new(3) },
            nodes: [(NodeId::new(1), node("a", 1)), (NodeId::new(2), node("b", 2))].into(),
        }
    }

    fn resolved(text: &str) -> Option<SocketAddr> {
        text.parse().ok().or_else(|| text.replace("a.example", "192.0.2.9").parse().ok())
    }

    #[test]
    fn nodes_are_behind_the_edge_where_they_say_and_as_they_stand() {
        let mut news = news();
        news.nodes.get_mut(&NodeId::new(2)).unwrap().draining = true;
        let weights = [("b".parse().unwrap(), Weight::try_from(7).unwrap())].into();
        let Behind { membership, left_out } = behind(&news, Checks::Ready, &weights, resolved, &Membership::default());
        assert_eq!((membership.generation, left_out), (9, Vec::new()));
        let [a, b] = ["a", "b"].map(|name| membership.members[&name.parse().unwrap()].clone());
        assert_eq!((a.address, a.ready), ("192.0.2.2:1".parse().unwrap(), Some("192.0.2.9:1".parse().unwrap())));
        assert_eq!((a.state, a.weight, b.state), (MemberState::Active, Weight::USUAL, MemberState::Draining));
        assert_eq!(b.weight.get(), 7);
        let connects = behind(&news, Checks::Connect, &weights, resolved, &membership).membership;
        assert_eq!(connects.members[&"a".parse().unwrap()].ready, None);
    }

    #[test]
    fn one_that_cannot_be_reached_is_left_out_alone_and_it_is_said_why() {
        let mut news = news();
        let before = news.clone();
        let a = news.nodes.get_mut(&NodeId::new(1)).unwrap();
        a.offer = None;
        let left_out = |news: &EdgeNews, resolve: fn(&str) -> Option<SocketAddr>| {
            let Behind { membership, left_out } =
                behind(news, Checks::Ready, &BTreeMap::new(), resolve, &Membership::default());
            (membership.members.len(), left_out.join("\n"))
        };
        let (count, why) = left_out(&news, resolved);
        assert!(count == 1 && why.contains("a is left out: it has not said"), "{why}");
        assert_eq!(left_out(&with_offers_of(news.clone(), &before), resolved).0, 2, "it was heard before");
        let a = news.nodes.get_mut(&NodeId::new(1)).unwrap();
        a.offer = Some(Offer { clients: "192.0.2.2:1".to_owned(), ready: None });
        let (count, why) = left_out(&news, resolved);
        assert!(count == 1 && why.contains("beyond_loopback"), "{why}");
        let (count, why) = left_out(&before, |text| text.parse().ok());
        assert!(count == 0 && why.contains("a.example:1 has no address"), "{why}");
    }

    #[test]
    fn one_that_says_what_cannot_be_is_left_out_alone() {
        for bad in ["0.0.0.0:1", "[::]:1", "224.0.0.1:1", "192.0.2.2:0", "127.0.0.1:1", "localhost:1"] {
            let mut news = news();
            news.nodes.get_mut(&NodeId::new(1)).unwrap().offer =
                Some(Offer { clients: bad.to_owned(), ready: Some("a.example:1".to_owned()) });
            let address_of = |text: &str| resolved(&text.replace("localhost", "127.0.0.1"));
            let behind = |news: &EdgeNews| {
                super::behind(news, Checks::Ready, &BTreeMap::new(), address_of, &Membership::default())
            };
            let Behind { membership, left_out } = behind(&news);
            let names: Vec<String> = membership.members.keys().map(Name::to_string).collect();
            assert!(names == ["b"] && left_out.len() == 1, "{bad}: {names:?}, {left_out:?}");
            assert!(left_out[0].starts_with("a is left out: ") && left_out[0].contains(bad), "{left_out:?}");
            // On the edge's own machine a node may listen on loopback alone.
            news.nodes.get_mut(&NodeId::new(1)).unwrap().peer_address = "localhost:7".to_owned();
            assert_eq!(behind(&news).membership.members.len() == 2, is_loopback(bad), "{bad}");
        }
    }

    #[test]
    fn of_two_with_one_address_it_is_whose_it_was() {
        let mut news = news();
        let said = |news: &EdgeNews, before: &Membership| {
            let Behind { membership, left_out } = behind(news, Checks::Ready, &BTreeMap::new(), resolved, before);
            (membership.members.keys().map(Name::to_string).collect::<Vec<_>>(), left_out.join("\n"), membership)
        };
        let (_, _, before) = said(&news, &Membership::default());
        let b = news.nodes[&NodeId::new(2)].offer.clone();
        news.nodes.get_mut(&NodeId::new(1)).unwrap().offer = b;
        let (names, why, _) = said(&news, &before);
        assert!(names == ["b"] && why.contains("a is left out: 192.0.2.2:2 is b's, too"), "{names:?}: {why}");
        assert_eq!(said(&news, &Membership::default()).0, ["a"], "nobody's so far");
    }
}
