//! The parts between this node and others, and how they are put together.

use std::sync::{Arc, Mutex};

use actix::{Actor as _, Addr, ArbiterHandle, Recipient};
use endtoend_cluster::claims::{ClaimDirectory, Incarnation, NameKey};
use endtoend_cluster::peers::{HearsPeers, Peers};
use endtoend_storage::QueueStore;

use super::actor::DirectoryKeeper;
use super::ears::Ears;
use super::known::{AfterCommit, Elsewhere};
use super::teller::{FromPeer, Teller};
use super::waker::Waker;
use crate::directory::{AttachTo, LeaveTo};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::router::{Router, Routes};

/// What a node of a cluster has that one alone has not.
pub(crate) struct Others {
    /// This run.
    pub(crate) me: Incarnation,
    /// The same on all nodes.
    pub(crate) names: NameKey,
    pub(crate) claims: Arc<dyn ClaimDirectory>,
    pub(crate) peers: Arc<dyn Peers>,
    /// Told once who hears what comes over links. They may exist before.
    pub(crate) on_hearing: Box<dyn FnOnce(Arc<dyn HearsPeers>) + Send>,
}

/// [`Others`] of which those run that the queue writer needs.
pub(crate) struct Started {
    elsewhere: Arc<Elsewhere>,
    teller: Arc<Teller>,
    waker: Addr<Waker>,
    routes: Arc<Routes>,
    others: Others,
}

impl Others {
    /// Last stage first.
    pub(crate) fn start(
        self,
        routes: &Arc<Routes>,
        arbiter: &impl Fn() -> ArbiterHandle,
        metrics: Arc<Metrics>,
    ) -> Started {
        let (names, peers, claims) = (self.names.clone(), Arc::clone(&self.peers), Arc::clone(&self.claims));
        let elsewhere = Arc::new(Elsewhere::new(self.me, names, peers, metrics));
        let (known, table) = (Arc::clone(&elsewhere), Arc::clone(routes));
        let waker = Waker::start_in_arbiter(&arbiter(), move |_| Waker::new(known, claims, table));
        let teller = Arc::new(Teller::new(Arc::clone(&self.peers)));
        Started { elsewhere, teller, waker, routes: Arc::clone(routes), others: self }
    }
}

impl Started {
    pub(crate) fn elsewhere(&self) -> Arc<Elsewhere> {
        Arc::clone(&self.elsewhere)
    }

    pub(crate) fn after_commit(&self) -> AfterCommit {
        AfterCommit { elsewhere: self.elsewhere(), waker: self.waker.clone().recipient() }
    }

    /// The way of news to other nodes.
    pub(crate) fn teller(&self) -> Arc<Teller> {
        Arc::clone(&self.teller)
    }

    /// Who stands between connections and the directory of mailboxes.
    pub(crate) fn keep_claims(
        &self,
        (attach, leave): (Recipient<AttachTo>, Recipient<LeaveTo>),
        store: Arc<dyn QueueStore>,
        routes: Arc<Routes>,
        arbiter: &impl Fn() -> ArbiterHandle,
    ) -> Addr<DirectoryKeeper> {
        let (elsewhere, teller, claims) = (self.elsewhere(), self.teller(), Arc::clone(&self.others.claims));
        DirectoryKeeper::start_in_arbiter(&arbiter(), move |_| {
            DirectoryKeeper::new(elsewhere, teller, claims, store, routes, attach, leave)
        })
    }

    /// From now on other nodes are heard. `news`: does here what another node has done.
    pub(crate) fn hear(
        self,
        router: Arc<Router>,
        memory: Memory,
        news: Box<dyn Fn(FromPeer) + Send + Sync>,
        keeper: &Addr<DirectoryKeeper>,
        arbiter: &impl Fn() -> ArbiterHandle,
    ) {
        let ears = Ears {
            elsewhere: self.elsewhere,
            teller: self.teller,
            routes: self.routes,
            router,
            memory,
            waker: self.waker.recipient(),
            keeper: keeper.clone().recipient(),
            news,
            arbiter: arbiter(),
            doors: Mutex::default(),
        };
        (self.others.on_hearing)(Arc::new(ears));
    }
}
