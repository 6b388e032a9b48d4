//! Follows one node after the other, and tells what it hears.

use endtoend_cluster::control::Refused;
use endtoend_cluster::edge::{EdgeAnswer, EdgeNews, EdgeProfile, EdgeReply, request};
use endtoend_cluster::join::JoinRefusal;
use endtoend_cluster::link::{BadLinkKey, ConnectError, EdgeConnection, JoinConnection, LinkKey};
use endtoend_cluster::{BadKeys, NodeId};
use endtoend_haproxy::Checks;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::addresses::{Addresses, LookUp, by_the_system, look_up};
use super::joining::{self, DEADLINE, EdgeJoinError};
use super::kept::{Anew, Kept};
use super::members::{Behind, behind, with_offers_of};
use super::round::{Next, Round};
use super::{FollowConfig, KeptError};
use crate::clock;
use crate::edge::source::{Heard, Source, SourceFault};
use crate::node::Joining;

/// So many signs of life of a node that hears no leader, and another one is asked, which may.
const UNLED_MAX: u32 = 5;

/// The cluster as a source.
pub(crate) struct ClusterSource {
    told: watch::Receiver<Told>,
    anew: Anew,
    name: String,
    task: AbortHandle,
}

impl Drop for ClusterSource {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is known at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    /// None until some node has said where it is reached.
    behind: Option<Behind>,
    /// Why nothing new is heard.
    fault: Option<String>,
}

impl ClusterSource {
    /// Begins to follow; waits for an operator when this edge is in no cluster yet. `tell` hears that it waits.
    ///
    /// # Errors
    /// [`EdgeJoinError`].
    pub(crate) async fn begin(
        kept: Kept,
        (config, name, checks): (FollowConfig, String, Checks),
        joining: Option<&Joining>,
        tell: &impl Fn(NodeId),
    ) -> Result<Self, FollowError> {
        let profile = EdgeProfile { name, version: env!("CARGO_PKG_VERSION").to_owned() };
        let heard = match (kept.heard(), joining) {
            (Some(heard), joining) => {
                if joining.is_some() {
                    tracing::info!("this edge is in its cluster already: --join is not needed any more");
                }
                heard
            }
            (None, Some(joining)) => {
                let heard = joining::ask(joining, &kept.keys, &profile, tell).await?;
                let path = config.directory.clone();
                kept.keep_first(&heard).map_err(|source| KeptError::NotWritable { path, source })?;
                tracing::info!(edge = %kept.keys.node(), cluster = %heard.cluster, "this edge follows the cluster");
                heard
            }
            (None, None) => return Err(EdgeJoinError::NoToken.into()),
        };
        Self::follow(kept, heard, profile, (config, checks), by_the_system()).await
    }

    async fn follow(
        kept: Kept,
        heard: EdgeNews,
        profile: EdgeProfile,
        (config, checks): (FollowConfig, Checks),
        look_up: LookUp,
    ) -> Result<Self, FollowError> {
        let key = LinkKey::from_pkcs8(&kept.keys.tls_pkcs8())?;
        let name = format!("cluster {}", heard.cluster);
        let (said, mut told) = watch::channel(Told::default());
        let (anew, addresses) = (kept.anew(), Addresses::known_before(kept.addresses()));
        let (unkept, unkept_addresses) = (None, None);
        let mut follower =
            Follower { kept, key, profile, config, checks, heard, said, addresses, look_up, unkept, unkept_addresses };
        follower.translate().await;
        // What it was told so far is news, if it is anything.
        told.mark_changed();
        let task = tokio::spawn(follower.follow()).abort_handle();
        Ok(Self { told, anew, name, task })
    }
}

/// Why an edge does not follow its cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    #[error(transparent)]
    Join(#[from] EdgeJoinError),
    #[error(transparent)]
    Kept(#[from] KeptError),
    #[error(transparent)]
    Key(#[from] BadLinkKey),
}

impl FollowError {
    /// Whether the cluster has said no.
    pub(crate) const fn is_refusal(&self) -> bool {
        match self {
            Self::Join(error) => error.is_refusal(),
            Self::Kept(_) | Self::Key(_) => false,
        }
    }
}

impl Source for ClusterSource {
    fn news(&mut self) -> Option<Heard> {
        if !self.told.has_changed().unwrap_or(false) {
            return None;
        }
        let Told { behind, fault } = self.told.borrow_and_update().clone();
        let left_out = behind.iter().flat_map(|behind| behind.left_out.iter().cloned());
        let faults: Vec<String> = fault.into_iter().chain(left_out).collect();
        let fault = (!faults.is_empty()).then(|| SourceFault::Cluster(faults.join("; ")));
        Some(Heard { membership: behind.map(|behind| behind.membership), fault })
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn has_one_list_for_a_generation(&self) -> bool {
        // Names get other addresses, and nodes listen elsewhere after a restart.
        false
    }

    fn begins_anew(&self) -> bool {
        self.anew.is_so()
    }

    fn has_begun(&mut self) {
        if let Err(error) = self.anew.is_over() {
            tracing::warn!(%error, "the next start takes the cluster for a new one, too");
        }
    }
}

struct Follower {
    kept: Kept,
    key: LinkKey,
    profile: EdgeProfile,
    config: FollowConfig,
    checks: Checks,
    /// The newest, whoever said it.
    heard: EdgeNews,
    said: watch::Sender<Told>,
    addresses: Addresses,
    look_up: LookUp,
    /// Why what was heard is not on the disk.
    unkept: Option<String>,
    /// Why the addresses are not.
    unkept_addresses: Option<String>,
}

impl Follower {
    /// For ever; until the cluster has said that this edge is none of its own.
    async fn follow(mut self) {
        let mut round = Round::of(self.key.node());
        let mut distrusted = false;
        loop {
            let node = match round.next(self.heard.nodes.keys().copied()) {
                Next::Ask(node) => node,
                Next::Pause(pause) => {
                    if std::mem::take(&mut distrusted)
                        && let Err(removed) = self.ask_by_key().await
                    {
                        tracing::error!("{removed}");
                        self.fault(Some(removed));
                        // Nothing is to be asked any more, and what was said stays said.
                        std::future::pending::<()>().await;
                    }
                    sleep(pause).await;
                    self.look_again().await;
                    continue;
                }
            };
            let Some(address) = self.heard.nodes.get(&node).map(|node| node.peer_address.clone()) else { continue };
            match self.follow_one(node, &address, &mut round).await {
                Ok(()) => {}
                Err(error) => {
                    // It was reached, and one does not believe the other: certificates have changed, or this edge is cut off.
                    distrusted |= !matches!(error, ConnectError::TooSlow(_)) && !is_unreached(&error);
                    let why = with_cause(&error);
                    tracing::info!(%node, address, error = why, "a node is not followed; the next one is asked");
                    self.fault(Some(format!(
                        "no node of the cluster tells the edge anything; the last one asked: {why}"
                    )));
                }
            }
        }
    }

    /// Hears one node until that ends.
    async fn follow_one(&mut self, node: NodeId, address: &str, round: &mut Round) -> Result<(), ConnectError> {
        let mut connection = EdgeConnection::follow(address, &self.key, &self.heard, DEADLINE).await?;
        let mut unled = 0;
        loop {
            match connection.next().await? {
                EdgeAnswer::News(news) => {
                    let news = EdgeNews::decode(&news).map_err(|_| ConnectError::Malformed)?;
                    if news.cluster != self.heard.cluster {
                        return Err(ConnectError::AnotherCluster);
                    }
                    self.hear(news).await;
                }
                EdgeAnswer::Still { led: true } => unled = 0,
                EdgeAnswer::Still { led: false } => unled += 1,
                EdgeAnswer::Refused => return Err(ConnectError::Malformed),
            }
            self.look_again().await;
            round.followed(node);
            self.fault(None);
            if unled >= UNLED_MAX && self.heard.nodes.len() > 1 {
                tracing::info!(%node, "it hears no leader; the next one is asked");
                return Ok(());
            }
        }
    }

    async fn hear(&mut self, news: EdgeNews) {
        // A node that is behind the others says what was so before.
        if news.generation < self.heard.generation {
            return;
        }
        let news = with_offers_of(news, &self.heard);
        if news != self.heard {
            self.unkept = self.kept.keep(&news).err().map(|error| {
                tracing::error!(%error, "what the cluster says cannot be kept");
                format!("what the cluster says cannot be kept for the next start: {error}")
            });
            self.heard = news;
        }
        self.translate().await;
    }

    /// Makes a list of nodes of what was heard, with the addresses of their names as they are now.
    async fn translate(&mut self) {
        let offers = self.heard.nodes.values().filter_map(|node| node.offer.as_ref());
        let texts = offers.flat_map(|offer| [Some(&*offer.clients), offer.ready.as_deref()]).flatten();
        let names = Addresses::names(texts);
        if self.addresses.has_looked_up(&names) {
            // Looking up takes its time, and may come to nothing.
            self.say();
        }
        let before = self.addresses.known().clone();
        let found = look_up(names, &self.look_up).await;
        self.addresses.found(found, clock::monotonic());
        if self.unkept_addresses.is_some() || before != *self.addresses.known() {
            self.unkept_addresses = self.kept.keep_addresses(self.addresses.known()).err().map(|error| {
                tracing::error!(%error, "the addresses of nodes cannot be kept");
                format!("the addresses of nodes cannot be kept for the next start: {error}")
            });
        }
        self.say();
    }

    /// Looks up names again while one has no address.
    async fn look_again(&mut self) {
        if self.addresses.is_due(clock::monotonic()) {
            self.translate().await;
        }
    }

    fn say(&self) {
        if self.heard.nodes.values().all(|node| node.offer.is_none()) {
            return;
        }
        self.said.send_if_modified(|told| {
            let before = told.behind.take();
            let members = before.as_ref().map(|before| before.membership.clone()).unwrap_or_default();
            let of = |text: &str| self.addresses.of(text);
            told.behind = Some(behind(&self.heard, self.checks, &self.config.weights, of, &members));
            told.behind != before
        });
    }

    /// `None`: there is a node that is followed.
    fn fault(&self, fault: Option<String>) {
        let fault = fault.or_else(|| self.unkept.clone()).or_else(|| self.unkept_addresses.clone());
        self.said.send_if_modified(|told| {
            let news = told.fault != fault;
            told.fault = fault;
            news
        });
    }

    /// Asks the nodes that it knows what has changed, as one whose certificate is void.
    ///
    /// # Errors
    /// In words, when one says that this edge was removed.
    async fn ask_by_key(&mut self) -> Result<(), String> {
        let addresses: Vec<String> = self.heard.nodes.values().map(|node| node.peer_address.clone()).collect();
        for address in addresses {
            match self.ask_one_by_key(&address).await {
                Ok(Some(EdgeReply::Admitted(news))) if news.cluster == self.heard.cluster => {
                    self.hear(*news).await;
                    return Ok(());
                }
                Ok(Some(EdgeReply::Refused(refusal @ JoinRefusal::Refused(Refused::Removed(_))))) => {
                    return Err(joining::words(&refusal));
                }
                Ok(reply) => tracing::debug!(address, ?reply, "a node does not say what has changed"),
                Err(error) => tracing::error!(%error, "the request cannot be signed"),
            }
        }
        Ok(())
    }

    async fn ask_one_by_key(&self, address: &str) -> Result<Option<EdgeReply>, BadKeys> {
        let Ok(mut connection) = JoinConnection::open_for_edge(address, &self.heard, DEADLINE).await else {
            return Ok(None);
        };
        let question = request(&self.kept.keys, &self.profile, None, &connection.binding())?;
        let answer = connection.ask(&question).await.ok();
        Ok(answer.and_then(|answer| EdgeReply::decode(&answer).ok()))
    }
}

/// The connection was not made, or there is nobody any more.
fn is_unreached(error: &ConnectError) -> bool {
    use std::io::ErrorKind;
    match error {
        ConnectError::Unreachable(error) => !matches!(
            error.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::InvalidData
        ),
        _ => false,
    }
}

fn with_cause(error: &ConnectError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use endtoend_haproxy::Membership;
    use tokio::time::timeout;

    use super::*;

    const FOUND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9)), 1);

    /// Of a cluster with two nodes that nobody reaches; each is asked by a name whether it is ready.
    async fn followed(folder: &std::path::Path, known: &[&str], look_up: LookUp) -> ClusterSource {
        let kept = Kept::open(folder).unwrap();
        let mut heard = super::super::members::tests::news();
        for node in heard.nodes.values_mut() {
            node.peer_address = "127.0.0.1:1".to_owned();
        }
        kept.keep_first(&heard).unwrap();
        if !known.is_empty() {
            kept.keep_addresses(&known.iter().map(|name| ((*name).to_owned(), FOUND)).collect()).unwrap();
        }
        let profile = EdgeProfile { name: "edge-1".to_owned(), version: "1".to_owned() };
        let config = FollowConfig { directory: folder.to_owned(), weights: BTreeMap::new() };
        ClusterSource::follow(kept, heard, profile, (config, Checks::Ready), look_up).await.unwrap()
    }

    fn nowhere() -> LookUp {
        Arc::new(|_| Box::pin(std::future::ready(None)))
    }

    fn said(source: &mut ClusterSource) -> Option<Membership> {
        source.news()?.membership
    }

    #[tokio::test]
    async fn names_that_have_no_address_at_a_start_have_the_one_of_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut source = followed(folder.path(), &["a.example:1", "a.example:2"], nowhere()).await;
        let ready: Vec<_> = said(&mut source).unwrap().members.into_values().map(|member| member.ready).collect();
        assert_eq!(ready, [Some(FOUND); 2]);
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_looked_up_again_and_what_is_found_is_kept() {
        let (folder, there) = (tempfile::tempdir().unwrap(), Arc::new(AtomicBool::new(false)));
        let found = Arc::clone(&there);
        let look_up: LookUp =
            Arc::new(move |_| Box::pin(std::future::ready(found.load(Ordering::SeqCst).then_some(FOUND))));
        let mut source = followed(folder.path(), &["a.example:1"], look_up).await;
        assert_eq!(said(&mut source).unwrap().members.len(), 1, "the other one is not known");
        there.store(true, Ordering::SeqCst);
        let both = async {
            loop {
                if said(&mut source).is_some_and(|membership| membership.members.len() == 2) {
                    return;
                }
                source.told.changed().await.unwrap();
                source.told.mark_changed();
            }
        };
        timeout(Duration::from_secs(60), both).await.unwrap();
        assert_eq!(Kept::open(folder.path()).unwrap().addresses().len(), 2);
    }

    #[tokio::test]
    async fn a_cluster_is_new_until_that_is_written_down() {
        let folder = tempfile::tempdir().unwrap();
        drop(followed(folder.path(), &[], nowhere()).await);
        // It has ended before it did anything. The next start:
        let begin = async || {
            let config = FollowConfig { directory: folder.path().to_owned(), weights: BTreeMap::new() };
            let kept = Kept::open(folder.path()).unwrap();
            ClusterSource::begin(kept, (config, "edge-1".to_owned(), Checks::Ready), None, &|_| {}).await.unwrap()
        };
        let mut source = begin().await;
        assert!(source.begins_anew());
        source.has_begun();
        assert!(!source.begins_anew() && !begin().await.begins_anew());
    }
}
