//! Rules: what a device that hears another can tell about what it does not hear.
//!
//! The sending device numbers and chains everything that it says to one receiving device, inside the ratchet, where no server
//! sees it or can forge it. [`Incoming`] is what the receiver knows of one chain, and [`Finding`] what a message shows about
//! those before it: missing ones, late ones, and a sender who has gone back to an older state.
//!
//! Knows neither bytes on the wire nor a database nor a clock. What is told to a person, and when, is the engine's.

mod codec;
mod incoming;

#[cfg(test)]
mod simulation;

pub use incoming::{Finding, Incoming, MISSING_MAX, SEEN_MAX};
