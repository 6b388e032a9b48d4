//! How an edge comes to follow a cluster: it asks a node, again and again, until an operator has decided.

use std::time::Duration;

use endtoend_cluster::control::Refused;
use endtoend_cluster::edge::{EdgeNews, EdgeProfile, EdgeReply, request};
use endtoend_cluster::join::JoinRefusal;
use endtoend_cluster::link::{ConnectError, JoinConnection, Untrusted};
use endtoend_cluster::{BadKeys, JoinToken, NodeId, NodeKeys};

use crate::clock;
use crate::node::{ANOTHER_AUTHORITY, Joining, Stranger};

/// Between two questions.
const ASK_EACH: Duration = Duration::from_millis(500);
/// For a connection, and for a question.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Why a cluster did not take an edge. Each text says what to do next.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EdgeJoinError {
    #[error("{}", words(.0))]
    Refused(JoinRefusal),
    #[error(
        "the node at {seed} is of another cluster than the token, or the cluster has replaced its authority since: make a new \
         token there with `endtoend cluster token create --edge`"
    )]
    OtherCluster { seed: String },
    #[error("the node at {seed} does not answer an edge: see that --join names a node of this version or a later one")]
    BadAnswer { seed: String },
    #[error("the request to follow the cluster cannot be signed")]
    Keys(#[from] BadKeys),
    #[error(
        "this edge is in no cluster yet: start it with --join and a token of `endtoend cluster token create --edge`"
    )]
    NoToken,
}

impl EdgeJoinError {
    /// Whether the cluster has said no.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::OtherCluster { .. })
    }
}

/// What an operator is to do about a refusal.
pub(super) fn words(refusal: &JoinRefusal) -> String {
    let next = match refusal {
        JoinRefusal::Refused(Refused::UnknownToken) => {
            ": see that it was copied whole and begins with endtoend-edge:, or make a new one with `endtoend cluster token create --edge`"
        }
        JoinRefusal::Refused(Refused::TokenExpired | Refused::TokenUsed) => {
            ": make a new one with `endtoend cluster token create --edge`"
        }
        JoinRefusal::Refused(Refused::Removed(edge)) => {
            return format!(
                "edge {edge} was rejected or removed by an operator: to ask again it needs an empty [cluster] directory and a new token"
            );
        }
        JoinRefusal::Refused(Refused::NameTaken(_) | Refused::Invalid(_)) => {
            ": choose another `name`, of a-z, 0-9 and '-'"
        }
        _ => "",
    };
    format!("the cluster does not take this edge: {refusal}{next}")
}

/// Asks until the edge was let in. It goes on for as long as nobody has decided; the same edge may ask with the same token again.
///
/// # Errors
/// [`EdgeJoinError`]: asking again would not help.
pub(super) async fn ask(
    Joining { seed, token }: &Joining,
    keys: &NodeKeys,
    profile: &EdgeProfile,
    tell: &impl Fn(NodeId),
) -> Result<EdgeNews, EdgeJoinError> {
    let mut silent = false;
    let mut note = |why: &str| {
        if !std::mem::replace(&mut silent, true) {
            tracing::warn!(seed, why, "the node to join by does not answer; asking on");
        }
    };
    let mut stranger = Stranger::default();
    loop {
        let asked = ask_once(seed, token, keys, profile).await;
        if stranger.is_final(matches!(asked, Err(Failed::AnotherAuthority)), clock::monotonic()) {
            return Err(EdgeJoinError::OtherCluster { seed: seed.clone() });
        }
        match asked {
            Ok(EdgeReply::Admitted(news)) => return Ok(*news),
            Ok(EdgeReply::Refused(refusal)) => return Err(EdgeJoinError::Refused(refusal)),
            Ok(EdgeReply::Pending) => tell(keys.node()),
            Ok(EdgeReply::Later) => note("it hears no leader at the moment"),
            Err(Failed::Final(error)) => return Err(error),
            Err(Failed::AnotherAuthority) => note(ANOTHER_AUTHORITY),
            Err(Failed::Unreached(error)) => note(&error.to_string()),
        }
        tokio::time::sleep(ASK_EACH).await;
    }
}

enum Failed {
    AnotherAuthority,
    /// Perhaps the next time.
    Unreached(ConnectError),
    Final(EdgeJoinError),
}

async fn ask_once(seed: &str, token: &JoinToken, keys: &NodeKeys, profile: &EdgeProfile) -> Result<EdgeReply, Failed> {
    let opened = JoinConnection::open(seed, token.authority(), DEADLINE).await;
    let mut connection = opened.map_err(|error| match error {
        ConnectError::Untrusted(Untrusted::AnotherAuthority) => Failed::AnotherAuthority,
        error => Failed::Unreached(error),
    })?;
    let question = request(keys, profile, Some(token), &connection.binding());
    let question = question.map_err(|error| Failed::Final(EdgeJoinError::Keys(error)))?;
    let answer = connection.ask(&question).await.map_err(Failed::Unreached)?;
    EdgeReply::decode(&answer).map_err(|_| Failed::Final(EdgeJoinError::BadAnswer { seed: seed.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        for refused in [
            Refused::UnknownToken,
            Refused::TokenExpired,
            Refused::TokenUsed,
            Refused::Removed(NodeId::new(7)),
            Refused::NameTaken("edge".to_owned()),
        ] {
            let error = EdgeJoinError::Refused(JoinRefusal::Refused(refused));
            let text = error.to_string();
            assert!(error.is_refusal(), "{text}");
            assert!(["--edge", "`name`", "new token"].iter().any(|next| text.contains(next)), "{text}");
        }
    }
}
