//! Other programs, started with none of this one's settings and secrets.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// A program to be started. Whatever this process was told in `ENDTOEND_…` variables, secrets among it, is not handed
/// on, nor the place of systemd's credentials. Every child of the server is made here; a test sees to it.
pub(crate) fn command(program: &Path) -> Command {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_child_gets_no_secret() {
        let names = ["ENDTOEND_SECRET_CA", "ENDTOEND_LOG__FILTER", "PATH", "CREDENTIALS_DIRECTORY"];
        let command = without_own(Command::new("true"), names.iter());
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        assert!(names.iter().all(|name| removed.contains(&OsStr::new(name)) != (*name == "PATH")), "{removed:?}");
    }

    #[test]
    fn nothing_else_starts_a_program() {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let (mut files, mut starting) = (0, Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files += 1;
                    if fs::read_to_string(&path).unwrap().contains("Command::new(") {
                        starting.push(path);
                    }
                }
            }
        }
        assert!(files > 20);
        assert!(starting.iter().all(|path| path.ends_with("child.rs")), "use child::command: {starting:?}");
    }
}
