//! Several nodes on one PostgreSQL and one Redis.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use rand::RngExt as _;
use serde_json::Value;

use crate::cli::{Outcome, operate};
use crate::clock::{PATIENCE, eventually};
use crate::node::{Node, NodeOptions};

/// Ports that the kernel gives to nobody by itself: what is chosen here is free until it is used.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Nodes of one cluster.
#[derive(Debug)]
pub struct Cluster {
    /// The founder first.
    pub nodes: Vec<Node>,
    postgres: String,
    redis: String,
    /// Of each node, as environment variables.
    settings: Vec<(&'static str, String)>,
}

/// An address on loopback where nobody listens.
pub fn free_address() -> SocketAddr {
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rand::rng().random_range(PORTS)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

impl Cluster {
    /// A cluster of one.
    ///
    /// # Panics
    /// When it does not start.
    pub fn found(postgres: &str, redis: &str) -> Self {
        Self::found_with(Vec::new(), postgres, redis)
    }

    /// A cluster of one whose nodes believe edges on this machine.
    ///
    /// # Panics
    /// When it does not start.
    pub fn found_behind_edges(postgres: &str, redis: &str) -> Self {
        Self::found_with(vec![("ENDTOEND_GATEWAY__PROXY_FROM", "[\"127.0.0.1\"]".to_owned())], postgres, redis)
    }

    /// A cluster of one, with these settings of each node.
    ///
    /// # Panics
    /// When it does not start.
    pub fn found_with(settings: Vec<(&'static str, String)>, postgres: &str, redis: &str) -> Self {
        let mut cluster = Self::nobody(settings, postgres, redis);
        cluster.nodes.push(Node::start(cluster.options("node-1", free_address())));
        // It is ready for clients before it leads itself.
        cluster.wait(0, "a node that leads", |status| status["leader"] == status["me"]);
        cluster
    }

    /// What a cluster of one has left in a data directory, which goes on.
    ///
    /// # Panics
    /// When it does not start.
    pub fn going_on(data: &Path, postgres: &str, redis: &str) -> Self {
        let mut cluster = Self::nobody(Vec::new(), postgres, redis);
        let options = cluster.options("node-1", free_address());
        cluster.nodes.push(Node::start(NodeOptions { data: Some(data.to_owned()), ..options }));
        cluster.wait(0, "a node that leads", |status| status["leader"] == status["me"]);
        cluster
    }

    fn nobody(settings: Vec<(&'static str, String)>, postgres: &str, redis: &str) -> Self {
        Self { nodes: Vec::new(), postgres: postgres.to_owned(), redis: redis.to_owned(), settings }
    }

    /// A cluster of so many.
    ///
    /// # Panics
    /// When one does not start.
    pub fn of(nodes: usize, postgres: &str, redis: &str) -> Self {
        let mut cluster = Self::found(postgres, redis);
        while cluster.nodes.len() < nodes {
            cluster.join();
        }
        cluster
    }

    /// The URL of the database that they share.
    pub fn postgres(&self) -> &str {
        &self.postgres
    }

    /// For a further node.
    pub fn options(&self, name: &str, listen: SocketAddr) -> NodeOptions {
        let options = NodeOptions::without_limits().watched();
        let mut options = options.in_cluster(name, listen, &self.postgres, &self.redis);
        options.environment.extend(self.settings.iter().cloned());
        options
    }

    /// A token by which a node joins, and the address that it asks.
    ///
    /// # Panics
    /// When the first node does not give it.
    pub fn token(&self) -> (String, String) {
        self.token_by(&["token", "create"])
    }

    /// As [`Self::token`], for an edge.
    ///
    /// # Panics
    /// As there.
    pub fn edge_token(&self) -> (String, String) {
        self.token_by(&["token", "create", "--edge"])
    }

    fn token_by(&self, command: &[&str]) -> (String, String) {
        let created = self.command(0, command).done();
        let word = |name: &str| created.field(name).as_str().expect("a text").to_owned();
        let join = word("join");
        let seed = join.split_whitespace().skip_while(|word| *word != "--join").nth(1).expect("it names the seed");
        (seed.to_owned(), word("token"))
    }

    /// One more node joins, and the first one lets it in. Its place among the nodes.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn join(&mut self) -> usize {
        let (seed, token) = self.token();
        let name = format!("node-{}", self.nodes.len() + 1);
        let begun = Node::begin(self.options(&name, free_address()).joining(&seed, &token));
        let id = begun.pending();
        self.command(0, &["approve", &id]).done();
        self.nodes.push(begun.ready().unwrap_or_else(|why| panic!("the node did not join: {why:?}")));
        self.nodes.len() - 1
    }

    /// `endtoend cluster …` on a node.
    pub fn command(&self, node: usize, arguments: &[&str]) -> Outcome {
        let node = self.nodes.get(node).expect("there is such a node");
        cluster_command(node.data_dir(), arguments)
    }

    /// How a node sees all of them.
    pub fn status(&self, node: usize) -> Value {
        self.command(node, &["status"]).done().lines.remove(0)
    }

    /// The id of a node.
    pub fn id(&self, node: usize) -> String {
        text(&self.status(node), "me")
    }

    /// Which node leads, as one sees it, by its place.
    pub fn leader(&self, seen_by: usize) -> Option<usize> {
        let leader = self.status(seen_by).get("leader")?.as_str()?.to_owned();
        (0..self.nodes.len()).find(|node| self.name_of(seen_by, &leader) == Some(format!("node-{}", node + 1)))
    }

    fn name_of(&self, seen_by: usize, id: &str) -> Option<String> {
        nodes(&self.status(seen_by)).iter().find(|node| text(node, "id") == id).map(|node| text(node, "name"))
    }

    /// Waits until a node sees the cluster so.
    ///
    /// # Panics
    /// When that does not come.
    pub fn wait(&self, node: usize, what: &str, mut holds: impl FnMut(&Value) -> bool) {
        eventually(PATIENCE, what, || holds(&self.status(node)));
    }
}

/// `endtoend cluster …` on the node with this data directory.
pub fn cluster_command(data: &Path, arguments: &[&str]) -> Outcome {
    let data_dir = data.display().to_string();
    // The directory names a database, so the configuration is read: any.
    let arguments: Vec<&str> = ["cluster"].iter().chain(arguments).copied().chain(["--data", &data_dir]).collect();
    operate(data, &arguments, &[])
}

/// The nodes of a status.
pub fn nodes(status: &Value) -> Vec<Value> {
    status.get("nodes").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// A field of one, as text; empty for none.
pub fn text(object: &Value, field: &str) -> String {
    object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}
