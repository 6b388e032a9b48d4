//! What a node says of itself to the others, when an operator asks one of them how all are.
//!
//! Asked over the links like a question of the control plane, whose questions begin with their version, which is 1.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use endtoend_cluster::control::Control;
use endtoend_cluster::{AnswerError, Answers, Calls, NodeId};
use serde::{Deserialize, Serialize};

use crate::node::open::OpenConnections;

/// The question. What a node does not know it refuses, so an older one says nothing of itself.
const QUESTION: &[u8] = b"\xe5report";
/// An answer that takes longer is not waited for.
const DEADLINE: Duration = Duration::from_secs(1);

/// What only the node itself knows. Fields are only ever added, and unknown ones passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Report {
    /// Of clients.
    pub(crate) connections: u64,
}

/// Answers for this node, and hands on what is for its control plane.
pub(crate) struct Reports {
    control: Arc<Control>,
    open: OpenConnections,
}

impl std::fmt::Debug for Reports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reports")
    }
}

impl Reports {
    pub(super) const fn new(control: Arc<Control>, open: OpenConnections) -> Self {
        Self { control, open }
    }

    /// Of this node.
    pub(crate) fn own(&self) -> Report {
        Report { connections: self.open.count() as u64 }
    }

    /// Of another one, if it answers.
    pub(crate) async fn of(&self, node: NodeId, calls: &impl Calls) -> Option<Report> {
        let answer = calls.call(node, Bytes::from_static(QUESTION), DEADLINE).await.ok()?;
        serde_json::from_slice(&answer).ok()
    }
}

#[async_trait]
impl Answers for Reports {
    async fn answer(&self, from: NodeId, question: Bytes) -> Result<Bytes, AnswerError> {
        if question != QUESTION {
            return self.control.answer(from, question).await;
        }
        // The link has proved that it is a member.
        serde_json::to_vec(&self.own()).map(Bytes::from).map_err(|_| AnswerError::Malformed)
    }
}
