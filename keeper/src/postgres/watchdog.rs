//! Cleans up after whoever has started the server, however that ends.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::error::KeeperError;
use crate::place::Place;
use crate::program::command;

/// Reads until whoever has started it is gone, then ends the server, and removes the folder if that does not stay. A process id that is in use by
/// somebody else by now is left alone: the server's command line names the folder.
const SCRIPT: &str = r#"
cat >/dev/null
pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && grep -q "$0" "/proc/$pid/cmdline" 2>/dev/null; then
    kill -QUIT "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
fi
[ "$1" = passing ] && rm -rf "$0"
"#;

/// Holds the pipe. It is closed by the end of the program, or by dropping this.
#[derive(Debug)]
pub(super) struct Watchdog(Child);

impl Watchdog {
    /// # Errors
    /// Without a shell.
    pub(super) fn over(place: &Place) -> Result<Self, KeeperError> {
        let child = command(Path::new("sh"))
            .args(["-c", SCRIPT])
            .arg(place.folder())
            .arg(place.word())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of reach of a Ctrl-C that is meant for whoever asks.
            .process_group(0)
            .spawn();
        child.map(Self).map_err(KeeperError::io("start a shell"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ended_already = self.0.wait();
    }
}
