//! The beginning of a member: as what it was, as the first of a new cluster, or as one that joins.

use std::sync::Arc;
use std::time::Duration;

use endtoend_cluster::claims::{ClaimsError, DEADLINE, Incarnation, LEASE, RedisClaims};
use endtoend_cluster::control::{Beginning, Control, Found, Settings, Setup, StartError, Timings};
use endtoend_cluster::join::Profile;
use endtoend_cluster::link::wire::Versions;
use endtoend_cluster::link::{Hooks, LinkKey, Links, LinksConfig};
use endtoend_cluster::peers::Peers as _;
use endtoend_cluster::redis::RedisAt;
use endtoend_cluster::{ClusterId, MemberState, NodeKeys, rejoin};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::chores::ClaimSweep;
use super::error::MemberError;
use super::joining::{self, Joining};
use super::mark::{self, CONTROL};
use super::reports::Reports;
use super::{Member, Membership, follow, keys, shared};
use crate::config::Config;
use crate::node::data_dir::{DataDir, DataDirError, has_store};
use crate::node::error::ServeError;
use crate::node::open::OpenConnections;
use crate::node::opening::{Secrets, gather, mark_elsewhere};
use crate::node::secrets::{SECRETS, find};
use crate::node::serve::News;
use crate::node::store::{ChosenStore, NodeStore};

/// What a cluster is called when it begins. Nobody has to call it anything: its id names it.
const CLUSTER_NAME: &str = "endtoend";
/// How long a member that starts waits for a link before it asks the others whether it is still one.
const LINK_PATIENCE: Duration = Duration::from_secs(3);
/// And for their answer.
const ASK_PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EACH: Duration = Duration::from_millis(25);

/// What a member is started with.
pub(in crate::node) struct Intended<'a> {
    pub(in crate::node) config: &'a Config,
    pub(in crate::node) data: DataDir,
    /// `HOST:PORT` that clients connect to.
    pub(in crate::node) client_address: String,
    pub(in crate::node) joining: Option<Joining>,
    pub(in crate::node) open: OpenConnections,
}

/// A node that has begun.
pub(in crate::node) struct Begun {
    pub(in crate::node) data: DataDir,
    /// None when it is alone.
    pub(in crate::node) member: Option<Member>,
    pub(in crate::node) secrets: Secrets,
    pub(in crate::node) store: NodeStore,
}

impl Intended<'_> {
    /// Begins, and waits until the others count on this node.
    ///
    /// # Errors
    /// Each says what to do. A new cluster is founded only on a database that is nobody's.
    pub(in crate::node) async fn begin(self, tell: &impl Fn(News<'_>)) -> Result<Begun, ServeError> {
        let Self { config, data, client_address, joining, open } = self;
        let cluster = &config.cluster;
        let (Some(listen), Some(peer_address), Some(redis)) =
            (cluster.listen, cluster.peer_address(), config.redis.open()?)
        else {
            return Err(MemberError::NoListen.into());
        };
        let listener =
            TcpListener::bind(listen).await.map_err(|source| MemberError::Listen { address: listen, source })?;
        let chosen = ChosenStore::of(&config.storage)?;
        let store = chosen.open().await?;
        let data = data.with_accounts(store.maintenance().stats().await?.accounts);
        let keys = keys::load(&data)?;
        let me = Incarnation::new(keys.node());
        let key = LinkKey::from_pkcs8(&keys.tls_pkcs8()).map_err(|_| endtoend_cluster::BadKeys);
        let timings = cluster.timings().unwrap_or_default();
        let (key, versions) = (key.map_err(MemberError::from)?, Versions::OURS);
        let links = Links::new(LinksConfig { key, run: me.run, timings, versions });
        let profile = Profile {
            name: cluster.name.clone(),
            peer_address: peer_address.clone(),
            client_address,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let sweep = Arc::new(ClaimSweep::default());
        let way = Way { data: &data, keys: &keys, profile: &profile, links: &links, sweep: &sweep };
        let control = match (way.start(Beginning::Known).await, joining) {
            (Ok(control), joining) => {
                if let Some(joining) = joining {
                    same_cluster(&joining, &data, &control)?;
                }
                control
            }
            (Err(StartError::Nothing), Some(joining)) => {
                if store.cluster().await?.is_none() {
                    return Err(MemberError::DatabaseOfNobody { place: chosen.place() }.into());
                }
                must_be_empty(&data)?;
                let admitted = joining::ask(&joining, &keys, &profile, tell).await.map_err(MemberError::from)?;
                let control = way.start(Beginning::Join(Box::new(admitted))).await.map_err(MemberError::from)?;
                put_mark(&data, &control, Some(&joining))?;
                tracing::info!(node = %keys.node(), "this node has joined the cluster");
                control
            }
            (Err(StartError::Nothing), None) => {
                if let Some(taken) = store.cluster().await? {
                    let (place, cluster) = (chosen.place(), ClusterId::new(taken).to_string());
                    return Err(MemberError::DatabaseTaken { place, cluster }.into());
                }
                let secrets = shared::share(&gather(&data)?)?;
                let settings =
                    Settings { name: CLUSTER_NAME.to_owned(), auto_approve: false, timings: Timings::default() };
                let control = way.start(Beginning::Found(Box::new(Found { settings, secrets }))).await;
                let control = control.map_err(MemberError::from)?;
                tracing::info!(node = %keys.node(), "this node has founded a cluster");
                control
            }
            (Err(error), _) => return Err(MemberError::from(error).into()),
        };
        put_mark(&data, &control, None)?;
        let id = control.state().cluster().ok_or(MemberError::NoSecrets)?;
        guard(&store, &chosen, id, &redis).await?;
        mark_elsewhere(&data, &chosen)?;

        let (_, opened) = control.secrets().get().ok_or(MemberError::NoSecrets)?;
        let secrets = shared::read(&opened)?;
        let claims = Arc::new(RedisClaims::start(&redis, id, LEASE, DEADLINE));
        sweep.begin(Arc::clone(&claims) as _);
        let reports = Arc::new(Reports::new(Arc::clone(&control), open));
        let offers = Arc::default();
        let hooks = Hooks {
            answers: Arc::clone(&reports) as _,
            welcomes: Arc::clone(&control) as _,
            offers: Arc::clone(&offers),
        };
        let task = links.start(listener, control.view(), hooks);
        is_still_one(&control, &links).await?;
        tokio::select! {
            served = until_counted(&control) => served?,
            out = follow::until_out(&control, &links) => return Err(out.into()),
        }
        let membership = Arc::new(Membership { control, links, reports, offers, claims, peer_address });
        Ok(Begun { data, member: Some(Member { membership, me, _links: task }), secrets, store })
    }
}

/// What the control plane is started with.
struct Way<'a> {
    data: &'a DataDir,
    keys: &'a Arc<NodeKeys>,
    profile: &'a Profile,
    links: &'a Links,
    sweep: &'a Arc<ClaimSweep>,
}

impl Way<'_> {
    async fn start(&self, beginning: Beginning) -> Result<Arc<Control>, StartError> {
        let setup = Setup {
            path: self.data.path().join(CONTROL),
            keys: Arc::clone(self.keys),
            profile: self.profile.clone(),
            calls: Arc::new(self.links.clone()),
            clock: None,
            rotate: Arc::new(shared::rotate),
            chores: Some(Arc::clone(self.sweep) as _),
        };
        Control::start(setup, beginning).await
    }
}

/// A unit that has `--join` in it for ever is as good as one that has not.
fn same_cluster(joining: &Joining, data: &DataDir, control: &Control) -> Result<(), MemberError> {
    let (state, authority) = (control.state(), joining.token.authority());
    let known = state.authorities().iter().any(|known| known.key == authority);
    if known || mark::has_joined_by(data, authority) {
        tracing::info!("this node is a member already: --join is not needed any more");
        return Ok(());
    }
    Err(MemberError::OtherToken { ours: state.cluster().unwrap_or_default().to_string() })
}

/// A node that joins becomes the server that the others are, so it must not be another one already.
fn must_be_empty(data: &DataDir) -> Result<(), ServeError> {
    for secret in SECRETS {
        if find(data.path(), data.outside(), secret)?.is_some() || has_store(data.path()) {
            return Err(MemberError::NotEmpty(data.path().to_owned()).into());
        }
    }
    Ok(())
}

fn put_mark(data: &DataDir, control: &Control, joined: Option<&Joining>) -> Result<(), ServeError> {
    let cluster = control.state().cluster().ok_or(MemberError::NoSecrets)?;
    mark::put(data, cluster, joined.map(|joining| joining.token.authority()))
        .map_err(|source| DataDirError::NotWritable { path: data.path().to_owned(), source }.into())
}

/// Neither database nor Redis are another cluster's.
async fn guard(store: &NodeStore, chosen: &ChosenStore, id: ClusterId, redis: &RedisAt) -> Result<(), ServeError> {
    let theirs = store.take_for_cluster(id.to_bytes()).await?;
    if theirs != id.to_bytes() {
        let (place, theirs, ours) = (chosen.place(), ClusterId::new(theirs).to_string(), id.to_string());
        return Err(MemberError::DatabaseOfOther { place, theirs, ours }.into());
    }
    match RedisClaims::check(redis, id, LEASE).await {
        Err(error @ ClaimsError::Foreign { .. }) => Err(MemberError::Redis(error).into()),
        Err(error) => {
            tracing::warn!(%error, "whether Redis is another cluster's is not known yet");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// A node that was removed while it was away says so at once, and serves nobody.
async fn is_still_one(control: &Control, links: &Links) -> Result<(), MemberError> {
    let others = {
        let view = control.view();
        let view = view.borrow();
        view.members.iter().any(|(node, member)| *node != control.node() && member.state.may_link())
    };
    if !others {
        return Ok(());
    }
    let linked = async {
        while links.links().is_empty() {
            sleep(LOOK_EACH).await;
        }
    };
    if timeout(LINK_PATIENCE, linked).await.is_ok() {
        return Ok(());
    }
    // Nobody answers: it goes on alone as far as one can, and asks again later.
    let asked = timeout(ASK_PATIENCE, rejoin(control)).await.unwrap_or(Ok(()));
    asked.map_err(|removed| MemberError::Removed(removed.0))
}

/// A new member is counted on when it has the whole log.
async fn until_counted(control: &Control) -> Result<(), MemberError> {
    let (mut view, me) = (control.view(), control.node());
    if view.borrow().members.get(&me).is_some_and(|own| own.state == MemberState::Joining) {
        tracing::info!("this node is let in; it serves clients when the leader has brought it up to date");
    }
    let counted = view.wait_for(|view| {
        let own = view.members.get(&me);
        own.is_some_and(|own| matches!(own.state, MemberState::Active | MemberState::Draining))
    });
    counted.await.map(drop).map_err(|_| MemberError::Ended("it was stopped".to_owned()))
}
