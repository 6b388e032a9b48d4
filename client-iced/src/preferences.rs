//! What a person has chosen for this window: nothing of it is secret, so it lies in a file of its own beside other programs'.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::strings::Language;

/// Longest file that is read, in bytes: ours has a few lines.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Appearance {
    /// As the rest of the system.
    #[default]
    System,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

/// How large everything is, in percent of what it is by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u16", into = "u16")]
pub struct Scale(u16);

impl Scale {
    /// What there is to choose from.
    pub const ALL: [Self; 6] = [Self(80), Self(90), Self(100), Self(115), Self(130), Self(150)];

    /// As a factor.
    pub fn factor(self) -> f32 {
        f32::from(self.0) / 100.0
    }
}

impl Default for Scale {
    fn default() -> Self {
        Self(100)
    }
}

/// The nearest that there is.
impl From<u16> for Scale {
    fn from(percent: u16) -> Self {
        Self::ALL.into_iter().min_by_key(|scale| scale.0.abs_diff(percent)).unwrap_or_default()
    }
}

impl From<Scale> for u16 {
    fn from(scale: Scale) -> Self {
        scale.0
    }
}

impl std::fmt::Display for Scale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// What a notification shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notices {
    /// There is none.
    Nothing,
    /// That something came.
    #[default]
    Something,
    /// Who has written.
    Name,
    /// Who, and what.
    Words,
}

impl Notices {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Something, Self::Name, Self::Words];
}

/// The colour of what a person is led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accent {
    /// The program's own.
    #[default]
    Green,
    /// Like the sea.
    Blue,
    /// Like violets.
    Violet,
    /// Like bricks.
    Rust,
    /// None at all.
    Grey,
}

impl Accent {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Green, Self::Blue, Self::Violet, Self::Rust, Self::Grey];
}

/// How much stands in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Density {
    /// With room around everything.
    #[default]
    Roomy,
    /// More lines.
    Dense,
}

impl Density {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Roomy, Self::Dense];
}

/// The file `desktop.toml`. An unknown key is one of a newer version, and is kept out of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// Light or dark. Default: as the system.
    pub appearance: Appearance,
    /// Default: green.
    pub accent: Accent,
    /// Default: roomy.
    pub density: Density,
    /// Default: 100.
    pub scale: Scale,
    /// Default: the system's.
    pub language: Language,
    /// What notifications show. Default: that something came, and not what or from whom.
    pub notices: Notices,
    /// Whether a closed window leaves the program running where a tray shows it. Default: no.
    pub close_to_tray: bool,
    /// Whether what may be used against a person leaves the clipboard after a minute. Default: yes.
    pub clear_clipboard: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            appearance: Appearance::default(),
            accent: Accent::default(),
            density: Density::default(),
            scale: Scale::default(),
            language: Language::default(),
            notices: Notices::default(),
            close_to_tray: false,
            clear_clipboard: true,
        }
    }
}

/// Why it was not kept.
#[derive(Debug, thiserror::Error)]
pub enum PreferencesError {
    /// The file or its folder.
    #[error("{} cannot be written", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no way to write them down.
    #[error("the preferences have no text")]
    Text(#[from] toml::ser::Error),
}

impl Preferences {
    /// What the file says. Where there is none that can be read, what a person has who has chosen nothing.
    pub fn load(path: &Path, language: Language) -> Self {
        let small = std::fs::metadata(path).is_ok_and(|file| file.len() <= FILE_BYTES_MAX);
        let text = if small { std::fs::read_to_string(path).ok() } else { None };
        let unchosen = Self { language, ..Self::default() };
        text.and_then(|text| toml::from_str(&text).ok()).unwrap_or(unchosen)
    }

    /// Keeps them: whole, or as they were.
    ///
    /// # Errors
    /// See [`PreferencesError`].
    pub fn save(&self, path: &Path) -> Result<(), PreferencesError> {
        let text = toml::to_string(self)?;
        let new = path.with_extension("toml.new");
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| PreferencesError::Write { path, source }
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        std::fs::write(&new, text).map_err(failed(&new))?;
        std::fs::rename(&new, path).map_err(failed(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_is_there_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below").join("desktop.toml");
        let chosen = Preferences {
            appearance: Appearance::Dark,
            accent: Accent::Rust,
            density: Density::Dense,
            scale: Scale::from(130),
            language: Language::German,
            notices: Notices::Words,
            close_to_tray: true,
            clear_clipboard: false,
        };
        assert_eq!(Preferences::load(&path, Language::German).scale, Scale::default());
        chosen.save(&path).unwrap();
        assert_eq!(Preferences::load(&path, Language::English), chosen);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn a_file_that_says_nothing_sensible_chooses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("desktop.toml");
        for text in ["", "appearance = 7", "no toml", "newer = true", "scale = 1"] {
            std::fs::write(&path, text).unwrap();
            let loaded = Preferences::load(&path, Language::English);
            assert_eq!(loaded.appearance, Appearance::System, "{text}");
            assert_eq!((loaded.notices, loaded.clear_clipboard), (Notices::Something, true), "{text}");
            assert!(Scale::ALL.contains(&loaded.scale), "{text}");
        }
    }
}
