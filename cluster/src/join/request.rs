//! What requests of nodes and of edges have in common: a signed statement, and a token.

use endtoend_protocol::UnixMillis;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use super::{Exporter, JoinRefusal, REQUEST_BYTES_MAX};
use crate::NodeId;
use crate::control::{ClusterState, Refused, TokenId};
use crate::keys::{BadKeys, NodeKeys, verify};
use crate::token::{For, is_secret_of};

/// Which kind of request: neither passes for another.
pub(crate) struct Kind {
    /// Its first byte.
    pub(crate) version: u8,
    /// What its signature begins with.
    pub(crate) domain: &'static [u8],
}

/// A token, and the secret that shows that it was given.
pub(crate) type Shown = (TokenId, [u8; 32]);

#[derive(Deserialize, Serialize)]
pub(crate) struct Statement<A> {
    pub(crate) token: Option<Shown>,
    pub(crate) applicant: A,
}

#[derive(Deserialize, Serialize)]
struct Request {
    statement: Vec<u8>,
    signature: Vec<u8>,
}

impl Kind {
    fn signed(&self, exporter: &Exporter, statement: &[u8]) -> Vec<u8> {
        [self.domain, exporter, statement].concat()
    }

    /// A request for this connection.
    pub(crate) fn encode<A: Serialize>(
        &self,
        keys: &NodeKeys,
        exporter: &Exporter,
        statement: &Statement<A>,
    ) -> Result<Vec<u8>, BadKeys> {
        let statement = postcard::to_stdvec(statement).map_err(|_| BadKeys)?;
        let signature = keys.sign(&self.signed(exporter, &statement))?;
        let mut request = Request { statement, signature };
        let encoded = postcard::to_extend(&request, vec![self.version]).map_err(|_| BadKeys);
        // The token's secret is in it.
        request.statement.zeroize();
        encoded
    }

    /// What a request states, once it was signed for this connection by the key that `key` finds in it.
    pub(crate) fn decode<A: DeserializeOwned>(
        &self,
        request: &[u8],
        exporter: &Exporter,
        key: impl FnOnce(&A) -> &[u8],
    ) -> Result<Statement<A>, JoinRefusal> {
        let rest = match request {
            [version, rest @ ..] if *version == self.version && request.len() <= REQUEST_BYTES_MAX => rest,
            _ => return Err(JoinRefusal::Malformed),
        };
        let Ok((Request { statement, signature }, [])) = postcard::take_from_bytes(rest) else {
            return Err(JoinRefusal::Malformed);
        };
        let Ok((stated, [])) = postcard::take_from_bytes::<Statement<A>>(&statement) else {
            return Err(JoinRefusal::Malformed);
        };
        verify(key(&stated.applicant), &self.signed(exporter, &statement), &signature)
            .map_err(|_| JoinRefusal::BadSignature)?;
        Ok(stated)
    }
}

/// What is to be done about somebody who shows a token: `Some` when he has used it before and is known, `None` when he is to be put
/// into the log. `known` is what is known of him, by the same key.
pub(crate) fn weigh<K>(
    state: &ClusterState,
    whom: For,
    (id, secret): &Shown,
    applicant: NodeId,
    known: Option<K>,
    now: UnixMillis,
) -> Result<Option<K>, Refused> {
    // A wrong secret, or a token for somebody of another kind, is told from an unknown one by nobody.
    let kept = state.tokens().get(id).filter(|token| is_secret_of(whom, id, secret, &token.check));
    let kept = kept.ok_or(Refused::UnknownToken)?;
    match (kept.used_by, known) {
        (Some(user), Some(known)) if user == applicant => Ok(Some(known)),
        (Some(_), _) => Err(Refused::TokenUsed),
        (None, _) if now >= kept.expires_at => Err(Refused::TokenExpired),
        // He was given another one because the first named an authority that was replaced. Whoever has his key is told where he
        // stands; the token stays as it is.
        (None, known) => Ok(known),
    }
}
