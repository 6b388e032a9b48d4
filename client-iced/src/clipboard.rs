//! Rules: what may be used against a person leaves the clipboard after a while, unless something else was put there since.

use std::time::Duration;

use endtoend_protocol::UnixMillis;

/// How long it stays.
pub const STAYS: Duration = Duration::from_secs(60);

/// Tells whether the clipboard has what was put there, without keeping that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Trace([u8; 32]);

impl Trace {
    /// Of what is put there.
    pub fn of(text: &str) -> Self {
        Self(blake3::derive_key("endtoend 2026 clipboard", text.as_bytes()))
    }

    /// Whether this is it.
    pub fn is_of(&self, text: &str) -> bool {
        *self == Self::of(text)
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trace(..)")
    }
}

/// What is to be cleared, and when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clearing(Option<(Trace, UnixMillis)>);

impl Clearing {
    /// Something was put there.
    pub fn copied(&mut self, text: &str, now: UnixMillis) {
        self.0 = Some((Trace::of(text), now.plus(STAYS)));
    }

    /// Something else was put there by this program, which may stay.
    pub fn forget(&mut self) {
        self.0 = None;
    }

    /// Time has passed: what is to be cleared now, if it is still there.
    pub fn due(&mut self, now: UnixMillis) -> Option<Trace> {
        let (trace, _) = self.0.take_if(|(_, at)| now.get() >= at.get())?;
        Some(trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_cleared_once_and_not_before_its_time() {
        let (mut clearing, now) = (Clearing::default(), UnixMillis::new(1_000_000));
        assert_eq!(clearing.due(now), None);
        clearing.copied("endtoend://secret", now);
        assert_eq!(clearing.due(now.plus(STAYS - Duration::from_millis(1))), None);
        let trace = clearing.due(now.plus(STAYS)).unwrap();
        assert!(trace.is_of("endtoend://secret") && !trace.is_of("something else"));
        assert_eq!(clearing.due(now.plus(STAYS)), None);
    }

    #[test]
    fn what_replaces_it_has_its_own_time_or_stays() {
        let (mut clearing, now) = (Clearing::default(), UnixMillis::new(1_000_000));
        clearing.copied("one", now);
        clearing.copied("two", now.plus(STAYS / 2));
        assert_eq!(clearing.due(now.plus(STAYS)), None);
        assert!(clearing.due(now.plus(STAYS * 2)).unwrap().is_of("two"));
        clearing.copied("three", now);
        clearing.forget();
        assert_eq!(clearing.due(now.plus(STAYS)), None);
        assert_eq!(format!("{:?}", Trace::of("x")), "Trace(..)");
    }
}
