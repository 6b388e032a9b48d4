//! What a connection asks for beside messages: accounts and keys. No actix here.

mod accounts;

pub(crate) use accounts::{Accounts, Login, Peer, Registration};
