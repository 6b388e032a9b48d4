//! What was said, in pieces: words, strong words, words that were struck out, code, and links. The marks are those that people type
//! anyway; what is no mark stays as it was typed, and what is copied or quoted stays so, too.

use url::{Host, Url};

/// Longer texts, in bytes, are shown as they were typed: they are read seldom, and looked through with every picture of the window.
const MARKED_BYTES_MAX: usize = 8 * 1024;
/// Pieces of one text; the rest is shown as it was typed.
const PIECES_MAX: usize = 256;
/// What a link begins with.
const SCHEMES: [&str; 2] = ["https://", "http://"];
/// Longest link, in bytes.
const LINK_BYTES_MAX: usize = 2_048;

/// Where a link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// As the network has it, whole.
    pub address: String,
    /// The host, as the network has it: letters that look like others are seen as what they are.
    pub host: String,
    /// Whether the host was written otherwise than the network has it.
    pub disguised: bool,
    /// Whether nobody on the way can read along.
    pub sealed: bool,
}

impl Link {
    /// `None` for what is no link to a host.
    fn read(written: &str) -> Option<Self> {
        let url = Url::parse(written).ok().filter(|_| written.len() <= LINK_BYTES_MAX)?;
        let host = match url.host()? {
            Host::Domain(name) if !name.is_empty() => name.to_owned(),
            Host::Domain(_) => return None,
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => format!("[{address}]"),
        };
        // What stands before an @ is a name, and made to be taken for the host.
        let disguised = !written.to_lowercase().contains(&format!("://{host}")) || url.username() != "";
        Some(Self { address: url.to_string(), host, disguised, sealed: url.scheme() == "https" })
    }
}

/// A piece of what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// As it was typed.
    Plain(&'a str),
    /// `**so**`
    Strong(&'a str),
    /// `~~so~~`
    Struck(&'a str),
    /// Between two backticks.
    Code(&'a str),
    /// What begins like one and has a host.
    Link(&'a str, Link),
}

/// The pieces of a text, in their order. Nothing of it is left out but the marks.
pub fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    if text.len() > MARKED_BYTES_MAX {
        return vec![Piece::Plain(text)];
    }
    let (mut begun, mut at) = (0, 0);
    let mut before = None;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty() && pieces.len() < PIECES_MAX) {
        let Some((piece, length)) = marked(rest, before) else {
            before = rest.chars().next();
            at += before.map_or(1, char::len_utf8);
            continue;
        };
        if let Some(plain) = text.get(begun..at).filter(|plain| !plain.is_empty()) {
            pieces.push(Piece::Plain(plain));
        }
        pieces.push(piece);
        at += length;
        (begun, before) = (at, text.get(..at).and_then(|text| text.chars().next_back()));
    }
    if let Some(plain) = text.get(begun..).filter(|plain| !plain.is_empty()) {
        pieces.push(Piece::Plain(plain));
    }
    pieces
}

/// What a text begins with that is marked, and how long that is with its marks. `before`: the letter in front of it.
fn marked(rest: &str, before: Option<char>) -> Option<(Piece<'_>, usize)> {
    match rest.as_bytes() {
        [b'`', ..] => between(rest, "`").map(|(code, length)| (Piece::Code(code), length)),
        [b'*', b'*', ..] => between(rest, "**").map(|(words, length)| (Piece::Strong(words), length)),
        [b'~', b'~', ..] => between(rest, "~~").map(|(words, length)| (Piece::Struck(words), length)),
        [b'h' | b'H', ..] if !before.is_some_and(char::is_alphanumeric) => link(rest),
        _ => None,
    }
}

/// Words between two marks in one line, which stand at the marks.
fn between<'a>(rest: &'a str, mark: &str) -> Option<(&'a str, usize)> {
    let inner = rest.get(mark.len()..)?;
    let line = inner.split('\n').next()?;
    let words = line.get(..line.find(mark)?)?;
    let stands = !words.is_empty() && words.trim() == words;
    stands.then_some((words, words.len() + 2 * mark.len()))
}

fn link(rest: &str) -> Option<(Piece<'_>, usize)> {
    let is_scheme = |scheme: &str| rest.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    SCHEMES.into_iter().find(|scheme| is_scheme(scheme))?;
    let end = rest.find(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | '`'));
    let mut written = rest.get(..end.unwrap_or(rest.len()))?;
    // What ends a sentence does not belong to it; a bracket only when it was opened in it.
    loop {
        let last = written.chars().next_back()?;
        let opened = |open: char| written.matches(open).count() >= written.matches(last).count();
        let ends = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '~' | '…' | '“' | '”' | '«' | '»' => true,
            ')' => !opened('('),
            ']' => !opened('['),
            '}' => !opened('{'),
            _ => false,
        };
        if !ends {
            break;
        }
        written = written.get(..written.len() - last.len_utf8())?;
    }
    Some((Piece::Link(written, Link::read(written)?), written.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Vec<(String, bool)> {
        let link = |piece: Piece<'_>| match piece {
            Piece::Link(_, link) => Some((link.host, link.disguised)),
            _ => None,
        };
        pieces(text).into_iter().filter_map(link).collect()
    }

    /// Everything that was typed, with the marks again.
    fn typed(text: &str) -> String {
        let again = |piece: Piece<'_>| match piece {
            Piece::Plain(words) | Piece::Link(words, _) => words.to_owned(),
            Piece::Strong(words) => format!("**{words}**"),
            Piece::Struck(words) => format!("~~{words}~~"),
            Piece::Code(words) => format!("`{words}`"),
        };
        pieces(text).into_iter().map(again).collect()
    }

    #[test]
    fn marks_are_marks_and_everything_else_stays_as_it_was_typed() {
        use Piece::{Code, Plain, Strong, Struck};
        assert_eq!(
            pieces("a **b c** ~~d~~ `e ** f` g"),
            [Plain("a "), Strong("b c"), Plain(" "), Struck("d"), Plain(" "), Code("e ** f"), Plain(" g")]
        );
        for text in ["2 ** 3 ** 4", "**", "****", "a ** b", "`", "~~ a ~~", "**a\nb**", "", "fn(**x)", "hello"] {
            assert!(pieces(text).iter().all(|piece| matches!(piece, Plain(_))), "{text}: {:?}", pieces(text));
        }
    }

    #[test]
    fn a_link_shows_the_host_that_it_leads_to() {
        assert_eq!(hosts("see https://example.org/a(b)."), [("example.org".to_owned(), false)]);
        assert_eq!(hosts("(http://example.org/a)"), [("example.org".to_owned(), false)]);
        assert_eq!(hosts("HTTPS://Example.ORG"), [("example.org".to_owned(), false)]);
        // Cyrillic letters that look like Latin ones, and a name in front of the host.
        assert_eq!(hosts("https://аррӏе.com/"), [("xn--80ak6aa92e.com".to_owned(), true)]);
        assert_eq!(hosts("https://bank.example@evil.example/"), [("evil.example".to_owned(), true)]);
        assert_eq!(hosts("https://2130706433/"), [("127.0.0.1".to_owned(), true)]);
        for none in
            ["https://", "xhttps://example.org", "javascript:alert(1)", "file:///etc/passwd", "https:// a", "ftp://a.b"]
        {
            assert_eq!(hosts(none), [], "{none}");
        }
        assert_eq!(hosts(&format!("https://a.example/{}", "x".repeat(LINK_BYTES_MAX))), []);
        let Some(Piece::Link(written, link)) = pieces("https://example.org,").into_iter().next() else {
            panic!("no link")
        };
        assert_eq!(
            (written, link.address.as_str(), link.sealed),
            ("https://example.org", "https://example.org/", true)
        );
    }

    #[test]
    fn nothing_of_a_text_is_lost_and_its_pieces_have_a_bound() {
        let many = "**a** `b` https://c.example ".repeat(200);
        assert!(pieces(&many).len() <= PIECES_MAX + 2);
        for text in [
            many.as_str(),
            "ü**ü**ü`ü`",
            "~~~~a~~~~",
            "`**`**`",
            "**a**b**c**",
            &"**x".repeat(2_000),
            &"`".repeat(9_000),
        ] {
            assert_eq!(typed(text), text);
        }
    }
}
