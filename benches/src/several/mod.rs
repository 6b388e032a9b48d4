//! Several nodes that are one cluster, on PostgreSQL and Redis, with links that can be cut.
#![expect(clippy::expect_used, reason = "a harness that fails should stop")]

mod links;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use endtoend_testkit::{Edge, Node, NodeOptions, PATIENCE, cluster_command, eventually, nodes, text};
use endtoend_testkit_redis::{Network, Server as Redis};
use serde_json::Value;

pub use links::Links;
use links::Relay;

/// On addresses of loopback that nobody else has, so that any port will do.
const PORT: u16 = 7443;
/// Nodes are reached at the address that is so much further.
const RELAYS_FROM: u8 = 100;

/// How nodes are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Each by clients and by the others.
    Direct,
    /// By the others over links that can be cut.
    Relayed,
    /// That, and by clients through an edge that follows the cluster, and no other way.
    ByEdge,
}

/// Of the edge.
const EDGE: &str = "[limits]\nconnections_max = 300\n[times]\ncheck_interval_ms = 200\nslow_start_ms = 1\n";

/// What the nodes have in common. The nodes themselves are kept elsewhere.
#[derive(Debug)]
pub struct Several {
    /// Their Redis.
    pub redis: Redis,
    /// Between them, when they are relayed.
    pub links: Arc<Links>,
    store: String,
    network: Network,
    way: Way,
    /// Before them, when clients come that way.
    edge: Option<Edge>,
    count: usize,
    /// Of all of them, and of one that visits.
    names: Vec<String>,
    _relays: Vec<Relay>,
}

impl Several {
    /// Starts them: the first founds the cluster, the others join and are approved. An edge is let in at the end.
    ///
    /// # Panics
    /// When one does not start.
    pub fn start(count: usize, store: &str, way: Way) -> (Vec<Node>, Self) {
        let network = Network::own();
        let links = Arc::new(Links::new(count + 1));
        let names = (1..=count + 1).map(|number| format!("node-{number}")).collect();
        let (redis, store) = (Redis::start(), store.to_owned());
        let mut several = Self { redis, links, store, network, way, edge: None, count, names, _relays: Vec::new() };
        if way != Way::Direct {
            let relay = |number| Relay::start(several.reached(number), several.listens(number), number, &several.links);
            several._relays = (0..=count).map(relay).collect();
        }
        let mut started = vec![Node::start(several.options(0))];
        for number in 1..count {
            let joined = started.first().map(|seed| several.join(number, seed));
            started.extend(joined);
        }
        for (number, node) in started.iter().enumerate() {
            several.links.runs_as(number, node.pid());
        }
        if way == Way::ByEdge {
            several.edge = started.first().map(|seed| several.let_edge_in(seed, &started));
        }
        (started, several)
    }

    /// An edge that sends clients to all of these.
    fn let_edge_in(&self, seed: &Node, all: &[Node]) -> Edge {
        let token = decided(seed.data_dir(), &["token", "create", "--edge"]);
        let edge = Edge::follow(EDGE, &(self.reached(0).to_string(), text(&token, "token")));
        // It asks before it can be approved.
        decided(seed.data_dir(), &["approve", "edge-1"]);
        edge.answers();
        let up = |number| text(&edge.server(self.name(number)), "state").starts_with("UP");
        eventually(PATIENCE, "all nodes behind the edge", || (0..all.len()).all(up));
        edge
    }

    /// Where clients come in, when they all come there.
    pub fn entry(&self) -> Option<SocketAddr> {
        self.edge.as_ref().map(Edge::listen)
    }

    /// What stands before the nodes.
    pub const fn edge(&mut self) -> Option<&mut Edge> {
        self.edge.as_mut()
    }

    /// The number of a node beyond those that there are from the beginning: it may come and go.
    pub const fn visitor(&self) -> usize {
        self.count
    }

    /// A node of this number asks a node of the cluster to let it in, waits, is approved there, and serves.
    ///
    /// # Panics
    /// When it does not.
    pub fn join(&self, number: usize, seed: &Node) -> Node {
        // The first one is reached by all of them.
        let (at, data) = (self.reached(0).to_string(), seed.data_dir());
        let token = decided(data, &["token", "create"]);
        let begun = Node::begin(self.options(number).joining(&at, &text(&token, "token")));
        self.links.runs_as(number, begun.pid());
        decided(data, &["approve", &begun.pending()]);
        begun.ready().expect("it is ready")
    }

    fn options(&self, number: usize) -> NodeOptions {
        let mut options = NodeOptions::without_limits().in_cluster(
            self.name(number),
            self.listens(number),
            &self.store,
            &self.redis.url(),
        );
        options.environment.extend([
            ("ENDTOEND_CLUSTER__ADDRESS", self.reached(number).to_string()),
            ("ENDTOEND_GATEWAY__DRAIN_SECONDS", "5".to_owned()),
        ]);
        if self.way == Way::ByEdge {
            return options.behind_an_edge();
        }
        options
    }

    fn listens(&self, number: usize) -> SocketAddr {
        self.address(number, 0)
    }

    /// Where the others reach it.
    fn reached(&self, number: usize) -> SocketAddr {
        self.address(number, if self.way != Way::Direct { RELAYS_FROM } else { 0 })
    }

    fn address(&self, number: usize, from: u8) -> SocketAddr {
        let last = u8::try_from(number + 1).expect("a few nodes");
        SocketAddr::from((self.network.address(last + from), PORT))
    }

    /// The number of the leader, as this node sees it.
    pub fn leader(&self, of: &Node) -> Option<usize> {
        let status = ask(of.data_dir(), &["status"])?;
        let (leader, all) = (text(&status, "leader"), nodes(&status));
        let leader = all.iter().find(|node| text(node, "id") == leader)?;
        self.names.iter().position(|known| *known == text(leader, "name"))
    }

    /// What a node is called.
    pub fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", String::as_str)
    }

    /// Every direction between a node and the others that begins or ends there.
    pub fn directions(&self, node: usize, outward: bool, inward: bool) -> Vec<(usize, usize)> {
        let others = (0..self.count).filter(|other| *other != node);
        others
            .flat_map(|other| [(outward, (node, other)), (inward, (other, node))])
            .filter_map(|(is, way)| is.then_some(way))
            .collect()
    }
}

/// Runs `endtoend cluster …` at a node; `None` when it fails.
pub fn ask(data: &Path, arguments: &[&str]) -> Option<Value> {
    let mut outcome = cluster_command(data, arguments);
    if outcome.code != Some(0) {
        eprintln!("{arguments:?}: {:?}", outcome.lines);
        return None;
    }
    outcome.lines.pop()
}

/// The same, asked again until it is done: for some moments nobody may lead.
///
/// # Panics
/// When that does not come.
pub fn decided(data: &Path, arguments: &[&str]) -> Value {
    let mut answer = None;
    eventually(PATIENCE, &format!("{arguments:?} of a cluster"), || {
        answer = ask(data, arguments);
        answer.is_some()
    });
    answer.expect("it has come")
}
