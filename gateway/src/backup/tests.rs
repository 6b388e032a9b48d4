use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use endtoend_protocol::UnixMillis;
use endtoend_storage::{Sqlite, StoreLimits};
use tempfile::TempDir;
use tokio::sync::watch;

use super::make::BackupError;
use super::manifest::{Manifest, ManifestError};
use super::restore::RestoreError;
use super::*;
use crate::admin::{AdminContext, Progress};
use crate::node::{DATABASE, DataDir, DataDirError, SECRETS, UNFINISHED};

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

/// A stopped node with secrets of no meaning, and what is needed to back it up.
struct Place {
    folder: TempDir,
    context: AdminContext,
    data: Option<DataDir>,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let data = DataDir::open(&path).unwrap();
        let store = Sqlite::open(&data.database(), StoreLimits::default()).await.unwrap();
        for secret in SECRETS {
            fs::write(path.join(secret.file), secret.file.as_bytes()).unwrap();
        }
        let context = AdminContext::new(Arc::new(store), path, Vec::new(), None, None);
        Self { folder, context, data: Some(data) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn make(&self, to: &str) -> Result<BackupDone, BackupError> {
        make(&self.context, &self.path(to), &watch::Sender::new(Progress::default())).await
    }

    async fn restore(&self, to: &str, force: bool) -> Result<Restored, RestoreError> {
        restore(&self.path("backup"), &self.path(to), force, NOW, &mut |_| {}).await
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[actix::test]
async fn a_backup_is_complete_and_for_its_owner_only() {
    let place = Place::new().await;
    let done = place.make("backup").await.unwrap();
    assert_eq!(done.path, place.path("backup"));
    assert_eq!(
        place.names("backup"),
        ["ca.key", DATABASE, "identity.key", "manifest.json", "opaque.key", "oprf.key", "store.key", "token.key"]
    );
    assert_eq!(mode(&done.path), 0o700);
    for name in place.names("backup") {
        assert_eq!(mode(&done.path.join(&name)), 0o600, "{name}");
    }
    assert_eq!(place.names("").len(), 2, "nothing else is left");
    assert_eq!(Manifest::read(&done.path).unwrap().schema, Sqlite::newest_schema());
}

#[actix::test]
async fn what_only_some_nodes_have_is_kept_where_it_is() {
    let place = Place::new().await;
    fs::write(place.path("data/onion.key"), [7; 32]).unwrap();
    place.make("backup").await.unwrap();
    place.restore("other", false).await.unwrap();
    assert_eq!(fs::read(place.path("other/onion.key")).unwrap(), [7; 32]);
    assert_eq!(mode(&place.path("other/onion.key")), 0o600);
}

#[actix::test]
async fn a_directory_that_is_there_gets_a_new_one_inside() {
    let place = Place::new().await;
    fs::create_dir(place.path("backups")).unwrap();
    let done = place.make("backups").await.unwrap();
    assert_eq!(done.path.parent(), Some(&*place.path("backups")));
    assert!(Manifest::read(&done.path).is_ok());
}

#[actix::test]
async fn nothing_is_written_over_and_nothing_half_is_left() {
    let place = Place::new().await;
    fs::write(place.path("file"), b"mine").unwrap();
    assert!(matches!(place.make("file").await, Err(BackupError::Exists(_))));
    assert!(matches!(place.make("no/such/folder").await, Err(BackupError::Write { .. })));
    fs::create_dir(place.path(".backup.partial")).unwrap();
    fs::write(place.path(".backup.partial/photo"), b"mine").unwrap();
    assert!(matches!(place.make("backup").await, Err(BackupError::Leftover(_))));
    fs::rename(place.path(".backup.partial/photo"), place.path(".backup.partial/ca.key")).unwrap();
    place.make("backup").await.unwrap();
    assert_eq!(place.names(""), ["backup", "data", "file"]);
    let _other = place.context.backups.acquire().await.unwrap();
    assert!(matches!(place.make("second").await, Err(BackupError::Busy)));
}

#[actix::test]
async fn what_is_given_up_half_way_leaves_nothing() {
    let place = Place::new().await;
    {
        let reporter = watch::Sender::new(Progress::default());
        let to = place.path("backup");
        let mut making = std::pin::pin!(make(&place.context, &to, &reporter));
        // One step: the temporary directory is there, the copy is not.
        tokio::time::timeout(Duration::ZERO, making.as_mut()).await.unwrap_err();
        assert_eq!(place.names(""), [".backup.partial", "data"]);
    }
    assert_eq!(place.names(""), ["data"]);
}

#[actix::test]
async fn a_secret_from_outside_is_named_and_not_copied() {
    let mut place = Place::new().await;
    place.context.outside = vec!["token.key"];
    let done = place.make("backup").await.unwrap();
    assert_eq!(done.secrets_elsewhere, ["token.key"]);
    assert!(!place.path("backup/token.key").exists());
}

#[actix::test]
async fn a_backup_becomes_the_same_data_directory() {
    let place = Place::new().await;
    place.make("backup").await.unwrap();
    let restored = place.restore("restored", false).await.unwrap();
    assert_eq!(restored.aside, None);
    assert_eq!(
        place.names("restored"),
        ["ca.key", DATABASE, "identity.key", "lock", "opaque.key", "oprf.key", "store.key", "token.key"]
    );
    assert_eq!(fs::read(place.path("restored/ca.key")).unwrap(), b"ca.key");
    assert_eq!(mode(&place.path("restored")), 0o700);
    assert_eq!(mode(&place.path("restored/ca.key")), 0o600);
    let data = DataDir::open(&place.path("restored")).unwrap();
    Sqlite::open(&data.database(), StoreLimits::default()).await.unwrap();
}

#[actix::test]
async fn any_damage_is_found_before_anything_is_touched() {
    let place = Place::new().await;
    place.make("backup").await.unwrap();
    for name in ["ca.key", DATABASE, "token.key"] {
        let path = place.path("backup").join(name);
        let intact = fs::read(&path).unwrap();
        let mut flipped = intact.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let longer = [&intact[..], b"x"].concat();
        for damaged in [flipped, longer, intact[..intact.len() - 1].to_vec(), Vec::new()] {
            fs::write(&path, damaged).unwrap();
            assert!(matches!(place.restore("restored", true).await, Err(RestoreError::Differs { .. })), "{name}");
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(place.restore("restored", true).await, Err(RestoreError::Differs { .. })), "{name}");
        assert_eq!(place.names("restored"), ["lock"]);
        fs::write(&path, intact).unwrap();
    }
    place.restore("restored", false).await.unwrap();
}

#[actix::test]
async fn a_manifest_that_is_not_ours_is_refused() {
    let place = Place::new().await;
    place.make("backup").await.unwrap();
    let path = place.path("backup/manifest.json");
    let manifest = Manifest::read(&place.path("backup")).unwrap();
    let change = |change: &dyn Fn(&mut Manifest)| {
        let mut changed = manifest.clone();
        change(&mut changed);
        fs::write(&path, serde_json::to_vec(&changed).unwrap()).unwrap();
    };
    change(&|manifest| manifest.files[1].name = "../../etc/passwd".to_owned());
    assert!(matches!(
        place.restore("restored", false).await,
        Err(RestoreError::Manifest(ManifestError::Strange { .. }))
    ));
    change(&|manifest| manifest.files.push(manifest.files[0].clone()));
    assert!(matches!(
        place.restore("restored", false).await,
        Err(RestoreError::Manifest(ManifestError::Strange { .. }))
    ));
    change(&|manifest| drop(manifest.files.remove(0)));
    assert!(matches!(
        place.restore("restored", false).await,
        Err(RestoreError::Manifest(ManifestError::NoDatabase { .. }))
    ));
    change(&|manifest| manifest.schema = 99);
    assert!(matches!(place.restore("restored", false).await, Err(RestoreError::NewerSchema { schema: 99, .. })));
    change(&|manifest| manifest.schema -= 1);
    assert!(matches!(place.restore("restored", false).await, Err(RestoreError::SchemaDiffers { .. })));
    fs::write(&path, r#"{ "format": 2, "tapes": [] }"#).unwrap();
    assert!(matches!(
        place.restore("restored", false).await,
        Err(RestoreError::Manifest(ManifestError::NewerFormat { found: 2, .. }))
    ));
    fs::write(&path, b"{").unwrap();
    assert!(matches!(
        place.restore("restored", false).await,
        Err(RestoreError::Manifest(ManifestError::Damaged { .. }))
    ));
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        place.restore("restored", false).await,
        Err(RestoreError::Manifest(ManifestError::Missing { .. }))
    ));
}

#[actix::test]
async fn what_is_there_is_moved_aside_and_only_when_asked() {
    let mut place = Place::new().await;
    place.make("backup").await.unwrap();
    assert!(matches!(place.restore("data", true).await, Err(RestoreError::DataDir(DataDirError::InUse(_)))));
    place.data = None;
    fs::write(place.path("data/notes"), b"mine").unwrap();
    assert!(matches!(place.restore("data", false).await, Err(RestoreError::NotEmpty { .. })));
    let restored = place.restore("data", true).await.unwrap();
    let aside = restored.aside.unwrap();
    assert_eq!(fs::read(aside.join("notes")).unwrap(), b"mine");
    assert!(aside.join(DATABASE).exists() && aside.join("ca.key").exists());
    assert_eq!(mode(&aside), 0o700);
    assert!(!place.path("data/notes").exists());
    DataDir::open(&place.path("data")).unwrap();
}

#[actix::test]
async fn a_restore_that_was_cut_short_keeps_a_node_from_starting_until_it_is_done_again() {
    let place = Place::new().await;
    place.make("backup").await.unwrap();
    fs::create_dir(place.path("half")).unwrap();
    fs::write(place.path("half").join(UNFINISHED), []).unwrap();
    fs::write(place.path("half/ca.key"), b"of the old node").unwrap();
    assert!(matches!(DataDir::open(&place.path("half")), Err(DataDirError::Unfinished(_))));
    assert!(matches!(place.restore("half", false).await, Err(RestoreError::NotEmpty { .. })));
    let restored = place.restore("half", true).await.unwrap();
    assert_eq!(fs::read(restored.aside.unwrap().join("ca.key")).unwrap(), b"of the old node");
    DataDir::open(&place.path("half")).unwrap();
}
