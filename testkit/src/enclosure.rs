//! Two network namespaces: a world with servers and relays, and an enclosure whose only way out is watched.
//!
//! The test itself runs in the world: [`Enclosure::is_world`] starts it there. It needs root, as CI has it, or a kernel that lets
//! anybody make namespaces; where neither is so, the test fails and says so.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tempfile::TempDir;

use crate::clock::{PATIENCE, eventually};
use crate::program;
use crate::sniffer::{ASKED, LISTENS, Sent};

const WORLD: &str = "ENDTOEND_TESTKIT_WORLD";
/// The two ends of the one way, from networks that are set aside for such things (RFC 2544, RFC 4193).
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const INSIDE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// Ports of datagrams that only say how far the watching is.
const MARKS: std::ops::Range<u16> = 40_000..41_000;

/// A network namespace with one way out.
#[derive(Debug)]
pub struct Enclosure {
    /// Nothing runs in it but this, so that it stays.
    holder: Child,
    sniffer: Child,
    seen: Arc<Mutex<BTreeSet<Sent>>>,
    next_mark: Mutex<u16>,
    _files: TempDir,
}

impl Enclosure {
    /// Whether this process is in a world of its own. If not, the test of this name runs there, to its end, and nothing is left to do
    /// here.
    ///
    /// # Panics
    /// When the test fails there, or there can be no world.
    pub fn is_world(test: &str) -> bool {
        if std::env::var_os(WORLD).is_some() {
            return true;
        }
        let is_root = fs::metadata("/proc/self").expect("a process").uid() == 0;
        let mut command = Command::new("unshare");
        if !is_root {
            eprintln!("this test wants root; it tries a user namespace instead");
            command.args(["--user", "--map-root-user"]);
        }
        let tried =
            Command::new(command.get_program()).args(command.get_args()).args(["--net", "--mount", "true"]).output();
        let tried = tried.expect("unshare runs");
        assert!(
            tried.status.success(),
            "THIS TEST NEEDS ROOT, or a kernel that lets users make namespaces: {}",
            String::from_utf8_lossy(&tried.stderr)
        );
        let ended = command
            .args(["--net", "--mount", "--"])
            .arg(std::env::current_exe().expect("a test"))
            .args([test, "--exact", "--nocapture", "--test-threads", "1"])
            .env(WORLD, "1")
            .stdin(Stdio::null())
            .status()
            .expect("unshare runs");
        assert!(ended.success(), "it failed in its own world: see above");
        false
    }

    /// Whether the world is that of a user who is no root: everything of root's looks as if it were nobody's there.
    pub fn is_a_users() -> bool {
        let mapped = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        mapped.split_whitespace().nth(2) == Some("1")
    }

    /// In a world in which these addresses are this machine's. `sniffer`: the name of the test that calls
    /// [`crate::sniff_if_asked`].
    ///
    /// # Panics
    /// When the namespace cannot be made.
    pub fn open(addresses: &[Ipv4Addr], sniffer: &str) -> Self {
        ip(&["link", "set", "lo", "up"]);
        for address in addresses {
            ip(&["address", "add", &format!("{address}/32"), "dev", "lo"]);
        }
        // It reads until this process ends, however it ends.
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--", "cat"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let pid = holder.id();
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        eventually(PATIENCE, "a namespace", || {
            let ended = holder.try_wait().expect("it is ours");
            assert!(ended.is_none(), "no namespace: {ended:?}");
            let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            command.trim() == "cat" && namespace(&pid.to_string()) != namespace("self")
        });
        ip(&["link", "add", "outside", "type", "veth", "peer", "name", "inside", "netns", &pid.to_string()]);
        ip(&["address", "add", &format!("{OUTSIDE}/30"), "dev", "outside"]);
        ip(&["link", "set", "outside", "up"]);
        let files = tempfile::tempdir().expect("a temporary directory");
        let place = files.path().display();
        fs::write(files.path().join("resolv.conf"), format!("nameserver {OUTSIDE}\n")).expect("a file");
        fs::write(files.path().join("nsswitch.conf"), "hosts: files dns\n").expect("a file");
        // Whoever looks names up does it by datagrams on the one way, and not by a file or a socket that leads elsewhere.
        let script = format!(
            "set -e\nip link set lo up\nip address add {INSIDE}/30 dev inside\nip link set inside up\n\
             ip route add default via {OUTSIDE}\n\
             for file in resolv.conf nsswitch.conf; do\n    [ -e /etc/$file ] || : >/etc/$file\n    \
             mount --bind {place}/$file /etc/$file\ndone\n\
             [ ! -d /proc/sys/net/ipv6 ] || {{ ip address add fd00:e2e::2/64 dev inside nodad; ip route add default via fd00:e2e::1; }}\n"
        );
        if fs::exists("/proc/sys/net/ipv6").unwrap_or_default() {
            ip(&["address", "add", "fd00:e2e::1/64", "dev", "outside", "nodad"]);
        }
        let prepared = launched(pid).args(["sh", "-c", &script]).output().expect("nsenter runs");
        assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
        let (sniffer, seen) = listen(pid, sniffer);
        Self { holder, sniffer, seen, next_mark: Mutex::new(MARKS.start), _files: files }
    }

    /// What starts a program there.
    pub fn launcher(&self) -> Vec<String> {
        let command = launched(self.holder.id());
        let words = [command.get_program()].into_iter().chain(command.get_args());
        words.map(|word| word.to_str().expect("words of ours").to_owned()).collect()
    }

    /// Runs a program there to its end.
    ///
    /// # Panics
    /// When there is no such program.
    pub fn run(&self, program: &str, arguments: &[&str]) -> std::process::Output {
        launched(self.holder.id()).arg(program).args(arguments).stdin(Stdio::null()).output().expect("nsenter runs")
    }

    /// Everything that has left by now, but for the kernel's questions about the link.
    ///
    /// # Panics
    /// When nobody watches any more.
    pub fn sent(&self) -> BTreeSet<Sent> {
        let mark = {
            let mut next = self.next_mark.lock().unwrap_or_else(PoisonError::into_inner);
            *next += 1;
            *next
        };
        let said = self.run("bash", &["-c", &format!("echo >/dev/udp/{OUTSIDE}/{mark}")]);
        assert!(said.status.success(), "{said:?}");
        let mark = Sent::Udp((OUTSIDE, mark).into());
        eventually(PATIENCE, "all that was sent is seen", || self.seen().contains(&mark));
        let is_mark = |sent: &Sent| matches!(sent, Sent::Udp(to) if to.ip() == OUTSIDE && MARKS.contains(&to.port()));
        self.seen().iter().filter(|sent| !is_mark(sent) && **sent != Sent::Link).cloned().collect()
    }

    /// Of what has left by now nothing is told any more.
    pub fn forget(&self) {
        let _until_now = self.sent();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What has left by now to anywhere but these.
    pub fn leaked(&self, allowed: &[SocketAddr]) -> BTreeSet<Sent> {
        let is_allowed = |sent: &Sent| matches!(sent, Sent::Tcp(to) if allowed.contains(to));
        self.sent().into_iter().filter(|sent| !is_allowed(sent)).collect()
    }

    fn seen(&self) -> BTreeSet<Sent> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        program::kill(&mut self.sniffer);
        program::kill(&mut self.holder);
    }
}

/// A command whose last words are still to come.
fn launched(pid: u32) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid.to_string(), "--net", "--mount", "--"]);
    command
}

fn listen(pid: u32, test: &str) -> (Child, Arc<Mutex<BTreeSet<Sent>>>) {
    let mut sniffer = launched(pid)
        .arg(std::env::current_exe().expect("a test"))
        .args([test, "--exact", "--nocapture"])
        .env(ASKED, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("nsenter runs");
    let mut lines = BufReader::new(sniffer.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == LISTENS), "nobody watches");
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let told = Arc::clone(&seen);
    thread::spawn(move || {
        for sent in lines.filter_map(|line| Sent::parse(&line)) {
            told.lock().unwrap_or_else(PoisonError::into_inner).insert(sent);
        }
    });
    (sniffer, seen)
}

/// Debian has `ip` where not everybody's `PATH` looks.
fn ip(arguments: &[&str]) {
    let done =
        Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin:/sbin; exec ip \"$@\"", "ip"]).args(arguments).output();
    let done = done.expect("a shell");
    assert!(done.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}
