//! Who is believed: the authority, by its keys.

use std::fs::{self, DirBuilder};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::program;

/// What clients and relays know of the authority.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    /// Of the key with which it signs what it votes for.
    pub(crate) v3_identity: String,
    pub(crate) directory: SocketAddr,
    fingerprint: String,
    or_port: u16,
}

impl Authority {
    /// Makes its keys in this data directory.
    pub(crate) fn make(data: &Path, or: SocketAddr, directory: SocketAddr) -> Self {
        let keys = data.join("keys");
        DirBuilder::new().recursive(true).mode(0o700).create(&keys).expect("a folder");
        let mut certificate = Command::new(program("tor-gencert"))
            .args(["--create-identity-key", "--passphrase-fd", "0", "-m", "12", "-a", &directory.to_string()])
            .current_dir(&keys)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tor-gencert starts");
        let mut passphrase = certificate.stdin.take().expect("it is piped");
        passphrase.write_all(b"test\n").expect("it reads");
        drop(passphrase);
        // Meanwhile: what a relay has.
        let listed = Command::new(program("tor"))
            .arg("-f")
            .arg(data.join("none"))
            .args([
                "--ignore-missing-torrc",
                "--quiet",
                "--list-fingerprint",
                "--ORPort",
                "1",
                "--Nickname",
                "authority",
            ])
            .args(["--DirAuthority", "x 127.0.0.1:1 ffffffffffffffffffffffffffffffffffffffff", "--DataDirectory"])
            .arg(data)
            .stdin(Stdio::null())
            .output()
            .expect("tor runs");
        let certified = certificate.wait().expect("tor-gencert is ours");
        assert!(certified.success() && listed.status.success(), "no keys: {certified}, {listed:?}");
        let certificate = fs::read_to_string(keys.join("authority_certificate")).expect("a certificate");
        let v3_identity = certificate.lines().find_map(|line| line.strip_prefix("fingerprint "));
        let v3_identity = v3_identity.expect("a certificate names its key").to_owned();
        Self { v3_identity, directory, fingerprint: fingerprint(data), or_port: or.port() }
    }

    /// A line of a torrc.
    pub(crate) fn line(&self) -> String {
        let Self { v3_identity, directory, fingerprint, or_port } = self;
        format!("DirAuthority authority orport={or_port} no-v2 v3ident={v3_identity} {directory} {fingerprint}\n")
    }
}

/// Of a relay that has been started: 40 hexadecimal digits.
pub(crate) fn fingerprint(data: &Path) -> String {
    second_word(&data.join("fingerprint"))
}

/// The other one, in base64 without padding, as arti writes it.
pub(crate) fn ed25519_identity(data: &Path) -> String {
    second_word(&data.join("fingerprint-ed25519")).trim_end_matches('=').to_owned()
}

fn second_word(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().nth(1).unwrap_or_else(|| panic!("no fingerprint in {}", file.display())).to_owned()
}
