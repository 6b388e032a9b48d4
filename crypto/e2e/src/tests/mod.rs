//! Two people and their records, against each other and against everybody in between.

mod hostile;
mod vectors;

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
