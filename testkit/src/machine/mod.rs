//! A system of its own that systemd has booted: for units, which cannot be tried by anything less.
//!
//! It is a set of namespaces over this machine's own files, so whatever happens there is gone with it, and nothing there reaches
//! this machine or its network.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use endtoend_keeper::{Keeper, Kept, Place};

use crate::clock::{PATIENCE, eventually};
use crate::program;

/// What its first process does until it is systemd.
const BOOT: &str = include_str!("boot.sh");

const SYSTEMD: Kept = Kept {
    name: "systemd",
    start: "unshare --fork --kill-child --mount --pid --net --uts --ipc --cgroup sh \"$4\" \"$0/files\" \"$5\" \"$6\"",
    children: true,
};

/// A booted system. Dropping it ends all of it.
#[derive(Debug)]
pub struct Machine {
    _keeper: Keeper,
    /// systemd, as this machine numbers it.
    first: u32,
}

impl Machine {
    /// Boots one that has this workspace's programs in `/usr/local/bin`. `None`, and said on standard error, where that is not
    /// allowed: it takes root and the right to make namespaces.
    ///
    /// # Panics
    /// When it is allowed and does not boot.
    pub fn boot() -> Option<Self> {
        let allowed = Command::new("unshare")
            .args(["--fork", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"])
            .args(["sh", "-c", "test \"$(id -u)\" = 0 && mount -t tmpfs tmpfs /mnt && mount -t cgroup2 cgroup2 /mnt"])
            .stdin(Stdio::null())
            .output()
            .expect("unshare is there");
        if !allowed.status.success() {
            let why = String::from_utf8_lossy(&allowed.stderr);
            eprintln!("NOT TESTED: a system of its own takes root and the right to make namespaces: {why}");
            return None;
        }
        let place = Place::passing("e2e-systemd-").expect("room for a folder");
        let script = place.folder().join("boot.sh");
        fs::create_dir(place.folder().join("files")).and_then(|()| fs::write(&script, BOOT)).expect("room for a file");
        let own = |name| program::command(name).get_program().to_owned();
        let arguments = [OsString::from(&script), own("endtoend"), own("endtoend-cli")];
        let mut keeper = Keeper::of(&place, SYSTEMD, &arguments).expect("a shell");
        let outer = keeper.order("start").expect("a shell").expect("a process");
        let log = place.folder().join("log");
        let mut first = None;
        eventually(PATIENCE, "a process in namespaces of its own", || {
            assert!(!endtoend_keeper::is_over(outer), "it did not boot: {}", text(&log));
            let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap_or_default();
            first = children.trim().parse().ok();
            first.is_some_and(|pid: u32| fs::read(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == b"systemd\n"))
        });
        let machine = Self { _keeper: keeper, first: first.expect("it is there") };
        eventually(PATIENCE, "the basic units", || {
            assert!(!endtoend_keeper::is_over(outer), "it did not boot: {}", text(&log));
            machine.state("basic.target") == "active"
        });
        Some(machine)
    }

    /// A program in there.
    pub fn command(&self, program: &str) -> Command {
        enter(self.first, program)
    }

    /// By this number a system is entered.
    pub(crate) const fn number(&self) -> u32 {
        self.first
    }

    /// Runs a line of the shell in there, and gives what it prints.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn shell(&self, line: &str) -> String {
        let ran = self.command("sh").args(["-euc", line]).stdin(Stdio::null()).output().expect("nsenter starts");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{line}: {said}{complaint}\n{}", self.journal());
        said
    }

    /// Writes a file in there, with folders above it.
    ///
    /// # Panics
    /// When that fails.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let line = "mkdir -p \"$(dirname \"$0\")\" && cat >\"$0.new\" && mv \"$0.new\" \"$0\"";
        let mut writing = self.command("sh").args(["-euc", line, path]).stdin(Stdio::piped()).spawn().expect("nsenter");
        writing.stdin.take().expect("it is piped").write_all(content.as_ref()).expect("it reads");
        assert!(writing.wait().expect("the child is ours").success(), "{path} was not written");
    }

    /// `active`, `inactive`, `failed`, …
    ///
    /// # Panics
    /// When systemd cannot be asked at all.
    pub fn state(&self, unit: &str) -> String {
        let asked = self.command("systemctl").args(["is-active", unit]).stdin(Stdio::null()).output();
        String::from_utf8_lossy(&asked.expect("nsenter starts").stdout).trim().to_owned()
    }

    /// Waits until a unit is in this state.
    ///
    /// # Panics
    /// When it does not come to be.
    pub fn becomes(&self, unit: &str, state: &str) {
        let waiting = || eventually(PATIENCE, "", || self.state(unit) == state);
        let came = std::panic::catch_unwind(std::panic::AssertUnwindSafe(waiting));
        assert!(came.is_ok(), "{unit} is {} and not {state}\n{}", self.state(unit), self.journal());
    }

    /// A property of a unit, like `MainPID`.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.shell(&format!("systemctl show --value --property {name} {unit}")).trim().to_owned()
    }

    /// What the system has written down, the last 200 lines.
    pub fn journal(&self) -> String {
        let asked = self.command("journalctl").args(["--no-pager", "--lines=200"]).stdin(Stdio::null()).output();
        asked.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default()
    }
}

/// A program in the system whose first process has this number, with nothing of the tester's own settings.
pub(crate) fn enter(first: u32, program: &str) -> Command {
    let mut command = endtoend_keeper::command(Path::new("nsenter"));
    command.args(["--target", &first.to_string(), "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root"]);
    command.arg("--wdns=/").arg(program);
    command
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
