//! Lines for people and objects for programs, as they leave the program.

use std::io::{self, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use endtoend_protocol::UnixMillis;
use serde_json::{Value, json};

/// One object, one line, at once.
pub(crate) fn json_line(object: &Value) -> io::Result<()> {
    line(&object.to_string())
}

/// One line on standard output, at once.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// One line on standard error. If that is closed, nobody wants it.
pub(crate) fn note(text: &str) {
    let _written = writeln!(io::stderr().lock(), "{text}");
}

/// Words from outside as they may go to a terminal: no control characters but line ends and tabs, so that a message
/// can't move the cursor, change colours or type for its reader.
pub(crate) fn harmless(text: &str) -> String {
    let harmless = |c: char| !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if harmless(c) || matches!(c, '\n' | '\t') { c } else { '\u{fffd}' }).collect()
}

/// What a person should know of his clock.
pub(crate) fn clock_off(by: Duration, ahead: bool) -> String {
    let by = humantime::format_duration(Duration::from_secs(by.as_secs()));
    let side = if ahead { "ahead of" } else { "behind" };
    format!("this machine's clock is {by} {side} the server's: set it right, or connections may be refused")
}

pub(crate) fn clock_off_object(by: Duration, ahead: bool) -> Value {
    json!({ "event": "clock_off", "by_ms": u64::try_from(by.as_millis()).unwrap_or(u64::MAX), "ahead": ahead })
}

/// A moment for people: RFC 3339, UTC, to the second.
pub(crate) fn time(at: UnixMillis) -> String {
    // What no calendar holds shows as the last moment that ours does.
    let seconds = Duration::from_millis(at.get()).min(Duration::from_secs(253_402_300_799));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + seconds).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_from_outside_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\u{7}\u{202e}c\nd\té✓"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}c\nd\té✓");
    }

    #[test]
    fn every_moment_can_be_shown() {
        assert_eq!(time(UnixMillis::new(1_000)), "1970-01-01T00:00:01Z");
        assert_eq!(time(UnixMillis::new(u64::MAX)), "9999-12-31T23:59:59Z");
    }
}
