//! `endtoend edge`: HAProxy in front of nodes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use endtoend_cluster::{For, NodeId};
use endtoend_haproxy::{EdgeView, Membership, render};
use serde_json::json;

use super::joining::{Join, REFUSED};
use super::{Environment, Failure, Out};
use crate::config::{LogConfig, LogFormat};
use crate::edge::{self, CONFIG, ClusterSource, EdgeConfig, Kept, Origin, ViewFile};
use crate::node::Joining;

/// Between two lines of `status --watch`.
const WATCH: Duration = Duration::from_secs(1);

/// `endtoend edge`
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Follow the cluster, or a list of nodes, and keep HAProxy as it says, until SIGTERM or Ctrl-C.
    Run(Run),
    /// Print HAProxy's configuration for the list of nodes as it is now, or for what was heard last of a cluster, and apply nothing.
    Render(Render),
    /// Say how a running edge is: generations, servers, the last change.
    Status(Status),
}

#[derive(Args, Debug)]
struct At {
    /// The edge's configuration.
    #[arg(long, value_name = "FILE", default_value = "edge.toml")]
    config: PathBuf,
}

#[derive(Args, Debug)]
struct Run {
    #[command(flatten)]
    at: At,
    /// What is logged, like `info` or `debug`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
    /// How it is logged.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: Format,
    #[command(flatten)]
    join: Join,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Args, Debug)]
struct Render {
    #[command(flatten)]
    at: At,
    /// Another list of nodes than the configuration's.
    #[arg(long, value_name = "FILE")]
    view: Option<PathBuf>,
    /// Only what differs from what HAProxy was given last.
    #[arg(long)]
    diff: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Status {
    #[command(flatten)]
    at: At,
    /// Again each second, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

impl Options {
    pub fn json(&self) -> bool {
        match &self.command {
            Command::Run(_) => false,
            Command::Render(Render { json, .. }) | Command::Status(Status { json, .. }) => *json,
        }
    }

    /// How to log, for what runs long.
    pub fn log(&self) -> Option<LogConfig> {
        match &self.command {
            Command::Run(Run { log, log_format, .. }) => Some(LogConfig {
                filter: log.clone(),
                format: match log_format {
                    Format::Text => LogFormat::Text,
                    Format::Json => LogFormat::Json,
                },
            }),
            Command::Render(_) | Command::Status(_) => None,
        }
    }
}

/// What is told to whoever has started the edge.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// It has asked to follow a cluster, where an operator has to approve it. Told again each time that it was asked.
    Pending {
        /// Who.
        edge: NodeId,
        /// What people call it.
        name: &'a str,
        /// Whom it asks.
        seed: &'a str,
    },
    /// It keeps HAProxy from now on.
    Ready,
}

/// Does it. `tell` hears how an edge begins.
///
/// # Errors
/// When it cannot begin, or there is no edge to ask.
pub fn run(options: &Options, environment: &Environment, tell: impl Fn(Told<'_>)) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match &options.command {
        Command::Run(Run { at, join, .. }) => {
            let joining = join.wanted(For::Edge, environment)?;
            runtime.block_on(keep(&EdgeConfig::load(&at.config)?, joining.as_ref(), &tell))
        }
        Command::Render(options) => show(options),
        Command::Status(options) => runtime.block_on(status(options)),
    }
}

async fn keep(config: &EdgeConfig, joining: Option<&Joining>, tell: &impl Fn(Told<'_>)) -> Result<(), Failure> {
    let ready = || tell(Told::Ready);
    match config.source() {
        Some(Origin::Cluster(follow)) => {
            let (name, checks) = config.follows_as();
            let seed = joining.map_or("", |joining| &joining.seed);
            let pending = |edge| tell(Told::Pending { edge, name: &name, seed });
            let kept = Kept::open(&follow.directory)?;
            let source = ClusterSource::begin(kept, (follow, name.clone(), checks), joining, &pending).await;
            let source = source.map_err(|error| {
                let code = if error.is_refusal() { REFUSED } else { 1 };
                Failure::from(error).with_code(code)
            })?;
            Ok(edge::run(config, source, ready).await?)
        }
        _ if joining.is_some() => Err(Failure::new(
            "--join needs [cluster] directory in the edge's file, and no `view`: see edge.example.toml",
        )),
        Some(Origin::File(view)) => Ok(edge::run(config, ViewFile::at(&view), ready).await?),
        None => Err(Failure::new("the edge's file names neither a cluster nor a `view`")),
    }
}

fn show(Render { at, view, diff, json }: &Render) -> Result<(), Failure> {
    let config = EdgeConfig::load(&at.config)?;
    let file = match (view, config.source()) {
        (Some(view), _) => Some(view.clone()),
        (None, Some(Origin::File(view))) => Some(view),
        (None, Some(Origin::Cluster(_)) | None) => None,
    };
    let membership: Membership = match file {
        Some(file) => ViewFile::at(&file).read()?,
        // What it hears is known to the one that runs.
        None => edge::applied(config.directory.as_ref())
            .ok_or_else(|| Failure::new("this edge has applied nothing yet: start it, or name a list with --view"))?,
    };
    let generation = membership.generation;
    let view = EdgeView { membership, settings: config.settings(false)? };
    view.validate()?;
    let mut text = render(&view).text;
    if *diff {
        let path = AsRef::<std::path::Path>::as_ref(&config.directory).join(CONFIG);
        let has = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            has => has?,
        };
        text = edge::diff(&has, &text);
    }
    let object = json!({ "event": "edge_configuration", "generation": generation, "diff": diff, "text": text });
    Ok(Out { json: *json }.say(&object, text.trim_end())?)
}

async fn status(Status { at, watch, json }: &Status) -> Result<(), Failure> {
    let config = EdgeConfig::load(&at.config)?;
    loop {
        let status = edge::status(config.directory.as_ref()).await?;
        let mut object = serde_json::to_value(&status)?;
        if let Some(fields) = object.as_object_mut() {
            fields.insert("event".to_owned(), "edge_status".into());
        }
        Out { json: *json }.say(&object, &text(&status))?;
        if !watch {
            return Ok(());
        }
        tokio::time::sleep(WATCH).await;
    }
}

fn text(status: &edge::Status) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let mut lines = vec![format!(
        "edge {}: generation {} wanted, {} applied",
        status.edge,
        number(status.generation_wanted),
        number(status.generation_applied)
    )];
    if let Some(change) = &status.last_change {
        lines.push(format!(
            "  last change  generation {}, {} in {:.1} ms",
            change.generation, change.how, change.took_ms
        ));
    }
    let counts = status.counts;
    lines.push(format!(
        "  changes      {} by orders, {} reloads, {} starts, {} failures, {} mended",
        counts.by_orders, counts.reloads, counts.starts, counts.failures, counts.mended
    ));
    match &status.haproxy {
        None => lines.push("  haproxy      does not run".to_owned()),
        Some(haproxy) => lines.push(format!(
            "  haproxy      {}, process {} ({}), up {} s, {} connections, {} ever",
            haproxy.version,
            haproxy.pid,
            haproxy.kept,
            haproxy.uptime_seconds,
            haproxy.connections,
            haproxy.connections_total
        )),
    }
    lines.push(format!("  nodes from   {}", status.source));
    for (what, said) in [("source", &status.source_fault), ("alarm", &status.alarm), ("notice", &status.notice)] {
        lines.extend(said.iter().map(|said| format!("  {what:<12} {said}")));
    }
    for server in &status.servers {
        lines.push(format!(
            "  {:<20} {:<22} {:<8} weight {:<3} {} sessions, {} ever, since {} s",
            server.name,
            server.address.as_deref().unwrap_or("-"),
            server.state,
            server.weight,
            server.sessions,
            server.sessions_total,
            server.changed_seconds
        ));
    }
    lines.join("\n")
}
