//! What a line of `chat` means. No terminal here.

use std::path::PathBuf;
use std::time::Duration;

use endtoend_client::engine::Deed;
use endtoend_protocol::{Emoji, Lifetime, MessageId, Text};

/// What a line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Words to send.
    Say(Text),
    /// Words that answer a message.
    Answer(MessageId, Text),
    /// A file to send.
    Attach(PathBuf),
    /// A file to fetch and save, under its own name or another.
    Save(MessageId, Option<PathBuf>),
    /// Something else.
    Do(Deed),
    /// Other circuits through Tor.
    Circuit,
    /// The bridges in a file, at which Tor begins from now on.
    Bridges(PathBuf),
    /// What to tell whoever has typed it.
    Wrong(String),
}

/// How commands are written.
pub(crate) const HELP: &str = "/reply WHICH TEXT, /edit WHICH TEXT, /delete WHICH, /hide WHICH, /react WHICH EMOJI, \
     /unreact WHICH, /attach PATH, /save WHICH [PATH], /timer DURATION or off, /typing, /circuit, /bridges PATH or none. WHICH: a number of your lines, ^ for their last message, or an id. \
     A text that begins with / is written //";

/// Reads a line. `own` are the messages of this chat, `last` is the last of the other side's.
pub(crate) fn meaning(line: &str, own: &[MessageId], last: Option<MessageId>) -> Meaning {
    let Some(command) = line.strip_prefix('/') else { return say(line, Meaning::Say) };
    if command.starts_with('/') {
        return say(command, Meaning::Say);
    }
    let (command, rest) = command.split_once(' ').unwrap_or((command, ""));
    let (which, rest) = match command {
        "timer" => return timer(rest.trim()),
        "attach" | "bridges" => {
            return match (command, rest.trim()) {
                (_, "") => Meaning::Wrong(HELP.to_owned()),
                ("attach", path) => Meaning::Attach(PathBuf::from(path)),
                (_, path) => Meaning::Bridges(PathBuf::from(path)),
            };
        }
        "circuit" => return Meaning::Circuit,
        "typing" => return Meaning::Do(Deed::Typing(true)),
        "reply" | "edit" | "delete" | "hide" | "react" | "unreact" | "save" => {
            rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""))
        }
        _ => return Meaning::Wrong(HELP.to_owned()),
    };
    let id = match which {
        "^" => last,
        _ => match which.parse::<usize>() {
            Ok(number) => number.checked_sub(1).and_then(|at| own.get(at).copied()),
            Err(_) => which.parse().ok(),
        },
    };
    let Some(id) = id else { return Meaning::Wrong(format!("there is no message {which:?} here. {HELP}")) };
    match command {
        "reply" => say(rest, |text| Meaning::Answer(id, text)),
        "edit" => say(rest, |text| Meaning::Do(Deed::Edit(id, text))),
        "delete" => Meaning::Do(Deed::DeleteForEveryone(id)),
        "hide" => Meaning::Do(Deed::DeleteForMe(id)),
        "unreact" => Meaning::Do(Deed::React(id, None)),
        "save" => Meaning::Save(id, Some(rest.trim()).filter(|path| !path.is_empty()).map(PathBuf::from)),
        _ => match Emoji::new(rest.trim().to_owned()) {
            Some(emoji) => Meaning::Do(Deed::React(id, Some(emoji))),
            None => Meaning::Wrong("a reaction has 1 to 64 bytes, and no spaces or controls".to_owned()),
        },
    }
}

fn say(text: &str, then: impl FnOnce(Text) -> Meaning) -> Meaning {
    match Text::new(text.to_owned()) {
        Ok(text) => then(text),
        Err(error) => Meaning::Wrong(error.to_string()),
    }
}

fn timer(text: &str) -> Meaning {
    if text == "off" {
        return Meaning::Do(Deed::Timer(None));
    }
    match humantime::parse_duration(text).unwrap_or(Duration::ZERO) {
        time if Lifetime::new(time).is_some() => Meaning::Do(Deed::Timer(Lifetime::new(time))),
        _ => Meaning::Wrong("from one second to 365 days, like 1h; or off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use endtoend_protocol::UnixMillis;

    use super::*;

    fn id(n: u8) -> MessageId {
        MessageId::new(UnixMillis::new(1), [n; 10])
    }

    fn text(words: &str) -> Text {
        Text::new(words.to_owned()).unwrap()
    }

    #[test]
    fn a_line_is_words_unless_it_begins_with_a_slash() {
        assert_eq!(meaning("hello /edit 1 x", &[], None), Meaning::Say(text("hello /edit 1 x")));
        assert_eq!(meaning("//etc", &[], None), Meaning::Say(text("/etc")));
        assert!(matches!(meaning("/nonsense", &[], None), Meaning::Wrong(_)));
    }

    #[test]
    fn a_message_is_named_by_number_by_mark_and_by_id() {
        let own = [id(1), id(2)];
        let edit = |line: &str| meaning(line, &own, Some(id(3)));
        assert_eq!(edit("/edit 2 new words"), Meaning::Do(Deed::Edit(id(2), text("new words"))));
        assert_eq!(edit("/reply ^ yes"), Meaning::Answer(id(3), text("yes")));
        assert_eq!(edit(&format!("/delete {}", id(9))), Meaning::Do(Deed::DeleteForEveryone(id(9))));
        for line in ["/edit 0 x", "/edit 3 x", "/edit x x", "/edit", "/edit 1", "/react 1 a b", "/react 1"] {
            assert!(matches!(edit(line), Meaning::Wrong(_)), "{line}");
        }
    }

    #[test]
    fn a_file_is_sent_by_its_path_and_saved_by_its_message() {
        assert_eq!(meaning("/attach a file.txt ", &[], None), Meaning::Attach("a file.txt".into()));
        assert_eq!(meaning("/bridges none", &[], None), Meaning::Bridges("none".into()));
        for line in ["/attach ", "/bridges"] {
            assert!(matches!(meaning(line, &[], None), Meaning::Wrong(_)), "{line}");
        }
        assert_eq!(meaning("/save ^", &[], Some(id(3))), Meaning::Save(id(3), None));
        assert_eq!(meaning("/save ^ other name", &[], Some(id(3))), Meaning::Save(id(3), Some("other name".into())));
        assert!(matches!(meaning("/save", &[], None), Meaning::Wrong(_)));
    }

    #[test]
    fn a_timer_has_its_bounds() {
        assert_eq!(meaning("/timer off", &[], None), Meaning::Do(Deed::Timer(None)));
        assert_eq!(meaning("/timer 1h", &[], None), Meaning::Do(Deed::Timer(Lifetime::from_secs(3600))));
        for line in ["/timer", "/timer 0s", "/timer 10years", "/timer soon"] {
            assert!(matches!(meaning(line, &[], None), Meaning::Wrong(_)), "{line}");
        }
    }
}
