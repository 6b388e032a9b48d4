//! One person of the demo: a profile, a password, and `endtoend-cli`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use super::DemoError;
use super::process::{Lines, beside};
use crate::child::command;

/// A command of the client must be done within this time.
const COMMAND_SECONDS: u64 = 20;

/// A person at a terminal.
pub(super) struct Person {
    pub(super) handle: &'static str,
    pub(super) password: String,
    home: PathBuf,
    program: PathBuf,
    /// Where it connects.
    address: String,
}

/// What a client printed about a message.
#[derive(Clone, Debug)]
pub(super) struct Printed {
    pub(super) text: String,
    pub(super) from: String,
    pub(super) message_id: String,
    pub(super) accepted_ms: u64,
    pub(super) received_ms: u64,
    pub(super) wire_bytes: u64,
}

impl Person {
    pub(super) fn register(handle: &'static str, dir: &Path, address: &str) -> Result<Self, DemoError> {
        let password = format!("{handle}'s long and secret password {:016x}", rand::random::<u64>());
        let (home, address) = (dir.join(handle), address.to_owned());
        let person = Self { handle, password, home, program: beside("endtoend-cli")?, address };
        person.run(&["register", "--handle", handle])?;
        Ok(person)
    }

    /// From now on it connects there.
    pub(super) fn goes_to(&mut self, address: &str) {
        address.clone_into(&mut self.address);
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Sends and waits for `Accepted`.
    pub(super) fn send(&self, to: &Self, text: &str) -> Result<Printed, DemoError> {
        let lines = self.run_with_input(&["send", "--to", to.handle], text)?;
        let sent = lines.last().ok_or_else(|| DemoError::Unexpected("nothing".to_owned()))?;
        Ok(Printed {
            text: text.to_owned(),
            from: self.handle.to_owned(),
            message_id: string(sent, "message_id")?,
            accepted_ms: number(sent, "accepted_at_ms")?,
            received_ms: 0,
            wire_bytes: number(sent, "wire_bytes")?,
        })
    }

    /// Starts to listen for this many messages.
    pub(super) fn listen(&self, count: usize) -> Result<Listening, DemoError> {
        let timeout = format!("{COMMAND_SECONDS}s");
        let mut child = self.spawn(&["listen", "--count", &count.to_string(), "--timeout", &timeout], "")?;
        let lines = Lines::of(&mut child)?;
        Ok(Listening { child, lines })
    }

    /// The texts of a whole conversation, and which of them are our own.
    pub(super) fn history(&self, with: &Self) -> Result<Vec<(bool, String)>, DemoError> {
        let lines = self.run(&["history", "--with", with.handle])?;
        lines.iter().map(|line| Ok((string(line, "direction")? == "out", string(line, "text")?))).collect()
    }

    pub(super) fn safety_number(&self, with: &Self) -> Result<String, DemoError> {
        let lines = self.run(&["verify", "--with", with.handle])?;
        lines
            .iter()
            .find_map(|line| string(line, "safety_number").ok())
            .ok_or_else(|| DemoError::Unexpected(lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")))
    }

    fn run(&self, arguments: &[&str]) -> Result<Vec<Value>, DemoError> {
        self.run_with_input(arguments, "")
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> Result<Vec<Value>, DemoError> {
        let mut child = self.spawn(arguments, input)?;
        let lines = Lines::of(&mut child)?;
        Listening { child, lines }.finish(&arguments.join(" "))
    }

    fn spawn(&self, arguments: &[&str], input: &str) -> Result<Child, DemoError> {
        let mut child = command(&self.program)
            .args(["--json", "--password-stdin", "--server", &self.address, "--home"])
            .arg(&self.home)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(DemoError::io("start endtoend-cli"))?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(format!("{}\n{input}", self.password).as_bytes()) {
                // It ended before it read: its exit code and its words tell why.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                written => written.map_err(DemoError::io("write to endtoend-cli"))?,
            }
        }
        Ok(child)
    }
}

/// A client that is running.
pub(super) struct Listening {
    child: Child,
    lines: Lines,
}

impl Listening {
    /// Waits for the end of the client; gives the messages it printed.
    pub(super) fn messages(self) -> Result<Vec<Printed>, DemoError> {
        let lines = self.finish("listen")?;
        lines
            .iter()
            .filter(|line| line.get("event").and_then(Value::as_str) == Some("message"))
            .map(|line| {
                Ok(Printed {
                    text: string(line, "text")?,
                    from: string(line, "from")?,
                    message_id: string(line, "message_id")?,
                    accepted_ms: number(line, "accepted_at_ms")?,
                    received_ms: number(line, "received_at_ms")?,
                    wire_bytes: number(line, "wire_bytes")?,
                })
            })
            .collect()
    }

    fn finish(mut self, command: &str) -> Result<Vec<Value>, DemoError> {
        let mut printed = Vec::new();
        while let Some(line) = self.lines.next(command, 2 * COMMAND_SECONDS)? {
            printed.push(line);
        }
        let mut errors = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            io::Read::read_to_string(&mut stderr, &mut errors).map_err(DemoError::io("read from endtoend-cli"))?;
        }
        let status = self.child.wait().map_err(DemoError::io("wait for endtoend-cli"))?;
        match status.success() {
            true => Ok(printed),
            false => Err(DemoError::ClientFailed { command: command.to_owned(), code: status.code(), text: errors }),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn string(line: &Value, field: &str) -> Result<String, DemoError> {
    line.get(field).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| DemoError::Unexpected(line.to_string()))
}

fn number(line: &Value, field: &str) -> Result<u64, DemoError> {
    line.get(field).and_then(Value::as_u64).ok_or_else(|| DemoError::Unexpected(line.to_string()))
}
