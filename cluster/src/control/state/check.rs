//! What a single value must be like to be taken in.

use endtoend_crypto_core::sealing;

use super::{
    ADDRESS_BYTES_MAX, AuthorityCertificate, BLOB_BYTES_MAX, CERTIFICATE_BYTES_MAX, NodeCertificate, NodeId, Refused,
    SEALED_KEY_BYTES, Sealed, Settings,
};
use crate::control::command::{Applicant, EdgeApplicant};
use crate::keys::point_of;

const NAME_BYTES_MAX: usize = 63;
const PROGRAM_BYTES_MAX: usize = 64;

fn invalid(what: &str) -> Refused {
    Refused::Invalid(what.to_owned())
}

/// As a label of DNS, in lower case.
pub(super) fn name(name: &str) -> Result<(), Refused> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if fits { Ok(()) } else { Err(invalid("name")) }
}

/// `HOST:PORT`, without blanks. Whether somebody is there shows when a link is made.
pub(super) fn address(address: &str) -> Result<(), Refused> {
    let parts = address.rsplit_once(':');
    let fits = address.len() <= ADDRESS_BYTES_MAX
        && address.bytes().all(|byte| byte.is_ascii_graphic())
        && parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0));
    if fits { Ok(()) } else { Err(invalid("address")) }
}

pub(super) fn version(version: &str) -> Result<(), Refused> {
    let fits =
        !version.is_empty() && version.len() <= PROGRAM_BYTES_MAX && version.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(()) } else { Err(invalid("version")) }
}

pub(super) fn settings(settings: &Settings) -> Result<(), Refused> {
    name(&settings.name)?;
    settings.timings.validate().map(drop).map_err(|_| invalid("timing of elections"))
}

pub(super) fn applicant(applicant: &Applicant) -> Result<(), Refused> {
    let Applicant { node, name: called, key, sealing, peer_address, client_address, version: program } = applicant;
    name(called)?;
    if point_of(key).is_none() || NodeId::of_key(key) != *node {
        return Err(invalid("node key"));
    }
    sealing::check_public(sealing).map_err(|_| invalid("sealing key"))?;
    address(peer_address)?;
    address(client_address)?;
    version(program)
}

pub(super) fn edge(applicant: &EdgeApplicant) -> Result<(), Refused> {
    let EdgeApplicant { edge, name: called, key, version: program } = applicant;
    name(called)?;
    if point_of(key).is_none() || NodeId::of_key(key) != *edge {
        return Err(invalid("edge key"));
    }
    version(program)
}

pub(super) fn authority(authority: &AuthorityCertificate) -> Result<(), Refused> {
    if (1..=CERTIFICATE_BYTES_MAX).contains(&authority.der.len()) { Ok(()) } else { Err(invalid("authority")) }
}

/// Whether a certificate is by this authority. Its contents are for those to whom it is shown.
pub(super) fn certificate(certificate: &NodeCertificate, by: &AuthorityCertificate) -> Result<(), Refused> {
    if !(1..=CERTIFICATE_BYTES_MAX).contains(&certificate.der.len()) {
        return Err(invalid("certificate"));
    }
    if certificate.authority == by.key { Ok(()) } else { Err(Refused::Stale) }
}

/// Whether secrets are of this generation and sealed for exactly these members.
pub(super) fn sealed(sealed: &Sealed, generation: u64, members: impl Iterator<Item = NodeId>) -> Result<(), Refused> {
    if sealed.blob.is_empty()
        || sealed.blob.len() > BLOB_BYTES_MAX
        || sealed.keys.values().any(|key| key.len() != SEALED_KEY_BYTES)
    {
        return Err(invalid("sealed secret"));
    }
    if sealed.generation == generation && sealed.keys.keys().copied().eq(members) {
        Ok(())
    } else {
        Err(Refused::Stale)
    }
}
