//! Calls within one process, whose ways can be cut one by one: for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Answers, CALL_BYTES_MAX, CallError, Calls};
use crate::NodeId;

/// A network of nodes in one process. A clone is the same network.
#[derive(Clone, Default)]
pub struct InMemory(Arc<Mutex<Net>>);

#[derive(Default)]
struct Net {
    // Weak: the network must not keep a node alive that was shut down.
    nodes: BTreeMap<NodeId, Weak<dyn Answers>>,
    /// Ways that lose what is sent on them: (from, to).
    cut: BTreeSet<(NodeId, NodeId)>,
}

impl InMemory {
    fn net(&self) -> MutexGuard<'_, Net> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `node` be called. A later one of the same name takes its place.
    pub fn attach(&self, node: NodeId, answers: &Arc<dyn Answers>) {
        self.net().nodes.insert(node, Arc::downgrade(answers));
    }

    /// Takes `node` off: calls to it have no link.
    pub fn detach(&self, node: NodeId) {
        self.net().nodes.remove(&node);
    }

    /// From now on what `from` sends to `to` is lost, questions and answers alike; the other way is as it was.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.net().cut.insert((from, to));
    }

    /// Cuts all ways between `node` and everybody else, both ways.
    pub fn isolate(&self, node: NodeId) {
        let mut net = self.net();
        let others: Vec<NodeId> = net.nodes.keys().copied().filter(|other| *other != node).collect();
        for other in others {
            net.cut.insert((node, other));
            net.cut.insert((other, node));
        }
    }

    /// All ways are whole again.
    pub fn heal(&self) {
        self.net().cut.clear();
    }

    /// What `node` calls others with.
    pub fn calls_of(&self, node: NodeId) -> Arc<dyn Calls> {
        Arc::new(Way { from: node, net: self.clone() })
    }

    /// Whether what `from` sends to `to` is lost.
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.net().cut.contains(&(from, to))
    }
}

/// One node's end.
struct Way {
    from: NodeId,
    net: InMemory,
}

#[async_trait]
impl Calls for Way {
    async fn call(&self, to: NodeId, question: Bytes, deadline: Duration) -> Result<Bytes, CallError> {
        if question.len() > CALL_BYTES_MAX {
            return Err(CallError::TooLong { len: question.len() });
        }
        let answers = self.net.net().nodes.get(&to).and_then(Weak::upgrade).ok_or(CallError::NoLink(to))?;
        let answered = async {
            if self.net.is_cut(self.from, to) {
                std::future::pending::<()>().await;
            }
            let answer = answers.answer(self.from, question).await;
            if self.net.is_cut(to, self.from) {
                std::future::pending::<()>().await;
            }
            answer.map_err(|_| CallError::Refused(to))
        };
        tokio::time::timeout(deadline, answered).await.unwrap_or(Err(CallError::Unanswered(to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::AnswerError;

    /// Says who asked, and does not speak with node 9.
    struct Echo;

    #[async_trait]
    impl Answers for Echo {
        async fn answer(&self, from: NodeId, question: Bytes) -> Result<Bytes, AnswerError> {
            if from == NodeId::new(9) { Err(AnswerError::NotAMember(from)) } else { Ok(question) }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_way_that_is_cut_loses_what_is_sent_on_it() {
        let net = InMemory::default();
        let echo: Arc<dyn Answers> = Arc::new(Echo);
        let [one, two, stranger] = [1, 2, 9].map(NodeId::new);
        let ask = |from: NodeId, to: NodeId| {
            let calls = net.calls_of(from);
            async move { calls.call(to, Bytes::from_static(b"?"), Duration::from_secs(1)).await }
        };
        assert_eq!(ask(one, two).await, Err(CallError::NoLink(two)));
        net.attach(one, &echo);
        net.attach(two, &echo);
        assert_eq!(ask(one, two).await, Ok(Bytes::from_static(b"?")));
        assert_eq!(ask(stranger, two).await, Err(CallError::Refused(two)));
        net.cut(two, one);
        assert_eq!(ask(one, two).await, Err(CallError::Unanswered(two)), "the answer is lost");
        net.heal();
        net.isolate(one);
        assert_eq!(ask(one, two).await, Err(CallError::Unanswered(two)));
        assert_eq!(ask(two, one).await, Err(CallError::Unanswered(one)));
        net.heal();
        assert_eq!(ask(two, one).await, Ok(Bytes::from_static(b"?")));
        let long = net.calls_of(one).call(two, vec![0; CALL_BYTES_MAX + 1].into(), Duration::from_secs(1)).await;
        assert_eq!(long, Err(CallError::TooLong { len: CALL_BYTES_MAX + 1 }));
        drop(echo);
        assert_eq!(ask(two, one).await, Err(CallError::NoLink(one)), "a node that has ended");
    }
}
