//! Who may be the server: a valid chain AND the pinned key.
//!
//! The pin names either the authority that issued the server's certificate or the server's own key:
//! - authority pinned: that certificate, and no other, is the trust anchor; the chain must lead to it;
//! - server pinned: the last authority that it presented is the anchor, and the chain must be valid all the same.
//!
//! A certificate that vouches for itself is refused in both cases. webpki builds and verifies the path, so dates, name,
//! purpose and signatures are checked as for any public server.

use std::sync::Arc;

use endtoend_protocol::UnixMillis;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, PeerIncompatible, SignatureScheme};
use sha2::{Digest as _, Sha256};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Untrusted;
use crate::address::KeyHash;

/// Checks a server against one pin.
#[derive(Debug)]
pub(super) struct PinnedServer {
    pin: KeyHash,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedServer {
    pub(super) fn new(pin: KeyHash, provider: &CryptoProvider) -> Self {
        Self { pin, algorithms: provider.signature_verification_algorithms }
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Untrusted> {
        let certificate = EndEntityCert::try_from(leaf).map_err(|e| untrusted(e, now))?;
        let leaf_pin = pin_of(leaf, now)?;
        let others = others.iter().map(|der| Other::read(der, now)).collect::<Result<Vec<_>, _>>()?;

        let pinned = others.iter().filter(|other| other.pin == self.pin).collect::<Vec<_>>();
        if pinned.is_empty() && leaf_pin != self.pin {
            let presented = std::iter::once(leaf_pin).chain(others.iter().map(|other| other.pin)).collect();
            return Err(Untrusted::WrongPin { presented });
        }
        if certificate.issuer() == certificate.subject() {
            return Err(Untrusted::SelfSignedLeaf);
        }
        let anchors: Vec<&Other<'_>> = if pinned.is_empty() {
            others.iter().rfind(|other| other.is_authority).into_iter().collect()
        } else {
            pinned.into_iter().filter(|other| other.is_authority).collect()
        };
        // The same key under two names is a self-signed certificate in disguise.
        if leaf_pin == self.pin && anchors.iter().any(|anchor| anchor.pin == leaf_pin) {
            return Err(Untrusted::SelfSignedLeaf);
        }
        if anchors.is_empty() {
            return Err(invalid("the certificate of an issuing authority is missing"));
        }
        // webpki takes an anchor as given; one that ran out is refused here.
        anchors.iter().try_for_each(|anchor| anchor.within_its_dates(now))?;

        let anchors = anchors.iter().map(|other| other.anchor.clone()).collect::<Vec<_>>();
        let intermediates = others.into_iter().map(|other| other.der).collect::<Vec<_>>();
        certificate
            .verify_for_usage(self.algorithms.all, &anchors, &intermediates, now, KeyUsage::server_auth(), None, None)
            .map_err(|e| untrusted(e, now))?;
        certificate.verify_is_valid_for_subject_name(name).map_err(|e| untrusted(e, now))
    }
}

/// A presented certificate other than the server's own.
struct Other<'a> {
    der: CertificateDer<'a>,
    anchor: TrustAnchor<'a>,
    pin: KeyHash,
    is_authority: bool,
    not_before: UnixMillis,
    not_after: UnixMillis,
}

impl<'a> Other<'a> {
    fn read(der: &'a CertificateDer<'a>, now: UnixTime) -> Result<Self, Untrusted> {
        let anchor = anchor_from_trusted_cert(der).map_err(|e| untrusted(e, now))?;
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| invalid("a certificate cannot be read"))?;
        let millis = |seconds: i64| UnixMillis::new(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
        Ok(Self {
            pin: pin_of(der, now)?,
            anchor,
            is_authority: parsed.is_ca(),
            not_before: millis(parsed.validity().not_before.timestamp()),
            not_after: millis(parsed.validity().not_after.timestamp()),
            der: CertificateDer::from(der.as_ref()),
        })
    }

    fn within_its_dates(&self, now: UnixTime) -> Result<(), Untrusted> {
        let (now, not_before, not_after) = (unix_millis(now), self.not_before, self.not_after);
        if now < not_before {
            Err(Untrusted::NotYetValid { not_before, now })
        } else if now > not_after {
            Err(Untrusted::Expired { not_after, now })
        } else {
            Ok(())
        }
    }
}

/// Read by webpki, like the key that it verifies with: two parsers could see two keys.
fn pin_of(der: &CertificateDer<'_>, now: UnixTime) -> Result<KeyHash, Untrusted> {
    let certificate = EndEntityCert::try_from(der).map_err(|e| untrusted(e, now))?;
    Ok(KeyHash(Sha256::digest(certificate.subject_public_key_info()).into()))
}

fn unix_millis(at: UnixTime) -> UnixMillis {
    UnixMillis::new(at.as_secs().saturating_mul(1000))
}

fn invalid(why: impl Into<String>) -> Untrusted {
    Untrusted::ChainInvalid { why: why.into() }
}

fn untrusted(error: webpki::Error, now: UnixTime) -> Untrusted {
    use webpki::Error as E;
    match error {
        E::CertExpired { not_after, .. } => {
            Untrusted::Expired { not_after: unix_millis(not_after), now: unix_millis(now) }
        }
        E::CertNotValidYet { not_before, .. } => {
            Untrusted::NotYetValid { not_before: unix_millis(not_before), now: unix_millis(now) }
        }
        E::CertNotValidForName(names) => {
            Untrusted::WrongName { wanted: names.expected.to_str().into_owned(), presented: names.presented }
        }
        E::InvalidSignatureForPublicKey => Untrusted::BadSignature,
        E::UnknownIssuer => invalid("it does not lead to its authority"),
        E::RequiredEkuNotFoundContext(_) => invalid("the server's certificate is not for servers"),
        E::CaUsedAsEndEntity => invalid("the server shows an authority's certificate as its own"),
        other => invalid(other.to_string()),
    }
}

fn refuse(reason: Untrusted) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(reason))).into()
}

/// What [`PinnedServer`] refused, if that is why a handshake failed.
pub(super) fn refusal(error: &rustls::Error) -> Option<&Untrusted> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(reason))) => reason.downcast_ref(),
        _ => None,
    }
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity, intermediates, server_name, now)
            .map(|()| ServerCertVerified::assertion())
            .map_err(refuse)
    }

    /// Never reached, as TLS 1.2 is not offered; refuses all the same.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms).map_err(|error| match error {
            rustls::Error::InvalidCertificate(_) => refuse(Untrusted::BadSignature),
            other => other,
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
