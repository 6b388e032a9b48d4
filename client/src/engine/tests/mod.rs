//! Messages between two databases, then whole engines against a small node over real TLS.

mod blobs;
mod chains;
mod couriers;
mod early;
mod faces;
mod files;
mod introducing;
mod leaving;
mod lies;
mod linking;
mod lock;
mod messages;
mod node;
mod people;
mod removing;
mod repair;
mod rewiring;
mod rotation;
mod said;
mod wiring;

pub(super) use wiring::PATIENCE;
