//! What no file of the folder can test alone.

mod conformance;
mod one_holder;
mod redis;
