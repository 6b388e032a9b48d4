//! `endtoend config`: write a node file, find its mistakes, show what is in effect.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Environment, Failure, Out};
use crate::config::{DEFAULT_FILE, EXAMPLE, Effective, Mistake, Origin, Place, Setting};
use crate::node::{ChosenStore, Outside, SecretOrigin, SecretState, secret_states};

/// `endtoend config`
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Write a file in which every key stands with its default and an explanation.
    Init(Init),
    /// Explain the mistakes in file and environment, and say where each secret comes from. Changes nothing.
    Check(Read),
    /// Print every value in effect and where it comes from. Secrets are not among them.
    Show(Read),
}

#[derive(Args, Debug)]
struct Init {
    /// Where to write it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    file: PathBuf,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Read {
    /// Configuration file. Default: ./endtoend.toml if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

impl Options {
    /// Whether objects are asked for.
    pub const fn json(&self) -> bool {
        match &self.command {
            Command::Init(init) => init.json,
            Command::Check(read) | Command::Show(read) => read.json,
        }
    }
}

/// # Errors
/// When a file is there already, or cannot be read or written, or what is in it is not valid.
pub fn run(options: &Options, environment: &Environment) -> Result<(), Failure> {
    match &options.command {
        Command::Init(init) => write(init),
        Command::Check(read) => check(read, environment),
        Command::Show(read) => show(read, environment),
    }
}

fn write(init: &Init) -> Result<(), Failure> {
    let path = init.file.display();
    match place(&init.file, init.force) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Failure::new(format!(
                "{path} is there already: name another --file, or replace it with --force"
            )));
        }
        Err(error) => return Err(Failure::new(format!("cannot write {path}: {error}"))),
    }
    let object = json!({ "event": "written", "file": init.file });
    Out { json: init.json }
        .say(&object, &format!("wrote {path}\nnext: edit it, then run `endtoend config check --config {path}`"))?;
    Ok(())
}

/// Whole or not at all.
fn place(file: &Path, force: bool) -> io::Result<()> {
    if !force {
        return OpenOptions::new().write(true).create_new(true).open(file)?.write_all(EXAMPLE.as_bytes());
    }
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".new");
    fs::write(&temporary, EXAMPLE)?;
    fs::rename(&temporary, file)
}

fn check(read: &Read, environment: &Environment) -> Result<(), Failure> {
    let out = Out { json: read.json };
    let effective = match Effective::load(read.config.as_deref(), environment.settings()) {
        Ok(effective) => effective,
        Err(error) => {
            if read.json {
                for mistake in error.mistakes() {
                    out.object(&mistake_object(mistake))?;
                }
            }
            return Err(error.into());
        }
    };
    let file = effective.file.as_ref().map_or("no file: the defaults".to_owned(), |file| file.display().to_string());
    let data = &effective.config.storage.data;
    let (chosen, refused) = match ChosenStore::of(&effective.config.storage) {
        Ok(chosen) => (chosen.place(), None),
        Err(error) => (format!("NOT USABLE: {error}"), Some(Failure::from(error))),
    };
    let (redis, unusable) = match effective.config.redis.open() {
        Ok(_) => (effective.config.redis.place(), None),
        Err(error) => (format!("NOT USABLE: {error}"), Some(Failure::from(error))),
    };
    out.say(
        &json!({
            "event": "config", "file": effective.file, "data": data, "valid": true,
            "database": if refused.is_none() { Value::from(&*chosen) } else { Value::Null },
            "redis": if unusable.is_none() && effective.config.redis.is_set() { Value::from(&*redis) } else { Value::Null },
        }),
        &format!(
            "configuration   {file}: valid\ndata directory  {}\ndatabase        {chosen}\nredis           {redis}",
            data.display()
        ),
    )?;
    let outside = Outside::read(environment.all())?;
    let mut refused = refused.or(unusable);
    for (secret, state) in secret_states(data, &outside) {
        let (from, place, text) = match &state {
            SecretState::Found(origin) => {
                let from = match origin {
                    SecretOrigin::Variable(_) => "environment",
                    SecretOrigin::Credential(_) => "credential",
                    SecretOrigin::File(_) => "file",
                };
                (Value::from(from), Value::from(origin.place()), origin.to_string())
            }
            SecretState::Shared => {
                (Value::from("cluster"), Value::Null, "shared by the nodes of the cluster, in control.db".to_owned())
            }
            SecretState::ToBeMade => (Value::Null, Value::Null, "not there: the first start makes it".to_owned()),
            SecretState::Refused(error) => (Value::Null, Value::Null, format!("NOT USABLE: {error}")),
        };
        let usable = !matches!(state, SecretState::Refused(_));
        out.say(
            &json!({
                "event": "secret", "name": secret.file, "from": from, "place": place, "usable": usable, "text": text,
                "variable": secret.variable(), "credential": secret.credential(), "loss": secret.loss,
            }),
            &format!("{:<15} {text}", secret.file),
        )?;
        if let SecretState::Refused(error) = state {
            refused = refused.or_else(|| Some(error.into()));
        }
    }
    refused.map_or(Ok(()), Err)
}

fn mistake_object(mistake: &Mistake) -> Value {
    let (file, line, variable) = match &mistake.place {
        Place::File { path, line } => (Some(path), Some(line), None),
        Place::Variable(name) => (None, None, Some(name)),
        Place::Whole => (None, None, None),
    };
    json!({
        "event": "mistake", "file": file, "line": line, "variable": variable, "text": mistake.text, "hint": mistake.hint,
    })
}

fn show(read: &Read, environment: &Environment) -> Result<(), Failure> {
    let out = Out { json: read.json };
    let effective = Effective::load(read.config.as_deref(), environment.settings())?;
    let mut section = String::new();
    for Setting { key, value, origin } in effective.settings() {
        let (from, file, line, variable) = match &origin {
            Origin::Default => ("default", None, None, None),
            Origin::File { path, line } => ("file", Some(path), Some(line), None),
            Origin::Variable(name) => ("environment", None, None, Some(name)),
        };
        let object = json!({
            "event": "setting", "section": key.section, "key": key.name, "value": value,
            "from": from, "file": file, "line": line, "variable": variable,
        });
        if key.section != section && !read.json {
            let gap = if section.is_empty() { "" } else { "\n" };
            out.text(&format!("{gap}[{}]", key.section))?;
            section.clone_from(&key.section);
        }
        // As the file would say it; what is off has no form in TOML.
        let line = match toml::Value::try_from(&value) {
            Ok(value) if !value.is_table() || !value.to_string().is_empty() => format!("{} = {value}", key.name),
            _ => format!("# {} is off", key.name),
        };
        out.say(&object, &format!("{line:<48} # {origin}"))?;
    }
    Ok(())
}
