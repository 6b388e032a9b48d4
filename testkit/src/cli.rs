//! `endtoend-cli --json`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::clock::{self, PATIENCE};
use crate::machine::{self, Machine};
use crate::program::{self, Lines};

/// One person's profile, used by one command after the other.
#[derive(Clone, Debug)]
pub struct Cli {
    home: PathBuf,
    server: String,
    password: String,
    environment: Vec<(&'static str, String)>,
    /// The system in which they run; `None` for this machine.
    inside: Option<u32>,
    /// What starts the program, if that is not this process itself.
    launcher: Vec<String>,
}

/// What a command left behind.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output: one object for each line.
    pub lines: Vec<Value>,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Waits for the end of a program with piped outputs.
    fn of(mut child: Child, what: &str) -> Self {
        let stdout = Lines::of(child.stdout.take().expect("stdout is piped"));
        let stderr = Lines::of(child.stderr.take().expect("stderr is piped"));
        let lines = stdout.rest().iter().map(|line| parse(line)).collect();
        let stderr = stderr.rest().join("\n");
        let code = program::wait(&mut child, what).code();
        Self { code, lines, stderr }
    }

    /// # Panics
    /// When the command failed.
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "a command failed: {self:?}");
        self
    }

    /// The texts of the messages that were printed, in order.
    pub fn texts(&self) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line.get("text")?.as_str()).collect()
    }

    /// A field of the first line.
    ///
    /// # Panics
    /// When there is none.
    pub fn field(&self, name: &str) -> &Value {
        let first = self.lines.first().and_then(|line| line.get(name));
        first.unwrap_or_else(|| panic!("no field {name} in {self:?}"))
    }
}

impl Cli {
    /// A profile in `home`, which need not exist, for the server at this address.
    pub fn new(home: impl Into<PathBuf>, server: impl Into<String>) -> Self {
        let home = home.into();
        let password = format!("the password of {}", home.display());
        let (environment, inside, launcher) = (Vec::new(), None, Vec::new());
        Self { home, server: server.into(), password, environment, inside, launcher }
    }

    /// The same profile on a machine whose clock is off by this, like `+1h` or `-1h`.
    #[must_use]
    pub fn with_clock(&self, off_by: &str) -> Self {
        Self { environment: clock::shifted(off_by).to_vec(), ..self.clone() }
    }

    /// The same profile, whose commands have this variable too.
    #[must_use]
    pub fn with_variable(&self, name: &'static str, value: impl Into<String>) -> Self {
        let mut cli = self.clone();
        cli.environment.push((name, value.into()));
        cli
    }

    /// The same profile, whose commands are started by these words.
    #[must_use]
    pub fn launched_by(&self, launcher: Vec<String>) -> Self {
        Self { launcher, ..self.clone() }
    }

    /// The same profile with another password.
    #[must_use]
    pub fn with_password(&self, password: &str) -> Self {
        Self { password: password.to_owned(), ..self.clone() }
    }

    /// The same profile with another server address.
    #[must_use]
    pub fn with_server(&self, server: &str) -> Self {
        Self { server: server.to_owned(), ..self.clone() }
    }

    /// The same profile in a system of its own, where its folder is another one.
    #[must_use]
    pub fn inside(&self, machine: &Machine) -> Self {
        Self { inside: Some(machine.number()), ..self.clone() }
    }

    /// Its password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Its folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What its commands have said on standard error, all together. Beside the folder, which may not exist.
    pub fn log_path(&self) -> PathBuf {
        self.home.with_extension("stderr")
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with_input(arguments, "")
    }

    /// Runs a command to its end, with this text on standard input after the password.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Outcome {
        let outcome = Outcome::of(self.spawn(arguments, input, Stdio::piped()), "endtoend-cli");
        // Not where the test gave a folder that has no place beside it.
        if let Some(mut log) = self.log() {
            writeln!(log, "{}", outcome.stderr).expect("the log takes a line");
        }
        outcome
    }

    /// Creates the account.
    pub fn register(&self, handle: &str) -> Outcome {
        self.run(&["register", "--handle", handle])
    }

    /// Sends a text, which goes through standard input.
    pub fn send(&self, to: &str, text: &str) -> Outcome {
        self.run_with_input(&["send", "--to", to], text)
    }

    /// The texts of the next `count` messages.
    ///
    /// # Panics
    /// When they don't come.
    pub fn listen(&self, count: usize) -> Vec<String> {
        let heard = self.run(&["listen", "--count", &count.to_string(), "--timeout", "45s"]).done();
        heard.texts().into_iter().map(str::to_owned).collect()
    }

    /// Starts to listen and goes on.
    pub fn spawn_listen(&self) -> Running {
        self.start(&["listen"])
    }

    /// Starts a command and goes on.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let stderr = self.log().map_or_else(Stdio::null, Stdio::from);
        let (mut child, stdin) = self.spawn_open(arguments, "", stderr);
        let lines = Lines::of(child.stdout.take().expect("stdout is piped"));
        Running { child, stdin, lines }
    }

    /// `None` also for a folder that is not on this machine.
    fn log(&self) -> Option<File> {
        if self.inside.is_some() {
            return None;
        }
        File::options().create(true).append(true).open(self.log_path()).ok()
    }

    fn spawn(&self, arguments: &[&str], input: &str, stderr: Stdio) -> Child {
        self.spawn_open(arguments, input, stderr).0
    }

    /// With what goes on writing to its standard input.
    fn spawn_open(&self, arguments: &[&str], input: &str, stderr: Stdio) -> (Child, ChildStdin) {
        let mut command = match self.inside {
            None => program::launched("endtoend-cli", &self.launcher),
            Some(first) => machine::enter(first, "/usr/local/bin/endtoend-cli"),
        };
        let mut child = command
            .args(["--json", "--password-stdin", "--server", &self.server, "--home"])
            .arg(&self.home)
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("endtoend-cli starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // A command that ends before it reads closes the pipe; its exit code tells why.
        let _closed = stdin.write_all(format!("{}\n{input}", self.password).as_bytes());
        (child, stdin)
    }
}

/// A command in the background. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdin: ChildStdin,
    lines: Lines,
}

impl Running {
    /// The next object about this event.
    ///
    /// # Panics
    /// When none comes.
    pub fn event(&self, event: &str) -> Value {
        self.event_within(PATIENCE, event)
    }

    /// The same, where so long may pass without a word.
    ///
    /// # Panics
    /// When none comes.
    pub fn event_within(&self, patience: Duration, event: &str) -> Value {
        loop {
            let line = self.lines.next_within(patience);
            let line = line.unwrap_or_else(|| panic!("the command ended without {event}"));
            let object = parse(&line);
            if object.get("event").is_some_and(|found| found == event) {
                return object;
            }
        }
    }

    /// The next object, whatever it is about.
    ///
    /// # Panics
    /// When none comes.
    pub fn next_object(&self) -> Value {
        parse(&self.lines.next().expect("the command goes on"))
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When it does not listen any more.
    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("the command reads");
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As Ctrl-C does.
    pub fn interrupt(&self) {
        program::signal(&self.child, "INT");
    }

    /// Waits for its end. Its exit code; `None` when a signal ended it.
    pub fn end(mut self) -> Option<i32> {
        program::wait(&mut self.child, "endtoend-cli").code()
    }

    /// The text of the next message.
    ///
    /// # Panics
    /// When none comes.
    pub fn next_text(&self) -> String {
        loop {
            let line = parse(&self.lines.next().expect("the listener goes on"));
            if let Some(text) = line.get("text").and_then(Value::as_str) {
                return text.to_owned();
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        program::kill(&mut self.child);
    }
}

/// Runs `endtoend demo --json` to its end. What it keeps is in this folder.
pub fn demo(folder: &Path, arguments: &[&str]) -> Outcome {
    let arguments: Vec<&str> = ["demo"].iter().chain(arguments).copied().collect();
    operate(folder, &arguments, &[("TMPDIR", &folder.display().to_string())])
}

/// Runs an operator's command, `endtoend … --json`, to its end, in this folder and with these variables.
pub fn operate(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let child = program::command("endtoend")
        .args(arguments)
        .arg("--json")
        .current_dir(folder)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("endtoend starts");
    Outcome::of(child, "endtoend")
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("not one JSON object a line: {error}: {line}"))
}
