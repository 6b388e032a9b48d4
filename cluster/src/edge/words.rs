//! What an edge and a node say to each other. Frames are those of links: a length and postcard; enums are append-only.

use serde::{Deserialize, Serialize};

use super::{BadNews, EdgeNews};

/// All that an edge may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum EdgeQuestion {
    /// Tell me what there is, and what changes, until I go.
    Follow,
}

/// What it hears.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum EdgeAnswer {
    /// [`EdgeNews`], encoded: at once, and after each change.
    News(Vec<u8>),
    /// Nothing has changed.
    Still {
        /// Whether the node hears a leader. One that hears none may not know the newest.
        led: bool,
    },
    /// Not for edges. The connection is closed.
    Refused,
}

impl EdgeQuestion {
    /// # Errors
    /// When it is no question that an edge may ask.
    pub fn decode(frame: &[u8]) -> Result<Self, BadNews> {
        match postcard::take_from_bytes(frame) {
            Ok((question, [])) => Ok(question),
            _ => Err(BadNews),
        }
    }
}

impl EdgeAnswer {
    /// # Errors
    /// When it is no answer that this program knows.
    pub fn decode(frame: &[u8]) -> Result<Self, BadNews> {
        match postcard::take_from_bytes(frame) {
            Ok((answer, [])) => Ok(answer),
            _ => Err(BadNews),
        }
    }

    /// The news in it.
    pub(crate) fn news(news: &EdgeNews) -> Self {
        Self::News(news.encode())
    }
}
