//! Programs that carry what goes to a bridge: found, and looked at, before Tor is told of them.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::choice::NetworkSettings;
use super::trouble::TorTrouble;

/// Which programs speak a transport, the first that is there. A transport that is not here needs a program that somebody names.
const SPEAKERS: [(&str, &[&str]); 5] = [
    ("obfs4", &["lyrebird", "obfs4proxy"]),
    ("meek_lite", &["lyrebird", "obfs4proxy"]),
    ("webtunnel", &["lyrebird", "webtunnel-client"]),
    ("scramblesuit", &["obfs4proxy"]),
    ("snowflake", &["snowflake-client"]),
];

/// A transport, and the program that speaks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// As bridges name it.
    pub transport: String,
    /// From the root.
    pub path: PathBuf,
}

/// The programs that the bridges of a profile need, one for each transport. `path` is the variable of that name.
///
/// # Errors
/// `ProgramMissing` with the first transport that nothing speaks here.
pub fn needed(settings: &NetworkSettings, path: &OsStr) -> Result<Vec<Program>, TorTrouble> {
    let mut found: Vec<Program> = Vec::new();
    for transport in settings.bridges.iter().filter_map(|line| line.transport()) {
        if found.iter().any(|program| program.transport == transport) {
            continue;
        }
        let names = SPEAKERS.iter().find(|(known, _)| *known == transport).map_or(&[][..], |(_, names)| *names);
        let named = settings.programs.get(transport);
        let here = match named {
            Some(named) => Some(named.clone()).filter(|program| is_program(program)),
            None => names.iter().find_map(|name| in_path(name, path)),
        };
        let Some(here) = here else {
            let wanted = match named {
                Some(named) => vec![named.display().to_string()],
                None => names.iter().map(|name| (*name).to_owned()).collect(),
            };
            return Err(TorTrouble::ProgramMissing { transport: transport.to_owned(), wanted });
        };
        found.push(Program { transport: transport.to_owned(), path: here });
    }
    Ok(found)
}

fn in_path(name: &str, path: &OsStr) -> Option<PathBuf> {
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).find(|program| is_program(program))
}

/// A file that can be run, named from the root.
fn is_program(path: &Path) -> bool {
    let runs = |metadata: std::fs::Metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    path.is_absolute() && std::fs::metadata(path).is_ok_and(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

    fn with(bridges: &[&str]) -> NetworkSettings {
        let line = |bridge: &&str| format!("{bridge} {FINGERPRINT}").trim().parse().unwrap();
        NetworkSettings { bridges: bridges.iter().map(line).collect(), ..NetworkSettings::default() }
    }

    fn program(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_bridge_that_is_a_relay_needs_no_program() {
        assert_eq!(needed(&with(&["192.0.2.3:1"]), OsStr::new("")), Ok(Vec::new()));
    }

    #[test]
    fn the_first_program_in_path_that_can_be_run_is_taken_once_for_each_transport() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        program(first.path(), "obfs4proxy", 0o644); // cannot be run
        let obfs4proxy = program(second.path(), "obfs4proxy", 0o755);
        let snowflake = program(second.path(), "snowflake-client", 0o755);
        let path = std::env::join_paths([first.path(), second.path()]).unwrap();
        let settings = with(&["obfs4 192.0.2.3:1", "obfs4 192.0.2.4:1", "snowflake 192.0.2.5:1"]);
        let found = needed(&settings, &path).unwrap();
        let found: Vec<_> = found.into_iter().map(|program| (program.transport, program.path)).collect();
        assert_eq!(found, [("obfs4".to_owned(), obfs4proxy), ("snowflake".to_owned(), snowflake)]);
        let lyrebird = program(first.path(), "lyrebird", 0o755);
        assert_eq!(needed(&settings, &path).unwrap()[0].path, lyrebird);
    }

    #[test]
    fn a_program_that_is_named_is_the_one_that_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let path = program(folder.path(), "obfs4proxy", 0o755);
        let mut settings = with(&["obfs4 192.0.2.3:1"]);
        settings.set_program("obfs4", folder.path().join("missing"));
        let error = needed(&settings, folder.path().as_os_str()).unwrap_err();
        let wanted = vec![folder.path().join("missing").display().to_string()];
        assert_eq!(error, TorTrouble::ProgramMissing { transport: "obfs4".to_owned(), wanted });
        settings.set_program("obfs4", path.clone());
        assert_eq!(needed(&settings, OsStr::new("")).unwrap()[0].path, path);
    }

    #[test]
    fn what_is_missing_is_named_with_what_would_do() {
        let error = needed(&with(&["snowflake 192.0.2.3:1"]), OsStr::new("")).unwrap_err();
        assert!(error.to_string().contains("snowflake-client"), "{error}");
        let error = needed(&with(&["novel 192.0.2.3:1"]), OsStr::new("")).unwrap_err();
        assert_eq!(error, TorTrouble::ProgramMissing { transport: "novel".to_owned(), wanted: Vec::new() });
        // A folder that is not named from the root is not searched: it would be another one elsewhere.
        let error = needed(&with(&["obfs4 192.0.2.3:1"]), OsStr::new(".:bin")).unwrap_err();
        assert!(matches!(error, TorTrouble::ProgramMissing { .. }), "{error}");
    }
}
