//! Cleans up after a test program, however it ends.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Reads until the test program is gone, then ends the server and removes the folder. A process id that is in use by
/// somebody else by now is left alone: the server's command line names the folder.
const SCRIPT: &str = r#"
cat >/dev/null
pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && grep -q "$0" "/proc/$pid/cmdline" 2>/dev/null; then
    kill -QUIT "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
fi
rm -rf "$0"
"#;

/// Holds the pipe. It is closed by the end of the program, or by dropping this.
#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// # Panics
    /// Without a shell.
    pub(crate) fn over(folder: &Path) -> Self {
        let child = Command::new("sh")
            .args(["-c", SCRIPT])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of reach of a Ctrl-C that is meant for the tests.
            .process_group(0)
            .spawn();
        Self(child.expect("sh runs"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ended_already = self.0.wait();
    }
}
