//! Where a database is, and what may be shown of it.

use std::fmt;
use std::str::FromStr;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Parameters that are understood. Of an unknown one sqlx would log the value, which may be a password gone astray.
const PARAMETERS: [&str; 16] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "options",
];

/// A URL like `postgres://user@host:port/database`. What is missing comes from libpq's environment (`PGHOST`, …), the
/// password from `PGPASSWORD` or the file `PGPASSFILE`. `Debug` and `Display` show no password.
///
/// To another machine the connection is encrypted and the server's certificate and name are checked, unless `sslmode`
/// says `disable`, `require` or `verify-ca`: `prefer` and `allow`, which an attacker can talk out of it, count as
/// nothing said.
#[derive(Clone)]
pub struct ConnectionUrl(PgConnectOptions);

/// Why a text is not a connection URL. Does not quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It begins with something else.
    #[error("a connection URL begins with postgres://")]
    Scheme,
    /// It names something unknown after the question mark.
    #[error("the connection URL has an unknown parameter: known are {}", PARAMETERS.join(", "))]
    Parameter,
    /// Anything else.
    #[error(
        "the connection URL cannot be read: it looks like postgres://user@host:port/database, with special characters as %XX"
    )]
    Unreadable,
}

impl FromStr for ConnectionUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(InvalidUrl::Scheme);
        }
        let (_, query) = text.split_once('?').unwrap_or_default();
        let known = |pair: &str| PARAMETERS.contains(&pair.split('=').next().unwrap_or_default());
        if !query.split('&').filter(|pair| !pair.is_empty()).all(known) {
            return Err(InvalidUrl::Parameter);
        }
        let options: PgConnectOptions = text.parse().map_err(|_| InvalidUrl::Unreadable)?;
        let options = match options.get_ssl_mode() {
            PgSslMode::Prefer | PgSslMode::Allow if !is_local(&options) => options.ssl_mode(PgSslMode::VerifyFull),
            _ => options,
        };
        Ok(Self(options.disable_statement_logging()))
    }
}

impl ConnectionUrl {
    pub(super) fn options(&self) -> PgConnectOptions {
        self.0.clone()
    }
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&host)
}

impl fmt::Display for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(options) = self;
        let (user, host, port) = (options.get_username(), options.get_host(), options.get_port());
        let database = options.get_database().unwrap_or(user);
        match options.get_socket() {
            Some(socket) => write!(f, "postgres://{user}@{}:{port}/{database}", socket.display()),
            None => write!(f, "postgres://{user}@{host}:{port}/{database}"),
        }
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for text in [
            "postgres://alice:hunter2@db.example:5433/e2e",
            "postgresql://alice@db.example:5433/e2e?password=hunter2",
            "postgres://alice:%68unter2@db.example:5433/e2e",
        ] {
            let url: ConnectionUrl = text.parse().expect("a URL");
            assert_eq!(url.to_string(), "postgres://alice@db.example:5433/e2e");
            assert_eq!(format!("{url:?}"), "ConnectionUrl(postgres://alice@db.example:5433/e2e)");
        }
    }

    #[test]
    fn what_is_not_read_is_not_quoted() {
        for (text, expected) in [
            ("mysql://alice:hunter2@host/db", InvalidUrl::Scheme),
            ("alice:hunter2@host", InvalidUrl::Scheme),
            ("postgres://alice@host/db?pasword=hunter2", InvalidUrl::Parameter),
            ("postgres://alice@host/db?sslmode=hunter2", InvalidUrl::Unreadable),
            ("postgres://alice:hunter2@host:port/db", InvalidUrl::Unreadable),
        ] {
            let refused = text.parse::<ConnectionUrl>().expect_err("refused");
            assert_eq!(refused, expected, "{text}");
            assert!(!format!("{refused} {refused:?}").contains("hunter2"));
        }
    }

    #[test]
    fn another_machine_must_show_its_certificate() {
        let mode = |text: &str| format!("{:?}", text.parse::<ConnectionUrl>().expect("a URL").0.get_ssl_mode());
        for (text, expected) in [
            ("postgres://alice@db.example/e2e", "VerifyFull"),
            ("postgres://alice@db.example/e2e?sslmode=prefer", "VerifyFull"),
            ("postgres://alice@db.example/e2e?sslmode=disable", "Disable"),
            ("postgres://alice@db.example/e2e?sslmode=verify-ca", "VerifyCa"),
            ("postgres://alice@127.0.0.1/e2e", "Prefer"),
            ("postgres://alice@%2Frun%2Fpostgresql/e2e", "Prefer"),
        ] {
            assert_eq!(mode(text), expected, "{text}");
        }
    }
}
