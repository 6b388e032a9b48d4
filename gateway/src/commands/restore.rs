//! `endtoend restore`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::admin::{AtNode, Shown, block_on, time};
use super::{Environment, Failure, Out};
use crate::backup::{Restored, restore};
use crate::clock;
use crate::node::Outside;

/// `endtoend restore`
#[derive(Args, Debug)]
pub struct Options {
    /// A directory that `endtoend backup` made.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Restore although the data directory is not empty: what is there is moved aside, within it.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pub at: AtNode,
}

/// # Errors
/// When the backup is damaged or too new, or the data directory is not empty or in use.
pub fn run(options: &Options, environment: &Environment) -> Result<(), Failure> {
    let data = options.at.data(environment)?;
    let outside = Outside::read(environment.all())?.files();
    let mut shown = Shown::new(options.at.json);
    // A terminal that is gone does not stop a restore.
    let mut report = |progress: &_| drop(shown.report(progress));
    let restored = block_on(restore(&options.from, &data, options.force, clock::now(), &mut report))?;
    shown.clear();
    let Restored { data, manifest, aside } = restored?;
    let wanting: Vec<_> = manifest.secrets_elsewhere.iter().filter(|file| !outside.contains(&&***file)).collect();
    let object = json!({
        "event": "restored", "data": data, "created_at_ms": manifest.created_at_ms, "schema": manifest.schema,
        "moved_aside": aside, "secrets_elsewhere": manifest.secrets_elsewhere,
    });
    let mut text = format!("restored the backup of {} into {}", time(manifest.created_at_ms), data.display());
    if let Some(aside) = aside {
        text.push_str(&format!("\nWhat was there is in {}: delete it when you are sure.", aside.display()));
    }
    if !wanting.is_empty() {
        let wanting: Vec<_> = wanting.into_iter().map(String::as_str).collect();
        text.push_str(&format!(
            "\nNOT in the backup: {}. The node needs them from the environment or from systemd, as before.",
            wanting.join(", ")
        ));
    }
    text.push_str("\nnext: start the node");
    Ok(Out { json: options.at.json }.say(&object, &text)?)
}
