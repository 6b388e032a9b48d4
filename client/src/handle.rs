//! The name by which people call each other: 3 to 32 characters of any alphabet.

pub use endtoend_crypto_core::handle::{BadHandle, HANDLE_CHARS_MAX, HANDLE_CHARS_MIN, Handle};
