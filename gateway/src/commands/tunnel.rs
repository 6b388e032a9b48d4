//! `endtoend tunnel`: a node behind a router, reached from elsewhere.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::admin::{AtNode, block_on, unexpected};
use super::{Environment, Failure, Out};
use crate::admin::{AdminAnswer, AdminRequest};
use crate::tunnel::{self, State, Status, Tunnel, Way};

/// In the data directory of the node.
const DIRECTORY: &str = "tunnel";

/// `endtoend tunnel`
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make the node that runs here reachable from elsewhere, until SIGTERM, Ctrl-C or `tunnel stop`.
    Start(Start),
    /// Say how the tunnel is.
    Status(At),
    /// End the tunnel, and only that.
    Stop(At),
}

#[derive(Args, Debug)]
struct Start {
    /// By what.
    #[arg(long, value_name = "WAY", default_value = "onion")]
    via: Via,
    /// With --via ssh: the machine, as `ssh` takes it. Its `GatewayPorts` decides who reaches the port there.
    #[arg(long, value_name = "[USER@]HOST", required_if_eq("via", "ssh"))]
    to: Option<String>,
    /// With --via ssh: the port there; 0 has that machine choose.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// With --via ssh: another configuration than the user's.
    #[arg(long, value_name = "FILE")]
    ssh_config: Option<PathBuf>,
    /// With --via command: a command of the shell that prints an address, like tcp://HOST:PORT. {address}, {host} and {port} in it are
    /// the node's own.
    #[arg(long, value_name = "COMMAND", required_if_eq("via", "command"))]
    command: Option<String>,
    /// Where clients connect, if that is not what the tunnel says.
    #[arg(long, value_name = "HOST:PORT", value_parser = public)]
    public: Option<(String, u16)>,
    #[command(flatten)]
    at: AtNode,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Via {
    /// A service in the Tor network, by Debian's package `tor`.
    Onion,
    /// A port of another machine, by `ssh -R`.
    Ssh,
    /// Any other program.
    Command,
}

#[derive(Args, Debug)]
struct At {
    #[command(flatten)]
    at: AtNode,
}

fn public(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("write it like chat.example.org:8443")?;
    let port = port.parse().map_err(|_| "the port is a number up to 65535")?;
    if host.is_empty() { Err("write it like chat.example.org:8443".to_owned()) } else { Ok((host.to_owned(), port)) }
}

impl Options {
    pub const fn json(&self) -> bool {
        match &self.command {
            Command::Start(Start { at, .. }) | Command::Status(At { at }) | Command::Stop(At { at }) => at.json,
        }
    }
}

/// # Errors
/// When there is no node or no tunnel, or the tunnel cannot begin.
pub fn run(options: &Options, environment: &Environment) -> Result<(), Failure> {
    match &options.command {
        Command::Start(options) => start(options, environment),
        Command::Status(At { at }) => {
            let status = block_on(tunnel::status(&at.data(environment)?.join(DIRECTORY)))??;
            say(at.json, "tunnel", &status)
        }
        Command::Stop(At { at }) => {
            let was = block_on(tunnel::stop(&at.data(environment)?.join(DIRECTORY)))??;
            let mut object = object("tunnel_stopped", &was)?;
            if let Some(fields) = object.as_object_mut() {
                fields.retain(|name, _| name == "event" || name == "via");
            }
            Ok(Out { json: at.json }.say(&object, "the tunnel has ended")?)
        }
    }
}

fn start(options: &Start, environment: &Environment) -> Result<(), Failure> {
    let Start { via, to, port, ssh_config, command, public, at } = options;
    let way = match via {
        Via::Onion => Way::Onion,
        Via::Ssh => Way::Ssh { to: to.clone().unwrap_or_default(), port: *port, config: ssh_config.clone() },
        Via::Command => Way::Command(command.clone().unwrap_or_default()),
    };
    let AdminAnswer::Status(status) = at.ask(AdminRequest::Status {}, environment)? else { return Err(unexpected()) };
    let running =
        status.running.ok_or_else(|| Failure::new("this node does not run: start it with `endtoend serve`"))?;
    let listen: SocketAddr = running.listen.parse().map_err(|_| unexpected())?;
    let (_, pin) = running.address.split_once("/#").ok_or_else(unexpected)?;
    // A tunnel begins on this machine.
    let node =
        if listen.ip().is_unspecified() { (IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()).into() } else { listen };
    let directory = status.data.join(DIRECTORY);
    let tunnel = Tunnel { directory, way, node, pin: pin.to_owned(), public: public.clone() };
    let json = at.json;
    block_on(tunnel::run(&tunnel, |status| {
        // Nobody may be reading any more; the tunnel goes on.
        let _ = say(json, "tunnel", status);
    }))??;
    Ok(())
}

fn object(event: &str, status: &Status) -> Result<Value, Failure> {
    let mut object = serde_json::to_value(status)?;
    if let Some(fields) = object.as_object_mut() {
        fields.insert("event".to_owned(), event.into());
    }
    Ok(object)
}

fn say(json: bool, event: &str, status: &Status) -> Result<(), Failure> {
    Ok(Out { json }.say(&object(event, status)?, &text(status))?)
}

fn text(status: &Status) -> String {
    let Status { via, state, address, node, starts, fault, notice, .. } = status;
    let mut text = match state {
        State::Starting => format!("tunnel by {via} to {node}: starting"),
        State::Waiting => {
            let fault = fault.as_deref().unwrap_or("it does not say why");
            format!(
                "tunnel by {via} to {node}: the program has ended ({fault}) and is started again; started {starts} times"
            )
        }
        State::Up => format!("tunnel by {via} to {node}: up"),
    };
    if let (State::Up, Some(address)) = (state, address) {
        text.push_str(&format!("\n  {address}"));
        if let Some(code) = super::qr::text(address) {
            text.push_str(&format!("\n{code}"));
        }
    }
    if let Some(notice) = notice {
        text.push_str(&format!("\n  notice: {notice}"));
    }
    text
}
