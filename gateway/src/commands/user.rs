//! `endtoend user`: the accounts of a node, which it knows by their tags.

use std::io::{self, IsTerminal as _};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::admin::{AtNode, time, unexpected};
use super::{Environment, Failure, Out};
use crate::admin::{AdminAnswer, AdminRequest, Named, UserView};

/// `endtoend user`
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show accounts: tags, devices, what waits. A node has no handles to show.
    List(List),
    /// Let nobody log in to an account, and end its connections. What waits for it stays, and so does the password.
    Disable(One),
    /// Let its devices in again.
    Enable(One),
    /// Delete an account with everything that it has. Its handle is free again.
    Delete(Delete),
}

/// Which account.
#[derive(Args, Clone, PartialEq, Eq)]
#[group(required = true, multiple = false)]
pub(super) struct Account {
    /// Its tag, or the first 8 hex digits or more.
    #[arg(value_name = "TAG")]
    tag: Option<String>,
    /// Its handle; the node computes the tag and keeps nothing of it.
    #[arg(long, value_name = "NAME")]
    handle: Option<String>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({:?})", self.tag)
    }
}

impl Account {
    pub(super) fn named(&self) -> Result<Named, Failure> {
        named(self.tag.as_ref(), self.handle.as_ref())
            .ok_or_else(|| Failure::new("name an account: TAG or --handle NAME"))
    }
}

/// What a request says for one of the two.
pub(super) fn named(tag: Option<&String>, handle: Option<&String>) -> Option<Named> {
    handle.cloned().map(Named::Handle).or_else(|| tag.cloned().map(Named::Tag))
}

#[derive(Args, Debug)]
struct List {
    /// Only the one whose tag begins so, or of this handle.
    #[arg(value_name = "TAG", conflicts_with = "handle", default_value = "")]
    prefix: String,
    /// Only the one of this handle.
    #[arg(long, value_name = "NAME")]
    handle: Option<String>,
    #[command(flatten)]
    at: AtNode,
}

#[derive(Args, Debug)]
struct One {
    #[command(flatten)]
    account: Account,
    #[command(flatten)]
    at: AtNode,
}

#[derive(Args, Debug)]
struct Delete {
    #[command(flatten)]
    account: Account,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    at: AtNode,
}

impl Options {
    pub fn json(&self) -> bool {
        match &self.command {
            Command::List(List { at, .. })
            | Command::Disable(One { at, .. })
            | Command::Enable(One { at, .. })
            | Command::Delete(Delete { at, .. }) => at.json,
        }
    }
}

/// # Errors
/// When there is no node, or no such account.
pub fn run(options: &Options, environment: &Environment) -> Result<(), Failure> {
    match &options.command {
        Command::List(options) => list(options, environment),
        Command::Disable(one) => disable(one, true, environment),
        Command::Enable(one) => disable(one, false, environment),
        Command::Delete(options) => delete(options, environment),
    }
}

fn list(List { prefix, handle, at }: &List, environment: &Environment) -> Result<(), Failure> {
    let out = Out { json: at.json };
    if let Some(who) = named(None, handle.as_ref()) {
        return show(at, &one(at, AdminRequest::UserShow { who }, environment)?, "user");
    }
    let mut after = None;
    loop {
        let request = AdminRequest::UserList { prefix: prefix.clone(), after };
        let AdminAnswer::Users { users, more } = at.ask(request, environment)? else { return Err(unexpected()) };
        for user in &users {
            out.say(&object(user, "user"), &line(user))?;
        }
        after = users.last().map(|user| user.tag.clone());
        if !more || after.is_none() {
            return Ok(());
        }
    }
}

fn disable(One { account, at }: &One, disabled: bool, environment: &Environment) -> Result<(), Failure> {
    let request = AdminRequest::UserDisable { who: account.named()?, disabled };
    show(at, &one(at, request, environment)?, if disabled { "disabled" } else { "enabled" })
}

fn delete(Delete { account, yes, at }: &Delete, environment: &Environment) -> Result<(), Failure> {
    let who = account.named()?;
    if !yes {
        let user = one(at, AdminRequest::UserShow { who: who.clone() }, environment)?;
        confirm(at.json, &user)?;
    }
    show(at, &one(at, AdminRequest::UserDelete { who }, environment)?, "deleted")
}

fn confirm(json: bool, user: &UserView) -> Result<(), Failure> {
    if json || !io::stdin().is_terminal() {
        return Err(Failure::new("this asks a person: with --yes it does not ask"));
    }
    Out { json }
        .text(&format!("{}\nThis deletes it with everything that it has. Type delete to go on:", line(user)))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim() == "delete" { Ok(()) } else { Err(Failure::new("nothing was changed")) }
}

fn one(at: &AtNode, request: AdminRequest, environment: &Environment) -> Result<UserView, Failure> {
    match at.ask(request, environment)? {
        AdminAnswer::User(user) => Ok(user),
        _ => Err(unexpected()),
    }
}

fn show(at: &AtNode, user: &UserView, event: &str) -> Result<(), Failure> {
    let text = if event == "user" { line(user) } else { format!("{event}: {}", line(user)) };
    Ok(Out { json: at.json }.say(&object(user, event), &text)?)
}

fn line(user: &UserView) -> String {
    let UserView { tag, created_at_ms, disabled_at_ms, devices, queued_envelopes } = user;
    let disabled = disabled_at_ms.map_or_else(String::new, |at| format!(", disabled since {}", time(at)));
    let created = time(*created_at_ms);
    format!("{tag}  since {created}, {devices} devices, {queued_envelopes} envelopes wait{disabled}")
}

fn object(user: &UserView, event: &str) -> Value {
    let UserView { tag, created_at_ms, disabled_at_ms, devices, queued_envelopes } = user;
    json!({
        "event": event, "tag": tag, "created_at_ms": created_at_ms, "disabled_at_ms": disabled_at_ms, "devices": devices,
        "queued_envelopes": queued_envelopes,
    })
}
