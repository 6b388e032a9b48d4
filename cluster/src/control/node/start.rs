//! How a node's control plane begins: as the first of a cluster, as a new member, or as what it was.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use openraft::impls::EmptyNode;
use openraft::{Config, SnapshotPolicy};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Campaigns, Control, ControlError, ControlFile, Hint, Inner, OpenError, Raft, Setup, Timings};
use crate::authority::AuthorityError;
use crate::control::campaign::draw;
use crate::control::command::{Command, Founding, Settings};
use crate::control::network::{Acks, Network};
use crate::control::store::{LogStore, Machine, admitted, keep_admitted};
use crate::join::{Admitted, BadAdmission};
use crate::keys::NodeKeys;
use crate::secrets::{ClusterKey, LINK_AUTHORITY, Secrets, SecretsError};
use crate::{Authority, ClusterId, ClusterView};

/// A snapshot is made after so many entries.
pub(super) const SNAPSHOT_EVERY: u64 = 256;
/// Entries that stay in the log besides, for members that are a little behind.
const KEPT_ENTRIES: u64 = 128;
/// Longest piece of a snapshot that is sent at one time, in bytes.
const SNAPSHOT_PIECE: u64 = 256 * 1024;
/// How long a new cluster of one may take to begin: some writes to the disk.
const FOUNDING_DEADLINE: Duration = Duration::from_secs(60);

/// How it begins. What is on disk already goes before: a second start is [`Beginning::Known`], whatever is asked for.
#[derive(Debug)]
pub enum Beginning {
    /// A new cluster, of this node alone.
    Found(Box<Found>),
    /// A member has admitted this node; or, when it is one, has told it what has changed.
    Join(Box<Admitted>),
    /// What is on disk.
    Known,
}

/// What a new cluster begins with.
#[derive(Debug)]
pub struct Found {
    /// Its name, and what is decided for all members.
    pub settings: Settings,
    /// What its nodes share. The link authority is made.
    pub secrets: Secrets,
}

/// Why the control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `control.db` was not opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// `control.db` holds what this program cannot read or do.
    #[error("the log of the control plane cannot be used: {0}")]
    Log(String),
    /// There is nothing on disk to begin with.
    #[error("this node is not part of a cluster: it has to found one, or to join")]
    Nothing,
    /// The admission is not for this node.
    #[error("the node was not admitted")]
    Admission(#[from] BadAdmission),
    /// The secrets of a new cluster could not be made or sealed.
    #[error("the secrets of a new cluster cannot be sealed")]
    Secrets(#[from] SecretsError),
    /// There is no authority for a new cluster.
    #[error("a new cluster has no link authority")]
    Authority(#[from] AuthorityError),
    /// The first command was not taken.
    #[error("a new cluster did not begin")]
    Founding(#[from] ControlError),
}

impl Control {
    /// Opens the file and starts raft.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(setup: Setup, beginning: Beginning) -> Result<Arc<Self>, StartError> {
        let file = Arc::new(ControlFile::open(&setup.path, setup.keys.node()).await?);
        let started = Self::start_on(Arc::clone(&file), setup, beginning).await;
        if started.is_err() {
            file.close().await;
        }
        started
    }

    async fn start_on(file: Arc<ControlFile>, setup: Setup, beginning: Beginning) -> Result<Arc<Self>, StartError> {
        let log = |error: super::super::raft::StorageError| StartError::Log(error.to_string());
        let machine = Machine::restore(Arc::clone(&file)).await.map_err(log)?;
        let state = machine.foresee().await.map_err(log)?;
        if let Beginning::Join(told) = &beginning {
            told.check(&setup.keys, None, state.cluster())?;
            keep_admitted(&file, told).await.map_err(log)?;
        }
        let hint = match admitted(&file).await.map_err(log)? {
            None => None,
            Some(told) => Some(Hint { index: told.index, state: told.check(&setup.keys, None, None)?.0 }),
        };
        let newest = hint.as_ref().map_or(&state, |hint| if state.cluster().is_some() { &state } else { &hint.state });
        let (founding, timings) = match (newest.settings(), &beginning) {
            (Some(settings), _) => (None, settings.timings),
            (None, Beginning::Found(found)) => (Some(founding(&setup, found)?), found.settings.timings),
            (None, _) => return Err(StartError::Nothing),
        };

        let (known, recent) = (machine.known(), machine.recent());
        // Longer than a heartbeat: what was lost is found by heartbeats, and this is for what they do not carry.
        let muted = Arc::new(AtomicBool::new(false));
        let calls = Arc::clone(&setup.calls);
        let acks = Arc::new(Acks::new(timings.silence));
        let network = Network { calls, pause: timings.heartbeat, muted: Arc::clone(&muted), acks: Arc::clone(&acks) };
        let config = Arc::new(config(timings));
        let node = setup.keys.node().get();
        let raft = Raft::new(node, config, network, LogStore::new(Arc::clone(&file)), machine)
            .await
            .map_err(|error| StartError::Log(error.to_string()))?;
        let inner = Arc::new(Inner {
            setup,
            timings,
            raft,
            file,
            known,
            recent,
            hint: watch::Sender::new(hint.map(Arc::new)),
            campaigns: Mutex::new(Campaigns::new(timings, Instant::now(), draw())),
            view: watch::Sender::new(ClusterView::default()),
            opened: watch::Sender::new(None),
            own: Mutex::new(None),
            membership: tokio::sync::Mutex::new(()),
            passing: AtomicBool::new(false),
            muted,
            acks,
            stop: watch::Sender::new(false),
        });
        inner.follow_once();
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&inner).follow());
        tasks.spawn(Arc::clone(&inner).campaign());
        let control = Arc::new(Self { inner, tasks: tokio::sync::Mutex::new(tasks) });
        if let Some(founding) = founding
            && let Err(error) = control.found(founding).await
        {
            control.shutdown().await;
            return Err(error);
        }
        let mut tasks = control.tasks.lock().await;
        tasks.spawn(Arc::clone(&control.inner).do_duties());
        tasks.spawn(Arc::clone(&control.inner).announce());
        drop(tasks);
        Ok(control)
    }

    /// Makes a cluster of this node alone, or goes on where that was interrupted.
    async fn found(&self, founding: Founding) -> Result<(), StartError> {
        let Inner { raft, .. } = &*self.inner;
        let fatal = |_| StartError::Founding(ControlError::Stopped);
        if !raft.is_initialized().await.map_err(fatal)? {
            let me = std::collections::BTreeMap::from([(self.node().get(), EmptyNode {})]);
            raft.initialize(me).await.map_err(|error| StartError::Log(error.to_string()))?;
        }
        self.propose(Command::Found(Box::new(founding)), FOUNDING_DEADLINE).await?;
        self.inner.follow_once();
        Ok(())
    }

    /// The secrets of the cluster as a member that does not run has them: those of `path`, opened with its keys.
    ///
    /// # Errors
    /// `Nothing` when it is no member, `Secrets` when they are not for it; [`StartError`].
    pub async fn read_stopped(path: &Path, keys: &NodeKeys) -> Result<Secrets, StartError> {
        let log = |error: super::super::raft::StorageError| StartError::Log(error.to_string());
        let file = Arc::new(ControlFile::open(path, keys.node()).await?);
        let read = async {
            let state = Machine::restore(Arc::clone(&file)).await.map_err(log)?.foresee().await.map_err(log)?;
            let state = match admitted(&file).await.map_err(log)? {
                Some(told) if state.cluster().is_none() => told.check(keys, None, None)?.0,
                _ => state,
            };
            let cluster = state.cluster().ok_or(StartError::Nothing)?;
            let key = ClusterKey::open(state.sealed(), cluster, keys.node(), keys.sealing())?;
            Ok(key.open_blob(&state.sealed().blob)?)
        };
        let read = read.await;
        file.close().await;
        read
    }

    /// A member has told this node what has changed while it was away: it believes that until its log has come so far.
    ///
    /// # Errors
    /// `Admission` when it is of another cluster or not for this node, `Log` when it cannot be kept.
    pub async fn admitted(&self, told: &Admitted) -> Result<(), StartError> {
        let (state, _) = told.check(&self.inner.setup.keys, None, self.state().cluster())?;
        keep_admitted(&self.inner.file, told).await.map_err(|error| StartError::Log(error.to_string()))?;
        self.inner.hint.send_replace(Some(Arc::new(Hint { index: told.index, state })));
        self.inner.follow_once();
        Ok(())
    }
}

/// The first command: authority, certificate and secrets of a new cluster.
fn founding(setup: &Setup, found: &Found) -> Result<Founding, StartError> {
    let rng = &mut rand::rng();
    let mut cluster = [0; 16];
    rand::Rng::fill_bytes(rng, &mut cluster);
    let cluster = ClusterId::new(cluster);
    let (keys, pkcs8): (&NodeKeys, _) = (&setup.keys, Authority::new_key()?);
    let authority = Authority::from_key(&pkcs8)?;
    let mut secrets = found.secrets.clone();
    secrets.put(LINK_AUTHORITY, &pkcs8)?;
    let now = setup.clock.as_ref().map_or_else(crate::clock::now, |clock| clock());
    let sealing = keys.sealing().public();
    let sealed =
        ClusterKey::generate(rng, cluster, 1).seal(rng, &secrets, [(keys.node(), sealing.as_slice())].into_iter())?;
    Ok(Founding {
        cluster,
        settings: found.settings.clone(),
        founder: setup.profile.applicant(keys),
        certificate: authority.issue(&keys.key(), now)?,
        authority: authority.certificate().clone(),
        sealed,
    })
}

/// openraft's own settings. Elections are ours (`campaign`), its lease is our silence.
fn config(timings: Timings) -> Config {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (every, kept) = (SNAPSHOT_EVERY, KEPT_ENTRIES);
    #[cfg(test)]
    let (every, kept) = crate::control::tests::seeded::chance::snapshots().unwrap_or((every, kept));
    Config {
        cluster_name: "control".to_owned(),
        heartbeat_interval: ms(timings.heartbeat),
        // How long an answer to a request for a vote is waited for.
        election_timeout_min: ms(timings.silence) - 1,
        // Nobody votes that has heard from a leader so lately.
        election_timeout_max: ms(timings.silence),
        enable_elect: false,
        install_snapshot_timeout: ms(timings.silence * 5),
        max_payload_entries: 64,
        replication_lag_threshold: every * 2,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(every),
        snapshot_max_chunk_size: SNAPSHOT_PIECE,
        max_in_snapshot_log_to_keep: kept,
        purge_batch_size: 1,
        ..Config::default()
    }
}
