//! Edges show a certificate that nobody else may use, and believe nodes that they know.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::{Familiar, JOIN_ALPN, Known, LinkKey, TlsError, algorithms, client, provider, server};
use crate::ClusterView;
use crate::edge::EdgeNews;

/// Of an edge that follows its cluster.
pub(in crate::link) const EDGE_ALPN: &[u8] = b"endtoend-edge/1";

impl LinkKey {
    /// For edges that dial this node.
    pub(in crate::link) fn edge_server(&self, view: &ClusterView) -> Result<ServerConfig, TlsError> {
        let approved = view.edges.iter().filter(|(_, edge)| edge.is_approved());
        let edges = Known::new(&view.authorities, approved.map(|(edge, known)| (*edge, &known.key)), None);
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(edges))
            .with_cert_resolver(self.certified(view, false)?);
        Ok(server(config, EDGE_ALPN))
    }
}

/// For an edge that has this key and dials a node of what it has heard last.
pub(in crate::link) fn edge_client(key: &LinkKey, heard: &EdgeNews) -> Result<ClientConfig, TlsError> {
    let nodes = Known::new(&heard.authorities, heard.nodes.iter().map(|(node, known)| (*node, &known.key)), None);
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
    let keys = heard.nodes.values().map(|node| node.key.clone()).collect();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Familiar { keys, algorithms: algorithms() }))
        .with_no_client_auth();
    Ok(client(config, JOIN_ALPN))
}
