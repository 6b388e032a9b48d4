//! `endtoend`: the server and its operator's commands.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use endtoend_cluster::{For, NodeId};
use endtoend_gateway::commands::edge::Told;
use endtoend_gateway::commands::joining::{Join, REFUSED};
use endtoend_gateway::commands::{self, Environment, Failure};
use endtoend_gateway::config::{Config, ConfigError, Effective, ListenOn, LogConfig, LogFormat};
use endtoend_gateway::demo;
use endtoend_gateway::node::{self, HandedOver, News, Outside, Ready};
use sd_notify::NotifyState;
use tracing_subscriber::EnvFilter;

/// A self-hosted, end-to-end encrypted messenger with post-quantum protection: the server.
#[derive(Parser)]
#[command(name = "endtoend", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node in the foreground until SIGTERM or Ctrl-C.
    Serve(Serve),
    /// Start a node and two clients, hold a conversation, and prove what was promised about it.
    Demo(demo::Options),
    /// Start a whole cluster on this machine, with its PostgreSQL and Redis, until SIGTERM or Ctrl-C.
    DevCluster(commands::dev_cluster::Options),
    /// Write, check or show the configuration.
    Config(commands::config::Options),
    /// Say how the node is: version, addresses, numbers. Works on a running and on a stopped node.
    Status(commands::admin::StatusOptions),
    /// Copy database and secrets of the node, which may run, into a new directory.
    Backup(commands::admin::BackupOptions),
    /// Make, show or end invitations to register.
    Invite(commands::invite::Options),
    /// Show, disable or delete accounts.
    User(commands::user::Options),
    /// Show or check what happened to accounts.
    Audit(commands::audit::Options),
    /// Show how the limits are used.
    Abuse(commands::abuse::Options),
    /// Look at the nodes of a cluster, let new ones in, drain them, take them out.
    Cluster(commands::cluster::Options),
    /// Look at the database of a stopped node, or move it from SQLite to PostgreSQL and back.
    Db(commands::db::Options),
    /// Keep a HAProxy in front of nodes as the cluster or a list of nodes says, or show how it is.
    Edge(commands::edge::Options),
    /// Make a node behind a router reachable, by Tor, ssh or another program.
    Tunnel(commands::tunnel::Options),
    /// Hand the node's onion service to a tor beside it, or let only some clients find it.
    Onion(commands::onion::Options),
    /// Turn a backup into the data directory of a stopped node.
    Restore(commands::restore::Options),
}

#[derive(Args)]
struct Serve {
    /// Configuration file. Default: ./endtoend.toml if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory for the database and the node's secrets. Overrides the configuration.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one. `systemd`: sockets that are handed over. Overrides the configuration.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<ListenOn>,
    /// A name under which clients know the node; may be repeated. Overrides the configuration.
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    join: Join,
    /// Print one JSON object per line on standard output.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let environment = Environment::new(std::env::vars_os());
    let (done, json) = match Cli::parse().command {
        // What it says of its end is for people: standard output is for the one `ready`.
        Command::Serve(options) => (serve(&options, &environment), false),
        Command::Demo(options) => return demo::main(&options),
        Command::DevCluster(options) => (commands::dev_cluster::run(&options), options.json),
        Command::Config(options) => (commands::config::run(&options, &environment), options.json()),
        Command::Status(options) => (commands::admin::status(&options, &environment), options.at.json),
        Command::Backup(options) => (commands::admin::backup(&options, &environment), options.at.json),
        Command::Invite(options) => (commands::invite::run(&options, &environment), options.json()),
        Command::User(options) => (commands::user::run(&options, &environment), options.json()),
        Command::Audit(options) => (commands::audit::run(&options, &environment), options.json()),
        Command::Abuse(options) => (commands::abuse::run(&options, &environment), options.json()),
        Command::Cluster(options) => (commands::cluster::run(&options, &environment), options.json()),
        Command::Db(options) => (commands::db::run(&options, &environment), options.json()),
        Command::Edge(options) => (edge(&options, &environment), options.json()),
        Command::Tunnel(options) => (commands::tunnel::run(&options, &environment), options.json()),
        Command::Onion(options) => (commands::onion::run(&options, &environment), options.json()),
        Command::Restore(options) => (commands::restore::run(&options, &environment), options.at.json),
    };
    commands::end(done, json)
}

fn serve(options: &Serve, environment: &Environment) -> Result<(), Failure> {
    // Before anything is opened, and before there is a second thread.
    let handed_over = HandedOver::take()
        .map_err(|error| Failure::new("cannot use the sockets that were handed over").because(error.to_string()))?;
    let (mut config, connections_are_chosen) = configure(options, environment)?;
    let outside = Outside::read(environment.all())?;
    let joining = options.join.wanted(For::Node, environment)?;
    start_log(&config.log)?;
    if !connections_are_chosen {
        node::fit_default(&mut config);
    }
    let json = options.json;
    let system = actix_web::rt::System::new();
    let waits = Cell::new(false);
    let served = system.block_on(node::serve(config, outside, handed_over, joining, |news| {
        match news {
            News::Ready(ready) => announce(ready, json),
            News::Pending { node, name, seed } if !waits.replace(true) => {
                announce_pending("node", node, name, seed, json);
            }
            News::Pending { .. } | News::Stopping { .. } => {}
        }
        tell_systemd(news);
    }));
    served.map_err(|error| {
        let is_refusal = error.is_refusal();
        let failure = Failure::from(error);
        if is_refusal { failure.with_code(REFUSED) } else { failure }
    })
}

fn edge(options: &commands::edge::Options, environment: &Environment) -> Result<(), Failure> {
    if let Some(log) = options.log() {
        start_log(&log)?;
    }
    let waits = Cell::new(false);
    commands::edge::run(options, environment, |told| {
        let states = match told {
            Told::Ready => vec![NotifyState::Ready, NotifyState::Status("")],
            Told::Pending { edge, name, seed } => {
                if !waits.replace(true) {
                    announce_pending("edge", edge, name, seed, false);
                }
                let status = format!("pending: approve edge {edge}");
                return notify(&[NotifyState::Status(&status), NotifyState::ExtendTimeoutUsec(PENDING_USEC)]);
            }
        };
        notify(&states);
    })
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd does not hear how the edge is");
    }
}

/// What systemd is asked for while an operator is waited for; asked again before it is over.
const PENDING_USEC: u32 = 30_000_000;

/// For units of `Type=notify`; whoever else has started the node does not hear it.
fn tell_systemd(news: News<'_>) {
    let told = match news {
        News::Ready(_) => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status("")]),
        // An operator may take hours.
        News::Pending { node, .. } => sd_notify::notify(&[
            NotifyState::Status(&format!("pending: approve node {node}")),
            NotifyState::ExtendTimeoutUsec(PENDING_USEC),
        ]),
        News::Stopping { within } => {
            let micros = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
            sd_notify::notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)])
        }
    };
    if let Err(error) = told {
        tracing::warn!(%error, "systemd does not hear how the node is");
    }
}

/// openraft logs an error for each question to a node that is away, which links and `endtoend cluster status` say once; what ends it ends
/// the node, which says so itself. arti warns once a second of a Tor network that is small. Who wants to hear them names them.
fn filter_of(configured: &str) -> String {
    const QUIET: [(&str, &str); 2] = [("openraft", "off"), ("tor_netdir", "error")];
    if configured.trim() == "off" {
        return configured.to_owned();
    }
    let quiet = QUIET.into_iter().filter(|(name, _)| !configured.contains(name));
    let quiet = quiet.map(|(name, level)| format!("{name}={level}"));
    let parts: Vec<String> =
        Some(configured.to_owned()).filter(|text| !text.is_empty()).into_iter().chain(quiet).collect();
    parts.join(",")
}

fn start_log(config: &LogConfig) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter_of(&config.filter))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(true).with_span_list(false).init(),
    }
    Ok(())
}

/// The configuration, and whether somebody has chosen its number of connections.
fn configure(options: &Serve, environment: &Environment) -> Result<(Config, bool), ConfigError> {
    let effective = Effective::load(options.config.as_deref(), environment.settings())?;
    let connections_are_chosen = !effective.is_default("gateway", "connections_max");
    let mut config = effective.config;
    if let Some(data) = &options.data {
        config.storage.data.clone_from(data);
    }
    if let Some(listen) = options.listen {
        config.gateway.listen = listen;
    }
    if !options.names.is_empty() {
        config.gateway.names.clone_from(&options.names);
    }
    Ok((config, connections_are_chosen))
}

fn announce_pending(what: &str, id: NodeId, name: &str, seed: &str, json: bool) {
    let text = if json {
        let line = serde_json::json!({ "event": "pending", "node": id.to_string(), "name": name, "seed": seed });
        format!("{line}\n")
    } else {
        format!("pending: approve {what} {id} ({name}) on any node of the cluster:\n  endtoend cluster approve {id}\n")
    };
    tracing::info!(%id, name, seed, "pending: an operator has to approve this {what}");
    print(&text);
}

fn announce(ready: &Ready, json: bool) {
    let Ready { listen, pin, address, admin, onion } = ready;
    let text = if json {
        let line = serde_json::json!({
            "event": "ready", "listen": listen.to_string(), "pin": pin.to_string(), "address": address,
            "admin": admin, "onion": onion,
        });
        format!("{line}\n")
    } else {
        let onion = onion.as_ref().map(|onion| format!("  onion         {onion}\n")).unwrap_or_default();
        let hint = match listen.ip().is_loopback() {
            true => "\nOnly this machine can connect. To open it: --listen 0.0.0.0:8443 --name your.host.name\n",
            false => "",
        };
        format!(
            "Endtoend is ready.\n  listening on  {listen}\n  pin           {pin}\n  address       {address}\n{onion}{hint}\
             \nCreate an account:\n  endtoend-cli --server '{address}' register --handle alice\n"
        )
    };
    print(&text);
}

fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody may be reading any more; the node runs all the same.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
