//! `endtoend abuse`: how the limits are used.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::admin::{AtNode, unexpected};
use super::{Environment, Failure, Out};
use crate::admin::{AdminAnswer, AdminRequest, LimitView};

/// `endtoend abuse`
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show for each limit of a running node how often it was reached since its start.
    Stats(Stats),
}

#[derive(Args, Debug)]
struct Stats {
    #[command(flatten)]
    at: AtNode,
}

impl Options {
    pub fn json(&self) -> bool {
        let Command::Stats(Stats { at }) = &self.command;
        at.json
    }
}

/// # Errors
/// When no node runs there.
pub fn run(options: &Options, environment: &Environment) -> Result<(), Failure> {
    let Command::Stats(Stats { at }) = &options.command;
    let AdminAnswer::Abuse { connections, accounts, limits } = at.ask(AdminRequest::AbuseStats {}, environment)? else {
        return Err(unexpected());
    };
    let out = Out { json: at.json };
    let object = json!({ "event": "abuse", "connections": connections, "accounts": accounts });
    out.say(&object, &format!("{connections} connections of {accounts} accounts"))?;
    if !at.json {
        out.text("limit             allowed   refused   worked  counted  at once, then one each")?;
    }
    for limit in &limits {
        let LimitView { operation, burst, every_ms, allowed, refused, worked, subjects } = limit;
        let name = serde_json::to_value(operation)?;
        let object = json!({
            "event": "limit", "operation": name, "burst": burst, "every_ms": every_ms, "allowed": allowed,
            "refused": refused, "worked": worked, "subjects": subjects,
        });
        let name = if let Value::String(name) = &name { name.as_str() } else { "" };
        let every = humantime::format_duration(std::time::Duration::from_millis(*every_ms));
        let text = format!("{name:<16} {allowed:>8} {refused:>9} {worked:>8} {subjects:>8}  {burst}, {every}");
        out.say(&object, &text)?;
    }
    Ok(())
}
