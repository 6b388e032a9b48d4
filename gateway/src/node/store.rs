//! Which store a node has: a SQLite file in its data directory, or a PostgreSQL database that the configuration names.
//!
//! The directory remembers which. A node whose URL was forgotten would otherwise begin with an empty file, and one whose
//! URL is new with an empty database, while everybody's accounts are in the other.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use endtoend_storage::{
    ConnectionUrl, InvalidUrl, Maintenance, OpenError, Postgres, PostgresOpenError, PostgresOptions, Sqlite, Store,
    StoreError, StoreLimits,
};
use zeroize::Zeroizing;

use super::data_dir::{DATABASE, ELSEWHERE};
use crate::config::StorageConfig;

/// Why there is no store. Each text says what to do next, and none has a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    #[error(transparent)]
    Sqlite(#[from] OpenError),
    #[error(transparent)]
    Postgres(#[from] PostgresOpenError),
    #[error(
        "{} cannot be read: write the database's URL into its first line, readable for the user that runs the node, or \
         correct [storage] url_file",
        path.display()
    )]
    UrlFile { path: PathBuf, source: io::Error },
    #[error("the first line of {} is no URL of a database", path.display())]
    Url { path: PathBuf, source: InvalidUrl },
    #[error(
        "the configuration names {place}, but the node's database is {}: bring its content over with `endtoend db copy \
         --from sqlite --to postgres`, or take [storage] url out of the configuration; if it was brought over already, \
         move that file away",
        file.display()
    )]
    InFile { place: String, file: PathBuf },
    #[error(
        "the node's database is {place}, and the configuration names none: set [storage] url or url_file, or the variable \
         ENDTOEND_STORAGE__URL; to begin with an empty file, move {} away",
        mark.display()
    )]
    Elsewhere { place: String, mark: PathBuf },
}

/// A store that was chosen and not opened yet.
#[derive(Clone, Debug)]
pub(crate) enum ChosenStore {
    Sqlite(PathBuf),
    Postgres(Box<PostgresOptions>),
}

impl ChosenStore {
    /// The one that the configuration names, if that is what the data directory has. Nothing is changed.
    ///
    /// # Errors
    /// `UrlFile`, `Url`, `InFile`, `Elsewhere`.
    pub(crate) fn of(storage: &StorageConfig) -> Result<Self, OpenStoreError> {
        let (file, mark) = (storage.data.join(DATABASE), storage.data.join(ELSEWHERE));
        match configured_url(storage)? {
            Some(url) if file.exists() => Err(OpenStoreError::InFile { place: url.to_string(), file }),
            Some(url) => Ok(Self::Postgres(Box::new(postgres_options(url, storage)))),
            None if mark.exists() => Err(OpenStoreError::Elsewhere { place: place_in(&mark), mark }),
            None => Ok(Self::Sqlite(file)),
        }
    }

    /// Opens the store, creating and migrating it as needed. Nodes that do so at one time wait for each other.
    ///
    /// # Errors
    /// `Sqlite`, `Postgres`.
    pub(crate) async fn open(&self) -> Result<NodeStore, OpenStoreError> {
        Ok(match self {
            Self::Sqlite(path) => NodeStore::Sqlite(Sqlite::open(path, StoreLimits::default()).await?),
            Self::Postgres(options) => NodeStore::Postgres(Postgres::open(options).await?),
        })
    }

    /// Opens a store that is there without migrating it.
    ///
    /// # Errors
    /// `Sqlite`, `Postgres`.
    pub(crate) async fn open_as_found(&self) -> Result<NodeStore, OpenStoreError> {
        Ok(match self {
            Self::Sqlite(path) => NodeStore::Sqlite(Sqlite::open_as_found(path, StoreLimits::default()).await?),
            Self::Postgres(options) => NodeStore::Postgres(Postgres::open_as_found(options).await?),
        })
    }

    /// Where it is, without a password.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(options) => options.url.to_string(),
        }
    }
}

/// The PostgreSQL database of this URL, used as the configuration says.
pub(super) fn postgres_options(url: ConnectionUrl, storage: &StorageConfig) -> PostgresOptions {
    let options = PostgresOptions::new(url, StoreLimits::default());
    PostgresOptions { connections_max: storage.connections_max, ..options }
}

/// The database that the configuration names, from itself or from the first line of a file.
///
/// # Errors
/// `UrlFile`, `Url`.
pub(crate) fn configured_url(storage: &StorageConfig) -> Result<Option<ConnectionUrl>, OpenStoreError> {
    match storage.url.get() {
        Some(url) => Ok(Some(url.clone())),
        None if storage.url_file.as_os_str().is_empty() => Ok(None),
        None => url_in(&storage.url_file).map(Some),
    }
}

/// The URL in the first line of a file.
///
/// # Errors
/// `UrlFile`, `Url`.
pub(crate) fn url_in(path: &Path) -> Result<ConnectionUrl, OpenStoreError> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|source| OpenStoreError::UrlFile { path: path.to_owned(), source })?;
    let line = text.lines().next().unwrap_or_default().trim();
    line.parse().map_err(|source| OpenStoreError::Url { path: path.to_owned(), source })
}

/// What the directory says of where its database is.
fn place_in(mark: &Path) -> String {
    let text = std::fs::read_to_string(mark).unwrap_or_default();
    match text.trim() {
        "" => "in PostgreSQL".to_owned(),
        place => place.to_owned(),
    }
}

/// An open store. Clones share its connections.
#[derive(Clone, Debug)]
pub(crate) enum NodeStore {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl NodeStore {
    /// For a node.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::new(store.clone()),
            Self::Postgres(store) => Arc::new(store.clone()),
        }
    }

    /// For its operator.
    pub(crate) fn maintenance(&self) -> Arc<dyn Maintenance> {
        match self {
            Self::Sqlite(store) => Arc::new(store.clone()),
            Self::Postgres(store) => Arc::new(store.clone()),
        }
    }

    /// The cluster whose nodes use it; none for a file, which has one node.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) async fn cluster(&self) -> Result<Option<[u8; 16]>, StoreError> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(store) => store.cluster().await,
        }
    }

    /// From now on the nodes of this cluster use it, unless those of another one do. Whose it is then.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) async fn take_for_cluster(&self, cluster: [u8; 16]) -> Result<[u8; 16], StoreError> {
        match self {
            Self::Sqlite(_) => Ok(cluster),
            Self::Postgres(store) => store.take_for_cluster(cluster).await,
        }
    }

    /// Its name for people and programs.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// The newest schema that this program knows for it.
    pub(crate) fn newest_schema(&self) -> i64 {
        match self {
            Self::Sqlite(_) => Sqlite::newest_schema(),
            Self::Postgres(_) => Postgres::newest_schema(),
        }
    }

    /// Waits for running calls and closes the connections. Later calls fail.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn storage(data: &Path, url: &str) -> StorageConfig {
        let url = url.to_owned().try_into().unwrap();
        StorageConfig { data: data.to_owned(), url, ..StorageConfig::default() }
    }

    const URL: &str = "postgres://endtoend:hunter2@localhost:5432/endtoend";

    #[test]
    fn the_configuration_and_the_directory_must_agree() {
        let dir = tempfile::tempdir().unwrap();
        let (none, named) = (storage(dir.path(), ""), storage(dir.path(), URL));
        let file = dir.path().join(DATABASE);
        assert!(matches!(ChosenStore::of(&none), Ok(ChosenStore::Sqlite(chosen)) if chosen == file));
        let chosen = ChosenStore::of(&named).unwrap();
        assert_eq!(chosen.place(), "postgres://endtoend@localhost:5432/endtoend");
        assert!(matches!(chosen, ChosenStore::Postgres(_)));

        fs::write(&file, b"rows").unwrap();
        assert!(matches!(ChosenStore::of(&none), Ok(ChosenStore::Sqlite(_))));
        let refused = ChosenStore::of(&named).unwrap_err();
        assert!(matches!(refused, OpenStoreError::InFile { .. }));
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));

        fs::rename(&file, dir.path().join(ELSEWHERE)).unwrap();
        assert!(matches!(ChosenStore::of(&none), Err(OpenStoreError::Elsewhere { place, .. }) if place == "rows"));
        assert!(matches!(ChosenStore::of(&named), Ok(ChosenStore::Postgres(_))));
    }

    #[test]
    fn a_url_may_come_from_a_file_and_is_not_quoted_when_it_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("url");
        let storage = StorageConfig { url_file: file.clone(), ..storage(dir.path(), "") };
        assert!(matches!(ChosenStore::of(&storage), Err(OpenStoreError::UrlFile { .. })));
        fs::write(&file, format!("{URL}\n# and so on\n")).unwrap();
        assert_eq!(ChosenStore::of(&storage).unwrap().place(), "postgres://endtoend@localhost:5432/endtoend");
        fs::write(&file, "mysql://endtoend:hunter2@localhost/endtoend").unwrap();
        let refused = ChosenStore::of(&storage).unwrap_err();
        assert!(matches!(refused, OpenStoreError::Url { source: InvalidUrl::Scheme, .. }));
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
}
