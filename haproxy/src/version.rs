//! Which HAProxy it is, and what that one can do while it runs.

use std::fmt;

/// `2.6` of `2.6.12-1+deb12u4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
}

/// What a running HAProxy can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Servers can be added and deleted: from 2.6 on, with checks and slow start. Before that, it is a reload.
    pub servers: bool,
}

impl Version {
    /// The oldest one that an edge runs on: before it, health checks of new servers are experimental.
    pub const OLDEST: Self = Self { major: 2, minor: 4 };

    /// Of the text in `show info` or `haproxy -v`: the first two numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next()?.parse().ok();
        Some(Self { major: next()?, minor: next()? })
    }

    /// What it can.
    pub fn capabilities(self) -> Capabilities {
        let since = |major, minor| self >= Self { major, minor };
        Capabilities { servers: since(2, 6) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_numbers_and_newer_ones_can_more() {
        let can = |text| Version::parse(text).map(|version| (version.to_string(), version.capabilities()));
        let capabilities = |servers| Capabilities { servers };
        assert_eq!(can("2.4.22-f8e3218"), Some(("2.4".to_owned(), capabilities(false))));
        assert_eq!(can("2.6.12-1+deb12u4"), Some(("2.6".to_owned(), capabilities(true))));
        assert_eq!(can("2.8.3"), Some(("2.8".to_owned(), capabilities(true))));
        assert_eq!(can("3.2-dev5"), Some(("3.2".to_owned(), capabilities(true))));
        assert_eq!([can(""), can("x"), can("3"), can("99999999.1")], [None, None, None, None]);
    }
}
