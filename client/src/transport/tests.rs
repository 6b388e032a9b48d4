//! Against real TLS servers on loopback.

mod fixture;
mod frames;
mod reach;
mod trust;
