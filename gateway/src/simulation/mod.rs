//! A small world in which everything is decided by a seed: clients, a node that dies, a store that lies.
//!
//! It drives the real rules of the message path together (`Devices` and `Pending`, `GroupCommit` and `Ticket`, `Lanes`,
//! `Table`, `LiveMailboxes`, `Attachment`, `Receipt`, `Memory`) and plays the actors between them: their queues, and what
//! happens in which order. docs/testing.md says how it is used.

mod between;
mod chance;
mod client;
mod member;
mod node;
mod oracle;
mod store;
mod tests;
mod turns;
mod weather;
mod world;
