//! A network of calls that are lost, late, doubled, and overtake each other. Ways that are cut are [`InMemory`]'s.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::chance;
use crate::NodeId;
use crate::calls::{AnswerError, Answers, CallError, Calls, InMemory};
use crate::control::Control;

/// How calls fare.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// Of 1000 questions, and of 1000 answers.
    pub(super) lost: u64,
    /// Most questions and answers take little of this, in ms.
    pub(super) late: u64,
    /// Of 1000 questions.
    pub(super) twice: u64,
}

impl Weather {
    fn delay(self) -> Duration {
        let share = chance::draw().unwrap_or_default().powi(4);
        // Nothing is faster than a millisecond, so that the world goes on.
        Duration::from_millis(1) + Duration::from_millis(self.late).mul_f64(share)
    }

    fn loses(self) -> bool {
        chance::per_mille(self.lost)
    }
}

/// The weather of all.
pub(super) type Sky = Arc<Mutex<Weather>>;

fn now(sky: &Sky) -> Weather {
    *sky.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Set when the process is no more.
pub(super) type Life = watch::Receiver<bool>;

pub(super) async fn end_of(mut life: Life) {
    let _ = life.wait_for(|ended| *ended).await;
}

/// What one run of a node calls others with.
pub(super) struct Way {
    pub(super) from: NodeId,
    pub(super) life: Life,
    pub(super) net: InMemory,
    pub(super) sky: Sky,
}

#[async_trait]
impl Calls for Way {
    async fn call(&self, to: NodeId, question: Bytes, deadline: Duration) -> Result<Bytes, CallError> {
        let (weather, calls) = (now(&self.sky), self.net.calls_of(self.from));
        let answered = async {
            sleep(weather.delay()).await;
            if *self.life.borrow() || weather.loses() {
                std::future::pending::<()>().await;
            }
            if chance::per_mille(weather.twice) {
                let (calls, question, later) = (self.net.calls_of(self.from), question.clone(), weather.delay());
                tokio::spawn(async move {
                    sleep(later).await;
                    let _ = calls.call(to, question, deadline).await;
                });
            }
            let answer = calls.call(to, question, deadline).await?;
            sleep(now(&self.sky).delay()).await;
            if *self.life.borrow() || weather.loses() {
                std::future::pending::<()>().await;
            }
            Ok(answer)
        };
        timeout(deadline, answered).await.unwrap_or(Err(CallError::Unanswered(to)))
    }
}

/// What one run of a node answers: it goes on when nobody waits any more, and says nothing when it has ended.
pub(super) struct Answering {
    pub(super) control: Arc<Control>,
    pub(super) life: Life,
}

#[async_trait]
impl Answers for Answering {
    async fn answer(&self, from: NodeId, question: Bytes) -> Result<Bytes, AnswerError> {
        let (control, life) = (Arc::clone(&self.control), self.life.clone());
        let working = tokio::spawn(async move {
            tokio::select! {
                biased;
                () = end_of(life) => std::future::pending().await,
                answer = control.answer(from, question) => answer,
            }
        });
        working.await.unwrap_or(Err(AnswerError::Stopped))
    }
}
