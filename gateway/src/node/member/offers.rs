//! Where edges reach the nodes: each says it itself, and whom an edge follows asks the others.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use endtoend_cluster::edge::Offer;
use endtoend_cluster::{MemberState, NodeId};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use super::Membership;

/// How often nodes are asked while an edge follows this one: a node that was started anew may listen elsewhere.
const ASK_EACH: Duration = Duration::from_millis(500);
/// And while one that there is a link to has not said where it takes clients: so many times, since one of an older version never
/// will.
const ASK_SOON: Duration = Duration::from_millis(50);
const SOON_MAX: u32 = 20;

impl Membership {
    /// Edges may send clients to where this node listens.
    pub(in crate::node) fn open_for_edges(&self, clients: SocketAddr, admin: Option<SocketAddr>) {
        self.reports.open_for(offer(clients, admin, &self.peer_address));
    }

    /// Keeps in mind what the nodes have said, while there is an edge to tell it to. Until it is dropped.
    pub(in crate::node) async fn keep_offers(self: Arc<Self>) {
        let mut view = self.control.view();
        let mut soon = 0_u32;
        while !self.control.has_stopped() {
            let serve: Vec<NodeId> = {
                let view = view.borrow_and_update();
                let all = view.members.iter().filter(|(_, member)| member.state != MemberState::Pending);
                all.map(|(node, _)| *node).collect()
            };
            let silent = match self.offers.receiver_count() {
                0 => false,
                _ => self.ask_all(&serve).await,
            };
            soon = if silent { soon.saturating_add(1) } else { 0 };
            // Changes of the log may come in great numbers.
            sleep(ASK_SOON).await;
            if !silent || soon > SOON_MAX {
                // Both ends of it are as good.
                let _ = timeout(ASK_EACH, view.changed()).await;
            }
        }
    }

    /// Whether somebody who was asked did not say.
    async fn ask_all(&self, nodes: &[NodeId]) -> bool {
        let me = self.control.node();
        let health = self.links.health();
        let linked = |node: &NodeId| health.get(node).is_some_and(|health| health.connected_for.is_some());
        let asked = nodes.iter().filter(|node| **node == me || linked(node));
        let mut answers: FuturesUnordered<_> = asked
            .map(async |node| {
                let report = match *node == me {
                    true => Some(self.reports.own()),
                    false => self.reports.of(*node, &self.links).await,
                };
                (*node, report.and_then(|report| report.offer()))
            })
            .collect();
        let mut silent = false;
        while let Some((node, offer)) = answers.next().await {
            let Some(offer) = offer else {
                silent = true;
                continue;
            };
            self.offers.send_if_modified(|offers| offers.insert(node, offer.clone()).as_ref() != Some(&offer));
        }
        self.offers.send_if_modified(|offers| {
            let before = offers.len();
            offers.retain(|node, _| nodes.contains(node));
            offers.len() != before
        });
        silent
    }
}

/// Whether `HOST:PORT` is reached from its own machine alone.
pub(crate) fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host == "localhost",
    }
}

/// Where a node is reached that listens there, and that other nodes reach at `peer_address`.
fn offer(clients: SocketAddr, admin: Option<SocketAddr>, peer_address: &str) -> Offer {
    let host = peer_address.rsplit_once(':').map_or(peer_address, |(host, _)| host);
    let here = is_loopback(peer_address);
    let reached = |listen: SocketAddr| match listen.ip() {
        ip if ip.is_unspecified() => format!("{host}:{}", listen.port()),
        _ => listen.to_string(),
    };
    // On loopback only this machine asks it.
    let ready = admin.filter(|admin| here || !admin.ip().is_loopback());
    Offer { clients: reached(clients), ready: ready.map(reached) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_reached_where_it_listens_or_where_other_nodes_reach_it() {
        let at = |clients: &str, admin: Option<&str>, peer: &str| {
            let Offer { clients, ready } =
                offer(clients.parse().unwrap(), admin.map(|admin| admin.parse().unwrap()), peer);
            (clients, ready.unwrap_or_default())
        };
        let told = |clients: &str, ready: &str| (clients.to_owned(), ready.to_owned());
        assert_eq!(at("10.0.0.1:8443", Some("10.0.0.1:1"), "n1:7443"), told("10.0.0.1:8443", "10.0.0.1:1"));
        assert_eq!(at("0.0.0.0:8443", Some("[::]:1"), "n1.example:7443"), told("n1.example:8443", "n1.example:1"));
        assert_eq!(at("[::]:8443", None, "[2001:db8::1]:7443"), told("[2001:db8::1]:8443", ""));
        assert_eq!(at("0.0.0.0:8443", Some("127.0.0.1:1"), "n1:7443"), told("n1:8443", ""), "nobody else asks there");
        assert_eq!(at("127.0.0.1:8443", Some("127.0.0.1:1"), "127.0.0.1:7443"), told("127.0.0.1:8443", "127.0.0.1:1"));
    }
}
