//! An ejabberd of its own: configuration, database and logs in a folder that goes with it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

/// Where Debian has the library that ejabberd is.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";
/// What its virtual machine says when the server is there.
const STARTED: &str = "started";

/// A running server. Dropping it kills it.
pub(crate) struct Ejabberd {
    machine: Child,
    pub(crate) address: SocketAddr,
    pub(crate) certificate: CertificateDer<'static>,
    _folder: TempDir,
}

impl Ejabberd {
    /// Waits until it is there, which takes ten seconds.
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut wanted = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        // The year 4096, which is the default, is beyond what Erlang can count, and ejabberd drops the certificate.
        wanted.not_after = date_time_ymd(2099, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let cert = wanted.self_signed(&key).expect("a certificate");
        let pem = folder.path().join("certificate.pem");
        fs::write(&pem, cert.pem() + &key.serialize_pem()).expect("written");
        // Free now, and hardly taken within these seconds: ejabberd does not say which port it was given.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = free.local_addr().expect("a port");
        drop(free);
        let file = folder.path().join("ejabberd.yml");
        fs::write(&file, configuration(address.port(), &pem)).expect("written");
        let mut machine = Command::new("erl")
            .args(["-noinput", "+K", "true", "+P", "250000", "-mnesia", "dir"])
            .arg(format!("{:?}", folder.path().join("database")))
            .args([
                "-eval",
                &format!("{{ok, _}} = application:ensure_all_started(ejabberd), io:format(\"{STARTED}~n\")."),
            ])
            .env("EJABBERD_CONFIG_PATH", &file)
            .env("EJABBERD_LOG_PATH", folder.path().join("log"))
            .env("ERL_CRASH_DUMP", folder.path().join("crash"))
            .env("ERL_LIBS", LIBRARIES)
            .env("HOME", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ejabberd is installed: apt-get install ejabberd");
        let mut said = BufReader::new(machine.stdout.take().expect("piped"));
        let mut line = String::new();
        while line.trim() != STARTED {
            line.clear();
            assert_ne!(said.read_line(&mut line).expect("it says something"), 0, "ejabberd did not start");
        }
        Self { machine, address, certificate: cert.der().clone(), _folder: folder }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.machine.id()
    }
}

impl Drop for Ejabberd {
    fn drop(&mut self) {
        let _ = self.machine.kill();
        let _ = self.machine.wait();
    }
}

/// No limits on clients, anybody may log in, and no module but what hands messages on.
fn configuration(port: u16, pem: &Path) -> String {
    format!(
        "hosts: [localhost]
loglevel: error
certfiles: [{pem:?}]
listen:
  - port: {port}
    ip: \"127.0.0.1\"
    module: ejabberd_c2s
    tls: true
host_config:
  localhost:
    auth_method: [anonymous]
    anonymous_protocol: sasl_anon
modules: {{}}
"
    )
}
