//! A client that may say anything.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use endtoend_crypto_core::channel::{Opener, Sealer, Step};
use endtoend_crypto_core::opaque::{ClientLogin, ClientRegistration};
use endtoend_crypto_core::oprf::Blinding;
use endtoend_crypto_core::proof::{DeviceStatement, Purpose, sign_device_proof};
use endtoend_crypto_core::refresh::RefreshToken;
use endtoend_crypto_core::signature::SigningKey;
use endtoend_protocol::{
    AccountTag, Address, Answer, ClientFrame, DeviceId, Envelope, EnvelopeId, EnvelopeKey, InviteCode, KemPreKey,
    NewDevice, Refusal, RefusalCode, Relation, Request, RequestId, ServerFrame, SignedPreKey, UnixMillis, VERSION,
    limits,
};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::clock::PATIENCE;

mod reach;

pub use reach::{Gone, Unreached, reach_tls, reach_tls_from};

/// What [`Wire::register`] registers with.
pub const PASSWORD: &[u8] = b"as good as any other";

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
    /// Its access token.
    pub token: Bytes,
    /// Its refresh token.
    pub refresh_token: Bytes,
    key: Arc<SigningKey>,
}

impl Unsecured {
    /// Connects, and believes every certificate.
    pub async fn connect(node: SocketAddr) -> Self {
        Self::connect_with(node, &[]).await
    }

    /// As [`Self::connect`], with further headers in the WebSocket handshake.
    pub async fn connect_with(node: SocketAddr, headers: &[(&'static str, &str)]) -> Self {
        Self::reach(node, headers).await.expect("the node listens, and shakes hands")
    }

    /// As [`Self::connect`], from a machine that takes in only a few bytes at a time.
    pub async fn connect_narrow(node: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let tcp = socket.connect(node).await.expect("the node listens");
        Self::over(tcp, node, &[]).await.expect("the node shakes hands")
    }

    /// As [`Self::connect`], from another address of this machine, such as 127.0.0.2.
    pub async fn connect_from(from: Ipv4Addr, node: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("an address of this machine");
        let tcp = socket.connect(node).await.expect("the node listens");
        Self::over(tcp, node, &[]).await.expect("the node shakes hands")
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
        self.try_hear(step).await.expect("the handshake goes on")
    }

    /// Opens the secure channel, and believes every identity.
    pub async fn secure(self) -> Wire {
        self.try_secure().await.expect("the handshake goes on")
    }
}

impl Wire {
    /// Connects, and believes every certificate and identity.
    pub async fn connect(node: SocketAddr) -> Self {
        Unsecured::connect(node).await.secure().await
    }

    /// Connects and registers a new account with its first device.
    pub async fn register(node: SocketAddr, account: AccountTag) -> (Self, Device) {
        Self::try_register(node, account, None).await.expect("registered")
    }

    /// As [`Self::register`], with an invitation.
    ///
    /// # Errors
    /// What the node refuses the last step with.
    pub async fn try_register(
        node: SocketAddr,
        account: AccountTag,
        invite: Option<InviteCode>,
    ) -> Result<(Self, Device), RefusalCode> {
        let mut wire = Self::connect(node).await;
        let challenge = wire.hello().await;
        let key = Arc::new(SigningKey::generate(&mut rand::rng()));
        let password = PASSWORD;
        let (start, opaque) = ClientRegistration::start(&mut rand::rng(), password).expect("OPAQUE starts");
        let opaque = wire.register_start(account, opaque.into()).await;
        let done = start.finish(&mut rand::rng(), password, &opaque).expect("OPAQUE finishes");
        match wire.register_finish(&challenge, account, &key, done.record.into(), invite).await {
            ServerFrame::Refused { refusal, .. } => Err(refusal.code),
            answer => Ok((wire, authenticated(answer, key))),
        }
    }

    async fn register_start(&mut self, account: AccountTag, opaque: Bytes) -> Bytes {
        match self.ask(Request::RegisterStart { account, opaque }).await {
            ServerFrame::Answer { answer: Answer::RegisterChallenge { opaque }, .. } => opaque,
            other => panic!("no registration: {other:?}"),
        }
    }

    async fn register_finish(
        &mut self,
        challenge: &[u8; limits::CHALLENGE_BYTES],
        account: AccountTag,
        key: &SigningKey,
        record: Bytes,
        invite: Option<InviteCode>,
    ) -> ServerFrame {
        let address = Address { account, device: DeviceId::FIRST };
        let device_proof = self.proof(key, challenge, address, Purpose::Register);
        let device = Box::new(noise_device(key.verifying_key().to_bytes().into()));
        self.ask(Request::RegisterFinish { opaque: record, device_proof, device, invite }).await
    }

    /// Connects and proves a password, up to where the node says whether it is right.
    pub async fn prove_password(
        node: SocketAddr,
        account: AccountTag,
        password: &[u8],
    ) -> Result<(Self, [u8; limits::CHALLENGE_BYTES], Bytes), Refusal> {
        let mut wire = Self::connect(node).await;
        let challenge = wire.hello().await;
        let (login, opaque) = ClientLogin::start(&mut rand::rng(), password).expect("OPAQUE starts");
        let opaque = match wire.ask(Request::LoginStart { account, opaque: opaque.into() }).await {
            ServerFrame::Answer { answer: Answer::LoginChallenge { opaque }, .. } => opaque,
            ServerFrame::Refused { refusal, .. } => return Err(refusal),
            other => panic!("no login: {other:?}"),
        };
        // Whoever does not know the password cannot make this message, and sends one that is as long.
        let ke3 = login.finish(&mut rand::rng(), password, &opaque).map_or_else(|_| vec![1; 64], |done| done.ke3);
        Ok((wire, challenge, ke3.into()))
    }

    /// Connects and logs a registered device in by password.
    ///
    /// # Errors
    /// What the node refuses it with.
    pub async fn login(node: SocketAddr, device: &Device, password: &[u8]) -> Result<(Self, Device), Refusal> {
        let (mut wire, challenge, opaque) = Self::prove_password(node, device.address.account, password).await?;
        let device_proof = wire.proof(&device.key, &challenge, device.address, Purpose::Login);
        match wire.ask(Request::LoginFinish { opaque, device: device.address.device, device_proof }).await {
            ServerFrame::Refused { refusal, .. } => Err(refusal),
            answer => Ok((wire, authenticated(answer, Arc::clone(&device.key)))),
        }
    }

    /// Connects and adds a device to an account by password.
    ///
    /// # Errors
    /// What the node refuses it with.
    pub async fn add_by_password(node: SocketAddr, account: AccountTag) -> Result<(Self, Device), Refusal> {
        let (mut wire, challenge, opaque) = Self::prove_password(node, account, PASSWORD).await?;
        if let ServerFrame::Refused { refusal, .. } = wire.ask(Request::LoginNew { opaque }).await {
            return Err(refusal);
        }
        wire.add_device(&challenge, account, None).await
    }

    /// Adds a device: with what an existing one has given, or after a proof of the password.
    ///
    /// # Errors
    /// What the node refuses it with.
    pub async fn add_device(
        mut self,
        challenge: &[u8; limits::CHALLENGE_BYTES],
        account: AccountTag,
        link: Option<([u8; limits::LINK_BYTES], [u8; 32])>,
    ) -> Result<(Self, Device), Refusal> {
        let (request, key) = self.add_device_asked(challenge, account, link);
        match self.ask(request).await {
            ServerFrame::Refused { refusal, .. } => Err(refusal),
            answer => Ok((self, authenticated(answer, key))),
        }
    }

    /// What adds a device on this connection.
    pub fn add_device_request(
        &self,
        challenge: &[u8; limits::CHALLENGE_BYTES],
        account: AccountTag,
        link: Option<([u8; limits::LINK_BYTES], [u8; 32])>,
    ) -> Request {
        self.add_device_asked(challenge, account, link).0
    }

    fn add_device_asked(
        &self,
        challenge: &[u8; limits::CHALLENGE_BYTES],
        account: AccountTag,
        link: Option<([u8; limits::LINK_BYTES], [u8; 32])>,
    ) -> (Request, Arc<SigningKey>) {
        let key = Arc::new(SigningKey::generate(&mut rand::rng()));
        let statement = DeviceStatement {
            challenge,
            channel_binding: &self.channel_binding,
            account: account.as_bytes(),
            device: 0,
            purpose: Purpose::AddDevice,
        };
        let device_proof = sign_device_proof(&key, &statement).into();
        let device = Box::new(noise_device(key.verifying_key().to_bytes().into()));
        (Request::AddDevice { account, link, device_proof, device }, key)
    }

    /// Connects and refreshes a device's tokens, which it then has.
    ///
    /// # Errors
    /// What the node refuses it with.
    pub async fn refresh(node: SocketAddr, device: &mut Device) -> Result<Self, Refusal> {
        let mut wire = Self::connect(node).await;
        let challenge = wire.hello().await;
        let request = wire.refresh_request(&challenge, device);
        match wire.ask(request).await {
            ServerFrame::Refused { refusal, .. } => Err(refusal),
            answer => {
                *device = authenticated(answer, Arc::clone(&device.key));
                Ok(wire)
            }
        }
    }

    /// What refreshes a device's tokens on this connection.
    pub fn refresh_request(&self, challenge: &[u8; limits::CHALLENGE_BYTES], device: &Device) -> Request {
        let token = RefreshToken::from_bytes(&device.refresh_token).expect("the server's own token");
        let purpose = Purpose::Refresh { family: token.family, generation: token.generation };
        let device_proof = self.proof(&device.key, challenge, device.address, purpose);
        Request::Refresh { token: device.refresh_token.clone(), device_proof }
    }

    /// What goes on with a device's access token on this connection.
    pub fn resume_request(&self, challenge: &[u8; limits::CHALLENGE_BYTES], device: &Device) -> Request {
        let claims = endtoend_crypto_core::token::peek(&device.token).expect("the server's own token");
        let purpose = Purpose::Resume { token_id: claims.token_id };
        let device_proof = self.proof(&device.key, challenge, device.address, purpose);
        Request::Resume { token: device.token.clone(), device_proof }
    }

    /// Connects as a device that was registered.
    pub async fn resume(node: SocketAddr, device: &Device) -> Self {
        Self::try_resume(node, device).await.expect("resumed")
    }

    /// As [`Self::resume`], from a machine that takes in only a few bytes at a time.
    pub async fn resume_narrow(node: SocketAddr, device: &Device) -> Self {
        let mut wire = Unsecured::connect_narrow(node).await.secure().await;
        let challenge = wire.hello().await;
        let answer = wire.ask(wire.resume_request(&challenge, device)).await;
        assert!(matches!(answer, ServerFrame::Answer { answer: Answer::Authenticated { .. }, .. }), "{answer:?}");
        wire
    }

    /// As [`Self::resume`].
    ///
    /// # Errors
    /// What the node refuses it with.
    pub async fn try_resume(node: SocketAddr, device: &Device) -> Result<Self, RefusalCode> {
        let mut wire = Self::connect(node).await;
        let challenge = wire.hello().await;
        match wire.ask(wire.resume_request(&challenge, device)).await {
            ServerFrame::Answer { answer: Answer::Authenticated { .. }, .. } => Ok(wire),
            ServerFrame::Refused { refusal, .. } => Err(refusal.code),
            other => panic!("neither resumed nor refused: {other:?}"),
        }
    }

    /// Says hello and gives the server's challenge.
    pub async fn hello(&mut self) -> [u8; limits::CHALLENGE_BYTES] {
        self.try_hello(b"").await.expect("a welcome")
    }

    /// As [`Self::hello`], with a password of the server.
    ///
    /// # Errors
    /// What the node refuses it with.
    pub async fn try_hello(&mut self, server_password: &[u8]) -> Result<[u8; limits::CHALLENGE_BYTES], RefusalCode> {
        let server_password = Bytes::copy_from_slice(server_password);
        let hello = Request::Hello { version_min: VERSION, version_max: VERSION, server_password };
        match self.ask(hello).await {
            ServerFrame::Answer { answer: Answer::Welcome { challenge, .. }, .. } => Ok(challenge),
            ServerFrame::Refused { refusal, .. } => Err(refusal.code),
            other => panic!("no welcome: {other:?}"),
        }
    }

    /// Decides something about somebody.
    pub async fn decide(&mut self, account: AccountTag, relation: Option<Relation>) {
        let answer = self.ask(Request::SetRelation { account, relation }).await;
        assert!(matches!(answer, ServerFrame::Answer { answer: Answer::Done, .. }), "{answer:?}");
    }

    /// Whether its node still answers it: a question that needs no right and changes nothing.
    pub async fn talks(&mut self) -> bool {
        let nobody = "alice".parse().expect("a handle");
        let (_, blinded) = Blinding::start(&mut rand::rng(), &nobody).expect("it can be blinded");
        let asked = self.ask(Request::Evaluate { blinded }).await;
        matches!(asked, ServerFrame::Answer { answer: Answer::Evaluated { .. }, .. })
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

/// A client that takes nothing any more, and to which more is on its way than any buffer holds. Dropping it ends it.
#[derive(Debug)]
pub struct Clog(JoinHandle<()>);

impl Drop for Clog {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Wire {
    /// Has the node say more and more, reads none of it, and waits until the node reads nothing either.
    pub async fn clog(self) -> Clog {
        /// Looks without any progress after which there will be none.
        const STILL: u32 = 200;
        let (mut out, back) = self.split();
        let answers = Arc::new(AtomicU64::new(0));
        let asked = Arc::clone(&answers);
        // To nobody: each is rejected, which no limit of talk counts, and none is kept.
        let to = Address { account: AccountTag::new([0xee; 32]), device: DeviceId::FIRST };
        let clog = Clog(tokio::spawn(async move {
            let _unread = back;
            for number in 0.. {
                let id = EnvelopeId::new(UnixMillis::new(number), [7; 10]);
                let envelope = Envelope { id, to, body: Bytes::from_static(&[7]), devices_version: 1 };
                let frame = ClientFrame::Send(envelope);
                if out.try_feed(&frame).await.is_err() || out.try_flush().await.is_err() {
                    break;
                }
                asked.fetch_add(1, Ordering::Relaxed);
            }
        }));
        let (mut before, mut still) = (0, 0);
        while still < STILL {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(!clog.0.is_finished(), "the node has ended the connection");
            let now = answers.load(Ordering::Relaxed);
            still = if now == before { still + 1 } else { 0 };
            before = now;
        }
        clog
    }
}

/// Registers many accounts at little cost: all have the device key and the password's record of the first. The node cannot
/// know it, and nobody can log in by password.
#[derive(Clone, Debug)]
pub struct Registrar {
    key: Arc<SigningKey>,
    record: Bytes,
}

impl Registrar {
    /// Makes what the accounts share, once, with a registration that is not finished.
    pub async fn new(node: SocketAddr) -> Self {
        let mut wire = Wire::connect(node).await;
        wire.hello().await;
        let (start, opaque) = ClientRegistration::start(&mut rand::rng(), PASSWORD).expect("OPAQUE starts");
        let opaque = wire.register_start(AccountTag::new([0; 32]), opaque.into()).await;
        let done = start.finish(&mut rand::rng(), PASSWORD, &opaque).expect("OPAQUE finishes");
        Self { key: Arc::new(SigningKey::generate(&mut rand::rng())), record: done.record.into() }
    }

    /// Connects and registers an account.
    pub async fn register(&self, node: SocketAddr, account: AccountTag) -> Wire {
        let mut wire = Wire::connect(node).await;
        let challenge = wire.hello().await;
        let (_, opaque) = ClientRegistration::start(&mut rand::rng(), PASSWORD).expect("OPAQUE starts");
        wire.register_start(account, opaque.into()).await;
        let answer = wire.register_finish(&challenge, account, &self.key, self.record.clone(), None).await;
        authenticated(answer, Arc::clone(&self.key));
        wire
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
        self.try_feed(frame).await.expect("the connection lives");
    }
    /// Sends what was fed.
    pub async fn flush(&mut self) {
        self.try_flush().await.expect("the connection lives");
    }
}

/// The way in of a [`Wire`].
#[derive(Debug)]
pub struct WireReceiver {
    stream: SplitStream<Socket>,
    opener: Opener,
}

impl WireReceiver {
    /// Reads to the end, which the node has to say: the code of its close frame.
    pub async fn close_code(&mut self) -> Option<u16> {
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("an end")? {
                Ok(Message::Close(said)) => return said.map(|said| said.code.into()),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

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

    /// The same device with the key of another.
    #[must_use]
    pub fn with_key_of(&self, other: &Self) -> Self {
        Self { key: Arc::clone(&other.key), ..self.copied() }
    }

    /// As it is now: tokens change.
    #[must_use]
    pub fn copied(&self) -> Self {
        let Self { address, token, refresh_token, key } = self;
        Self { address: *address, token: token.clone(), refresh_token: refresh_token.clone(), key: Arc::clone(key) }
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

fn authenticated(answer: ServerFrame, key: Arc<SigningKey>) -> Device {
    match answer {
        ServerFrame::Answer { answer: Answer::Authenticated { address, token, refresh_token, .. }, .. } => {
            Device { address, token, refresh_token: refresh_token.unwrap_or_default(), key }
        }
        other => panic!("not authenticated: {other:?}"),
    }
}

/// Published keys of the right lengths: a server does not look into them.
/// A device whose keys are noise, with this key for its proofs.
pub fn noise_device(device_key: Bytes) -> NewDevice {
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

/// TLS that believes every certificate.
pub fn trusting_tls() -> ClientConfig {
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
