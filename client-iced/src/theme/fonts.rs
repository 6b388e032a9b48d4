//! Typefaces: those that come with the program, and which of the system's stand in for what these do not have.
//!
//! iced asks one table of fonts for everything that it writes. [`install`] puts ours into it, before anything is written, and the
//! order in which others are asked: emoji are emoji, though a typeface of letters may have them in black and white.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem;
use std::sync::{Once, PoisonError};

use iced::Font;
use iced::advanced::graphics::text::cosmic_text::fontdb::{Database, FaceInfo, ID, Stretch, Style, Weight};
use iced::advanced::graphics::text::cosmic_text::{Fallback, FontSystem, PlatformFallback};
use iced::advanced::graphics::text::font_system;
use unicode_script::Script;

/// The typeface that comes with the program: Latin, Greek, Cyrillic. Others are the system's.
pub const REGULAR: Font = Font::with_name("Inter");
/// For names and headings.
pub const STRONG: Font = Font { weight: iced::font::Weight::Semibold, ..REGULAR };
/// For reactions: the most common emoji. The system has the others.
pub const EMOJI: Font = Font::with_name("Endtoend Emoji");
/// For emoji in what people say. No family is called so, so whoever stands in is asked at once: the system's emoji, or else ours.
pub const ANY_EMOJI: Font = Font::with_name("emoji");

/// The files of all.
pub static FONTS: [&[u8]; 3] = [
    include_bytes!("../../fonts/Inter-Regular.otf"),
    include_bytes!("../../fonts/Inter-SemiBold.otf"),
    include_bytes!("../../fonts/EndtoendEmoji.ttf"),
];

/// What systems have for emoji.
const EMOJI_OF_SYSTEMS: [&str; 3] = ["Noto Color Emoji", "Apple Color Emoji", "Segoe UI Emoji"];
/// Tables of pictures in a font: emoji are drawn by these, and no other kind of coloured letters is.
const PICTURES: [&[u8; 4]; 2] = [b"CBDT", b"sbix"];

const SYSTEM: PlatformFallback = PlatformFallback;

/// Who is asked for what Inter does not have.
struct StandIns {
    /// Of every script.
    common: Vec<&'static str>,
}

impl StandIns {
    /// A system's emoji go before ours, which are fewer, if they can be drawn.
    fn of(fonts: &Database) -> Self {
        let drawn = |family: &&str| {
            let faces = fonts.faces().filter(|face| face.families.iter().any(|(name, _)| name == family));
            let mut faces = faces.map(|face| face.id);
            faces.any(|face| has_pictures(fonts, face))
        };
        let mut common: Vec<&'static str> = EMOJI_OF_SYSTEMS.into_iter().filter(drawn).collect();
        common.push("Endtoend Emoji");
        common.extend(SYSTEM.common_fallback());
        Self { common }
    }
}

impl Fallback for StandIns {
    fn common_fallback(&self) -> &[&'static str] {
        &self.common
    }

    fn forbidden_fallback(&self) -> &[&'static str] {
        SYSTEM.forbidden_fallback()
    }

    fn script_fallback(&self, script: Script, locale: &str) -> &[&'static str] {
        // It knows Japanese and Korean letters by the language alone, and Chinese ones by the country, too.
        let language = locale.split(['-', '_']).next().unwrap_or_default();
        SYSTEM.script_fallback(script, if language == "zh" { locale } else { language })
    }
}

/// Where a table of a font begins, as OpenType says.
fn table(font: &[u8], name: &[u8; 4]) -> Option<usize> {
    let count = font.get(4..6).and_then(|count| count.try_into().ok()).map(u16::from_be_bytes)?;
    let tables = font.get(12..)?.as_chunks::<16>().0.iter().take(count.into());
    let place = tables.map(|[a, b, c, d, _, _, _, _, place @ .., _, _, _, _]| ([*a, *b, *c, *d], *place));
    let place = place.into_iter().find_map(|(tag, place)| (tag == *name).then_some(place))?;
    usize::try_from(u32::from_be_bytes(place)).ok()
}

fn has_pictures(fonts: &Database, face: ID) -> bool {
    // Of a file with several fonts the first part is a list: those of emoji have one.
    let pictures = |font: &[u8], _| PICTURES.into_iter().any(|name| table(font, name).is_some());
    fonts.with_face_data(face, pictures).unwrap_or_default()
}

/// A name is written semi-bold, and who stands in has to be so: of families without it, the nearest weight counts as semi-bold.
fn lend(fonts: &mut Database) {
    let mut nearest: BTreeMap<String, FaceInfo> = BTreeMap::new();
    let distance = |face: &FaceInfo| face.weight.0.abs_diff(Weight::SEMIBOLD.0);
    let upright = |face: &&FaceInfo| face.style == Style::Normal && face.stretch == Stretch::Normal;
    for face in fonts.faces().filter(upright) {
        let Some((family, _)) = face.families.first() else { continue };
        if nearest.get(family).is_none_or(|known| distance(face) < distance(known)) {
            nearest.insert(family.clone(), face.clone());
        }
    }
    for face in nearest.into_values().filter(|face| face.weight != Weight::SEMIBOLD) {
        fonts.push_face_info(FaceInfo { weight: Weight::SEMIBOLD, ..face });
    }
}

fn arranged(locale: String, mut fonts: Database) -> FontSystem {
    lend(&mut fonts);
    let stand_ins = StandIns::of(&fonts);
    FontSystem::new_with_locale_and_db_and_fallback(locale, fonts, stand_ins)
}

/// Puts our typefaces where iced looks for all, and in order who stands in. Before anything is written; once.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let mut all = font_system().write().unwrap_or_else(PoisonError::into_inner);
        FONTS.into_iter().for_each(|font| all.load_font(Cow::Borrowed(font)));
        let none = FontSystem::new_with_locale_and_db(String::new(), Database::new());
        let (locale, fonts) = mem::replace(all.raw(), none).into_locale_and_db();
        *all.raw() = arranged(locale, fonts);
    });
}

/// For pictures that are the same on every machine: ours, and in place of the system's those of `tests/fonts`.
#[cfg(test)]
pub(crate) fn install_for_pictures() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let mut all = font_system().write().unwrap_or_else(PoisonError::into_inner);
        *all.raw() = arranged("en-US".to_owned(), tests::fonts());
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use iced::advanced::graphics::text::cosmic_text::fontdb::{Family, Source};
    use iced::advanced::graphics::text::cosmic_text::{Attrs, Buffer, Metrics, Shaping};

    use super::*;
    use crate::emoji;
    use crate::strings::Language;

    const HERE: &str = env!("CARGO_MANIFEST_DIR");

    /// Ours, and those of tests.
    pub(super) fn fonts() -> Database {
        let mut fonts = Database::new();
        for font in FONTS {
            fonts.load_font_source(Source::Binary(Arc::new(font)));
        }
        let mut others: Vec<_> =
            fs::read_dir(Path::new(HERE).join("tests/fonts")).unwrap().map(|it| it.unwrap().path()).collect();
        others.retain(|path| path.extension().is_some_and(|kind| kind != "txt"));
        others.sort();
        assert_eq!(others.len(), 7);
        others.into_iter().for_each(|path| fonts.load_font_data(fs::read(path).unwrap()));
        fonts
    }

    /// Code points that a font has: its table `cmap`, format 12, as OpenType says.
    fn code_points(font: &[u8]) -> BTreeSet<char> {
        let short = |at: usize| usize::from(u16::from_be_bytes(font[at..at + 2].try_into().unwrap()));
        let long = |at: usize| u32::from_be_bytes(font[at..at + 4].try_into().unwrap());
        let cmap = table(font, b"cmap").unwrap();
        let parts = (0..short(cmap + 2)).map(|part| cmap + long(cmap + 8 + part * 8) as usize);
        let part = parts.into_iter().find(|part| short(*part) == 12).unwrap();
        let groups = (0..long(part + 12) as usize).map(|group| part + 16 + group * 12);
        groups.flat_map(|at| long(at)..=long(at + 4)).filter_map(char::from_u32).collect()
    }

    /// What both weights have.
    fn letters() -> BTreeSet<char> {
        &code_points(FONTS[0]) & &code_points(FONTS[1])
    }

    /// Who draws each sign of the words.
    fn drawn_by(fonts: &mut FontSystem, words: &str, weight: Weight) -> Vec<String> {
        let mut buffer = Buffer::new(fonts, Metrics::new(15.0, 20.0));
        let plain = Attrs::new().family(Family::Name("Inter")).weight(weight);
        let emoji = Attrs::new().family(Family::Name("emoji"));
        let spans = emoji::parts(words).map(|(part, alone)| (part, if alone { emoji.clone() } else { plain.clone() }));
        buffer.set_rich_text(fonts, spans, &plain, Shaping::Advanced, None);
        buffer.shape_until_scroll(fonts, false);
        let glyphs = buffer.layout_runs().flat_map(|run| run.glyphs.to_vec()).collect::<Vec<_>>();
        let name = |glyph: iced::advanced::graphics::text::cosmic_text::LayoutGlyph| match glyph.glyph_id {
            0 => "nobody".to_owned(),
            _ => fonts.db().face(glyph.font_id).unwrap().families[0].0.clone(),
        };
        glyphs.into_iter().map(name).collect()
    }

    #[test]
    fn latin_greek_and_cyrillic_are_there_but_for_letters_that_nobody_writes_any_more() {
        let known = letters();
        let blocks = [
            ' '..='~',
            '\u{a0}'..='ÿ',
            // Extended A and B, and the letters of phonetics.
            'Ā'..='ʯ',
            '\u{300}'..='\u{345}',
            // Without the Coptic ones, and numbers of code points that mean nothing.
            'Ͱ'..='ͷ',
            'ͺ'..='Ϳ',
            '΄'..='Ί',
            'Ύ'..='Ρ',
            'Σ'..='ϡ',
            'ϰ'..='Ͽ',
            'Ѐ'..='ӿ',
            // For Vietnamese and others, and Greek with all its marks but what is not given out.
            'Ḁ'..='ỿ',
            'ἀ'..='ἕ',
            'ὰ'..='ώ',
            '‐'..='‧',
            '₠'..='₿',
            '←'..='↙',
        ];
        let missing: String = blocks.into_iter().flatten().filter(|letter| !known.contains(letter)).collect();
        // One that Unicode advises against, one that is written with two others, a mark of phonetics, and the two of Abkhaz.
        assert_eq!(missing, "ŉǄ\u{31f}\u{320}Ҟҟ");
    }

    #[test]
    fn everything_that_the_window_says_is_there_too() {
        let known = letters();
        let faces = code_points(FONTS[2]);
        for file in ["en.ftl", "de.ftl"] {
            let words = fs::read_to_string(Path::new(HERE).join("i18n").join(file)).unwrap();
            let missing: String = words.chars().filter(|letter| !known.contains(letter) && *letter != '\n').collect();
            assert_eq!(missing, "", "{file}");
        }
        for (name, source) in crate::testing::sources() {
            let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
            let signs = code.flat_map(str::chars).filter(|sign| !sign.is_ascii() && *sign != emoji::AS_EMOJI);
            let missing: String = signs.filter(|sign| !known.contains(sign) && !faces.contains(sign)).collect();
            assert_eq!(missing, "", "{name}");
        }
    }

    #[test]
    fn every_emoji_that_is_offered_is_in_the_font() {
        let known = code_points(FONTS[2]);
        for emoji in emoji::find("", Language::English) {
            let mut parts = emoji.chars().filter(|part| *part != emoji::AS_EMOJI);
            assert!(parts.all(|part| known.contains(&part)), "{emoji} would be drawn by the system");
        }
    }

    #[test]
    fn an_emoji_among_letters_is_an_emoji_whatever_is_installed() {
        let system = || {
            let mut fonts = fonts();
            fonts.load_system_fonts();
            fonts
        };
        for mut fonts in [arranged("en".to_owned(), fonts()), arranged("en".to_owned(), system())] {
            for weight in [Weight::NORMAL, Weight::SEMIBOLD] {
                for emoji in emoji::find("", Language::English) {
                    let by = drawn_by(&mut fonts, &format!("a{emoji}"), weight);
                    assert!(by.iter().any(|name| name.contains("Emoji")), "{emoji}: {by:?}");
                }
            }
        }
    }

    #[test]
    fn emoji_of_several_parts_are_one_sign_where_the_system_has_them() {
        let mut fonts = arranged("en".to_owned(), fonts());
        for whole in ["👨‍👩‍👧", "🏳️‍🌈", "👍🏽", "🇩🇪"] {
            assert_eq!(drawn_by(&mut fonts, whole, Weight::NORMAL), ["Noto Color Emoji"], "{whole}");
            assert_eq!(drawn_by(&mut fonts, whole, Weight::SEMIBOLD), ["Noto Color Emoji"], "{whole}");
        }
        // And the same with what this machine has, if it has any.
        let mut system = Database::new();
        system.load_system_fonts();
        let has =
            system.faces().any(|face| face.families.iter().any(|(name, _)| EMOJI_OF_SYSTEMS.contains(&name.as_str())));
        let mut fonts = arranged("en".to_owned(), system);
        if has {
            assert_eq!(drawn_by(&mut fonts, "👨‍👩‍👧", Weight::NORMAL).len(), 1);
        }
    }

    #[test]
    fn other_scripts_are_drawn_by_who_knows_them_in_both_weights() {
        let mut fonts = arranged("ja-JP".to_owned(), fonts());
        for (words, by) in [
            ("مرحبا", "Noto Sans Arabic"),
            ("שלום", "Noto Sans Hebrew"),
            ("码头", "Noto Sans CJK SC"),
            ("화요일", "Noto Sans CJK SC"),
        ] {
            for weight in [Weight::NORMAL, Weight::SEMIBOLD] {
                let names = drawn_by(&mut fonts, words, weight);
                assert!(!names.is_empty() && names.iter().all(|name| name == by), "{words}: {names:?}");
            }
        }
        let stand_ins = StandIns::of(&Database::new());
        assert_eq!(stand_ins.common[0], "Endtoend Emoji");
        assert_eq!(stand_ins.script_fallback(Script::Han, "ja-JP"), stand_ins.script_fallback(Script::Hiragana, "en"));
        assert_eq!(stand_ins.script_fallback(Script::Han, "zh-TW"), SYSTEM.script_fallback(Script::Han, "zh-TW"));
    }

    #[test]
    fn a_font_that_is_no_font_has_no_tables() {
        for broken in [&[][..], &[0; 11], &[0xff; 12], &[0xff; 40]] {
            assert_eq!(table(broken, b"cmap"), None);
        }
        assert!(table(FONTS[2], b"CBDT").is_some() && table(FONTS[0], b"CBDT").is_none());
    }
}
