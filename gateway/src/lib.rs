//! The Endtoend server.
//!
//! It only ever holds ciphertext: no crate that could open a message is linked. A message comes in through a
//! `connection`, is sent on its way by the `router`, waits in a `mailbox` or in the store behind the
//! `queue_writer`, and leaves through another connection. docs/life-of-a-message.md follows one.
//!
//! Rules are plain types; actix appears in files called `actor.rs`, in the messages they exchange, and in [`node`],
//! which puts the parts together.

mod actors;
mod admin;
mod backup;
mod blobs;
mod child;
pub mod clock;
pub mod commands;
pub mod config;
mod connection;
mod course;
pub mod demo;
mod dev_cluster;
mod directory;
mod edge;
mod elsewhere;
mod health;
mod letter;
pub mod limits;
mod mailbox;
mod memory;
mod metrics;
pub mod node;
mod onion;
mod queue_writer;
mod receipt;
mod router;
mod services;
mod sessions;
#[cfg(test)]
mod simulation;
mod tunnel;
