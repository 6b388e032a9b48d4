//! Connecting: the server and what the database holds are looked at first, and changed only when they are fit for it.

use std::num::NonZeroU32;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqlSafeStr as _};

use super::{ConnectionUrl, Postgres};
use crate::StoreLimits;
use crate::failure::Reported;

pub(super) const MIGRATIONS: [(i64, &str, &str); 4] = [
    (1, "first", include_str!("../../migrations/postgres/0001_first.sql")),
    (2, "queue depths", include_str!("../../migrations/postgres/0002_queue_depths.sql")),
    (3, "cluster", include_str!("../../migrations/postgres/0003_cluster.sql")),
    (4, "blobs", include_str!("../../migrations/postgres/0004_blobs.sql")),
];

/// `server_version_num` of the oldest server that is known to work: 15.0.
const VERSION_MIN: i32 = 150_000;
/// How long a call waits for its connection. Twice the lock, so a lock is reported as one.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that has been idle so long is tried before it is used: the server may have been restarted. Under load
/// none is idle so long, and no round trip is spent on it.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// What every connection is set to, whatever the server's, the role's or the URL's settings say.
const SESSION: [(&str, &str); 11] = [
    // What is confirmed is on the disk.
    ("synchronous_commit", "on"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    // Far above what any statement takes.
    ("statement_timeout", "30s"),
    ("lock_timeout", "5s"),
    // A node that stops in the middle of a transaction holds its locks no longer than this.
    ("idle_in_transaction_session_timeout", "10s"),
    ("client_min_messages", "warning"),
    // Every statement here goes by an index. A plan that was made while a table was small is kept by the connection, and
    // must be the right one when the table is large.
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    // Compiling takes longer than any of them, and what is discouraged above looks expensive to it.
    ("jit", "off"),
];
/// Migrating waits for other nodes that do the same, and may rewrite tables; copying reads all of them.
pub(super) const UNHURRIED: [(&str, &str); 3] =
    [("statement_timeout", "0"), ("lock_timeout", "5min"), ("idle_in_transaction_session_timeout", "0")];

/// Which database, and how it is used.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Where it is.
    pub url: ConnectionUrl,
    /// Bounds of the store.
    pub limits: StoreLimits,
    /// Connections of this node. Default [`PostgresOptions::CONNECTIONS_MAX`].
    pub connections_max: NonZeroU32,
    /// Use a server even when `fsync` or `full_page_writes` is off: for tests. A power cut may take what was accepted.
    pub allow_unsafe_server: bool,
}

impl PostgresOptions {
    /// Enough for the queue writer and a busy minute of logins; a server has 100 by default for everybody.
    pub const CONNECTIONS_MAX: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

    /// With the defaults.
    pub const fn new(url: ConnectionUrl, limits: StoreLimits) -> Self {
        Self { url, limits, connections_max: Self::CONNECTIONS_MAX, allow_unsafe_server: false }
    }
}

/// Why a store was not opened. What the database holds was left as it was found. No text has the password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nobody answers.
    #[error("{place} does not answer: see that PostgreSQL runs there, that host and port are right, and start again")]
    Unreachable {
        /// The database asked for.
        place: String,
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection cannot be protected.
    #[error(
        "the connection to {place} is not safe: give the server a certificate for that name, and its authority with \
         sslrootcert=FILE; on a network that you trust, sslmode=disable does without"
    )]
    Tls {
        /// The database asked for.
        place: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Wrong user or password.
    #[error(
        "{place} refused the login ({source}): check user and password (in the URL, PGPASSWORD, or the file that \
         PGPASSFILE names), and the server's pg_hba.conf"
    )]
    Login {
        /// The database asked for.
        place: String,
        /// What the server said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server runs, the database is not there.
    #[error("{place} does not exist: create it (createdb --owner USER DATABASE), and start again")]
    NoDatabase {
        /// The database asked for.
        place: String,
    },
    /// The user may not make tables.
    #[error("the user of {place} may not create tables ({source}): make it the owner of the database")]
    NotPermitted {
        /// The database asked for.
        place: String,
        /// What the server said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Older than 15.
    #[error("{place} is PostgreSQL {version}, 15 or later is needed: upgrade the server")]
    OldServer {
        /// The database asked for.
        place: String,
        /// Its version.
        version: i32,
    },
    /// It follows another server, and cannot be written.
    #[error("{place} is a standby, which cannot be written: name the primary, or promote this one")]
    Standby {
        /// The database asked for.
        place: String,
    },
    /// It would lose what it has confirmed.
    #[error(
        "{place} has {setting} = off, and would lose accepted messages in a power cut: turn it on in postgresql.conf and \
         reload the server"
    )]
    UnsafeServer {
        /// The database asked for.
        place: String,
        /// Which setting.
        setting: &'static str,
    },
    /// Another program's, or changed by hand.
    #[error(
        "{place} is not a store ({found}); nothing was changed: restore it from a backup, or name an empty database"
    )]
    NotAStore {
        /// The database asked for.
        place: String,
        /// What is wrong with it.
        found: String,
    },
    /// A newer program has migrated it.
    #[error(
        "{place} has schema {version}, this program knows {known}: run the newer program again, or restore a backup from before it"
    )]
    NewerSchema {
        /// The database asked for.
        place: String,
        /// Its schema.
        version: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Somebody else migrates, or looks at every table.
    #[error("{place} is locked by another program: wait for it (a node that migrates, a backup), and start again")]
    Locked {
        /// The database asked for.
        place: String,
    },
    /// Anything else.
    #[error("{place} was not opened: look at the server's log, then start again")]
    Other {
        /// The database asked for.
        place: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Postgres {
    /// Opens the store in a database, migrating it as needed. Nodes that do so at one time wait for each other.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do.
    pub async fn open(options: &PostgresOptions) -> Result<Self, OpenError> {
        Self::open_database(options, true).await
    }

    /// Opens a store that is there without migrating it: for what must work with the database as another version left
    /// it. Reads of tables that its schema lacks fail.
    ///
    /// # Errors
    /// See [`OpenError`], `NewerSchema` excepted; `NotAStore` also for an empty database.
    pub async fn open_as_found(options: &PostgresOptions) -> Result<Self, OpenError> {
        Self::open_database(options, false).await
    }

    async fn open_database(options: &PostgresOptions, migrated: bool) -> Result<Self, OpenError> {
        let place = options.url.to_string();
        let refused = |refusal: Refusal| refusal.at(&place);
        let session = options.url.options().application_name("endtoend").options(SESSION);
        prepare(&session, options.allow_unsafe_server, migrated).await.map_err(refused)?;
        let readers = pool(options.connections_max.get(), session);
        // Fails here rather than in the first call.
        readers.acquire().await.map_err(|error| refused(error.into()))?;
        Ok(Self { readers, limits: options.limits, place })
    }

    /// The newest schema that this program knows.
    pub fn newest_schema() -> i64 {
        MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or_default()
    }
}

fn pool(connections: u32, session: PgConnectOptions) -> sqlx::PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, life| {
            Box::pin(async move {
                if life.idle_for < TRUSTED_FOR {
                    return Ok(true);
                }
                // `false`: close it and take another.
                Ok(connection.ping().await.is_ok())
            })
        })
        .connect_lazy_with(session)
}

/// What matters about a server.
struct Server {
    version: i32,
    fsync: bool,
    full_page_writes: bool,
    standby: bool,
}

impl Server {
    async fn of(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let (version, fsync, full_page_writes, standby): (i32, String, String, bool) = sqlx::query_as(
            "SELECT current_setting('server_version_num')::int, current_setting('fsync'),
                 current_setting('full_page_writes'), pg_is_in_recovery()",
        )
        .fetch_one(connection)
        .await?;
        Ok(Self { version, fsync: fsync == "on", full_page_writes: full_page_writes == "on", standby })
    }

    fn check(&self, allow_unsafe: bool) -> Result<(), Refusal> {
        match self {
            Self { version: ..VERSION_MIN, .. } => Err(Refusal::OldServer(self.version / 10_000)),
            Self { standby: true, .. } => Err(Refusal::Standby),
            Self { fsync: false, .. } if !allow_unsafe => Err(Refusal::Unsafe("fsync")),
            Self { full_page_writes: false, .. } if !allow_unsafe => Err(Refusal::Unsafe("full_page_writes")),
            _ => Ok(()),
        }
    }
}

/// Looks whether the server and what is in the database are fit, and then brings the schema up to date if that is wanted.
async fn prepare(session: &PgConnectOptions, allow_unsafe: bool, migrated: bool) -> Result<(), Refusal> {
    let mut connection = session.clone().options(UNHURRIED).connect().await?;
    let prepared = prepare_in(&mut connection, allow_unsafe, migrated).await;
    // A connection with an error on it may not close in good order; nobody waits for that.
    let closed = connection.close().await;
    prepared?;
    Ok(closed?)
}

async fn prepare_in(connection: &mut PgConnection, allow_unsafe: bool, migrated: bool) -> Result<(), Refusal> {
    Server::of(connection).await?.check(allow_unsafe)?;
    let found = inspect(connection).await?;
    if !migrated {
        return if found { Ok(()) } else { Err(Refusal::NotAStore("it is empty".into())) };
    }
    let migrations = MIGRATIONS.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    // Holds an advisory lock of the database until it is done: of two nodes, the second finds nothing to do.
    // `run` would do the same, in a future that cannot go from thread to thread.
    Migrator::with_migrations(migrations.into()).run_direct(None, connection, false).await?;
    Ok(())
}

/// Looks for another program's tables, and tells whether there are ours. Changes nothing.
async fn inspect(connection: &mut PgConnection) -> Result<bool, Refusal> {
    let (schema, migrations, others): (Option<String>, bool, i64) = sqlx::query_as(
        "SELECT current_schema()::text, coalesce(bool_or(c.relname = '_sqlx_migrations'), false), count(c.oid)
         FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
         WHERE n.nspname = current_schema()",
    )
    .fetch_one(connection)
    .await?;
    if schema.is_none() {
        return Err(Refusal::NotAStore("the search path of its user names no schema".into()));
    }
    // The migrator's table comes first, so that no time sees ours without it.
    if !migrations && others > 0 {
        return Err(Refusal::NotAStore("it has tables of another program".into()));
    }
    Ok(migrations)
}

/// An [`OpenError`] that does not know its database yet.
#[derive(Debug)]
enum Refusal {
    OldServer(i32),
    Standby,
    Unsafe(&'static str),
    NotAStore(String),
    Newer(i64),
    Other(sqlx::Error),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error)
    }
}

impl From<MigrateError> for Refusal {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Self::Other(error),
            MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => Self::Newer(version),
            MigrateError::VersionMismatch(version) => {
                Self::NotAStore(format!("schema {version} is not the one of that number in this program"))
            }
            other => Self::Other(sqlx::Error::Migrate(Box::new(other))),
        }
    }
}

impl Refusal {
    fn at(self, place: &str) -> OpenError {
        let place = place.to_owned();
        match self {
            Self::OldServer(version) => OpenError::OldServer { place, version },
            Self::Standby => OpenError::Standby { place },
            Self::Unsafe(setting) => OpenError::UnsafeServer { place, setting },
            Self::NotAStore(found) => OpenError::NotAStore { place, found },
            Self::Newer(version) => OpenError::NewerSchema { place, version, known: Postgres::newest_schema() },
            Self::Other(error) => match reported(&error) {
                Some(reported) => reported_at(reported, place),
                None => match error {
                    sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => {
                        OpenError::Unreachable { place, source: error.into() }
                    }
                    sqlx::Error::Tls(_) => OpenError::Tls { place, source: error.into() },
                    _ => OpenError::Other { place, source: error.into() },
                },
            },
        }
    }
}

fn reported(error: &sqlx::Error) -> Option<Reported> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>().map(Reported::from)
}

/// Source: <https://www.postgresql.org/docs/15/errcodes-appendix.html>.
fn reported_at(reported: Reported, place: String) -> OpenError {
    match &reported.code[..] {
        "28000" | "28P01" => OpenError::Login { place, source: reported.into() },
        "3D000" => OpenError::NoDatabase { place },
        "42501" => OpenError::NotPermitted { place, source: reported.into() },
        "55P03" | "57014" => OpenError::Locked { place },
        // Starting up, shutting down, too many connections.
        "57P01" | "57P02" | "57P03" | "53300" => OpenError::Unreachable { place, source: reported.into() },
        _ => OpenError::Other { place, source: reported.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Server = Server { version: 150_018, fsync: true, full_page_writes: true, standby: false };

    #[test]
    fn a_server_must_be_new_and_safe() {
        assert!(GOOD.check(false).is_ok());
        let old = Server { version: 140_012, ..GOOD }.check(true).map_err(|refusal| refusal.at("db"));
        assert_eq!(
            old.expect_err("refused").to_string(),
            "db is PostgreSQL 14, 15 or later is needed: upgrade the server"
        );
        assert!(matches!(Server { standby: true, ..GOOD }.check(true), Err(Refusal::Standby)));
        for (server, setting) in [
            (Server { fsync: false, ..GOOD }, "fsync"),
            (Server { full_page_writes: false, ..GOOD }, "full_page_writes"),
        ] {
            assert!(server.check(true).is_ok());
            assert!(matches!(server.check(false), Err(Refusal::Unsafe(found)) if found == setting));
        }
    }
}
