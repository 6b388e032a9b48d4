//! The node's configuration: one TOML file, every key also as an environment variable.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::limits::LimitsConfig;
use crate::services::{Registration, ServerPassword};

/// Prefix of environment variables: `ENDTOEND_GATEWAY__LISTEN` is `listen` in `[gateway]`.
const PREFIX: &str = "ENDTOEND_";

/// The file that is read when none is named and it is there.
pub const DEFAULT_FILE: &str = "endtoend.toml";

/// The whole node file. Every key has a default; an unknown key is an error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub storage: StorageConfig,
    pub gateway: GatewayConfig,
    pub accounts: AccountsConfig,
    pub limits: LimitsConfig,
    pub log: LogConfig,
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// Directory for the database and the node's secrets. Default `data`. Change: restart.
    pub data: PathBuf,
}

/// `[gateway]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Address that clients connect to. Default 127.0.0.1:8443, which nobody outside reaches. Change: restart.
    pub listen: SocketAddr,
    /// DNS names and addresses under which clients know the node. The first one is in the printed address.
    /// Default none. Change: restart.
    pub names: Vec<String>,
    /// Connections at one time. Default 10000. Change: restart.
    pub connections_max: u32,
}

/// `[accounts]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountsConfig {
    /// Who may create an account: `open`, `invite` or `closed`. Default `open`. Change: restart.
    pub registration: Registration,
    /// A password that everybody must show before anything else, at most 256 bytes. Default none. Change: restart.
    #[serde(skip_serializing)]
    pub server_password: Option<ServerPassword>,
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
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self { data: PathBuf::from("data") }
    }
}
impl Default for GatewayConfig {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 8443).into(), names: Vec::new(), connections_max: 10_000 }
    }
}
impl Default for AccountsConfig {
    fn default() -> Self {
        Self { registration: Registration::Open, server_password: None, password_device_delay_hours: 24 }
    }
}
impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned() }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    /// The text of the source names line and key.
    #[error("{path} is not a valid configuration\n{message}")]
    File { path: PathBuf, message: String },
    #[error("the environment variables {PREFIX}… make no valid configuration: {message}")]
    Environment { message: String },
    #[error("{0}")]
    Rule(&'static str),
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
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
        };
        // First the file alone, so that its mistakes are told with their line.
        let wrong = |e: toml::de::Error| ConfigError::File { path: path.to_owned(), message: e.to_string() };
        toml::from_str::<Self>(&text).map_err(wrong)?;
        let mut table: toml::Table = toml::from_str(&text).map_err(wrong)?;
        for (name, value) in variables {
            if let Some(key) = name.strip_prefix(PREFIX)
                && let Some((section, key)) = key.split_once("__")
            {
                let section = table.entry(section.to_lowercase()).or_insert_with(|| toml::Table::new().into());
                if let Some(section) = section.as_table_mut() {
                    section.insert(key.to_lowercase(), from_variable(&value));
                }
            }
        }
        let config: Self =
            table.try_into().map_err(|e| ConfigError::Environment { message: e.message().to_owned() })?;
        config.validate()
    }

    fn validate(self) -> Result<Self, ConfigError> {
        if self.gateway.connections_max == 0 {
            return Err(ConfigError::Rule("[gateway] connections_max must be at least 1"));
        }
        if self.accounts.server_password.as_ref().is_some_and(|password| !(1..=256).contains(&password.len())) {
            return Err(ConfigError::Rule("[accounts] server_password must have 1 to 256 bytes"));
        }
        if !(1..=endtoend_protocol::limits::WORK_BITS_MAX).contains(&self.limits.work_bits) {
            return Err(ConfigError::Rule("[limits] work_bits must be 1 to 24"));
        }
        if self.storage.data.as_os_str().is_empty() {
            return Err(ConfigError::Rule("[storage] data must name a directory"));
        }
        Ok(self)
    }
}

/// What TOML would make of the text, and a plain string otherwise: `8`, `true`, `["a", "b"]`, `/var/lib`.
fn from_variable(text: &str) -> toml::Value {
    let assignment = format!("value = {text}");
    toml::from_str::<toml::Table>(&assignment)
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(Some(file.path()), variables)
    }

    #[test]
    fn an_empty_file_gives_the_defaults_and_loopback() {
        let config = load("", &[]).unwrap();
        assert_eq!(config, Config::default());
        assert!(config.gateway.listen.ip().is_loopback());
    }

    #[test]
    fn a_variable_overrides_the_file() {
        let variables = [
            ("ENDTOEND_GATEWAY__LISTEN", "127.0.0.1:9"),
            ("ENDTOEND_GATEWAY__NAMES", r#"["a.example", "b.example"]"#),
            ("ENDTOEND_STORAGE__DATA", "/var/lib/endtoend"),
            ("ENDTOEND_GATEWAY__CONNECTIONS_MAX", "7"),
            ("UNRELATED", "x"),
        ];
        let config = load("[gateway]\nlisten = \"127.0.0.1:8\"\n", &variables).unwrap();
        assert_eq!(config.gateway.listen.port(), 9);
        assert_eq!(config.gateway.names, ["a.example", "b.example"]);
        assert_eq!(config.gateway.connections_max, 7);
        assert_eq!(config.storage.data, Path::new("/var/lib/endtoend"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = load("[gateway]\n\nlissten = \"127.0.0.1:8\"\n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("lissten"), "{error}");
        assert!(matches!(load("", &[("ENDTOEND_GATEWAY__LISSTEN", "x")]), Err(ConfigError::Environment { .. })));
    }

    #[test]
    fn rules_across_fields_are_checked_before_anything_starts() {
        assert!(matches!(load("[gateway]\nconnections_max = 0\n", &[]), Err(ConfigError::Rule(_))));
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let missing = Config::load(Some(Path::new("/nonexistent/endtoend.toml")), []);
        assert!(matches!(missing, Err(ConfigError::Read { .. })));
    }
}
