//! Authorities, certificates, and a server that takes one connection.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use endtoend_crypto_core::channel::Channel;
use endtoend_protocol::ServerFrame;
use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData as _};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::address::{Host, KeyHash, Pin, ServerAddress};
use crate::transport::testing::ServerIdentity;
use crate::transport::{ConnectError, Link, Network, NetworkSettings, Traffic};

/// Far above what any step takes; only a hanging test meets it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// As a profile that nobody has told anything about networks: these servers are on this machine.
pub(super) async fn connect(address: &ServerAddress, deadline: Duration) -> Result<Link, ConnectError> {
    let network = Network::new(NetworkSettings::default(), Path::new("/nowhere"));
    crate::transport::connect(&network, address, Traffic::Messages, deadline).await
}

pub(super) fn pin_of(key: &KeyPair) -> KeyHash {
    KeyHash(Sha256::digest(key.subject_public_key_info()).into())
}

pub(super) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Somebody who signs certificates.
pub(super) struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) pin: KeyHash,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        Self::with(name, KeyPair::generate().unwrap(), |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        })
    }

    pub(super) fn with(name: &str, key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = params(name);
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap().into();
        Self { certificate, pin: pin_of(&key), issuer: Issuer::new(params, key) }
    }

    /// Its own key, for authorities that also serve.
    pub(super) fn key(&self) -> KeyPair {
        KeyPair::try_from(self.issuer.key().serialize_der()).unwrap()
    }

    /// A server's identity: its certificate and this authority's.
    pub(super) fn identity(&self) -> Identity {
        self.identity_with(|_| {})
    }

    pub(super) fn identity_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = params("leaf");
        change(&mut params);
        let leaf = params.signed_by(&key, &self.issuer).unwrap().into();
        Identity { chain: vec![leaf, self.certificate.clone()], key }
    }
}

/// What a server shows and signs with.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: KeyPair,
}

impl Identity {
    pub(super) fn pin(&self) -> KeyHash {
        pin_of(&self.key)
    }

    /// Does not check that the key belongs to the certificate: some tests steal one.
    fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Arc::new(SingleCertAndKey::from(CertifiedKey::new(self.chain.clone(), key)))
    }

    pub(super) fn config(&self) -> ServerConfig {
        self.config_with(aws_lc_rs::default_provider(), &rustls::version::TLS13)
    }

    pub(super) fn config_with(
        &self,
        provider: CryptoProvider,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> ServerConfig {
        ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(self.resolver())
    }
}

/// Of a server whose identity is [`IDENTITY`].
pub(super) fn address(port: u16, tls: KeyHash) -> ServerAddress {
    let pin = Pin { tls, identity: IDENTITY.fingerprint() };
    ServerAddress { host: Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)), port, pin }
}

/// The servers' identity inside TLS, where a test is about TLS.
pub(super) static IDENTITY: LazyLock<ServerIdentity> = LazyLock::new(ServerIdentity::new);

/// Hands the first connection to `serve`. Gives the port and what `serve` gives.
pub(super) async fn server<F, T>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> (u16, JoinHandle<T>)
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    (port, task)
}

/// The server's end of a connection.
pub(super) struct ServerSocket {
    /// What is below the secure channel.
    pub(super) socket: WebSocketStream<TlsStream<TcpStream>>,
    pub(super) channel: Channel,
}

impl ServerSocket {
    /// Seals bytes and sends the record.
    pub(super) async fn send(&mut self, frame: &[u8]) {
        let record = self.channel.sealer.seal(frame, Duration::ZERO).unwrap();
        self.socket.send(Message::Binary(record.into())).await.unwrap();
    }

    pub(super) async fn say(&mut self, frame: &ServerFrame) {
        self.send(&frame.encode()).await;
    }

    /// The next record, with its length, as bytes of a frame.
    pub(super) async fn hear(&mut self) -> (Bytes, usize) {
        let record = self.socket.next().await.unwrap().unwrap().into_data();
        (self.channel.opener.open(&record).unwrap().into(), record.len())
    }
}

/// A server that speaks TLS, WebSocket and the secure channel; `None` when the client left during a handshake.
pub(super) async fn wss_server(config: ServerConfig) -> (u16, JoinHandle<Option<ServerSocket>>) {
    server(async move |tcp| {
        let tls = TlsAcceptor::from(Arc::new(config)).accept(tcp).await.ok()?;
        let mut socket = tokio_tungstenite::accept_async(tls).await.ok()?;
        let channel = IDENTITY.accept(&mut socket).await?;
        Some(ServerSocket { socket, channel })
    })
    .await
}

/// Both ends of a good connection.
pub(super) async fn connected() -> (Link, ServerSocket) {
    let authority = Authority::new("authority");
    let (port, server) = wss_server(authority.identity().config()).await;
    let link = connect(&address(port, authority.pin), PATIENCE).await.unwrap();
    (link, server.await.unwrap().unwrap())
}
