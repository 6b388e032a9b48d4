//! Edges show a certificate that nobody else may use, and believe nodes that they know.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, PeerIncompatible, ServerConfig, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage};

use super::{Familiar, JOIN_ALPN, LinkKey, TlsError, Untrusted, algorithms, client, provider, refuse, server, verify};
use crate::edge::EdgeNews;
use crate::{ClusterView, NodeId};

/// Of an edge that follows its cluster.
pub(in crate::link) const EDGE_ALPN: &[u8] = b"endtoend-edge/1";

impl LinkKey {
    /// For edges that dial this node.
    pub(in crate::link) fn edge_server(&self, view: &ClusterView) -> Result<ServerConfig, TlsError> {
        let approved = view.edges.values().filter(|edge| edge.is_approved());
        let edges = Known { keys: approved.map(|edge| edge.key.clone()).collect(), ..Known::of(&view.authorities) };
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(edges))
            .with_cert_resolver(self.certified(view, false)?);
        Ok(server(config, EDGE_ALPN))
    }
}

/// For an edge that has this key and dials a node of what it has heard last.
pub(in crate::link) fn edge_client(key: &LinkKey, heard: &EdgeNews) -> Result<ClientConfig, TlsError> {
    let nodes = Known { keys: keys_of(heard), ..Known::of(&heard.authorities) };
    let chain = vec![CertificateDer::from(heard.certificate.der.clone())];
    let shown = SingleCertAndKey::from(CertifiedKey::new(chain, Arc::clone(&key.signing)));
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(nodes))
        .with_client_cert_resolver(Arc::new(shown));
    Ok(client(config, EDGE_ALPN))
}

/// For an edge that was away for so long that certificates and authorities have changed.
pub(in crate::link) fn lost_edge_client(heard: &EdgeNews) -> Result<ClientConfig, TlsError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Familiar { keys: keys_of(heard), algorithms: algorithms() }))
        .with_no_client_auth();
    Ok(client(config, JOIN_ALPN))
}

fn keys_of(heard: &EdgeNews) -> Vec<Vec<u8>> {
    heard.nodes.values().map(|node| node.key.clone()).collect()
}

/// Believes certificates of these authorities for these keys.
#[derive(Debug)]
struct Known {
    authorities: Vec<CertificateDer<'static>>,
    keys: Vec<Vec<u8>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Known {
    fn of(authorities: &[crate::AuthorityCertificate]) -> Self {
        let authorities = authorities.iter().map(|authority| authority.der.clone().into()).collect();
        Self { authorities, keys: Vec::new(), algorithms: algorithms() }
    }

    fn check(&self, shown: &CertificateDer<'_>, now: UnixTime, usage: KeyUsage) -> Result<(), Untrusted> {
        let certificate = EndEntityCert::try_from(shown)?;
        verify(&certificate, &self.authorities, self.algorithms, now, usage)?;
        let key = certificate.subject_public_key_info();
        match self.keys.iter().any(|known| **known == *key) {
            true => Ok(()),
            false => Err(Untrusted::NotAMember(NodeId::of_key(&key))),
        }
    }
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
