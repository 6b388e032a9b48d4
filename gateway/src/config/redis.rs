//! `[redis]`: where Redis is, and how it is reached.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use endtoend_cluster::redis::{HostPort, Manner, RedisAt, Sentinels, Shards};
use redis::{Client, ConnectionInfo, RedisConnectionInfo, RedisError, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::redis_url::{self, NoRedisUrl, RedisUrl};

/// Sentinels: each is asked twice a second.
const SENTINELS_MAX: usize = 15;
/// Nodes of a Redis Cluster that are named: each is asked when the connection is made.
const SEEDS_MAX: usize = 64;

/// `[redis]`. One of `url`, `url_file`, `sentinels` and `cluster` says where it is; none: this node is alone.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// One server. Default none, which is the empty text. Change: restart.
    #[serde(with = "redis_url")]
    pub url: Option<RedisUrl>,
    /// File with that URL in its first line. Default none, which is the empty path. Change: restart.
    pub url_file: PathBuf,
    /// All sentinels that watch the primary, as `HOST:PORT`: what most of them say counts. Default none; at most 15. Change: restart.
    pub sentinels: Vec<HostPort>,
    /// What the sentinels call that primary. Default none, which is the empty text. Change: restart.
    pub primary: String,
    /// Nodes of a Redis Cluster, as `HOST:PORT`: the others are found from them. Default none; at most 64. Change: restart.
    pub cluster: Vec<HostPort>,
    /// Sentinels and servers, or nodes, speak TLS. A URL says so itself. Default false. Change: restart.
    pub tls: bool,
    /// File with the certificates, in PEM, of who issues theirs. Default none, which is the empty path: the system's. Change: restart.
    pub ca_file: PathBuf,
    /// User of the servers or nodes. A URL says it itself. Default none, which is the empty text: `default`. Change: restart.
    pub user: String,
    /// File with his password in its first line. Default none, which is the empty path. Change: restart.
    pub password_file: PathBuf,
    /// Number of the database on those servers. A URL says it itself, and a Redis Cluster has one. Default 0. Change: restart.
    pub database: u16,
    /// User of the sentinels. Default none, which is the empty text: `default`. Change: restart.
    pub sentinel_user: String,
    /// File with his password in its first line. Default none, which is the empty path. Change: restart.
    pub sentinel_password_file: PathBuf,
}

/// Why the files that the configuration names are of no use.
#[derive(Debug, thiserror::Error)]
pub enum RedisFileError {
    #[error("cannot read {}: correct [redis] {key}", path.display())]
    Read { key: &'static str, path: PathBuf, source: io::Error },
    #[error("{} has no address of a Redis in its first line: correct [redis] url_file", path.display())]
    Url { path: PathBuf, source: NoRedisUrl },
    #[error("{} has no password in its first line: write one, or leave [redis] {key} empty", path.display())]
    Password { key: &'static str, path: PathBuf },
    #[error("{} has no certificate in PEM: correct [redis] ca_file", path.display())]
    Authority { path: PathBuf },
    #[error("[redis] does not say where Redis is")]
    Client(#[from] RedisError),
}

impl RedisConfig {
    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        self.places() > 0
    }

    fn places(&self) -> usize {
        let named = [
            self.url.is_some(),
            !self.url_file.as_os_str().is_empty(),
            !self.sentinels.is_empty(),
            !self.cluster.is_empty(),
        ];
        named.into_iter().filter(|is_named| *is_named).count()
    }

    /// Where it is, without a password, for people.
    pub fn place(&self) -> String {
        let servers = |all: &[HostPort]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match &self.url {
            Some(url) => format!("{url:?}"),
            None if !self.url_file.as_os_str().is_empty() => format!("as {} says", self.url_file.display()),
            None if !self.sentinels.is_empty() => {
                format!("{} as the sentinels {} say", self.primary, servers(&self.sentinels))
            }
            None if !self.cluster.is_empty() => format!("cluster of {} and others", servers(&self.cluster)),
            None => "none: this node counts alone".to_owned(),
        }
    }

    /// Reads the files that are named, and connects nowhere. None: there is no Redis.
    ///
    /// # Errors
    /// See [`RedisFileError`]: none shows what a file says.
    pub fn open(&self) -> Result<Option<RedisAt>, RedisFileError> {
        let url = match &self.url {
            Some(url) => Some(url.clone()),
            None if self.url_file.as_os_str().is_empty() => None,
            None => {
                let text = first_line("url_file", &self.url_file)?;
                let bad = |source| RedisFileError::Url { path: self.url_file.clone(), source };
                Some(RedisUrl::new(&text).map_err(bad)?)
            }
        };
        let certificates = self.certificates()?;
        let password = password("password_file", &self.password_file)?;
        if let Some(url) = url {
            return Ok(Some(RedisAt::Server(server(&url, password, certificates)?)));
        }
        let manner = |login| Manner::new(login, self.tls.then(|| trusting(certificates.clone())));
        let of_servers = manner(login(&self.user, password).set_db(self.database.into()));
        if !self.sentinels.is_empty() {
            let password = self::password("sentinel_password_file", &self.sentinel_password_file)?;
            let of_sentinels = manner(login(&self.sentinel_user, password));
            let sentinels = Sentinels::new(&self.sentinels, &self.primary, &of_sentinels, of_servers)?;
            return Ok(Some(RedisAt::Sentinels(sentinels)));
        }
        if !self.cluster.is_empty() {
            return Ok(Some(RedisAt::Cluster(Shards::new(self.cluster.clone(), of_servers)?)));
        }
        Ok(None)
    }

    /// None: the system's.
    fn certificates(&self) -> Result<Option<Vec<u8>>, RedisFileError> {
        if self.ca_file.as_os_str().is_empty() {
            return Ok(None);
        }
        let path = self.ca_file.clone();
        let read = |source| RedisFileError::Read { key: "ca_file", path: path.clone(), source };
        let text = std::fs::read(&self.ca_file).map_err(read)?;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match all {
            Ok(all) if !all.is_empty() => Ok(Some(text)),
            _ => Err(RedisFileError::Authority { path }),
        }
    }

    /// What is wrong, by key.
    pub(super) fn broken_rules(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut broken = Vec::new();
        let mut rule = |holds: bool, name, text: &str, hint| {
            if !holds {
                broken.push((name, text.to_owned(), hint));
            }
        };
        let by_url = self.url.is_some() || !self.url_file.as_os_str().is_empty();
        let by_sentinels = !self.sentinels.is_empty();
        let last = if !self.cluster.is_empty() {
            "cluster"
        } else if by_sentinels {
            "sentinels"
        } else {
            "url_file"
        };
        rule(
            self.places() <= 1,
            last,
            "names a second place for Redis",
            "keep one of `url`, `url_file`, `sentinels` and `cluster`",
        );
        rule(
            self.sentinels.len() <= SENTINELS_MAX,
            "sentinels",
            "must be at most 15",
            "three or five are enough: most of them have to agree",
        );
        let once: BTreeSet<_> = self.sentinels.iter().collect();
        rule(
            once.len() == self.sentinels.len(),
            "sentinels",
            "names one twice",
            "name each of them once: most of them have to agree",
        );
        rule(
            self.cluster.len() <= SEEDS_MAX,
            "cluster",
            "must be at most 64 nodes",
            "the others are found from a few of them",
        );
        rule(
            by_sentinels != self.primary.is_empty(),
            if by_sentinels { "sentinels" } else { "primary" },
            if by_sentinels { "need to know which primary is meant" } else { "is something that sentinels know" },
            "set `primary` to what `sentinel monitor` calls it, and `sentinels` to where they listen",
        );
        let of_url = "the URL says it: rediss://USER:PASSWORD@HOST:6379/DATABASE";
        let known = "nobody is told it: name `sentinels` or a `cluster` too";
        let by_others = by_sentinels || !self.cluster.is_empty();
        for (name, is_set) in [("tls", self.tls), ("user", !self.user.is_empty()), ("database", self.database != 0)] {
            rule(!is_set || by_others, name, "has no use here", if by_url { of_url } else { known });
        }
        rule(
            self.database == 0 || self.cluster.is_empty(),
            "database",
            "must be 0",
            "a Redis Cluster has one database: each cluster of nodes needs a Redis Cluster of its own",
        );
        let in_clear = self.url.as_ref().is_some_and(|url| !url.is_tls()) || (by_others && !self.tls);
        rule(
            self.ca_file.as_os_str().is_empty() || (self.is_set() && !in_clear),
            "ca_file",
            "has no use without TLS",
            "write rediss:// in the URL, or set `tls = true` for sentinels and clusters",
        );
        rule(
            self.password_file.as_os_str().is_empty() || self.is_set(),
            "password_file",
            "has no use without a Redis",
            "set one of `url`, `sentinels` and `cluster`",
        );
        let of_sentinels = [
            ("sentinel_user", !self.sentinel_user.is_empty()),
            ("sentinel_password_file", has(&self.sentinel_password_file)),
        ];
        for (name, is_set) in of_sentinels {
            rule(!is_set || by_sentinels, name, "has no use without sentinels", "name them in `sentinels`");
        }
        broken
    }
}

fn has(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

fn login(user: &str, password: Option<Zeroizing<String>>) -> RedisConnectionInfo {
    let login = RedisConnectionInfo::default();
    let login = if user.is_empty() { login } else { login.set_username(user) };
    match password {
        Some(password) => login.set_password(password.as_str()),
        None => login,
    }
}

fn trusting(root_cert: Option<Vec<u8>>) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert }
}

/// A password from a file takes the place of the URL's.
fn server(
    url: &RedisUrl,
    password: Option<Zeroizing<String>>,
    authority: Option<Vec<u8>>,
) -> Result<Client, RedisError> {
    let client = url.client();
    let mut info: ConnectionInfo = client.get_connection_info().clone();
    if let Some(password) = password {
        let login = info.redis_settings().clone().set_password(password.as_str());
        info = info.set_redis_settings(login);
    }
    match authority {
        Some(authority) => Client::build_with_tls(info, trusting(Some(authority))),
        None => Client::open(info),
    }
}

fn first_line(key: &'static str, path: &Path) -> Result<Zeroizing<String>, RedisFileError> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|source| RedisFileError::Read { key, path: path.to_owned(), source })?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().trim().to_owned()))
}

/// None: no file is named.
fn password(key: &'static str, path: &Path) -> Result<Option<Zeroizing<String>>, RedisFileError> {
    if !has(path) {
        return Ok(None);
    }
    let line = first_line(key, path)?;
    match line.is_empty() {
        true => Err(RedisFileError::Password { key, path: path.to_owned() }),
        false => Ok(Some(line)),
    }
}
