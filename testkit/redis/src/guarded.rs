//! A server behind TLS that lets in whoever has a password, and lets him do what he has to.

use std::fs;
use std::path::{Path, PathBuf};

use endtoend_keeper::{Keeper, Kept, PATIENCE, Place, eventually};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use redis::{Client, FromRedisValue};

use crate::network::Network;
use crate::process::ask;

const REDIS: Kept = Kept { name: "Redis", start: "redis-server \"$0/conf\"", children: false };

/// A server that is reached over TLS by a user with rights of his own, and on a Unix socket by an administrator.
#[derive(Debug)]
pub struct Guarded {
    at: String,
    folder: PathBuf,
    _keeper: Keeper,
}

impl Guarded {
    /// The user.
    pub const USER: &str = "node";
    /// His password.
    pub const PASSWORD: &str = "pass word/of:a node";

    /// With a user who has these rights, as an access list of Redis says them.
    ///
    /// # Panics
    /// When there is no Redis, or it does not start.
    pub fn start(rights: &[&str]) -> Self {
        let place = Place::passing("e2e-redis-").expect("a temporary directory");
        let (folder, at) = (place.folder().to_owned(), Network::own().at(1));
        certificates(&folder, &at.ip().to_string());
        let file = |name: &str| folder.join(name).display().to_string();
        let lines = [
            format!("bind {}", at.ip()),
            "port 0".to_owned(),
            format!("tls-port {}", at.port()),
            format!("tls-cert-file {}", file("leaf.pem")),
            format!("tls-key-file {}", file("leaf.key")),
            format!("tls-ca-cert-file {}", file("ca.pem")),
            "tls-auth-clients no".to_owned(),
            "tls-protocols TLSv1.3".to_owned(),
            format!("unixsocket {}", file("socket")),
            "unixsocketperm 700".to_owned(),
            "protected-mode no".to_owned(),
            format!("dir {}", folder.display()),
            "save \"\"".to_owned(),
            "user default off".to_owned(),
            "user admin on >admin ~* &* +@all".to_owned(),
        ];
        fs::write(folder.join("conf"), lines.join("\n") + "\n").expect("a file");
        let mut keeper = Keeper::of(&place, REDIS, &[]).expect("a shell");
        keeper.order("start").expect("kept");
        let server = Self { at: at.to_string(), folder, _keeper: keeper };
        let answers = eventually(|| server.try_ask::<String>(&["PING"]).is_ok());
        assert!(answers, "no answer after {PATIENCE:?}: {}", server.log());
        let password = format!(">{}", Self::PASSWORD);
        let user = [&["ACL", "SETUSER", Self::USER, "on", &password][..], rights].concat();
        let _: String = server.ask(&user);
        server
    }

    /// `HOST:PORT` of its TLS.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// The certificate of the authority that its own is from.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Everything that it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// What it answers to a command of the administrator.
    ///
    /// # Panics
    /// When that is an error.
    pub fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_ask(command).expect("an answer")
    }

    fn try_ask<T: FromRedisValue>(&self, command: &[&str]) -> Result<T, redis::RedisError> {
        let url = format!("unix://{}?user=admin&pass=admin", self.folder.join("socket").display());
        ask(&mut Client::open(url)?.get_connection()?, command)
    }
}

/// Of an authority of its own, for this name.
fn certificates(folder: &Path, name: &str) {
    let named = |common_name: &str| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params
    };
    let mut authority = named("authority of tests");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().expect("a key");
    let certificate = authority.self_signed(&authority_key).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let leaf = named("redis").signed_by(&key, &Issuer::new(authority, authority_key)).expect("a certificate");
    for (file, text) in [("ca.pem", certificate.pem()), ("leaf.pem", leaf.pem()), ("leaf.key", key.serialize_pem())] {
        fs::write(folder.join(file), text).expect("a file");
    }
}
