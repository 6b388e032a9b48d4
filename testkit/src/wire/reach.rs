//! Connecting to a node that may not be there, or may go away meanwhile.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use endtoend_crypto_core::channel::{Assembler, Channel, Initiator, Introduction, Step, chunks};
use endtoend_crypto_core::opaque::ClientLogin;
use endtoend_crypto_core::proof::Purpose;
use endtoend_protocol::{Answer, ClientFrame, RefusalCode, Request, ServerFrame, VERSION, limits};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::{Device, Unsecured, Wire, WireReceiver, WireSender, authenticated, trusting_tls};

/// The connection ended, or was not had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Why a device is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// As [`Gone`].
    Gone,
    /// The node says no.
    Refused(RefusalCode),
}

impl From<Gone> for Unreached {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// A connection as far as TLS goes. Believes every certificate.
///
/// # Errors
/// When the node is not there, or goes away.
pub async fn reach_tls(node: SocketAddr) -> Result<TlsStream<TcpStream>, Gone> {
    secured(TcpStream::connect(node).await.map_err(|_| Gone)?, node).await
}

/// The same, from another address of this machine.
///
/// # Errors
/// As there.
pub async fn reach_tls_from(from: Ipv4Addr, node: SocketAddr) -> Result<TlsStream<TcpStream>, Gone> {
    secured(dial(from, node).await?, node).await
}

async fn dial(from: Ipv4Addr, node: SocketAddr) -> Result<TcpStream, Gone> {
    let socket = TcpSocket::new_v4().map_err(|_| Gone)?;
    socket.bind((from, 0).into()).map_err(|_| Gone)?;
    socket.connect(node).await.map_err(|_| Gone)
}

async fn secured(tcp: TcpStream, node: SocketAddr) -> Result<TlsStream<TcpStream>, Gone> {
    // As clients do: otherwise each login waits 40 ms for an acknowledgement that the other side holds back.
    tcp.set_nodelay(true).map_err(|_| Gone)?;
    let connector = TlsConnector::from(Arc::new(trusting_tls()));
    connector.connect(ServerName::IpAddress(node.ip().into()), tcp).await.map_err(|_| Gone)
}

impl Unsecured {
    /// As [`Self::connect_with`].
    ///
    /// # Errors
    /// When the node is not there, or goes away.
    pub async fn reach(node: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, Gone> {
        Self::over(TcpStream::connect(node).await.map_err(|_| Gone)?, node, headers).await
    }

    /// From another address of this machine, with these bytes before anything else, as an edge says them.
    ///
    /// # Errors
    /// When the node is not there, or goes away.
    pub async fn reach_saying(from: Ipv4Addr, node: SocketAddr, first: &[u8]) -> Result<Self, Gone> {
        let mut tcp = dial(from, node).await?;
        tcp.write_all(first).await.map_err(|_| Gone)?;
        Self::over(tcp, node, &[]).await
    }

    pub(super) async fn over(tcp: TcpStream, node: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, Gone> {
        let tls = secured(tcp, node).await?;
        let mut request = format!("wss://{node}/v1").into_client_request().expect("an address");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        tokio_tungstenite::client_async(request, tls).await.map(|(socket, _)| Self(socket)).map_err(|_| Gone)
    }

    pub(super) async fn try_hear(&mut self, step: Step) -> Result<Vec<u8>, Gone> {
        let mut assembler = Assembler::new(step);
        loop {
            let chunk = self.recv().await.map_err(|_| Gone)?;
            if let Some(message) = assembler.push(&chunk).expect("a chunk") {
                return Ok(message);
            }
        }
    }

    pub(super) async fn try_secure(mut self) -> Result<Wire, Gone> {
        let introduction = Introduction::read(&self.try_hear(Step::Introduction).await?).expect("an introduction");
        let begun = Initiator::start(&mut rand::rng(), &introduction.keys, introduction.as_bytes());
        let (initiator, initiate) = begun.expect("good keys");
        for chunk in chunks(Step::Initiate, &initiate) {
            self.send(chunk).await;
        }
        let answer = self.try_hear(Step::Respond).await?;
        let Channel { sealer, opener, binding } = initiator.finish(&answer).expect("the node's answer");
        let (sink, stream) = self.0.split();
        let (out, back) = (WireSender { sink, sealer }, WireReceiver { stream, opener });
        Ok(Wire { out, back, channel_binding: binding, requests: 0 })
    }
}

impl Wire {
    /// Connects as a device that was registered, with its access token.
    ///
    /// # Errors
    /// When the node is not there, goes away, or refuses the token.
    pub async fn reach(node: SocketAddr, device: &Device) -> Result<Self, Unreached> {
        let (mut wire, challenge) = Self::greeted(node).await?;
        let resume = wire.resume_request(&challenge, device);
        wire.try_ask(resume).await.map(|_| wire)
    }

    /// Connects as a device that was registered, with the password of [`Wire::register`]; gives it new tokens.
    ///
    /// # Errors
    /// When the node is not there, goes away, or refuses it.
    pub async fn reach_by_password(node: SocketAddr, device: &mut Device) -> Result<Self, Unreached> {
        let (mut wire, challenge) = Self::greeted(node).await?;
        let (login, opaque) = ClientLogin::start(&mut rand::rng(), super::PASSWORD).expect("OPAQUE starts");
        let account = device.address.account;
        let answer = wire.try_ask(Request::LoginStart { account, opaque: opaque.into() }).await?;
        let Answer::LoginChallenge { opaque } = answer else { panic!("no login: {answer:?}") };
        let opaque = login.finish(&mut rand::rng(), super::PASSWORD, &opaque).expect("the right password").ke3.into();
        let device_proof = wire.proof(&device.key, &challenge, device.address, Purpose::Login);
        let finish = Request::LoginFinish { opaque, device: device.address.device, device_proof };
        let id = endtoend_protocol::RequestId(std::num::NonZeroU64::MAX);
        let answer = wire.try_ask(finish).await?;
        *device = authenticated(ServerFrame::Answer { id, answer }, Arc::clone(&device.key));
        Ok(wire)
    }

    async fn greeted(node: SocketAddr) -> Result<(Self, [u8; limits::CHALLENGE_BYTES]), Unreached> {
        let mut wire = Unsecured::reach(node, &[]).await?.try_secure().await?;
        let hello = Request::Hello { version_min: VERSION, version_max: VERSION, server_password: Default::default() };
        match wire.try_ask(hello).await? {
            Answer::Welcome { challenge, .. } => Ok((wire, challenge)),
            other => panic!("no welcome: {other:?}"),
        }
    }

    /// Asks, and gives the answer. For a connection to which nothing is delivered yet.
    ///
    /// # Errors
    /// When the connection ends instead, or the node refuses.
    pub async fn try_ask(&mut self, request: Request) -> Result<Answer, Unreached> {
        self.requests += 1;
        let id = endtoend_protocol::RequestId(std::num::NonZeroU64::new(self.requests).expect("counted from 1"));
        self.out.try_feed(&ClientFrame::Request { id, request }).await?;
        self.out.try_flush().await?;
        loop {
            match self.back.recv().await {
                Some(ServerFrame::Answer { answer, .. }) => return Ok(answer),
                Some(ServerFrame::Refused { refusal, .. }) => return Err(Unreached::Refused(refusal.code)),
                Some(ServerFrame::Closing { .. }) | None => return Err(Unreached::Gone),
                Some(_) => {}
            }
        }
    }
}

impl WireSender {
    /// Hands a frame over without waiting for the socket to take it.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn try_feed(&mut self, frame: &ClientFrame) -> Result<(), Gone> {
        let record = self.sealer.seal(&frame.encode(), Duration::ZERO).expect("a young channel");
        self.sink.feed(Message::Binary(record.into())).await.map_err(|_| Gone)
    }

    /// Sends what was fed.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn try_flush(&mut self) -> Result<(), Gone> {
        self.sink.flush().await.map_err(|_| Gone)
    }

    /// Sends a ping of the WebSocket.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn ping(&mut self) -> Result<(), Gone> {
        self.sink.feed(Message::Ping(bytes::Bytes::new())).await.map_err(|_| Gone)
    }
}
