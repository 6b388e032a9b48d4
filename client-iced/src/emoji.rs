//! The emoji that come with the program, in the order of `i18n/emoji.txt`, and the words that they are found by.

use crate::strings::Language;

const TABLE: &str = include_str!("../i18n/emoji.txt");

/// One of them: itself, its English words, its German words.
fn table() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (emoji, words) = line.split_once('|')?;
        let (english, german) = words.split_once('|')?;
        Some((emoji, english, german))
    })
}

/// Those that all of these words are said of, or the beginnings of words: all when there are none. Names in English are known
/// everywhere, so both languages' words count; those of one's own come first.
pub fn find(words: &str, language: Language) -> Vec<&'static str> {
    let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
    let said = |of: &str| {
        let of = of.to_lowercase();
        words.iter().all(|word| of.split([' ', '-', ':', ',']).any(|known| known.starts_with(word.as_str())))
    };
    let own = |english, german| match language {
        Language::English => (english, german),
        Language::German => (german, english),
    };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (emoji, english, german) in table() {
        let (own, other) = own(english, german);
        if said(own) {
            first.push(emoji);
        } else if said(other) {
            second.push(emoji);
        }
    }
    first.extend(second);
    first
}

/// What an emoji is found by.
pub fn words(emoji: &str, language: Language) -> &'static str {
    let own = table().find(|(known, ..)| *known == emoji);
    own.map_or("", |(_, english, german)| match language {
        Language::English => english,
        Language::German => german,
    })
}

/// Whether all of these whole words are said of it.
fn said_of(of: &str, words: &str) -> bool {
    let (of, words) = (of.to_lowercase(), words.to_lowercase());
    let known = |word| of.split([' ', '-', ':', ',']).any(|known| known == word);
    !words.trim().is_empty() && words.split_whitespace().all(known)
}

/// Whether an emoji is called so, by whole words of either language.
pub fn is_called(emoji: &str, name: &str) -> bool {
    [Language::English, Language::German].into_iter().any(|language| said_of(words(emoji, language), name))
}

/// The first one that is called so by whole words, in English or else in German.
pub fn called(name: &str) -> Option<&'static str> {
    let english = table().find(|(_, english, _)| said_of(english, name));
    english.or_else(|| table().find(|(.., german)| said_of(german, name))).map(|(emoji, ..)| emoji)
}

/// After a sign that is a letter of many typefaces, too: it is meant as an emoji.
pub(crate) const AS_EMOJI: char = '\u{fe0f}';

/// Whether a sign belongs to the emoji before it: what joins two, the colour of a skin, the key around a digit, letters of a flag.
const fn belongs(sign: char) -> bool {
    matches!(sign, AS_EMOJI | '\u{200d}' | '\u{20e3}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}')
}

/// Length of the emoji that a text begins with, if it is one that a typeface of letters would take for a letter.
fn taken_for_a_letter(rest: &str) -> Option<usize> {
    let mut signs = rest.char_indices().peekable();
    let (mut meant, mut before) = (false, None);
    while let Some((at, sign)) = signs.next_if(|(at, sign)| *at == 0 || belongs(*sign) || before == Some('\u{200d}')) {
        meant |= sign == AS_EMOJI && at > 0;
        before = Some(sign);
    }
    let end = signs.peek().map_or(rest.len(), |(at, _)| *at);
    meant.then_some(end)
}

/// Where in a text such an emoji begins, and how long it is.
fn first_taken_for_a_letter(text: &str) -> Option<(usize, usize)> {
    // Most texts have none, and are looked through once.
    text.contains(AS_EMOJI).then_some(())?;
    text.char_indices().find_map(|(at, _)| Some((at, taken_for_a_letter(text.get(at..)?)?)))
}

/// A text in parts, in their order: `true` for an emoji that a typeface of letters would take for a letter.
pub fn parts(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (end, alone) = match first_taken_for_a_letter(rest) {
            Some((0, length)) => (length, true),
            Some((begin, _)) => (begin, false),
            None => (rest.len(), false),
        };
        let part;
        (part, rest) = rest.split_at_checked(end)?;
        (!part.is_empty()).then_some((part, alone))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use endtoend_protocol::Emoji;

    use super::*;

    #[test]
    fn an_emoji_is_found_by_its_words_in_both_languages() {
        assert_eq!(find("", Language::English).len(), table().count());
        assert_eq!(find("rocket", Language::English), ["🚀"]);
        assert_eq!(find("RAKE", Language::German).first(), Some(&"🚀"));
        assert!(find("heart red", Language::English).contains(&"❤️"));
        assert!(find("heart", Language::German).contains(&"❤️"), "in English, too");
        assert_eq!(find("nothing like that", Language::English), Vec::<&str>::new());
        let all: BTreeSet<_> = table().map(|(emoji, ..)| emoji).collect();
        assert_eq!(all.len(), table().count(), "one stands twice");
        assert!(all.iter().all(|emoji| Emoji::new((*emoji).to_owned()).is_some()), "each can be a reaction");
        assert_eq!(TABLE.lines().count() - 1, all.len(), "a line is not understood");
    }

    #[test]
    fn an_emoji_is_called_by_whole_words() {
        assert_eq!(called("rocket"), Some("🚀"));
        assert_eq!(called("Rakete"), Some("🚀"));
        assert_eq!(called("thumbs up"), Some("👍️"));
        for nothing in ["", " ", "rocke", "rocket nonsense"] {
            assert_eq!(called(nothing), None, "{nothing}");
        }
        assert!(words("🚀", Language::German).starts_with("Rakete") && words("x", Language::German).is_empty());
    }

    #[test]
    fn signs_that_are_letters_too_are_told_from_the_letters() {
        let split = |words| parts(words).collect::<Vec<_>>();
        assert_eq!(split("plain ❤ and 🚀"), [("plain ❤ and 🚀", false)]);
        assert_eq!(split("a ❤️ b"), [("a ", false), ("❤️", true), (" b", false)]);
        // With what belongs to it: parts that are joined, the colour of a skin, the key around a digit.
        assert_eq!(split("❤️‍🔥x"), [("❤️‍🔥", true), ("x", false)]);
        assert_eq!(split("☝🏽️1️⃣"), [("☝🏽️", true), ("1️⃣", true)]);
        assert_eq!(split("🏳️‍🌈☀️"), [("🏳️‍🌈", true), ("☀️", true)]);
        assert_eq!(split(""), []);
        for words in ["\u{fe0f}", "\u{fe0f}a\u{fe0f}", "é\u{fe0f}\u{200d}", "a\u{200d}\u{fe0f}b"] {
            assert_eq!(split(words).into_iter().map(|(part, _)| part).collect::<String>(), words);
        }
    }
}
