//! `endtoend status` and `endtoend backup`: commands that a node answers.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use endtoend_protocol::UnixMillis;
use serde_json::{Value, json};

use super::{Environment, Failure, Out};
use crate::admin::{AdminAnswer, AdminRequest, OnionView, Progress, Status, ask};
use crate::backup::BackupDone;
use crate::clock;
use crate::config::{Config, StorageConfig};
use crate::node::{ELSEWHERE, Outside};

/// Which node, and how to print.
#[derive(Args, Clone, Debug)]
pub struct AtNode {
    /// Data directory of the node. Overrides the configuration.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file that names the data directory, and the database if that is elsewhere. Default: ./endtoend.toml if
    /// it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object per line.
    #[arg(long)]
    pub json: bool,
}

impl AtNode {
    /// The configuration that was named.
    pub(super) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The data directory that was named, or the one of the configuration.
    pub(super) fn data(&self, environment: &Environment) -> Result<PathBuf, Failure> {
        match &self.data {
            Some(data) => Ok(data.clone()),
            None => Ok(Config::load(self.config.as_deref(), environment.settings())?.storage.data),
        }
    }

    /// The data directory, and with it the database. A configuration that is not needed for that is not read: the one in
    /// the working directory may be another node's.
    pub(super) fn storage(&self, environment: &Environment) -> Result<StorageConfig, Failure> {
        match &self.data {
            Some(data) if self.config.is_none() && !data.join(ELSEWHERE).exists() => {
                Ok(StorageConfig { data: data.clone(), ..StorageConfig::default() })
            }
            _ => self.configured(environment),
        }
    }

    /// All that the configuration says of the store.
    pub(super) fn configured(&self, environment: &Environment) -> Result<StorageConfig, Failure> {
        let storage = Config::load(self.config.as_deref(), environment.settings())?.storage;
        Ok(StorageConfig { data: self.data.clone().unwrap_or(storage.data), ..storage })
    }

    /// Asks the node, and turns what it refuses into a failure.
    pub(super) fn ask(&self, request: AdminRequest, environment: &Environment) -> Result<AdminAnswer, Failure> {
        let storage = self.storage(environment)?;
        let outside = Outside::read(environment.all())?;
        let mut shown = Shown::new(self.json);
        let answer = block_on(ask(&storage, &outside, request, |progress| shown.report(progress)));
        shown.clear();
        match answer?? {
            AdminAnswer::Failed(failure) => Err(failure),
            answer => Ok(answer),
        }
    }
}

/// Runs a command's future to its end.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, work))
}

/// Progress, as objects, or as a line on a terminal that is written over.
pub(super) struct Shown {
    json: bool,
    terminal: bool,
    any: bool,
}

impl Shown {
    pub(super) fn new(json: bool) -> Self {
        Self { json, terminal: io::stderr().is_terminal(), any: false }
    }

    pub(super) fn report(&mut self, progress: &Progress) -> io::Result<()> {
        let Some(object) = said(progress) else { return Ok(()) };
        if self.json {
            return Out { json: true }.object(&object);
        }
        let Progress { what, bytes, bytes_total } = progress;
        if self.terminal {
            self.any = true;
            let (now, all) = (bytes / 1_000_000, bytes_total / 1_000_000);
            let _ = write!(io::stderr().lock(), "\r\x1b[K{what}: {now} of {all} MB");
        }
        Ok(())
    }

    pub(super) fn clear(&self) {
        if self.any {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// Progress for programs. Work that does not tell how far it is has none: it is only slow.
fn said(Progress { what, bytes, bytes_total }: &Progress) -> Option<Value> {
    let object = || json!({ "event": "progress", "what": what, "bytes": bytes, "bytes_total": bytes_total });
    (!what.is_empty()).then(object)
}

/// A moment for people: RFC 3339, UTC, to the second.
/// How long ago that was, in whole seconds.
pub(super) fn age(accepted_ms: u64) -> Duration {
    Duration::from_secs(clock::now().since(UnixMillis::new(accepted_ms)).as_secs())
}

/// Of the oldest one, behind how many wait.
pub(super) fn waiting_for(age: Duration) -> String {
    format!(", the oldest for {}", humantime::format_duration(age))
}

pub(super) fn time(ms: u64) -> String {
    // What no calendar holds shows as the last moment that ours does.
    let seconds = Duration::from_millis(ms).min(Duration::from_secs(253_402_300_799));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + seconds).to_string()
}

pub(super) fn unexpected() -> Failure {
    Failure::new("the node gave the answer to another question: use the endtoend program of the node's own version")
}

/// `endtoend status`
#[derive(Args, Debug)]
pub struct StatusOptions {
    #[command(flatten)]
    pub at: AtNode,
}

/// # Errors
/// When there is no node, or it does not answer.
pub fn status(options: &StatusOptions, environment: &Environment) -> Result<(), Failure> {
    let AdminAnswer::Status(status) = options.at.ask(AdminRequest::Status {}, environment)? else {
        return Err(unexpected());
    };
    let Status {
        version,
        running,
        data,
        schema,
        accounts,
        devices,
        queued_envelopes,
        oldest_accepted_ms,
        database_bytes,
    } = status;
    let oldest = oldest_accepted_ms.map(age);
    let object = json!({
        "event": "status", "version": version, "running": running.is_some(),
        "since_ms": running.as_ref().map(|running| running.since_ms),
        "state": running.as_ref().map(|running| &running.state),
        "listen": running.as_ref().map(|running| &running.listen),
        "address": running.as_ref().map(|running| &running.address),
        "pid": running.as_ref().map(|running| running.pid),
        "admin": running.as_ref().map(|running| &running.admin),
        "ready": running.as_ref().map(|running| running.not_ready.is_empty()),
        "not_ready": running.as_ref().map(|running| &running.not_ready),
        "onion": running.as_ref().and_then(|running| running.onion.as_ref()),
        "data": data, "schema": schema, "accounts": accounts, "devices": devices,
        "queued_envelopes": queued_envelopes, "oldest_queued_seconds": oldest.map(|age| age.as_secs()),
        "database_bytes": database_bytes,
    });
    let state = match &running {
        Some(running) => format!(
            "running since {} (process {}, {})\nready             {}\nlistening on      {}\naddress           {}{}\nwatched at        {}",
            time(running.since_ms),
            running.pid,
            running.state,
            match &running.not_ready[..] {
                [] => "yes".to_owned(),
                reasons => format!("no: {}", reasons.join(", ")),
            },
            running.listen,
            running.address,
            running.onion.as_ref().map(|onion| format!("\nonion service     {}", shown(onion))).unwrap_or_default(),
            running.admin.as_deref().unwrap_or("nowhere ([admin] listen)"),
        ),
        None => "stopped".to_owned(),
    };
    let text = format!(
        "node              {state}\nversion           {version}\ndata directory    {}\nschema            {schema}\n\
         accounts          {accounts}\ndevices           {devices}\nqueued envelopes  {queued_envelopes}{}\n\
         database          {database_bytes} bytes",
        data.display(),
        oldest.map(waiting_for).unwrap_or_default(),
    );
    Ok(Out { json: options.at.json }.say(&object, &text)?)
}

/// An onion service in one line.
pub(super) fn shown(OnionView { address, host, state, detail }: &OnionView) -> String {
    let detail = detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
    match host.as_str() {
        "tor" => format!("{address} (hosted by a tor beside the node)"),
        _ => format!("{address} ({state}{detail})"),
    }
}

/// `endtoend backup`
#[derive(Args, Debug)]
pub struct BackupOptions {
    /// The directory to make. If it is there, a new one is made inside it, named for the time.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    pub at: AtNode,
}

/// # Errors
/// When there is no node, or the backup cannot be made.
pub fn backup(options: &BackupOptions, environment: &Environment) -> Result<(), Failure> {
    // The node has another working directory.
    let to = std::path::absolute(&options.to)?;
    let AdminAnswer::Backup(done) = options.at.ask(AdminRequest::Backup { to }, environment)? else {
        return Err(unexpected());
    };
    let BackupDone { path, created_at_ms, schema, files, bytes, secrets_elsewhere } = done;
    let object = json!({
        "event": "backup", "path": path, "created_at_ms": created_at_ms, "schema": schema, "files": files,
        "bytes": bytes, "secrets_elsewhere": secrets_elsewhere,
    });
    let mut text = format!(
        "backup complete: {} ({bytes} bytes)\nIt holds the node's secrets: whoever has it can pose as the node. Keep it \
         encrypted, and on another machine.",
        path.display()
    );
    if !secrets_elsewhere.is_empty() {
        text.push_str(&format!(
            "\nNOT in it, because not in the data directory: {}. Keep them where they come from.",
            secrets_elsewhere.join(", ")
        ));
    }
    Ok(Out { json: options.at.json }.say(&object, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_tells_nothing_has_no_progress() {
        assert_eq!(said(&Progress::default()), None);
        let told = Progress { what: "database".to_owned(), bytes: 1, bytes_total: 2 };
        let object = json!({ "event": "progress", "what": "database", "bytes": 1, "bytes_total": 2 });
        assert_eq!(said(&told), Some(object));
    }
}
