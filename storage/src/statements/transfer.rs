//! Whole tables, page by page.

use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Row as _};

use super::{Connection, Driver, Row};
use crate::StoreError;
use crate::transfer::{Kind, Record, Table, Value};

/// At most so many rows after this key, in the order of the key.
pub(super) async fn page(
    connection: &mut Connection,
    table: &Table,
    after: Option<Record>,
    rows: u32,
) -> Result<Vec<Record>, StoreError> {
    let key = table.key_names();
    let mut query = QueryBuilder::<Driver>::new(format!("SELECT {} FROM {}", table.column_names(), table.name));
    if let Some(after) = after {
        query.push(format_args!(" WHERE ({key}) > ("));
        let mut values = query.separated(", ");
        after.into_iter().for_each(|value| bind(&mut values, value));
        query.push(")");
    }
    query.push(format_args!(" ORDER BY {key} LIMIT {rows}"));
    let rows = query.build().fetch_all(connection).await?;
    rows.iter().map(|row| record(table, row)).collect()
}

/// All of them in one statement.
pub(super) async fn insert(connection: &mut Connection, table: &Table, rows: Vec<Record>) -> Result<(), StoreError> {
    let begin = format!("INSERT INTO {} ({}) ", table.name, table.column_names());
    let mut query = QueryBuilder::<Driver>::new(begin);
    query.push_values(rows, |mut values, record| record.into_iter().for_each(|value| bind(&mut values, value)));
    query.build().execute(connection).await?;
    Ok(())
}

pub(super) async fn clear(connection: &mut Connection, table: &Table) -> Result<(), StoreError> {
    QueryBuilder::<Driver>::new(format!("DELETE FROM {}", table.name)).build().execute(connection).await?;
    Ok(())
}

fn bind(values: &mut Separated<'_, Driver, &'static str>, value: Value) {
    match value {
        Value::Integer(value) => values.push_bind(value),
        Value::Bytes(value) => values.push_bind(value),
        Value::Text(value) => values.push_bind(value),
    };
}

fn record(table: &Table, row: &Row) -> Result<Record, StoreError> {
    let value = |(name, kind): &(&str, Kind)| {
        Ok(match kind {
            Kind::Integer => Value::Integer(row.try_get(*name)?),
            Kind::Bytes => Value::Bytes(row.try_get(*name)?),
            Kind::Text => Value::Text(row.try_get(*name)?),
        })
    };
    table.columns.iter().map(value).collect()
}
