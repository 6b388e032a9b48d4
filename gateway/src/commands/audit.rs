//! `endtoend audit`: what happened to accounts, and whether it was tampered with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::admin::{AtNode, block_on, time, unexpected};
use super::user::named;
use super::{Environment, Failure, Out};
use crate::admin::{AdminAnswer, AdminRequest, AuditView, Named};
use crate::clock;

/// Between two looks of `--follow`.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
/// Rows asked for at a time.
const PAGE: u32 = 200;

/// `endtoend audit`
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show the last rows.
    Tail(Tail),
    /// Show rows of an account, of a kind, or of a time. Those of the last 90 days are kept.
    Query(Box<Query>),
    /// Check that no row was changed, dropped or added. Fails at the first that was.
    Verify(Verify),
}

#[derive(Args, Debug)]
struct Tail {
    /// How many rows, 200 at most.
    #[arg(long, short = 'n', value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(0..=200))]
    lines: u32,
    /// Go on with what is added, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    at: AtNode,
}

#[derive(Args)]
struct Query {
    /// Only of the account with this tag, or the first 8 hex digits or more of it.
    #[arg(long, value_name = "TAG", conflicts_with = "handle")]
    tag: Option<String>,
    /// Only of the account with this handle.
    #[arg(long, value_name = "NAME")]
    handle: Option<String>,
    /// Only events that begin so, like `token` or `password.login`.
    #[arg(long, value_name = "EVENT")]
    what: Option<String>,
    /// Not before: an RFC 3339 time, or how long ago, like `2h`.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<u64>,
    /// Not after.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<u64>,
    /// At most so many rows; of more, the first ones.
    #[arg(long, value_name = "N", default_value = "1000")]
    limit: u32,
    #[command(flatten)]
    at: AtNode,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Query(..)")
    }
}

#[derive(Args, Debug)]
struct Verify {
    #[command(flatten)]
    at: AtNode,
}

impl Options {
    pub fn json(&self) -> bool {
        match &self.command {
            Command::Tail(Tail { at, .. }) | Command::Verify(Verify { at }) => at.json,
            Command::Query(query) => query.at.json,
        }
    }
}

/// # Errors
/// When there is no node, or the audit is broken.
pub fn run(options: &Options, environment: &Environment) -> Result<(), Failure> {
    match &options.command {
        Command::Tail(options) => tail(options, environment),
        Command::Query(options) => query(options, environment),
        Command::Verify(Verify { at }) => verify(at, environment),
    }
}

/// What a page is asked for.
#[derive(Clone)]
struct Wanted {
    who: Option<Named>,
    event: Option<String>,
    since_ms: u64,
    until_ms: Option<u64>,
}

impl Wanted {
    const EVERYTHING: Self = Self { who: None, event: None, since_ms: 0, until_ms: None };

    fn page(
        &self,
        at: &AtNode,
        (after, last): (u64, Option<u32>),
        max: u32,
        environment: &Environment,
    ) -> Result<(Vec<AuditView>, u64, bool), Failure> {
        let Self { who, event, since_ms, until_ms } = self.clone();
        let request = AdminRequest::Audit { who, event, since_ms, until_ms, after, last, max };
        match at.ask(request, environment)? {
            AdminAnswer::Audit { rows, next, more } => Ok((rows, next, more)),
            _ => Err(unexpected()),
        }
    }
}

fn tail(Tail { lines, follow, at }: &Tail, environment: &Environment) -> Result<(), Failure> {
    let (rows, mut next, _) = Wanted::EVERYTHING.page(at, (0, Some(*lines)), PAGE, environment)?;
    show(at, &rows)?;
    if !follow {
        return Ok(());
    }
    loop {
        let (rows, last, more) = Wanted::EVERYTHING.page(at, (next, None), PAGE, environment)?;
        show(at, &rows)?;
        next = last;
        if !more {
            block_on(tokio::time::sleep(FOLLOW_INTERVAL))?;
        }
    }
}

fn query(options: &Query, environment: &Environment) -> Result<(), Failure> {
    let Query { tag, handle, what, since, until, limit, at } = options;
    let who = named(tag.as_ref(), handle.as_ref());
    let wanted = Wanted { who, event: what.clone(), since_ms: since.unwrap_or(0), until_ms: *until };
    let (mut left, mut after) = (*limit, 0);
    while left > 0 {
        let (rows, next, more) = wanted.page(at, (after, None), left.min(PAGE), environment)?;
        show(at, &rows)?;
        left = left.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        after = next;
        if !more {
            return Ok(());
        }
    }
    Ok(())
}

fn verify(at: &AtNode, environment: &Environment) -> Result<(), Failure> {
    match at.ask(AdminRequest::AuditVerify {}, environment)? {
        AdminAnswer::AuditVerdict { rows: Some(rows), broken: None } => {
            let object = json!({ "event": "audit_verified", "rows": rows });
            Ok(Out { json: at.json }.say(&object, &format!("intact: {rows} rows, each bound to the one before"))?)
        }
        AdminAnswer::AuditVerdict { broken: Some(seq), .. } => Err(Failure::new(format!(
            "the audit is broken at row {seq}: it was changed, dropped or added by somebody who has not the node's keys"
        ))),
        _ => Err(unexpected()),
    }
}

fn show(at: &AtNode, rows: &[AuditView]) -> Result<(), Failure> {
    let out = Out { json: at.json };
    rows.iter().try_for_each(|row| out.say(&object(row), &line(row)))?;
    Ok(())
}

fn line(row: &AuditView) -> String {
    let AuditView { seq, at_ms, account, device, event, outcome, signals } = row;
    let account = account.as_deref().unwrap_or("-");
    let device = device.map_or_else(String::new, |device| format!("/{device}"));
    format!("{seq}  {}  {account}{device}  {event}  {outcome}  {signals}", time(*at_ms)).trim_end().to_owned()
}

fn object(row: &AuditView) -> Value {
    let AuditView { seq, at_ms, account, device, event, outcome, signals } = row;
    let signals: Vec<&str> = signals.split_whitespace().collect();
    json!({
        "event": "audit", "seq": seq, "at_ms": at_ms, "account": account, "device": device, "what": event,
        "outcome": outcome, "signals": signals,
    })
}

/// Milliseconds since 1970, from a time or a duration before now.
fn moment(text: &str) -> Result<u64, String> {
    let since = |at: SystemTime| u64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis());
    match (humantime::parse_rfc3339_weak(text), humantime::parse_duration(text)) {
        (Ok(at), _) => since(at).map_err(|_| "no such time".to_owned()),
        (_, Ok(ago)) => Ok(clock::now().minus(ago).get()),
        _ => Err("a time like 2026-11-24T10:00:00Z, or how long ago, like 2h".to_owned()),
    }
}
