//! What was spoken, given to the system's program for sounds: see ARCHITECTURE.md for why this one plays none itself.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use endtoend_client::engine::EngineHandle;
use endtoend_client::files::SaveError;
use endtoend_client::handle::Handle;
use endtoend_protocol::MessageId;

use crate::failure::Failure;

/// Bytes that tell a kind of sound.
const BEGINNING: usize = 12;

/// The kind of a sound, by its first bytes. Nothing else is opened, whatever its sender has called it: the system starts a program by
/// this.
fn kind(begins: &[u8]) -> Option<&'static str> {
    match begins {
        [b'O', b'g', b'g', b'S', ..] => Some("ogg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some("wav"),
        [b'f', b'L', b'a', b'C', ..] => Some("flac"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some("m4a"),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some("webm"),
        [b'#', b'!', b'A', b'M', b'R', ..] => Some("amr"),
        [b'I', b'D', b'3', ..] | [0xff, 0xe2..=0xff, ..] => Some("mp3"),
        _ => None,
    }
}

/// Names the file by its kind, and has it opened.
fn open(place: &Path, opens: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Failure> {
    let mut begins = Vec::with_capacity(BEGINNING);
    let read = File::open(place).and_then(|file| file.take(BEGINNING as u64).read_to_end(&mut begins));
    let kind = read.ok().and_then(|_| kind(&begins)).ok_or_else(|| Failure::new("sound-unknown"))?;
    let named = place.with_extension(kind);
    fs::rename(place, &named).and_then(|()| opens(&named)).map_err(|_| Failure::new("sound-not-opened"))
}

/// Opens the file of a message into that folder, where only its owner can read it, and has the system play it.
pub(super) async fn play(
    engine: &EngineHandle,
    with: Handle,
    message: MessageId,
    folder: &Path,
) -> Result<(), Failure> {
    let (made, place) = (folder.to_owned(), folder.join(message.to_string()));
    let made = tokio::task::spawn_blocking(move || fs::create_dir_all(made)).await;
    if let Err(source) = made.unwrap_or_else(|stopped| Err(stopped.into())) {
        return Err(SaveError::Unwritable { path: folder.to_owned(), source }.into());
    }
    engine.save_file(with, message, place.clone(), true).await?;
    let opened = tokio::task::spawn_blocking(move || {
        open(&place, |named| open::that_detached(named)).inspect_err(|_| {
            let _gone = fs::remove_file(&place);
        })
    });
    opened.await.unwrap_or_else(|_| Err(Failure::new("sound-not-opened")))
}

/// Takes away what was played.
pub(super) fn forget(folder: &Path) {
    // Mostly there is none.
    let _gone = fs::remove_dir_all(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sounds_are_opened_and_by_their_kind() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("played");
        fs::create_dir_all(&folder).unwrap();
        let place = folder.join("message");
        let opened = |bytes: &[u8]| {
            fs::write(&place, bytes).unwrap();
            let mut which = None;
            let done = open(&place, |named| {
                which = Some(named.extension().unwrap().to_str().unwrap().to_owned());
                Ok(())
            });
            assert_eq!(done.is_ok(), which.is_some());
            which
        };
        for (bytes, kind) in [
            (&b"OggS\0\x02"[..], "ogg"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "wav"),
            (b"fLaC\0", "flac"),
            (b"\0\0\0\x20ftypM4A ", "m4a"),
            (b"\x1a\x45\xdf\xa3", "webm"),
            (b"#!AMR\n", "amr"),
            (b"ID3\x04", "mp3"),
            (b"\xff\xfb\x90", "mp3"),
        ] {
            assert_eq!(opened(bytes).as_deref(), Some(kind));
        }
        for none in [
            &b""[..],
            b"#!/bin/sh\n",
            b"\x7fELF\x02\x01\x01",
            b"[Desktop Entry]\n",
            b"RIFF\x24\0\0\0AVI ",
            b"<html>",
            b"\xff\xd8\xff\xe0",
        ] {
            assert_eq!(opened(none), None);
        }
        let refused = open(&place, |_| Err(io::ErrorKind::NotFound.into())).unwrap_err();
        assert_eq!(refused.key, "sound-unknown");
        fs::write(&place, b"OggS").unwrap();
        assert_eq!(open(&place, |_| Err(io::ErrorKind::NotFound.into())).unwrap_err().key, "sound-not-opened");
        forget(&folder);
        assert!(!folder.exists());
        forget(&folder);
    }
}
