//! A device that comes to an account hears what was settled before.

use endtoend_protocol::{
    AccountTag, Arrangement, Bundle, Bundles, Comparison, ContentKind, DeviceId, Lifetime, Muted, OwnNews, UnixMillis,
    limits,
};

use super::linking::{linked, sealed};
use super::messages::Device;
use crate::clock;
use crate::database::{Contact, DatabaseError, Extent, Settings, Standing, Store};
use crate::engine::introducing::introduce;
use crate::engine::receive::Arrival;
use crate::engine::repair::Queued;
use crate::engine::seal::open_sessions;
use crate::face::{Face, Portrait};

fn portrait(side: u32) -> Portrait {
    let mut bytes = Vec::new();
    // Noise, which no format makes small.
    let noise = image::RgbImage::from_fn(side, side, |_, _| image::Rgb(rand::random()));
    let image = image::DynamicImage::ImageRgb8(noise);
    image.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Jpeg).unwrap();
    Portrait::from_bytes(bytes).unwrap()
}

/// The server has said that this account has these devices.
fn lists(device: &mut Device, others: &[&Device], version: u32) {
    let bundles = others.iter().flat_map(|other| other.bundles().devices).collect::<Vec<Bundle>>();
    let bundles = Bundles { devices_version: version, devices: bundles, ..others[0].bundles() };
    let (own, now) = (device.own, clock::now());
    device.database.write(|store| open_sessions(store, own, own.account, &bundles, now)).unwrap();
}

fn told(device: &mut Device, messages: usize) -> (Vec<Queued>, bool) {
    let (own, now) = (device.own.account, clock::now());
    device.database.write(|store| introduce(store, own, messages, now)).unwrap()
}

/// Whatever one has to tell, the other hears.
fn hears(new: &mut Device, old: &mut Device) -> usize {
    let (rows, more) = told(old, 99);
    assert!(!more);
    let own = old.own.account;
    let count = rows.len();
    for (row, _) in rows {
        let envelope = sealed(old, row, own);
        let arrival = new.take(&envelope);
        assert!(matches!(arrival, Arrival::Unseen { .. }), "{arrival:?}");
    }
    count
}

fn settle(store: &Store<'_>, news: &OwnNews) -> Result<(), DatabaseError> {
    let now = clock::now();
    let at = store.settles(news, now)?;
    store.was_settled(
        news,
        at.plus(std::time::Duration::from_millis(1)),
        at.plus(std::time::Duration::from_secs(1)),
    )?;
    Ok(())
}

fn contact(device: &Device, tag: AccountTag) -> Contact {
    device.database.read().contact(tag).unwrap().unwrap()
}

/// What an account can settle, one of each kind. A kind that is added has to be added here, and to what a new device hears.
fn everything(with: AccountTag, identity: [u8; 33], face: &Face) -> Vec<OwnNews> {
    let comparison = Comparison { identity, devices: vec![DeviceId::FIRST] };
    let all = vec![
        OwnNews::Nickname { about: with, name: "Bobby".to_owned() },
        OwnNews::Compared { about: with, compared: Some(comparison) },
        OwnNews::Choices { receipts: true, typing: false },
        OwnNews::Arranged { with, arrangement: Arrangement { pinned: true, muted: Muted::ForGood } },
        OwnNews::Face(face.said()),
    ];
    for news in &all {
        match news {
            OwnNews::Nickname { .. }
            | OwnNews::Compared { .. }
            | OwnNews::Choices { .. }
            | OwnNews::Arranged { .. }
            // It has a mark of its own.
            | OwnNews::Face(_)
            // Of messages that the new device does not have.
            | OwnNews::Seen { .. }
            | OwnNews::Removed { .. }
            // This is how it hears.
            | OwnNews::People(_) => {}
        }
    }
    all
}

#[test]
fn a_new_device_hears_everything_that_was_settled_before() {
    let (mut phone, bob) = (Device::new("alice"), Device::new("bob"));
    phone.meet(&bob);
    let with = bob.own.account;
    let identity = bob.published.identity_key;
    let face = Face { name: Some("Bob B.".parse().unwrap()), portrait: Some(portrait(64)) };
    let lifetime = Lifetime::from_secs(60);
    let carol = AccountTag::new([3; 32]);
    phone
        .database
        .write(|store| {
            everything(with, identity, &face).iter().try_for_each(|news| settle(store, news))?;
            store.decide(with, Standing::Accepted, clock::now())?;
            store.set_face(with, &face, UnixMillis::new(7))?;
            store.set_timer(with, lifetime, clock::now())?;
            store.put_contact(carol, Some(&"carol".parse().unwrap()))?;
            store.decide(carol, Standing::Blocked, clock::now())?;
            // Somebody whose account is not known: his stand-in means nothing elsewhere.
            store.put_unaddressed(AccountTag::new([4; 32]), &"dave".parse().unwrap())?;
            store.set_nickname(AccountTag::new([4; 32]), Some(&"Davy".parse().unwrap()))
        })
        .unwrap();
    assert_eq!(told(&mut phone, 9), (Vec::new(), false), "there is nobody to tell");
    let mut laptop = linked(&phone);
    lists(&mut phone, &[&laptop], 2);
    laptop.introduce(&phone);
    hears(&mut laptop, &mut phone);
    let (old, new) = (contact(&phone, with), contact(&laptop, with));
    assert_eq!(Contact { told: true, ..old }, Contact { told: true, ..new.clone() });
    assert!(new.verified && new.portrait.is_some() && new.arrangement.pinned);
    assert_eq!((new.standing, new.nickname.unwrap().as_str().to_owned()), (Standing::Accepted, "Bobby".to_owned()));
    assert_eq!(contact(&laptop, carol).standing, Standing::Blocked);
    let store = laptop.database.read();
    assert_eq!(store.settings().unwrap(), Settings { receipts: true, typing: false });
    assert_eq!((store.timer(with).unwrap(), store.face(with).unwrap()), (lifetime, face));
    assert_eq!(store.compared_devices(with).unwrap(), Some(vec![DeviceId::FIRST]));
    assert_eq!(store.peer_of(&"dave".parse().unwrap()).unwrap(), None);
    assert_eq!(store.untold(9).unwrap(), [], "the server knows");
    // All is told.
    assert_eq!(told(&mut phone, 9), (Vec::new(), false));
    lists(&mut phone, &[&laptop], 3);
    assert_eq!(told(&mut phone, 9), (Vec::new(), false), "no device is new");
}

#[test]
fn a_new_device_hears_who_was_removed() {
    let (mut phone, bob) = (Device::new("alice"), Device::new("bob"));
    phone.meet(&bob);
    let with = bob.own.account;
    phone.database.write(|store| store.decide(with, Standing::Accepted, clock::now())).unwrap();
    // It was let in by a device that had not heard of it.
    let mut laptop = linked(&phone);
    lists(&mut phone, &[&laptop], 2);
    laptop.introduce(&phone);
    phone
        .database
        .write(|store| {
            let at = store.settles(&OwnNews::Removed { with, contact: true }, clock::now())?;
            store.remove_conversation(with, Extent::Everything)?;
            store.remove_contact(with, true, at)
        })
        .unwrap();
    assert!(laptop.database.read().contact(with).unwrap().is_some());
    assert_eq!(hears(&mut laptop, &mut phone), 1);
    assert_eq!(laptop.database.read().contact(with).unwrap(), None);
    assert_eq!(laptop.database.read().removed_at(with).unwrap(), phone.database.read().removed_at(with).unwrap());
}

#[test]
fn what_a_new_device_has_settled_itself_is_later() {
    let (mut phone, bob) = (Device::new("alice"), Device::new("bob"));
    phone.meet(&bob);
    let with = bob.own.account;
    let name = |name: &str| OwnNews::Nickname { about: with, name: name.to_owned() };
    phone.database.write(|store| settle(store, &name("Bobby"))).unwrap();
    phone.database.write(|store| store.decide(with, Standing::Accepted, clock::now())).unwrap();
    let mut laptop = linked(&phone);
    lists(&mut phone, &[&laptop], 2);
    laptop.introduce(&phone);
    let later = clock::now().plus(std::time::Duration::from_secs(1));
    laptop.database.write(|store| store.was_settled(&name("Robert"), later, later)).unwrap();
    laptop.database.write(|store| store.decide(with, Standing::Ignored, later)).unwrap();
    hears(&mut laptop, &mut phone);
    let known = contact(&laptop, with);
    assert_eq!((known.standing, known.nickname.unwrap().as_str()), (Standing::Ignored, "Robert"));
    // Nor does what the new one knows from the old one change anything there.
    let before = contact(&phone, with);
    lists(&mut laptop, &[&phone], 2);
    phone.introduce(&laptop);
    let envelope = {
        let own = phone.own.account;
        let (rows, _) = told(&mut laptop, 9);
        rows.into_iter().map(|(row, _)| sealed(&mut laptop, row, own)).collect::<Vec<_>>()
    };
    laptop.database.write(|store| store.was_settled(&name(""), UnixMillis::new(1), later)).unwrap();
    for envelope in envelope {
        phone.take(&envelope);
    }
    assert_eq!(contact(&phone, with).nickname.unwrap().as_str(), "Robert", "it was later");
    assert_eq!(contact(&phone, with).handle, before.handle);
}

#[test]
fn a_crash_leaves_out_nobody_and_no_message_is_too_large() {
    let mut phone = Device::new("alice");
    let pictures: Vec<Face> =
        (0..3).map(|_| Face { name: Some("n".repeat(128).parse().unwrap()), portrait: Some(portrait(150)) }).collect();
    let tags: Vec<AccountTag> =
        (0..600_u16).map(|n| AccountTag::new(*blake3::hash(&n.to_le_bytes()).as_bytes())).collect();
    phone
        .database
        .write(|store| {
            for (n, tag) in tags.iter().enumerate() {
                store.put_contact(*tag, Some(&format!("person.number.{n}").parse().unwrap()))?;
                store.decide(*tag, Standing::Accepted, clock::now())?;
                settle(store, &OwnNews::Nickname { about: *tag, name: format!("nickname {n}") })?;
                if n % 10 == 0 {
                    store.set_face(*tag, &pictures[n % 3], UnixMillis::new(7))?;
                }
            }
            Ok::<_, DatabaseError>(())
        })
        .unwrap();
    assert!(pictures.iter().all(|face| face.portrait.as_ref().unwrap().as_bytes().len() > 8 * 1024));
    let mut laptop = linked(&phone);
    lists(&mut phone, &[&laptop], 2);
    laptop.introduce(&phone);
    let own = phone.own.account;
    let mut messages = 0;
    loop {
        // Killed inside of the transaction: nothing has happened.
        let now = clock::now();
        let killed: Result<(), DatabaseError> = phone.database.write(|store| {
            introduce(store, own, 2, now)?;
            Err(DatabaseError::Stopped)
        });
        killed.unwrap_err();
        let (rows, more) = told(&mut phone, 2);
        messages += rows.len();
        for (row, _) in rows {
            let envelope = sealed(&mut phone, row, own);
            assert!(envelope.body.len() < limits::ENVELOPE_BYTES_MAX);
            laptop.take(&envelope);
            // It goes under another envelope once more: nothing is otherwise.
            laptop.take(&envelope);
        }
        if !more {
            break;
        }
    }
    for (n, tag) in tags.iter().enumerate() {
        let known = contact(&laptop, *tag);
        assert_eq!(known.nickname.unwrap().as_str(), format!("nickname {n}"));
        assert_eq!((known.standing, known.portrait.is_some()), (Standing::Accepted, n % 10 == 0));
    }
    assert!((3..100).contains(&messages), "several people in a message: {messages}");
}

#[test]
fn nobody_else_introduces_people() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    alice.database.write(|store| store.introduce_from(None)).unwrap();
    alice.database.write(|store| store.decide(bob.own.account, Standing::Accepted, clock::now())).unwrap();
    let (own, to, now) = (alice.own.account, bob.own.account, clock::now());
    let person = alice.database.read().person_after(None).unwrap().unwrap();
    let id = endtoend_protocol::MessageId::new(now, rand::random());
    let kind = ContentKind::Own(OwnNews::People(vec![endtoend_protocol::Person { account: own, ..person }]));
    let (row, _) = alice.database.write(|store| crate::engine::repair::queue_errand(store, to, id, now, kind)).unwrap();
    let arrival = {
        let envelope = sealed(&mut alice, row, to);
        bob.take(&envelope)
    };
    assert!(matches!(arrival, Arrival::Unreadable { reason: "malformed", .. }), "{arrival:?}");
}
