//! Which servers are let in.

use endtoend_crypto_core::channel::ChannelError;
use endtoend_protocol::UnixMillis;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType, date_time_ymd};

use super::fixture::{Authority, Identity, PATIENCE, address, connect, params, pin_of, server, wss_server};
use crate::address::KeyHash;
use crate::transport::testing::ServerIdentity;
use crate::transport::{ConnectError, Link, Untrusted};

async fn try_connect(identity: &Identity, pin: KeyHash) -> Result<Link, ConnectError> {
    let (port, _server) = wss_server(identity.config()).await;
    connect(&address(port, pin), PATIENCE).await
}

/// The reason of a refusal, which must also be a permanent one.
async fn refused(identity: &Identity, pin: KeyHash) -> Untrusted {
    let error = try_connect(identity, pin).await.unwrap_err();
    assert!(error.is_permanent());
    match error {
        ConnectError::Untrusted(reason) => reason,
        other => panic!("{other:?}"),
    }
}

const MS_PER_DAY: u64 = 24 * 3600 * 1000;

#[tokio::test]
async fn a_server_of_the_pinned_authority_is_trusted() {
    let authority = Authority::new("authority");
    try_connect(&authority.identity(), authority.pin).await.unwrap();
}

#[tokio::test]
async fn a_pinned_server_of_any_authority_is_trusted() {
    let server = Authority::new("authority").identity();
    try_connect(&server, server.pin()).await.unwrap();
}

/// An authority that `root` vouches for.
fn intermediate(root: &Authority) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = params("middle");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let certificate = params.signed_by(&key, &root.issuer).unwrap().into();
    Authority { certificate, pin: pin_of(&key), issuer: Issuer::new(params, key) }
}

#[tokio::test]
async fn a_pinned_root_vouches_through_an_intermediate_authority() {
    let root = Authority::new("root");
    let middle = intermediate(&root);
    let mut server = middle.identity();
    server.chain.push(root.certificate.clone());
    for pin in [root.pin, middle.pin, server.pin()] {
        try_connect(&server, pin).await.unwrap();
    }
}

#[tokio::test]
async fn a_pinned_server_is_refused_unless_its_chain_leads_to_the_last_authority() {
    let middle = intermediate(&Authority::new("root"));
    let mut server = middle.identity();
    server.chain.push(Authority::new("other").certificate);
    assert!(matches!(refused(&server, server.pin()).await, Untrusted::ChainInvalid { .. }));
}

#[tokio::test]
async fn another_key_than_the_pinned_one_is_refused_and_named() {
    let authority = Authority::new("authority");
    let server = authority.identity();
    let reason = refused(&server, KeyHash([7; 32])).await;
    assert_eq!(reason, Untrusted::WrongPin { presented: vec![server.pin(), authority.pin] });
    assert!(reason.to_string().contains(&authority.pin.to_string()));
}

#[tokio::test]
async fn a_self_signed_server_is_refused_even_when_pinned() {
    let alone = Authority::with("leaf", KeyPair::generate().unwrap(), |_| {});
    let server = Identity { chain: vec![alone.certificate.clone()], key: alone.key() };
    assert_eq!(refused(&server, alone.pin).await, Untrusted::SelfSignedLeaf);
}

#[tokio::test]
async fn an_authority_that_serves_itself_is_refused_even_when_pinned() {
    let authority = Authority::new("authority");
    let chain = vec![authority.certificate.clone(), authority.certificate.clone()];
    let server = Identity { chain, key: authority.key() };
    assert_eq!(refused(&server, authority.pin).await, Untrusted::SelfSignedLeaf);
}

#[tokio::test]
async fn one_key_under_two_names_is_refused_as_self_signed() {
    let authority = Authority::new("authority");
    let leaf = params("leaf").signed_by(authority.issuer.key(), &authority.issuer).unwrap().into();
    let server = Identity { chain: vec![leaf, authority.certificate.clone()], key: authority.key() };
    assert_eq!(refused(&server, authority.pin).await, Untrusted::SelfSignedLeaf);
}

#[tokio::test]
async fn an_expired_server_is_refused_with_the_date() {
    let authority = Authority::new("authority");
    let server = authority.identity_with(|params| params.not_after = date_time_ymd(2020, 1, 1));
    for pin in [authority.pin, server.pin()] {
        let reason = refused(&server, pin).await;
        let Untrusted::Expired { not_after, now } = reason else { panic!("{reason:?}") };
        assert_eq!(not_after, UnixMillis::new(18_262 * MS_PER_DAY));
        assert!(now > not_after);
        assert!(reason.to_string().contains("2020-01-01T00:00:00Z"));
    }
}

#[tokio::test]
async fn a_server_from_the_future_is_refused_with_a_hint_at_the_clock() {
    let authority = Authority::new("authority");
    let server = authority.identity_with(|params| params.not_before = date_time_ymd(3000, 1, 1));
    let reason = refused(&server, authority.pin).await;
    assert!(matches!(reason, Untrusted::NotYetValid { not_before, now } if now < not_before));
    assert!(reason.to_string().contains("the clock of this machine may be wrong"));
}

#[tokio::test]
async fn an_expired_authority_is_refused() {
    let authority = Authority::with("authority", KeyPair::generate().unwrap(), |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let server = authority.identity();
    for pin in [authority.pin, server.pin()] {
        assert!(matches!(refused(&server, pin).await, Untrusted::Expired { .. }));
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused_with_its_names() {
    let authority = Authority::new("authority");
    let server = authority.identity_with(|params| {
        params.subject_alt_names = vec![SanType::DnsName("chat.example.org".try_into().unwrap())];
    });
    let reason = refused(&server, authority.pin).await;
    let Untrusted::WrongName { wanted, presented } = &reason else { panic!("{reason:?}") };
    assert_eq!(wanted, "127.0.0.1");
    assert!(presented.iter().any(|name| name.contains("chat.example.org")), "{presented:?}");
}

#[tokio::test]
async fn a_certificate_for_clients_is_refused() {
    let authority = Authority::new("authority");
    let server =
        authority.identity_with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert!(matches!(refused(&server, authority.pin).await, Untrusted::ChainInvalid { .. }));
}

#[tokio::test]
async fn showing_the_pinned_authority_without_its_signature_is_refused() {
    let pinned = Authority::new("pinned");
    let mut server = Authority::new("other").identity();
    for position in [1, 2] {
        server.chain.insert(position, pinned.certificate.clone());
        assert!(matches!(refused(&server, pinned.pin).await, Untrusted::ChainInvalid { .. }));
    }
}

#[tokio::test]
async fn the_name_of_the_pinned_authority_does_not_replace_its_signature() {
    let pinned = Authority::new("authority");
    let mut server = Authority::new("authority").identity();
    server.chain = vec![server.chain[0].clone(), pinned.certificate.clone()];
    assert_eq!(refused(&server, pinned.pin).await, Untrusted::BadSignature);
}

#[tokio::test]
async fn a_pinned_key_that_is_no_authority_vouches_for_nobody() {
    let not_an_authority = Authority::with("not an authority", KeyPair::generate().unwrap(), |_| {});
    let server = not_an_authority.identity();
    assert!(matches!(refused(&server, not_an_authority.pin).await, Untrusted::ChainInvalid { .. }));
}

#[tokio::test]
async fn a_pinned_server_without_its_authority_is_refused() {
    let mut server = Authority::new("authority").identity();
    server.chain.truncate(1);
    assert!(matches!(refused(&server, server.pin()).await, Untrusted::ChainInvalid { .. }));
}

#[tokio::test]
async fn a_pinned_server_with_an_authority_that_did_not_issue_it_is_refused() {
    let mut server = Authority::new("authority").identity();
    server.chain[1] = Authority::new("other").certificate;
    assert!(matches!(refused(&server, server.pin()).await, Untrusted::ChainInvalid { .. }));
}

#[tokio::test]
async fn a_copied_certificate_without_its_key_is_refused() {
    let authority = Authority::new("authority");
    let mut server = authority.identity();
    let pin = server.pin();
    server.key = KeyPair::generate().unwrap();
    for pin in [authority.pin, pin] {
        assert_eq!(refused(&server, pin).await, Untrusted::BadSignature);
    }
}

/// Connects to a server with a good certificate, whose identity inside TLS is `presented`, by this pin.
async fn introduced(presented: ServerIdentity, pinned: [u8; 32]) -> Untrusted {
    let authority = Authority::new("authority");
    let config = std::sync::Arc::new(authority.identity().config());
    let (port, _server) = server(async move |tcp| {
        let tls = tokio_rustls::TlsAcceptor::from(config).accept(tcp).await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(tls).await.unwrap();
        (presented.accept(&mut socket).await, socket) // held open
    })
    .await;
    let mut address = address(port, authority.pin);
    address.pin.identity = pinned;
    let error = connect(&address, PATIENCE).await.unwrap_err();
    assert!(error.is_permanent());
    match error {
        ConnectError::Untrusted(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_pinned_tls_key_with_another_identity_is_refused_and_named() {
    let impostor = ServerIdentity::new();
    let presented = impostor.fingerprint();
    let reason = introduced(impostor, ServerIdentity::new().fingerprint()).await;
    assert_eq!(reason, Untrusted::WrongIdentity { presented });
    assert!(reason.to_string().contains(&hex::encode(presented)), "{reason}");
}

#[tokio::test]
async fn an_introduction_of_another_time_is_refused() {
    const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;
    for (clock_ahead_ms, expected) in [(-YEAR_MS, ChannelError::Expired), (YEAR_MS, ChannelError::NotYetValid)] {
        let mut presented = ServerIdentity::new();
        presented.clock_ahead_ms = clock_ahead_ms;
        let pinned = presented.fingerprint();
        assert_eq!(introduced(presented, pinned).await, Untrusted::Channel(expected));
    }
}
