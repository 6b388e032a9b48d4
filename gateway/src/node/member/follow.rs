//! What a member does when the cluster has decided something about it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use endtoend_cluster::control::Control;
use endtoend_cluster::link::Links;
use endtoend_cluster::peers::Peers as _;
use endtoend_cluster::{MemberState, WasRemoved, rejoin, stay_in_touch};
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

/// How often it is looked whether there is a link.
const LOOK_FOR_LINKS_EACH: Duration = Duration::from_millis(100);
/// How long there must have been none until the others are asked why. A link that breaks is dialled again within 50 ms.
const CUT_OFF_AFTER: Duration = Duration::from_millis(300);
/// Between two such questions.
const ASK_EACH: Duration = Duration::from_secs(2);

/// When a node asks the others why it has no link to any of them: one that was removed is cut off by all at once, and cannot hear
/// it from the log.
#[derive(Debug, Default)]
struct CutOff {
    since: Option<std::time::Instant>,
    asked: Option<std::time::Instant>,
}

impl CutOff {
    /// Whether to ask now.
    fn asks(&mut self, has_links: bool, now: std::time::Instant) -> bool {
        if has_links {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let asks = now.saturating_duration_since(since) >= CUT_OFF_AFTER
            && self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= ASK_EACH);
        if asks {
            self.asked = Some(now);
        }
        asks
    }
}

/// Asks the others whenever all links are gone. Until one says that this node was removed.
async fn until_cut_off(control: &Control, links: &Links) -> WasRemoved {
    let (view, mut rule) = (control.view(), CutOff::default());
    loop {
        sleep(LOOK_FOR_LINKS_EACH).await;
        let is_alone = {
            let view = view.borrow();
            let others =
                view.members.iter().filter(|(node, member)| **node != control.node() && member.state.may_link());
            others.count() == 0
        };
        if rule.asks(is_alone || !links.links().is_empty(), clock::monotonic())
            && let Err(removed) = rejoin(control).await
        {
            return removed;
        }
    }
}

/// Waits until this node cannot be a member any more: it was removed, or its control plane has ended.
pub(in crate::node) async fn until_out(control: &Control, links: &Links) -> MemberError {
    let removed = async {
        tokio::select! {
            removed = until_cut_off(control, links) => MemberError::Removed(removed.0),
            told = stay_in_touch(control) => match told {
                Err(WasRemoved(node)) => MemberError::Removed(node),
                // It was told to end.
                Ok(()) => std::future::pending().await,
            },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_any_link_asks_soon_and_not_all_the_time() {
        let (mut rule, begun) = (CutOff::default(), clock::monotonic());
        let at = |ms| begun + Duration::from_millis(ms);
        let mut asks = |has_links, ms| rule.asks(has_links, at(ms));
        assert!(!asks(true, 0) && !asks(false, 100) && !asks(false, 399));
        assert!(!asks(true, 450), "it was dialled again");
        assert!(!asks(false, 500) && asks(false, 800), "so long without one");
        assert!(!asks(false, 900) && !asks(false, 2_799) && asks(false, 2_800));
    }
}
