//! Join tokens.

use std::time::Duration;

use endtoend_cluster::For;
use endtoend_cluster::control::{Command, TOKEN_LIFE_MAX, Token, TokenId};

use super::{ClusterAnswer, DECISION_MIN, TokenView, refused};
use crate::commands::Failure;
use crate::node::Membership;

pub(super) async fn create(cluster: &Membership, whom: For, life: Duration) -> Result<ClusterAnswer, Failure> {
    if life.is_zero() || life > TOKEN_LIFE_MAX {
        return Err(Failure::new("a join token is good for some time, 7 days at most"));
    }
    let token = cluster.control.create_token_for(whom, life, DECISION_MIN).await.map_err(refused)?;
    let state = cluster.control.read(DECISION_MIN).await.map_err(refused)?;
    let kept = state.tokens().get(&token.id());
    let kept =
        kept.ok_or_else(|| Failure::new("the token was forgotten meanwhile: there are too many, or it was revoked"))?;
    Ok(ClusterAnswer::TokenCreated {
        token: token.to_string(),
        seed: cluster.peer_address.clone(),
        view: view(token.id(), kept),
    })
}

pub(super) async fn list(cluster: &Membership) -> Result<ClusterAnswer, Failure> {
    let state = cluster.control.read(DECISION_MIN).await.map_err(refused)?;
    Ok(ClusterAnswer::Tokens { tokens: state.tokens().iter().map(|(id, token)| view(*id, token)).collect() })
}

pub(super) async fn revoke(cluster: &Membership, id: &str) -> Result<ClusterAnswer, Failure> {
    let unknown = || Failure::new("no join token has this id: see `endtoend cluster token list`");
    let mut bytes: TokenId = [0; 16];
    hex::decode_to_slice(id, &mut bytes).map_err(|_| unknown())?;
    cluster.control.propose(Command::RevokeToken { id: bytes }, DECISION_MIN).await.map_err(refused)?;
    Ok(ClusterAnswer::TokenRevoked { id: id.to_owned() })
}

fn view(id: TokenId, token: &Token) -> TokenView {
    TokenView {
        id: hex::encode(id),
        expires_at: token.expires_at.get(),
        used_by: token.used_by.map(|node| node.to_string()),
    }
}
