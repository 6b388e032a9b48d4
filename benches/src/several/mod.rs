//! Several nodes that are one cluster, on PostgreSQL and Redis, with links that can be cut.
#![expect(clippy::expect_used, reason = "a harness that fails should stop")]

mod links;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use endtoend_testkit::{Node, NodeOptions, cluster_command, nodes, text};
use endtoend_testkit_redis::Server as Redis;
use rand::RngExt as _;
use serde_json::Value;

pub use links::Links;
use links::Relay;

/// On addresses of loopback that nobody else has, so that any port will do.
const PORT: u16 = 7443;
/// Nodes are reached at the address that is so much further.
const RELAYS_FROM: u8 = 100;

/// What the nodes have in common. The nodes themselves are kept elsewhere.
#[derive(Debug)]
pub struct Several {
    /// Their Redis.
    pub redis: Redis,
    /// Between them, when they are relayed.
    pub links: Arc<Links>,
    names: Vec<String>,
    _relays: Vec<Relay>,
}

impl Several {
    /// Starts them: the first founds the cluster, the others join and are approved. `relayed`: their links can be cut.
    ///
    /// # Panics
    /// When one does not start.
    pub fn start(count: usize, store: &str, relayed: bool) -> (Vec<Node>, Self) {
        let redis = Redis::start();
        let (first, second) = own_network();
        let at = |number: usize| {
            let last = u8::try_from(number + 1).expect("a few nodes");
            let address = |last| SocketAddr::from((Ipv4Addr::new(127, first, second, last), PORT));
            (address(last), address(if relayed { last + RELAYS_FROM } else { last }))
        };
        let links = Arc::new(Links::new(count));
        let relayed = if relayed { 0..count } else { 0..0 };
        let relays = relayed.map(|number| Relay::start(at(number).1, at(number).0, number, &links)).collect();
        let names: Vec<String> = (1..=count).map(|number| format!("node-{number}")).collect();
        let options = |number: usize| {
            let (listen, address) = at(number);
            let name = names.get(number).map_or("", String::as_str);
            let mut options = NodeOptions::without_limits().in_cluster(name, listen, store, &redis.url());
            options.environment.extend([
                ("ENDTOEND_CLUSTER__ADDRESS", address.to_string()),
                ("ENDTOEND_GATEWAY__DRAIN_SECONDS", "5".to_owned()),
            ]);
            options
        };
        let mut started = vec![Node::start(options(0))];
        for number in 1..count {
            let Some(seed) = started.first() else { break };
            let token = ask(seed.data_dir(), &["token", "create"]).expect("a token");
            let begun = Node::begin(options(number).joining(&at(0).1.to_string(), &text(&token, "token")));
            ask(seed.data_dir(), &["approve", &begun.pending()]).expect("approved");
            started.push(begun.ready().expect("it is ready"));
        }
        let several = Self { redis, links, names, _relays: relays };
        for (number, node) in started.iter().enumerate() {
            several.links.runs_as(number, node.pid());
        }
        (started, several)
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
        let others = (0..self.names.len()).filter(|other| *other != node);
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

/// Loopback has 65 000 networks of 256 addresses; one of which nobody has the first.
fn own_network() -> (u8, u8) {
    loop {
        let mut rng = rand::rng();
        let (first, second) = (rng.random_range(1..255), rng.random_range(1..255));
        if TcpListener::bind((Ipv4Addr::new(127, first, second, 1), PORT)).is_ok() {
            return (first, second);
        }
    }
}
