//! The node's own certificate authority, and the TLS configuration that it backs.
//!
//! The authority's key is made on the first run and is what clients pin. Leaves are issued in memory, live 90 days and
//! are renewed at half life, so no leaf key ever reaches the disk.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use endtoend_protocol::UnixMillis;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

/// Life of a leaf.
const LEAF_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// A leaf is valid from this long ago, for clients whose clock is late.
const LEAF_BACKDATED: Duration = Duration::from_secs(24 * 3600);
/// The authority outlives everything that pins it. Fixed dates: its certificate is made anew on each start.
const CA_YEARS: (i32, i32) = (2026, 2076);

/// SHA-256 of the authority's SubjectPublicKeyInfo: the half of a pin that TLS is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{0:?} is neither a DNS name nor an address: correct [gateway] names")]
    BadName(String),
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    #[error("cannot use the certificate for TLS")]
    Tls(#[from] rustls::Error),
}

/// A certificate authority of one node.
pub(super) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
    pin: KeyHash,
}

impl Authority {
    /// A key for a new authority, as PKCS #8.
    ///
    /// # Errors
    /// When the random number generator fails.
    pub(super) fn new_key() -> Result<Vec<u8>, CertificateError> {
        Ok(KeyPair::generate()?.serialize_der())
    }

    /// The authority of a key that [`Authority::new_key`] made.
    ///
    /// # Errors
    /// When the bytes are no such key.
    pub(super) fn from_key(pkcs8: &[u8]) -> Result<Self, CertificateError> {
        let key = PrivatePkcs8KeyDer::from(pkcs8.to_vec());
        let key = KeyPair::try_from(&key)?;
        let pin = KeyHash(Sha256::digest(key.subject_public_key_info()).into());
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&format!("Endtoend node authority {pin}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = rcgen::date_time_ymd(CA_YEARS.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(CA_YEARS.1, 1, 1);
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate, issuer: Issuer::new(params, key), pin })
    }

    pub(super) fn pin(&self) -> KeyHash {
        self.pin
    }

    /// A new leaf with a new key for these names, and the chain up to the authority.
    fn issue(&self, names: &[String], now: UnixMillis) -> Result<CertifiedKey, CertificateError> {
        let mut params =
            CertificateParams::new(names.to_vec()).map_err(|_| CertificateError::BadName(names.join(", ")))?;
        params.distinguished_name = name("Endtoend node");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let at = OffsetDateTime::UNIX_EPOCH + Duration::from_millis(now.get());
        params.not_before = at - LEAF_BACKDATED;
        params.not_after = at + LEAF_LIFE;
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        let chain = vec![leaf.der().clone(), self.certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(CertifiedKey::new(chain, aws_lc_rs::sign::any_supported_type(&key)?))
    }
}

/// The leaf that is presented now.
pub(super) struct Leaf {
    authority: Authority,
    names: Vec<String>,
    current: RwLock<(Arc<CertifiedKey>, UnixMillis)>,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Leaf {
    /// # Errors
    /// When a name is not one that a certificate can carry.
    pub(super) fn new(authority: Authority, names: Vec<String>, now: UnixMillis) -> Result<Self, CertificateError> {
        let current = Arc::new(authority.issue(&names, now)?);
        Ok(Self { authority, names, current: RwLock::new((current, now)) })
    }

    pub(super) fn pin(&self) -> KeyHash {
        self.authority.pin()
    }

    /// When the present leaf ends.
    pub(super) fn expires_at(&self) -> UnixMillis {
        self.current.read().unwrap_or_else(PoisonError::into_inner).1.plus(LEAF_LIFE)
    }

    /// Issues a new leaf when the present one has lived half its life, or seems to come from the future.
    ///
    /// # Errors
    /// The present leaf stays.
    pub(super) fn renew_if_due(&self, now: UnixMillis) -> Result<bool, CertificateError> {
        let issued = self.current.read().unwrap_or_else(PoisonError::into_inner).1;
        if issued <= now && now.since(issued) < LEAF_LIFE / 2 {
            return Ok(false);
        }
        let renewed = Arc::new(self.authority.issue(&self.names, now)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (renewed, now);
        Ok(true)
    }
}

impl ResolvesServerCert for Leaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).0))
    }
}

/// TLS 1.3 only; the provider prefers X25519MLKEM768.
///
/// # Errors
/// When the provider lacks TLS 1.3, which it does not.
pub(super) fn tls_config(leaf: Arc<Leaf>) -> Result<ServerConfig, CertificateError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(leaf);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would skip the certificate, and with it the pin.
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The names that a leaf carries: those that were configured, those of loopback, and the address that is listened on.
pub(super) fn leaf_names(configured: &[String], listen: IpAddr) -> Vec<String> {
    let mut names: Vec<String> = configured.to_vec();
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    if !listen.is_unspecified() {
        names.push(listen.to_string());
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Distinct subjects for authority and leaf: with equal ones a leaf passes for self-signed.
fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

    fn leaf() -> Leaf {
        let authority = Authority::from_key(&Authority::new_key().unwrap()).unwrap();
        Leaf::new(authority, leaf_names(&[], "127.0.0.1".parse().unwrap()), NOW).unwrap()
    }

    #[test]
    fn the_pin_is_that_of_the_key_and_survives_a_restart() {
        let key = Authority::new_key().unwrap();
        let pin = Authority::from_key(&key).unwrap().pin();
        assert_eq!(pin, Authority::from_key(&key).unwrap().pin());
        assert_ne!(pin, Authority::from_key(&Authority::new_key().unwrap()).unwrap().pin());
        assert_eq!(pin.to_string().len(), 64);
    }

    #[test]
    fn nothing_secret_is_shown() {
        let leaf = leaf();
        assert_eq!(format!("{leaf:?}"), format!("Leaf {{ names: {:?}, .. }}", leaf.names));
    }

    #[test]
    fn a_leaf_is_renewed_at_half_life_and_after_a_clock_that_jumped_back() {
        let leaf = leaf();
        assert!(!leaf.renew_if_due(NOW.plus(LEAF_LIFE / 2 - Duration::from_secs(1))).unwrap());
        assert!(leaf.renew_if_due(NOW.plus(LEAF_LIFE / 2)).unwrap());
        assert!(leaf.renew_if_due(NOW).unwrap());
    }

    #[test]
    fn a_name_that_no_certificate_can_carry_is_refused() {
        let authority = Authority::from_key(&Authority::new_key().unwrap()).unwrap();
        let bad = Leaf::new(authority, vec!["chat.example.org\u{e9}".to_owned()], NOW);
        assert!(matches!(bad, Err(CertificateError::BadName(_))));
    }

    #[test]
    fn bytes_that_are_no_key_make_no_authority() {
        assert!(Authority::from_key(b"no key").is_err());
    }
}
