//! How an edge follows a node: it asks once and hears what changes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsStream;

use super::connect::{ConnectError, connect, read_frame};
use super::timings::EDGE_SILENCE_MAX;
use super::tls::{LinkKey, edge_client};
use super::wire::put;
use crate::edge::{self, EDGE_NEWS_BYTES_MAX, EdgeAnswer, EdgeNews, EdgeQuestion, Offers};
use crate::{ClusterView, NodeId};

/// Longest question of an edge, in bytes. There is one, and it is shorter.
const QUESTION_BYTES_MAX: usize = 1024;
/// An edge asks within this time.
const QUESTION_MAX: Duration = Duration::from_secs(10);
/// How often an edge hears something.
const STILL_EACH: Duration = Duration::from_secs(1);
/// An edge that takes nothing for so long is gone.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Why an edge is told nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Left {
    #[error("it has closed the connection, or the connection broke")]
    Gone,
    #[error("it does not take what it is told")]
    Slow,
    #[error("it has asked for what is not for edges")]
    Refused,
    #[error("it may not follow any more")]
    NotAnEdge,
    #[error("this node stops")]
    Stopped,
}

/// Tells an edge that has proved its key all that it may know. What else it asks is refused.
pub(super) async fn serve(
    mut stream: TlsStream<TcpStream>,
    edge: NodeId,
    key: &[u8],
    mut view: watch::Receiver<ClusterView>,
    mut offers: watch::Receiver<Offers>,
) -> Left {
    let mut read = BytesMut::new();
    let asked = timeout(QUESTION_MAX, read_frame(&mut stream, &mut read, QUESTION_BYTES_MAX)).await;
    match asked {
        Ok(Ok(frame)) if EdgeQuestion::decode(&frame) == Ok(EdgeQuestion::Follow) => {}
        Ok(Err(ConnectError::Unreachable(_))) | Err(_) => return Left::Gone,
        Ok(Ok(_) | Err(_)) => return refuse(&mut stream).await,
    }
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut still = interval(STILL_EACH);
    still.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: Option<EdgeNews> = None;
    loop {
        let (news, led) = {
            let view = view.borrow_and_update();
            let known = view.edges.get(&edge).filter(|known| known.key == key);
            (known.and_then(|_| edge::of(&view, edge, &offers.borrow_and_update())), view.leader.is_some())
        };
        let Some(news) = news else { return Left::NotAnEdge };
        if told.as_ref() != Some(&news) {
            if let Err(left) = say(&mut writer, &EdgeAnswer::news(&news)).await {
                return left;
            }
            told = Some(news);
        }
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return Left::Stopped },
            changed = offers.changed() => if changed.is_err() { return Left::Stopped },
            _ = still.tick() => if let Err(left) = say(&mut writer, &EdgeAnswer::Still { led }).await { return left },
            more = reader.read_buf(&mut read) => return match more {
                Ok(0) | Err(_) => Left::Gone,
                Ok(_) => refuse(&mut writer).await,
            },
        }
    }
}

async fn refuse(writer: &mut (impl AsyncWrite + Unpin)) -> Left {
    // Whether it hears that or not.
    let _ = say(writer, &EdgeAnswer::Refused).await;
    let _ = timeout(WRITE_MAX, writer.shutdown()).await;
    Left::Refused
}

async fn say(writer: &mut (impl AsyncWrite + Unpin), words: &impl Serialize) -> Result<(), Left> {
    let mut out = Vec::new();
    put(words, &mut out).map_err(|_| Left::Stopped)?;
    let written = async {
        writer.write_all(&out).await?;
        writer.flush().await
    };
    match timeout(WRITE_MAX, written).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Left::Gone),
        Err(_) => Err(Left::Slow),
    }
}

/// An edge's connection to a node that it follows.
pub struct EdgeConnection {
    pub(super) stream: TlsStream<TcpStream>,
    read: BytesMut,
}

impl EdgeConnection {
    /// Opens it to a node that was in the news. Connecting may take as long as `deadline`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn follow(
        address: &str,
        key: &LinkKey,
        heard: &EdgeNews,
        deadline: Duration,
    ) -> Result<Self, ConnectError> {
        Self::ask(address, key, heard, &EdgeQuestion::Follow, deadline).await
    }

    pub(super) async fn ask(
        address: &str,
        key: &LinkKey,
        heard: &EdgeNews,
        question: &impl Serialize,
        deadline: Duration,
    ) -> Result<Self, ConnectError> {
        let opened = async {
            let mut stream = TlsStream::from(connect(address, edge_client(key, heard)?).await?);
            let mut out = Vec::new();
            put(question, &mut out)?;
            stream.write_all(&out).await?;
            stream.flush().await?;
            Ok(Self { stream, read: BytesMut::new() })
        };
        timeout(deadline, opened).await.map_err(|_| ConnectError::TooSlow(deadline))?
    }

    /// What the node says next. Something comes each second.
    ///
    /// # Errors
    /// `TooSlow` when nothing comes for [`EDGE_SILENCE_MAX`], `Malformed` when it is no answer; [`ConnectError`].
    pub async fn next(&mut self) -> Result<EdgeAnswer, ConnectError> {
        let heard = timeout(EDGE_SILENCE_MAX, read_frame(&mut self.stream, &mut self.read, ANSWER_BYTES_MAX)).await;
        let frame: Bytes = heard.map_err(|_| ConnectError::TooSlow(EDGE_SILENCE_MAX))??;
        EdgeAnswer::decode(&frame).map_err(|_| ConnectError::Malformed)
    }
}

/// News, with what is around them.
const ANSWER_BYTES_MAX: usize = EDGE_NEWS_BYTES_MAX + 16;
