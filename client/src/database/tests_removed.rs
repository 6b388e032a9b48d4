//! Own devices that settle things about somebody, remove him and tell each other, in whatever order.

use endtoend_protocol::{AccountTag, Address, Arrangement, DeviceId, Muted, OwnNews, Person, UnixMillis};
use proptest::prelude::*;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::tests::{PEER, at, message, new, write};
use super::*;
use crate::handle::Handle;

const OWN: AccountTag = AccountTag::new([1; 32]);
const DEVICES: usize = 3;

fn bob() -> Handle {
    "bob".parse().unwrap()
}

fn device() -> (TempDir, Database) {
    let (folder, mut database) = new();
    write(&mut database, |store| {
        store.put_account(&Account {
            server: format!("endtoend://127.0.0.1:1/#pin={}", "00".repeat(64)).parse().unwrap(),
            handle: "alice".parse().unwrap(),
            tag: Some(OWN),
            oprf_key: None,
            server_password: None,
            device: DeviceId::FIRST,
            state: AccountState::Registered,
            seed: Box::new(Zeroizing::new([0; 64])),
        })?;
        store.name_account(Address { account: OWN, device: DeviceId::FIRST }, &[0; 32])?;
        store.put_contact(PEER, Some(&bob()))
    });
    (folder, database)
}

/// What one device tells the others, as `engine::receive` takes it.
#[derive(Clone, Debug)]
enum Told {
    Own(OwnNews),
    Decision(Standing),
    Copy(u8),
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Nickname,
    Decide(Standing),
    Arrange(bool),
    Remove,
    Write { leaves: bool },
}

/// Does something on one device, if a person can. Gives what the others are to hear, and from when that is.
fn act(store: &Store<'_>, deed: Deed, n: u8, now: UnixMillis) -> Result<Option<(Told, UnixMillis)>, DatabaseError> {
    let known = store.contact(PEER)?;
    let blocked = known.as_ref().is_some_and(|contact| contact.standing == Standing::Blocked);
    let own = |news: OwnNews| Ok(Some((Told::Own(news.clone()), store.settles(&news, now)?)));
    match deed {
        Deed::Write { .. } if blocked => Ok(None),
        Deed::Write { leaves } => {
            store.put_contact(PEER, Some(&bob()))?;
            store.decide(PEER, Standing::Accepted, now)?;
            store.was_decided_at(PEER, now)?;
            let state = if leaves { MessageState::Accepted } else { MessageState::Queued };
            store.put_message(&StoredMessage { state, sent_at: now, ..message(n, Direction::Out) })?;
            Ok(Some((Told::Copy(n), now)))
        }
        _ if known.is_none() => Ok(None),
        Deed::Nickname => {
            let name = format!("Bob {n}");
            store.set_nickname(PEER, Some(&name.parse().unwrap()))?;
            own(OwnNews::Nickname { about: PEER, name })
        }
        Deed::Arrange(pinned) => {
            let arrangement = Arrangement { pinned, muted: Muted::No };
            store.set_arrangement(PEER, arrangement)?;
            own(OwnNews::Arranged { with: PEER, arrangement })
        }
        Deed::Decide(standing) => {
            let now = store.decides(PEER, now)?;
            Ok(store.decide(PEER, standing, now)?.then_some((Told::Decision(standing), now)))
        }
        Deed::Remove if blocked => Ok(None),
        Deed::Remove => {
            let news = OwnNews::Removed { with: PEER, contact: true };
            let at = store.settles(&news, now)?;
            store.remove_conversation(PEER, Extent::Everything)?;
            store.remove_contact(PEER, true, at)?;
            Ok(Some((Told::Own(news), at)))
        }
    }
}

/// Gives what the others hear of it in turn.
fn hear(store: &Store<'_>, told: &Told, at: UnixMillis, now: UnixMillis) -> Result<Option<Person>, DatabaseError> {
    match told {
        Told::Own(news) => {
            store.was_settled(news, at, now)?;
            if matches!(news, OwnNews::Removed { .. }) && !store.outlives_removal(PEER, at)? {
                return store.person_of(PEER);
            }
        }
        Told::Decision(standing) => {
            store.was_decided_elsewhere(PEER, Some(&bob()), *standing, at)?;
            if !store.outlives_removal(PEER, at)? {
                return store.person_of(PEER);
            }
        }
        Told::Copy(n) => {
            if !store.outlives_removal(PEER, at)? {
                store.was_decided_elsewhere(PEER, None, Standing::Accepted, at)?;
            } else {
                store.put_contact(PEER, Some(&bob()))?;
                store.was_decided(PEER, Standing::Accepted, at)?;
                let state = MessageState::Accepted;
                store.put_message(&StoredMessage { state, sent_at: at, ..message(*n, Direction::Out) })?;
            }
        }
    }
    Ok(None)
}

/// Whoever is known, as far as it is this account's to say.
fn known(database: &Database) -> Option<Contact> {
    database.read().contact(PEER).unwrap().map(|contact| Contact { told: true, ..contact })
}

fn deed() -> impl Strategy<Value = Deed> {
    let standings = [Standing::Accepted, Standing::Blocked, Standing::Ignored, Standing::Request];
    prop_oneof![
        2 => Just(Deed::Nickname),
        3 => prop::sample::select(standings.to_vec()).prop_map(Deed::Decide),
        1 => any::<bool>().prop_map(Deed::Arrange),
        3 => Just(Deed::Remove),
        2 => any::<bool>().prop_map(|leaves| Deed::Write { leaves }),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Act(usize, Deed),
    /// Something that waits comes to its device; it may come once more.
    Hear(prop::sample::Index, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..DEVICES, deed()).prop_map(|(device, deed)| Step::Act(device, deed)),
        3 => (any::<prop::sample::Index>(), prop::bool::weighted(0.3)).prop_map(|(which, again)| Step::Hear(which, again)),
    ]
}

/// Everything that is under way: to which device, what, and from when.
type UnderWay = Vec<(usize, Told, UnixMillis)>;

fn to_others(under_way: &mut UnderWay, from: usize, told: &Told, at: UnixMillis) {
    under_way.extend((0..DEVICES).filter(|to| *to != from).map(|to| (to, told.clone(), at)));
}

fn one_comes(
    devices: &mut [(TempDir, Database)],
    under_way: &mut UnderWay,
    which: usize,
    again: bool,
    now: UnixMillis,
) {
    let (to, told, at) = if again { under_way[which].clone() } else { under_way.remove(which) };
    if let Some(person) = write(&mut devices[to].1, |store| hear(store, &told, at, now)) {
        to_others(under_way, to, &Told::Own(OwnNews::People(vec![person])), now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    /// Of what own devices settle, removals among it, the last counts on all of them, in whatever order and however often each hears it.
    #[test]
    fn devices_that_have_heard_the_same_know_the_same_people(
        steps in prop::collection::vec(step(), 1..40),
        rest in prop::collection::vec((any::<prop::sample::Index>(), prop::bool::weighted(0.2)), 60),
    ) {
        let mut devices: Vec<_> = (0..DEVICES).map(|_| device()).collect();
        // What a machine without power loses is not asked here.
        for (_, database) in &devices {
            database.connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
        }
        let mut under_way = UnderWay::new();
        let mut now = at(1_000);
        for (n, step) in (0..).zip(steps) {
            now = now.plus(std::time::Duration::from_millis(10));
            match step {
                Step::Act(device, deed) => {
                    if let Some((told, at)) = write(&mut devices[device].1, |store| act(store, deed, n, now)) {
                        to_others(&mut under_way, device, &told, at);
                    }
                }
                Step::Hear(which, again) if !under_way.is_empty() => {
                    let which = which.index(under_way.len());
                    one_comes(&mut devices, &mut under_way, which, again, now);
                }
                Step::Hear(..) => {}
            }
        }
        let mut rest = rest.into_iter();
        while !under_way.is_empty() {
            let (which, again) = rest.next().map_or((0, false), |(which, again)| (which.index(under_way.len()), again));
            one_comes(&mut devices, &mut under_way, which, again, now);
        }
        let ends: Vec<_> = devices.iter().map(|(_, database)| known(database)).collect();
        prop_assert!(ends.iter().all(|end| *end == ends[0]), "{ends:#?}");
    }
}

#[test]
fn nothing_that_was_settled_before_a_removal_brings_somebody_back() {
    let (_folder, mut other) = device();
    let person = write(&mut other, |store| {
        store.decide(PEER, Standing::Accepted, at(5))?;
        store.set_nickname(PEER, Some(&"Bobby".parse().unwrap()))?;
        store.settles(&OwnNews::Nickname { about: PEER, name: "Bobby".to_owned() }, at(6))?;
        Ok(store.person_of(PEER)?.unwrap())
    });
    let (_folder, mut database) = device();
    let people = OwnNews::People(vec![person]);
    write(&mut database, |store| store.was_settled(&people, at(9), at(9)));
    assert_eq!(known(&database).unwrap().nickname.unwrap().as_str(), "Bobby");
    assert!(write(&mut database, |store| store.was_removed(PEER, true, at(10))));
    write(&mut database, |store| {
        assert_eq!(store.was_settled(&people, at(20), at(20))?, []);
        assert_eq!(store.was_settled(&OwnNews::Nickname { about: PEER, name: "B".to_owned() }, at(10), at(20))?, []);
        assert!(!store.was_decided_elsewhere(PEER, Some(&bob()), Standing::Accepted, at(10))?);
        Ok(())
    });
    assert_eq!(known(&database), None);
    // Whoever adds him again has decided that since.
    assert!(write(&mut database, |store| store.was_decided_elsewhere(PEER, Some(&bob()), Standing::Accepted, at(11))));
    let again = known(&database).unwrap();
    assert_eq!((again.standing, again.nickname, again.handle), (Standing::Accepted, None, Some(bob())));
}

#[test]
fn so_many_removals_are_kept_and_for_so_long() {
    let (_folder, mut database) = new();
    let tag = |n: u32| AccountTag::new(*blake3::hash(&n.to_le_bytes()).as_bytes());
    write(&mut database, |store| (0..=REMOVED_MAX).try_for_each(|n| store.note_removed(tag(n), at(1 + u64::from(n)))));
    let kept = |database: &Database, n: u32| database.read().removed_at(tag(n)).unwrap().is_some();
    assert!(!kept(&database, 0) && kept(&database, 1) && kept(&database, REMOVED_MAX));
    let later = at(2).plus(REMOVED_AGE_MAX).plus(std::time::Duration::from_millis(1));
    write(&mut database, |store| store.note_removed(PEER, later));
    assert!(!kept(&database, 1) && kept(&database, 2));
}
