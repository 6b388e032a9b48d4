//! A Redis Cluster.

use std::time::Duration;

use endtoend_keeper::eventually;

use crate::network::Network;
use crate::process::Process;

/// Slots of each of the three primaries.
const SLOTS: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];

/// Three primaries, and a replica of one of them, which is the fourth node.
#[derive(Debug)]
pub struct Shards {
    nodes: Vec<Process>,
    replicated: usize,
}

impl Shards {
    /// A primary that is silent for `node_timeout` is taken for dead; the one that has `key` has a replica.
    ///
    /// # Panics
    /// When there is no Redis, or the nodes do not find each other.
    pub fn start(node_timeout: Duration, key: &str) -> Self {
        let network = Network::own();
        let nodes: Vec<_> = (1..=4)
            .map(|last| {
                let lines = [
                    "cluster-enabled yes".to_owned(),
                    format!("cluster-node-timeout {}", node_timeout.as_millis()),
                    format!("cluster-announce-ip {}", network.address(last)),
                    "cluster-replica-validity-factor 0".to_owned(),
                    "repl-diskless-sync-delay 0".to_owned(),
                    "repl-ping-replica-period 1".to_owned(),
                ];
                Process::start(network.at(last), &lines, false)
            })
            .collect();
        let [first, second, third, fourth] = &nodes[..] else { unreachable!("four were started") };
        for (number, (node, (from, to))) in [first, second, third].into_iter().zip(SLOTS).enumerate() {
            let _: String = node.ask(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]);
            let _: String = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
        }
        for node in [second, third, fourth] {
            let (host, port) = (node.at().ip().to_string(), node.at().port().to_string());
            let _: String = first.ask(&["CLUSTER", "MEET", &host, &port]);
        }
        for node in &nodes {
            node.until("one cluster", &["CLUSTER", "INFO"], |info| {
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:4")
            });
        }
        let slot: u16 = first.ask(&["CLUSTER", "KEYSLOT", key]);
        let replicated = SLOTS.iter().position(|(from, to)| (*from..=*to).contains(&slot)).expect("some slot");
        let primary = nodes.get(replicated).expect("one of three");
        let id: String = primary.ask(&["CLUSTER", "MYID"]);
        let _: String = fourth.ask(&["CLUSTER", "REPLICATE", &id]);
        fourth.until("in step", &["INFO", "replication"], |info| info.contains("master_link_status:up"));
        for node in &nodes {
            node.until("knows the replica", &["CLUSTER", "NODES"], |nodes| nodes.contains(&format!("slave {id}")));
        }
        Self { nodes, replicated }
    }

    /// Where nodes listen.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.at().to_string()).collect()
    }

    /// All nodes, the replica last.
    pub fn nodes(&self) -> &[Process] {
        &self.nodes
    }

    /// The node that was the primary of the key in the beginning.
    ///
    /// # Panics
    /// Never.
    pub fn replicated(&self) -> &Process {
        self.nodes.get(self.replicated).expect("one of three")
    }

    /// The one that takes its place.
    ///
    /// # Panics
    /// Never.
    pub fn replica(&self) -> &Process {
        self.nodes.last().expect("four of them")
    }

    /// Waits until the replica has taken that one's place.
    ///
    /// # Panics
    /// When it does not.
    pub fn until_replaced(&self) {
        let replica = self.replica();
        let replaced = eventually(|| {
            let info = replica.try_ask::<String>(&["INFO", "replication"]).unwrap_or_default();
            info.contains("role:master")
        });
        assert!(replaced, "{}", replica.log());
    }
}
