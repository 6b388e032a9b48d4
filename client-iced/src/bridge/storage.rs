//! What lies on the disk, and copies of it.

use std::path::{Path, PathBuf};

use endtoend_client::backup::{BackupError, Summary};
use endtoend_client::clock;
use endtoend_client::engine::EngineHandle;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::saving::another;
use crate::failure::Failure;
use crate::order::{Usage, Written};
use crate::secret::Secret;

/// So many names are tried before a person has to make order.
const NAMES_MAX: u32 = 1_000;
/// Files and folders that are counted: a profile has far fewer.
const ENTRIES_MAX: usize = 1_000_000;
/// Below the profile's folder: files of messages.
const FILES: &str = "files";

/// How much a profile takes on the disk.
pub(super) async fn usage(home: PathBuf) -> Result<Usage, Failure> {
    let counted = tokio::task::spawn_blocking(move || {
        let (all, files) = (bytes_below(&home), bytes_below(&home.join(FILES)));
        Usage { messages: all.saturating_sub(files), files, home: home.display().to_string() }
    });
    counted.await.map_err(|_| Failure::new("engine-stopped"))
}

/// What cannot be read is not counted; links are not followed.
fn bytes_below(folder: &Path) -> u64 {
    let (mut all, mut folders, mut entries) = (0_u64, vec![folder.to_owned()], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            entries += 1;
            if entries > ENTRIES_MAX {
                return all;
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                all = all.saturating_add(entry.metadata().map_or(0, |file| file.len()));
            }
        }
    }
    all
}

/// Sealed, to come back from; without a passphrase plain, to read elsewhere. Into a folder, under a name that nothing has yet.
pub(super) async fn write(
    engine: &EngineHandle,
    folder: &Path,
    passphrase: Option<Secret>,
) -> Result<Written, Failure> {
    let (whole, failed) = (folder.to_owned(), folder.to_owned());
    let made = tokio::task::spawn_blocking(move || std::fs::create_dir_all(whole)).await;
    if let Err(source) = made.unwrap_or_else(|stopped| Err(stopped.into())) {
        return Err(BackupError::Unusable { path: failed, source }.into());
    }
    let name = match passphrase {
        Some(_) => format!("endtoend-{}.backup", today()),
        None => format!("endtoend-{}.jsonl", today()),
    };
    for number in 1..=NAMES_MAX {
        let path = folder.join(another(&name, number));
        let written = match &passphrase {
            Some(passphrase) => engine.backup(path.clone(), passphrase.to_zeroizing()).await,
            None => engine.export(path.clone()).await,
        };
        match written {
            Ok(Summary { contacts, messages }) => return Ok(Written { path, people: contacts, messages }),
            Err(BackupError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::new("file-exists"))
}

/// `2026-11-27`
fn today() -> String {
    let millis = i64::try_from(clock::now().get()).unwrap_or(i64::MAX);
    let now = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
    TimeZone::system().to_datetime(now).date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_lies_there_is_counted_once_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("profile");
        std::fs::create_dir_all(home.join(FILES).join("deep")).unwrap();
        std::fs::write(home.join("database"), [0; 1_000]).unwrap();
        std::fs::write(home.join(FILES).join("one"), [0; 200]).unwrap();
        std::fs::write(home.join(FILES).join("deep").join("two"), [0; 30]).unwrap();
        std::fs::write(folder.path().join("elsewhere"), [0; 5_000]).unwrap();
        std::os::unix::fs::symlink(folder.path(), home.join("link")).unwrap();
        let usage = usage(home.clone()).await.unwrap();
        assert_eq!((usage.messages, usage.files), (1_000, 230));
        assert_eq!(bytes_below(&folder.path().join("missing")), 0);
    }
}
