//! The servers that were used last, to be chosen again on another first run. Nothing of an address is secret: a server gives it to
//! everybody who is to come. Which ones a person has used is somebody's own, so only the owner of the file can read it.

use std::fs;
use std::io;
use std::path::Path;

use endtoend_client::address::ServerAddress;
use endtoend_client::profile::write_atomically;

/// Servers that are kept.
pub const RECENT_MAX: usize = 5;
/// Longest file that is read, in bytes: an address has less than 512.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// The servers of a file, latest first. None where there is no such file, or nothing sensible in it.
pub fn load(path: &Path) -> Vec<ServerAddress> {
    let small = fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= FILE_BYTES_MAX);
    let text = if small { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    text.lines().filter_map(|line| line.parse().ok()).take(RECENT_MAX).collect()
}

/// Puts a server before all others.
///
/// # Errors
/// When the file cannot be written; then it is as it was.
pub fn add(path: &Path, server: &ServerAddress) -> io::Result<()> {
    let mut all = load(path);
    all.retain(|other| other != server);
    all.insert(0, server.clone());
    all.truncate(RECENT_MAX);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let lines: String = all.iter().map(|server| format!("{server}\n")).collect();
    write_atomically(path, lines.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(port: u16) -> ServerAddress {
        format!("endtoend://chat.example.org:{port}/#pin={}", "5f".repeat(64)).parse().unwrap()
    }

    #[test]
    fn the_last_servers_are_kept_latest_first_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below").join("servers");
        assert_eq!(load(&path), []);
        for port in [1, 2, 3, 4, 5, 6, 7, 5] {
            add(&path, &server(port)).unwrap();
        }
        assert_eq!(load(&path), [5, 7, 6, 4, 3].map(server));
        fs::write(&path, "nonsense\nendtoend://x\n").unwrap();
        assert_eq!(load(&path), []);
        fs::write(&path, "x".repeat(100_000)).unwrap();
        assert_eq!(load(&path), []);
        assert!(add(&folder.path().join("below"), &server(1)).is_err(), "a folder is no file");
    }
}
