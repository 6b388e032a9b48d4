//! `endtoend invite`: who may register where registration is by invitation.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::admin::{AtNode, time, unexpected};
use super::{Environment, Failure, Out};
use crate::admin::{AdminAnswer, AdminRequest, InviteView};
use crate::services::Registration;

/// Longest life of an invitation: a year.
const LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// `endtoend invite`
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make an invitation, and show its code this once.
    Create(Create),
    /// Show those that are valid. Their codes are not kept.
    List(List),
    /// End an invitation. Whoever has used it stays.
    Revoke(Revoke),
}

#[derive(Args, Debug)]
struct Create {
    /// How many people may register with it.
    #[arg(long, value_name = "N", default_value = "1")]
    uses: NonZeroU32,
    /// How long it is good, like `12h` or `7d`; a year at most.
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
    expires: Duration,
    /// Written beside it, 100 bytes at most. Whoever steals the database reads it: write no names.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    at: AtNode,
}

#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    at: AtNode,
}

#[derive(Args, Debug)]
struct Revoke {
    /// Its code, or the id that the list shows.
    #[arg(value_name = "CODE|ID")]
    invite: String,
    #[command(flatten)]
    at: AtNode,
}

impl Options {
    pub fn json(&self) -> bool {
        match &self.command {
            Command::Create(Create { at, .. }) | Command::List(List { at }) | Command::Revoke(Revoke { at, .. }) => {
                at.json
            }
        }
    }
}

/// # Errors
/// When there is no node, or it refuses.
pub fn run(options: &Options, environment: &Environment) -> Result<(), Failure> {
    match &options.command {
        Command::Create(options) => create(options, environment),
        Command::List(List { at }) => list(at, environment),
        Command::Revoke(Revoke { invite, at }) => {
            let request = AdminRequest::InviteRevoke { invite: invite.clone() };
            let AdminAnswer::InviteRevoked {} = at.ask(request, environment)? else { return Err(unexpected()) };
            let object = json!({ "event": "revoked", "invite": invite });
            Ok(Out { json: at.json }.say(&object, "the invitation is no longer valid")?)
        }
    }
}

fn create(Create { uses, expires, note, at }: &Create, environment: &Environment) -> Result<(), Failure> {
    if expires.is_zero() || *expires > LIFE_MAX {
        return Err(Failure::new("an invitation is good for some time, a year at most"));
    }
    let life_ms = u64::try_from(expires.as_millis()).unwrap_or(u64::MAX);
    let request = AdminRequest::InviteCreate { uses: uses.get(), life_ms, note: note.clone() };
    let AdminAnswer::InviteCreated { code, invite } = at.ask(request, environment)? else { return Err(unexpected()) };
    let object = object(&invite, Some(&code));
    let text = format!(
        "{code}\nGood for {} until {}. This is shown once. Whoever has it: endtoend-cli register --invite {code}",
        people(invite.uses),
        time(invite.expires_at_ms),
    );
    Ok(Out { json: at.json }.say(&object, &text)?)
}

fn list(at: &AtNode, environment: &Environment) -> Result<(), Failure> {
    let AdminAnswer::Invites { registration, invites } = at.ask(AdminRequest::InviteList {}, environment)? else {
        return Err(unexpected());
    };
    let out = Out { json: at.json };
    for invite in &invites {
        let InviteView { id, note, uses, uses_left, expires_at_ms, .. } = invite;
        let text = format!("{id}  {uses_left} of {uses} left, until {}  {note}", time(*expires_at_ms));
        out.say(&object(invite, None), text.trim_end())?;
    }
    if !at.json && invites.is_empty() {
        out.text("there are no valid invitations")?;
    }
    if !at.json && registration.is_some_and(|policy| policy != Registration::Invite) {
        out.text("Registration does not ask for one: see [accounts] registration.")?;
    }
    Ok(())
}

fn people(number: u32) -> String {
    if number == 1 { "one person".to_owned() } else { format!("{number} people") }
}

/// The code only where it has just been made.
fn object(invite: &InviteView, code: Option<&str>) -> Value {
    let InviteView { id, note, uses, uses_left, created_at_ms, expires_at_ms } = invite;
    json!({
        "event": "invite", "code": code, "id": id, "note": note, "uses": uses, "uses_left": uses_left, "created_at_ms": created_at_ms,
        "expires_at_ms": expires_at_ms,
    })
}
