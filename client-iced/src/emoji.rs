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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use endtoend_protocol::Emoji;

    use super::*;
    use crate::theme::FONTS;

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

    /// Code points that a font has: its table `cmap`, format 12, as OpenType says.
    fn code_points(font: &[u8]) -> BTreeSet<u32> {
        let short = |at: usize| usize::from(u16::from_be_bytes(font[at..at + 2].try_into().unwrap()));
        let long = |at: usize| u32::from_be_bytes(font[at..at + 4].try_into().unwrap());
        let mut tables = (0..short(4)).map(|table| 12 + table * 16);
        let cmap = tables.find(|at| &font[*at..*at + 4] == b"cmap").map(|at| long(at + 8) as usize).unwrap();
        let parts = (0..short(cmap + 2)).map(|part| cmap + long(cmap + 8 + part * 8) as usize);
        let part = parts.into_iter().find(|part| short(*part) == 12).unwrap();
        let groups = (0..long(part + 12) as usize).map(|group| part + 16 + group * 12);
        groups.flat_map(|at| long(at)..=long(at + 4)).collect()
    }

    #[test]
    fn every_emoji_that_is_offered_is_in_the_font() {
        let known = code_points(FONTS[2]);
        let joins = |c: &char| *c != '\u{fe0f}';
        for (emoji, ..) in table() {
            assert!(
                emoji.chars().filter(joins).all(|c| known.contains(&(c as u32))),
                "{emoji} would be drawn by the system"
            );
        }
    }
}
