//! Between columns and values.

use bytes::Bytes;
use endtoend_protocol::UnixMillis;

use crate::StoreError;

/// Databases' integers are signed; a time beyond them is as good as the last one.
pub(crate) fn to_column(time: UnixMillis) -> i64 {
    i64::try_from(time.get()).unwrap_or(i64::MAX)
}

pub(crate) fn time(column: i64) -> Result<UnixMillis, StoreError> {
    u64::try_from(column).map(UnixMillis::new).map_err(|_| StoreError::Damaged { what: "time" })
}

pub(crate) fn number<T: TryFrom<i64>>(column: i64, what: &'static str) -> Result<T, StoreError> {
    T::try_from(column).map_err(|_| StoreError::Damaged { what })
}

pub(crate) fn array<const N: usize>(column: &[u8], what: &'static str) -> Result<[u8; N], StoreError> {
    column.try_into().map_err(|_| StoreError::Damaged { what })
}

pub(crate) fn bytes_of<const N: usize>(column: Vec<u8>, what: &'static str) -> Result<Bytes, StoreError> {
    if column.len() == N { Ok(Bytes::from(column)) } else { Err(StoreError::Damaged { what }) }
}
