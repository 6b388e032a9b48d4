//! A client that may say anything.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use endtoend_crypto_core::channel::{Assembler, Channel, Initiator, Introduction, Opener, Sealer, Step, chunks};
use endtoend_crypto_core::opaque::ClientRegistration;
use endtoend_crypto_core::proof::{DeviceStatement, Purpose, sign_device_proof};
use endtoend_crypto_core::signature::SigningKey;
use endtoend_protocol::{
    AccountTag, Address, Answer, ClientFrame, DeviceId, Envelope, EnvelopeId, EnvelopeKey, KemPreKey, NewDevice,
    Request, RequestId, ServerFrame, SignedPreKey, UnixMillis, VERSION, limits,
};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::clock::PATIENCE;

/// A connection to a node, as far as TLS and WebSocket go.
#[derive(Debug)]
pub struct Unsecured(Socket);

/// A connection to a node, with its secure channel.
#[derive(Debug)]
pub struct Wire {
    out: WireSender,
    back: WireReceiver,
    channel_binding: [u8; 32],
    requests: u64,
}

/// A registered device without the keys that would let anybody write to it: its envelopes are noise.
pub struct Device {
    /// Where envelopes for it go.
    pub address: Address,
    token: Bytes,
    key: SigningKey,
}

impl Unsecured {
    /// Connects, and believes every certificate.
    pub async fn connect(node: SocketAddr) -> Self {
        let tcp = TcpStream::connect(node).await.expect("the node listens");
        let connector = TlsConnector::from(Arc::new(tls_config()));
        let tls = connector.connect(ServerName::IpAddress(node.ip().into()), tcp).await.expect("a TLS handshake");
        let upgraded = tokio_tungstenite::client_async(format!("wss://{node}/v1"), tls).await;
        Self(upgraded.expect("a WebSocket handshake").0)
    }

    /// Sends any bytes as a WebSocket message.
    pub async fn send(&mut self, bytes: impl Into<Bytes>) {
        // The server may have closed meanwhile: what it said is still there to be read.
        let _closed = timeout(PATIENCE, self.0.send(Message::Binary(bytes.into()))).await.expect("it is read");
    }

    /// The next WebSocket message, or the reason with which the node ended the connection.
    pub async fn recv(&mut self) -> Result<Bytes, String> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("the server says something") {
                Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(Some(why)))) => return Err(why.reason.to_string()),
                _ => return Err(String::new()),
            }
        }
    }

    /// Hears a whole message of the secure channel's handshake.
    pub async fn hear(&mut self, step: Step) -> Vec<u8> {
        let mut assembler = Assembler::new(step);
        loop {
            let chunk = self.recv().await.expect("the handshake goes on");
            if let Some(message) = assembler.push(&chunk).expect("a chunk") {
                return message;
            }
        }
    }

    /// Opens the secure channel, and believes every identity.
    pub async fn secure(mut self) -> Wire {
        let introduction = Introduction::read(&self.hear(Step::Introduction).await).expect("an introduction");
        let begun = Initiator::start(&mut rand::rng(), &introduction.keys, introduction.as_bytes());
        let (initiator, initiate) = begun.expect("good keys");
        for chunk in chunks(Step::Initiate, &initiate) {
            self.send(chunk).await;
        }
        let answer = self.hear(Step::Respond).await;
        let Channel { sealer, opener, binding } = initiator.finish(&answer).expect("the node's answer");
        let (sink, stream) = self.0.split();
        let (out, back) = (WireSender { sink, sealer }, WireReceiver { stream, opener });
        Wire { out, back, channel_binding: binding, requests: 0 }
    }
}

impl Wire {
    /// Connects, and believes every certificate and identity.
    pub async fn connect(node: SocketAddr) -> Self {
        Unsecured::connect(node).await.secure().await
    }

    /// Connects and registers a new account with its first device.
    pub async fn register(node: SocketAddr, account: AccountTag) -> (Self, Device) {
        let mut wire = Self::connect(node).await;
        let challenge = wire.hello().await;
        let key = SigningKey::generate(&mut rand::rng());
        let password = b"as good as any other";
        let (start, opaque) = ClientRegistration::start(&mut rand::rng(), password).expect("OPAQUE starts");
        let answer = wire.ask(Request::RegisterStart { account, opaque: opaque.into() }).await;
        let ServerFrame::Answer { answer: Answer::RegisterChallenge { opaque }, .. } = answer else {
            panic!("no registration: {answer:?}");
        };
        let done = start.finish(&mut rand::rng(), password, &opaque).expect("OPAQUE finishes");
        let address = Address { account, device: DeviceId::FIRST };
        let device_proof = wire.proof(&key, &challenge, address, Purpose::Register);
        let device = Box::new(noise_keys(key.verifying_key().to_bytes().into()));
        let request = Request::RegisterFinish { opaque: done.record.into(), device_proof, device, invite: None };
        let token = authenticated(wire.ask(request).await);
        (wire, Device { address, token, key })
    }

    /// Connects as a device that was registered.
    pub async fn resume(node: SocketAddr, device: &Device) -> Self {
        let mut wire = Self::connect(node).await;
        let challenge = wire.hello().await;
        let claims = endtoend_crypto_core::token::peek(&device.token).expect("the server's own token");
        let purpose = Purpose::Resume { token_id: claims.token_id };
        let device_proof = wire.proof(&device.key, &challenge, device.address, purpose);
        authenticated(wire.ask(Request::Resume { token: device.token.clone(), device_proof }).await);
        wire
    }

    /// Says hello and gives the server's challenge.
    pub async fn hello(&mut self) -> [u8; limits::CHALLENGE_BYTES] {
        let server_password = Bytes::new();
        let hello = Request::Hello { version_min: VERSION, version_max: VERSION, server_password };
        let answer = self.ask(hello).await;
        let ServerFrame::Answer { answer: Answer::Welcome { challenge, .. }, .. } = answer else {
            panic!("no welcome: {answer:?}");
        };
        challenge
    }

    /// Asks, and gives the next frame whatever it is.
    pub async fn ask(&mut self, request: Request) -> ServerFrame {
        self.requests += 1;
        let id = RequestId(NonZeroU64::new(self.requests).expect("counted from 1"));
        self.send(&ClientFrame::Request { id, request }).await;
        self.recv().await.expect("an answer")
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &ClientFrame) {
        self.send_bytes(frame.encode()).await;
    }

    /// Sends any bytes as a frame.
    pub async fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        let record = self.record(bytes.as_ref());
        self.send_record(record).await;
    }

    /// Seals any bytes as the next frame, and keeps the record back.
    pub fn record(&mut self, frame: &[u8]) -> Bytes {
        self.out.sealer.seal(frame, Duration::ZERO).expect("a young channel").into()
    }

    /// Sends any bytes as a WebSocket message.
    pub async fn send_record(&mut self, record: impl Into<Bytes>) {
        // The server may have closed meanwhile: what it said is still there to be read.
        let _closed = timeout(PATIENCE, self.out.sink.send(Message::Binary(record.into()))).await.expect("it is read");
    }

    /// The next frame; `None` when the connection has ended.
    pub async fn recv(&mut self) -> Option<ServerFrame> {
        timeout(PATIENCE, self.back.recv()).await.expect("the server says something")
    }

    /// Both directions apart, for tasks of their own.
    pub fn split(self) -> (WireSender, WireReceiver) {
        (self.out, self.back)
    }

    fn proof(&self, key: &SigningKey, challenge: &[u8; 32], address: Address, purpose: Purpose) -> Bytes {
        let statement = DeviceStatement {
            challenge,
            channel_binding: &self.channel_binding,
            account: address.account.as_bytes(),
            device: address.device.get(),
            purpose,
        };
        sign_device_proof(key, &statement).into()
    }
}

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// The way out of a [`Wire`].
#[derive(Debug)]
pub struct WireSender {
    sink: SplitSink<Socket, Message>,
    sealer: Sealer,
}

impl WireSender {
    /// Hands a frame over without waiting for the socket to take it.
    pub async fn feed(&mut self, frame: &ClientFrame) {
        let record = self.sealer.seal(&frame.encode(), Duration::ZERO).expect("a young channel");
        self.sink.feed(Message::Binary(record.into())).await.expect("the connection lives");
    }
    /// Sends what was fed.
    pub async fn flush(&mut self) {
        self.sink.flush().await.expect("the connection lives");
    }
}

/// The way in of a [`Wire`].
#[derive(Debug)]
pub struct WireReceiver {
    stream: SplitStream<Socket>,
    opener: Opener,
}

impl WireReceiver {
    /// The next frame; `None` when the connection has ended.
    pub async fn recv(&mut self) -> Option<ServerFrame> {
        loop {
            match self.stream.next().await? {
                Ok(Message::Binary(record)) => {
                    let frame = self.opener.open(&record).expect("the node's record");
                    return Some(ServerFrame::decode(frame.into()).expect("a frame"));
                }
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }
    /// The next frame if it is here already.
    pub fn try_recv(&mut self) -> Option<ServerFrame> {
        self.recv().now_or_never().flatten()
    }
}

impl Device {
    /// Its access token.
    pub fn token(&self) -> &[u8] {
        &self.token
    }

    /// The seed of its key.
    pub fn seed(&self) -> [u8; 64] {
        *self.key.seed()
    }

    /// An envelope for this device: `len` bytes that nobody can open.
    pub fn envelope(&self, number: u8, len: usize) -> Envelope {
        let id = EnvelopeId::new(UnixMillis::new(1), [number; 10]);
        Envelope { id, to: self.address, body: vec![number; len].into(), devices_version: 1 }
    }
}

fn authenticated(answer: ServerFrame) -> Bytes {
    match answer {
        ServerFrame::Answer { answer: Answer::Authenticated { token, .. }, .. } => token,
        other => panic!("not authenticated: {other:?}"),
    }
}

/// Published keys of the right lengths: a server does not look into them.
fn noise_keys(device_key: Bytes) -> NewDevice {
    let signature = [4; limits::SIGNAL_SIGNATURE_BYTES];
    let public = [5; limits::SIGNAL_PUBLIC_KEY_BYTES];
    let kem = Bytes::from(vec![6; limits::SIGNAL_KEM_KEY_BYTES]);
    NewDevice {
        device_key,
        registration_id: 7,
        identity_key: public,
        signed_pre_key: SignedPreKey { id: 1, public, signature },
        last_resort_kem_pre_key: KemPreKey { id: 1, public: kem, signature },
        envelope_key: EnvelopeKey {
            id: 1,
            x25519: [8; limits::X25519_KEY_BYTES],
            ml_kem: vec![9; limits::ML_KEM_KEY_BYTES].into(),
            signature,
        },
        one_time_pre_keys: Vec::new(),
        one_time_kem_pre_keys: Vec::new(),
    }
}

fn tls_config() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth()
}

/// Who the server is does not matter here; the pinning has its own tests.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
