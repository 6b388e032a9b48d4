//! From what a database reports to what a caller is told.

use std::fmt;

use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

use crate::{StoreError, postgres, sqlite};

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Damaged { what: "column" },
            sqlx::Error::Database(reported) => {
                if reported.try_downcast_ref::<SqliteError>().is_some_and(sqlite::is_damage) {
                    return Self::Damaged { what: "file" };
                }
                match reported.try_downcast_ref::<PgDatabaseError>() {
                    Some(reported) if postgres::is_damage(reported) => Self::Damaged { what: "database" },
                    Some(reported) => Self::Unavailable(Box::new(Reported::from(reported))),
                    None => Self::Unavailable(Box::new(error)),
                }
            }
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}

/// What a PostgreSQL server has said, without the details, which quote values of the row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    /// SQLSTATE.
    pub(crate) code: String,
    message: String,
}

impl From<&PgDatabaseError> for Reported {
    fn from(error: &PgDatabaseError) -> Self {
        Self { code: error.code().into(), message: error.message().into() }
    }
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)
    }
}

impl std::error::Error for Reported {}
