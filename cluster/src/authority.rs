//! The link authority: issues what members show each other on links.
//!
//! Its key is among the [`Secrets`](crate::Secrets), so every approved member can issue: whoever leads does.

use std::fmt;
use std::time::Duration;

use endtoend_protocol::UnixMillis;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::keys::point_of;
use crate::{AuthorityCertificate, KeyHash, NodeCertificate, NodeId};

/// Life of a node's certificate. It is renewed at half of it.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(24 * 3600);
/// A certificate is valid from this long ago, for members whose clock is late.
const BACKDATED: Duration = Duration::from_secs(3600);
/// The authority's own dates are fixed: its certificate is the same however often it is made, and ends with its
/// replacement.
const AUTHORITY_YEARS: (i32, i32) = (2026, 2076);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Not a key of an authority, or of a node.
    #[error("not the key of a link authority, or not one of a node")]
    BadKey,
    /// The node's key cannot be certified.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
}

/// A link authority. `Debug` shows nothing of its key.
pub struct Authority {
    certificate: AuthorityCertificate,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(..)")
    }
}

impl Authority {
    /// A key for a new authority, PKCS #8.
    ///
    /// # Errors
    /// When the system's random numbers fail.
    pub fn new_key() -> Result<Zeroizing<Vec<u8>>, AuthorityError> {
        Ok(Zeroizing::new(KeyPair::generate()?.serialize_der()))
    }

    /// The authority of a key that [`Authority::new_key`] made.
    ///
    /// # Errors
    /// `BadKey`.
    pub fn from_key(pkcs8: &[u8]) -> Result<Self, AuthorityError> {
        let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(pkcs8)).map_err(|_| AuthorityError::BadKey)?;
        let hash: KeyHash = Sha256::digest(key.subject_public_key_info()).into();
        let mut params = CertificateParams::default();
        // Each authority has a subject of its own, and none has that of a node: with equal ones a certificate passes for
        // self-signed, or for another authority's.
        params.distinguished_name = name(&format!("Endtoend link authority {}", hex::encode(hash)));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = rcgen::date_time_ymd(AUTHORITY_YEARS.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(AUTHORITY_YEARS.1, 1, 1);
        let der = params.self_signed(&key)?.der().to_vec();
        Ok(Self { certificate: AuthorityCertificate { der, key: hash }, issuer: Issuer::new(params, key) })
    }

    /// What it is believed by.
    pub const fn certificate(&self) -> &AuthorityCertificate {
        &self.certificate
    }

    /// A certificate for a node's key, good for [`CERTIFICATE_LIFE`] from now. Its DNS name is
    /// [`node_name`] of the node.
    ///
    /// # Errors
    /// `BadKey` when `key` is no DER-encoded `SubjectPublicKeyInfo` of a P-256 key.
    pub fn issue(&self, key: &[u8], now: UnixMillis) -> Result<NodeCertificate, AuthorityError> {
        let node = NodeId::of_key(key);
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.certify(key, node_name(node), &format!("Endtoend node {node}"), usages, now)
    }

    /// A certificate for an edge's key: as a node's, but for clients only, so that no edge can answer in the place of a node.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn issue_for_edge(&self, key: &[u8], now: UnixMillis) -> Result<NodeCertificate, AuthorityError> {
        let edge = NodeId::of_key(key);
        let dns_name = format!("{edge}.edge.endtoend.internal");
        self.certify(key, dns_name, &format!("Endtoend edge {edge}"), vec![ExtendedKeyUsagePurpose::ClientAuth], now)
    }

    fn certify(
        &self,
        key: &[u8],
        dns_name: String,
        subject: &str,
        usages: Vec<ExtendedKeyUsagePurpose>,
        now: UnixMillis,
    ) -> Result<NodeCertificate, AuthorityError> {
        let key = P256Point(point_of(key).ok_or(AuthorityError::BadKey)?);
        let mut params = CertificateParams::new([dns_name])?;
        params.distinguished_name = name(subject);
        params.extended_key_usages = usages;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        // Seconds, as X.509 has them.
        let now = UnixMillis::new(now.get() / 1000 * 1000);
        let at = |moment: UnixMillis| OffsetDateTime::UNIX_EPOCH + Duration::from_millis(moment.get());
        let not_after = now.plus(CERTIFICATE_LIFE);
        (params.not_before, params.not_after) = (at(now.minus(BACKDATED)), at(not_after));
        let der = params.signed_by(&key, &self.issuer)?.der().to_vec();
        Ok(NodeCertificate { der, authority: self.certificate.key, not_after })
    }
}

/// A node's key, as it is certified.
struct P256Point<'a>(&'a [u8]);

impl PublicKeyData for P256Point<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// The name that a node's certificate carries, and that who dials it asks for.
pub fn node_name(node: NodeId) -> String {
    format!("{node}.node.endtoend.internal")
}

/// Whether a certificate has lived half of its life, or seems to come from the future.
pub fn is_due(certificate: &NodeCertificate, now: UnixMillis) -> bool {
    let left = certificate.not_after.since(now);
    left <= CERTIFICATE_LIFE / 2 || left > CERTIFICATE_LIFE + BACKDATED
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

    use super::*;
    use crate::NodeKeys;

    const NOW: UnixMillis = UnixMillis::new(1_800_000_000_500);

    fn authority() -> Authority {
        Authority::from_key(&Authority::new_key().unwrap()).unwrap()
    }

    /// As the other end of a link would.
    fn verify(
        certificate: &NodeCertificate,
        by: &Authority,
        node: NodeId,
        at: UnixMillis,
    ) -> Result<(), webpki::Error> {
        let (der, authority) = (CertificateDer::from(certificate.der.clone()), by.certificate().der.clone());
        let authority = CertificateDer::from(authority);
        let leaf = EndEntityCert::try_from(&der)?;
        let at = UnixTime::since_unix_epoch(Duration::from_millis(at.get()));
        let anchors = [anchor_from_trusted_cert(&authority)?];
        for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
            leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &[], at, usage, None, None)?;
        }
        leaf.verify_is_valid_for_subject_name(&ServerName::try_from(node_name(node)).unwrap())
    }

    #[test]
    fn a_certificate_is_good_for_its_node_authority_and_day_only() {
        let (mine, other) = (authority(), authority());
        let keys = NodeKeys::generate(&mut rand::rng()).unwrap();
        let certificate = mine.issue(&keys.key(), NOW).unwrap();
        assert_eq!(certificate.authority, mine.certificate().key);
        assert_eq!(certificate.not_after, UnixMillis::new(1_800_000_000_000).plus(CERTIFICATE_LIFE));
        let last = UnixMillis::new(certificate.not_after.get() - 1000);
        for at in [NOW.minus(BACKDATED - Duration::from_secs(1)), NOW, last] {
            assert_eq!(verify(&certificate, &mine, keys.node(), at).map_err(|e| format!("{e:?}")), Ok(()));
        }
        for at in [NOW.minus(BACKDATED * 2), certificate.not_after.plus(Duration::from_secs(1))] {
            assert!(verify(&certificate, &mine, keys.node(), at).is_err());
        }
        assert!(verify(&certificate, &other, keys.node(), NOW).is_err(), "another cluster's authority");
        assert!(verify(&certificate, &mine, NodeId::new(7), NOW).is_err(), "another node's name");
    }

    #[test]
    fn an_authority_is_the_same_each_time_its_key_is_read() {
        let key = Authority::new_key().unwrap();
        let (one, two) = (Authority::from_key(&key).unwrap(), Authority::from_key(&key).unwrap());
        assert_eq!(one.certificate().key, two.certificate().key);
        let keys = NodeKeys::generate(&mut rand::rng()).unwrap();
        let certificate = one.issue(&keys.key(), NOW).unwrap();
        assert!(verify(&certificate, &two, keys.node(), NOW).is_ok());
        assert!(Authority::from_key(b"no key").is_err());
        assert!(one.issue(b"no key", NOW).is_err());
    }

    #[test]
    fn a_certificate_is_due_at_half_of_its_life_and_when_the_clock_went_back() {
        let certificate =
            NodeCertificate { der: Vec::new(), authority: [0; 32], not_after: NOW.plus(CERTIFICATE_LIFE) };
        assert!(!is_due(&certificate, NOW));
        assert!(!is_due(&certificate, NOW.plus(CERTIFICATE_LIFE / 2 - Duration::from_secs(1))));
        assert!(is_due(&certificate, NOW.plus(CERTIFICATE_LIFE / 2)));
        assert!(is_due(&certificate, NOW.plus(CERTIFICATE_LIFE * 2)));
        assert!(is_due(&certificate, NOW.minus(BACKDATED * 2)));
    }
}
