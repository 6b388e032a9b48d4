//! The way to an account, and back.

use endtoend_client::transport::Choice;

use super::*;
use crate::order::{Entry, News};
use crate::testing::server;

fn at_the_password() -> FirstRun {
    let mut run = FirstRun::default();
    run.update(Message::Begin(Way::Create));
    run.update(Message::AddressEdited(server().to_string()));
    run.update(Message::Next);
    run.update(Message::HandleEdited("alice".to_owned()));
    run.update(Message::Next);
    assert_eq!(run.stage, Stage::Password);
    run
}

fn type_password(run: &mut FirstRun, password: &str, again: &str) {
    run.update(Message::PasswordEdited(password.to_owned().into()));
    run.update(Message::AgainEdited(again.to_owned().into()));
}

const GOOD: &str = "stapler gravel quorum";

#[test]
fn nothing_is_asked_for_before_it_can_be_had() {
    let mut run = FirstRun::default();
    run.update(Message::Begin(Way::Create));
    for (address, key) in
        [("https://x", "address-scheme"), ("endtoend://x/", "address-pin"), ("endtoend://:1/#pin=", "address-pin")]
    {
        run.update(Message::AddressEdited(address.to_owned()));
        assert!(run.update(Message::Next).is_empty());
        assert_eq!((run.stage, run.failure.as_ref().unwrap().key), (Stage::Server, key));
    }
    let mut run = at_the_password();
    for (password, again, key) in [("password", "password", "password-weak"), (GOOD, "other", "password-differs")] {
        type_password(&mut run, password, again);
        assert!(run.update(Message::Next).is_empty());
        assert_eq!(run.failure.as_ref().unwrap().key, key);
    }
    type_password(&mut run, GOOD, GOOD);
    let asked = run.update(Message::Next);
    let [Action::Order(Order::Enter(entry))] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(matches!(&**entry, Entry::Register(ticket, None) if ticket.handle.as_str() == "alice"));
    assert!(!format!("{run:?} {asked:?}").contains("gravel"), "a password in a `Debug`");
}

#[test]
fn a_failure_leads_to_where_something_can_be_done_about_it() {
    for (key, stage) in
        [("refused-handle-taken", Stage::Who), ("offline-unreachable", Stage::Server), ("disk-full", Stage::Password)]
    {
        let mut run = at_the_password();
        type_password(&mut run, GOOD, GOOD);
        run.update(Message::Next);
        run.news(News::NotEntered(Failure::new(key), true));
        assert_eq!((run.stage, run.failure.as_ref().unwrap().key), (stage, key));
    }
}

#[test]
fn a_backup_needs_its_place_and_its_passphrase_and_then_the_password() {
    let mut run = FirstRun::default();
    run.update(Message::SignIn);
    run.update(Message::Begin(Way::Restore));
    assert_eq!(run.stage, Stage::Backup);
    run.dropped(Path::new("/tmp/alice.backup"));
    run.update(Message::Next);
    assert_eq!((run.stage, run.failure.as_ref().unwrap().key), (Stage::Backup, "backup-missing"));
    run.update(Message::PassphraseEdited("open sesame".to_owned().into()));
    run.update(Message::Next);
    run.update(Message::Next);
    assert_eq!(run.stage, Stage::Password);
    run.update(Message::PasswordEdited(GOOD.to_owned().into()));
    let asked = run.update(Message::Next);
    let [Action::Order(Order::Enter(entry))] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(matches!(&**entry, Entry::Restore(it) if it.path == Path::new("/tmp/alice.backup")));
    assert!(!format!("{run:?} {asked:?}").contains("sesame"), "a passphrase in a `Debug`");
    run.news(News::NotEntered(Failure::new("backup-passphrase"), false));
    assert_eq!(run.stage, Stage::Backup);
    assert_eq!((run.update(Message::Back).len(), run.stage), (0, Stage::SignIn));
}

#[test]
fn an_address_comes_from_a_code_or_from_the_servers_of_before() {
    let mut run = FirstRun::default();
    let asked = run.update(Message::Begin(Way::Create));
    assert!(matches!(asked.first(), Some(Action::Order(Order::Servers))), "{asked:?}");
    run.news(News::Servers(vec![server()]));
    assert_eq!(run.servers, [server()]);
    assert!(matches!(run.update(Message::ReadCode).as_slice(), [Action::Order(Order::ReadCode(None))]));
    assert!(run.update(Message::ReadCode).is_empty(), "the window is open");
    run.news(News::Code(Err(Failure::new("code-none"))));
    assert_eq!(run.failure.as_ref().unwrap().key, "code-none");
    let asked = run.dropped(Path::new("/tmp/code.png"));
    assert!(matches!(asked.as_slice(), [Action::Order(Order::ReadCode(Some(_)))]));
    run.news(News::Code(Ok(Some(server().to_string()))));
    run.update(Message::Next);
    assert_eq!(run.stage, Stage::Who);
}

#[test]
fn a_profile_that_was_made_keeps_its_password_and_can_be_left() {
    let mut run = at_the_password();
    type_password(&mut run, GOOD, GOOD);
    run.update(Message::Next);
    assert!(matches!(run.update(Message::Cancel).as_slice(), [Action::Order(Order::Cancel)]));
    run.news(News::Cancelled(true));
    assert!(!run.is_new_password() && run.stage == Stage::Password);
    assert!(matches!(run.update(Message::Next).as_slice(), [Action::Order(Order::Enter(_))]));
    run.news(News::Cancelled(true));
    run.update(Message::StartOver);
    run.news(News::StartedOver(Ok(())));
    assert_eq!((run.stage, run.profile, run.password.is_empty()), (Stage::Welcome, false, true));
}

#[test]
fn a_way_is_taken_when_it_was_chosen_and_a_failure_of_tor_leads_to_it() {
    let mut run = at_the_password();
    type_password(&mut run, GOOD, GOOD);
    let network = |run: &mut FirstRun| match run.update(Message::Next).as_slice() {
        [Action::Order(Order::Enter(entry))] => match &**entry {
            Entry::Register(ticket, _) => ticket.arrival.network.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?} {:?}", run.failure),
    };
    assert_eq!(network(&mut run), None, "as the profile has it");
    run.news(News::NotEntered(Failure::new("tor-blocked"), true));
    assert_eq!((run.stage, run.failure.as_ref().unwrap().key), (Stage::Network, "tor-blocked"));
    run.update(Message::Network(network::Message::Choose(network::Kind::Direct)));
    run.update(Message::Next);
    assert_eq!((run.stage, run.failure.as_ref().unwrap().key), (Stage::Network, "exposure-unconfirmed"));
    run.update(Message::Network(network::Message::Expose(true)));
    run.update(Message::Next);
    assert_eq!(run.stage, Stage::Password, "and on from where it was");
    assert_eq!(network(&mut run).unwrap().choice, Choice::Direct);
}
