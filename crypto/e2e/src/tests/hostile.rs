//! What somebody in between, or a peer who means ill, can write.

use super::*;

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
