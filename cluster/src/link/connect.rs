//! From a socket to a link: who is at the other end, and what both speak.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, TlsStream};

use super::timings::EDGE_SILENCE_MAX;
use super::tls::{self, EDGE_ALPN, JOIN_ALPN, LINK_ALPN, LinkKey, TlsError, Untrusted, key_of, may_link};
use super::wire::{Hello, Versions, WireError, put, take};
use crate::join::Exporter;
use crate::{ClusterView, NodeId};

/// Bytes that the kernel holds beyond what is on its way: what waits there, a question of the control plane cannot overtake.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// An edge that acknowledges nothing for so long has gone: it leaves a node itself after half of that.
const EDGE_GONE_AFTER: Duration = EDGE_SILENCE_MAX.saturating_mul(2);

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No connection, or it broke.
    #[error("it cannot be reached")]
    Unreachable(#[source] io::Error),
    /// It was not through in time.
    #[error("the handshake took longer than {}", humantime(*.0))]
    TooSlow(Duration),
    /// It is not believed.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// It speaks another TLS, or does not believe this node.
    #[error("the TLS handshake failed")]
    Tls(#[source] rustls::Error),
    /// This node has no certificate yet.
    #[error("this node has no certificate yet")]
    NoCertificate,
    /// Its first frame is none.
    #[error("its first frame is no hello")]
    Malformed,
    /// It believes to be in another cluster.
    #[error("it is of another cluster")]
    AnotherCluster,
    /// No version in common.
    #[error("it speaks versions {} to {}, this node {} to {}", .theirs.min, .theirs.max, .ours.min, .ours.max)]
    NoCommonVersion {
        /// What it speaks.
        theirs: Versions,
        /// What this node speaks.
        ours: Versions,
    },
    /// The node with the smaller id dials.
    #[error("it should wait to be dialled")]
    WrongDirection,
}

fn humantime(duration: Duration) -> String {
    format!("{duration:?}")
}

impl From<TlsError> for ConnectError {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::NoCertificate => Self::NoCertificate,
            TlsError::Tls(error) => Self::Tls(error),
        }
    }
}

impl From<WireError> for ConnectError {
    fn from(_: WireError) -> Self {
        Self::Malformed
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => tls::untrusted(tls).map_or_else(|| Self::Tls(tls.clone()), |reason| reason.clone().into()),
            None => Self::Unreachable(error),
        }
    }
}

/// A connection whose other end is proved.
pub(super) struct Connected {
    pub(super) peer: NodeId,
    pub(super) key: Vec<u8>,
    pub(super) hello: Hello,
    /// The newest that both speak.
    pub(super) version: u16,
    pub(super) stream: TlsStream<TcpStream>,
    /// What was read beyond its hello.
    pub(super) read: BytesMut,
}

/// What somebody who has dialled wants.
pub(super) enum Incoming {
    Link(Box<Connected>),
    Join(Box<TlsStream<TcpStream>>, Exporter),
    /// An edge, with its key.
    Edge(Box<TlsStream<TcpStream>>, Vec<u8>),
}

/// What a handshake needs to know of this node.
pub(super) struct Own<'a> {
    pub(super) key: &'a LinkKey,
    pub(super) run: u64,
    pub(super) versions: Versions,
    pub(super) view: &'a ClusterView,
}

impl Own<'_> {
    fn hello(&self) -> Hello {
        Hello { versions: self.versions, cluster: self.view.cluster, run: self.run }
    }
}

fn prepare(tcp: &TcpStream) -> io::Result<()> {
    // Batches are made above: what is written is to leave.
    tcp.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(tcp).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    Ok(())
}

/// Opens a link to `peer`.
pub(super) async fn dial(own: Own<'_>, peer: NodeId) -> Result<Connected, ConnectError> {
    let address = own.view.members.get(&peer).map(|member| member.peer_address.clone());
    let address = address.ok_or(Untrusted::NotAMember(peer))?;
    let config = own.key.link_client(own.view, peer)?;
    let stream = connect(&address, config).await?;
    greet(&own, stream.into()).await
}

/// Opens a connection to ask a member of the cluster that has this authority to let this node join. Says what a request is
/// bound to.
pub(super) async fn dial_to_join(
    address: &str,
    config: rustls::ClientConfig,
) -> Result<(TlsStream<TcpStream>, Exporter), ConnectError> {
    let stream = connect(address, config).await?;
    let binding = tls::join_binding(stream.get_ref().1).map_err(ConnectError::Tls)?;
    Ok((stream.into(), binding))
}

pub(super) async fn connect(
    address: &str,
    config: rustls::ClientConfig,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ConnectError> {
    let tcp = TcpStream::connect(address).await.map_err(ConnectError::Unreachable)?;
    prepare(&tcp).map_err(ConnectError::Unreachable)?;
    // Who it is says its key: no name is sent, and none is checked.
    let nobody = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
    Ok(TlsConnector::from(Arc::new(config)).connect(nobody, tcp).await?)
}

/// Somebody has dialled.
pub(super) async fn accept(own: Own<'_>, tcp: TcpStream) -> Result<Incoming, ConnectError> {
    prepare(&tcp).map_err(ConnectError::Unreachable)?;
    let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
    let wants = |alpn: &[u8]| start.client_hello().alpn().is_some_and(|mut names| names.any(|name| name == alpn));
    if wants(LINK_ALPN) {
        let config = own.key.link_server(own.view)?;
        let connected = greet(&own, start.into_stream(Arc::new(config)).await?.into()).await?;
        if connected.peer >= own.key.node() {
            return Err(ConnectError::WrongDirection);
        }
        return Ok(Incoming::Link(Box::new(connected)));
    }
    if wants(EDGE_ALPN) {
        let config = own.key.edge_server(own.view)?;
        let stream: TlsStream<TcpStream> = start.into_stream(Arc::new(config)).await?.into();
        let key = peer_key(&stream)?;
        // So little is told to it that the kernel would take all of it for minutes: without this, who has gone keeps its place.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket2::SockRef::from(stream.get_ref().0)
            .set_tcp_user_timeout(Some(EDGE_GONE_AFTER))
            .map_err(ConnectError::Unreachable)?;
        return Ok(Incoming::Edge(Box::new(stream), key));
    }
    // A client that wants none of them is refused by this configuration.
    let config = own.key.join_server(own.view)?;
    let stream = start.into_stream(Arc::new(config)).await?;
    if stream.get_ref().1.alpn_protocol() != Some(JOIN_ALPN) {
        return Err(ConnectError::Tls(rustls::Error::NoApplicationProtocol));
    }
    let binding = tls::join_binding(stream.get_ref().1).map_err(ConnectError::Tls)?;
    Ok(Incoming::Join(Box::new(stream.into()), binding))
}

/// The key in the certificate that the other end has shown, which was verified.
fn peer_key(stream: &TlsStream<TcpStream>) -> Result<Vec<u8>, ConnectError> {
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    Ok(key_of(certificate.ok_or(ConnectError::Tls(rustls::Error::NoCertificatesPresented))?)?)
}

/// Both say what they speak and where they believe to be.
async fn greet(own: &Own<'_>, mut stream: TlsStream<TcpStream>) -> Result<Connected, ConnectError> {
    let key = peer_key(&stream)?;
    let peer = NodeId::of_key(&key);
    if !may_link(own.view, own.key.node(), peer, &key) {
        return Err(Untrusted::NotAMember(peer).into());
    }
    let mut out = Vec::new();
    put(&own.hello(), &mut out)?;
    stream.write_all(&out).await?;
    stream.flush().await?;
    let mut read = BytesMut::new();
    let hello = Hello::decode(&read_frame(&mut stream, &mut read, HELLO_BYTES_MAX).await?)?;
    let (ours, theirs) = (own.versions, hello.versions);
    let version = ours.common(theirs).ok_or(ConnectError::NoCommonVersion { theirs, ours })?;
    if hello.cluster != own.view.cluster {
        return Err(ConnectError::AnotherCluster);
    }
    Ok(Connected { peer, key, hello, version, stream, read })
}

/// Longest hello, with all that later versions may append.
const HELLO_BYTES_MAX: usize = 1024;

/// Reads one frame of at most `max` bytes.
pub(super) async fn read_frame<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    read: &mut BytesMut,
    max: usize,
) -> Result<bytes::Bytes, ConnectError> {
    loop {
        if let Some(frame) = take(read)? {
            return if frame.len() > max { Err(ConnectError::Malformed) } else { Ok(frame) };
        }
        if read.first_chunk::<4>().is_some_and(|head| u32::from_be_bytes(*head) as usize > max) {
            return Err(ConnectError::Malformed);
        }
        if stream.read_buf(read).await? == 0 {
            return Err(ConnectError::Unreachable(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}
