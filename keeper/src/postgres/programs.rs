//! PostgreSQL's programs: where they are, and as whom they run.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::KeeperError;
use crate::program;

/// The oldest that the store accepts.
const VERSION_MIN: u32 = 15;
/// Debian keeps the server's programs here, outside of the path.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A folder with `initdb` and `postgres` of one version.
///
/// # Errors
/// When there is none that is new enough.
pub(super) fn folder() -> Result<PathBuf, KeeperError> {
    let mut found: Vec<_> = folders().into_iter().filter_map(|folder| Some((version(&folder)?, folder))).collect();
    found.sort();
    match found.pop() {
        Some((VERSION_MIN.., folder)) => Ok(folder),
        Some((version, folder)) => Err(KeeperError::TooOld { version, folder, oldest: VERSION_MIN }),
        None => Err(KeeperError::Missing { program: "initdb and postgres", package: "postgresql" }),
    }
}

/// `pg_dump`, which need not lie beside the server's programs.
///
/// # Errors
/// When there is none.
pub(super) fn dump() -> Result<PathBuf, KeeperError> {
    let found = folders().into_iter().map(|folder| folder.join("pg_dump")).rfind(|program| program.is_file());
    found.ok_or(KeeperError::Missing { program: "pg_dump", package: "postgresql-client" })
}

fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<_> = fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    debian.sort();
    std::env::split_paths(&path).chain(debian.into_iter().map(|version| version.join("bin"))).collect()
}

/// The major version, when the folder has both programs.
fn version(folder: &Path) -> Option<u32> {
    let [initdb, postgres] = ["initdb", "postgres"].map(|name| folder.join(name));
    if !initdb.is_file() || !postgres.is_file() {
        return None;
    }
    // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
    let said = program::command(&postgres).arg("--version").output().ok()?.stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    said.split_whitespace().find_map(|word| word.split('.').next()?.parse().ok())
}

/// A user and a group, as numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) user: u32,
    pub(super) group: u32,
}

/// As whom the server has to run: PostgreSQL refuses root. `None` for whoever runs this.
///
/// # Errors
/// When root runs this, and there is nobody else.
pub(super) fn unprivileged() -> Result<Option<User>, KeeperError> {
    if !fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(KeeperError::io("read /etc/passwd"))?;
    let user = ["postgres", "nobody"].iter().find_map(|name| find(&users, name));
    user.map(Some).ok_or(KeeperError::NobodyToRunAs)
}

fn find(users: &str, name: &str) -> Option<User> {
    users.lines().find_map(|line| match line.split(':').collect::<Vec<_>>()[..] {
        [found, _, user, group, ..] if found == name => {
            Some(User { user: user.parse().ok()?, group: group.parse().ok()? })
        }
        _ => None,
    })
}

/// A program of that folder, to run as that user, with nothing of the caller's own settings.
pub(super) fn command(program: &Path, as_user: Option<User>) -> Command {
    let mut command = match as_user {
        None => program::command(program),
        Some(User { user, group }) => {
            let mut command = program::command(Path::new("setpriv"));
            command.args([&format!("--reuid={user}"), &format!("--regid={group}"), "--clear-groups", "--"]);
            command.arg(program);
            command
        }
    };
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("PG") {
            command.env_remove(variable);
        }
    }
    command.env("LC_ALL", "C");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:7::/:\npostgres:x:101:104:,,,:/var/lib:/bin/bash\n";
        let User { user, group } = find(users, "postgres").expect("there");
        assert_eq!((user, group), (101, 104));
        assert!(find(users, "nobody").is_none());
    }
}
