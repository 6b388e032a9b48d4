//! Against real TLS servers on loopback.
#![expect(clippy::disallowed_types, reason = "tests play servers and proxies")]

mod fixture;
mod frames;
mod reach;
mod trust;
mod ways;
