//! The node's configuration: one TOML file, every key also as an environment variable.
//!
//! A new key is a field with a default here, and a line with its explanation in `deploy/node.example.toml`; which keys
//! there are, and what a typing error may have meant, is read from the serialised defaults. A key that must not be
//! shown has no place here: it is a secret, see `node::secrets`. The two exceptions may hold a password and show all but
//! that: [`StoreUrl`], [`RedisUrl`].

mod blobs;
mod cluster;
mod effective;
mod keys;
mod listen;
mod listen_on;
mod mistake;
mod onion;
mod redact;
mod redis;
mod redis_url;
mod store_url;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use endtoend_haproxy::Network;
use endtoend_protocol::limits::WORK_BITS_MAX;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

pub use self::redis::{RedisConfig, RedisFileError};
pub use blobs::BlobsConfig;
pub use cluster::ClusterConfig;
pub use effective::{Effective, Origin, Setting};
pub use keys::Key;
pub(crate) use keys::nearest;
pub use listen_on::{ListenOn, NoListenOn};
pub use mistake::{ConfigError, Mistake, Place};
pub use onion::{OnionConfig, OnionHost};
pub use redis_url::{NoRedisUrl, RedisUrl};
pub use store_url::StoreUrl;

use crate::limits::{Limit, LimitsConfig};
use crate::services::Registration;

/// Prefix of environment variables: `ENDTOEND_GATEWAY__LISTEN` is `listen` in `[gateway]`.
pub(crate) const PREFIX: &str = "ENDTOEND_";

/// A node file that explains every key.
pub const EXAMPLE: &str = include_str!("../../../deploy/node.example.toml");

/// No client gains by more, and whoever stops a node waits for it.
const DRAIN_SECONDS_MAX: u16 = 600;

/// Networks whose word is taken for who connects.
const EDGES_MAX: usize = 64;

/// The file that is read when none is named and it is there.
pub const DEFAULT_FILE: &str = "endtoend.toml";

/// The whole node file. Every key has a default; an unknown key is an error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub storage: StorageConfig,
    pub gateway: GatewayConfig,
    pub accounts: AccountsConfig,
    pub blobs: BlobsConfig,
    pub limits: LimitsConfig,
    pub redis: RedisConfig,
    pub log: LogConfig,
    pub admin: AdminConfig,
    pub cluster: ClusterConfig,
    pub onion: OnionConfig,
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// Directory for the database and the node's secrets. Default `data`. Change: restart.
    pub data: PathBuf,
    /// PostgreSQL database of the store. Default none, which is the empty text: a SQLite file in `data`. Change: restart.
    pub url: StoreUrl,
    /// File with that URL in its first line. Default none, which is the empty path. Change: restart.
    pub url_file: PathBuf,
    /// Connections to that database. Default 10. Change: restart.
    pub connections_max: NonZeroU32,
}

/// `[gateway]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Address that clients connect to, or `systemd`: sockets that are handed over. Default 127.0.0.1:8443, which nobody outside
    /// reaches. Change: restart.
    pub listen: ListenOn,
    /// DNS names and addresses under which clients know the node. The first one is in the printed address.
    /// Default none. Change: restart.
    pub names: Vec<String>,
    /// Connections at one time. Default 10000, or as many as the system allows open files for. Change: restart.
    pub connections_max: u32,
    /// Of those, connections that have not logged in: the oldest one goes for one more. Default 2500, at least 1; half of
    /// `connections_max` if that is less. Change: restart.
    pub guests_max: u32,
    /// Seconds that connections get to leave when the node stops. Default 20, at most 600; 0 cuts them at once.
    /// Change: restart.
    pub drain_seconds: u16,
    /// Addresses of edges: a connection from there begins with a PROXY header of version 2, which says whom limits by address
    /// are for. Default none; at most 64. Change: restart.
    pub proxy_from: Vec<Network>,
}

/// `[accounts]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountsConfig {
    /// Who may create an account: `open`, `invite` or `closed`. Default `open`. Change: restart.
    pub registration: Registration,
    /// File with a password in its first line that everybody must show before anything else. Default none, which is the
    /// empty path. Change: restart.
    pub server_password_file: PathBuf,
    /// Hours that a device waits which was added by password alone, so that the owner's other devices can object.
    /// Default 24. Change: restart, for devices to come.
    pub password_device_delay_hours: u16,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,endtoend_gateway=debug`. Default `info`.
    pub filter: String,
    /// `text` for people, `json` for programs: one object a line. Default `text`. Change: restart.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[admin]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Address of `/healthz`, `/readyz` and `/metrics`, or `systemd`: sockets with the name `admin` that are handed over. Default
    /// none, which is the empty text. Change: restart.
    #[serde(with = "listen")]
    pub listen: Option<ListenOn>,
    /// That address may be one that others reach, though there is no TLS and no login. Default false. Change: restart.
    pub beyond_loopback: bool,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            url: StoreUrl::default(),
            url_file: PathBuf::new(),
            connections_max: endtoend_storage::PostgresOptions::CONNECTIONS_MAX,
        }
    }
}
impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)).into(),
            names: Vec::new(),
            connections_max: 10_000,
            guests_max: 2_500,
            drain_seconds: 20,
            proxy_from: Vec::new(),
        }
    }
}
impl Default for AccountsConfig {
    fn default() -> Self {
        Self { registration: Registration::Open, server_password_file: PathBuf::new(), password_device_delay_hours: 24 }
    }
}
impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// A rule that a value breaks, though it has the right type.
struct Broken {
    section: &'static str,
    name: &'static str,
    text: String,
    hint: String,
}

impl Config {
    /// Reads `file`, or [`DEFAULT_FILE`] if it is there, and then the variables.
    ///
    /// # Errors
    /// See [`ConfigError`]. Nothing is guessed: an unknown key is refused.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Effective::load(file, variables).map(|effective| effective.config)
    }

    /// Checked before anything starts.
    fn broken_rules(&self) -> Vec<Broken> {
        let mut broken = Vec::new();
        let mut rule = |holds: bool, (section, name), text: String, hint: &str| {
            if !holds {
                broken.push(Broken { section, name, text, hint: hint.to_owned() });
            }
        };
        rule(
            self.gateway.connections_max > 0,
            ("gateway", "connections_max"),
            "must be at least 1".to_owned(),
            "a node that takes no connection is one that is not running",
        );
        rule(
            self.gateway.drain_seconds <= DRAIN_SECONDS_MAX,
            ("gateway", "drain_seconds"),
            format!("must be at most {DRAIN_SECONDS_MAX}"),
            "what a client has not read by then it gets on its next connection; the default is 20",
        );
        rule(
            self.gateway.proxy_from.len() <= EDGES_MAX,
            ("gateway", "proxy_from"),
            format!("must be at most {EDGES_MAX} networks"),
            "they are compared one by one for each connection: write prefixes, like \"10.0.0.0/24\"",
        );
        rule(
            self.gateway.guests_max > 0,
            ("gateway", "guests_max"),
            "must be at least 1".to_owned(),
            "whoever logs in is a guest first",
        );
        rule(
            !self.storage.data.as_os_str().is_empty(),
            ("storage", "data"),
            "must name a directory".to_owned(),
            "the default is \"data\"",
        );
        rule(
            self.storage.url.get().is_none() || self.storage.url_file.as_os_str().is_empty(),
            ("storage", "url_file"),
            "names a second place for the URL that `url` holds".to_owned(),
            "keep one of the two",
        );
        let LimitsConfig { work_bits, register_work_bits, .. } = self.limits;
        for (name, bits) in [("work_bits", work_bits), ("register_work_bits", register_work_bits)] {
            rule(
                (1..=WORK_BITS_MAX).contains(&bits),
                ("limits", name),
                format!("must be 1 to {WORK_BITS_MAX}"),
                "each bit doubles the work; the defaults are 18 and 22",
            );
        }
        for (operation, limit) in self.limits.all() {
            rule(
                limit.full_after() <= Limit::FULL_AFTER_MAX,
                ("limits", operation.name()),
                "burst times every_ms must be at most 90 days".to_owned(),
                "that is how long it takes until somebody who has used it up has all of it again",
            );
        }
        for (name, text, hint) in self.blobs.broken_rules() {
            rule(false, ("blobs", name), text, hint);
        }
        for name in &self.gateway.names {
            let fits = ServerName::try_from(name.strip_prefix("*.").unwrap_or(name)).is_ok();
            let text = format!("{name:?} is neither a DNS name nor an address");
            rule(fits, ("gateway", "names"), text, "write it like \"chat.example.org\", without scheme and port");
        }
        // What is handed over is looked at when it is.
        let exposed = matches!(self.admin.listen, Some(ListenOn::Address(listen)) if !listen.ip().is_loopback());
        rule(
            !exposed || self.admin.beyond_loopback,
            ("admin", "listen"),
            "is reached from other machines, without TLS and without a login".to_owned(),
            "listen on 127.0.0.1:9464, or set `beyond_loopback = true` where only those who watch reach it",
        );
        for (name, text, hint) in self.redis.broken_rules() {
            rule(false, ("redis", name), text, hint);
        }
        for (name, text, hint) in self.cluster.broken_rules() {
            rule(false, ("cluster", name), text, hint);
        }
        for (name, text, hint) in self.onion.broken_rules() {
            rule(false, ("onion", name), text, hint);
        }
        let wants_header = self.gateway.proxy_from.iter().any(|edge| edge.contains(Ipv4Addr::LOCALHOST.into()));
        rule(
            !(self.onion.enabled && self.onion.target.is_none() && wants_header),
            ("onion", "enabled"),
            "needs a `target`, as this node wants a PROXY header from 127.0.0.1 ([gateway] proxy_from)".to_owned(),
            "Tor writes none: let `target` be the address of the edge, like \"127.0.0.1:443\"",
        );
        let shares = self.storage.url.get().is_some() || !self.storage.url_file.as_os_str().is_empty();
        rule(
            self.cluster.listen.is_none() || shares,
            ("cluster", "listen"),
            "needs a store that all nodes reach, and a SQLite file is this node's alone".to_owned(),
            "set `url` or `url_file` in [storage], the same on all nodes",
        );
        rule(
            self.cluster.listen.is_none() || self.redis.is_set(),
            ("cluster", "listen"),
            "needs a Redis that all nodes reach".to_owned(),
            "set `url`, `sentinels` or `cluster` in [redis], the same on all nodes",
        );
        if let Err(error) = EnvFilter::try_new(&self.log.filter) {
            rule(false, ("log", "filter"), error.to_string(), "write a level such as \"info\"");
        }
        broken
    }
}
