//! `endtoend cluster`: the nodes of a cluster, asked and changed on any of them.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::admin::{AtNode, block_on, shown, time, unexpected};
use super::{Environment, Failure, Out};
use crate::admin::{
    AdminAnswer, AdminRequest, Change, Changed, ClusterAnswer, ClusterRequest, ClusterStatus, EdgeView, Elections,
    NodeView, TokenView, WAIT_MAX,
};

/// Between two of `status --watch`.
const WATCH: Duration = Duration::from_secs(1);

/// `endtoend cluster`
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make, show or end tokens by which new nodes and edges join.
    Token(Token),
    /// Say how all nodes are.
    Status(Status),
    /// Let a node or edge in that waits.
    Approve(Node),
    /// Turn a node or edge away that waits. It does not come back with the same key.
    Reject(Node),
    /// Have a node send its clients away and take no more. It goes on as a member.
    Drain(Node),
    /// Have a drained node serve clients again.
    Undrain(Node),
    /// Take a node or edge out for good: it is cut off, and what a node knew is replaced.
    Remove(Remove),
    /// Let another node lead.
    TransferLeader(Transfer),
    /// Replace the secrets of the cluster, as after a removal.
    Rotate(Rotate),
    /// Decide how soon a silent leader is replaced. Each node goes by it from its next start on.
    Elections(ElectionsOf),
}

#[derive(Args, Debug)]
struct Token {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand, Debug)]
enum TokenCommand {
    /// Make one, and show it this once. It is good for one node, or with --edge for one edge.
    Create(Create),
    /// Show those that there are, used ones until they expire.
    List(At),
    /// End one that was not used.
    Revoke(Revoke),
}

#[derive(Args, Debug)]
struct Create {
    /// How long it is good, like `1h` or `2d`; 7 days at most.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    expires: Duration,
    /// For an edge, and not for a node.
    #[arg(long)]
    edge: bool,
    #[command(flatten)]
    at: AtNode,
}

#[derive(Args, Debug)]
struct At {
    #[command(flatten)]
    at: AtNode,
}

#[derive(Args, Debug)]
struct Revoke {
    /// As the list shows it.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    at: AtNode,
}

#[derive(Args, Debug)]
struct Status {
    /// Again each second, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    at: AtNode,
}

/// How long a command waits until what it has changed is in force.
#[derive(Args, Clone, Copy, Debug)]
struct Wait {
    /// How long to wait until it is in force, ten minutes at most; `0s`: not at all.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    wait: Duration,
}

impl Wait {
    fn ms(self) -> Result<u64, Failure> {
        match self.wait {
            wait if wait > WAIT_MAX => Err(Failure::new("a command waits ten minutes at most")),
            wait => Ok(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

#[derive(Args, Debug)]
struct Node {
    /// Its id, the first 4 digits or more of that, or its name.
    #[arg(value_name = "NODE")]
    node: String,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    at: AtNode,
}

#[derive(Args, Debug)]
struct Remove {
    #[command(flatten)]
    node: Node,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Args, Debug)]
struct Transfer {
    /// Which. Default: any other that votes.
    #[arg(value_name = "NODE")]
    node: Option<String>,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    at: AtNode,
}

#[derive(Args, Debug)]
struct Rotate {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    at: AtNode,
}

#[derive(Args, Debug)]
struct ElectionsOf {
    /// How far apart the nodes are.
    #[arg(value_name = "DISTANCE")]
    distance: Elections,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    at: AtNode,
}

impl Options {
    pub fn json(&self) -> bool {
        match &self.command {
            Command::Token(Token { command }) => match command {
                TokenCommand::Create(Create { at, .. })
                | TokenCommand::List(At { at })
                | TokenCommand::Revoke(Revoke { at, .. }) => at.json,
            },
            Command::Status(Status { at, .. })
            | Command::Approve(Node { at, .. })
            | Command::Reject(Node { at, .. })
            | Command::Drain(Node { at, .. })
            | Command::Undrain(Node { at, .. })
            | Command::Remove(Remove { node: Node { at, .. }, .. })
            | Command::TransferLeader(Transfer { at, .. })
            | Command::Rotate(Rotate { at, .. })
            | Command::Elections(ElectionsOf { at, .. }) => at.json,
        }
    }
}

/// # Errors
/// When there is no node, or the cluster refuses, or cannot decide at the moment.
pub fn run(options: &Options, environment: &Environment) -> Result<(), Failure> {
    match &options.command {
        Command::Token(Token { command }) => token(command, environment),
        Command::Status(options) => status(options, environment),
        Command::Approve(node) => change(Change::Approve, node, environment),
        Command::Reject(node) => change(Change::Reject, node, environment),
        Command::Drain(node) => change(Change::Drain, node, environment),
        Command::Undrain(node) => change(Change::Undrain, node, environment),
        Command::Remove(Remove { node, yes }) => {
            if !yes {
                let what = format!("This takes {} out for good, and replaces what it knew if it is a node.", node.node);
                confirm(node.at.json, &what, "remove")?;
            }
            change(Change::Remove, node, environment)
        }
        Command::TransferLeader(options) => transfer(options, environment),
        Command::Rotate(options) => rotate(options, environment),
        Command::Elections(options) => elections(options, environment),
    }
}

fn ask(at: &AtNode, request: ClusterRequest, environment: &Environment) -> Result<ClusterAnswer, Failure> {
    match at.ask(AdminRequest::Cluster(request), environment)? {
        AdminAnswer::Cluster(answer) => Ok(answer),
        _ => Err(unexpected()),
    }
}

fn confirm(json: bool, what: &str, word: &str) -> Result<(), Failure> {
    if json || !io::stdin().is_terminal() {
        return Err(Failure::new("this asks a person: with --yes it does not ask"));
    }
    Out { json }.text(&format!("{what} Type {word} to go on:"))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim() == word { Ok(()) } else { Err(Failure::new("nothing was changed")) }
}

fn token(command: &TokenCommand, environment: &Environment) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(Create { expires, edge, at }) => {
            let life_ms = u64::try_from(expires.as_millis()).unwrap_or(u64::MAX);
            let request = ClusterRequest::TokenCreate { life_ms, edge: *edge };
            let ClusterAnswer::TokenCreated { token, seed, view } = ask(at, request, environment)? else {
                return Err(unexpected());
            };
            let (run, whom) = if *edge { ("edge run --config edge.toml", "edge") } else { ("serve", "node") };
            let join = format!("endtoend {run} --join {seed} --token {token}");
            let mut object = token_object("token", &view);
            if let Some(fields) = object.as_object_mut() {
                fields.insert("token".to_owned(), token.into());
                fields.insert("join".to_owned(), (&*join).into());
            }
            let text = format!(
                "{join}\nGood for one {whom} until {}. This is shown once. Then: endtoend cluster approve {}",
                time(view.expires_at),
                whom.to_uppercase()
            );
            Ok(Out { json: at.json }.say(&object, &text)?)
        }
        TokenCommand::List(At { at }) => {
            let ClusterAnswer::Tokens { tokens } = ask(at, ClusterRequest::TokenList {}, environment)? else {
                return Err(unexpected());
            };
            let out = Out { json: at.json };
            for token in &tokens {
                let used =
                    token.used_by.as_deref().map_or_else(|| "not used".to_owned(), |node| format!("used by {node}"));
                let text = format!("{}  until {}, {used}", token.id, time(token.expires_at));
                out.say(&token_object("join_token", token), &text)?;
            }
            if tokens.is_empty() && !at.json {
                out.text("there are no join tokens")?;
            }
            Ok(())
        }
        TokenCommand::Revoke(Revoke { id, at }) => {
            let request = ClusterRequest::TokenRevoke { id: id.clone() };
            let ClusterAnswer::TokenRevoked { id } = ask(at, request, environment)? else { return Err(unexpected()) };
            Ok(Out { json: at.json }
                .say(&json!({ "event": "token_revoked", "id": id }), "the token is no longer valid")?)
        }
    }
}

fn token_object(event: &str, TokenView { id, expires_at, used_by }: &TokenView) -> Value {
    json!({ "event": event, "id": id, "expires_at": expires_at, "used_by": used_by })
}

fn change(what: Change, Node { node, wait, at }: &Node, environment: &Environment) -> Result<(), Failure> {
    let request = ClusterRequest::Change { what, node: node.clone(), wait_ms: wait.ms()? };
    let ClusterAnswer::Changed(changed) = ask(at, request, environment)? else { return Err(unexpected()) };
    let Changed { what, id, name, state, changed, connections } = changed;
    let object = json!({
        "event": what.done(), "id": id, "name": name, "state": state, "changed": changed, "connections": connections,
    });
    let mut text = format!("{}: {id} ({name})", what.done());
    if let Some(state) = state {
        text.push_str(&format!(", {state}"));
    }
    match connections {
        Some(0) => text.push_str(", nobody is connected to it any more"),
        Some(left) => text.push_str(&format!(", {left} connections still have to leave")),
        None => {}
    }
    if !changed {
        text.push_str("; it was so already");
    }
    Ok(Out { json: at.json }.say(&object, &text)?)
}

fn transfer(Transfer { node, wait, at }: &Transfer, environment: &Environment) -> Result<(), Failure> {
    let request = ClusterRequest::TransferLeader { node: node.clone(), wait_ms: wait.ms()? };
    let ClusterAnswer::Leads { leader, name, term } = ask(at, request, environment)? else { return Err(unexpected()) };
    let object = json!({ "event": "leads", "leader": leader, "name": name, "term": term });
    Ok(Out { json: at.json }.say(&object, &format!("leads: {leader} ({name}), term {term}"))?)
}

fn rotate(Rotate { yes, wait, at }: &Rotate, environment: &Environment) -> Result<(), Failure> {
    if !yes {
        confirm(at.json, "This replaces the cluster's authority and the key of access tokens.", "rotate")?;
    }
    let request = ClusterRequest::Rotate { wait_ms: wait.ms()? };
    let ClusterAnswer::Rotated { generation } = ask(at, request, environment)? else { return Err(unexpected()) };
    let object = json!({ "event": "rotated", "generation": generation });
    Ok(Out { json: at.json }.say(&object, &format!("rotated: generation {generation} of the secrets"))?)
}

fn elections(ElectionsOf { distance, wait, at }: &ElectionsOf, environment: &Environment) -> Result<(), Failure> {
    let request = ClusterRequest::Elections { timings: *distance, wait_ms: wait.ms()? };
    let ClusterAnswer::Elections { timings, changed } = ask(at, request, environment)? else {
        return Err(unexpected());
    };
    let object = json!({ "event": "elections", "timings": timings.as_str(), "changed": changed });
    let text = format!("elections: {}, on each node from its next start on", timings.as_str());
    Ok(Out { json: at.json }.say(&object, &text)?)
}

fn status(Status { watch, at }: &Status, environment: &Environment) -> Result<(), Failure> {
    loop {
        let ClusterAnswer::Status(status) = ask(at, ClusterRequest::Status {}, environment)? else {
            return Err(unexpected());
        };
        let mut object = serde_json::to_value(&*status)?;
        if let Some(fields) = object.as_object_mut() {
            fields.insert("event".to_owned(), "cluster".into());
        }
        Out { json: at.json }.say(&object, &table(&status))?;
        if !watch {
            return Ok(());
        }
        block_on(tokio::time::sleep(WATCH))?;
    }
}

fn table(
    ClusterStatus { cluster, me, leader, term, generation, secrets, elections, nodes, edges, onion }: &ClusterStatus,
) -> String {
    let leader = leader.as_deref().unwrap_or("none: no majority of the voters is reached");
    let elections = elections.map_or("of its own", Elections::as_str);
    let mut lines = vec![format!(
        "cluster {cluster}, asked on {me}\nleader  {leader}, term {term}, generation {generation}, secrets {secrets}, elections {elections}"
    )];
    lines.extend(onion.as_ref().map(|onion| format!("onion service of the asked node: {}", shown(onion))));
    for node in nodes {
        let NodeView { id, name, state, role, address, client_address, health, fault, version, .. } = node;
        let fault = fault.as_deref().map(|fault| format!(" ({fault})")).unwrap_or_default();
        let connections = node.connections.map_or_else(|| "?".to_owned(), |connections| connections.to_string());
        let certificate = node.certificate_expires_at.map_or_else(|| "none".to_owned(), time);
        lines.push(format!(
            "{id}  {name:<16} {state:<8} {role:<7} {health}{fault}\n  nodes {address}, clients {client_address}, {connections} \
             connections, version {version}, certificate until {certificate}"
        ));
    }
    for EdgeView { id, name, state, follows, version, certificate_expires_at } in edges {
        let certificate = certificate_expires_at.map_or_else(|| "none".to_owned(), time);
        let follows = if *follows { "follows this node" } else { "does not follow this node" };
        lines.push(format!(
            "{id}  {name:<16} {state:<8} edge    {follows}\n  version {version}, certificate until {certificate}"
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::OnionView;

    #[test]
    fn a_table_says_of_every_node_how_it_is_and_of_a_dead_one_why() {
        let node = NodeView {
            id: "00000000000000aa".to_owned(),
            name: "one".to_owned(),
            state: "active".to_owned(),
            role: "voter".to_owned(),
            address: "192.0.2.1:7443".to_owned(),
            client_address: "192.0.2.1:8443".to_owned(),
            health: "down".to_owned(),
            fault: Some("the connection broke".to_owned()),
            connections: None,
            version: "0.1.0".to_owned(),
            certificate_expires_at: None,
            link_version: None,
            last_heard_ms: Some(7),
            rtt_us: None,
        };
        let status = ClusterStatus {
            cluster: "c".to_owned(),
            me: "m".to_owned(),
            leader: None,
            term: 3,
            generation: 1,
            secrets: 1,
            elections: None,
            nodes: vec![node],
            edges: vec![EdgeView {
                id: "00000000000000ee".to_owned(),
                name: "edge-1".to_owned(),
                state: "pending".to_owned(),
                follows: false,
                version: "0.1.0".to_owned(),
                certificate_expires_at: None,
            }],
            onion: Some(OnionView {
                address: "endtoend://a.onion:8443/#pin=0".to_owned(),
                host: "node".to_owned(),
                state: "connecting".to_owned(),
                detail: Some("40 %".to_owned()),
            }),
        };
        let text = table(&status);
        for part in [
            "no majority",
            "endtoend://a.onion:8443/#pin=0 (connecting: 40 %)",
            "00000000000000ee",
            "does not follow",
            "00000000000000aa",
            "down (the connection broke)",
            "? connections",
            "until none",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
