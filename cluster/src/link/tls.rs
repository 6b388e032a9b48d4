//! Who may be at the other end.
//!
//! TLS 1.3 with X25519MLKEM768 and nothing else. On a link both ends show a certificate of the cluster's link authority, and beyond
//! the chain the key must be the one that the cluster has recorded for a member that may have links: a removed member's
//! certificate is worth nothing from the moment at which this node knows of the removal. Nothing is resumed: each connection
//! checks all of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError, PeerIncompatible,
    ServerConfig, SignatureScheme,
};
use sha2::{Digest as _, Sha256};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::join::{EXPORTER_LABEL, Exporter};
use crate::{AuthorityCertificate, ClusterView, KeyHash, NodeId};

/// Of a link.
pub(super) const LINK_ALPN: &[u8] = b"endtoend-link/1";
/// Of a node that asks to join, and has no certificate yet.
pub(super) const JOIN_ALPN: &[u8] = b"endtoend-join/1";

/// This node's own TLS key.
#[derive(Clone)]
pub struct LinkKey {
    signing: Arc<dyn SigningKey>,
    node: NodeId,
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkKey({})", self.node)
    }
}

/// Not a private key that TLS can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a private key for TLS")]
pub struct BadLinkKey;

impl LinkKey {
    /// # Errors
    /// When `pkcs8` is no private key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, BadLinkKey> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8));
        let signing = aws_lc_rs::sign::any_supported_type(&key).map_err(|_| BadLinkKey)?;
        let node = NodeId::of_key(&signing.public_key().ok_or(BadLinkKey)?);
        Ok(Self { signing, node })
    }
    /// Whose it is.
    pub const fn node(&self) -> NodeId {
        self.node
    }
}

/// Why the other end is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// No valid certificate of this cluster's authority: another cluster's, expired, or none at all.
    #[error("its certificate is not valid here: {0}")]
    Certificate(String),
    /// The certificate is valid, but its key is none of a member that may have links.
    #[error("node {0} is no member")]
    NotAMember(NodeId),
    /// Another node than the one that was dialled.
    #[error("node {0} answers in its place")]
    AnotherNode(NodeId),
    /// It does not show the authority whose fingerprint is in the join token.
    #[error("it is of another cluster than the token")]
    AnotherAuthority,
}

/// Why there can be no handshake.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("this node has no certificate yet")]
    NoCertificate,
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// What the other end untrusted is for, if that is why a handshake failed.
pub(super) fn untrusted(error: &rustls::Error) -> Option<&Untrusted> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(reason))) => reason.downcast_ref(),
        _ => None,
    }
}

fn refuse(reason: Untrusted) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(reason))).into()
}

fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    Arc::new(provider)
}

/// Whether there may be a link between two nodes, one of which has this key.
pub(super) fn may_link(view: &ClusterView, own: NodeId, peer: NodeId, key: &[u8]) -> bool {
    let may = |node| view.members.get(&node).filter(|member| member.state.may_link());
    own != peer && may(own).is_some() && may(peer).is_some_and(|member| member.key == key)
}

/// The key in a certificate: a DER-encoded `SubjectPublicKeyInfo`. Read by webpki, like the key that it verifies with: two
/// parsers could see two keys.
pub(super) fn key_of(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, Untrusted> {
    Ok(EndEntityCert::try_from(certificate)?.subject_public_key_info().to_vec())
}

impl From<webpki::Error> for Untrusted {
    fn from(error: webpki::Error) -> Self {
        // Its own words name dates and algorithms, and no secret.
        Self::Certificate(error.to_string())
    }
}

impl LinkKey {
    /// What this node shows.
    fn certified(&self, view: &ClusterView, with_authority: bool) -> Result<Arc<SingleCertAndKey>, TlsError> {
        let own = view.certificates.get(&self.node).ok_or(TlsError::NoCertificate)?;
        let mut chain = vec![CertificateDer::from(own.der.clone())];
        if with_authority {
            let issuer = view.authorities.iter().find(|authority| authority.key == own.authority);
            chain.push(CertificateDer::from(issuer.ok_or(TlsError::NoCertificate)?.der.clone()));
        }
        Ok(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, Arc::clone(&self.signing)))))
    }

    /// For whoever dials this node.
    pub(super) fn link_server(&self, view: &ClusterView) -> Result<ServerConfig, TlsError> {
        let members = Arc::new(Known::members(self, view, None));
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(members)
            .with_cert_resolver(self.certified(view, false)?);
        Ok(server(config, LINK_ALPN))
    }

    /// For dialling `peer`.
    pub(super) fn link_client(&self, view: &ClusterView, peer: NodeId) -> Result<ClientConfig, TlsError> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Known::members(self, view, Some(peer))))
            .with_client_cert_resolver(self.certified(view, false)?);
        Ok(client(config, LINK_ALPN))
    }

    /// For nodes that are no members yet. They check the authority, so it is shown.
    pub(super) fn join_server(&self, view: &ClusterView) -> Result<ServerConfig, TlsError> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(self.certified(view, true)?);
        Ok(server(config, JOIN_ALPN))
    }
}

/// For dialling any member of the cluster that has this authority.
pub(super) fn join_client(authority: KeyHash) -> Result<ClientConfig, TlsError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Seed { authority, algorithms: algorithms() }))
        .with_no_client_auth();
    Ok(client(config, JOIN_ALPN))
}

/// For dialling any member that this node knew when it was away for so long that authorities have changed.
pub(super) fn rejoin_client(view: &ClusterView) -> Result<ClientConfig, TlsError> {
    let keys =
        view.members.values().filter(|member| member.state.may_link()).map(|member| member.key.clone()).collect();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Familiar { keys, algorithms: algorithms() }))
        .with_no_client_auth();
    Ok(client(config, JOIN_ALPN))
}

fn server(mut config: ServerConfig, alpn: &[u8]) -> ServerConfig {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}
fn client(mut config: ClientConfig, alpn: &[u8]) -> ClientConfig {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config
}

/// What a join request is bound to: the same at both ends of one connection, and on no other.
pub(super) fn join_binding<S>(connection: &rustls::ConnectionCommon<S>) -> Result<Exporter, rustls::Error> {
    connection.export_keying_material([0; 32], EXPORTER_LABEL, None)
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    aws_lc_rs::default_provider().signature_verification_algorithms
}

/// Believes members or edges, as the cluster knew them when the connection began.
struct Known {
    /// DER.
    authorities: Vec<CertificateDer<'static>>,
    /// Those who may be at the other end.
    keys: BTreeMap<NodeId, Vec<u8>>,
    /// Who was dialled.
    only: Option<NodeId>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Known({:?})", self.keys.keys())
    }
}

impl Known {
    fn new<'k>(
        authorities: &[AuthorityCertificate],
        keys: impl Iterator<Item = (NodeId, &'k Vec<u8>)>,
        only: Option<NodeId>,
    ) -> Self {
        Self {
            authorities: authorities.iter().map(|authority| authority.der.clone().into()).collect(),
            keys: keys.map(|(node, key)| (node, key.clone())).collect(),
            only,
            algorithms: algorithms(),
        }
    }

    /// Members who may have links with this node.
    fn members(own: &LinkKey, view: &ClusterView, only: Option<NodeId>) -> Self {
        let may = view.members.iter().filter(|(node, member)| may_link(view, own.node, **node, &member.key));
        Self::new(&view.authorities, may.map(|(node, member)| (*node, &member.key)), only)
    }

    fn check(&self, shown: &CertificateDer<'_>, now: UnixTime, usage: KeyUsage) -> Result<(), Untrusted> {
        let certificate = EndEntityCert::try_from(shown)?;
        verify(&certificate, &self.authorities, self.algorithms, now, usage)?;
        let key = certificate.subject_public_key_info();
        let node = NodeId::of_key(&key);
        if self.only.is_some_and(|only| only != node) {
            return Err(Untrusted::AnotherNode(node));
        }
        if self.keys.get(&node).is_none_or(|member| **member != *key) {
            return Err(Untrusted::NotAMember(node));
        }
        Ok(())
    }
}

fn verify(
    certificate: &EndEntityCert<'_>,
    authorities: &[CertificateDer<'_>],
    algorithms: WebPkiSupportedAlgorithms,
    now: UnixTime,
    usage: KeyUsage,
) -> Result<(), Untrusted> {
    let anchors = authorities.iter().map(anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>()?;
    certificate.verify_for_usage(algorithms.all, &anchors, &[], now, usage, None, None)?;
    Ok(())
}

/// Believes any member of the cluster whose authority has this key.
#[derive(Debug)]
struct Seed {
    authority: KeyHash,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Seed {
    fn check(&self, shown: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Untrusted> {
        let certificate = EndEntityCert::try_from(shown)?;
        let [authority] = others else { return Err(Untrusted::AnotherAuthority) };
        let hash: KeyHash = Sha256::digest(key_of(authority)?).into();
        if hash != self.authority {
            return Err(Untrusted::AnotherAuthority);
        }
        verify(&certificate, others, self.algorithms, now, KeyUsage::server_auth())
    }
}

/// Believes whoever has the key of a member, whatever certificate it shows: the key is what a member is known by.
#[derive(Debug)]
struct Familiar {
    keys: Vec<Vec<u8>>,
    algorithms: WebPkiSupportedAlgorithms,
}

macro_rules! verifies {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Err(PeerIncompatible::Tls13RequiredForQuic.into())
        }
        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls13_signature(message, certificate, signed, &self.algorithms)
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

mod edges;

pub(super) use edges::{EDGE_ALPN, edge_client, lost_edge_client};

impl ServerCertVerifier for Familiar {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let key = key_of(shown).map_err(refuse)?;
        if !self.keys.contains(&key) {
            return Err(refuse(Untrusted::NotAMember(NodeId::of_key(&key))));
        }
        Ok(ServerCertVerified::assertion())
    }
    verifies!();
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(shown, now, KeyUsage::server_auth()).map_err(refuse)?;
        Ok(ServerCertVerified::assertion())
    }
    verifies!();
}

impl ClientCertVerifier for Known {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(shown, now, KeyUsage::client_auth()).map_err(refuse)?;
        Ok(ClientCertVerified::assertion())
    }
    verifies!();
}

impl ServerCertVerifier for Seed {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(shown, others, now).map_err(refuse)?;
        Ok(ServerCertVerified::assertion())
    }
    verifies!();
}
