//! A configuration put together from its layers (defaults, file, environment), with the origin of each value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use toml::de::DeTable;

use super::keys::{Key, Values};
use super::mistake::{ConfigError, Mistake, Place};
use super::redact::redacted_value;
use super::{Config, DEFAULT_FILE, PREFIX};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
}

impl Origin {
    fn place(&self) -> Place {
        match self {
            Self::Default => Place::Whole,
            Self::File { path, line } => Place::File { path: path.clone(), line: *line },
            Self::Variable(name) => Place::Variable(name.clone()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// A value as it may be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub key: Key,
    /// Without passwords; `null` for what is off.
    pub value: Value,
    pub origin: Origin,
}

/// A valid configuration that knows where its values come from.
#[derive(Clone, Debug)]
pub struct Effective {
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    origins: BTreeMap<Key, Origin>,
}

impl Effective {
    /// Reads `file`, or [`DEFAULT_FILE`] if it is there, and then the variables.
    ///
    /// # Errors
    /// See [`ConfigError`]: every mistake is told at once, and nothing is guessed.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
        };
        let mut layers = Layers {
            known: Values::of(&Config::default()),
            values: toml::Table::new(),
            origins: BTreeMap::new(),
            mistakes: Vec::new(),
        };
        if let Some(text) = &text {
            layers.read_file(path, text);
        }
        for (name, value) in variables {
            layers.read_variable(&name, &value);
        }
        layers.finish(text.map(|_| path.to_owned()))
    }

    /// Whether nobody has chosen the value of a key.
    pub fn is_default(&self, section: &str, name: &str) -> bool {
        matches!(self.origins.get(&Key::new(section, name)), None | Some(Origin::Default))
    }

    /// Every key with its value, in the order of their names.
    pub fn settings(&self) -> Vec<Setting> {
        Values::of(&self.config)
            .iter()
            .map(|(key, value)| Setting {
                key: key.clone(),
                value: redacted_value(value),
                origin: self.origins.get(key).cloned().unwrap_or(Origin::Default),
            })
            .collect()
    }
}

/// Values on top of the defaults, each checked on its own so that each mistake is told.
struct Layers {
    known: Values,
    values: toml::Table,
    origins: BTreeMap<Key, Origin>,
    mistakes: Vec<Mistake>,
}

impl Layers {
    fn read_file(&mut self, path: &Path, text: &str) {
        let place = |at: usize| Place::File { path: path.to_owned(), line: line_of(text, at) };
        let parsed = DeTable::parse(text).and_then(|spans| Ok((spans, toml::from_str::<toml::Table>(text)?)));
        let (spans, values) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                let place = place(error.span().map_or(0, |span| span.start));
                let hint = "see deploy/node.example.toml, or https://toml.io, for how it is written";
                self.mistakes.push(Mistake::new(place, &format!("not TOML: {}", error.message()), Some(hint.into())));
                return;
            }
        };
        for (section, keys) in spans.get_ref() {
            let at = place(section.span().start);
            let name: &str = section.get_ref();
            let (Some(keys), Some(values)) = (keys.get_ref().as_table(), values.get(name).and_then(|v| v.as_table()))
            else {
                let owner = self.known.nearest(&Key::new("", name));
                let hint = owner.map(|key| format!("did you mean `{}` below [{}]?", key.name, key.section));
                self.mistakes.push(Mistake::new(at, &format!("`{name}` stands outside of a section"), hint));
                continue;
            };
            if !self.known.has_section(name) {
                let hint = match self.known.nearest_section(name) {
                    Some(section) => format!("did you mean [{section}]?"),
                    None => format!("there are [{}]", self.known.sections().join("], [")),
                };
                self.mistakes.push(Mistake::new(at, &format!("unknown section [{name}]"), Some(hint)));
                continue;
            }
            for key in keys.keys() {
                let at = Origin::File { path: path.to_owned(), line: line_of(text, key.span().start) };
                let key = Key::new(name, key.get_ref());
                if let Some(value) = values.get(&key.name) {
                    self.set(key, std::slice::from_ref(value), at);
                }
            }
        }
        self.mistakes.sort_by_key(|mistake| match mistake.place {
            Place::File { line, .. } => line,
            Place::Variable(_) | Place::Whole => usize::MAX,
        });
    }

    fn read_variable(&mut self, name: &str, value: &str) {
        let Some((section, key)) = name.strip_prefix(PREFIX).and_then(|key| key.split_once("__")) else { return };
        let key = Key::new(&section.to_lowercase(), &key.to_lowercase());
        let origin = Origin::Variable(name.to_owned());
        if value.contains(char::REPLACEMENT_CHARACTER) {
            self.mistakes.push(Mistake::new(origin.place(), "is not UTF-8", None));
            return;
        }
        self.set(key, &readings(value), origin);
    }

    /// Takes the first reading that the key accepts.
    fn set(&mut self, key: Key, readings: &[toml::Value], origin: Origin) {
        if !self.known.has(&key) {
            let (text, hint) = self.unknown(&key, &origin);
            self.mistakes.push(Mistake::new(origin.place(), &text, Some(hint)));
            return;
        }
        let mut refused = None;
        for value in readings {
            let section = toml::Table::from_iter([(key.name.clone(), value.clone())]);
            let alone = toml::Table::from_iter([(key.section.clone(), section.clone().into())]);
            match alone.try_into::<Config>() {
                Ok(_) => {
                    let whole = self.values.entry(key.section.clone()).or_insert_with(|| toml::Table::new().into());
                    if let Some(whole) = whole.as_table_mut() {
                        whole.extend(section);
                    }
                    self.origins.insert(key, origin);
                    return;
                }
                Err(error) => refused = refused.or(Some(format!("{key}: {}", error.message().trim_end()))),
            }
        }
        let hint = "`endtoend config init --file FILE` writes a file that explains every key".to_owned();
        self.mistakes.push(Mistake::new(origin.place(), &refused.unwrap_or_default(), Some(hint)));
    }

    /// What is wrong with a key that there is not, and what may have been meant.
    fn unknown(&self, key: &Key, origin: &Origin) -> (String, String) {
        let variable = matches!(origin, Origin::Variable(_));
        let text = match self.known.has_section(&key.section) {
            true => format!("unknown key `{}` in [{}]", key.name, key.section),
            false => format!("unknown section [{}]", key.section),
        };
        let hint = match self.known.nearest(key) {
            // It stood there before.
            _ if key.section == "limits" && key.name == "redis" => "say `url` in [redis] instead".to_owned(),
            Some(near) if variable => format!("did you mean {}?", near.variable()),
            Some(near) if near.section == key.section => format!("did you mean `{}`?", near.name),
            Some(near) => format!("did you mean `{}` in [{}]?", near.name, near.section),
            None if self.known.has_section(&key.section) => {
                format!("[{}] has the keys {}", key.section, self.known.names_in(&key.section).join(", "))
            }
            None => format!("there are [{}]", self.known.sections().join("], [")),
        };
        (text, hint)
    }

    fn finish(mut self, file: Option<PathBuf>) -> Result<Effective, ConfigError> {
        if !self.mistakes.is_empty() {
            return Err(ConfigError::Mistakes(self.mistakes));
        }
        let whole =
            |error: toml::de::Error| ConfigError::Mistakes(vec![Mistake::new(Place::Whole, error.message(), None)]);
        let config: Config = self.values.try_into().map_err(whole)?;
        for broken in config.broken_rules() {
            let key = Key::new(broken.section, broken.name);
            let place = self.origins.get(&key).map_or(Place::Whole, Origin::place);
            self.mistakes.push(Mistake::new(place, &format!("{key}: {}", broken.text), Some(broken.hint)));
        }
        match self.mistakes.is_empty() {
            true => Ok(Effective { config, file, origins: self.origins }),
            false => Err(ConfigError::Mistakes(self.mistakes)),
        }
    }
}

/// Line of a byte, from 1.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// What the text of a variable may mean: what TOML would make of it (`8`, `true`, `["a", "b"]`), or the plain text.
fn readings(text: &str) -> Vec<toml::Value> {
    let assignment = format!("value = {text}");
    let as_toml = toml::from_str::<toml::Table>(&assignment)
        .ok()
        // More than one key: the text goes on after a line end, and is no value.
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"));
    as_toml.into_iter().chain([toml::Value::String(text.to_owned())]).collect()
}
