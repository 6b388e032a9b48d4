//! What a member does when the cluster has decided something about it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use endtoend_cluster::control::Control;
use endtoend_cluster::{MemberState, WasRemoved, stay_in_touch};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::error::MemberError;
use super::shared;
use crate::clock;
use crate::node::lifecycle::Lifecycle;
use crate::node::open::OpenConnections;
use crate::services::Services;

/// How often it is looked whether raft has ended by itself.
const LOOK_EACH: Duration = Duration::from_secs(1);

/// Waits until this node cannot be a member any more: it was removed, or its control plane has ended.
pub(in crate::node) async fn until_out(control: &Control) -> MemberError {
    let removed = async {
        match stay_in_touch(control).await {
            Err(WasRemoved(node)) => MemberError::Removed(node),
            // It was told to end.
            Ok(()) => std::future::pending().await,
        }
    };
    let ended = async {
        loop {
            if let Some(fault) = control.fault() {
                return MemberError::Ended(fault);
            }
            sleep(LOOK_EACH).await;
        }
    };
    let (removed, ended) = (pin!(removed), pin!(ended));
    tokio::select! {
        out = removed => out,
        out = ended => out,
    }
}

/// Drains the node's connections when the cluster wants that, and takes connections again when it does not any more. Until it is
/// dropped.
pub(in crate::node) async fn follow_state(
    control: Arc<Control>,
    lifecycle: watch::Sender<Lifecycle>,
    open: OpenConnections,
    drain: Duration,
) {
    let (mut view, me) = (control.view(), control.node());
    loop {
        let state = view.borrow_and_update().members.get(&me).map(|own| own.state);
        let now = *lifecycle.borrow();
        match (state, now) {
            (Some(MemberState::Draining), Lifecycle::Accepting) => {
                tracing::info!(connections = open.count(), "the cluster drains this node");
                lifecycle.send_modify(|now| *now = now.stop(open.count(), drain, clock::monotonic()));
                continue;
            }
            (Some(MemberState::Draining), Lifecycle::Draining { deadline, .. }) => {
                let over = async {
                    tokio::select! {
                        () = open.until_none() => {}
                        () = sleep_until(Instant::from_std(deadline)) => {}
                    }
                };
                tokio::select! {
                    () = over => lifecycle.send_modify(|now| *now = now.close(open.count())),
                    changed = view.changed() => if changed.is_err() { return },
                }
                continue;
            }
            (Some(MemberState::Active), Lifecycle::Draining { .. } | Lifecycle::Closed { .. }) => {
                tracing::info!("this node serves again");
                lifecycle.send_replace(Lifecycle::Accepting);
            }
            _ => {}
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

/// Takes the key of access tokens over when the cluster has replaced it. Until the control plane ends.
pub(in crate::node) async fn follow_secrets(control: Arc<Control>, services: Arc<Services>) {
    let mut secrets = control.secrets();
    while secrets.changed().await {
        let Some((generation, opened)) = secrets.get() else { continue };
        match shared::token_key(&opened) {
            Some(key) => {
                services.replace_token_key(key);
                tracing::info!(generation, "the secrets of the cluster were replaced");
            }
            None => tracing::error!(generation, "the secrets of the cluster have no key for access tokens"),
        }
    }
}
