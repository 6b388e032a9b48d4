//! `endtoend onion`: the node's address in the Tor network.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use endtoend_crypto_core::visitor::VisitorSecret;
use serde_json::json;

use super::admin::AtNode;
use super::{Environment, Failure, Out};
use crate::config::{Config, ListenOn};
use crate::node::{Outside, found_onion_key};
use crate::onion::{export, torrc};

/// `endtoend onion`
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Write what a tor beside the node needs to host its onion service: keys, clients, and the lines for its torrc.
    Export(Export),
    /// Make the key pair of a client that may find the service: one line for `[onion] clients`, one for the client.
    ClientKey(ClientKey),
}

#[derive(Args, Debug)]
struct Export {
    /// The directory to make. The tor has to own it in the end.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    at: AtNode,
}

#[derive(Args, Debug)]
struct ClientKey {
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

impl Options {
    pub const fn json(&self) -> bool {
        match &self.command {
            Command::Export(Export { at, .. }) => at.json,
            Command::ClientKey(ClientKey { json }) => *json,
        }
    }
}

/// # Errors
/// When the node has no onion service, or the directory cannot be made.
pub fn run(options: &Options, environment: &Environment) -> Result<(), Failure> {
    match &options.command {
        Command::Export(options) => write(options, environment),
        Command::ClientKey(ClientKey { json }) => {
            let secret = VisitorSecret::generate(&mut rand::rng());
            let (public, secret) = (secret.public(), secret.to_text());
            let text = format!("for [onion] clients   {public}\nfor the client        {}", *secret);
            let object = json!({ "event": "client_key", "public": public.to_string(), "secret": *secret });
            Ok(Out { json: *json }.say(&object, &text)?)
        }
    }
}

fn write(Export { to, at }: &Export, environment: &Environment) -> Result<(), Failure> {
    let config = Config::load(at.config(), environment.settings())?;
    let (data, onion) = (at.data(environment)?, &config.onion);
    if !onion.enabled {
        return Err(Failure::new("the node has no onion service: set `enabled = true` in [onion], and restart it"));
    }
    let target = match (onion.target, config.gateway.listen) {
        (Some(target), _) => target,
        (None, ListenOn::Address(listen)) if !listen.ip().is_unspecified() && listen.port() != 0 => listen,
        (None, _) => {
            return Err(Failure::new(
                "[gateway] listen does not say where a tor on this machine finds the node: set `target` in [onion]",
            ));
        }
    };
    let key = found_onion_key(&data, &Outside::read(environment.all())?)?;
    let key = key.ok_or_else(|| Failure::new("the node has no onion.key yet: start it once with [onion] enabled"))?;
    export(to, &key, &onion.client_keys()?).map_err(|error| {
        Failure::new(format!("cannot make {}: name a new directory with --to", to.display())).because(error.to_string())
    })?;
    let folder = std::path::absolute(to)?;
    let (lines, host) = (torrc(&folder, onion.port, target), key.host());
    let object = json!({ "event": "exported", "folder": folder, "host": host, "torrc": lines });
    let text = format!(
        "{host} is in {}\nIt holds the service's key: whoever has it can pose as the service, and not as the node. Give it to the \
         user that runs tor, and write into its torrc:\n\n{lines}",
        folder.display()
    );
    Ok(Out { json: at.json }.say(&object, &text)?)
}
