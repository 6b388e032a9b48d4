//! Rules: what a notification says. Nothing that was written, and no name, unless the person has allowed it.

use endtoend_client::database::{Body, Conversation, Standing};
use endtoend_client::handle::Handle;
use endtoend_protocol::UnixMillis;

use crate::preferences::Notices;
use crate::strings::Strings;

/// Letters of a message that are shown.
const CHARS_MAX: usize = 240;

/// A notification.
#[derive(Clone, PartialEq, Eq)]
pub struct Notice {
    /// About whom: a new one takes the place of the one before.
    pub key: String,
    /// Its heading.
    pub title: String,
    /// What it says: plain, never markup.
    pub body: String,
}

/// What somebody has written is in no log.
impl std::fmt::Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Notice({} bytes)", self.title.len() + self.body.len())
    }
}

/// What is said about the last message of a conversation; `None` where nothing is to be said.
pub fn notice(t: &Strings, shows: Notices, about: &Conversation, now: UnixMillis) -> Option<Notice> {
    let contact = &about.contact;
    if contact.arrangement.muted.at(now) {
        return None;
    }
    if about.unread == 0 || matches!(contact.standing, Standing::Blocked | Standing::Ignored) {
        return None;
    }
    let key = contact.handle.as_ref().map(Handle::to_string).unwrap_or_default();
    let name = || match (contact.name(), &contact.handle) {
        (Some(name), _) => plain(name.as_str()),
        (None, Some(handle)) => handle.to_string(),
        (None, None) => t.get("nameless"),
    };
    // Nobody has let a stranger say anything on this screen yet.
    let request = contact.standing == Standing::Request;
    let (title, body) = match shows {
        Notices::Nothing => return None,
        Notices::Something => {
            (t.get("window-title"), t.get(if request { "notice-request" } else { "notice-something" }))
        }
        Notices::Name | Notices::Words if request => (t.get("notice-request"), name()),
        Notices::Name => (name(), t.get("notice-something")),
        Notices::Words => {
            let last = about.last.as_ref().map(|last| &last.body);
            let body = match last {
                Some(Body::Text(text)) => plain(text.as_str()),
                Some(Body::File(file)) => t.with("notice-file", [("name", plain(file.file.name.as_str()))]),
                Some(Body::Card(card)) => t.with("message-card", [("name", card.link.handle.as_str())]),
                Some(Body::Deleted | Body::Unknown) | None => t.get("notice-something"),
            };
            (name(), body)
        }
    };
    Some(Notice { key, title, body })
}

/// In one line, without what moves the letters around it, and not too long.
fn plain(words: &str) -> String {
    let moves = |c: char| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let shown: String = words.chars().filter(|c| !moves(*c)).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => line.get(..end).map(|start| format!("{start}…")).unwrap_or_default(),
        None => line,
    }
}

/// For those who take what a notification says for markup.
pub(super) fn escaped(words: &str) -> String {
    let mut all = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            c => all.push(c),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use endtoend_client::database::Direction;
    use endtoend_protocol::Muted;

    use super::*;
    use crate::strings::Language;
    use crate::testing::{NOW, conversation, message};

    /// Must not be told by accident.
    const WORDS: &str = "the code is 4711";

    fn said(shows: Notices, about: &Conversation) -> String {
        let notice = notice(&Strings::new(Language::English), shows, about, UnixMillis::new(NOW));
        notice.map(|notice| format!("{} / {}", notice.title, notice.body)).unwrap_or_default()
    }

    #[test]
    fn it_says_what_was_allowed_and_not_a_word_more() {
        let about = conversation("bob", Some(message(1, Direction::In, WORDS)), 1);
        assert_eq!(said(Notices::Nothing, &about), "");
        assert_eq!(said(Notices::Something, &about), "Endtoend / A message has come.");
        assert_eq!(said(Notices::Name, &about), "bob / A message has come.");
        assert_eq!(said(Notices::Words, &about), format!("bob / {WORDS}"));
    }

    #[test]
    fn a_stranger_says_nothing_and_who_was_turned_away_is_not_told() {
        let mut about = conversation("niko", Some(message(1, Direction::In, WORDS)), 1);
        about.contact.standing = Standing::Request;
        for shows in [Notices::Something, Notices::Name, Notices::Words] {
            assert!(said(shows, &about).contains("Somebody would like to write to you."), "{shows:?}");
            assert!(!said(shows, &about).contains(WORDS), "{shows:?}");
        }
        assert!(!said(Notices::Something, &about).contains("niko"));
        for standing in [Standing::Blocked, Standing::Ignored] {
            about.contact.standing = standing;
            assert_eq!(said(Notices::Words, &about), "");
        }
    }

    #[test]
    fn what_was_seen_elsewhere_and_what_is_muted_is_not_told() {
        let mut about = conversation("bob", Some(message(1, Direction::In, WORDS)), 0);
        assert_eq!(said(Notices::Words, &about), "");
        about.unread = 1;
        about.contact.arrangement.muted = Muted::ForGood;
        assert_eq!(said(Notices::Words, &about), "");
        about.contact.arrangement.muted = Muted::Until(UnixMillis::new(NOW + 1));
        assert_eq!(said(Notices::Words, &about), "");
        about.contact.arrangement.muted = Muted::Until(UnixMillis::new(NOW));
        assert_ne!(said(Notices::Words, &about), "");
    }

    #[test]
    fn it_is_one_plain_line_with_an_end() {
        assert_eq!(plain("one\n\u{202E}two\t\u{7}three"), "one two three");
        assert_eq!(plain(&"ä".repeat(1_000)).chars().count(), CHARS_MAX + 1);
        assert_eq!(escaped("<b>&</b>"), "&lt;b&gt;&amp;&lt;/b&gt;");
    }

    #[test]
    fn its_debug_shows_no_words() {
        let about = conversation("bob", Some(message(1, Direction::In, WORDS)), 1);
        let notice = notice(&Strings::new(Language::English), Notices::Words, &about, UnixMillis::new(NOW)).unwrap();
        assert_eq!(format!("{:?}", super::super::Order::Notify(notice)), "Notify(Notice(19 bytes))");
    }
}
