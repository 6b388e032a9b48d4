//! Links: the one connection between two nodes, and what they say on it.

pub mod wire;
