//! What comes from the rest of the desktop: files that a person chooses in the system's window, and a picture from the clipboard.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use endtoend_client::face;
use endtoend_client::files::{SHOWN_BYTES_MAX, Source, images};
use endtoend_client::pictures;
use endtoend_client::transport::BridgeLine;
use endtoend_protocol::FileName;

use crate::failure::Failure;
use crate::order::FaceSource;
use crate::picture::{self, Scale, Undrawable};
use crate::screens::network;

/// What a picture is called that comes from a clipboard.
const PASTED: &str = "picture.png";

/// Opens the system's window. None when it was closed, or there is no such window: then a path can still be typed.
pub(super) async fn files() -> Vec<Source> {
    let chosen = rfd::AsyncFileDialog::new().pick_files().await.unwrap_or_default();
    chosen.into_iter().map(|file| Source::File(file.path().to_owned())).collect()
}

/// What is made of a file: of that one, or of one that is chosen, on a thread that nobody waits for but who asked. `None` when none was;
/// `stumbled` when what makes it stumbles.
async fn of_file<T: Send + 'static>(
    path: Option<PathBuf>,
    stumbled: &'static str,
    make: impl FnOnce(&Path) -> Result<T, Failure> + Send + 'static,
) -> Result<Option<T>, Failure> {
    let path = match path {
        Some(path) => path,
        None => match rfd::AsyncFileDialog::new().pick_file().await {
            Some(chosen) => chosen.path().to_owned(),
            None => return Ok(None),
        },
    };
    let made = tokio::task::spawn_blocking(move || make(&path).map(Some));
    made.await.unwrap_or_else(|_| Err(Failure::new(stumbled)))
}

/// What a code in a picture says. `None` when no file was chosen.
pub(super) async fn code(path: Option<PathBuf>) -> Result<Option<String>, Failure> {
    of_file(path, "picture-bad", |path| code_in(&read(path, "picture-bad")?)).await
}

/// Bridges, as lines or as a picture of a code. `None` when no file was chosen.
pub(super) async fn bridges(path: Option<PathBuf>) -> Result<Option<Vec<BridgeLine>>, Failure> {
    let make = |path: &Path| {
        let bytes = read(path, "bridges-none")?;
        let text = match images::look(&bytes) {
            Some(_) => code_in(&bytes)?,
            None => String::from_utf8(bytes).map_err(|_| Failure::new("bridges-none"))?,
        };
        network::lines(&text)
    };
    of_file(path, "bridges-none", make).await
}

/// A picture to show oneself by. `None` when no file was chosen.
pub(super) async fn face(path: Option<PathBuf>) -> Result<Option<FaceSource>, Failure> {
    let make = |path: &Path| {
        let bytes = face::source(path)?;
        let drawn = picture::draw(&bytes, Scale::Small).map_err(|_| Failure::new("portrait-bad"))?;
        Ok(FaceSource { bytes: Arc::new(bytes), drawn })
    };
    of_file(path, "portrait-bad", make).await
}

fn code_in(picture: &[u8]) -> Result<String, Failure> {
    pictures::code_in(picture).map_err(Undrawable::from)?.ok_or(Failure::new("code-none"))
}

/// Nobody waits for a pipe, and nothing is read that is larger than any picture that is shown.
fn read(path: &Path, too_large: &'static str) -> Result<Vec<u8>, Failure> {
    let metadata = std::fs::metadata(path).map_err(|error| Failure::unreadable(&error))?;
    if !metadata.is_file() || metadata.len() > SHOWN_BYTES_MAX {
        return Err(Failure::new(too_large));
    }
    std::fs::read(path).map_err(|error| Failure::unreadable(&error))
}

/// The picture in the clipboard, packed to be sent. `None` when there is none, or words are: they were pasted as words.
pub(super) async fn pasted() -> Result<Option<Source>, Failure> {
    let packed = tokio::task::spawn_blocking(|| {
        // Without a clipboard there is nothing in it.
        let Ok(mut clipboard) = arboard::Clipboard::new() else { return Ok(None) };
        if clipboard.get_text().is_ok_and(|text| !text.is_empty()) {
            return Ok(None);
        }
        let Ok(found) = clipboard.get_image() else { return Ok(None) };
        let (width, height) = (u32::try_from(found.width), u32::try_from(found.height));
        let (Ok(width), Ok(height)) = (width, height) else { return Err(Failure::new("picture-bad")) };
        let packed = picture::pack(width, height, found.bytes.into_owned())?;
        Ok(Some(Source::Bytes(FileName::new(PASTED), packed)))
    });
    packed.await.unwrap_or_else(|_| Err(Failure::new("picture-bad")))
}
