//! How a new node comes into a cluster: it asks a member, again and again, until an operator has decided.

use std::time::{Duration, Instant};

use endtoend_cluster::control::Refused;
use endtoend_cluster::join::{Admitted, BadAdmission, JoinRefusal, JoinReply, Profile, request};
use endtoend_cluster::link::{ConnectError, JoinConnection, Untrusted};
use endtoend_cluster::{BadKeys, JoinToken, NodeKeys};

use crate::clock;
use crate::node::serve::News;

/// Between two questions.
const ASK_EACH: Duration = Duration::from_millis(500);
/// For a connection, and for a question.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long a node may show another authority than the token names: one whose cluster has just replaced it, and that has not
/// heard yet.
const STRANGE_MAX: Duration = Duration::from_secs(30);

/// Which cluster a new node asks. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Joining {
    /// `HOST:PORT` of any member's `[cluster] listen`.
    pub seed: String,
    /// What an operator has made there.
    pub token: JoinToken,
}

/// Why a cluster did not take a new node. Each text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("{}", words(.0))]
    Refused(JoinRefusal),
    #[error(
        "the node at {seed} is of another cluster than the token, or the cluster has replaced its authority since: make a new \
         token there with `endtoend cluster token create`"
    )]
    OtherCluster { seed: String },
    #[error("the answer of {seed} is not that of a member: see that --join names one")]
    BadAnswer { seed: String, source: BadAdmission },
    #[error("the request to join cannot be signed")]
    Keys(#[from] BadKeys),
}

impl JoinError {
    /// Whether the cluster has said no.
    pub(super) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::OtherCluster { .. })
    }
}

/// What an operator is to do about a refusal.
fn words(refusal: &JoinRefusal) -> String {
    let next = match refusal {
        JoinRefusal::Refused(Refused::UnknownToken) => {
            ": see that it was copied whole, or make a new one with `endtoend cluster token create`"
        }
        JoinRefusal::Refused(Refused::TokenExpired | Refused::TokenUsed) => {
            ": make a new one with `endtoend cluster token create`"
        }
        JoinRefusal::Refused(Refused::Removed(node)) => {
            return format!(
                "node {node} was rejected or removed by an operator: to ask again it needs an empty data directory and a new token"
            );
        }
        JoinRefusal::Refused(Refused::NameTaken(_)) => ": choose another [cluster] name",
        _ => "",
    };
    format!("the cluster does not take this node: {refusal}{next}")
}

/// Asks until the node was let in. It goes on for as long as nobody has decided: the same node may ask with the same token, also
/// after a crash.
///
/// # Errors
/// [`JoinError`]: asking again would not help.
pub(super) async fn ask(
    Joining { seed, token }: &Joining,
    keys: &NodeKeys,
    profile: &Profile,
    tell: &impl Fn(News<'_>),
) -> Result<Admitted, JoinError> {
    let (mut silent, mut stranger) = (false, Stranger::default());
    loop {
        let asked = ask_once(seed, token, keys, profile).await;
        if stranger.is_final(matches!(asked, Err(Failed::AnotherAuthority)), clock::monotonic()) {
            return Err(JoinError::OtherCluster { seed: seed.clone() });
        }
        match asked {
            Ok(JoinReply::Admitted(admitted)) => {
                admitted
                    .check(keys, Some(token.authority()), None)
                    .map_err(|source| JoinError::BadAnswer { seed: seed.clone(), source })?;
                return Ok(*admitted);
            }
            Ok(JoinReply::Refused(refusal)) => return Err(JoinError::Refused(refusal)),
            Ok(JoinReply::Pending) => tell(News::Pending { node: keys.node(), name: &profile.name, seed }),
            Ok(JoinReply::Later) => note(&mut silent, seed, "it hears no leader at the moment"),
            Err(Failed::Final(error)) => return Err(error),
            Err(Failed::AnotherAuthority) => note(&mut silent, seed, ANOTHER_AUTHORITY),
            Err(Failed::Unreached(error)) => note(&mut silent, seed, &error.to_string()),
        }
        tokio::time::sleep(ASK_EACH).await;
    }
}

/// Said once.
fn note(said: &mut bool, seed: &str, why: &str) {
    if !std::mem::replace(said, true) {
        tracing::warn!(seed, why, "the node to join by does not answer; asking on");
    }
}

/// Why nothing was asked, for now.
pub(crate) const ANOTHER_AUTHORITY: &str = "it shows another authority than the token names";

/// A node that shows another authority than the token names: of another cluster, or it has not heard yet that its own has a new
/// one. Only time tells them apart.
#[derive(Debug, Default)]
pub(crate) struct Stranger(Option<Instant>);

impl Stranger {
    /// What it has shown now, and whether it has been another one for so long that it is another cluster's.
    pub(crate) fn is_final(&mut self, another: bool, now: Instant) -> bool {
        self.0 = another.then(|| self.0.unwrap_or(now));
        self.0.is_some_and(|since| now.saturating_duration_since(since) >= STRANGE_MAX)
    }
}

enum Failed {
    AnotherAuthority,
    /// Perhaps the next time.
    Unreached(ConnectError),
    Final(JoinError),
}

async fn ask_once(seed: &str, token: &JoinToken, keys: &NodeKeys, profile: &Profile) -> Result<JoinReply, Failed> {
    let mut connection =
        JoinConnection::open(seed, token.authority(), DEADLINE).await.map_err(|error| match error {
            ConnectError::Untrusted(Untrusted::AnotherAuthority) => Failed::AnotherAuthority,
            error => Failed::Unreached(error),
        })?;
    let question = request(keys, profile, Some(token), &connection.binding())
        .map_err(|error| Failed::Final(JoinError::Keys(error)))?;
    let answer = connection.ask(&question).await.map_err(Failed::Unreached)?;
    JoinReply::decode(&answer).map_err(|source| Failed::Final(JoinError::BadAnswer { seed: seed.to_owned(), source }))
}

#[cfg(test)]
mod tests {
    use endtoend_cluster::NodeId;

    use super::*;

    #[test]
    fn a_node_with_another_authority_is_a_stranger_only_in_time() {
        let (mut stranger, begun) = (Stranger::default(), clock::monotonic());
        let mut at = |another, after| stranger.is_final(another, begun + after);
        assert!(!at(true, Duration::ZERO));
        assert!(!at(true, STRANGE_MAX / 2));
        assert!(!at(false, STRANGE_MAX / 2), "it is none");
        assert!(!at(true, STRANGE_MAX), "that was for the first time");
        assert!(at(true, STRANGE_MAX * 2));
    }

    #[test]
    fn every_refusal_says_what_to_do_and_no_two_the_same() {
        let node = NodeId::new(7);
        let refusals = [
            Refused::UnknownToken,
            Refused::TokenExpired,
            Refused::TokenUsed,
            Refused::Removed(node),
            Refused::NameTaken("node".to_owned()),
        ];
        let texts: std::collections::BTreeSet<_> =
            refusals.into_iter().map(|refused| JoinError::Refused(JoinRefusal::Refused(refused)).to_string()).collect();
        assert_eq!(texts.len(), 5);
        assert!(
            texts
                .iter()
                .all(|text| ["token create", "[cluster] name", "new token"].iter().any(|next| text.contains(next)))
        );
    }
}
