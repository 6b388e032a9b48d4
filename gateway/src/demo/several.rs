//! What happens in the demo of a cluster: two people at two nodes, and nodes that are killed under them.

use std::time::Duration;

use serde_json::Value;

use super::DemoError;
use super::client::Person;
use super::script::{Dir, Seen, Stage};
use crate::clock;
use crate::dev_cluster::{Cluster, Stop, Wanted};

/// Between two looks who leads.
const LOOK: Duration = Duration::from_millis(50);
/// An election on one machine takes a second or two.
const ELECTION_SECONDS: u64 = 60;

/// The cluster, and how it is spoken of.
struct Nodes {
    cluster: Cluster,
    stop: Stop,
}

/// `tell` hears what happens at once: all of it takes a while.
pub(super) fn play(nodes: u8, tell: &mut dyn FnMut(&str)) -> Result<Seen, DemoError> {
    let dir = Dir::for_others()?;
    let stop = Stop::never();
    let wanted = Wanted { nodes, folder: Some(dir.path().join("cluster")), edge: false, log: "trace" };
    let cluster = Cluster::start(&wanted, &stop, tell)?;
    let mut nodes = Nodes { cluster, stop };
    let mut stage = Stage::new();
    let mut scene = |stage: &mut Stage, what: &str| {
        tell(what);
        stage.happened(what);
    };
    let mut alice = Person::register("alice", dir.path(), &nodes.address("node-1")?)?;
    let mut bob = Person::register("bob", dir.path(), &nodes.address("node-2")?)?;

    scene(&mut stage, "alice is at node-1, bob is at node-2");
    let listening = bob.listen(3)?;
    let sent = [
        alice.send(&bob, "Hi Bob, I am at one node and you are at another.")?,
        alice.send(&bob, "They found out by themselves.")?,
        alice.send(&bob, "Now they will be killed, one after the other.")?,
    ];
    stage.exchanged(&alice, &bob, &sent, &listening.messages()?);

    scene(&mut stage, "bob is away");
    let first = alice.send(&bob, "I write this while you are away.")?;
    let second = alice.send(&bob, "node-1 has accepted this one, and now…")?;
    nodes.kill_9("node-1")?;
    scene(&mut stage, "kill -9 of node-1, at once after it was accepted; alice goes to node-3");
    alice.goes_to(&nodes.address("node-3")?);
    let third = alice.send(&bob, "… it was killed, and I am at another one.")?;
    scene(&mut stage, "bob comes to node-2");
    stage.exchanged(&alice, &bob, &[first, second, third], &bob.listen(3)?.messages()?);
    nodes.restart("node-1")?;
    scene(&mut stage, "node-1 is back");

    let listening = bob.listen(1)?;
    let sent = [alice.send(&bob, "Are you still at node-2?")?];
    stage.exchanged(&alice, &bob, &sent, &listening.messages()?);
    let listening = bob.listen(1)?;
    nodes.kill_9("node-2")?;
    scene(&mut stage, "kill -9 of node-2, where bob is connected; alice writes to him all the same");
    let sent = [alice.send(&bob, "Whoever has you is dead; this one is in the store.")?];
    drop(listening);
    bob.goes_to(&nodes.address("node-1")?);
    scene(&mut stage, "bob comes to node-1");
    stage.exchanged(&alice, &bob, &sent, &bob.listen(1)?.messages()?);
    nodes.restart("node-2")?;
    scene(&mut stage, "node-2 is back");

    let leader = nodes.leader_beside("")?;
    let (at, other) = nodes.others(&leader)?;
    alice.goes_to(&nodes.address(&at)?);
    bob.goes_to(&nodes.address(&other)?);
    nodes.kill_9(&leader)?;
    let killed = clock::monotonic();
    scene(&mut stage, &format!("kill -9 of {leader}, which leads; alice is at {at}, bob is at {other}"));
    let listening = alice.listen(2)?;
    let sent = [
        bob.send(&alice, "Nobody leads at the moment, and I can write to you.")?,
        bob.send(&alice, "Messages need no leader.")?,
    ];
    stage.exchanged(&bob, &alice, &sent, &listening.messages()?);
    let next = nodes.leader_beside(&leader)?;
    let took = clock::monotonic().saturating_duration_since(killed);
    scene(&mut stage, &format!("{next} leads, seen {:.1} s after the kill", took.as_secs_f64()));
    stage.promise("another node leads", next != leader);
    nodes.restart(&leader)?;
    scene(&mut stage, &format!("{leader} is back"));

    // Whatever had come twice would be read before these.
    let sent = [alice.send(&bob, "Not a word was lost. Good night!")?];
    stage.exchanged(&alice, &bob, &sent, &bob.listen(1)?.messages()?);
    let sent = [bob.send(&alice, "Good night, Alice.")?];
    stage.exchanged(&bob, &alice, &sent, &alice.listen(1)?.messages()?);
    let safety_numbers = stage.compared(&alice, &bob)?;

    tell("everything ends, and is searched");
    // Ended first: what is searched does not change meanwhile.
    let redis = nodes.cluster.redis().log();
    nodes.cluster.end(&nodes.stop)?;
    let folder = dir.path().join("cluster");
    std::fs::write(folder.join("redis.log"), redis).map_err(DemoError::io("keep the log of Redis"))?;
    let searched = stage.searched(&[&folder], &[&alice, &bob])?;
    let what = "no text and no password is in the data and logs of the nodes, of PostgreSQL and of Redis";
    stage.promise(what, searched.hits.is_empty());
    Ok(stage.seen(safety_numbers, searched, None))
}

impl Nodes {
    fn address(&self, name: &str) -> Result<String, DemoError> {
        let member = self.cluster.members().iter().find(|member| member.name() == name);
        member.map(|member| member.address().to_owned()).ok_or_else(|| DemoError::Unexpected(format!("no {name}")))
    }

    fn kill_9(&mut self, name: &str) -> Result<(), DemoError> {
        match self.cluster.member(name) {
            None => Err(DemoError::Unexpected(format!("no {name}"))),
            Some(member) => Ok(member.kill_9()?),
        }
    }

    /// Starts it again, and waits until it takes clients.
    fn restart(&mut self, name: &str) -> Result<(), DemoError> {
        let Self { cluster, stop } = self;
        match cluster.member(name) {
            None => Err(DemoError::Unexpected(format!("no {name}"))),
            Some(member) => {
                member.launch()?;
                Ok(member.ready(stop)?)
            }
        }
    }

    /// Waits for a leader of another name.
    fn leader_beside(&self, than: &str) -> Result<String, DemoError> {
        let begun = clock::monotonic();
        loop {
            let status = self.cluster.status()?;
            if let Some(name) = leads(&status).filter(|name| name != than) {
                return Ok(name);
            }
            if clock::monotonic().saturating_duration_since(begun).as_secs() > ELECTION_SECONDS {
                return Err(DemoError::TooLong { what: "an election".to_owned(), seconds: ELECTION_SECONDS });
            }
            self.stop.pause(LOOK)?;
        }
    }

    /// Two nodes that are not this one.
    fn others(&self, name: &str) -> Result<(String, String), DemoError> {
        let mut others = self.cluster.members().iter().map(|member| member.name()).filter(|other| *other != name);
        match (others.next(), others.next()) {
            (Some(first), Some(second)) => Ok((first.to_owned(), second.to_owned())),
            _ => Err(DemoError::Unexpected("fewer than three nodes".to_owned())),
        }
    }
}

/// The name of the leader, as a status has it.
fn leads(status: &Value) -> Option<String> {
    let leader = status.get("leader")?.as_str()?;
    let nodes = status.get("nodes")?.as_array()?;
    let node = nodes.iter().find(|node| node.get("id").and_then(Value::as_str) == Some(leader))?;
    node.get("name")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_names_its_leader() {
        let nodes = serde_json::json!([{ "id": "a1", "name": "node-1" }, { "id": "b2", "name": "node-2" }]);
        assert_eq!(leads(&serde_json::json!({ "leader": "b2", "nodes": nodes })).as_deref(), Some("node-2"));
        assert_eq!(leads(&serde_json::json!({ "leader": null, "nodes": nodes })), None);
        assert_eq!(leads(&serde_json::json!({ "leader": "c3", "nodes": nodes })), None);
    }
}
