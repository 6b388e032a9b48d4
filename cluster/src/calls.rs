//! Questions from one node to another, and their answers: what the control plane needs of the links.
//!
//! The control plane says only this trait and implements the other one, so that raft runs over TLS links in a node and in
//! memory in a test ([`InMemory`]).

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::NodeId;

mod in_memory;

pub use in_memory::InMemory;

/// Longest question and longest answer, in bytes: with its head it fits into a frame of a link.
pub const CALL_BYTES_MAX: usize = 1024 * 1024 - 1024;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing was sent. Ask another, or later.
    #[error("no link to node {0}")]
    NoLink(NodeId),
    /// The deadline has passed, or the link broke: the other side may have done what it was asked.
    #[error("no answer from node {0}")]
    Unanswered(NodeId),
    /// The other side does not answer us ([`AnswerError`]).
    #[error("node {0} refuses to answer")]
    Refused(NodeId),
    /// Longer than [`CALL_BYTES_MAX`]. Nothing was sent.
    #[error("a question of {len} bytes is too long")]
    TooLong {
        /// Of the question.
        len: usize,
    },
}

/// Why a question is not answered. The asking side gets [`CallError::Refused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Who asks is no member, as far as this node knows.
    #[error("node {0} is no member")]
    NotAMember(NodeId),
    /// Not a question of a version that this node speaks. The link may stay.
    #[error("not a question of the control plane")]
    Malformed,
    /// This node is about to end, or its log is damaged.
    #[error("the control plane has stopped")]
    Stopped,
}

/// The way to other nodes. Calls to one node may overtake each other.
#[async_trait]
pub trait Calls: Send + Sync + 'static {
    /// Asks `to`, and gives up after `deadline`, counted from now. Dropping the future gives up too.
    ///
    /// # Errors
    /// [`CallError`]. There are no repeats: the caller decides.
    async fn call(&self, to: NodeId, question: Bytes, deadline: Duration) -> Result<Bytes, CallError>;
}

/// What answers. The way from other nodes hands each question to it, with the name that the link has proved.
#[async_trait]
pub trait Answers: Send + Sync + 'static {
    /// The answer, of at most [`CALL_BYTES_MAX`] bytes. It may take as long as the asking side has patience: who carries
    /// questions bounds how many of one link are here at a time.
    ///
    /// # Errors
    /// [`AnswerError`].
    async fn answer(&self, from: NodeId, question: Bytes) -> Result<Bytes, AnswerError>;
}
