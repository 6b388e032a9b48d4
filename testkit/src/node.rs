//! `endtoend serve`.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::clock;
use crate::program::{self, Lines};

/// How to start a node. By default in a directory of its own, on a free port of loopback.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// Data directory; `None` for a new one.
    pub data: Option<PathBuf>,
    /// TCP port on 127.0.0.1; 0 for a free one.
    pub port: u16,
    /// What it logs, like `trace`; `None` for its own default.
    pub log_filter: Option<&'static str>,
    /// Environment variables.
    pub environment: Vec<(&'static str, String)>,
    /// A listening socket that the node is given, as systemd does it, and that stays here.
    pub socket: Option<Arc<TcpListener>>,
    /// Likewise, for those who watch it.
    pub admin_socket: Option<Arc<TcpListener>>,
    /// Files that it may have open, if not as many as this process; without sockets.
    pub open_files_max: Option<u32>,
    /// What `--listen` says, if it is not what fits the rest.
    pub listen: Option<&'static str>,
    /// Further arguments of its first start.
    pub arguments: Vec<String>,
}

impl NodeOptions {
    /// With its store in the PostgreSQL database of this URL.
    #[must_use]
    pub fn on_postgres(mut self, url: &str) -> Self {
        self.environment.push(("ENDTOEND_STORAGE__URL", url.to_owned()));
        self
    }

    /// As one of several, of this name, whom others reach at this address.
    #[must_use]
    pub fn in_cluster(self, name: &str, listen: SocketAddr, postgres: &str, redis: &str) -> Self {
        let mut options = self.on_postgres(postgres);
        options.environment.extend([
            ("ENDTOEND_REDIS__URL", redis.to_owned()),
            ("ENDTOEND_CLUSTER__LISTEN", listen.to_string()),
            ("ENDTOEND_CLUSTER__NAME", name.to_owned()),
        ]);
        options
    }

    /// It asks the node at this address to let it in.
    #[must_use]
    pub fn joining(mut self, seed: &str, token: &str) -> Self {
        self.arguments = vec!["--join".to_owned(), seed.to_owned()];
        self.environment.push(("ENDTOEND_JOIN_TOKEN", token.to_owned()));
        self
    }

    /// With a listener for those who watch it, on a free port of loopback.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.environment.push(("ENDTOEND_ADMIN__LISTEN", "127.0.0.1:0".to_owned()));
        self
    }

    /// For a node that edges on this machine bring clients to, and look at.
    #[must_use]
    pub fn behind_an_edge(mut self) -> Self {
        self.environment.push(("ENDTOEND_GATEWAY__PROXY_FROM", "[\"127.0.0.1\"]".to_owned()));
        self.watched()
    }

    /// For what is not about limits: everybody may do as much as they like.
    pub fn without_limits() -> Self {
        let limits = [
            "ENDTOEND_LIMITS__LOOKUP",
            "ENDTOEND_LIMITS__STRANGER_LOOKUP",
            "ENDTOEND_LIMITS__REGISTER",
            "ENDTOEND_LIMITS__PASSWORD",
            "ENDTOEND_LIMITS__LOGIN",
            "ENDTOEND_LIMITS__REFRESH",
            "ENDTOEND_LIMITS__KEYS",
            "ENDTOEND_LIMITS__SEND",
            "ENDTOEND_LIMITS__FIRST_CONTACT",
            "ENDTOEND_LIMITS__REQUEST",
            "ENDTOEND_LIMITS__LINK",
            "ENDTOEND_LIMITS__CHANGE",
            "ENDTOEND_LIMITS__CONNECTION",
        ];
        let wide = "{ burst = 4000000000, every_ms = 1 }".to_owned();
        Self { environment: limits.map(|limit| (limit, wide.clone())).to_vec(), ..Self::default() }
    }
}

/// A running node. Dropping it kills it.
#[derive(Debug)]
pub struct Node {
    child: Child,
    data: PathBuf,
    log: PathBuf,
    environment: Vec<(&'static str, String)>,
    sockets: Sockets,
    open_files_max: Option<u32>,
    listen: SocketAddr,
    address: String,
    admin: Option<SocketAddr>,
    /// Working directory, where no settings lie; removed with the node.
    folder: TempDir,
}

/// A node that ended before it was ready.
#[derive(Debug)]
pub struct NotStarted {
    /// Exit code.
    pub code: Option<i32>,
    /// What it said on standard error.
    pub stderr: String,
}

impl Node {
    /// # Panics
    /// When it does not get ready.
    pub fn start(options: NodeOptions) -> Self {
        Self::try_start(options).unwrap_or_else(|why| panic!("the node did not start: {why:?}"))
    }

    /// # Errors
    /// When the node ends instead of getting ready.
    pub fn try_start(options: NodeOptions) -> Result<Self, NotStarted> {
        Self::begin(options).ready()
    }

    /// Starts a node and does not wait until it is ready.
    pub fn begin(options: NodeOptions) -> Beginning {
        let mut environment = options.environment;
        environment.extend(options.log_filter.map(|filter| ("ENDTOEND_LOG__FILTER", filter.to_owned())));
        let folder = tempfile::tempdir().expect("a temporary directory");
        let data = options.data.unwrap_or_else(|| folder.path().join("data"));
        let log = folder.path().join("node.log");
        let (sockets, open_files_max) = (Sockets(options.socket, options.admin_socket), options.open_files_max);
        let on = On { listen: options.listen, port: options.port, sockets: &sockets, open_files_max };
        let child = spawn(folder.path(), &data, &log, &on, &environment, &options.arguments);
        Beginning { begun: Begun::of(child), data, log, environment, sockets, open_files_max, folder }
    }

    /// Ends it as a power cut would end it.
    pub fn kill_9(&mut self) {
        program::kill(&mut self.child);
    }

    /// SIGTERM, and the end that follows.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal_terminate();
        self.ended()
    }

    /// SIGTERM alone.
    pub fn signal_terminate(&self) {
        program::terminate(&self.child);
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        program::wait(&mut self.child, "the node")
    }

    /// From its next start on its machine's clock is off by this, like `+1h` or `-1h`.
    pub fn set_clock(&mut self, off_by: &str) {
        let shifted = clock::shifted(off_by);
        self.environment.retain(|(name, _)| !shifted.iter().any(|(other, _)| other == name));
        self.environment.extend(shifted);
    }

    /// Starts an ended node again, on the same port and data.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn restart(&mut self) {
        self.try_restart().unwrap_or_else(|why| panic!("the node did not restart: {why:?}"));
    }

    /// As [`Self::restart`].
    ///
    /// # Errors
    /// When the node ends instead of getting ready.
    pub fn try_restart(&mut self) -> Result<(), NotStarted> {
        let on = self.where_it_was();
        let child = spawn(self.folder.path(), &self.data, &self.log, &on, &self.environment, &[]);
        let Launched { child, listen, address, admin } = Begun::of(child).ready(&self.log)?;
        assert_eq!(self.address, address, "a restart keeps port and pin");
        self.child = child;
        self.listen = listen;
        self.admin = admin;
        Ok(())
    }

    fn where_it_was(&self) -> On<'_> {
        On { listen: None, port: self.listen.port(), sockets: &self.sockets, open_files_max: self.open_files_max }
    }

    /// Starts an ended node and does not wait until it is ready, so that it can be killed before.
    pub fn restart_without_waiting(&mut self) {
        let on = self.where_it_was();
        self.child = spawn(self.folder.path(), &self.data, &self.log, &on, &self.environment, &[]);
    }

    /// Its process stands still, until [`Self::resume`].
    pub fn pause(&self) {
        program::signal(&self.child, "STOP");
    }

    /// Its process goes on.
    pub fn resume(&self) {
        program::signal(&self.child, "CONT");
    }

    /// `endtoend://127.0.0.1:port/#pin=…`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where it tells those who watch it, if it does.
    pub const fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// What it said on standard error, over all restarts.
    pub fn log_path(&self) -> &Path {
        &self.log
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill_9();
    }
}

/// A node that is not ready yet. Dropping it kills it.
#[derive(Debug)]
pub struct Beginning {
    begun: Begun,
    data: PathBuf,
    log: PathBuf,
    environment: Vec<(&'static str, String)>,
    sockets: Sockets,
    open_files_max: Option<u32>,
    folder: TempDir,
}

impl Beginning {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.begun.child.pid()
    }

    /// Waits until it says that an operator has to approve it; its id.
    ///
    /// # Panics
    /// When it says something else.
    pub fn pending(&self) -> String {
        let line = self.begun.lines.next().unwrap_or_else(|| panic!("it ended: {}", self.said()));
        let said: Value = serde_json::from_str(&line).expect("a line is JSON");
        assert_eq!(said.get("event").and_then(Value::as_str), Some("pending"), "{line}");
        said.get("node").and_then(Value::as_str).expect("it says who it is").to_owned()
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When the node ends instead of getting ready.
    pub fn ready(self) -> Result<Node, NotStarted> {
        let Self { begun, data, log, environment, sockets, open_files_max, folder } = self;
        let Launched { child, listen, address, admin } = begun.ready(&log)?;
        Ok(Node { child, data, log, environment, sockets, open_files_max, listen, address, admin, folder })
    }

    /// Ends it as a power cut would end it.
    pub fn kill_9(self) {
        drop(self.begun);
    }

    /// What it has said on standard error.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A process that was started, with what it says.
#[derive(Debug)]
struct Begun {
    child: Guarded,
    lines: Lines,
}

/// Killed when it is dropped, unless it was taken out.
#[derive(Debug)]
struct Guarded(Option<Child>);

impl Guarded {
    fn take(mut self) -> Child {
        self.0.take().expect("a process is taken out once")
    }

    fn pid(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }

    fn get(&mut self) -> &mut Child {
        self.0.as_mut().expect("a process that was taken out is nobody's")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(program::kill);
    }
}

impl Begun {
    fn of(mut child: Child) -> Self {
        let lines = Lines::of(child.stdout.take().expect("stdout is piped"));
        Self { child: Guarded(Some(child)), lines }
    }
}

/// A node that is ready.
struct Launched {
    child: Child,
    listen: SocketAddr,
    address: String,
    admin: Option<SocketAddr>,
}

/// Where a node listens.
struct On<'a> {
    listen: Option<&'static str>,
    port: u16,
    sockets: &'a Sockets,
    open_files_max: Option<u32>,
}

/// What a node is given: the socket for clients, and that for those who watch it.
#[derive(Debug, Default)]
struct Sockets(Option<Arc<TcpListener>>, Option<Arc<TcpListener>>);

/// A program that may not open more files than this, whatever it asks for.
fn with_open_files(program: &Command, files: u32) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\""]).arg(files.to_string()).arg(program.get_program());
    shell.args(program.get_args()).stdin(Stdio::null());
    shell
}

/// A program that finds these sockets where systemd would have put them, and goes by its own process number. One for clients
/// alone has no name, as under older systems.
fn with_sockets(program: &Command, sockets: &Sockets, log: &Path) -> Option<Command> {
    let (first, second, names) = match sockets {
        Sockets(None, None) => return None,
        Sockets(Some(clients), None) => (clients, None, None),
        Sockets(None, Some(admin)) => (admin, None, Some("admin")),
        Sockets(Some(clients), Some(admin)) => (admin, Some(clients), Some("admin:public")),
    };
    let mut shell = Command::new("sh");
    // A second one comes where the log is written to from then on.
    let script = match second {
        None => "exec 3<&0 </dev/null; LISTEN_FDS=1",
        Some(_) => "exec 3<&0 4<&2 </dev/null 2>>\"$0\"; LISTEN_FDS=2",
    };
    shell.arg("-c").arg(format!("{script} LISTEN_PID=$$ exec \"$@\"")).arg(log).arg(program.get_program());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(names) = names {
        shell.env("LISTEN_FDNAMES", names);
    }
    let as_file = |socket: &TcpListener| Stdio::from(OwnedFd::from(socket.try_clone().expect("one more descriptor")));
    shell.stdin(as_file(first)).stderr(second.map_or_else(|| opened(log), |socket| as_file(socket)));
    Some(shell)
}

fn opened(log: &Path) -> Stdio {
    File::options().create(true).append(true).open(log).expect("a log file").into()
}

fn spawn(
    folder: &Path,
    data: &Path,
    log: &Path,
    on: &On<'_>,
    environment: &[(&'static str, String)],
    arguments: &[String],
) -> Child {
    let mut command = program::command("endtoend");
    command.stdin(Stdio::null()).stderr(opened(log));
    if let Some(given) = with_sockets(&command, on.sockets, log) {
        command = given;
    }
    let fitting = match on.sockets.0 {
        None => format!("127.0.0.1:{}", on.port),
        Some(_) => "systemd".to_owned(),
    };
    let listen = on.listen.map_or(fitting, str::to_owned);
    if let Some(files) = on.open_files_max {
        command = with_open_files(&command, files);
        command.stderr(opened(log));
    }
    command
        .args(["serve", "--json", "--listen", &listen, "--data"])
        .arg(data)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("endtoend starts")
}

impl Begun {
    /// Waits until it is ready; what it says before does not matter.
    fn ready(mut self, log: &Path) -> Result<Launched, NotStarted> {
        let ready = loop {
            let Some(line) = self.lines.next() else {
                let code = program::wait(self.child.get(), "a node that closed its output").code();
                return Err(NotStarted { code, stderr: fs::read_to_string(log).expect("the log is text") });
            };
            let said: Value = serde_json::from_str(&line).expect("a line is JSON");
            match said.get("event").and_then(Value::as_str) {
                Some("ready") => break said,
                event => assert_eq!(event, Some("pending"), "{line}"),
            }
        };
        let field =
            |name: &str| ready.get(name).and_then(Value::as_str).expect("the ready line is complete").to_owned();
        let parse = |text: &str| text.parse().expect("an address and a port");
        let admin = ready.get("admin").and_then(Value::as_str).map(parse);
        Ok(Launched { child: self.child.take(), listen: parse(&field("listen")), address: field("address"), admin })
    }
}
