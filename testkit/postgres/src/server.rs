//! The server.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use endtoend_keeper::{Place, Postgres, Way};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

/// How a server is to be set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// fsync and full page writes, as in earnest. Without them a test is faster, and still survives `kill -9` of the
    /// server, which leaves the system's cache alone.
    pub durable: bool,
}

/// A running server. Dropping it ends it and removes what it wrote.
#[derive(Debug)]
pub struct Server {
    postgres: Postgres,
    databases: AtomicU64,
}

impl Server {
    /// Asked for over TCP, and not over the Unix socket.
    pub const PASSWORD: &str = "pass:word/of?tests";

    /// The one server of this program, without fsync.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Settings::default()))
    }

    /// # Panics
    /// When there is no PostgreSQL, or it does not start.
    pub fn start(Settings { durable }: Settings) -> Self {
        // Short: the path of a Unix socket has at most 107 bytes.
        let place = Place::passing("e2e-pg-").expect("a temporary directory");
        let way = Way { durable, tcp_password: Some(Self::PASSWORD) };
        let postgres = Postgres::start(&place, way).expect("PostgreSQL starts; scripts/setup installs it");
        Self { postgres, databases: AtomicU64::new(0) }
    }

    /// A new empty database; its connection URL, by the Unix socket.
    ///
    /// # Panics
    /// When the server does not make it.
    pub async fn database(&self) -> String {
        self.database_like("template0").await
    }

    /// A new database with what that one has, to which nobody may be connected; its connection URL.
    ///
    /// # Panics
    /// When the server does not make it.
    pub async fn database_like(&self, template: &str) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        self.url(&name)
    }

    /// Executes SQL in a database.
    ///
    /// # Panics
    /// When that fails.
    pub async fn execute(&self, database: &str, sql: &str) {
        let options: PgConnectOptions = self.url(database).parse().expect("a connection URL");
        let mut connection = options.disable_statement_logging().connect().await.expect("PostgreSQL answers");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("executed");
        connection.close().await.expect("closed");
    }

    /// Everything in a database, as SQL text; bytes stand there as hexadecimal digits.
    ///
    /// # Panics
    /// When `pg_dump` does not work.
    pub fn dump(&self, database: &str) -> Vec<u8> {
        self.postgres.dump(database).expect("pg_dump works")
    }

    /// Leads to a database by the Unix socket, without a password.
    pub fn url(&self, database: &str) -> String {
        self.postgres.url(database)
    }

    /// Leads to a database by TCP, where the server asks for [`Self::PASSWORD`].
    pub fn tcp_url(&self, database: &str, password: &str) -> String {
        self.postgres.tcp_url(database, password)
    }

    /// Where it listens on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.postgres.port()
    }

    /// The user of the databases.
    pub const fn user(&self) -> &'static str {
        self.postgres.user()
    }

    /// Everything that it has said.
    pub fn log(&self) -> String {
        self.postgres.log()
    }

    /// Its processes of this moment, the postmaster first.
    pub fn processes(&self) -> Vec<u32> {
        self.postgres.processes()
    }

    /// Ends all its processes at once, as a crash of the machine would end them.
    ///
    /// # Panics
    /// When one survives.
    pub fn kill_9(&self) {
        self.postgres.kill_9().expect("killed");
    }

    /// Whether it has ended by itself, as it does when it cannot recover from what its disk does.
    pub fn has_ended(&self) -> bool {
        self.postgres.has_ended()
    }

    /// Whether it takes connections: not while it recovers.
    pub async fn takes_connections(&self) -> bool {
        let options: PgConnectOptions = self.url("postgres").parse().expect("a connection URL");
        match options.disable_statement_logging().connect().await {
            Ok(connection) => connection.close().await.is_ok(),
            Err(_) => false,
        }
    }

    /// Starts an ended server again, on the same port and data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.postgres.restart().expect("PostgreSQL starts");
    }
}
