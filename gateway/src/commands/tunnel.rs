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
/// What the program ends with when options do not fit together, as with any that it does not know.
const USAGE: u8 = 2;

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
    /// With --via ssh: the port there; without it, or with 0, that machine chooses.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Via {
    /// A service in the Tor network, by Debian's package `tor`.
    Onion,
    /// A port of another machine, by `ssh -R`.
    Ssh,
    /// Any other program.
    Command,
}

impl Via {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Onion => "onion",
            Self::Ssh => "ssh",
            Self::Command => "command",
        }
    }
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

impl Start {
    /// # Errors
    /// When an option is another way's: whoever gave it means that way.
    fn way(&self) -> Result<Way, Failure> {
        let Self { via, to, port, ssh_config, command, .. } = self;
        let given = [
            ("--to", Via::Ssh, to.is_some()),
            ("--port", Via::Ssh, port.is_some()),
            ("--ssh-config", Via::Ssh, ssh_config.is_some()),
            ("--command", Via::Command, command.is_some()),
        ];
        if let Some((option, its, _)) = given.into_iter().find(|(_, its, given)| *given && its != via) {
            let [its, chosen] = [its, *via].map(Via::as_str);
            return Err(Failure::new(format!(
                "{option} is for --via {its}, and this is --via {chosen}: leave it out, or choose --via {its}"
            ))
            .with_code(USAGE));
        }
        Ok(match via {
            Via::Onion => Way::Onion,
            Via::Ssh => {
                let to = to.clone().unwrap_or_default();
                Way::Ssh { to, port: port.unwrap_or_default(), config: ssh_config.clone() }
            }
            Via::Command => Way::Command(command.clone().unwrap_or_default()),
        })
    }
}

fn start(options: &Start, environment: &Environment) -> Result<(), Failure> {
    let Start { public, at, .. } = options;
    let way = options.way()?;
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn way(arguments: &[&str]) -> Result<Way, String> {
        let line =
            Line::try_parse_from(["tunnel", "start"].iter().chain(arguments)).map_err(|error| error.to_string())?;
        let Command::Start(start) = line.options.command else { unreachable!("it is a start") };
        start.way().map_err(|failure| failure.text)
    }

    #[test]
    fn an_option_of_another_way_is_refused() {
        let ssh = |port| Ok(Way::Ssh { to: "relay".to_owned(), port, config: None });
        assert_eq!(way(&[]), Ok(Way::Onion));
        assert_eq!(way(&["--via", "ssh", "--to", "relay"]), ssh(0));
        assert_eq!(way(&["--via", "ssh", "--to", "relay", "--port", "7"]), ssh(7));
        assert_eq!(way(&["--via", "command", "--command", "x"]), Ok(Way::Command("x".to_owned())));
        for (arguments, why) in [
            (&["--to", "relay"] as &[_], "--to is for --via ssh, and this is --via onion"),
            (&["--port", "7"], "--port is for --via ssh, and this is --via onion"),
            (&["--via", "command", "--command", "x", "--ssh-config", "f"], "--ssh-config is for --via ssh"),
            (
                &["--via", "ssh", "--to", "relay", "--command", "x"],
                "--command is for --via command, and this is --via ssh",
            ),
            (&["--via", "ssh", "--to", "relay", "--ssh-config", ""], "--ssh-config"),
        ] {
            let refused = way(arguments);
            assert!(refused.as_ref().is_err_and(|text| text.contains(why)), "{arguments:?}: {refused:?}");
        }
    }
}
