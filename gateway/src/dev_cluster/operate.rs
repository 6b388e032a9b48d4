//! Asks nodes as an operator does: by the commands of this program.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::error::DevError;
use crate::child::command;

/// Runs a command at the node of this configuration; the last object that it prints.
///
/// # Errors
/// `Refused` with the words of the command, when it fails.
pub(super) fn operate(config: &Path, arguments: &[&str]) -> Result<Value, DevError> {
    let own = std::env::current_exe().map_err(DevError::io("find this program"))?;
    let ran = command(&own)
        .args(arguments)
        .arg("--json")
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .output()
        .map_err(DevError::io("run this program"))?;
    let (printed, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let command = arguments.join(" ");
    let last = printed.lines().last().unwrap_or_default();
    match (ran.status.success(), serde_json::from_str::<Value>(last)) {
        (true, Ok(object)) => Ok(object),
        (true, Err(_)) => Err(DevError::Unexpected { command, text: last.to_owned() }),
        (false, Ok(object)) => Err(DevError::Refused { command, text: words(&object) }),
        (false, Err(_)) => Err(DevError::Refused { command, text: stderr.trim().to_owned() }),
    }
}

/// Of an `error`.
fn words(object: &Value) -> String {
    let text = object.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
    let causes = object.get("causes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    causes.fold(text, |text, cause| format!("{text}: {cause}"))
}
