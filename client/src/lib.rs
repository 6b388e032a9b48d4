//! The client without a screen: profile, transport, engine. Terminal and window are thin skins on it.
//!
//! | module | what it is |
//! |---|---|
//! | [`engine`] | commands in, events out: start reading here |
//! | [`profile`] | a folder that one password opens |
//! | [`database`] | what is kept in it |
//! | [`files`] | what lies beside it: files that are sent and fetched, sealed |
//! | [`pictures`] | pictures unpacked, and codes in them |
//! | [`backup`] | all of it in one file |
//! | [`chain`] | rules: which messages of a sender did not come |
//! | [`amend`], [`life`] | rules: who may change what in a conversation; when messages disappear |
//! | [`transport`] | the one place that opens sockets |
//! | [`address`], [`mod@handle`], [`nickname`] | how servers and people are called |
//! | [`contact_link`], [`card`] | a person as people pass him on; inside a conversation |
//! | [`face`] | how somebody shows himself: a name and a picture of his choice |
//! | [`backoff`], [`clock`] | when to try again; the one place that reads clocks |

pub mod address;
pub mod amend;
pub mod backoff;
pub mod backup;
pub mod card;
pub mod chain;
pub mod clock;
pub mod contact_link;
pub mod database;
pub mod engine;
pub mod face;
pub mod files;
pub mod handle;
pub mod life;
pub mod nickname;
pub mod pictures;
pub mod profile;
pub mod transport;
