//! Profiles side by side: the first one's folder, and in it a folder for each further one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{Profile, ProfileError, unusable};

const FOLDER: &str = "profiles";
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 32;

/// The name of a further profile: 1 to 32 of `a` to `z`, `0` to `9`, `-` and `_`, so that it is the name of a folder everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProfileName(String);

/// Not a name of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a profile's name has 1 to {NAME_BYTES_MAX} of a to z, 0 to 9, '-' and '_'")]
pub struct BadProfileName;

impl FromStr for ProfileName {
    type Err = BadProfileName;

    fn from_str(text: &str) -> Result<Self, BadProfileName> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        let good = (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed);
        good.then(|| Self(text.to_owned())).ok_or(BadProfileName)
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ProfileName {
    /// Where it lies, beside the profile in `first`.
    pub fn folder(&self, first: &Path) -> PathBuf {
        first.join(FOLDER).join(&self.0)
    }
}

/// All profiles of a person, readable or not: the first one, if there is one, and then the further ones by name.
///
/// # Errors
/// `Unusable`.
pub fn profiles(first: &Path) -> Result<Vec<(Option<ProfileName>, PathBuf)>, ProfileError> {
    let mut found = Vec::new();
    let folder = first.join(FOLDER);
    match std::fs::read_dir(&folder) {
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(unusable(&folder))?.path();
                let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
                if let Some(name) = name.filter(|_| Profile::exists(&path)) {
                    found.push((Some(name), path));
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unusable(&folder)(error)),
    }
    found.sort();
    if Profile::exists(first) {
        found.insert(0, (None, first.to_owned()));
    }
    Ok(found)
}
