//! What a script has answered, field by field.

use redis::Value;

use crate::claims::{DeviceName, Epoch};

/// The fields of an answer that are not read yet.
pub(super) struct Answer(std::vec::IntoIter<Value>);

/// One of them.
pub(super) enum Field {
    Number(i64),
    Text(String),
    List(Vec<Value>),
}

impl Answer {
    /// An answer that is no list has no field.
    pub(super) fn new(answer: Value) -> Self {
        match answer {
            Value::Array(fields) => Self(fields.into_iter()),
            _ => Self(Vec::new().into_iter()),
        }
    }

    pub(super) fn next(&mut self) -> Option<Field> {
        match self.0.next()? {
            Value::Int(number) => Some(Field::Number(number)),
            Value::BulkString(bytes) => String::from_utf8(bytes).ok().map(Field::Text),
            Value::SimpleString(text) => Some(Field::Text(text)),
            Value::Array(fields) => Some(Field::List(fields)),
            _ => None,
        }
    }

    pub(super) fn number(&mut self) -> Option<i64> {
        match self.next()? {
            Field::Number(number) => Some(number),
            Field::Text(_) | Field::List(_) => None,
        }
    }

    pub(super) fn text(&mut self) -> Option<String> {
        match self.next()? {
            Field::Text(text) => Some(text),
            Field::Number(_) | Field::List(_) => None,
        }
    }

    pub(super) fn list(&mut self) -> Option<Self> {
        match self.next()? {
            Field::List(fields) => Some(Self(fields.into_iter())),
            Field::Number(_) | Field::Text(_) => None,
        }
    }

    pub(super) fn epoch(&mut self) -> Option<Epoch> {
        self.text()?.parse().ok().map(Epoch)
    }
}

pub(super) fn device(text: &str) -> Option<DeviceName> {
    let mut name = [0; 16];
    hex::decode_to_slice(text, &mut name).ok()?;
    Some(DeviceName(name))
}
