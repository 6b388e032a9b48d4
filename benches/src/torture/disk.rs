//! Disks that are slow, fail, or are full.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use endtoend_testkit::{PATIENCE, eventually};

/// Size of the node's own disk: far more than the queues of a run, little enough to be filled in a moment.
const SIZE: &str = "size=96m";
/// What the ballast grows by, and by at the end.
const STEPS: [usize; 2] = [1024 * 1024, 512];

/// System calls of some processes that are made to fail or take long, by `strace`. Dropping it lets them go.
#[derive(Debug)]
pub(crate) struct Trace(Vec<Child>);

impl Trace {
    /// Whether this machine has it, and lets us trace.
    pub(crate) fn is_possible() -> bool {
        let tried = Command::new("sleep").arg("10").spawn();
        let Ok(mut target) = tried else { return false };
        let mut strace = strace(target.id(), &["fsync"], "delay_enter=1");
        let possible = strace.as_mut().is_ok_and(|strace| {
            let mut ended = false;
            eventually(PATIENCE, "strace", || {
                ended = strace.try_wait().is_ok_and(|ended| ended.is_some());
                ended || is_traced(target.id())
            });
            !ended
        });
        if let Ok(strace) = strace {
            drop(Self(vec![strace]));
        }
        let (_killed, _reaped) = (target.kill(), target.wait());
        possible
    }

    /// Every one of these calls of all threads of these processes is treated like that.
    pub(crate) fn attach(processes: &[u32], calls: &[&str], how: &str) -> Self {
        let started = processes.iter().filter_map(|process| strace(*process, calls, how).ok()).collect();
        for process in processes {
            // Or it has ended meanwhile.
            let gone = || !Path::new(&format!("/proc/{process}")).exists();
            eventually(PATIENCE, "strace", || is_traced(*process) || gone());
        }
        Self(started)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        for strace in &mut self.0 {
            // It lets go of what it traces, and then ends.
            let pid = strace.id().to_string();
            let _told = Command::new("sh").args(["-c", r#"kill -TERM "$0" 2>/dev/null"#, &pid]).status();
            let _ended = strace.wait();
        }
    }
}

fn strace(process: u32, calls: &[&str], how: &str) -> std::io::Result<Child> {
    let calls = calls.join(",");
    Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-p", &process.to_string()])
        .args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{how}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn is_traced(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
}

/// A small disk of memory, mounted in this program's own name space. Dropping it unmounts it; so does the end of the
/// program, however it ends, because the name space ends with it.
#[derive(Debug)]
pub(crate) struct OwnDisk(PathBuf);

impl OwnDisk {
    /// Whether a program can have a name space of its own, and mount there; with the arguments of `unshare`.
    pub(crate) fn name_space() -> Option<&'static [&'static str]> {
        const AS_ROOT: &[&str] = &["--mount", "--propagation", "private"];
        const AS_USER: &[&str] = &["--user", "--map-root-user", "--mount", "--propagation", "private"];
        let mounts = |arguments: &&[&str]| {
            let mounted = Command::new("unshare")
                .args(*arguments)
                .args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            mounted.is_ok_and(|status| status.success())
        };
        [AS_ROOT, AS_USER].into_iter().find(mounts)
    }

    /// Mounted at this folder.
    pub(crate) fn mount(at: &Path) -> Self {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(at).status();
        assert!(mounted.is_ok_and(|status| status.success()), "no tmpfs at {}", at.display());
        Self(at.to_owned())
    }

    /// Leaves no byte free. Dropping the ballast frees them.
    pub(crate) fn fill(&self) -> Ballast {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).expect("a file on the own disk");
        for step in STEPS {
            let block = vec![0x55; step];
            while file.write_all(&block).is_ok() {}
        }
        Ballast(path)
    }
}

impl Drop for OwnDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[derive(Debug)]
pub(crate) struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _removed = fs::remove_file(&self.0);
    }
}
