//! A file as it is told: what it is, how far it is, why it did not get through.

use std::io::{self, IsTerminal as _, Write as _};

use endtoend_client::database::{Body, FileFault, FileState, StoredFile};
use endtoend_client::engine::{EngineHandle, FileStep};
use endtoend_client::handle::Handle;
use endtoend_protocol::{MessageId, Shown};
use serde_json::{Value, json};

use crate::failure::{Failure, Kind};
use crate::output;

/// How far a file is, in one line that is written over, where a person watches.
pub(crate) struct Bar {
    shown: bool,
}

/// Between the brackets.
const BAR_CHARS: u64 = 30;

impl Bar {
    /// Nothing is shown yet.
    pub(crate) const fn new() -> Self {
        Self { shown: false }
    }

    /// Shows a step, unless standard error is no terminal.
    pub(crate) fn show(&mut self, step: FileStep) {
        if !io::stderr().is_terminal() {
            return;
        }
        let mut err = io::stderr().lock();
        // If it is closed, nobody wants it.
        let _written = match step {
            FileStep::Moved { done, bytes } => {
                self.shown = true;
                write!(err, "\r{}", bar(done, bytes)).and_then(|()| err.flush())
            }
            FileStep::Is(_) if self.shown => {
                self.shown = false;
                writeln!(err)
            }
            FileStep::Is(_) => Ok(()),
        };
    }
}

fn bar(done: u64, bytes: u64) -> String {
    let filled = done.saturating_mul(BAR_CHARS).checked_div(bytes).unwrap_or(BAR_CHARS).min(BAR_CHARS);
    let [filled, empty] = [filled, BAR_CHARS.saturating_sub(filled)].map(|count| usize::try_from(count).unwrap_or(0));
    format!("[{}{}] {} of {}  ", "=".repeat(filled), " ".repeat(empty), size(done), size(bytes))
}

/// A length for people.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB"];
    let (mut whole, mut rest, mut at) = (bytes, 0, 0);
    while whole >= 1024 && at + 1 < units.len() {
        (rest, whole, at) = (whole % 1024, whole / 1024, at + 1);
    }
    let unit = units.get(at).copied().unwrap_or("GiB");
    if at == 0 { format!("{whole} {unit}") } else { format!("{whole}.{} {unit}", rest * 10 / 1024) }
}

/// The file of a message as `history --json` and `listen --json` print it.
pub(crate) fn object(stored: &StoredFile) -> Value {
    let file = &stored.file;
    let mut object = json!({
        "name": file.name.as_str(), "media_type": file.media_type.as_str(), "bytes": file.bytes,
        "blake3": hex::encode(file.hash), "state": stored.state.as_str(), "kind": "file",
    });
    if let Some(fields) = object.as_object_mut() {
        match &file.shown {
            Shown::File => {}
            Shown::Picture(picture) => {
                fields.insert("kind".to_owned(), json!("picture"));
                fields.insert("width".to_owned(), json!(picture.width()));
                fields.insert("height".to_owned(), json!(picture.height()));
            }
            Shown::Voice(voice) => {
                fields.insert("kind".to_owned(), json!("voice"));
                fields.insert("duration_ms".to_owned(), json!(voice.duration_ms));
                fields.insert("waveform".to_owned(), json!(hex::encode(voice.waveform())));
            }
        }
    }
    object
}

/// The file of a message for people.
pub(crate) fn spoken(stored: &StoredFile) -> String {
    let file = &stored.file;
    let more = match &file.shown {
        Shown::File => String::new(),
        Shown::Picture(picture) => format!(", {} × {}", picture.width(), picture.height()),
        Shown::Voice(voice) => format!(", spoken, {}.{} s", voice.duration_ms / 1000, voice.duration_ms % 1000 / 100),
    };
    let state = match stored.state {
        FileState::Here => String::new(),
        FileState::Sending => ", on its way".to_owned(),
        FileState::Offered => ", not fetched".to_owned(),
        FileState::Fetching => ", being fetched".to_owned(),
        FileState::Failed(fault) => format!(", {}", words(fault)),
    };
    format!("[{} {}{more}{state}]", output::harmless(file.name.as_str()), size(file.bytes))
}

const fn words(fault: FileFault) -> &'static str {
    match fault {
        FileFault::Gone => "not at the server any more",
        FileFault::Forged => "the server gave something else than what was sent",
        FileFault::NoRoom => "the server has no room for it at the moment",
        FileFault::NotTaken => "too long for the server, or it takes no files",
        FileFault::Disk => "this disk did not take or give it",
        FileFault::Refused => "refused by the server",
    }
}

/// Why a file did not get through, and what to do about it.
pub(crate) fn failed(fault: FileFault, own: bool) -> Failure {
    let kind = match fault {
        FileFault::Gone | FileFault::NoRoom | FileFault::NotTaken | FileFault::Refused => Kind::Refused,
        FileFault::Forged | FileFault::Disk => Kind::Failed,
    };
    let failure = Failure::new(kind, format!("the file did not get through: {}", words(fault)));
    match (fault, own) {
        (FileFault::Gone, true) => failure.hint(
            "a backup has no files, so this one cannot be sent from here: `outbox --cancel ID --with …` gives it up",
        ),
        (FileFault::Gone, false) => failure.hint("ask for it again: a server keeps files for some days only"),
        (FileFault::Forged, _) => failure.hint("nothing of it was saved; `fetch` tries again"),
        (_, true) => {
            failure.hint("`outbox --retry ID --with …` tries again, `outbox --cancel ID --with …` gives it up")
        }
        (_, false) => failure.hint("`fetch` tries again"),
    }
}

/// What a person who chats hears of a step.
pub(crate) fn step_words(step: FileStep) -> Option<String> {
    match step {
        FileStep::Moved { done, bytes } => Some(format!("  · file: {} of {}", size(done), size(bytes))),
        FileStep::Is(FileState::Failed(fault)) => Some(format!("  ✗ file: {}", words(fault))),
        FileStep::Is(_) => None,
    }
}

/// Tells what has become of a file, to whoever listens.
pub(crate) fn tell(json: bool, with: Option<&Handle>, id: MessageId, step: FileStep) -> io::Result<()> {
    let with = with.map(Handle::as_str);
    match (json, step) {
        (true, _) => output::json_line(&step_object(with, id, step)),
        (false, FileStep::Is(FileState::Failed(fault))) => output::line(&format!("  ~ a file: {}", words(fault))),
        (false, _) => Ok(()),
    }
}

pub(crate) fn step_object(with: Option<&str>, id: MessageId, step: FileStep) -> Value {
    let id = id.to_string();
    match step {
        FileStep::Moved { done, bytes } => {
            json!({ "event": "file", "with": with, "message_id": id, "state": "moving", "done": done, "bytes": bytes })
        }
        FileStep::Is(state) => {
            json!({ "event": "file", "with": with, "message_id": id, "state": state.as_str() })
        }
    }
}

/// Why the file of a message of ours did not get to the server, if it did not.
pub(crate) async fn fault(engine: &EngineHandle, id: MessageId) -> Result<Option<FileFault>, Failure> {
    Ok(match engine.find(id).await?.map(|message| message.body) {
        Some(Body::File(stored)) => match stored.state {
            FileState::Failed(fault) => Some(fault),
            _ => None,
        },
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_units_that_fit() {
        let told = [0, 1023, 1024, 1536, 1024 * 1024, 2 << 30, u64::MAX].map(size);
        let expected = ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "2.0 GiB", "17179869183.9 GiB"];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_bar_is_full_at_the_end_and_not_before() {
        assert!(bar(0, 100).starts_with(&format!("[{}]", " ".repeat(30))));
        assert!(bar(50, 100).starts_with(&format!("[{}{}]", "=".repeat(15), " ".repeat(15))));
        assert!(!bar(99, 100).contains(&"=".repeat(30)));
        for (done, bytes) in [(100, 100), (7, 0), (u64::MAX, 1)] {
            assert!(bar(done, bytes).contains(&"=".repeat(30)));
        }
    }
}
