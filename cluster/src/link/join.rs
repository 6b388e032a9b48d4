//! How a node that is no member yet speaks with one: a few questions and answers on a connection of their own.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::connect::{ConnectError, dial_to_join, read_frame};
use super::hooks::Welcomes;
use super::tls;
use super::wire::{FRAME_BYTES_MAX, put_bytes};
use crate::edge::EdgeNews;
use crate::join::{Exporter, REQUEST_BYTES_MAX};
use crate::{ClusterView, KeyHash};

/// Longest answer to a node that joins: it carries members and sealed secrets.
pub const JOIN_ANSWER_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// Questions on one connection. Who has more opens another one.
const QUESTIONS_MAX: usize = 16;
/// Such a connection lives so long at most.
const LIFE_MAX: Duration = Duration::from_secs(60);

/// A connection to a member of the cluster that this node wants to join.
pub struct JoinConnection {
    stream: TlsStream<TcpStream>,
    read: BytesMut,
    binding: Exporter,
    deadline: Duration,
}

impl JoinConnection {
    /// Opens it. The other end must show a certificate of the `authority` whose fingerprint is in the join token. Connecting, and
    /// each question, may take as long as `deadline`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn open(address: &str, authority: KeyHash, deadline: Duration) -> Result<Self, ConnectError> {
        Self::open_with(address, tls::join_client(authority)?, deadline).await
    }

    /// Opens it to a member that this node, which is one too, has known: to be told what has changed while it was away. The
    /// other end must have the key of a member of `view`; its certificate may be of an authority that this node has not heard of.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn open_again(address: &str, view: &ClusterView, deadline: Duration) -> Result<Self, ConnectError> {
        Self::open_with(address, tls::rejoin_client(view)?, deadline).await
    }

    /// Opens it for an edge whose certificate is void, to a node that it knew: by the key of that, as [`JoinConnection::open_again`].
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn open_for_edge(address: &str, known: &EdgeNews, deadline: Duration) -> Result<Self, ConnectError> {
        Self::open_with(address, tls::lost_edge_client(known)?, deadline).await
    }

    async fn open_with(
        address: &str,
        config: tokio_rustls::rustls::ClientConfig,
        deadline: Duration,
    ) -> Result<Self, ConnectError> {
        let opened = timeout(deadline, dial_to_join(address, config)).await;
        let (stream, binding) = opened.map_err(|_| ConnectError::TooSlow(deadline))??;
        Ok(Self { stream, read: BytesMut::new(), binding, deadline })
    }

    /// What a proof is to be made with, so that it is worth nothing on another connection.
    pub const fn binding(&self) -> Exporter {
        self.binding
    }

    /// Asks, with at most [`REQUEST_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// `Unreachable` also when the other end does not answer such a question; [`ConnectError`]. The connection is of no
    /// use afterwards.
    pub async fn ask(&mut self, question: &[u8]) -> Result<Bytes, ConnectError> {
        let asked = async {
            write(&mut self.stream, question, REQUEST_BYTES_MAX).await?;
            read_frame(&mut self.stream, &mut self.read, JOIN_ANSWER_BYTES_MAX).await
        };
        timeout(self.deadline, asked).await.map_err(|_| ConnectError::TooSlow(self.deadline))?
    }
}

async fn write(stream: &mut TlsStream<TcpStream>, bytes: &[u8], max: usize) -> Result<(), ConnectError> {
    let mut out = Vec::with_capacity(bytes.len() + 4);
    put_bytes(bytes, max, &mut out)?;
    stream.write_all(&out).await?;
    Ok(stream.flush().await?)
}

/// The other end of it.
pub(super) async fn serve(mut stream: TlsStream<TcpStream>, binding: Exporter, welcomes: &dyn Welcomes) {
    let conversation = async {
        let mut read = BytesMut::new();
        for _ in 0..QUESTIONS_MAX {
            let question = read_frame(&mut stream, &mut read, REQUEST_BYTES_MAX).await?;
            let Some(answer) = welcomes.welcome(binding, question).await else { break };
            write(&mut stream, &answer, JOIN_ANSWER_BYTES_MAX).await?;
        }
        let _ = stream.shutdown().await;
        Ok::<(), ConnectError>(())
    };
    if let Ok(Err(error)) = timeout(LIFE_MAX, conversation).await {
        tracing::debug!(%error, "a connection that asks to join ended");
    }
}
