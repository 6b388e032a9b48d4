//! `endtoend dev-cluster`: several nodes on this machine, with all that they need.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, Out};
use crate::dev_cluster::{Cluster, DevError, Stop, Wanted};

/// How often it is looked whether all is as it was.
const LOOK: Duration = Duration::from_millis(500);
/// More nodes are no trial any more.
const NODES_MAX: i64 = 9;

/// `endtoend dev-cluster`
#[derive(Args, Debug)]
pub struct Options {
    /// Nodes, 1 to 9.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=NODES_MAX))]
    nodes: u8,
    /// Keep everything in this directory, and go on with what is there. Default: nothing is kept.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// HAProxy in front of the nodes, whose agent (`endtoend edge`) follows the cluster.
    #[arg(long)]
    edge: bool,
    /// Print one JSON object per line.
    #[arg(long)]
    pub json: bool,
}

/// Runs it until a signal.
///
/// # Errors
/// When it does not start, or cannot be ended in order.
pub fn run(options: &Options) -> Result<(), Failure> {
    let Options { nodes, dir, edge, json } = options;
    let out = Out { json: *json };
    let stop = Stop::by_signal()?;
    let mut tell = |what: &str| {
        // Nobody may be reading any more; the cluster starts all the same.
        let _ = out.say(&json!({ "event": "progress", "what": what }), what);
    };
    let wanted = Wanted { nodes: *nodes, folder: dir.clone(), edge: *edge, log: "info" };
    let mut cluster = match Cluster::start(&wanted, &stop, &mut tell) {
        Err(DevError::Stopped) => return Ok(()),
        started => started?,
    };
    out.say(&object(&cluster), &text(&cluster, dir.is_some()))?;
    while stop.pause(LOOK).is_ok() {
        for name in cluster.look() {
            out.say(&json!({ "event": "ended", "name": name }), &format!("{name} has ended; the others go on"))?;
        }
    }
    tell("everything ends");
    cluster.end(&stop)?;
    Ok(())
}

fn register(cluster: &Cluster) -> String {
    format!("endtoend-cli --server '{}' register --handle alice", cluster.address())
}

fn object(cluster: &Cluster) -> Value {
    let nodes: Vec<Value> = cluster
        .members()
        .iter()
        .map(|member| {
            json!({
                "name": member.name(), "address": member.address(), "pid": member.pid(),
                "config": member.config(), "log": member.log(),
            })
        })
        .collect();
    json!({
        "event": "ready", "nodes": nodes, "address": cluster.address(), "edge_config": cluster.edge_config(),
        "postgres": cluster.postgres().url("postgres"), "redis": cluster.redis().url(), "client": register(cluster),
    })
}

fn text(cluster: &Cluster, kept: bool) -> String {
    let mut lines = vec![format!("\n{} nodes are one cluster.", cluster.members().len())];
    for member in cluster.members() {
        let pid = member.pid().map_or_else(String::new, |pid| pid.to_string());
        lines.push(format!(
            "  {}   {}\n           process {pid}, {}",
            member.name(),
            member.address(),
            member.log().display()
        ));
    }
    let config = cluster.members().first().map(|member| member.config().display().to_string()).unwrap_or_default();
    if let Some(edge) = cluster.edge_config() {
        lines.push(format!(
            "  edge     {}\n           endtoend edge status --config {}",
            cluster.address(),
            edge.display()
        ));
    }
    lines.push(format!("\nCreate an account:\n  {}", register(cluster)));
    lines.push(format!("\nSee how it is:\n  endtoend cluster status --config {config}"));
    let then = if kept { "everything is kept" } else { "nothing is kept" };
    lines.push(format!("\nCtrl-C ends it, and {then}."));
    lines.join("\n")
}
