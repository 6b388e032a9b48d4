//! Two people and their records, against each other and against everybody in between.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use endtoend_protocol::{
    AccountTag, Address, Bundle, ChainId, DeviceId, DeviceKeys, EnvelopeId, EnvelopeKey, Identity, Place, UnixMillis,
    limits,
};
use libsignal_protocol::{CiphertextMessageType, SignalMessage};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use zeroize::Zeroizing;

use crate::envelope;
use crate::padding;
use crate::session;
use crate::{
    CONTENT_BYTES_MAX, Changes, MemoryRecords, NAME_BYTES_MAX, NewKeys, OpenError, Opened, PEER_KEYS_AGE_MAX,
    ReadyKeys, RecordKey, Records, RecordsError, SessionError, accept_identity, chain_head, chain_start,
    create_identity, destroy_keys, has_session, identity_public, learn_identity, new_device_keys, open,
    open_device_name, records_conformance, registration_id, safety_number, seal, seal_device_name, start_session,
};

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

/// A device with its records, and the keys that a server would hold for it.
struct Person {
    address: Address,
    records: MemoryRecords,
    published: DeviceKeys,
    rng: StdRng,
    sent: u64,
}

type Letter = (EnvelopeId, Bytes);

impl Person {
    fn new(byte: u8) -> Self {
        let mut rng = StdRng::from_seed([byte; 32]);
        let mut records = MemoryRecords::default();
        records.apply(&create_identity(&mut rng).unwrap());
        let counts = NewKeys { one_time: 3, one_time_kem: 2, signed: true };
        let (published, changes) = new_device_keys(&records, &mut rng, counts).unwrap();
        records.apply(&changes);
        let address = Address { account: AccountTag::new([byte; 32]), device: DeviceId::FIRST };
        Self { address, records, published, rng, sent: 0 }
    }

    fn identity(&self) -> [u8; 33] {
        identity_public(&self.records).unwrap()
    }

    /// What a server hands out: one-time keys as long as there are any.
    fn bundle(&mut self) -> Bundle {
        let keys = &mut self.published;
        let take = |list: &mut Vec<_>| (!list.is_empty()).then(|| list.remove(0));
        Bundle {
            device: self.address.device,
            registration_id: registration_id(&self.records).unwrap(),
            signed_pre_key: keys.signed_pre_key.clone().unwrap(),
            one_time_pre_key: (!keys.one_time_pre_keys.is_empty()).then(|| keys.one_time_pre_keys.remove(0)),
            kem_pre_key: take(&mut keys.one_time_kem_pre_keys)
                .unwrap_or_else(|| keys.last_resort_kem_pre_key.clone().unwrap()),
            envelope_key: keys.envelope_key.clone().unwrap(),
        }
    }

    fn start(&mut self, peer: &mut Self) -> Result<(), SessionError> {
        let bundle = peer.bundle();
        self.start_with(peer.address, &peer.identity(), &bundle)
    }

    fn start_with(&mut self, peer: Address, identity: &[u8; 33], bundle: &Bundle) -> Result<(), SessionError> {
        let changes = start_session(&self.records, &mut self.rng, self.address, peer, identity, bundle, NOW)?;
        self.records.apply(&changes);
        Ok(())
    }

    /// What a server says about this account.
    fn public(&self) -> Identity {
        let envelope_key = self.published.envelope_key.clone().unwrap();
        Identity {
            devices_version: 1,
            identity_key: self.identity(),
            envelope_keys: vec![(self.address.device, envelope_key)],
        }
    }

    fn trust(&mut self, peer: &Self) {
        let changes = learn_identity(&self.records, peer.address.account, &peer.public()).unwrap();
        self.records.apply(&changes);
    }

    fn write(&mut self, to: &Self, content: &[u8]) -> Letter {
        self.sent += 1;
        let mut random = [0; 10];
        self.rng.fill_bytes(&mut random);
        let id = EnvelopeId::new(UnixMillis::new(self.sent), random);
        let (body, changes) = seal(&self.records, &mut self.rng, self.address, to.address, id, content, NOW).unwrap();
        self.records.apply(&changes);
        (id, body)
    }

    fn read(&mut self, letter: &Letter) -> Result<Opened, OpenError> {
        let before = self.records.clone();
        let (id, body) = letter;
        match open(&self.records, &mut self.rng, self.address, *id, body, NOW) {
            Ok((opened, changes)) => {
                assert!(self.records == before, "nothing is written behind the caller's back");
                self.records.apply(&changes);
                Ok(opened)
            }
            Err(error) => {
                assert!(self.records == before, "a failed opening leaves the records as they were");
                Err(error)
            }
        }
    }

    fn text(&mut self, letter: &Letter) -> Vec<u8> {
        self.read(letter).unwrap().content.to_vec()
    }
}

/// Alice has a session with Bob; he knows her identity but nothing else.
fn alice_and_bob() -> (Person, Person) {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    alice.start(&mut bob).unwrap();
    bob.trust(&alice);
    (alice, bob)
}

/// The same after a message each way, so that no pre-key messages are sent any more.
fn acquainted() -> (Person, Person) {
    let (mut alice, mut bob) = alice_and_bob();
    let letter = alice.write(&bob, b"hi");
    bob.read(&letter).unwrap();
    let letter = bob.write(&alice, b"hi");
    alice.read(&letter).unwrap();
    (alice, bob)
}

#[test]
fn a_session_that_was_never_answered_is_used_as_long_as_its_keys_are_surely_there() {
    let at = |by: Duration| NOW.plus(by);
    let (young, old) = (PEER_KEYS_AGE_MAX - Duration::from_secs(1), PEER_KEYS_AGE_MAX + Duration::from_secs(1));
    let (alice, bob) = alice_and_bob();
    assert!(has_session(&alice.records, bob.address, at(young)).unwrap());
    assert!(!has_session(&alice.records, bob.address, at(old)).unwrap());
    let (alice, bob) = acquainted();
    for (person, peer) in [(&alice, &bob), (&bob, &alice)] {
        assert!(has_session(&person.records, peer.address, at(old * 100)).unwrap(), "it needs no such keys any more");
    }
}

#[test]
fn a_conversation_goes_both_ways_and_names_its_senders() {
    let (mut alice, mut bob) = alice_and_bob();
    let letter = alice.write(&bob, b"first");
    let opened = bob.read(&letter).unwrap();
    assert_eq!((opened.from, &opened.content[..], opened.new_session), (alice.address, &b"first"[..], true));
    for round in 0..30_u32 {
        let text = format!("round {round}");
        let letter = bob.write(&alice, text.as_bytes());
        let opened = alice.read(&letter).unwrap();
        assert_eq!((opened.from, &opened.content[..], opened.new_session), (bob.address, text.as_bytes(), false));
        let letter = alice.write(&bob, text.as_bytes());
        assert_eq!(bob.text(&letter), text.as_bytes());
    }
    assert!(has_session(&alice.records, bob.address, NOW).unwrap());
}

#[test]
fn the_largest_text_fits_an_envelope_even_as_the_first_message() {
    let (mut alice, mut bob) = alice_and_bob();
    let content = vec![b'x'; CONTENT_BYTES_MAX];
    let letter = alice.write(&bob, &content);
    assert!(letter.1.len() <= limits::ENVELOPE_BYTES_MAX, "{} B", letter.1.len());
    assert_eq!(bob.text(&letter), content);
    let too_long = vec![b'x'; CONTENT_BYTES_MAX + 1];
    let id = EnvelopeId::new(NOW, [0; 10]);
    let sealed = seal(&alice.records, &mut alice.rng, alice.address, bob.address, id, &too_long, NOW);
    assert!(matches!(sealed, Err(crate::SealError::TooLong)));
}

#[test]
fn order_does_not_matter_and_a_repeat_is_told() {
    let (mut alice, mut bob) = acquainted();
    let letters: Vec<_> = (0..10_u8).map(|n| alice.write(&bob, &[n])).collect();
    for n in [3, 1, 9, 0, 2, 8, 7, 6, 5, 4] {
        assert_eq!(bob.text(&letters[n]), [n as u8]);
    }
    for letter in &letters {
        assert!(matches!(bob.read(letter), Err(OpenError::Duplicate { .. })));
    }
}

#[test]
fn an_envelope_opens_for_its_device_and_under_its_id_only() {
    let (mut alice, mut bob) = acquainted();
    let (id, body) = alice.write(&bob, b"for bob");
    let mut carol = Person::new(3);
    carol.trust(&alice);
    assert!(matches!(carol.read(&(id, body.clone())), Err(OpenError::Forged)));
    let other = EnvelopeId::new(UnixMillis::new(77), [7; 10]);
    assert!(matches!(bob.read(&(other, body.clone())), Err(OpenError::Forged)));
    let home = bob.address;
    bob.address.device = DeviceId::new(2).unwrap();
    assert!(matches!(bob.read(&(id, body.clone())), Err(OpenError::Forged)));
    bob.address = home;
    assert_eq!(bob.text(&(id, body)), b"for bob");
}

/// Records with a place for a key that was made ready.
struct Ready(MemoryRecords, ReadyKeys);

impl Records for Ready {
    fn get(&self, key: &RecordKey) -> Result<Option<Zeroizing<Vec<u8>>>, RecordsError> {
        self.0.get(key)
    }
    fn ready_keys(&self) -> Option<&ReadyKeys> {
        Some(&self.1)
    }
}

#[test]
fn a_key_that_was_made_ready_opens_what_its_record_opens() {
    let (mut alice, mut bob) = alice_and_bob();
    let letters = [alice.write(&bob, b"one"), alice.write(&bob, b"two"), alice.write(&bob, b"three")];
    let mut kept = Ready(bob.records.clone(), ReadyKeys::default());
    let mut read = |kept: &mut Ready, (id, body): &Letter| {
        let (opened, changes) = open(kept, &mut bob.rng, bob.address, *id, body, NOW)?;
        kept.0.apply(&changes);
        Ok::<_, OpenError>(opened.content.to_vec())
    };
    assert_eq!(read(&mut kept, &letters[0]).unwrap(), b"one");
    assert_eq!(read(&mut kept, &letters[1]).unwrap(), b"two");
    // Another key under the same id is another key, and a destroyed one is destroyed.
    let id = bob.published.envelope_key.as_ref().unwrap().id;
    let mut changes = Changes::default();
    changes.put(RecordKey::EnvelopeKey(id), [7; envelope::SECRET_BYTES]);
    kept.0.apply(&changes);
    assert!(matches!(read(&mut kept, &letters[2]), Err(OpenError::Forged)));
    kept.0.apply(&destroy_keys(0, 0, id));
    assert!(matches!(read(&mut kept, &letters[2]), Err(OpenError::UnknownKey)));
    assert_eq!(format!("{:?}", kept.1), "ReadyKeys(..)");
}

#[test]
fn flipped_bits_are_refused() {
    let (mut alice, mut bob) = acquainted();
    let (id, body) = alice.write(&bob, b"for bob");
    // All of the header and a sample of the rest: the AEAD's own tests flip every bit.
    for bit in (0..40 * 8).chain((40 * 8..body.len() * 8).step_by(61)) {
        let mut bent = body.to_vec();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(bob.read(&(id, bent.into())).is_err(), "bit {bit}");
    }
    for len in [0, 1, 4, 5, 37, 1605, body.len() - 1] {
        assert!(bob.read(&(id, body.slice(..len))).is_err());
    }
    assert_eq!(bob.text(&(id, body)), b"for bob");
}

#[test]
fn all_short_texts_have_one_size() {
    let (mut alice, mut bob) = acquainted();
    let sizes: Vec<usize> = (0..180).step_by(9).map(|len| alice.write(&bob, &vec![b'x'; len]).1.len()).collect();
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
    // Over many ratchet steps, too: counters and parts of the post-quantum ratchet vary.
    for _ in 0..20 {
        let letter = alice.write(&bob, b"x");
        assert_eq!(letter.1.len(), sizes[0]);
        bob.read(&letter).unwrap();
        let letter = bob.write(&alice, b"x");
        assert_eq!(letter.1.len(), sizes[0]);
        alice.read(&letter).unwrap();
    }
}

/// The table in docs/cryptography.md, "Padding".
#[test]
fn envelopes_have_the_sizes_of_the_document() {
    const FRAME: usize = 33 + 33 + 4;
    let (mut alice, mut bob) = alice_and_bob();
    let sizes = |from: &mut Person, to: &Person| {
        crate::SIZE_CLASSES.map(|class| from.write(to, &vec![b'x'; class - FRAME]).1.len())
    };
    let first = sizes(&mut alice, &bob);
    assert_eq!(first, [3973, 4229, 4741, 5765, 7813, 11909, 20101, 36485, 65413]);
    let letter = alice.write(&bob, b"hi");
    bob.read(&letter).unwrap();
    let later = sizes(&mut bob, &alice);
    assert_eq!(later, [2181, 2437, 2949, 3973, 6021, 10117, 18309, 34693, 63621]);
}

#[test]
fn a_message_from_a_stranger_does_not_make_itself_known() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    alice.start(&mut bob).unwrap();
    let letter = alice.write(&bob, b"I am Alice, believe me");
    match bob.read(&letter) {
        Err(OpenError::UnknownPeer { peer, identity }) => {
            assert_eq!((peer, identity), (alice.address, alice.identity()));
        }
        other => panic!("{other:?}"),
    }
    bob.trust(&alice);
    assert_eq!(bob.text(&letter), b"I am Alice, believe me");
}

#[test]
fn what_a_server_says_about_an_account_must_be_signed_and_does_not_replace_what_is_trusted() {
    let (mut alice, bob, mallory) = (Person::new(1), Person::new(2), Person::new(9));
    let account = bob.address.account;
    let mut unsigned = bob.public();
    unsigned.envelope_keys[0].1.signature[7] ^= 1;
    assert!(matches!(learn_identity(&alice.records, account, &unsigned), Err(SessionError::BadKeys)));
    alice.trust(&bob);
    let other = learn_identity(&alice.records, account, &mallory.public());
    assert!(matches!(other, Err(SessionError::IdentityChanged { identity }) if identity == mallory.identity()));
}

#[test]
fn nobody_can_write_in_the_name_of_another() {
    let (_, mut bob) = acquainted();
    let mut mallory = Person::new(9);
    mallory.start(&mut bob).unwrap();
    // Mallory says she is Alice, in the envelope and inside: the identity is hers all the same.
    let alice = Person::new(1).address;
    let home = std::mem::replace(&mut mallory.address, alice);
    let letter = mallory.write(&bob, b"send money");
    match bob.read(&letter) {
        Err(OpenError::IdentityChanged { peer, identity }) => {
            assert_eq!((peer, identity), (alice, mallory.identity()));
        }
        other => panic!("{other:?}"),
    }
    mallory.address = home;
    bob.trust(&mallory);
    // Known as herself, she says inside the ratchet that she is Alice, or that it was for somebody else.
    for (inner_from, inner_to) in [(alice, bob.address), (home, alice)] {
        let letter = misaddressed(&mut mallory, &bob, inner_from, inner_to);
        assert!(matches!(bob.read(&letter), Err(OpenError::Forged)));
    }
}

/// A letter whose ratchet plaintext carries other addresses than its envelope.
fn misaddressed(from: &mut Person, to: &Person, inner_from: Address, inner_to: Address) -> Letter {
    let parts = |a: &Address| [&a.account.as_bytes()[..], &[a.device.get()]].concat();
    let mut text = padding::framed(&[&parts(&inner_from), &parts(&inner_to)], b"x");
    padding::to_size_class(&mut text).unwrap();
    raw_letter(from, to, &text)
}

/// A letter with this plaintext inside the ratchet.
fn raw_letter(from: &mut Person, to: &Person, text: &[u8]) -> Letter {
    use crate::overlay::{Overlay, Stores, protocol_address};
    use crate::random::Rand09;
    use std::cell::RefCell;
    let overlay = RefCell::new(Overlay::new(&from.records, to.address).unwrap());
    let (mut sessions, mut identities) = (Stores(&overlay), Stores(&overlay));
    let now = std::time::UNIX_EPOCH + Duration::from_millis(NOW.get());
    let address = protocol_address(to.address).unwrap();
    let rng = &mut Rand09(&mut from.rng);
    let mut future =
        Box::pin(libsignal_protocol::message_encrypt(text, &address, &mut sessions, &mut identities, now, rng));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(message) = future.as_mut().poll(&mut context) else { panic!("waits") };
    drop(future);
    let message = message.unwrap();
    let changes = overlay.into_inner().into_changes();
    from.records.apply(&changes);
    wrap(from, to, message.message_type() as u8, message.serialize())
}

/// An envelope around any bytes that claim to be a message of the ratchet.
fn wrap(from: &mut Person, to: &Person, kind: u8, message: &[u8]) -> Letter {
    let key: &EnvelopeKey = to.published.envelope_key.as_ref().unwrap();
    let key = envelope::Public::new(key.id, &key.x25519, &key.ml_kem).unwrap();
    let sender = [&from.address.account.as_bytes()[..], &[from.address.device.get(), kind]].concat();
    let mut plaintext = padding::framed(&[&sender], message);
    padding::to_envelope_step(&mut plaintext);
    let id = EnvelopeId::new(NOW, [from.rng.next_u32() as u8; 10]);
    (id, envelope::seal(&mut from.rng, &key, to.address, id, &plaintext))
}

/// The ratchet message inside a letter, taken out by its recipient.
fn unwrapped(reader: &Person, (id, body): &Letter) -> Vec<u8> {
    let key = RecordKey::EnvelopeKey(envelope::key_id(body).unwrap());
    let secret = reader.records.get(&key).unwrap().unwrap();
    let secret = envelope::Secret::from_bytes(secret.as_slice().try_into().unwrap());
    let plaintext = envelope::open(&secret, reader.address, *id, body).unwrap();
    padding::unpad(&plaintext[34..]).unwrap().to_vec()
}

/// The same message with another post-quantum part. Its MAC is wrong then, but libsignal reads that part before.
fn with_pq_part(message: &[u8], part: &[u8]) -> Vec<u8> {
    let original = SignalMessage::try_from(message).unwrap();
    let at = message.windows(original.pq_ratchet().len()).position(|w| w == &original.pq_ratchet()[..]).unwrap();
    let len_at = at - 1; // its length is below 128 and takes one byte
    assert_eq!(usize::from(message[len_at]), original.pq_ratchet().len());
    [&message[..len_at], &[u8::try_from(part.len()).unwrap()], part, &message[at + original.pq_ratchet().len()..]]
        .concat()
}

#[test]
fn parts_that_crash_the_ratchet_do_not_reach_it() {
    let (mut alice, mut bob) = acquainted();
    let letter = alice.write(&bob, b"x");
    let message = unwrapped(&bob, &letter);
    let hostile: [&[u8]; 5] =
        [&[1, 1, 0], &[1, 0, 0, 0], &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1], &[1], &[]];
    for part in hostile {
        let bent = with_pq_part(&message, part);
        let letter = wrap(&mut alice, &bob, CiphertextMessageType::Whisper as u8, &bent);
        assert!(matches!(bob.read(&letter), Err(OpenError::Hostile)), "{part:?}");
    }
    assert_eq!(bob.text(&letter), b"x");
}

#[test]
fn without_the_guard_such_a_part_really_crashes_the_ratchet() {
    // If this fails the library has been mended, and the guard may go.
    let (mut alice, bob) = acquainted();
    let letter = alice.write(&bob, b"x");
    let bent = with_pq_part(&unwrapped(&bob, &letter), &[1, 1, 0]);
    let crashed = std::panic::catch_unwind(|| unguarded_decrypt(&bob, alice.address, &bent));
    assert!(crashed.is_err());
}

fn unguarded_decrypt(reader: &Person, from: Address, message: &[u8]) -> bool {
    use crate::overlay::{Overlay, Stores, protocol_address};
    use crate::random::Rand09;
    let overlay = std::cell::RefCell::new(Overlay::new(&reader.records, from).unwrap());
    let (mut sessions, mut identities) = (Stores(&overlay), Stores(&overlay));
    let message = SignalMessage::try_from(message).unwrap();
    let address = protocol_address(from).unwrap();
    let mut rng = StdRng::from_seed([5; 32]);
    let rng = &mut Rand09(&mut rng);
    let future = libsignal_protocol::message_decrypt_signal(&message, &address, &mut sessions, &mut identities, rng);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    Box::pin(future).as_mut().poll(&mut context).is_ready()
}

#[test]
fn garbage_instead_of_a_ratchet_message_is_refused() {
    let (mut alice, mut bob) = acquainted();
    for kind in [0, 1, 2, 3, 7, 8, 255] {
        for message in [&b""[..], b"\x44", b"garbage that is longer than a MAC", &[0x44; 200]] {
            let letter = wrap(&mut alice, &bob, kind, message);
            assert!(matches!(bob.read(&letter), Err(OpenError::Hostile)));
        }
    }
}

#[test]
fn a_bundle_with_a_bad_key_or_signature_starts_nothing() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let (good, identity) = (bob.bundle(), bob.identity());
    let low_order = [&[5][..], &[0; 32]].concat();
    let low_order: [u8; 33] = low_order.try_into().unwrap();
    type Spoil = Box<dyn Fn(&mut Bundle)>;
    let spoil: Vec<(&str, Spoil)> = vec![
        ("signed pre-key's signature", Box::new(|b| b.signed_pre_key.signature[5] ^= 1)),
        ("signed pre-key", Box::new(|b| b.signed_pre_key.public[5] ^= 1)),
        ("kem pre-key's signature", Box::new(|b| b.kem_pre_key.signature[5] ^= 1)),
        (
            "kem pre-key's type",
            Box::new(|b| {
                let mut public = b.kem_pre_key.public.to_vec();
                public[0] = 8; // Kyber1024 of round 3
                b.kem_pre_key.public = public.into();
            }),
        ),
        ("envelope key's signature", Box::new(|b| b.envelope_key.signature[5] ^= 1)),
        ("envelope key's id", Box::new(|b| b.envelope_key.id ^= 1)),
        ("envelope key's x25519", Box::new(|b| b.envelope_key.x25519[0] ^= 1)),
        ("low order one-time key", Box::new(move |b| b.one_time_pre_key.as_mut().unwrap().public = low_order)),
        ("low order signed key", Box::new(move |b| b.signed_pre_key.public = low_order)),
        ("another device's", Box::new(|b| b.device = DeviceId::new(2).unwrap())),
    ];
    for (what, spoil) in spoil {
        let mut bundle = good.clone();
        spoil(&mut bundle);
        let before = alice.records.clone();
        let started = alice.start_with(bob.address, &identity, &bundle);
        assert!(matches!(started, Err(SessionError::BadKeys)), "{what}: {started:?}");
        assert!(alice.records == before);
    }
    assert!(matches!(alice.start_with(bob.address, &low_order, &good), Err(SessionError::BadKeys)));
    alice.start_with(bob.address, &identity, &good).unwrap();
}

#[test]
fn a_changed_identity_stops_everything_until_it_is_accepted() {
    let (mut alice, mut bob) = acquainted();
    let mut other_bob = Person::new(22);
    other_bob.address = bob.address;
    let (bundle, identity) = (other_bob.bundle(), other_bob.identity());
    match alice.start_with(bob.address, &identity, &bundle) {
        Err(SessionError::IdentityChanged { identity: changed }) => assert_eq!(changed, identity),
        other => panic!("{other:?}"),
    }
    // Until then Bob is Bob.
    let letter = alice.write(&bob, b"still you?");
    assert_eq!(bob.text(&letter), b"still you?");
    let changes = accept_identity(bob.address.account, &identity).unwrap();
    alice.records.apply(&changes);
    assert!(!has_session(&alice.records, bob.address, NOW).unwrap(), "the old session is no use");
    let letter = bob.write(&alice, b"from the old one");
    assert!(alice.read(&letter).is_err());
    alice.start_with(bob.address, &identity, &bundle).unwrap();
    other_bob.trust(&alice);
    let letter = alice.write(&other_bob, b"hello new one");
    assert_eq!(other_bob.text(&letter), b"hello new one");
}

#[test]
fn a_one_time_key_is_used_once() {
    let (mut alice, mut bob, mut carol) = (Person::new(1), Person::new(2), Person::new(3));
    let (bundle, identity) = (bob.bundle(), bob.identity());
    for person in [&mut alice, &mut carol] {
        person.start_with(bob.address, &identity, &bundle).unwrap();
        bob.trust(person);
    }
    let first = alice.write(&bob, b"mine");
    let second = carol.write(&bob, b"the same keys");
    assert_eq!(bob.text(&first), b"mine");
    assert!(matches!(bob.read(&second), Err(OpenError::NoSession { .. })));
}

#[test]
fn a_last_resort_key_serves_many_but_no_message_twice() {
    let (mut alice, mut bob, mut carol) = (Person::new(1), Person::new(2), Person::new(3));
    bob.published.one_time_pre_keys.clear();
    bob.published.one_time_kem_pre_keys.clear();
    for person in [&mut alice, &mut carol] {
        person.start(&mut bob).unwrap();
        bob.trust(person);
    }
    let (first, second) = (alice.write(&bob, b"alice"), carol.write(&bob, b"carol"));
    assert_eq!(bob.text(&first), b"alice");
    assert_eq!(bob.text(&second), b"carol");
    // Bob lost his session with Alice; her first message comes once more.
    let before = bob.records.clone();
    let mut lost = crate::Changes::default();
    lost.delete(RecordKey::Session(alice.address));
    bob.records.apply(&lost);
    assert!(matches!(bob.read(&first), Err(OpenError::Duplicate { .. })));
    bob.records = before;
}

#[test]
fn both_may_begin_at_once() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    alice.start(&mut bob).unwrap();
    bob.start(&mut alice).unwrap();
    let (from_alice, from_bob) = (alice.write(&bob, b"a1"), bob.write(&alice, b"b1"));
    assert_eq!(bob.text(&from_alice), b"a1");
    assert_eq!(alice.text(&from_bob), b"b1");
    for round in 0..5_u8 {
        let letter = alice.write(&bob, &[round]);
        assert_eq!(bob.text(&letter), [round]);
        let letter = bob.write(&alice, &[round]);
        assert_eq!(alice.text(&letter), [round]);
    }
}

#[test]
fn without_a_session_nothing_is_sealed() {
    let (mut alice, bob) = (Person::new(1), Person::new(2));
    let id = EnvelopeId::new(NOW, [0; 10]);
    let sealed = seal(&alice.records, &mut alice.rng, alice.address, bob.address, id, b"x", NOW);
    assert!(matches!(sealed, Err(crate::SealError::NoSession)));
    assert!(!has_session(&alice.records, bob.address, NOW).unwrap());
}

#[test]
fn safety_numbers_are_equal_at_both_ends_and_differ_for_another_key() {
    let (alice, bob, mallory) = (Person::new(1), Person::new(2), Person::new(9));
    let number = |own: &Person, identity: [u8; 33], peer: &Person, theirs: [u8; 33]| {
        safety_number(&own.address.account, &identity, &peer.address.account, &theirs).unwrap()
    };
    let at_alice = number(&alice, alice.identity(), &bob, bob.identity());
    assert_eq!(at_alice, number(&bob, bob.identity(), &alice, alice.identity()));
    assert!(at_alice.len() == 60 && at_alice.bytes().all(|digit| digit.is_ascii_digit()));
    assert_ne!(at_alice, number(&alice, alice.identity(), &bob, mallory.identity()));
}

#[test]
fn nothing_secret_is_shown() {
    let (mut alice, mut bob) = alice_and_bob();
    let letter = alice.write(&bob, b"a secret text");
    let opened = bob.read(&letter).unwrap();
    let shown = format!("{opened:?} {:?} {:?}", bob.records, create_identity(&mut bob.rng).unwrap());
    assert!(!shown.contains("secret") && !shown.contains("115, 101, 99"), "{shown}");
    assert_eq!(format!("{:?}", opened.content), "Content(13 B)");
}

#[test]
fn records_in_memory_behave_like_records() {
    records_conformance(&mut MemoryRecords::default(), |records, changes| records.apply(changes), crate::Records::get);
}

/// Bytes that are the same in every version of every crate.
struct Script(blake3::OutputReader);

impl Script {
    fn new(seed: u8) -> Self {
        Self(blake3::Hasher::new().update(&[seed]).finalize_xof())
    }
}

impl rand_core::TryRng for Script {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Script {}

/// Reads crypto/vectors/`name`; with BLESS=1 writes `made` there before.
fn vectors(name: &str, made: &serde_json::Value) -> serde_json::Value {
    let path = format!("{}/../vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(made).unwrap() + "\n").unwrap();
    }
    let kept: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(*made, kept, "{name}: the same inputs make other bytes now");
    kept
}

#[test]
fn the_envelope_is_the_one_of_the_vectors() {
    let (secret, secret_bytes) = envelope::Secret::generate(&mut Script::new(42));
    let to = Address { account: AccountTag::new([7; 32]), device: DeviceId::new(3).unwrap() };
    let mut made = Vec::new();
    for (number, plaintext) in [&b""[..], b"what the ratchet made", &[0x55; 1024]].into_iter().enumerate() {
        let id = EnvelopeId::new(UnixMillis::new(1_700_000_000_000), [number as u8; 10]);
        let (mut ephemeral, mut encapsulation) = ([0; 32], [0; 32]);
        let (mut rng, mut drawn) = (Script::new(number as u8), Script::new(number as u8));
        drawn.fill_bytes(&mut ephemeral);
        drawn.fill_bytes(&mut encapsulation);
        let body = envelope::seal(&mut rng, &secret.public(5), to, id, plaintext);
        assert_eq!(*envelope::open(&secret, to, id, &body).unwrap(), plaintext);
        made.push(serde_json::json!({
            "envelope_id": hex::encode(id.as_bytes()), "plaintext": hex::encode(plaintext),
            "ephemeral": hex::encode(ephemeral), "encapsulation": hex::encode(encapsulation),
            "envelope": hex::encode(&body),
        }));
    }
    let made = serde_json::json!({
        "construction": "PQ envelope, version 1",
        "x25519": hex::encode(&secret_bytes[..32]), "ml_kem_seed": hex::encode(&secret_bytes[32..]), "key_id": 5,
        "recipient_account": hex::encode(to.account.as_bytes()), "recipient_device": 3, "cases": made,
    });
    vectors("pq_envelope.json", &made);
}

#[test]
fn the_chain_is_the_one_of_the_vectors() {
    let (sender, recipient) = (
        Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST },
        Address { account: AccountTag::new([2; 32]), device: DeviceId::new(4).unwrap() },
    );
    let chain = ChainId(*b"\x00\x01\x02\x03\x04\x05\x06\x07");
    let start = chain_start(chain, sender, recipient);
    let mut previous = start;
    let contents = [vec![], b"one content".to_vec(), vec![0xc0; 2_000]];
    let made: Vec<_> = contents
        .into_iter()
        .zip([1, 2, 0x0102_0304_0506_0708].map(|number| NonZeroU64::new(number).unwrap()))
        .map(|(content, number)| {
            let place = Place { chain, number, previous };
            previous = chain_head(&place, &content);
            serde_json::json!({
                "number": number.get(), "content": hex::encode(content), "place": hex::encode(place.to_bytes()),
                "head": hex::encode(previous.0),
            })
        })
        .collect();
    let made = serde_json::json!({
        "construction": "message chain, version 1", "chain": hex::encode(chain.0),
        "sender": hex::encode(session::address_bytes(sender)), "recipient": hex::encode(session::address_bytes(recipient)),
        "start": hex::encode(start.0), "cases": made,
    });
    vectors("message_chain.json", &made);
}

#[test]
fn a_chain_is_bound_to_its_devices_its_order_and_its_contents() {
    let address =
        |byte, device| Address { account: AccountTag::new([byte; 32]), device: DeviceId::new(device).unwrap() };
    let chain = ChainId([7; 8]);
    let starts = [
        chain_start(chain, address(1, 1), address(2, 1)),
        chain_start(chain, address(2, 1), address(1, 1)),
        chain_start(chain, address(1, 2), address(2, 1)),
        chain_start(chain, address(1, 1), address(2, 2)),
        chain_start(ChainId([8; 8]), address(1, 1), address(2, 1)),
    ];
    let [previous, ..] = starts;
    let place = |number, previous| Place { chain, number: NonZeroU64::new(number).unwrap(), previous };
    let heads = [
        chain_head(&place(1, previous), b"a"),
        chain_head(&place(2, previous), b"a"),
        chain_head(&place(1, starts[1]), b"a"),
        chain_head(&place(1, previous), b"b"),
        chain_head(&place(1, previous), b""),
    ];
    let all: Vec<_> = starts.into_iter().chain(heads).collect();
    for (at, head) in all.iter().enumerate() {
        assert!(!all[..at].contains(head), "{at}");
    }
}

#[test]
fn the_padding_is_the_one_of_the_vectors() {
    let (sender, recipient) = ([&[1; 32][..], &[1]].concat(), [&[2; 32][..], &[4]].concat());
    let made: Vec<_> = [0, 1, 186, 187, 5_000]
        .into_iter()
        .map(|len| {
            let content = vec![0xc0; len];
            let mut inner = padding::framed(&[&sender, &recipient], &content);
            padding::to_size_class(&mut inner).unwrap();
            let mut outer = padding::framed(&[&sender, &[2]], &content);
            padding::to_envelope_step(&mut outer);
            serde_json::json!({
                "content": hex::encode(&content), "ratchet_plaintext": hex::encode(&*inner),
                "envelope_plaintext": hex::encode(&*outer),
            })
        })
        .collect();
    let made = serde_json::json!({
        "construction": "frames and padding, version 1", "sender": hex::encode(sender),
        "recipient": hex::encode(recipient), "kind": 2, "cases": made,
    });
    vectors("padding.json", &made);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..3_000), version in any::<bool>()) {
        let mut bob = Person::new(2);
        let mut bytes = bytes;
        if version && bytes.len() >= 5 {
            bytes[..5].copy_from_slice(&[1, 1, 0, 0, 0]);
        }
        let id = EnvelopeId::new(NOW, [0; 10]);
        prop_assert!(bob.read(&(id, bytes.into())).is_err());
    }

    #[test]
    fn loss_and_disorder_hurt_nobody(plan in prop::collection::vec((any::<bool>(), 0..4_u8), 1..40)) {
        // Each step: who writes, and whether it arrives at once, up to four steps late, twice, or never. Later than
        // that a message may be lost: libsignal keeps the keys of five turns of the conversation.
        let (mut alice, mut bob) = acquainted();
        let mut late: Vec<(usize, bool, Letter)> = Vec::new();
        for (number, (alice_writes, fate)) in plan.into_iter().enumerate() {
            let text = [number as u8];
            let letter = if alice_writes { alice.write(&bob, &text) } else { bob.write(&alice, &text) };
            let reader = if alice_writes { &mut bob } else { &mut alice };
            match fate {
                0 => prop_assert_eq!(reader.text(&letter), text),
                1 => late.push((number, alice_writes, letter)),
                2 => {
                    prop_assert_eq!(reader.text(&letter), text);
                    let repeated = matches!(reader.read(&letter), Err(OpenError::Duplicate { .. }));
                    prop_assert!(repeated);
                }
                _ => {}
            }
            while late.first().is_some_and(|(sent, ..)| sent + 4 <= number) {
                let (sent, alice_wrote, letter) = late.remove(0);
                let reader = if alice_wrote { &mut bob } else { &mut alice };
                prop_assert_eq!(reader.text(&letter), [sent as u8]);
            }
        }
    }
}

#[test]
fn a_devices_name_is_for_the_accounts_devices_alone() {
    let (mut alice, bob) = (Person::new(1), Person::new(2));
    let longest = "ü".repeat(NAME_BYTES_MAX / 2);
    for name in ["", "laptop", &longest] {
        let sealed = seal_device_name(&alice.records, &mut alice.rng, alice.address, name).unwrap();
        assert_eq!(sealed.len(), seal_device_name(&bob.records, &mut alice.rng, bob.address, "x").unwrap().len());
        assert_eq!(open_device_name(&alice.records, alice.address, &sealed).unwrap().as_deref(), Some(name));
        assert_eq!(open_device_name(&bob.records, alice.address, &sealed).unwrap(), None);
        let elsewhere = Address { device: DeviceId::new(2).unwrap(), ..alice.address };
        assert_eq!(open_device_name(&alice.records, elsewhere, &sealed).unwrap(), None, "put on another device");
    }
    let cut = seal_device_name(&alice.records, &mut alice.rng, alice.address, &format!("x{longest}")).unwrap();
    let cut = open_device_name(&alice.records, alice.address, &cut).unwrap().unwrap();
    assert_eq!(cut.len(), NAME_BYTES_MAX - 1, "at a character");
    assert!(open_device_name(&MemoryRecords::default(), alice.address, b"").is_err(), "no identity");
}
