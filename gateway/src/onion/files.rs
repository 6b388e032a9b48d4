//! What a `tor` beside the node reads: a `HiddenServiceDir` and the lines that name it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use endtoend_crypto_core::visitor::VisitorKey;

use super::key::OnionKey;

const SECRET_HEAD: &[u8; 32] = b"== ed25519v1-secret: type0 ==\0\0\0";
const PUBLIC_HEAD: &[u8; 32] = b"== ed25519v1-public: type0 ==\0\0\0";
const CLIENTS: &str = "authorized_clients";

/// Writes a new directory that `tor` takes for one of its own, for its owner only. Nothing that is there is written over.
///
/// # Errors
/// When the directory is there, or cannot be made. What was begun stays, without a key.
pub(crate) fn export(to: &Path, key: &OnionKey, clients: &[VisitorKey]) -> io::Result<()> {
    let folder = |path: &Path| DirBuilder::new().mode(0o700).create(path);
    let file = |name: &str, parts: &[&[u8]]| {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(to.join(name))?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()
    };
    folder(to)?;
    folder(&to.join(CLIENTS))?;
    for (number, client) in (1..).zip(clients) {
        file(&format!("{CLIENTS}/client-{number}.auth"), &[client.to_string().as_bytes(), b"\n"])?;
    }
    file("hostname", &[key.host().as_bytes(), b"\n"])?;
    file("hs_ed25519_public_key", &[PUBLIC_HEAD, &key.public()])?;
    file("hs_ed25519_secret_key", &[SECRET_HEAD, key.expanded().as_slice()])?;
    fs::File::open(to)?.sync_all()
}

/// The lines of a torrc.
pub(crate) fn torrc(folder: &Path, port: u16, target: SocketAddr) -> String {
    format!("HiddenServiceDir {}\nHiddenServicePort {port} {target}", folder.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use endtoend_crypto_core::visitor::VisitorSecret;

    use super::*;

    #[test]
    fn a_directory_is_as_tor_makes_it_and_nothing_is_written_over() {
        let place = tempfile::tempdir().unwrap();
        let (folder, key) = (place.path().join("onion"), OnionKey::from_seed(&[7; 32]).unwrap());
        let client = VisitorSecret::generate(&mut rand::rng()).public();
        export(&folder, &key, &[client]).unwrap();
        let read = |name: &str| fs::read(folder.join(name)).unwrap();
        assert_eq!(read("hostname"), format!("{}\n", key.host()).into_bytes());
        let secret = read("hs_ed25519_secret_key");
        assert!(secret.len() == 96 && secret.starts_with(SECRET_HEAD) && secret.ends_with(key.expanded().as_slice()));
        assert_eq!(read("hs_ed25519_public_key").len(), 64);
        assert_eq!(read("authorized_clients/client-1.auth"), format!("{client}\n").into_bytes());
        let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("."), mode("hs_ed25519_secret_key"), mode(CLIENTS)), (0o700, 0o600, 0o700));
        let again = export(&folder, &OnionKey::from_seed(&[8; 32]).unwrap(), &[]).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read("hs_ed25519_secret_key"), secret);
    }
}
