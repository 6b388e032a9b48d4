//! What has come of a command.

use serde_json::Value;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::output::{json_line, line};

/// Tells it: the object to programs, the text to people.
pub(crate) fn done(arguments: &Arguments, object: &Value, text: &str) -> Result<(), Failure> {
    match arguments.json {
        true => json_line(object)?,
        false => line(text)?,
    }
    Ok(())
}
