//! The actors of a node, and how they are put together.

use std::sync::Arc;

use actix::{Actor as _, Arbiter, ArbiterHandle};
use endtoend_storage::QueueStore;

use super::drain::Remains;
use super::identity::Identity;
use super::{Common, Node, SENDS_MAX, Ways};
use crate::directory::Directory;
use crate::elsewhere::{Others, Started};
use crate::memory::Memory;
use crate::queue_writer::QueueWriter;
use crate::router::{Router, Routes};
use crate::services::{Auditor, Services};

/// Starts the actors, last stage first, so that none is ever half bound.
pub(super) fn start_actors(
    identity: Arc<Identity>,
    services: Arc<Services>,
    store: Arc<dyn QueueStore>,
    audit: Auditor,
    common: Common,
    others: Option<Others>,
) -> (Node, Remains) {
    let metrics = common.metrics.clone();
    let routes = Arc::new(Routes::default());
    let others = others.map(|others| others.start(&routes, &arbiter, metrics.clone()));
    let writer = {
        let (store, routes, metrics) = (store.clone(), routes.clone(), metrics.clone());
        let after_commit = others.as_ref().map(Started::after_commit);
        QueueWriter::start_in_arbiter(&arbiter(), move |_| QueueWriter::new(store, routes, after_commit, metrics))
    };
    let elsewhere = others.as_ref().map(Started::elsewhere);
    let router = Arc::new(Router::new(routes.clone(), writer.clone().recipient(), elsewhere));
    let memory = Memory::new(SENDS_MAX);
    let (forget, counted) = (writer.clone(), metrics);
    let (kept, owned) = (store.clone(), routes.clone());
    let directory = Directory::start_in_arbiter(&arbiter(), move |_| {
        Directory::new(store, routes, forget.clone().recipient(), forget.recipient(), counted)
    });
    let remains = Remains { mailboxes: directory.clone().recipient(), writer: writer.recipient(), audit };
    let (attach, leave) = (directory.clone().recipient(), directory.recipient());
    let ways = match others {
        None => Ways { directory: attach, leave, departed: None },
        Some(others) => {
            let claims = others.keep_claims((attach, leave), kept, owned, &arbiter);
            services.sessions.tell_peers(others.teller());
            let services = services.clone();
            let news = Box::new(move |news| services.heard_from_peer(news));
            others.hear(router.clone(), memory.clone(), news, &claims, &arbiter);
            let (directory, leave) = (claims.clone().recipient(), claims.clone().recipient());
            Ways { directory, leave, departed: Some(claims.recipient()) }
        }
    };
    let node = Node::new(identity, services, router, memory, ways, common);
    (node, remains)
}

/// A thread for actors; it ends with the actix system.
fn arbiter() -> ArbiterHandle {
    Arbiter::new().handle()
}
