//! What a hostile peer can put into an envelope, and what a hostile server can hand out.

use std::sync::LazyLock;

use bytes::Bytes;
use endtoend_crypto_e2e::internals::{plaintext, ratchet_part_is_let_through};
use endtoend_crypto_e2e::{learn_identity, open, start_session};
use endtoend_protocol::{EnvelopeId, Identity};
use rand09::SeedableRng as _;
use spqr::{ChainParams, Direction, Params, Version};

use crate::people::{NOW, Person};
use crate::{choice, chosen, rng};

/// Bob as he was when he knew Alice only, and after they had spoken; with what Alice had to say at both times.
struct Scene {
    before: Person,
    after: Person,
    first: Vec<u8>,
    later: Vec<u8>,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    alice.meet(&bob);
    bob.trust(&alice);
    let before = bob.clone();
    let letter = alice.write(&bob, 1);
    let first = plaintext(&bob.records, bob.address, letter.0, &letter.1).unwrap().to_vec();
    bob.read(&letter);
    alice.read(&bob.clone().write(&alice, 2));
    let letter = alice.write(&bob, 3);
    let later = plaintext(&bob.records, bob.address, letter.0, &letter.1).unwrap().to_vec();
    Scene { before, after: bob, first, later }
});

/// Any bytes inside a good envelope: sender, kind and message of the ratchet. Nothing panics, not even behind a guard.
pub fn letter(data: &[u8]) {
    let (kind, inside) = choice(data);
    let bob = if kind % 2 == 0 { &SCENE.before } else { &SCENE.after };
    let id = EnvelopeId::new(NOW, [kind; 10]);
    let body = bob.seal_to_me(&mut rng(3), id, inside);
    let _opened = open(&bob.records, &mut rng(4), bob.address, id, &body, NOW);
}

pub(crate) fn letter_seeds() -> Vec<Vec<u8>> {
    vec![chosen(0, &SCENE.first), chosen(1, &SCENE.later), chosen(1, &SCENE.first), chosen(0, &[0; 38])]
}

/// A bundle and an identity of any bytes: good only as they were published.
pub fn bundle(data: &[u8]) {
    let (alice, bob) = (&SCENE.before, &SCENE.after);
    let carol = Person::new(9);
    let mut bundle = carol.bundle();
    let mut identity_key = carol.identity();
    let mut data = data.iter().copied();
    let mut changed = false;
    while let (Some(field), Some(at), Some(byte)) = (data.next(), data.next(), data.next()) {
        let bend = |bytes: &mut [u8]| {
            let at = usize::from(at) * bytes.len() / 256;
            bytes[at] ^= byte;
        };
        let bent = |bytes: &Bytes| {
            let mut copy = bytes.to_vec();
            bend(&mut copy);
            Bytes::from(copy)
        };
        match field % 10 {
            0 => bend(&mut identity_key),
            1 => bend(&mut bundle.signed_pre_key.public),
            2 => bend(&mut bundle.signed_pre_key.signature),
            3 => bundle.kem_pre_key.public = bent(&bundle.kem_pre_key.public),
            4 => bend(&mut bundle.kem_pre_key.signature),
            5 => bend(&mut bundle.envelope_key.x25519),
            6 => bundle.envelope_key.ml_kem = bent(&bundle.envelope_key.ml_kem),
            7 => bend(&mut bundle.envelope_key.signature),
            8 => bundle.envelope_key.id ^= u32::from(byte),
            // Ids and one-time pre-keys are not signed: anything goes that is a key.
            _ => {
                bundle.registration_id ^= u32::from(byte);
                if let Some(key) = &mut bundle.one_time_pre_key {
                    bend(&mut key.public);
                }
                continue;
            }
        }
        changed |= byte != 0;
    }
    let started = start_session(&alice.records, &mut rng(5), alice.address, carol.address, &identity_key, &bundle, NOW);
    let same = identity_key == carol.identity() && signed_parts(&bundle) == signed_parts(&carol.bundle());
    assert!(started.is_err() || same || !changed, "keys that nobody has signed");
    let envelope_keys = vec![(bundle.device, bundle.envelope_key)];
    let _learned = learn_identity(
        &bob.records,
        carol.address.account,
        &Identity { devices_version: 1, identity_key, envelope_keys },
    );
}

fn signed_parts(bundle: &endtoend_protocol::Bundle) -> Vec<u8> {
    let keys = &bundle.envelope_key;
    [
        &bundle.signed_pre_key.public[..],
        &bundle.signed_pre_key.signature,
        &bundle.kem_pre_key.public,
        &bundle.kem_pre_key.signature,
        &keys.id.to_le_bytes(),
        &keys.x25519,
        &keys.ml_kem,
        &keys.signature,
    ]
    .concat()
}

pub(crate) fn bundle_seeds() -> Vec<Vec<u8>> {
    (0..10).map(|field| vec![field, 0, 1, field, 200, 255]).chain([Vec::new()]).collect()
}

/// States of the post-quantum ratchet all through a conversation, and the message that each would hear next.
static STATES: LazyLock<Vec<(Vec<u8>, Vec<u8>)>> = LazyLock::new(|| {
    let mut rng = rand09::rngs::StdRng::from_seed([6; 32]);
    let begin = |direction| {
        let (version, auth_key) = (Version::V1, &[7; 32]);
        let params =
            Params { direction, version, min_version: version, auth_key, chain_params: ChainParams::default() };
        spqr::initial_state(params).unwrap()
    };
    let mut sides = [begin(Direction::A2B), begin(Direction::B2A)];
    let mut states = Vec::new();
    for turn in 0..240_usize {
        let (from, to) = (turn % 2, 1 - turn % 2);
        let sent = spqr::send(&sides[from], &mut rng).unwrap();
        sides[from] = sent.state;
        states.push((sides[to].clone(), sent.msg.clone()));
        // Some are lost, which makes the two fall behind each other.
        if turn % 7 != 6 {
            sides[to] = spqr::recv(&sides[to], &sent.msg).unwrap().state;
        }
    }
    states
});

/// What the guard lets through does not crash the ratchet, whatever its state: one hostile part after the other.
pub fn spqr_part(data: &[u8]) {
    let (which, mut rest) = choice(data);
    let mut state = STATES[usize::from(which) % STATES.len()].0.clone();
    while let Some((length, tail)) = rest.split_first() {
        let (part, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = tail;
        if ratchet_part_is_let_through(part)
            && let Ok(heard) = spqr::recv(&state, &part.to_vec())
        {
            state = heard.state;
        }
    }
}

pub(crate) fn spqr_part_seeds() -> Vec<Vec<u8>> {
    let seed = |which: usize| {
        let message = &STATES[which].1;
        chosen(u8::try_from(which).unwrap(), &chosen(u8::try_from(message.len()).unwrap(), message))
    };
    (0..STATES.len()).step_by(9).map(seed).collect()
}
