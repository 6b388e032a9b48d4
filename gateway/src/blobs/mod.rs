//! Where attachments are: parts of blobs, each an object of an object store, which is a directory or a bucket. The index of them is the
//! durable store's.
//!
//! A part is an object of its own, so that it is there as a whole or not at all, that any node can go on with what another one
//! has begun, and that nothing of a blob is held in memory but the part that comes or goes.

mod bucket;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use endtoend_protocol::{BlobId, UnixMillis, limits};
use endtoend_storage::Store;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Place;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};

use bucket::BucketError;
pub(crate) use bucket::{BucketAt, kind};

use crate::clock;

/// What has expired is looked for this often.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Blobs that one look takes.
const SWEEP_MAX: u32 = 64;
const MIB: u64 = 1024 * 1024;
const DAY_MILLIS: u64 = 24 * 3600 * 1000;

/// What may be left, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlobPolicy {
    /// Longest blob in bytes, at most [`limits::BLOB_BYTES_MAX`].
    pub(crate) bytes_max: u64,
    /// What one account may leave within `keep`, in MiB, at least 1.
    pub(crate) budget_mib: u64,
    /// How long a blob stays.
    pub(crate) keep: Duration,
}

impl BlobPolicy {
    /// How long it takes until what a blob has cost is there again. The smallest blob costs a MiB: rows cost something too.
    pub(crate) fn cost(&self, bytes: u64) -> Duration {
        let mib = u32::try_from(bytes.div_ceil(MIB).max(1)).unwrap_or(u32::MAX);
        let each = self.keep / u32::try_from(self.budget_mib.max(1)).unwrap_or(u32::MAX);
        each.saturating_mul(mib)
    }

    /// At the end of a day, so that it does not tell when the blob came.
    pub(crate) fn expires_at(&self, now: UnixMillis) -> UnixMillis {
        let end = now.plus(self.keep).get();
        UnixMillis::new(end.checked_next_multiple_of(DAY_MILLIS).unwrap_or(end))
    }
}

/// The object store is not there.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BlobsError(#[from] WhyNot);

#[derive(Debug, thiserror::Error)]
enum WhyNot {
    #[error("cannot keep attachments in {}: make it a directory that the node may write, or name another in [blobs] directory", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("cannot keep attachments in a bucket")]
    Bucket(#[source] BucketError),
}

/// Where parts are kept.
pub(crate) enum Kept {
    Directory(PathBuf),
    Bucket(BucketAt),
}

/// The parts of all blobs.
#[derive(Clone)]
pub(crate) struct Blobs {
    objects: Arc<dyn ObjectStore>,
    /// Of the names of all objects; empty, or with a slash at its end.
    in_front: String,
    pub(crate) policy: BlobPolicy,
}

/// Which part holds the byte at `offset`, and where in it.
pub(crate) fn part_at(offset: u64) -> (u64, usize) {
    const LENGTH: u64 = limits::BLOB_PART_BYTES_MAX as u64;
    (offset / LENGTH, usize::try_from(offset % LENGTH).unwrap_or(0))
}

fn place(in_front: &str, blob: BlobId, part: u64) -> Place {
    let name = hex::encode(blob.0);
    // Directories of a bounded size.
    let (group, _) = name.split_at(2);
    Place::from(format!("{in_front}{group}/{name}/{part:05}"))
}

impl Blobs {
    /// Where they are said to be kept, once that place was found to be of use.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) async fn open(kept: &Kept, policy: BlobPolicy) -> Result<Self, BlobsError> {
        match kept {
            Kept::Directory(path) => Self::in_directory(path, policy),
            Kept::Bucket(at) => Self::in_bucket(at, policy).await.map_err(|error| WhyNot::Bucket(error).into()),
        }
    }

    /// In a directory, which is made. What is written there is on disk when it is said to be.
    ///
    /// # Errors
    /// When it cannot be made or opened.
    pub(crate) fn in_directory(path: &Path, policy: BlobPolicy) -> Result<Self, BlobsError> {
        let refused = |source| WhyNot::Directory { path: path.to_owned(), source };
        make_private(path).map_err(refused)?;
        let objects = LocalFileSystem::new_with_prefix(path)
            .map_err(|error| refused(io::Error::other(error)))?
            .with_automatic_cleanup(true)
            .with_fsync(true);
        Ok(Self { objects: Arc::new(objects), in_front: String::new(), policy })
    }

    fn place(&self, blob: BlobId, part: u64) -> Place {
        place(&self.in_front, blob, part)
    }

    /// Takes a part, whole.
    pub(crate) async fn put(&self, blob: BlobId, part: u64, bytes: Bytes) -> Result<(), Error> {
        self.objects.put(&self.place(blob, part), bytes.into()).await.map(drop)
    }

    /// A part, whole; `None` when it is not there.
    pub(crate) async fn part(&self, blob: BlobId, part: u64) -> Result<Option<Bytes>, Error> {
        match self.objects.get(&self.place(blob, part)).await {
            Ok(found) => found.bytes().await.map(Some),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a part, if it is there.
    pub(crate) async fn remove_part(&self, blob: BlobId, part: u64) -> Result<(), Error> {
        match self.objects.delete(&self.place(blob, part)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes what is there of a blob of which `have` bytes are noted: these, and the part that may have come without being
    /// noted.
    pub(crate) async fn remove(&self, blob: BlobId, have: u64) -> Result<(), Error> {
        let (last, _) = part_at(have);
        for part in 0..=last {
            self.remove_part(blob, part).await?;
        }
        Ok(())
    }

    /// Removes what has expired, a few at a time, again and again. What fails is tried again.
    pub(crate) async fn sweep(self, store: Arc<dyn Store>) {
        let mut interval = tokio::time::interval(SWEEP_EVERY);
        loop {
            interval.tick().await;
            match self.remove_expired(&*store, clock::now()).await {
                Ok(0) => {}
                Ok(blobs) => tracing::info!(blobs, "removed attachments that have expired"),
                Err(error) => {
                    let why = error.downcast_ref().map_or("the store", kind);
                    tracing::warn!(why, "cannot remove attachments that have expired");
                    tracing::debug!(%error, "cannot remove attachments that have expired");
                }
            }
        }
    }

    /// How many blobs went.
    async fn remove_expired(&self, store: &dyn Store, now: UnixMillis) -> anyhow::Result<u64> {
        let mut removed = 0;
        loop {
            let expired = store.expired_blobs(now, SWEEP_MAX).await?;
            for blob in &expired {
                self.remove(blob.id, blob.have).await?;
                removed += u64::from(store.forget_blob(blob.id).await?);
            }
            if expired.len() < SWEEP_MAX as usize {
                store.forget_full_budgets(now).await?;
                return Ok(removed);
            }
        }
    }
}

/// Nobody else sees how many there are.
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = std::fs::metadata(path)?.permissions().mode();
    // One that was there may belong to somebody else, and be shared by nodes under a group's name.
    if mode & 0o007 == 0 {
        Ok(())
    } else {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o770))
    }
}

#[cfg(test)]
mod tests {
    use endtoend_storage::{Blob, BlobSecretHash, BlobStore as _, BudgetHash, Spend, Sqlite, StoreLimits};
    use endtoend_testkit_s3::Server;

    use super::*;

    const POLICY: BlobPolicy =
        BlobPolicy { bytes_max: limits::BLOB_BYTES_MAX, budget_mib: 100, keep: Duration::from_secs(30 * 24 * 3600) };

    #[test]
    fn a_budget_lasts_for_what_it_says() {
        assert_eq!(POLICY.cost(1), POLICY.cost(MIB), "the smallest costs a MiB");
        assert_eq!(POLICY.cost(MIB + 1), POLICY.cost(2 * MIB));
        assert!(POLICY.cost(100 * MIB) <= POLICY.keep && POLICY.keep < POLICY.cost(101 * MIB));
        // Whatever somebody configures or asks for.
        let policy = BlobPolicy { budget_mib: u64::MAX, ..POLICY };
        assert!(policy.cost(u64::MAX) > Duration::ZERO);
        let _ = BlobPolicy { budget_mib: 0, ..POLICY }.cost(u64::MAX);
    }

    #[test]
    fn the_end_of_a_blob_does_not_tell_when_it_came() {
        let (morning, evening) = (UnixMillis::new(1), UnixMillis::new(DAY_MILLIS));
        assert_eq!(POLICY.expires_at(morning), POLICY.expires_at(evening));
        assert!(POLICY.expires_at(evening) >= evening.plus(POLICY.keep));
        let _ = POLICY.expires_at(UnixMillis::new(u64::MAX));
    }

    #[test]
    fn a_byte_is_in_one_part() {
        let length = limits::BLOB_PART_BYTES_MAX as u64;
        assert_eq!(part_at(0), (0, 0));
        assert_eq!(part_at(length - 1), (0, limits::BLOB_PART_BYTES_MAX - 1));
        assert_eq!(part_at(length), (1, 0));
    }

    /// An empty bucket of a server that is there as long as what comes with it.
    async fn in_bucket(folder: &Path) -> (Server, Blobs) {
        let server = Server::start(&["attachments"]);
        let blobs = Blobs::in_bucket(&at(&server, folder, "attachments"), POLICY).await.unwrap();
        (server, blobs)
    }

    fn at(server: &Server, folder: &Path, bucket: &str) -> BucketAt {
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, format!("{text}\n")).unwrap();
            path
        };
        BucketAt {
            endpoint: server.endpoint(),
            bucket: bucket.to_owned(),
            region: "us-east-1".to_owned(),
            prefix: "of/a/node".to_owned(),
            virtual_hosts: false,
            plain: true,
            access_key_file: file("access", Server::ACCESS_KEY),
            secret_key_file: file("secret", Server::SECRET_KEY),
            ca_file: PathBuf::new(),
        }
    }

    #[tokio::test]
    async fn a_bucket_that_is_of_no_use_is_known_before_anybody_comes() {
        let (server, folder) = (Server::start(&["attachments"]), tempfile::tempdir().unwrap());
        let good = at(&server, folder.path(), "attachments");
        Blobs::in_bucket(&good, POLICY).await.unwrap();
        assert_eq!(server.objects(), 0, "nothing is left of the trial");
        let why = async |what: &str, at: &BucketAt| {
            Blobs::in_bucket(at, POLICY).await.err().unwrap_or_else(|| panic!("{what} was taken"))
        };
        let wrong = folder.path().join("wrong");
        std::fs::write(&wrong, "not-the-secret").unwrap();
        let error = why("another secret", &BucketAt { secret_key_file: wrong.clone(), ..good.clone() }).await;
        assert!(matches!(error, BucketError::Refused { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("not-the-secret"));
        std::fs::write(&wrong, "\n").unwrap();
        let error = why("no secret", &BucketAt { secret_key_file: wrong, ..good.clone() }).await;
        assert!(matches!(error, BucketError::NoKey { key: "s3_secret_key_file", .. }), "{error}");
        let missing = BucketAt { access_key_file: folder.path().join("none"), ..good.clone() };
        let error = why("no file", &missing).await;
        assert!(matches!(error, BucketError::Read { key: "s3_access_key_file", .. }), "{error}");
        let tls = BucketAt { endpoint: server.endpoint().replace("http:", "https:"), ..good.clone() };
        let error = why("no TLS", &tls).await;
        assert!(matches!(error, BucketError::Away { .. }), "{error}");
        let authority = BucketAt { ca_file: folder.path().join("secret"), ..good.clone() };
        let error = why("no certificate", &authority).await;
        assert!(matches!(error, BucketError::Authority { .. }), "{error}");
        drop(server);
        let error = why("nobody", &good).await;
        assert!(matches!(error, BucketError::Away { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_is_removed_leaves_nothing_and_others_alone() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("blobs");
        removes_one_and_leaves_another(&Blobs::in_directory(&directory, POLICY).unwrap()).await;
        assert!(!directory.join("01").exists(), "no empty directory is left");
        let (server, blobs) = in_bucket(folder.path()).await;
        removes_one_and_leaves_another(&blobs).await;
        assert_eq!(server.objects(), 1);
    }

    async fn removes_one_and_leaves_another(blobs: &Blobs) {
        let (one, other) = (BlobId([1; 16]), BlobId([2; 16]));
        for part in 0..3 {
            blobs.put(one, part, Bytes::from(vec![part as u8; 10])).await.unwrap();
        }
        blobs.put(other, 0, Bytes::from_static(b"stays")).await.unwrap();
        assert_eq!(blobs.part(one, 2).await.unwrap().unwrap(), [2; 10][..]);
        assert_eq!(blobs.part(one, 3).await.unwrap(), None);
        // Two are noted, the third has just come.
        blobs.remove(one, 2 * limits::BLOB_PART_BYTES_MAX as u64).await.unwrap();
        blobs.remove(one, 0).await.unwrap();
        assert_eq!(blobs.part(one, 2).await.unwrap(), None);
        assert_eq!(blobs.part(other, 0).await.unwrap().unwrap(), &b"stays"[..]);
    }

    #[tokio::test]
    async fn what_has_expired_goes_from_both_places_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        expires(&Blobs::in_directory(&folder.path().join("blobs"), POLICY).unwrap()).await;
        let (server, blobs) = in_bucket(folder.path()).await;
        expires(&blobs).await;
        assert_eq!(server.objects(), 1);
    }

    async fn expires(blobs: &Blobs) {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("store.db"), StoreLimits::default()).await.unwrap();
        let now = UnixMillis::new(1_000);
        let begin = async |n: u8, expires_at| {
            let (id, secret_hash) = (BlobId([n; 16]), BlobSecretHash([n; 32]));
            let blob = Blob { id, secret_hash, bytes: 10, have: 0, expires_at };
            let spend = Spend { owner: BudgetHash([n; 32]), cost: Duration::from_millis(1), budget: POLICY.keep };
            store.open_blob(blob, spend, UnixMillis::new(0)).await.unwrap();
            blobs.put(id, 0, Bytes::from_static(b"0123456789")).await.unwrap();
        };
        // More than one look takes.
        let expired = u8::try_from(SWEEP_MAX).unwrap() + 3;
        for n in 0..expired {
            begin(n, now).await;
        }
        begin(expired, UnixMillis::new(1_001)).await;
        assert_eq!(blobs.remove_expired(&store, now).await.unwrap(), u64::from(expired));
        assert_eq!(blobs.remove_expired(&store, now).await.unwrap(), 0);
        for n in 0..expired {
            assert_eq!(blobs.part(BlobId([n; 16]), 0).await.unwrap(), None);
        }
        let stays = BlobId([expired; 16]);
        assert!(store.blob(stays, now).await.unwrap().is_some() && blobs.part(stays, 0).await.unwrap().is_some());
    }
}
