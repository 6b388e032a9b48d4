//! Child processes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program to be started. Whatever this process was told in `ENDTOEND_…` variables, secrets among it, is not handed on, nor
/// the place of systemd's credentials.
pub fn command(program: &Path) -> Command {
    without_own(Command::new(program), std::env::vars_os().map(|(name, _)| name))
}

fn without_own(mut command: Command, names: impl Iterator<Item = impl AsRef<OsStr>>) -> Command {
    for name in names {
        if name.as_ref().to_string_lossy().starts_with("ENDTOEND_") {
            command.env_remove(name);
        }
    }
    command.env_remove("CREDENTIALS_DIRECTORY").env_remove("NOTIFY_SOCKET").env_remove("RUST_BACKTRACE");
    command
}

/// Whether a process has ended. Its parent, which is the shell that keeps it, may not have heard of that.
pub fn is_over(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in parentheses and may have any letters.
    stat.rsplit(") ").next().is_none_or(|fields| fields.is_empty() || fields.starts_with('Z'))
}

/// A program in `PATH`; `None` when there is none of that name.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_gets_no_secret() {
        let names = ["ENDTOEND_SECRET_CA", "ENDTOEND_LOG__FILTER", "PATH", "CREDENTIALS_DIRECTORY"];
        let command = without_own(Command::new("true"), names.iter());
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        assert!(names.iter().all(|name| removed.contains(&OsStr::new(name)) != (*name == "PATH")), "{removed:?}");
    }

    #[test]
    fn a_process_is_over_when_it_has_ended_and_when_nobody_has_heard_of_it() {
        assert!(!is_over(std::process::id()));
        let mut child = Command::new("true").spawn().unwrap();
        assert!(crate::eventually(|| is_over(child.id())));
        child.wait().unwrap();
        assert!(is_over(child.id()));
    }
}
