//! What a store consists of, in an order in which every row comes after those that it refers to.
//!
//! A test compares this with the tables that there are, so that no migration is forgotten here.

use Kind::{Bytes, Integer, Text};

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Bytes,
    Text,
}

/// Where the numbers in the first column come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// From the node, or there are none.
    Node,
    /// From the database, which may give one again whose row is gone.
    Database,
    /// From the database, which gives none twice.
    DatabaseOnce,
}

/// A table, by whose key all its rows can be read page by page.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Those of the key come first.
    pub(crate) columns: &'static [(&'static str, Kind)],
    /// How many columns are the key.
    pub(crate) key: usize,
    pub(crate) numbers: Numbers,
}

/// It has one row from its beginning on.
pub(crate) const AUDIT_ENDS: &str = "audit_ends";

/// All tables but the migrator's, and `cluster`, which says whose database this is and not what is in it.
pub(crate) static TABLES: [Table; 13] = [
    Table {
        name: "accounts",
        columns: &[
            ("tag", Bytes),
            ("identity_key", Bytes),
            ("opaque_record", Bytes),
            ("created_at", Integer),
            ("disabled_at", Integer),
            ("devices_version", Integer),
            ("last_device", Integer),
            ("backup", Bytes),
        ],
        key: 1,
        numbers: Numbers::Node,
    },
    Table {
        name: "devices",
        columns: &[
            ("id", Integer),
            ("tag", Bytes),
            ("device", Integer),
            ("device_key", Bytes),
            ("registration_id", Integer),
            ("signed_pre_key_id", Integer),
            ("signed_pre_key_public", Bytes),
            ("signed_pre_key_signature", Bytes),
            ("last_resort_id", Integer),
            ("last_resort_public", Bytes),
            ("last_resort_signature", Bytes),
            ("envelope_key_id", Integer),
            ("envelope_key_x25519", Bytes),
            ("envelope_key_ml_kem", Bytes),
            ("envelope_key_signature", Bytes),
            ("name", Bytes),
            ("added_at", Integer),
            ("active_at", Integer),
        ],
        key: 1,
        numbers: Numbers::Database,
    },
    Table {
        name: "one_time_pre_keys",
        columns: &[
            ("position", Integer),
            ("device_row", Integer),
            ("kind", Integer),
            ("key_id", Integer),
            ("public", Bytes),
            ("signature", Bytes),
        ],
        key: 1,
        numbers: Numbers::DatabaseOnce,
    },
    Table {
        name: "queue",
        columns: &[
            ("seq", Integer),
            ("device_row", Integer),
            ("envelope_id", Bytes),
            ("accepted_at", Integer),
            ("expires_at", Integer),
            ("body", Bytes),
            ("tray", Integer),
        ],
        key: 1,
        numbers: Numbers::DatabaseOnce,
    },
    Table {
        name: "queue_depths",
        columns: &[("device_row", Integer), ("queue_depth", Integer), ("request_depth", Integer)],
        key: 1,
        numbers: Numbers::Node,
    },
    Table {
        name: "families",
        columns: &[
            ("id", Bytes),
            ("device_row", Integer),
            ("generation", Integer),
            ("token_hash", Bytes),
            ("previous_hash", Bytes),
            ("created_at", Integer),
            ("refreshed_at", Integer),
            ("expires_at", Integer),
        ],
        key: 1,
        numbers: Numbers::Node,
    },
    Table {
        name: "invites",
        columns: &[
            ("hash", Bytes),
            ("note", Text),
            ("uses_max", Integer),
            ("uses_left", Integer),
            ("created_at", Integer),
            ("expires_at", Integer),
        ],
        key: 1,
        numbers: Numbers::Node,
    },
    Table {
        name: "relations",
        columns: &[("owner", Bytes), ("pair", Bytes), ("kind", Integer)],
        key: 2,
        numbers: Numbers::Node,
    },
    Table {
        name: "links",
        columns: &[
            ("id", Bytes),
            ("offer", Bytes),
            ("account", Bytes),
            ("sealed", Bytes),
            ("secret_hash", Bytes),
            ("expires_at", Integer),
        ],
        key: 1,
        numbers: Numbers::Node,
    },
    Table {
        name: "blobs",
        columns: &[
            ("id", Bytes),
            ("secret_hash", Bytes),
            ("bytes", Integer),
            ("have", Integer),
            ("expires_at", Integer),
        ],
        key: 1,
        numbers: Numbers::Node,
    },
    Table { name: "budgets", columns: &[("owner", Bytes), ("spent_until", Integer)], key: 1, numbers: Numbers::Node },
    Table {
        name: "audit",
        columns: &[
            ("seq", Integer),
            ("at", Integer),
            ("account", Bytes),
            ("device", Integer),
            ("event", Text),
            ("outcome", Text),
            ("signals", Text),
            ("chain", Bytes),
        ],
        key: 1,
        numbers: Numbers::Node,
    },
    Table {
        name: AUDIT_ENDS,
        columns: &[
            ("id", Integer),
            ("last_seq", Integer),
            ("last_chain", Bytes),
            ("first_seq", Integer),
            ("first_chain", Bytes),
        ],
        key: 1,
        numbers: Numbers::Node,
    },
];

impl Table {
    /// The names of all columns, separated by commas.
    pub(crate) fn column_names(&self) -> String {
        names(self.columns.iter())
    }

    /// The names of the key's columns, separated by commas.
    pub(crate) fn key_names(&self) -> String {
        names(self.columns.iter().take(self.key))
    }

    /// The first column of the key, which has the numbers if there are any.
    pub(crate) fn number_name(&self) -> &'static str {
        self.columns.first().map_or("", |(name, _)| name)
    }
}

fn names<'a>(columns: impl Iterator<Item = &'a (&'static str, Kind)>) -> String {
    columns.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
