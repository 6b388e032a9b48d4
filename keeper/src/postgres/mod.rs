//! PostgreSQL.

mod programs;
mod watchdog;

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::{PATIENCE, eventually};
use crate::error::KeeperError;
use crate::place::Place;
use crate::program::{command, is_over};
use programs::User;
use watchdog::Watchdog;

const NAME: &str = "PostgreSQL";
/// The user of the databases.
const USER: &str = "endtoend";
/// Other programs may take a port between its choice and its use.
const STARTS_MAX: u32 = 5;

/// How a server is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// fsync and full page writes, as in earnest. Without them it is faster, and still survives `kill -9`, which leaves the
    /// system's cache alone.
    pub durable: bool,
    /// It listens on 127.0.0.1 too, and asks for this there.
    pub tcp_password: Option<&'static str>,
}

/// A running server, on a Unix socket that only its user and root reach. Dropping it ends it.
#[derive(Debug)]
pub struct Postgres {
    process: Mutex<Child>,
    programs: PathBuf,
    user: Option<User>,
    folder: PathBuf,
    lasts: bool,
    port: u16,
    way: Way,
    _watchdog: Watchdog,
}

impl Postgres {
    /// In this place, with what is there from an earlier time.
    ///
    /// # Errors
    /// When there is no PostgreSQL, or it does not start.
    pub fn start(place: &Place, way: Way) -> Result<Self, KeeperError> {
        let watchdog = Watchdog::over(place)?;
        let (programs, user) = (programs::folder()?, programs::unprivileged()?);
        let folder = place.folder().to_owned();
        // The longest port there is.
        place.socket(".s.PGSQL.65535")?;
        if !folder.join("data/PG_VERSION").is_file() {
            make(&programs, &folder, user, way, place.lasts())?;
        }
        for _ in 0..STARTS_MAX {
            let port = free_port()?;
            let mut process = launch(&programs, &folder, user, port, way)?;
            if answers(&mut process, &folder, port)? {
                let (process, lasts) = (Mutex::new(process), place.lasts());
                return Ok(Self { process, programs, user, folder, lasts, port, way, _watchdog: watchdog });
            }
        }
        Err(KeeperError::NotStarted { name: NAME, said: log(&folder) })
    }

    /// Everything in a database, as SQL text; bytes stand there as hexadecimal digits.
    ///
    /// # Errors
    /// When `pg_dump` does not work.
    pub fn dump(&self, database: &str) -> Result<Vec<u8>, KeeperError> {
        let dumped = programs::command(&programs::dump()?, self.user)
            .arg(format!("--dbname={}", self.url(database)))
            .current_dir("/")
            .output()
            .map_err(KeeperError::io("run pg_dump"))?;
        match dumped.status.success() {
            true => Ok(dumped.stdout),
            false => Err(KeeperError::NotStarted { name: "pg_dump", said: text(&dumped.stderr) }),
        }
    }

    /// Leads to a database by the Unix socket, without a password.
    pub fn url(&self, database: &str) -> String {
        let folder = escaped(self.folder.as_os_str().as_encoded_bytes());
        format!("postgres://{USER}@{folder}:{}/{database}", self.port)
    }

    /// Leads to a database by TCP, where the server asks for its password.
    pub fn tcp_url(&self, database: &str, password: &str) -> String {
        let password = escaped(password.as_bytes());
        format!("postgres://{USER}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Where it listens on 127.0.0.1, if it does; a part of its socket's name.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The user of the databases.
    pub const fn user(&self) -> &'static str {
        USER
    }

    /// Where it keeps everything.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything that it has said.
    pub fn log(&self) -> String {
        log(&self.folder)
    }

    /// Its processes of this moment, the postmaster first.
    pub fn processes(&self) -> Vec<u32> {
        let postmaster = self.process().id();
        std::iter::once(postmaster).chain(children(postmaster)).collect()
    }

    /// Ends all its processes at once, as a crash of the machine would end them.
    ///
    /// # Errors
    /// When one survives.
    pub fn kill_9(&self) -> Result<(), KeeperError> {
        let mut process = self.process();
        let postmaster = process.id();
        // The first stops the postmaster from seeing what happens to its children.
        signal("STOP", &[postmaster])?;
        let children = children(postmaster);
        signal("KILL", &children)?;
        process.kill().and_then(|()| process.wait()).map_err(KeeperError::io("kill PostgreSQL"))?;
        match eventually(|| children.iter().all(|child| is_over(*child))) {
            true => Ok(()),
            false => {
                Err(KeeperError::NotStarted { name: "kill -9", said: "processes of PostgreSQL survive".to_owned() })
            }
        }
    }

    /// Whether it has ended by itself, as it does when it cannot recover from what its disk does.
    pub fn has_ended(&self) -> bool {
        is_over(self.process().id())
    }

    /// Starts an ended server again, on the same port and data.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&self) -> Result<(), KeeperError> {
        let mut process = self.process();
        let _reaped_already = process.try_wait();
        *process = launch(&self.programs, &self.folder, self.user, self.port, self.way)?;
        match answers(&mut process, &self.folder, self.port)? {
            true => Ok(()),
            false => Err(KeeperError::NotStarted { name: NAME, said: log(&self.folder) }),
        }
    }

    fn process(&self) -> MutexGuard<'_, Child> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        // At once when nobody reads this data again; else in order, without waiting for whoever is connected.
        let name = if self.lasts { "INT" } else { "QUIT" };
        // One that hangs is ended by the watchdog.
        if signal(name, &[process.id()]).is_ok() && eventually(|| process.try_wait().is_ok_and(|ended| ended.is_some()))
        {
            return;
        }
        let _ended_already = process.kill().and_then(|()| process.wait());
    }
}

/// `initdb`, in a folder that belongs to the server's user.
fn make(programs: &Path, folder: &Path, user: Option<User>, way: Way, lasts: bool) -> Result<(), KeeperError> {
    let password = folder.join("password");
    if let Some(words) = way.tcp_password {
        fs::write(&password, words).map_err(KeeperError::io("write the password of PostgreSQL"))?;
    }
    for path in [folder, &password] {
        if let Some(User { user, group }) = user.filter(|_| path.exists()) {
            chown(path, Some(user), Some(group)).map_err(KeeperError::io("give PostgreSQL its folder"))?;
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(KeeperError::io("close a folder"))?;
    let mut initdb = programs::command(&programs.join("initdb"), user);
    initdb.args(["--no-instructions", "--encoding=UTF8", "--locale=C", "--auth-local=trust"]);
    initdb.args(["--auth-host=scram-sha-256", "--username", USER]);
    initdb.arg("--pgdata").arg(folder.join("data")).current_dir("/");
    if way.tcp_password.is_some() {
        initdb.arg("--pwfile").arg(password);
    }
    if !lasts {
        initdb.arg("--no-sync");
    }
    let done = initdb.output().map_err(KeeperError::io("run initdb"))?;
    match done.status.success() {
        true => Ok(()),
        false => {
            let said = format!("{}{}", text(&done.stdout), text(&done.stderr));
            Err(KeeperError::NotStarted { name: "initdb", said })
        }
    }
}

fn launch(programs: &Path, folder: &Path, user: Option<User>, port: u16, way: Way) -> Result<Child, KeeperError> {
    let no_log = || KeeperError::io("write the log of PostgreSQL");
    let mut log = File::options().create(true).append(true).open(folder.join("log")).map_err(no_log())?;
    writeln!(log, "--- start on port {port}").map_err(no_log())?;
    let durable = if way.durable { "on" } else { "off" };
    let mut postgres = programs::command(&programs.join("postgres"), user);
    postgres.arg("-D").arg(folder.join("data"));
    for (name, value) in [
        ("listen_addresses", if way.tcp_password.is_some() { "127.0.0.1" } else { "" }),
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
        .arg("-k")
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(no_log())?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(KeeperError::io("run postgres"))
}

/// Waits until the server takes connections; `false` when it ends instead.
fn answers(process: &mut Child, folder: &Path, port: u16) -> Result<bool, KeeperError> {
    let pid = process.id().to_string();
    let mut ended = false;
    let waited = eventually(|| {
        ended = process.try_wait().is_ok_and(|ended| ended.is_some());
        ended || ready(folder, &pid, port)
    });
    match waited {
        true => Ok(!ended),
        false => {
            let said = format!("it was not ready after {PATIENCE:?}: {}", log(folder));
            Err(KeeperError::NotStarted { name: NAME, said })
        }
    }
}

/// `postmaster.pid`: process id, folder, start, port, folder of the socket, address, key, state. It may be of an earlier
/// life of the server.
fn ready(folder: &Path, pid: &str, port: u16) -> bool {
    let file = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
    let lines: Vec<&str> = file.lines().map(str::trim).collect();
    let port = port.to_string();
    matches!(lines[..], [first, _, _, fourth, .., state] if first == pid && fourth == port && state == "ready")
}

fn free_port() -> Result<u16, KeeperError> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.map(|address| address.port()).map_err(KeeperError::io("find a free port"))
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// As a URL takes it.
fn escaped(bytes: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    bytes.iter().map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn children(process: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// A process that has ended already is fine.
fn signal(name: &str, processes: &[u32]) -> Result<(), KeeperError> {
    let status = command(Path::new("sh"))
        .args(["-c", r#"kill -"$0" "$@" 2>/dev/null"#, name])
        .args(processes.iter().map(u32::to_string))
        .status();
    status.map(drop).map_err(KeeperError::io("send a signal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_password_stand_in_a_url() {
        assert_eq!(escaped(b"/tmp/a b"), "%2Ftmp%2Fa%20b");
        assert_eq!(escaped(b"pass:word/of?tests"), "pass%3Aword%2Fof%3Ftests");
    }
}
