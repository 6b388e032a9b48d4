//! What the program says, in the languages that it speaks. The words are in `i18n/`, one file for each language.

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use serde::{Deserialize, Serialize};

const ENGLISH: &str = include_str!("../i18n/en.ftl");
const GERMAN: &str = include_str!("../i18n/de.ftl");

/// A language that the program speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// `en`
    #[default]
    English,
    /// `de`
    German,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// As the system names it, like `de_AT.UTF-8`. English for what is not spoken here.
    pub fn of_locale(locale: &str) -> Self {
        match locale.split(['_', '-', '.', '@']).next() {
            Some("de") => Self::German,
            _ => Self::English,
        }
    }

    const fn source(self) -> (&'static str, &'static str) {
        match self {
            Self::English => ("en", ENGLISH),
            Self::German => ("de", GERMAN),
        }
    }
}

/// By its own name, which does not depend on the language that is spoken.
impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::English => "English",
            Self::German => "Deutsch",
        })
    }
}

/// Everything that is said, in one language.
pub struct Strings {
    bundle: FluentBundle<FluentResource>,
    language: Language,
}

impl std::fmt::Debug for Strings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Strings({})", self.language)
    }
}

impl Strings {
    /// In this language.
    pub fn new(language: Language) -> Self {
        let (name, source) = language.source();
        let mut bundle = FluentBundle::new_concurrent(vec![name.parse().unwrap_or_default()]);
        // Handles have one script each, and an isolated handle is drawn with boxes where a font lacks the marks.
        bundle.set_use_isolating(false);
        // A test reads both files without an error.
        let resource = FluentResource::try_new(source.to_owned()).unwrap_or_else(|(resource, _)| resource);
        bundle.add_resource_overriding(resource);
        Self { bundle, language }
    }

    /// Which language it is.
    pub const fn language(&self) -> Language {
        self.language
    }

    /// What is said under this name. The name itself when there is nothing, which a test rules out.
    pub fn get(&self, key: &str) -> String {
        self.say(key, None)
    }

    /// The same, with what belongs in it.
    pub fn with<'a, V: Into<FluentValue<'a>>>(
        &'a self,
        key: &'a str,
        values: impl IntoIterator<Item = (&'a str, V)>,
    ) -> String {
        let args: FluentArgs<'_> = values.into_iter().collect();
        self.say(key, Some(&args))
    }

    fn say(&self, key: &str, args: Option<&FluentArgs<'_>>) -> String {
        let pattern = self.bundle.get_message(key).and_then(|message| message.value());
        match pattern {
            Some(pattern) => self.bundle.format_pattern(pattern, args, &mut Vec::new()).into_owned(),
            None => key.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Names of messages in a file, in their order.
    fn keys(source: &str) -> Vec<&str> {
        let begins = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase());
        source.lines().filter(begins).filter_map(|line| line.split_once(" =").map(|(key, _)| key)).collect()
    }

    /// What a message needs to be given.
    fn given<'a>(source: &'a str, key: &str) -> BTreeSet<&'a str> {
        let start = source.find(&format!("\n{key} =")).unwrap() + 1;
        let rest = &source[start..];
        let end =
            rest.match_indices('\n').find(|(at, _)| !rest[at + 1..].starts_with([' ', '\n', '}'])).map(|(at, _)| at);
        let message = &rest[..end.unwrap_or(rest.len())];
        let name = |part: &'a str| {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(part.len());
            &part[..end]
        };
        message.split('$').skip(1).map(name).collect()
    }

    #[test]
    fn both_languages_say_the_same_things_in_the_same_order() {
        for source in [ENGLISH, GERMAN] {
            FluentResource::try_new(source.to_owned()).unwrap();
            let all = keys(source);
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "a name stands twice");
        }
        assert_eq!(keys(ENGLISH), keys(GERMAN));
        for key in keys(ENGLISH) {
            assert_eq!(given(ENGLISH, key), given(GERMAN, key), "{key}");
        }
    }

    #[test]
    fn what_the_program_names_is_said_and_what_is_said_is_named() {
        let sources: String = crate::testing::sources().into_iter().map(|(_, source)| source).collect();
        let all: BTreeSet<_> = keys(ENGLISH).into_iter().collect();
        // Names stand in the sources as they are: none is put together.
        for key in &all {
            assert!(sources.contains(&format!("\"{key}\"")), "nobody says {key}");
        }
        let said = |key: &str| assert!(all.contains(key), "{key} is not in the files");
        for call in [".get(\"", ".with(\"", "Failure::new(\"", "(t, \""] {
            sources.split(call).skip(1).for_each(|part| said(part.split('"').next().unwrap()));
        }
        // What can go wrong has its names in one file, and nothing else there looks like one.
        let failures = include_str!("failure.rs").lines().filter(|line| !line.trim_start().starts_with("//"));
        let literals = failures.flat_map(|line| line.split('"').skip(1).step_by(2));
        literals.filter(|it| it.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')).for_each(said);
    }

    #[test]
    fn a_message_is_made_of_what_it_is_given() {
        let say = |language| Strings::new(language).with("minutes", [("count", 3)]);
        assert!(say(Language::English).contains('3'), "{}", say(Language::English));
        assert_ne!(say(Language::English), say(Language::German));
        assert_eq!(Strings::new(Language::German).get("no-such-thing"), "no-such-thing");
        assert_eq!(Language::of_locale("de_AT.UTF-8"), Language::German);
        assert_eq!(Language::of_locale("fr"), Language::English);
    }
}
