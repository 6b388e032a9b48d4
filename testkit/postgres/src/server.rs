//! The server.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use endtoend_testkit_keeper::{PATIENCE, eventually};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::programs::{self, User};
use crate::watchdog::Watchdog;

/// The user of the databases.
const USER: &str = "endtoend";
/// Other programs may take a port between its choice and its use.
const STARTS_MAX: u32 = 5;

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
    process: Mutex<Child>,
    programs: PathBuf,
    user: Option<User>,
    folder: PathBuf,
    port: u16,
    settings: Settings,
    databases: AtomicU64,
    _watchdog: Watchdog,
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
    pub fn start(settings: Settings) -> Self {
        let (programs, user) = (programs::folder(), programs::unprivileged());
        // Short: the path of a Unix socket has at most 107 bytes. The watchdog removes it.
        let folder = tempfile::Builder::new().prefix("e2e-pg-").tempdir().expect("a temporary directory").keep();
        let watchdog = Watchdog::over(&folder);
        make(&programs, &folder, user);
        for _ in 0..STARTS_MAX {
            let port = free_port();
            let mut process = launch(&programs, &folder, user, port, settings);
            if answers(&mut process, &folder, port) {
                let (process, databases) = (Mutex::new(process), AtomicU64::new(0));
                return Self { process, programs, user, folder, port, settings, databases, _watchdog: watchdog };
            }
        }
        panic!("PostgreSQL did not start: {}", log(&folder))
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
        let dumped = programs::command(&programs::dump(), self.user)
            .arg(format!("--dbname={}", self.url(database)))
            .current_dir("/")
            .output()
            .expect("pg_dump runs");
        assert!(dumped.status.success(), "pg_dump failed: {}", String::from_utf8_lossy(&dumped.stderr));
        dumped.stdout
    }

    /// Leads to a database by the Unix socket, without a password.
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.to_str().expect("a path of ASCII").replace('/', "%2F");
        format!("postgres://{USER}@{folder}:{}/{database}", self.port)
    }

    /// Leads to a database by TCP, where the server asks for [`Self::PASSWORD`].
    pub fn tcp_url(&self, database: &str, password: &str) -> String {
        let password: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("postgres://{USER}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Where it listens on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The user of the databases.
    pub const fn user(&self) -> &'static str {
        USER
    }

    /// Everything that it has said.
    pub fn log(&self) -> String {
        log(&self.folder)
    }

    /// Its processes of this moment, the postmaster first.
    pub fn processes(&self) -> Vec<u32> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let postmaster = process.id();
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let children = children.unwrap_or_default();
        std::iter::once(postmaster).chain(children.split_whitespace().filter_map(|pid| pid.parse().ok())).collect()
    }

    /// Ends all its processes at once, as a crash of the machine would end them.
    pub fn kill_9(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let postmaster = process.id();
        let children = format!("/proc/{postmaster}/task/{postmaster}/children");
        // The first stops the postmaster from seeing what happens to its children.
        signal("STOP", &[postmaster.to_string()]);
        let children = fs::read_to_string(children).unwrap_or_default();
        let children: Vec<String> = children.split_whitespace().map(str::to_owned).collect();
        signal("KILL", &children);
        process.kill().expect("the postmaster is ours");
        process.wait().expect("the postmaster is ours");
        let gone = || !children.iter().any(|child| Path::new("/proc").join(child).exists());
        assert!(eventually(gone), "processes of PostgreSQL survive kill -9");
    }

    /// Whether it has ended by itself, as it does when it cannot recover from what its disk does.
    ///
    /// # Panics
    /// When that cannot be known.
    pub fn has_ended(&self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.try_wait().expect("the postmaster is ours").is_some()
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
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        *process = launch(&self.programs, &self.folder, self.user, self.port, self.settings);
        assert!(answers(&mut process, &self.folder, self.port), "PostgreSQL did not restart: {}", log(&self.folder));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Immediate shutdown: nobody reads this data again. The watchdog removes it.
        signal("QUIT", &[process.id().to_string()]);
        let _ended_already = process.wait();
    }
}

/// `initdb`, in a folder that belongs to the server's user.
fn make(programs: &Path, folder: &Path, user: Option<User>) {
    let password = folder.join("password");
    fs::write(&password, Server::PASSWORD).expect("written");
    for path in [folder, &password] {
        if let Some(User { user, group }) = user {
            chown(path, Some(user), Some(group)).expect("root gives away its folder");
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
    let initdb = programs::command(&programs.join("initdb"), user)
        .args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C", "--auth-local=trust"])
        .args(["--auth-host=scram-sha-256", "--username", USER])
        .arg(format!("--pwfile={}", password.display()))
        .arg(format!("--pgdata={}", folder.join("data").display()))
        .current_dir("/")
        .output()
        .expect("initdb runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(initdb.status.success(), "initdb failed: {}{}", said(&initdb.stdout), said(&initdb.stderr));
}

fn launch(programs: &Path, folder: &Path, user: Option<User>, port: u16, settings: Settings) -> Child {
    let mut log = File::options().create(true).append(true).open(folder.join("log")).expect("a log file");
    writeln!(log, "--- start on port {port}").expect("written");
    let durable = if settings.durable { "on" } else { "off" };
    let mut postgres = programs::command(&programs.join("postgres"), user);
    postgres.arg("-D").arg(folder.join("data"));
    for (name, value) in [
        ("unix_socket_directories", folder.to_str().expect("a path of ASCII")),
        ("listen_addresses", "127.0.0.1"),
        ("port", &port.to_string()),
        ("max_connections", "200"),
        ("shared_buffers", "64MB"),
        ("fsync", durable),
        ("full_page_writes", durable),
        ("log_min_messages", "warning"),
        ("logging_collector", "off"),
    ] {
        postgres.arg("-c").arg(format!("{name}={value}"));
    }
    postgres
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log file"))
        .stderr(log)
        .process_group(0)
        .spawn()
        .expect("postgres runs")
}

/// Waits until the server takes connections; `false` when it ends instead.
fn answers(process: &mut Child, folder: &Path, port: u16) -> bool {
    let pid = process.id().to_string();
    let mut ended = false;
    let waited = eventually(|| {
        ended = process.try_wait().expect("the postmaster is ours").is_some();
        ended || ready(folder, &pid, port)
    });
    assert!(waited, "PostgreSQL was not ready after {PATIENCE:?}: {}", log(folder));
    !ended
}

/// `postmaster.pid`: process id, folder, start, port, folder of the socket, address, key, state. It may be of an earlier
/// life of the server.
fn ready(folder: &Path, pid: &str, port: u16) -> bool {
    let file = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
    let lines: Vec<&str> = file.lines().map(str::trim).collect();
    let port = port.to_string();
    matches!(lines[..], [first, _, _, fourth, .., state] if first == pid && fourth == port && state == "ready")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// A process that has ended already is fine.
fn signal(name: &str, processes: &[String]) {
    let _status = Command::new("sh")
        .args(["-c", r#"kill -"$0" "$@" 2>/dev/null"#, name])
        .args(processes)
        .status()
        .expect("sh runs");
}
