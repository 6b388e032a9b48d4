//! Authorities, certificates, and a server that takes one connection.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

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

use crate::address::{Host, Pin, ServerAddress};
use crate::transport::{Link, connect};

/// Far above what any step takes; only a hanging test meets it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn pin_of(key: &KeyPair) -> Pin {
    Pin(Sha256::digest(key.subject_public_key_info()).into())
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
    pub(super) pin: Pin,
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
    pub(super) fn pin(&self) -> Pin {
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

pub(super) fn address(port: u16, pin: Pin) -> ServerAddress {
    ServerAddress { host: Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)), port, pin }
}

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

pub(super) type ServerSocket = WebSocketStream<TlsStream<TcpStream>>;

/// A server that speaks TLS and WebSocket; `None` when the client left during the handshake.
pub(super) async fn wss_server(config: ServerConfig) -> (u16, JoinHandle<Option<ServerSocket>>) {
    server(async move |tcp| {
        let tls = TlsAcceptor::from(Arc::new(config)).accept(tcp).await.ok()?;
        tokio_tungstenite::accept_async(tls).await.ok()
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
