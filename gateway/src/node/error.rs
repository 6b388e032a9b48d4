//! Why a node does not start, or ends.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use endtoend_crypto_core::visitor::NoVisitorKey;
use endtoend_storage::StoreError;

use super::certificates::CertificateError;
use super::data_dir::DataDirError;
use super::member::MemberError;
use super::open_files::TooFewFiles;
use super::store::OpenStoreError;
use crate::blobs::BlobsError;
use crate::config::RedisFileError;

/// Why a node does not run. Each text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    OpenFiles(#[from] TooFewFiles),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Store(#[from] OpenStoreError),
    #[error("the database stopped answering: look at its log, then start again")]
    Unanswered(#[from] StoreError),
    #[error(transparent)]
    Redis(#[from] RedisFileError),
    #[error(transparent)]
    Blobs(#[from] BlobsError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("{0} is in use: stop what listens there, or choose another address with --listen HOST:PORT")]
    AddressInUse(SocketAddr),
    #[error("cannot listen on {address}: choose another address with --listen HOST:PORT")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot listen on {address}: free it, or change [admin] listen")]
    AdminListen { address: SocketAddr, source: io::Error },
    #[error("cannot make {}: the data directory must lie on a file system that has sockets", path.display())]
    AdminSocket { path: PathBuf, source: io::Error },
    #[error(
        "{path} has no password of 1 to 256 bytes in its first line: write one, or leave [accounts] server_password_file empty"
    )]
    ServerPassword { path: PathBuf, source: Option<io::Error> },
    #[error(
        "[gateway] listen is \"systemd\", and no socket was handed over: start the node through its socket unit, or give an \
         address with --listen HOST:PORT"
    )]
    NothingHandedOver,
    #[error(
        "a socket was handed over, and [gateway] listen names {0}: write listen = \"systemd\", or start the node without its \
         socket unit"
    )]
    NotListenedOn(SocketAddr),
    #[error(
        "[admin] listen is \"systemd\", and no socket with the name \"admin\" was handed over: start the node with its socket \
         unit, which says FileDescriptorName=admin, or give an address"
    )]
    NoAdminHandedOver,
    #[error(
        "a socket with the name \"admin\" was handed over, and [admin] listen is not \"systemd\": write so, or start the node \
         without that socket's unit"
    )]
    AdminNotListenedOn,
    #[error(
        "the socket with the name \"admin\" is on {0}, which is reached from other machines, without TLS and without a login: \
         let its unit say ListenStream=127.0.0.1:9464, or set [admin] beyond_loopback = true"
    )]
    AdminExposed(SocketAddr),
    #[error("[onion] clients")]
    OnionClients(#[source] NoVisitorKey),
    #[error("the system has no thread for the onion service")]
    OnionThread(#[source] io::Error),
    #[error(transparent)]
    Member(#[from] MemberError),
    #[error("the listener failed")]
    Listener(#[source] io::Error),
    #[error("the system gives no signals, so that nothing could end the node in order")]
    Signals(#[source] io::Error),
}

impl ServeError {
    /// Whether the cluster does not want this node, so that starting it again changes nothing.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Member(error) => error.is_refusal(),
            _ => false,
        }
    }
}
