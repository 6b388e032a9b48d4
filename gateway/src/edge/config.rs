//! The edge's own file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use endtoend_haproxy::{
    Checks, EdgeView, FilePath, Limits, Membership, Mode, Name, NotAPath, NotAView, Peer, Settings, Terminate, Times,
};
use serde::Deserialize;

use super::files::SOCKETS;
use super::following::FollowConfig;

/// No configuration of an edge is longer.
const BYTES_MAX: u64 = 256 * 1024;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EdgeConfig {
    /// What this edge is called, among its peers too.
    name: Name,
    /// Where clients connect.
    listen: Vec<SocketAddr>,
    /// Its own directory: sockets, HAProxy's configuration, what was applied last.
    pub(crate) directory: FilePath,
    /// The file that says which nodes there are; it is looked at all the time.
    view: Option<PathBuf>,
    /// There when a cluster says it instead.
    cluster: Option<FollowConfig>,
    /// Who starts HAProxy.
    #[serde(default)]
    pub(crate) supervision: Supervision,
    /// The program.
    #[serde(default = "haproxy")]
    pub(crate) haproxy: PathBuf,
    /// How it finds out whether a node can take connections.
    #[serde(default)]
    checks: Checks,
    /// There when the edge ends TLS.
    terminate: Option<Terminate>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    times: Times,
    #[serde(default)]
    peers: Vec<Peer>,
}

/// Where it stands which nodes there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    File(PathBuf),
    Cluster(FollowConfig),
}

/// Who starts HAProxy, and starts it again when it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Supervision {
    /// The agent.
    #[default]
    Own,
    /// Somebody else, such as systemd, with the file and the sockets in `directory`.
    Other,
}

/// Why an edge's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EdgeConfigError {
    #[error("cannot read {}: write it after deploy/haproxy/edge.example.toml", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: longer than {BYTES_MAX} bytes", .0.display())]
    TooLong(PathBuf),
    #[error("{}: {}", path.display(), source.message())]
    NotConfig { path: PathBuf, source: Box<toml::de::Error> },
    #[error(
        "{}: which nodes there are says either the file of `view` or the cluster of [cluster]: name one of them", .0.display()
    )]
    NotOneSource(PathBuf),
    #[error("directory: its sockets have longer names than a socket may have; choose a shorter one")]
    Directory(#[from] NotAPath),
    #[error("{}", path.display())]
    NotAnEdge { path: PathBuf, source: NotAView },
}

fn haproxy() -> PathBuf {
    PathBuf::from("haproxy")
}

impl EdgeConfig {
    /// # Errors
    /// See [`EdgeConfigError`].
    pub(crate) fn load(path: &Path) -> Result<Self, EdgeConfigError> {
        let read = |source| EdgeConfigError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(read)?.len() > BYTES_MAX {
            return Err(EdgeConfigError::TooLong(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        let config: Self = toml::from_str(&text)
            .map_err(|source| EdgeConfigError::NotConfig { path: path.to_owned(), source: Box::new(source) })?;
        if config.view.is_some() == config.cluster.is_some() {
            return Err(EdgeConfigError::NotOneSource(path.to_owned()));
        }
        // The longer one of the two.
        config.socket(true)?;
        let settings = config.settings(false)?;
        EdgeView { membership: Membership::default(), settings }
            .validate()
            .map_err(|source| EdgeConfigError::NotAnEdge { path: path.to_owned(), source })?;
        Ok(config)
    }

    /// What HAProxy is set to. `hybrid`: its TLS library has X25519MLKEM768.
    ///
    /// # Errors
    /// When the directory has too long a name.
    pub(crate) fn settings(&self, hybrid: bool) -> Result<Settings, NotAPath> {
        let Self { name, listen, checks, terminate, limits, times, peers, .. } = self;
        Ok(Settings {
            name: name.clone(),
            listen: listen.clone(),
            socket: self.socket(false)?,
            mode: match terminate {
                None => Mode::PassThrough,
                Some(terminate) => Mode::Terminate(Terminate { hybrid, ..terminate.clone() }),
            },
            checks: *checks,
            limits: limits.clone(),
            times: times.clone(),
            peers: peers.clone(),
        })
    }

    /// HAProxy's socket for orders, by its first or its second name.
    ///
    /// # Errors
    /// When the directory has too long a name.
    pub(crate) fn socket(&self, second: bool) -> Result<FilePath, NotAPath> {
        let [first_name, second_name] = SOCKETS;
        format!("{}/{}", self.directory, if second { second_name } else { first_name }).parse()
    }

    /// Where it stands which nodes there are; `None` only for what [`Self::load`] does not give.
    pub(crate) fn source(&self) -> Option<Origin> {
        let file = || self.view.clone().map(Origin::File);
        self.cluster.clone().map(Origin::Cluster).or_else(file)
    }

    /// What it is called, and how it checks nodes.
    pub(crate) fn follows_as(&self) -> (String, Checks) {
        (self.name.to_string(), self.checks)
    }

    pub(crate) const fn terminates(&self) -> bool {
        self.terminate.is_some()
    }

    pub(crate) const fn connections_max(&self) -> u32 {
        self.limits.connections_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../deploy/haproxy/edge.example.toml");

    #[test]
    fn the_example_is_an_edge_with_all_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let load = |text: &str| {
            let path = folder.path().join("edge.toml");
            std::fs::write(&path, text).unwrap();
            EdgeConfig::load(&path)
        };
        let example = load(EXAMPLE).unwrap();
        assert_eq!((&example.limits, &example.times), (&Limits::default(), &Times::default()));
        let least = "name = \"edge-1\"\nlisten = [\"0.0.0.0:8443\", \"[::]:8443\"]\n\
            directory = \"/run/endtoend-edge\"\nview = \"/etc/endtoend/nodes.toml\"\n";
        assert_eq!(load(least).unwrap(), example);

        assert!(matches!(load(&format!("{least}nmae = 1\n")), Err(EdgeConfigError::NotConfig { .. })));
        let cluster = "[cluster]\ndirectory = \"/var/lib/endtoend-edge\"\nweights = { node-1 = 50 }\n";
        assert!(matches!(load(&format!("{least}{cluster}")), Err(EdgeConfigError::NotOneSource(_))));
        let without = least.replace("view = \"/etc/endtoend/nodes.toml\"\n", "");
        assert!(matches!(load(&without), Err(EdgeConfigError::NotOneSource(_))));
        let follows = load(&format!("{without}{cluster}")).unwrap().source();
        assert!(matches!(follows, Some(Origin::Cluster(FollowConfig { weights, .. })) if weights.len() == 1));
        let nowhere = least.replace("\"0.0.0.0:8443\", \"[::]:8443\"", "");
        assert!(matches!(load(&nowhere), Err(EdgeConfigError::NotAnEdge { source: NotAView::NoAddress, .. })));
        let deep = least.replace("/run/endtoend-edge", &format!("/{}", "d".repeat(90)));
        assert!(matches!(load(&deep), Err(EdgeConfigError::Directory(_))));
        assert!(matches!(EdgeConfig::load(Path::new("/nonexistent")), Err(EdgeConfigError::Read { .. })));
    }
}
