//! Values as they may be shown: a password inside an address is left out.

use serde_json::Value;

const HIDDEN: &str = "***";

/// `scheme://user:password@host/path?password=…` with its passwords replaced, wherever it stands in the text.
pub(super) fn redacted(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let (address, tail) = after.split_at(after.find(ends).unwrap_or(after.len()));
        // The last `@` before the path ends the user's part: passwords are seen with bare `@`, `/`, `?` in them.
        let (authority, query) = match address.rsplit_once('@') {
            Some((user, host)) => {
                let user = user.split_once(':').map_or(user, |(name, _)| name);
                (format!("{user}:{HIDDEN}@"), host)
            }
            None => (String::new(), address),
        };
        shown.push_str(&authority);
        shown.push_str(&without_passwords(query));
        rest = tail;
    }
    shown.push_str(rest);
    shown
}

fn without_passwords(address: &str) -> String {
    let Some((path, query)) = address.split_once('?') else { return address.to_owned() };
    let hidden: Vec<_> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if name.to_lowercase().contains("pass") => format!("{name}={HIDDEN}"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{path}?{}", hidden.join("&"))
}

/// The same for every text inside a value.
pub(super) fn redacted_value(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(redacted(text)),
        Value::Array(values) => values.iter().map(redacted_value).collect(),
        Value::Object(values) => {
            Value::Object(values.iter().map(|(name, value)| (name.clone(), redacted_value(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        for (text, shown) in [
            ("postgres://user:hunter2@db/x", "postgres://user:***@db/x"),
            ("bad \"postgres://u:a@b:/c?@db/x\" there", "bad \"postgres://u:***@db/x\" there"),
            ("postgres://db/x?sslmode=require&password=hunter2", "postgres://db/x?sslmode=require&password=***"),
            ("redis://:hunter2@cache", "redis://:***@cache"),
            ("127.0.0.1:8443", "127.0.0.1:8443"),
            ("https://example.org/a?b=c", "https://example.org/a?b=c"),
        ] {
            assert_eq!(redacted(text), shown);
        }
        let nested = serde_json::json!({ "urls": ["redis://:hunter2@cache"] });
        assert!(!redacted_value(&nested).to_string().contains("hunter2"));
    }
}
