//! The way to the network: which programs it needs, and whether the server answers.

use std::time::Duration;

use endtoend_client::clock;
use endtoend_client::engine::{AccountRequest, EngineHandle};
use endtoend_client::transport::programs::{Program, needed};
use endtoend_client::transport::{NetworkSettings, TorTrouble};

use crate::failure::Failure;
use crate::order::News;

/// Whether the programs are here that the bridges of a profile need, where Tor would look for them.
pub(super) async fn programs(settings: Box<NetworkSettings>) -> Result<Vec<Program>, TorTrouble> {
    let looked = tokio::task::spawn_blocking(move || needed(&settings, &std::env::var_os("PATH").unwrap_or_default()));
    looked.await.unwrap_or(Err(TorTrouble::ProgramFailed))
}

/// How soon the server answers over the connection that there is.
pub(super) async fn check(engine: EngineHandle) -> Result<Duration, Failure> {
    let began = clock::monotonic();
    // What costs the server least.
    engine.account(AccountRequest::Devices).await?;
    Ok(clock::monotonic().duration_since(began))
}

/// Takes another way from now on.
pub(super) async fn set(engine: &EngineHandle, settings: Box<NetworkSettings>) -> News {
    let kept = engine.set_network((*settings).clone()).await;
    News::NetworkSet(kept.map(|()| settings).map_err(Failure::from))
}
