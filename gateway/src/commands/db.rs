//! `endtoend db`: the database of a stopped node, and its way from SQLite to PostgreSQL and back.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use endtoend_storage::{AuditVerdict, TransferProgress, Transferred};
use serde_json::{Value, json};

use super::admin::{AtNode, Shown, age, block_on, waiting_for};
use super::{Environment, Failure, Out};
use crate::admin::Progress;
use crate::clock;
use crate::config::StorageConfig;
use crate::node::{ChosenStore, DataDir, Moved, Outside, configured_url, has_store, move_store, url_in};

/// How often a copy says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// `endtoend db`
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Say which database a stopped node has, its schema and its numbers. Changes nothing.
    Status(Look),
    /// Bring the schema of a stopped node's database up to date, as its next start would.
    Migrate(Look),
    /// Copy everything that a stopped node stores into a database of the other kind, and check it.
    Copy(Copy),
}

#[derive(Args, Debug)]
struct Look {
    #[command(flatten)]
    at: AtNode,
}

#[derive(Args, Debug)]
struct Copy {
    /// Where the node stores now.
    #[arg(long, value_name = "KIND")]
    from: Kind,
    /// Where it shall store from now on. A PostgreSQL database must be empty.
    #[arg(long, value_name = "KIND")]
    to: Kind,
    /// File with the PostgreSQL database's URL in its first line. Default: the one that the configuration names.
    #[arg(long, value_name = "FILE")]
    url_file: Option<PathBuf>,
    #[command(flatten)]
    at: AtNode,
}

/// Where a node stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A file in its data directory.
    Sqlite,
    /// A database on a server.
    Postgres,
}

impl Options {
    /// Whether objects are asked for.
    pub const fn json(&self) -> bool {
        match &self.command {
            Command::Status(look) | Command::Migrate(look) => look.at.json,
            Command::Copy(copy) => copy.at.json,
        }
    }
}

/// # Errors
/// When there is no node, it runs, or its database cannot be used.
pub fn run(options: &Options, environment: &Environment) -> Result<(), Failure> {
    match &options.command {
        Command::Status(look) => block_on(status(look, environment))?,
        Command::Migrate(look) => block_on(migrate(look, environment))?,
        Command::Copy(options) => block_on(copy(options, environment))?,
    }
}

/// The directory of a stopped node, which stays stopped while this is held. Nothing is made in a wrong place.
fn hold(storage: &StorageConfig) -> Result<DataDir, Failure> {
    if !has_store(&storage.data) {
        return Err(Failure::new(format!(
            "there is no node in {}: name its data directory with --data DIR, or its configuration with --config FILE",
            storage.data.display()
        )));
    }
    Ok(DataDir::open(&storage.data)?)
}

async fn status(look: &Look, environment: &Environment) -> Result<(), Failure> {
    let storage = look.at.storage(environment)?;
    let _held = hold(&storage)?;
    let chosen = ChosenStore::of(&storage)?;
    let store = chosen.open_as_found().await?;
    let stats = store.maintenance().stats().await;
    store.close().await;
    let (stats, newest) = (stats?, store.newest_schema());
    let state = match stats.schema.cmp(&newest) {
        std::cmp::Ordering::Less => "older: the next start, or `endtoend db migrate`, brings it up to date",
        std::cmp::Ordering::Equal => "current",
        std::cmp::Ordering::Greater => "newer: this program does not use it",
    };
    let oldest = stats.oldest_accepted_at.map(|accepted_at| age(accepted_at.get()));
    let object = json!({
        "event": "database", "kind": store.kind(), "database": chosen.place(), "schema": stats.schema,
        "newest_schema": newest, "accounts": stats.accounts, "devices": stats.devices,
        "queued_envelopes": stats.queued_envelopes, "oldest_queued_seconds": oldest.map(|age| age.as_secs()),
        "database_bytes": stats.bytes,
    });
    let text = format!(
        "database          {} ({})\nschema            {} ({state})\naccounts          {}\ndevices           {}\n\
         queued envelopes  {}{}\nsize              {} bytes",
        chosen.place(),
        store.kind(),
        stats.schema,
        stats.accounts,
        stats.devices,
        stats.queued_envelopes,
        oldest.map(waiting_for).unwrap_or_default(),
        stats.bytes
    );
    Ok(Out { json: look.at.json }.say(&object, &text)?)
}

async fn migrate(look: &Look, environment: &Environment) -> Result<(), Failure> {
    let storage = look.at.storage(environment)?;
    let _held = hold(&storage)?;
    let chosen = ChosenStore::of(&storage)?;
    let found = chosen.open_as_found().await?;
    let before = found.maintenance().stats().await;
    found.close().await;
    let before = before?.schema;
    let store = chosen.open().await?;
    store.close().await;
    let schema = store.newest_schema();
    let object = json!({ "event": "migrated", "database": chosen.place(), "schema_before": before, "schema": schema });
    let text = match before == schema {
        true => format!("{} has schema {schema} already", chosen.place()),
        false => format!("{} had schema {before} and has {schema}", chosen.place()),
    };
    Ok(Out { json: look.at.json }.say(&object, &text)?)
}

async fn copy(options: &Copy, environment: &Environment) -> Result<(), Failure> {
    if options.from == options.to {
        return Err(Failure::new(
            "a database is copied into one of the other kind only: use `endtoend backup`, or pg_dump and pg_restore",
        ));
    }
    let storage = options.at.configured(environment)?;
    let outside = Outside::read(environment.all())?;
    let named = match &options.url_file {
        Some(file) => Some(url_in(file)?),
        None => configured_url(&storage)?,
    };
    let url = named.ok_or_else(|| {
        Failure::new(
            "no PostgreSQL database is named: write its URL into a file and name that with --url-file FILE, or set [storage] \
             url or the variable ENDTOEND_STORAGE__URL",
        )
    })?;
    let data = hold(&storage)?.with_outside(outside);
    let mut shown = Shown::new(options.at.json);
    let mut told = clock::monotonic();
    let mut report = |progress: TransferProgress, bytes_total| {
        let now = clock::monotonic();
        if now.duration_since(told) >= PROGRESS_INTERVAL {
            told = now;
            let what = if progress.checking { "checking" } else { "copying" };
            let what = format!("{what} {}", progress.table);
            // A terminal that is gone does not stop a copy.
            let _ = shown.report(&Progress { what, bytes: progress.bytes, bytes_total });
        }
    };
    let moved = move_store(&data, &storage, url, options.to == Kind::Postgres, &mut report).await;
    shown.clear();
    let moved = moved?;
    let next = next_step(options, &storage);
    let (object, text) = describe(&moved, &next);
    Ok(Out { json: options.at.json }.say(&object, &text)?)
}

/// What the operator does now.
fn next_step(options: &Copy, storage: &StorageConfig) -> String {
    let configured = storage.url.get().is_some() || !storage.url_file.as_os_str().is_empty();
    match (&options.url_file, options.to) {
        (_, Kind::Sqlite) if configured => {
            "take url and url_file out of [storage], and ENDTOEND_STORAGE__URL out of the \
             environment; then start the node"
                .to_owned()
        }
        (Some(file), Kind::Postgres) if !configured => {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            let file = toml::Value::from(file.display().to_string());
            format!("write this into the configuration, and start the node:\n[storage]\nurl_file = {file}")
        }
        _ => "start the node: its configuration names the right database already".to_owned(),
    }
}

fn describe(moved: &Moved, next: &str) -> (Value, String) {
    let Moved { tables, audit, to, aside } = moved;
    let rows: u64 = tables.iter().map(|table| table.rows).sum();
    let (state, told) = match audit {
        None => ("unchecked", "not checked, because store.key is not here".to_owned()),
        Some(AuditVerdict::Intact { rows }) => ("intact", format!("intact, {rows} rows")),
        Some(AuditVerdict::Broken { seq }) => ("broken", format!("BROKEN at row {seq}, as it was before the copy")),
    };
    let listed: Vec<_> = tables.iter().map(object_of).collect();
    let object = json!({
        "event": "copied", "database": to, "rows": rows, "tables": listed, "audit": state, "moved_aside": aside,
        "next": next,
    });
    let mut text = format!("copied {rows} rows into {to}; they read back as they were written");
    for Transferred { table, rows, blake3 } in tables {
        text.push_str(&format!("\n  {table:<18} {rows:>10} rows  blake3 {}", hex::encode(blake3)));
    }
    text.push_str(&format!("\naudit  {told}"));
    if let Some(aside) = aside {
        text.push_str(&format!("\nThe old file is {}: delete it when you are sure.", aside.display()));
    }
    text.push_str(&format!("\nnext: {next}"));
    (object, text)
}

fn object_of(Transferred { table, rows, blake3 }: &Transferred) -> Value {
    json!({ "table": table, "rows": rows, "blake3": hex::encode(blake3) })
}
