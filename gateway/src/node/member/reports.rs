//! What a node says of itself to the others, when an operator asks one of them how all are.
//!
//! Asked over the links like a question of the control plane, whose questions begin with their version, which is 1.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use endtoend_cluster::control::{ADDRESS_BYTES_MAX, Control};
use endtoend_cluster::edge::Offer;
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
    /// `HOST:PORT` where an edge reaches it, once it takes clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clients: Option<String>,
    /// `HOST:PORT` where an edge asks whether it is ready, if it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ready: Option<String>,
}

impl Report {
    /// What edges are told of it. What no address can be is none.
    pub(super) fn offer(self) -> Option<Offer> {
        let fits = |address: &String| address.len() <= ADDRESS_BYTES_MAX;
        let clients = self.clients.filter(fits)?;
        Some(Offer { clients, ready: self.ready.filter(fits) })
    }
}

/// Answers for this node, and hands on what is for its control plane.
pub(crate) struct Reports {
    control: Arc<Control>,
    open: OpenConnections,
    /// When it takes clients.
    offer: OnceLock<Offer>,
}

impl std::fmt::Debug for Reports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reports")
    }
}

impl Reports {
    pub(super) fn new(control: Arc<Control>, open: OpenConnections) -> Self {
        Self { control, open, offer: OnceLock::new() }
    }

    /// Of this node.
    pub(crate) fn own(&self) -> Report {
        let (clients, ready) = self.offer.get().cloned().map(|offer| (offer.clients, offer.ready)).unzip();
        Report { connections: self.open.count() as u64, clients, ready: ready.flatten() }
    }

    /// From now on edges may send clients here. To be called once.
    pub(super) fn open_for(&self, offer: Offer) {
        let _only_once = self.offer.set(offer);
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
