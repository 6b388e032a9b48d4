//! Files sealed, opened, cut off and saved, without an engine.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use endtoend_crypto_core::stream::CHUNK_BYTES;
use endtoend_crypto_e2e::{blob_bytes, blob_chunks};
use endtoend_protocol::{self as protocol, FileName, Picture, Shown, Voice};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::open::{Incoming, copy_out};
use super::prepare::{Manner, PrepareError, Prepared, Source, prepare};
use super::save::{SaveError, read, save};
use super::spool::{LocalName, Spool};
use super::{OpenError, images};

/// Far above what any step takes; only a hanging test meets it.
const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    folder: TempDir,
    spool: Spool,
}

fn go_on() -> bool {
    false
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::of(folder.path());
        Self { folder, spool }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn prepare(&self, name: &str, bytes: &[u8], manner: Manner) -> Result<Prepared, PrepareError> {
        fs::write(self.path(name), bytes).unwrap();
        prepare(&Source::File(self.path(name)), manner, &self.spool, &go_on)
    }

    fn sealed(&self, length: usize) -> Prepared {
        self.prepare("file.bin", &bytes(length), Manner::Usual).unwrap()
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// Around the length of a part, and over several.
const LENGTHS: [usize; 8] = [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000, 400_000];

#[test]
fn what_is_sealed_opens_and_is_nowhere_in_clear() {
    let scene = Scene::new();
    for length in LENGTHS {
        let Prepared { file, local, .. } = scene.sealed(length);
        let sealed = fs::read(scene.spool.path(local)).unwrap();
        assert_eq!((file.bytes, sealed.len() as u64), (length as u64, blob_bytes(length as u64)));
        assert_eq!(file.hash, *blake3::hash(&bytes(length)).as_bytes());
        assert!(length < 100 || !sealed.windows(64).any(|window| window == &bytes(100)[..64]));
        let mut out = Vec::new();
        copy_out(&file, &*sealed, &mut out, &go_on).unwrap();
        assert_eq!(out, bytes(length), "{length}");
        assert_eq!(**read(&file, &scene.spool.path(local), &go_on).unwrap(), *out);
    }
    // The same file twice has nothing in common.
    let [one, other] = [scene.sealed(100), scene.sealed(100)];
    assert!(one.file.key != other.file.key && one.file.blob != other.file.blob && one.secret != other.secret);
}

#[test]
fn whatever_was_written_when_it_died_is_gone_on_with() {
    let scene = Scene::new();
    for length in LENGTHS {
        let Prepared { file, local, .. } = scene.sealed(length);
        let sealed = fs::read(scene.spool.path(local)).unwrap();
        let (chunks, _) = blob_chunks(file.bytes);
        for cut in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, sealed.len() - 1, sealed.len()] {
            let cut = cut.min(sealed.len());
            let name = LocalName::random();
            // What the disk had not kept when the machine died may be anything.
            let mut found = sealed[..cut].to_vec();
            found.extend_from_slice(&[0; 99]);
            scene.spool.open(name).unwrap().write_all(&found).unwrap();
            let disk = scene.spool.open(name).unwrap();
            let mut incoming = Incoming::resume(file.clone(), disk, &go_on).unwrap();
            let offset = usize::try_from(incoming.offset()).unwrap();
            let whole = if cut == sealed.len() { cut } else { cut / CHUNK_BYTES * CHUNK_BYTES };
            assert_eq!(offset, whole, "{length} of {chunks} chunks, cut at {cut}");
            for part in sealed[offset..].chunks(77_777) {
                incoming.take(part).unwrap();
            }
            incoming.finish().unwrap();
            assert_eq!(fs::read(scene.spool.path(name)).unwrap(), sealed);
        }
    }
}

#[test]
fn what_was_cut_exchanged_or_changed_is_never_a_file() {
    let scene = Scene::new();
    let Prepared { file, local, .. } = scene.sealed(200_000);
    let other = scene.sealed(200_000);
    let good = fs::read(scene.spool.path(local)).unwrap();
    let chunk = |at: usize| good[at * CHUNK_BYTES..].iter().take(CHUNK_BYTES).copied().collect::<Vec<u8>>();
    let mut bent = good.clone();
    bent[CHUNK_BYTES + 5] ^= 1;
    let forgeries = [
        good[..good.len() - 1].to_vec(),
        good[..2 * CHUNK_BYTES].to_vec(),
        Vec::new(),
        [chunk(1), chunk(0), chunk(2), chunk(3)].concat(),
        [chunk(0), chunk(0), chunk(2), chunk(3)].concat(),
        [chunk(0), chunk(2), chunk(3)].concat(),
        [good.clone(), vec![0]].concat(),
        [good.clone(), good.clone()].concat(),
        bent,
        fs::read(scene.spool.path(other.local)).unwrap(),
    ];
    for (number, forged) in forgeries.into_iter().enumerate() {
        let opened = copy_out(&file, &*forged, &mut std::io::sink(), &go_on);
        assert!(matches!(opened, Err(OpenError::Forged)), "{number}: {opened:?}");
        let name = LocalName::random();
        let mut incoming = Incoming::resume(file.clone(), scene.spool.open(name).unwrap(), &go_on).unwrap();
        let taken = incoming.take(&forged);
        let kept = usize::try_from(incoming.offset()).unwrap();
        assert!(taken.is_err() || kept < good.len() && incoming.finish().is_err(), "{number}");
        // What was kept of it is of the file.
        let on_disk = fs::read(scene.spool.path(name)).unwrap();
        assert!(good.starts_with(&on_disk) || number == 7 || number == 6, "{number}");
        let path = scene.path("saved");
        fs::write(scene.spool.path(name), &forged).unwrap();
        let saved = save(&file, &scene.spool.path(name), &path, false, &go_on);
        assert!(matches!(saved, Err(SaveError::Damaged)) && !path.exists(), "{number}: {saved:?}");
    }
    // What its writer has said of it is not true.
    for lie in [protocol::File { hash: [0; 32], ..file.clone() }, protocol::File { bytes: 199_999, ..file }] {
        let opened = copy_out(&lie, &*good, &mut std::io::sink(), &go_on);
        assert!(matches!(opened, Err(OpenError::Forged)), "{opened:?}");
    }
}

#[test]
fn a_file_is_saved_whole_and_in_nobodys_place() {
    let scene = Scene::new();
    let Prepared { file, local, .. } = scene.sealed(100_000);
    let from = scene.spool.path(local);
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("name.bin");
    save(&file, &from, &to, false, &go_on).unwrap();
    assert_eq!(fs::read(&to).unwrap(), bytes(100_000));
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600, "nobody else can read it");
    assert_eq!(scene.names(place.path()), ["name.bin"]);
    fs::write(&to, b"somebody's").unwrap();
    assert!(matches!(save(&file, &from, &to, false, &go_on), Err(SaveError::Exists(path)) if path == to));
    let nowhere = place.path().join("link");
    std::os::unix::fs::symlink(place.path().join("elsewhere"), &nowhere).unwrap();
    assert!(matches!(save(&file, &from, &nowhere, false, &go_on), Err(SaveError::Exists(_))));
    assert_eq!(fs::read(&to).unwrap(), b"somebody's");
    // Given up in the middle, and a folder that is not there.
    assert!(matches!(save(&file, &from, &to, true, &|| true), Err(SaveError::GivenUp)));
    assert_eq!(fs::read(&to).unwrap(), b"somebody's");
    let missing = place.path().join("missing").join("name");
    assert!(matches!(save(&file, &from, &missing, false, &go_on), Err(SaveError::Unwritable { .. })));
    save(&file, &from, &to, true, &go_on).unwrap();
    save(&file, &from, &nowhere, true, &go_on).unwrap();
    assert!(fs::read(&to).unwrap() == bytes(100_000) && !place.path().join("elsewhere").exists());
    assert_eq!(scene.names(place.path()).len(), 2, "nothing half written is left");
}

/// Nothing is known against a file that this disk does not give at the moment.
#[test]
fn what_cannot_be_read_is_not_damaged() {
    let scene = Scene::new();
    let Prepared { file, local, .. } = scene.sealed(100_000);
    let (from, to) = (scene.spool.path(local), scene.path("saved"));
    fs::remove_file(&from).unwrap();
    assert!(matches!(save(&file, &from, &to, false, &go_on), Err(SaveError::Damaged)), "it is not there");
    assert!(matches!(read(&file, &from, &go_on), Err(SaveError::Damaged)));
    // It opens and cannot be read; and it does not open.
    fs::create_dir(&from).unwrap();
    let looped = scene.path("looped");
    std::os::unix::fs::symlink(&looped, &looped).unwrap();
    for from in [&from, &looped] {
        assert!(matches!(save(&file, from, &to, false, &go_on), Err(SaveError::Unreadable(_))));
        assert!(matches!(read(&file, from, &go_on), Err(SaveError::Unreadable(_))));
    }
    assert!(!to.exists());
}

#[test]
fn a_picture_is_sent_clean_unless_it_is_to_stay_as_it_is() {
    let scene = Scene::new();
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], kind, data, &[0; 4]].concat()
    };
    let size = [0, 0, 0, 4, 0, 0, 0, 3, 8, 2, 0, 0, 0];
    let [head, end] = [chunk(b"IHDR", &size), chunk(b"IEND", b"")];
    let picture = [b"\x89PNG\r\n\x1a\n".to_vec(), head, chunk(b"tEXt", b"where it was taken"), end].concat();
    let sent = |manner| {
        let Prepared { file, local, .. } = scene.prepare("../a photo.txt", &picture, manner).unwrap();
        let bytes = read(&file, &scene.spool.path(local), &go_on).unwrap();
        (file, bytes.to_vec())
    };
    fs::create_dir_all(scene.path("files")).unwrap();
    let (file, clean) = sent(Manner::Usual);
    assert_eq!((file.media_type.as_str(), file.name.as_str()), ("image/png", "a photo.txt"));
    assert_eq!(file.shown, Picture::new(4, 3).map(Shown::Picture).unwrap());
    assert!(clean.len() < picture.len() && images::look(&clean).is_some());
    let (file, same) = sent(Manner::AsItIs);
    assert_eq!((file.shown.clone(), file.media_type.as_str(), same), (Shown::File, "text/plain", picture.clone()));
    let voice = Voice::new(1_500, vec![1, 2, 3]).unwrap();
    assert_eq!(sent(Manner::Voice(voice.clone())).0.shown, Shown::Voice(voice));
    // The same without a file on a disk.
    let source = Source::Bytes(FileName::new("pasted.png"), Zeroizing::new(picture.clone()));
    let Prepared { file, local, .. } = prepare(&source, Manner::Usual, &scene.spool, &go_on).unwrap();
    assert_eq!((file.name.as_str(), file.media_type.as_str()), ("pasted.png", "image/png"));
    assert_eq!(read(&file, &scene.spool.path(local), &go_on).unwrap().to_vec(), clean);
    assert!(!format!("{source:?}").contains("137"), "bytes in a `Debug`");
    let damaged = scene.prepare("damaged.png", &picture[..picture.len() - 5], Manner::Usual);
    assert!(matches!(damaged, Err(PrepareError::DamagedPicture)));
}

/// To open a pipe waits for somebody who writes into it, and there may never be one.
#[test]
fn a_pipe_is_no_file_and_nobody_waits_for_it() {
    let scene = Scene::new();
    let pipe = scene.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (told, heard) = mpsc::channel();
    let (source, spool) = (Source::File(pipe.clone()), scene.spool);
    let thread = thread::spawn(move || told.send(prepare(&source, Manner::Usual, &spool, &go_on).err()));
    let heard = heard.recv_timeout(PATIENCE);
    // Lets go of whoever waits after all.
    drop(fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap());
    thread.join().unwrap().unwrap();
    assert!(matches!(heard, Ok(Some(PrepareError::Unreadable { .. }))), "{heard:?}");
}

#[test]
fn what_is_not_sealed_leaves_nothing() {
    let scene = Scene::new();
    fs::create_dir(scene.path("folder")).unwrap();
    for path in [scene.path("missing"), scene.path("folder"), PathBuf::from("/"), PathBuf::from("/dev/zero")] {
        let refused = prepare(&Source::File(path), Manner::Usual, &scene.spool, &go_on);
        assert!(matches!(refused, Err(PrepareError::Unreadable { .. })));
    }
    fs::write(scene.path("file"), bytes(10)).unwrap();
    let refused = prepare(&Source::File(scene.path("file")), Manner::Usual, &scene.spool, &|| true);
    assert!(matches!(refused, Err(PrepareError::GivenUp)));
    let long = fs::File::create(scene.path("long")).unwrap();
    long.set_len(protocol::limits::FILE_BYTES_MAX + 1).unwrap();
    let refused = prepare(&Source::File(scene.path("long")), Manner::Usual, &scene.spool, &go_on);
    assert!(matches!(refused, Err(PrepareError::TooLong)));
    assert_eq!(scene.names(&scene.path("files")), Vec::<String>::new());
}
