//! The way to the network, on the way to an account and in the settings: see `snapshots`.

use endtoend_client::engine::{ConnectionState, OfflineReason};
use endtoend_client::transport::{Choice, NetworkSettings, NetworkStatus, TorState, TorTrouble, Way};
use endtoend_protocol::UnixMillis;

use super::network::{self, Kind};
use super::snapshots::{CARD, at_home, both, first, news, people};
use crate::app::Message;
use crate::failure::Failure;
use crate::order::{News, Step};
use crate::screens::home::settings::{self, Section};
use crate::screens::{first_run, home};
use crate::testing::{NOW, server};

const PAGE: (f32, f32) = (900.0, 1_180.0);
const FINGERPRINT: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

fn tor(state: TorState, bridges: &[&str]) -> Message {
    let bridges = bridges.iter().map(|kind| (*kind).to_owned()).collect();
    news(News::Network(NetworkStatus { way: Some(Way::Tor), tor: state, bridges }))
}

/// The page of the settings, where that was chosen, and what follows.
fn page(settings: NetworkSettings, more: Vec<Message>) -> Vec<Message> {
    let mut all = people();
    all.extend([
        Message::Resized(PAGE.0, PAGE.1),
        at_home(home::Message::Settings(true)),
        at_home(home::Message::Setting(settings::Message::Show(Section::Network))),
        news(News::NetworkChosen(Ok(Box::new(settings)))),
    ]);
    all.extend(more);
    all
}

fn form(message: network::Message) -> Message {
    let message = settings::Message::Network(settings::network::Message::Form(message));
    at_home(home::Message::Setting(message))
}

fn bridged() -> NetworkSettings {
    let line = format!("obfs4 192.0.2.3:443 {FINGERPRINT} cert={} iat-mode=0", "A".repeat(70));
    NetworkSettings { choice: Choice::Tor, bridges: vec![line.parse().unwrap()], ..NetworkSettings::default() }
}

#[test]
fn tor_in_the_settings() {
    both("network-tor", PAGE, true, || {
        let program = endtoend_client::transport::programs::Program {
            transport: "obfs4".to_owned(),
            path: "/usr/bin/lyrebird".into(),
        };
        let asked = settings::Message::Network(settings::network::Message::Check);
        page(
            bridged(),
            vec![
                tor(TorState::Verified, &["obfs4"]),
                news(News::Programs(Ok(vec![program]))),
                at_home(home::Message::Setting(asked)),
                news(News::Checked(Ok(std::time::Duration::from_millis(742)))),
            ],
        )
    });
    both("network-trouble", PAGE, true, || {
        let missing = TorTrouble::ProgramMissing {
            transport: "obfs4".to_owned(),
            wanted: vec!["lyrebird".to_owned(), "obfs4proxy".to_owned()],
        };
        let why = OfflineReason::Tor(missing.clone());
        page(
            bridged(),
            vec![
                tor(TorState::Trouble { percent: 0, trouble: missing.clone() }, &["obfs4"]),
                news(News::Connection(ConnectionState::Offline { retry_at: None, why })),
                news(News::Programs(Err(missing))),
            ],
        )
    });
}

#[test]
fn to_be_seen_is_asked_about() {
    both("network-exposed", PAGE, true, || {
        page(NetworkSettings::default(), vec![tor(TorState::Ready, &[]), form(network::Message::Choose(Kind::Direct))])
    });
    both("network-narrow", (360.0, 900.0), true, || {
        let settings =
            NetworkSettings { choice: "socks5://127.0.0.1:9050".parse().unwrap(), ..NetworkSettings::default() };
        page(settings, vec![Message::Resized(360.0, 900.0)])
    });
}

#[test]
fn tor_starts_while_somebody_waits() {
    let size = (620.0, 420.0);
    both("tor-starting", size, true, || {
        let mut all = people();
        all.extend([
            Message::Resized(size.0, size.1),
            news(News::Connection(ConnectionState::Connecting)),
            tor(TorState::Starting { percent: 45 }, &[]),
        ]);
        all
    });
    both("tor-hindered", size, true, || {
        let why = OfflineReason::Tor(TorTrouble::Blocked);
        let mut all = people();
        all.extend([
            Message::Resized(size.0, size.1),
            news(News::Connection(ConnectionState::Offline { retry_at: Some(UnixMillis::new(NOW + 9_000)), why })),
            tor(TorState::Trouble { percent: 5, trouble: TorTrouble::Blocked }, &[]),
        ]);
        all
    });
}

#[test]
fn the_way_before_there_is_an_account() {
    use first_run::Message as M;
    let begun = || vec![first(M::Begin(first_run::Way::Create)), first(M::AddressEdited(server().to_string()))];
    both("way", (CARD.0, 1_000.0), false, || {
        let mut all = begun();
        all.extend([first(M::ShowNetwork), first(M::Network(network::Message::Choose(Kind::Direct)))]);
        all
    });
    both("way-waiting", (620.0, 340.0), false, || {
        let mut all = begun();
        let secret = |text: &str| text.to_owned().into();
        all.extend([
            first(M::Next),
            first(M::HandleEdited("alice".to_owned())),
            first(M::Next),
            first(M::PasswordEdited(secret("stapler gravel quorum"))),
            first(M::AgainEdited(secret("stapler gravel quorum"))),
            first(M::Next),
            news(News::Step(Step::Asking)),
            tor(TorState::Starting { percent: 45 }, &[]),
        ]);
        all
    });
    both("way-blocked", (CARD.0, 1_000.0), false, || {
        let mut all = begun();
        all.push(news(News::NotEntered(Failure::new("tor-blocked"), true)));
        all
    });
}

/// Whoever answers there lets in only some.
const ONION: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion";
const KEY: &str = "descriptor:x25519:AEBAGBAFAYDQQCIKBMGA2DQPCAIREEYUCULBOGAZDINRYHI6D4QA";

#[test]
fn keys_of_onion_services() {
    let key = |message| network::Message::Keys(message);
    both("network-keys", (PAGE.0, 1_420.0), true, || {
        let keys = [(ONION.parse().unwrap(), KEY.parse().unwrap())].into();
        let settings = NetworkSettings { choice: Choice::Tor, keys, ..NetworkSettings::default() };
        let asked = form(key(network::keys::Message::Remove(ONION.parse().unwrap())));
        page(settings, vec![Message::Resized(PAGE.0, 1_420.0), tor(TorState::Ready, &[]), asked])
    });
    both("way-keys", (CARD.0, 1_180.0), false, || {
        use first_run::Message as M;
        let server = server().to_string().replace("chat.example.org", ONION);
        let typed = |message| first(M::Network(key(message)));
        vec![
            first(M::Begin(first_run::Way::Create)),
            first(M::AddressEdited(server)),
            first(M::ShowNetwork),
            typed(network::keys::Message::Typed("descriptor:x25519:".to_owned().into())),
            typed(network::keys::Message::Add(Some(ONION.parse().unwrap()))),
        ]
    });
}
