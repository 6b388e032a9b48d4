//! Profiles on real files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use endtoend_protocol::{AccountTag, MessageId, Text, UnixMillis};
use tempfile::TempDir;

use super::*;
use crate::database::{Body, Direction, MessageState, StoredMessage};

/// The least that Argon2id takes: these tests are not about its cost.
const FAST: Params = Params { memory_kib: 8, passes: 1, lanes: 1 };
const PASSWORD: &[u8] = b"correct horse";

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn create(home: &TempDir) -> Profile {
    Profile::create_with(home.path(), PASSWORD, FAST).unwrap()
}

fn open(home: &TempDir) -> Result<Profile, ProfileError> {
    Profile::open_with(home.path(), PASSWORD, FAST)
}

fn message(text: &str) -> StoredMessage {
    let at = UnixMillis::new(1);
    StoredMessage {
        seq: 0,
        peer: AccountTag::new([2; 32]),
        handle: None,
        direction: Direction::In,
        id: MessageId::new(at, [0; 10]),
        state: MessageState::Received,
        body: Body::Text(Text::new(text.to_owned()).unwrap()),
        sent_at: at,
        accepted_at: None,
        received_at: None,
        wire_bytes: None,
        shown: false,
        marks: crate::database::Marks::default(),
    }
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let home = home();
    let mut profile = create(&home);
    profile.database().write(|store| store.put_message(&message("hello"))).unwrap();
    drop(profile);
    let mut profile = open(&home).unwrap();
    let unread = profile.database().read().unread(None, 9).unwrap();
    assert_eq!(unread.iter().map(|message| &message.body).collect::<Vec<_>>(), [&message("hello").body]);
}

#[test]
fn a_wrong_password_opens_nothing_and_changes_nothing() {
    let home = home();
    drop(create(&home));
    let before = fs::read(home.path().join(VAULT_FILE)).unwrap();
    assert!(matches!(Profile::open(home.path(), b"wrong horse"), Err(ProfileError::WrongPassword)));
    assert_eq!(fs::read(home.path().join(VAULT_FILE)).unwrap(), before);
    open(&home).unwrap();
}

#[test]
fn a_second_user_is_told_to_wait() {
    let home = home();
    let first = create(&home);
    assert!(matches!(open(&home), Err(ProfileError::Locked(_))));
    assert!(matches!(Profile::create_with(home.path(), PASSWORD, FAST), Err(ProfileError::Locked(_))));
    drop(first);
    open(&home).unwrap();
}

#[test]
fn a_profile_is_not_made_twice() {
    let home = home();
    drop(create(&home));
    assert!(matches!(Profile::create_with(home.path(), PASSWORD, FAST), Err(ProfileError::Exists(_))));
}

#[test]
fn nobody_else_can_read_the_profile() {
    let home = home();
    drop(create(&home));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(home.path()), 0o700);
    for file in fs::read_dir(home.path()).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn a_damaged_vault_is_told_from_a_wrong_password() {
    let home = home();
    drop(create(&home));
    let path = home.path().join(VAULT_FILE);
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let error = Vault::from_bytes(&bad).err();
        // The version byte is where a later version would say so.
        let expected = if at == 8 && bad[8] > 1 { VaultError::Newer } else { VaultError::Damaged };
        assert_eq!(error, Some(expected), "byte {at}");
    }
    for len in 0..good.len() {
        assert_eq!(Vault::from_bytes(&good[..len]).err(), Some(VaultError::Damaged), "{len} bytes");
    }
    fs::write(&path, &good[..50]).unwrap();
    assert!(matches!(open(&home), Err(ProfileError::VaultDamaged(_))));
    assert_eq!(fs::read(&path).unwrap(), &good[..50], "left alone");
}

#[test]
fn a_vault_cannot_demand_all_memory() {
    let (vault, _) = Vault::create(&mut rand::rng(), PASSWORD, FAST).unwrap();
    let mut bytes = vault.to_bytes();
    bytes[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    let sum = blake3::hash(&bytes[..bytes.len() - 32]);
    let end = bytes.len() - 32;
    bytes[end..].copy_from_slice(sum.as_bytes());
    assert_eq!(Vault::from_bytes(&bytes).err(), Some(VaultError::Damaged));
}

#[test]
fn a_truncated_database_is_reported_and_left_alone() {
    let home = home();
    drop(create(&home));
    let path = home.path().join(DATABASE_FILE);
    let whole = fs::read(&path).unwrap();
    for len in [0, 100, 4096, whole.len() / 2, whole.len() - 4096] {
        fs::write(&path, &whole[..len]).unwrap();
        assert!(matches!(open(&home), Err(ProfileError::DatabaseDamaged { .. })), "{len} bytes");
        assert_eq!(fs::metadata(&path).unwrap().len(), len as u64);
    }
    fs::write(&path, &whole).unwrap();
    open(&home).unwrap();
}

#[test]
fn a_missing_database_is_not_made_anew() {
    let home = home();
    drop(create(&home));
    let path = home.path().join(DATABASE_FILE);
    fs::remove_file(&path).unwrap();
    assert!(matches!(open(&home), Err(ProfileError::DatabaseMissing(_))));
    assert!(!path.exists());
}

#[test]
fn a_database_of_another_profile_does_not_open() {
    let (home, other) = (home(), self::home());
    drop((create(&home), create(&other)));
    fs::copy(other.path().join(DATABASE_FILE), home.path().join(DATABASE_FILE)).unwrap();
    assert!(matches!(open(&home), Err(ProfileError::DatabaseDamaged { .. })));
}

#[test]
fn a_creation_cut_short_can_be_repeated_and_loses_no_file() {
    let home = home();
    drop(create(&home));
    // The vault is written last, so this is what a crash before it leaves.
    fs::remove_file(home.path().join(VAULT_FILE)).unwrap();
    let first = fs::read(home.path().join(DATABASE_FILE)).unwrap();
    assert!(matches!(open(&home), Err(ProfileError::Missing(_))));
    drop(create(&home));
    open(&home).unwrap();
    assert_eq!(fs::read(home.path().join("endtoend.db.orphan-1")).unwrap(), first);
}

#[test]
fn a_vault_write_cut_short_leaves_the_old_vault() {
    let home = home();
    drop(create(&home));
    fs::write(home.path().join("vault.new"), b"half").unwrap();
    open(&home).unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let home = home();
    let file = home.path().join("file");
    fs::write(&file, b"").unwrap();
    let result = Profile::create_with(&file.join("profile"), PASSWORD, FAST);
    assert!(matches!(result, Err(ProfileError::Unusable { .. })), "{result:?}");
}

#[test]
fn no_file_of_the_profile_shows_what_was_said() {
    const MARKER: &str = "the quick brown fox jumps over the lazy dog";
    let home = home();
    let mut profile = create(&home);
    profile.database().write(|store| store.put_message(&message(MARKER))).unwrap();
    let shows = |marker: &[u8]| {
        fs::read_dir(home.path()).unwrap().any(|file| {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            bytes.windows(marker.len()).any(|window| window == marker)
        })
    };
    // While it is open, with the write-ahead log beside it, and afterwards.
    assert!(!shows(MARKER.as_bytes()) && !shows(PASSWORD) && !shows(b"CREATE TABLE"));
    drop(profile);
    assert!(!shows(MARKER.as_bytes()) && !shows(PASSWORD) && !shows(b"CREATE TABLE"));
}

// --- passwords ---

fn files(home: &TempDir) -> Vec<(String, Vec<u8>)> {
    let read =
        |entry: fs::DirEntry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap());
    let mut files: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| read(entry.unwrap())).collect();
    files.sort();
    files
}

#[test]
fn another_password_seals_the_same_key_and_touches_no_record() {
    let home = home();
    let mut profile = create(&home);
    profile.database().write(|store| store.put_message(&message("hello"))).unwrap();
    drop(profile);
    let before = files(&home);
    let wrong = Profile::change_password_with(home.path(), b"wrong horse", b"new", FAST);
    assert!(matches!(wrong, Err(ProfileError::WrongPassword)));
    assert!(files(&home) == before);
    Profile::change_password_with(home.path(), PASSWORD, b"new", FAST).unwrap();
    let after = files(&home);
    assert_eq!(after.len(), before.len(), "no old vault stays behind");
    for ((name, now), (_, then)) in after.iter().zip(&before) {
        assert_eq!(now == then, name != VAULT_FILE, "{name}");
    }
    assert!(matches!(open(&home), Err(ProfileError::WrongPassword)));
    let mut profile = Profile::open_with(home.path(), b"new", FAST).unwrap();
    assert_eq!(profile.database().read().unread(None, 9).unwrap().len(), 1);
}

/// What [`files::write_atomically`] leaves when it is cut short: nothing, a part of the new vault, or all of it beside
/// the old one. After the rename there is only the new one.
fn cut_short(home: &TempDir, password: &[u8]) -> Vec<Option<Vec<u8>>> {
    let (_, key) = unlock(home.path(), PASSWORD).unwrap();
    let new = Vault::seal(&mut rand::rng(), password, FAST, &key).unwrap().to_bytes();
    let mut states = vec![None];
    states.extend([0, 1, new.len() / 2, new.len() - 1, new.len()].map(|len| Some(new[..len].to_vec())));
    states
}

#[test]
fn a_change_that_is_cut_short_leaves_one_good_vault() {
    let home = home();
    drop(create(&home));
    let unfinished = home.path().join("vault.new");
    for state in cut_short(&home, b"new") {
        if let Some(bytes) = state {
            fs::write(&unfinished, bytes).unwrap();
        }
        let wrong = Profile::open_with(home.path(), b"new", FAST);
        assert!(matches!(wrong, Err(ProfileError::WrongPassword)), "not changed before the rename");
        drop(open(&home).unwrap());
        assert!(!unfinished.exists(), "a password that was given up opens nothing");
    }
    for state in cut_short(&home, b"new") {
        if let Some(bytes) = state {
            fs::write(&unfinished, bytes).unwrap();
        }
        Profile::change_password_with(home.path(), PASSWORD, b"new", FAST).unwrap();
        assert!(!unfinished.exists());
        Profile::change_password_with(home.path(), b"new", PASSWORD, FAST).unwrap();
    }
    drop(open(&home).unwrap());
}

#[test]
fn sealing_anew_that_is_cut_short_is_done_the_next_time() {
    let home = home();
    drop(create(&home));
    let floor = Params { memory_kib: 16, ..FAST };
    let unfinished = home.path().join("vault.new");
    for state in cut_short(&home, PASSWORD) {
        if let Some(bytes) = state {
            fs::write(&unfinished, bytes).unwrap();
        }
        drop(open(&home).unwrap());
    }
    fs::write(&unfinished, b"half a vault").unwrap();
    drop(Profile::open_with(home.path(), PASSWORD, floor).unwrap());
    assert!(!unfinished.exists());
    let vault = Vault::from_bytes(&fs::read(home.path().join(VAULT_FILE)).unwrap()).unwrap();
    assert!(!cost::is_cheaper_than(vault.params(), floor));
}

#[test]
fn a_cheap_vault_is_sealed_anew_when_it_is_opened() {
    let home = home();
    drop(create(&home));
    let params = |home: &TempDir| Vault::from_bytes(&fs::read(home.path().join(VAULT_FILE)).unwrap()).unwrap().params();
    drop(open(&home).unwrap());
    assert_eq!(params(&home), FAST, "not below this floor");
    drop(Profile::open(home.path(), PASSWORD).unwrap());
    assert!(!cost::is_cheaper_than(params(&home), Params::FLOOR));
    drop(Profile::open(home.path(), PASSWORD).unwrap());
}

// --- the end ---

#[test]
fn a_wiped_profile_is_gone_and_what_is_not_ours_stays() {
    let home = home();
    drop(create(&home));
    fs::write(home.path().join("endtoend.db.orphan-1-wal"), b"old").unwrap();
    fs::write(home.path().join("letter.txt"), b"mine").unwrap();
    fs::create_dir_all(home.path().join("tor/state/keystore")).unwrap();
    fs::write(home.path().join("tor/state/state.lock"), b"").unwrap();
    let wiped = wipe(home.path()).unwrap();
    assert_eq!(wiped.left, [home.path().join("letter.txt")]);
    assert_eq!(files(&home), [("letter.txt".to_owned(), b"mine".to_vec())]);
    assert!(matches!(wipe(home.path()), Err(ProfileError::Missing(_))));
    fs::remove_file(home.path().join("letter.txt")).unwrap();
    drop(create(&home));
    wipe(home.path()).unwrap();
    assert!(!home.path().exists());
    assert!(matches!(wipe(home.path()), Err(ProfileError::Missing(_))));
    fs::create_dir(home.path()).unwrap(); // for the temporary folder's own end
}

#[test]
fn a_profile_in_use_is_not_wiped() {
    let home = home();
    let profile = create(&home);
    assert!(matches!(wipe(home.path()), Err(ProfileError::Locked(_))));
    drop(profile);
    drop(open(&home).unwrap());
}

#[test]
fn the_key_goes_first_and_a_wipe_can_be_finished() {
    let home = home();
    drop(create(&home));
    // What cannot be removed stops it half way.
    let obstacle = home.path().join("endtoend.db-journal");
    fs::create_dir(&obstacle).unwrap();
    assert!(matches!(wipe(home.path()), Err(ProfileError::Unusable { .. })));
    assert!(!home.path().join(VAULT_FILE).exists(), "nobody can open the rest");
    assert!(matches!(open(&home), Err(ProfileError::Missing(_))));
    fs::remove_dir(&obstacle).unwrap();
    wipe(home.path()).unwrap();
    assert!(!home.path().exists());
    fs::create_dir(home.path()).unwrap();
}

#[test]
fn a_wipe_that_is_cut_short_has_destroyed_the_key_and_is_finished_by_the_next() {
    let all = |home: &TempDir| wipe::steps(home.path(), wipe::files(home.path()).unwrap().0);
    let count = {
        let home = home();
        drop(create(&home));
        all(&home).len()
    };
    for done in 0..count {
        let home = home();
        drop(create(&home));
        let old = fs::read(home.path().join(VAULT_FILE)).unwrap();
        for step in all(&home).iter().take(done) {
            step.carry_out().unwrap();
        }
        match done {
            0 => drop(open(&home).unwrap()),
            _ => {
                // No file opens with any password any more: what is left of the vault is noise of its length.
                assert!(open(&home).is_err(), "after {done} steps");
                assert!(files(&home).iter().all(|(_, bytes)| *bytes != old && Vault::from_bytes(bytes).is_err()));
            }
        }
        // All but the last sync of the folder: then there is nothing left to say.
        match wipe(home.path()) {
            Ok(wiped) => assert!(wiped.left.is_empty()),
            Err(error) => {
                assert!(matches!(error, ProfileError::Missing(_)), "after {done} steps: {error:?}");
                assert_eq!(files(&home), [], "after {done} steps");
            }
        }
        if !home.path().exists() {
            fs::create_dir(home.path()).unwrap();
        }
        drop(create(&home));
    }
}

#[test]
fn the_vault_is_overwritten_before_anything_else() {
    let home = home();
    drop(create(&home));
    fs::write(home.path().join("vault.new"), b"half a vault").unwrap();
    let (ours, _) = wipe::files(home.path()).unwrap();
    let shown: Vec<_> = wipe::steps(Path::new("home"), ours)
        .iter()
        .map(|step| match step {
            wipe::Step::Overwrite(path) => format!("overwrite {}", path.file_name().unwrap().display()),
            wipe::Step::Remove(path) | wipe::Step::RemoveFolder(path) => {
                format!("remove {}", path.file_name().unwrap().display())
            }
            wipe::Step::Sync(_) => "sync".to_owned(),
        })
        .collect();
    let expected = [
        "overwrite vault",
        "overwrite vault.new",
        "remove vault",
        "remove vault.new",
        "sync",
        "remove endtoend.db",
        "sync",
        "remove lock",
        "sync",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn a_damaged_profile_can_be_wiped() {
    let home = home();
    drop(create(&home));
    fs::write(home.path().join(VAULT_FILE), b"nonsense").unwrap();
    wipe(home.path()).unwrap();
    assert!(!home.path().exists());
    fs::create_dir(home.path()).unwrap();
}

#[test]
fn what_only_has_the_names_of_a_profile_is_left_alone() {
    let lock = (LOCK_FILE, b"".as_slice());
    let database = (DATABASE_FILE, b"SQLite format 3\0 and accounts".as_slice());
    let folders: [&[(&str, &[u8])]; 5] = [
        // A node's data directory, and one that somebody made a profile in.
        &[database, lock, ("token.key", b"key")],
        &[database, lock, (VAULT_FILE, b"e2evault")],
        &[(VAULT_FILE, b"of somebody else")],
        &[(LOCK_FILE, b"4711\n"), (VAULT_FILE, b"of somebody else")],
        &[],
    ];
    for folder in folders {
        let home = home();
        for (name, bytes) in folder {
            fs::write(home.path().join(name), bytes).unwrap();
        }
        let before = files(&home);
        assert!(matches!(wipe(home.path()), Err(ProfileError::Missing(_))), "{folder:?}");
        assert!(files(&home) == before, "{folder:?}");
    }
}

// --- side by side ---

#[test]
fn profiles_lie_side_by_side_and_each_has_its_own_end() {
    let home = home();
    assert_eq!(profiles(home.path()).unwrap(), []);
    let [work, play]: [ProfileName; 2] = ["work", "play_2"].map(|name| name.parse().unwrap());
    let all = [create(&home), named(&home, &work), named(&home, &play)];
    let listed = |home: &TempDir| -> Vec<_> {
        profiles(home.path()).unwrap().into_iter().map(|(name, _)| name.map(|name| name.to_string())).collect()
    };
    assert_eq!(listed(&home), [None, Some("play_2".to_owned()), Some("work".to_owned())]);
    for other in ["profiles/not a profile", "profiles/empty"] {
        fs::create_dir(home.path().join(other)).unwrap();
    }
    drop(all);
    wipe(&work.folder(home.path())).unwrap();
    assert_eq!(listed(&home), [None, Some("play_2".to_owned())]);
    // The end of the first is not that of the others.
    wipe(home.path()).unwrap();
    assert_eq!(listed(&home), [Some("play_2".to_owned())]);
    drop(Profile::open_with(&play.folder(home.path()), PASSWORD, FAST).unwrap());
}

fn named(home: &TempDir, name: &ProfileName) -> Profile {
    Profile::create_with(&name.folder(home.path()), PASSWORD, FAST).unwrap()
}

#[test]
fn a_name_of_a_profile_is_the_name_of_a_folder() {
    for bad in ["", ".", "..", "a/b", "A", "ü", "a b", &"x".repeat(33)] {
        assert_eq!(bad.parse::<ProfileName>(), Err(BadProfileName), "{bad:?}");
    }
}
