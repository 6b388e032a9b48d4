//! One connection to Redis, which is made anew whenever it is lost, and left alone while it does not answer.

mod breaker;
mod connection;

pub use connection::{Away, Greeting, NotGreeted, SharedRedis};
