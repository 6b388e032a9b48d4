//! What a node counts, and the text in which it tells.
//!
//! Parts of the node tell [`Metrics`] what happens, with one thin call for each event; what can be read where it is kept is
//! read when somebody asks ([`Levels`]). Names, helps and buckets are in `exposition`; docs/operating.md, "Series", has them
//! as a table, which a test compares. No label has a value that a client chose.
//!
//! Plain atomics and not the `metrics` crate: docs/measurements.md, "Counting".

mod events;
mod exposition;
mod kinds;
mod levels;
mod text;

pub(crate) use events::{Metrics, Presence, Present, Step, StoreCall, Swept};
pub(crate) use kinds::{Label, Share, label};
pub(crate) use levels::{ClusterLevels, Levels, ProcessLevels};
pub(crate) use text::CONTENT_TYPE;
