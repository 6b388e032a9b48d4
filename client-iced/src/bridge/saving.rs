//! Files that leave the profile.

use std::path::{Path, PathBuf};

use endtoend_client::engine::{EngineHandle, FileError};
use endtoend_client::files::SaveError;
use endtoend_client::handle::Handle;
use endtoend_protocol::MessageId;

use crate::failure::Failure;

/// So many names are tried before a person has to make order.
const NAMES_MAX: u32 = 1_000;

/// A name like this one, the first of which is itself: `map.png`, `map (2).png`.
pub(super) fn another(name: &str, number: u32) -> String {
    if number <= 1 {
        return name.to_owned();
    }
    match name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) {
        Some((stem, kind)) => format!("{stem} ({number}).{kind}"),
        None => format!("{name} ({number})"),
    }
}

/// Opens the file of a message into a folder, which is made if it is missing, and says where it lies then. Replaces nothing.
pub(super) async fn save(
    engine: &EngineHandle,
    with: Handle,
    message: MessageId,
    folder: &Path,
    name: &str,
) -> Result<PathBuf, Failure> {
    let whole = folder.to_owned();
    let made = tokio::task::spawn_blocking(move || std::fs::create_dir_all(whole)).await;
    if let Err(source) = made.unwrap_or_else(|stopped| Err(stopped.into())) {
        return Err(SaveError::Unwritable { path: folder.to_owned(), source }.into());
    }
    for number in 1..=NAMES_MAX {
        let place = folder.join(another(name, number));
        match engine.save_file(with.clone(), message, place.clone(), false).await {
            Ok(()) => return Ok(place),
            Err(FileError::Save(SaveError::Exists(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::new("file-exists"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_gets_a_number_before_its_kind() {
        let second = |name| another(name, 2);
        assert_eq!(
            [second("map.png"), second("map"), second(".profile"), second("a.tar.gz")],
            ["map (2).png", "map (2)", ".profile (2)", "a.tar (2).gz"]
        );
        assert_eq!(another("map.png", 1), "map.png");
    }
}
