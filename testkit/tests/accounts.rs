//! What a stolen token, a stolen password and a forger get from a node.
#![expect(clippy::expect_used, clippy::panic, reason = "test code: an answer that was not expected fails the test")]

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use endtoend_crypto_core::opaque::{ClientLogin, ClientRegistration};
use endtoend_protocol::{
    AccountTag, Answer, ClientFrame, ClosingReason, DeviceId, Refusal, RefusalCode, Relation, Request, RetryReason,
    ServerFrame,
};
use endtoend_testkit::{Device, Node, NodeOptions, PASSWORD, Wire, find_in_trees};

const ALICE: AccountTag = AccountTag::new([0xa; 32]);
const BOB: AccountTag = AccountTag::new([0xb; 32]);
const MALLORY: AccountTag = AccountTag::new([0xe; 32]);

fn node() -> Node {
    Node::start(NodeOptions::default())
}

fn node_with(environment: &[(&'static str, &str)]) -> Node {
    let environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Node::start(NodeOptions { environment, ..NodeOptions::default() })
}

fn refused(answer: ServerFrame) -> Refusal {
    match answer {
        ServerFrame::Refused { refusal, .. } => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn answered(frame: ServerFrame) -> Answer {
    match frame {
        ServerFrame::Answer { answer, .. } => answer,
        other => panic!("not answered: {other:?}"),
    }
}

/// Sends an envelope, and gives what becomes of it.
async fn send(wire: &mut Wire, to: &Device, number: u8) -> ServerFrame {
    wire.send(&ClientFrame::Send(to.envelope(number, 100))).await;
    wire.recv().await.expect("an answer")
}

fn is_accepted(frame: &ServerFrame) -> bool {
    matches!(frame, ServerFrame::Accepted { .. })
}

fn retry(frame: ServerFrame) -> (RetryReason, Duration) {
    match frame {
        ServerFrame::Retry { reason, after_ms, .. } => (reason, Duration::from_millis(after_ms)),
        other => panic!("not to be repeated: {other:?}"),
    }
}

fn retry_reason(frame: ServerFrame) -> RetryReason {
    retry(frame).0
}

/// The connection ends, and says that its device was removed.
async fn is_told_of_its_end(wire: &mut Wire) {
    let limit = Duration::from_secs(2);
    let said = tokio::time::timeout(limit, async {
        loop {
            match wire.recv().await {
                Some(ServerFrame::Closing { reason, .. }) => return reason,
                Some(_) => {}
                None => panic!("closed without a word"),
            }
        }
    });
    assert_eq!(said.await.expect("within two seconds"), ClosingReason::Removed);
}

// --- tokens ---

#[tokio::test]
async fn a_refresh_token_is_replaced_and_a_lost_answer_is_forgiven_once() {
    let node = node();
    let (_, mut alice) = Wire::register(node.listen(), ALICE).await;
    let first = alice.copied();
    Wire::refresh(node.listen(), &mut alice).await.expect("refreshed");
    assert_ne!(first.refresh_token, alice.refresh_token);
    // The answer was lost in a crash: the device has the first one still.
    let mut crashed = first.copied();
    Wire::refresh(node.listen(), &mut crashed).await.expect("forgiven");
    Wire::refresh(node.listen(), &mut crashed).await.expect("goes on");
    // Whoever has found the lost one ends the family, for everybody.
    let refusal = Wire::refresh(node.listen(), &mut alice).await.expect_err("reused");
    assert_eq!(refusal.code, RefusalCode::BadCredentials);
    let refusal = Wire::refresh(node.listen(), &mut crashed).await.expect_err("revoked");
    assert_eq!(refusal.code, RefusalCode::BadCredentials);
    let resumed = Wire::try_resume(node.listen(), &crashed).await.expect_err("revoked, however young");
    assert_eq!(resumed, RefusalCode::BadCredentials);
    // The password opens the account again.
    Wire::login(node.listen(), &alice, PASSWORD).await.expect("logged in");
}

#[tokio::test]
async fn an_old_refresh_token_ends_live_connections_of_its_family() {
    let node = node();
    let (_, mut alice) = Wire::register(node.listen(), ALICE).await;
    let stolen = alice.copied();
    Wire::refresh(node.listen(), &mut alice).await.expect("refreshed");
    let mut live = Wire::refresh(node.listen(), &mut alice).await.expect("refreshed");
    let mut copy = stolen.copied();
    Wire::refresh(node.listen(), &mut copy).await.expect_err("two generations old");
    is_told_of_its_end(&mut live).await;
}

#[tokio::test]
async fn a_stolen_token_is_of_no_use_without_its_device() {
    let node = node();
    let (_, mut alice) = Wire::register(node.listen(), ALICE).await;
    let (_, mallory) = Wire::register(node.listen(), MALLORY).await;
    let mut thief = alice.with_key_of(&mallory);
    let refusal = Wire::refresh(node.listen(), &mut thief).await.expect_err("not its device");
    assert_eq!(refusal.code, RefusalCode::BadCredentials);
    assert_eq!(Wire::try_resume(node.listen(), &thief).await.expect_err("nor this"), RefusalCode::BadCredentials);
    // Nor does the attempt hurt the one who was robbed.
    Wire::refresh(node.listen(), &mut alice).await.expect("refreshed");
    Wire::resume(node.listen(), &alice).await;
}

#[tokio::test]
async fn a_proof_is_good_once_and_on_its_own_connection() {
    let node = node();
    let (_, alice) = Wire::register(node.listen(), ALICE).await;
    let mut here = Wire::connect(node.listen()).await;
    let mut there = Wire::connect(node.listen()).await;
    let (challenge, other) = (here.hello().await, there.hello().await);
    // Made for the other connection: its challenge, and its channel.
    let carried = there.resume_request(&other, &alice);
    assert_eq!(refused(here.ask(carried).await).code, RefusalCode::BadCredentials);
    // The challenge is used up, even for the right proof.
    let late = here.resume_request(&challenge, &alice);
    assert_eq!(refused(here.ask(late).await).code, RefusalCode::BadCredentials);
    let Answer::Challenge { challenge: fresh } = answered(here.ask(Request::NewChallenge).await) else {
        panic!("no challenge");
    };
    assert_ne!(fresh, challenge);
    let good = here.resume_request(&fresh, &alice);
    assert!(matches!(answered(here.ask(good).await), Answer::Authenticated { .. }));
}

#[tokio::test]
async fn a_logout_ends_one_login_or_all() {
    let node = node_with(&[("ENDTOEND_ACCOUNTS__PASSWORD_DEVICE_DELAY_HOURS", "0")]);
    let (mut one, first) = Wire::register(node.listen(), ALICE).await;
    let (mut two, second) = Wire::add_by_password(node.listen(), ALICE).await.expect("added");
    // The list has changed: everybody who is here hears of it.
    assert!(matches!(one.recv().await, Some(ServerFrame::DevicesChanged { version: 2 })));
    assert!(matches!(answered(one.ask(Request::Logout { everywhere: false }).await), Answer::Done));
    is_told_of_its_end(&mut one).await;
    assert_eq!(Wire::try_resume(node.listen(), &first).await.expect_err("logged out"), RefusalCode::BadCredentials);
    let (mut one, mut first) = Wire::login(node.listen(), &first, PASSWORD).await.expect("logged in again");
    assert!(matches!(answered(one.ask(Request::Logout { everywhere: true }).await), Answer::Done));
    is_told_of_its_end(&mut two).await;
    for device in [&mut first, &mut second.copied()] {
        Wire::refresh(node.listen(), device).await.expect_err("logged out");
        assert_eq!(Wire::try_resume(node.listen(), device).await.expect_err("gone"), RefusalCode::BadCredentials);
    }
}

// --- devices ---

#[tokio::test]
async fn a_removed_device_is_gone_within_two_seconds_and_stays_away() {
    let node = node_with(&[("ENDTOEND_ACCOUNTS__PASSWORD_DEVICE_DELAY_HOURS", "0")]);
    let (mut one, _) = Wire::register(node.listen(), ALICE).await;
    let (mut two, mut second) = Wire::add_by_password(node.listen(), ALICE).await.expect("added");
    assert_eq!(second.address.device.get(), 2);
    assert!(matches!(one.recv().await, Some(ServerFrame::DevicesChanged { .. })));
    two.ask(Request::Attach).await;
    let remove = Request::RemoveDevice { device: second.address.device };
    assert!(matches!(answered(one.ask(remove.clone()).await), Answer::Done));
    is_told_of_its_end(&mut two).await;
    Wire::refresh(node.listen(), &mut second).await.expect_err("removed");
    assert_eq!(Wire::try_resume(node.listen(), &second).await.expect_err("removed"), RefusalCode::BadCredentials);
    let refusal = Wire::login(node.listen(), &second, PASSWORD).await.map(drop).expect_err("removed");
    assert_eq!(refusal.code, RefusalCode::BadCredentials);
    let changed = one.recv().await;
    assert!(matches!(changed, Some(ServerFrame::DevicesChanged { version: 3 })), "{changed:?}");
    assert_eq!(refused(one.ask(remove).await).code, RefusalCode::UnknownDevice);
    // Numbers do not come back: peers know the old one.
    let (_, third) = Wire::add_by_password(node.listen(), ALICE).await.expect("added");
    assert_eq!(third.address.device.get(), 3);
}

#[tokio::test]
async fn a_device_that_was_added_by_password_waits_where_the_owner_sees_it() {
    let node = node();
    let (mut one, first) = Wire::register(node.listen(), ALICE).await;
    let (mut new, mut second) = Wire::add_by_password(node.listen(), ALICE).await.expect("added");
    for request in [Request::Attach, Request::FetchDevices, Request::FetchBundles { account: BOB }] {
        assert_eq!(refused(new.ask(request).await).code, RefusalCode::DeviceWaits, "on this connection too");
    }
    new.send(&ClientFrame::Send(second.envelope(1, 100))).await;
    assert!(matches!(new.recv().await, Some(ServerFrame::Refused { .. } | ServerFrame::Closing { .. })));
    let refusal = Wire::refresh(node.listen(), &mut second).await.expect_err("it waits");
    assert_eq!(refusal.code, RefusalCode::DeviceWaits);
    let wait = refusal.retry_after_ms.map_or(0, NonZeroU64::get);
    assert!((23 * 3_600_000..=24 * 3_600_000).contains(&wait), "{wait} ms");
    assert!(matches!(one.recv().await, Some(ServerFrame::DevicesChanged { .. })), "a visible notice");
    let Answer::Devices { devices, .. } = answered(one.ask(Request::FetchDevices).await) else { panic!("no list") };
    assert_eq!(devices.len(), 2);
    assert!(devices.iter().any(|listed| listed.device == second.address.device && listed.active_at > listed.added_at));
    // Nobody writes to it meanwhile.
    let (mut bob, _) = Wire::register(node.listen(), BOB).await;
    let Answer::Bundles(bundles) = answered(bob.ask(Request::FetchBundles { account: ALICE }).await) else {
        panic!("no bundles");
    };
    assert_eq!(bundles.devices.iter().map(|bundle| bundle.device).collect::<Vec<_>>(), [first.address.device]);
    // The owner objects.
    let remove = Request::RemoveDevice { device: second.address.device };
    assert!(matches!(answered(one.ask(remove).await), Answer::Done));
    let refusal = Wire::refresh(node.listen(), &mut second).await.expect_err("removed");
    assert_eq!(refusal.code, RefusalCode::BadCredentials);
}

#[tokio::test]
async fn a_linked_device_needs_the_secret_of_an_existing_one() {
    let node = node();
    let (mut one, _) = Wire::register(node.listen(), ALICE).await;
    let (link, secret) = ([7; 16], [9; 32]);
    let mut new = Wire::connect(node.listen()).await;
    let challenge = new.hello().await;
    let offer = Request::OfferLink { link, offer: Bytes::from_static(b"an offer") };
    assert!(matches!(answered(new.ask(offer.clone()).await), Answer::Done));
    assert_eq!(refused(new.ask(offer).await).code, RefusalCode::Busy, "a name is taken once");
    assert!(matches!(answered(new.ask(Request::FetchAnswer { link }).await), Answer::LinkAnswer(None)));
    assert!(matches!(answered(one.ask(Request::FetchOffer { link }).await), Answer::Offer { .. }));
    let answer = |sealed: &'static [u8]| Request::AnswerLink {
        link,
        sealed: Bytes::from_static(sealed),
        secret_hash: Some(*blake3::hash(&secret).as_bytes()),
    };
    assert!(matches!(answered(one.ask(answer(b"for you")).await), Answer::Done));
    assert_eq!(refused(one.ask(answer(b"again")).await).code, RefusalCode::UnknownLink, "answered once");
    let Answer::LinkAnswer(Some((account, sealed))) = answered(new.ask(Request::FetchAnswer { link }).await) else {
        panic!("no answer");
    };
    assert_eq!((account, &*sealed), (ALICE, &b"for you"[..]));

    // Whoever has seen the exchange, but not what was sealed, does not get in. Nor into another account.
    for (account, secret) in [(ALICE, [8; 32]), (BOB, secret)] {
        let mut guess = Wire::connect(node.listen()).await;
        let challenge = guess.hello().await;
        let refusal = guess.add_device(&challenge, account, Some((link, secret))).await.map(drop).expect_err("refused");
        assert_eq!(refusal.code, RefusalCode::UnknownLink, "whether the account exists is not told");
    }
    let (_, second) = new.add_device(&challenge, ALICE, Some((link, secret))).await.expect("let in");
    assert_eq!(second.address.device.get(), 2);
    Wire::resume(node.listen(), &second).await;
    // The secret is used up.
    let mut again = Wire::connect(node.listen()).await;
    let challenge = again.hello().await;
    let refusal = again.add_device(&challenge, ALICE, Some((link, secret))).await.map(drop).expect_err("used up");
    assert_eq!(refusal.code, RefusalCode::UnknownLink);
}

#[tokio::test]
async fn an_account_has_eight_devices_at_most() {
    let node = node_with(&[("ENDTOEND_ACCOUNTS__PASSWORD_DEVICE_DELAY_HOURS", "0")]);
    Wire::register(node.listen(), ALICE).await;
    for number in 2..=8 {
        let (_, device) = Wire::add_by_password(node.listen(), ALICE).await.expect("added");
        assert_eq!(device.address.device.get(), number);
    }
    let refusal = Wire::add_by_password(node.listen(), ALICE).await.map(drop).expect_err("one too many");
    assert_eq!(refusal.code, RefusalCode::TooManyDevices);
}

#[tokio::test]
async fn whoever_does_not_know_all_devices_is_told_before_anything_is_accepted() {
    let node = node_with(&[("ENDTOEND_ACCOUNTS__PASSWORD_DEVICE_DELAY_HOURS", "0")]);
    let (_, alice) = Wire::register(node.listen(), ALICE).await;
    let (mut bob, _) = Wire::register(node.listen(), BOB).await;
    assert!(is_accepted(&send(&mut bob, &alice, 1).await));
    Wire::add_by_password(node.listen(), ALICE).await.expect("added");
    assert_eq!(retry_reason(send(&mut bob, &alice, 2).await), RetryReason::Devices);
}

// --- passwords, and the end of an account ---

/// Proves the password once more, to change it or to delete the account.
async fn prove_again(wire: &mut Wire, password: &[u8], new: Option<&[u8]>) -> ServerFrame {
    let rng = &mut rand::rng();
    let (login, opaque) = ClientLogin::start(rng, password).expect("OPAQUE starts");
    let registration = new.map(|new| ClientRegistration::start(rng, new).expect("OPAQUE starts"));
    let (registration, request) = registration.map(|(state, request)| (state, Bytes::from(request))).unzip();
    let start = Request::PasswordStart { opaque: opaque.into(), registration: request };
    let Answer::PasswordChallenge { opaque, registration: response } = answered(wire.ask(start).await) else {
        panic!("no challenge");
    };
    let ke3 = login.finish(rng, password, &opaque).map_or_else(|_| vec![1; 64], |done| done.ke3);
    let record = match (registration, new, response) {
        (Some(state), Some(new), Some(response)) => {
            Some(state.finish(rng, new, &response).expect("OPAQUE finishes").record.into())
        }
        _ => None,
    };
    wire.ask(Request::PasswordFinish { opaque: ke3.into(), record }).await
}

#[tokio::test]
async fn a_changed_password_logs_out_everybody_else() {
    let node = node_with(&[("ENDTOEND_ACCOUNTS__PASSWORD_DEVICE_DELAY_HOURS", "0")]);
    let (mut one, first) = Wire::register(node.listen(), ALICE).await;
    let (mut two, second) = Wire::add_by_password(node.listen(), ALICE).await.expect("added");
    assert!(matches!(one.recv().await, Some(ServerFrame::DevicesChanged { .. })));
    // Whoever holds the device but not the password changes nothing.
    assert_eq!(refused(prove_again(&mut one, b"guessed", Some(b"mine")).await).code, RefusalCode::BadCredentials);
    assert!(matches!(answered(prove_again(&mut one, PASSWORD, Some(b"another")).await), Answer::Done));
    is_told_of_its_end(&mut two).await;
    assert_eq!(Wire::try_resume(node.listen(), &second).await.expect_err("logged out"), RefusalCode::BadCredentials);
    Wire::resume(node.listen(), &first).await;
    let refusal = Wire::login(node.listen(), &first, PASSWORD).await.map(drop).expect_err("the old one");
    assert_eq!(refusal.code, RefusalCode::BadCredentials);
    Wire::login(node.listen(), &first, b"another").await.expect("the new one");
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing() {
    let mut node = node();
    // Not to be met by chance.
    let alice_tag = AccountTag::new(std::array::from_fn(|at| 0x5a ^ (at as u8).wrapping_mul(37)));
    let (mut alice, device) = Wire::register(node.listen(), alice_tag).await;
    let bob_tag = AccountTag::new(std::array::from_fn(|at| 0xa5 ^ (at as u8).wrapping_mul(53)));
    let (mut bob, _) = Wire::register(node.listen(), bob_tag).await;
    assert!(is_accepted(&send(&mut bob, &device, 1).await));
    alice.decide(bob_tag, Some(Relation::Accepted)).await;
    bob.decide(alice_tag, Some(Relation::Accepted)).await;
    assert_eq!(refused(prove_again(&mut alice, b"guessed", None).await).code, RefusalCode::BadCredentials);
    assert!(matches!(answered(prove_again(&mut alice, PASSWORD, None).await), Answer::Done));
    is_told_of_its_end(&mut alice).await;
    assert_eq!(Wire::try_resume(node.listen(), &device).await.expect_err("gone"), RefusalCode::BadCredentials);
    let found = bob.ask(Request::FetchIdentity { account: alice_tag }).await;
    assert_eq!(refused(found).code, RefusalCode::UnknownAccount);
    assert!(node.terminate().success());
    // The search looks for hexadecimal and other guises too, and finds what is there.
    let search = |tag: AccountTag| find_in_trees(&[node.data_dir()], &[tag.as_bytes()]).expect("searched").hits;
    assert!(search(alice_tag).is_empty(), "{:?}", search(alice_tag));
    assert!(!search(bob_tag).is_empty());
}

#[tokio::test]
async fn a_server_with_a_password_asks_everybody_whatever_else_they_show() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "let me in\n").expect("written");
    let open = node();
    let (_, alice) = Wire::register(open.listen(), ALICE).await;
    let (data, port) = (open.data_dir().to_owned(), open.listen().port());
    let mut open = open;
    assert!(open.terminate().success());
    let node = Node::start(NodeOptions {
        data: Some(data),
        port,
        environment: vec![("ENDTOEND_ACCOUNTS__SERVER_PASSWORD_FILE", file.display().to_string())],
        ..NodeOptions::default()
    });
    for wrong in [&b""[..], b"let me", b"let me in "] {
        let mut wire = Wire::connect(node.listen()).await;
        assert_eq!(wire.try_hello(wrong).await, Err(RefusalCode::ServerPassword));
        // Nothing else is heard, not even from somebody with a token.
        let resume = wire.resume_request(&[0; 32], &alice);
        assert_eq!(refused(wire.ask(resume).await).code, RefusalCode::OutOfOrder);
    }
    let mut wire = Wire::connect(node.listen()).await;
    let challenge = wire.try_hello(b"let me in").await.expect("a welcome");
    let resume = wire.resume_request(&challenge, &alice);
    assert!(matches!(answered(wire.ask(resume).await), Answer::Authenticated { .. }));
}

// --- strangers ---

#[tokio::test]
async fn a_stranger_may_write_a_little_until_he_is_accepted_and_not_at_all_when_he_is_blocked() {
    let node = node();
    let (mut bob, bob_device) = Wire::register(node.listen(), BOB).await;
    let (mut alice, _) = Wire::register(node.listen(), ALICE).await;
    bob.ask(Request::Attach).await;
    for number in 1..=8 {
        assert!(is_accepted(&send(&mut alice, &bob_device, number).await), "{number}");
        assert!(matches!(bob.recv().await, Some(ServerFrame::Deliver(_))));
    }
    let (reason, after) = retry(send(&mut alice, &bob_device, 9).await);
    assert_eq!(reason, RetryReason::Rate);
    assert!((2 * 3600..=3 * 3600).contains(&after.as_secs()), "it is told when: {after:?}");
    bob.decide(ALICE, Some(Relation::Accepted)).await;
    assert!(is_accepted(&send(&mut alice, &bob_device, 9).await));
    assert!(matches!(bob.recv().await, Some(ServerFrame::Deliver(_))));

    bob.decide(ALICE, Some(Relation::Blocked)).await;
    assert!(is_accepted(&send(&mut alice, &bob_device, 10).await), "not told");
    // What comes next is not what was blocked.
    bob.decide(ALICE, Some(Relation::Accepted)).await;
    assert!(is_accepted(&send(&mut alice, &bob_device, 11).await));
    let Some(ServerFrame::Deliver(deliver)) = bob.recv().await else { panic!("nothing is delivered") };
    assert_eq!(deliver.id, bob_device.envelope(11, 1).id);
}

#[tokio::test]
async fn nobody_decides_for_another() {
    let node = node();
    let (_, bob_device) = Wire::register(node.listen(), BOB).await;
    let (mut alice, _) = Wire::register(node.listen(), ALICE).await;
    let (mut mallory, _) = Wire::register(node.listen(), MALLORY).await;
    // Whatever Mallory says, she says for herself: Bob neither blocks Alice nor accepts Mallory.
    for account in [ALICE, BOB] {
        mallory.decide(account, Some(Relation::Blocked)).await;
        mallory.decide(account, Some(Relation::Accepted)).await;
    }
    mallory.decide(ALICE, Some(Relation::Blocked)).await;
    assert!(is_accepted(&send(&mut alice, &bob_device, 1).await));
    for number in 1..=8 {
        assert!(is_accepted(&send(&mut mallory, &bob_device, 100 + number).await));
    }
    assert_eq!(retry_reason(send(&mut mallory, &bob_device, 120).await), RetryReason::Rate);
    // Nobody decides about himself either.
    let oneself = Request::SetRelation { account: MALLORY, relation: Some(Relation::Blocked) };
    assert_eq!(refused(mallory.ask(oneself).await).code, RefusalCode::Invalid);
}

#[tokio::test]
async fn a_limit_is_the_accounts_own_and_nobody_resets_it() {
    let node = node_with(&[("ENDTOEND_LIMITS__PASSWORD", "{ burst = 3, every_ms = 3600000 }")]);
    let (_, alice) = Wire::register(node.listen(), ALICE).await;
    let (_, bob) = Wire::register(node.listen(), BOB).await;
    for _ in 0..3 {
        let refusal = Wire::login(node.listen(), &alice, b"guessed").await.map(drop).expect_err("wrong");
        assert_eq!(refusal.code, RefusalCode::BadCredentials);
    }
    // Neither new connections nor other requests, nor a registration, give another try; not even the right password.
    for _ in 0..3 {
        let refusal = Wire::login(node.listen(), &alice, PASSWORD).await.map(drop).expect_err("too many");
        assert_eq!(refusal.code, RefusalCode::Rate);
        assert!(refusal.retry_after_ms.is_some(), "it is told when");
        let mut stranger = Wire::connect(node.listen()).await;
        stranger.hello().await;
        stranger.ask(Request::NewChallenge).await;
        let taken = Wire::try_register(node.listen(), ALICE, None).await.map(drop);
        assert_eq!(taken, Err(RefusalCode::HandleTaken));
    }
    // It does not lock out the owner's devices, nor anybody else.
    Wire::resume(node.listen(), &alice).await;
    Wire::login(node.listen(), &bob, PASSWORD).await.expect("another account");
}

#[tokio::test]
async fn a_device_of_another_account_is_no_way_in() {
    let node = node();
    let (_, alice) = Wire::register(node.listen(), ALICE).await;
    let (_, mallory) = Wire::register(node.listen(), MALLORY).await;
    // Mallory's own password, Alice's account; and Alice's account with Mallory's device.
    let refusal = Wire::login(node.listen(), &alice.with_key_of(&mallory), PASSWORD).await.map(drop);
    assert_eq!(refusal.expect_err("not her device").code, RefusalCode::BadCredentials);
    let mut elsewhere = mallory.copied();
    elsewhere.address.account = ALICE;
    assert_eq!(elsewhere.address.device, DeviceId::FIRST);
    assert_eq!(Wire::try_resume(node.listen(), &elsewhere).await.expect_err("no"), RefusalCode::BadCredentials);
}
