//! Rows on their way, and what is remembered of them.

use std::fmt;

/// A value of a column. `Debug` shows no bytes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Integer(Option<i64>),
    Bytes(Option<Vec<u8>>),
    Text(Option<String>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(..)")
    }
}

impl Value {
    fn bytes(&self) -> u64 {
        let length = match self {
            Self::Integer(value) => value.map_or(0, |_| size_of::<i64>()),
            Self::Bytes(value) => value.as_ref().map_or(0, Vec::len),
            Self::Text(value) => value.as_ref().map_or(0, String::len),
        };
        length as u64
    }
}

/// A row, its columns in the order of the table's description.
pub(crate) type Record = Vec<Value>;

/// How long the values of a row are in all.
pub(crate) fn bytes_of(record: &Record) -> u64 {
    record.iter().map(Value::bytes).sum()
}

/// Rows of a table, counted and hashed in the order of their key: BLAKE3 over, for each value, a byte (0 for none, 1, 2, 3 for
/// its kind), its length as le64, and itself, integers as le64.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    rows: u64,
    hasher: blake3::Hasher,
}

impl Tally {
    pub(crate) fn add(&mut self, record: &Record) {
        self.rows += 1;
        for value in record {
            match value {
                Value::Integer(Some(value)) => self.value(1, &value.to_le_bytes()),
                Value::Bytes(Some(value)) => self.value(2, value),
                Value::Text(Some(value)) => self.value(3, value.as_bytes()),
                Value::Integer(None) | Value::Bytes(None) | Value::Text(None) => self.value(0, &[]),
            }
        }
    }

    fn value(&mut self, kind: u8, bytes: &[u8]) {
        self.hasher.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }

    pub(crate) fn finish(self) -> (u64, [u8; 32]) {
        (self.rows, *self.hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_tells_values_apart() {
        let tally = |records: &[Record]| {
            let mut tally = Tally::default();
            records.iter().for_each(|record| tally.add(record));
            tally.finish()
        };
        let bytes = |bytes: &[u8]| Value::Bytes(Some(bytes.to_vec()));
        let all = [
            tally(&[]),
            tally(&[vec![bytes(b"ab"), bytes(b"c")]]),
            tally(&[vec![bytes(b"a"), bytes(b"bc")]]),
            tally(&[vec![bytes(b"a")], vec![bytes(b"bc")]]),
            tally(&[vec![bytes(b"")]]),
            tally(&[vec![Value::Bytes(None)]]),
            tally(&[vec![Value::Text(Some(String::new()))]]),
            tally(&[vec![Value::Integer(Some(0))]]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|other| other != one), "{at}");
        }
    }

    #[test]
    fn no_byte_is_shown() {
        assert_eq!(format!("{:?}", Value::Text(Some("hunter2".to_owned()))), "Value(..)");
    }
}
