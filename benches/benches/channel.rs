//! What the secure channel costs: its handshake at both ends, beside the key agreements and signatures that it is made
//! of, and its records beside bare AES-256-GCM.
#![expect(clippy::unwrap_used, reason = "a measurement that fails should stop")]

use std::time::Duration;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit as _};
use endtoend_benches::nanoseconds;
use endtoend_crypto_core::channel::{Channel, Initiator, Introduction, StaticKeys, StaticPublic, respond};
use endtoend_crypto_core::signature::{SigningKey, VerifyingKey};
use ml_kem::kem::Decapsulate as _;
use ml_kem::{B32, DecapsulationKey1024, Seed};
use x25519_dalek::{PublicKey, StaticSecret};

fn main() {
    println!("median of 41 batches of 4 ms each, one thread; ratio = limit / ours, 1.00 is the limit\n");
    println!("{:<28} {:>7} {:>12} {:>12} {:>7}", "what", "bytes", "limit ns", "ours ns", "ratio");
    handshake();
    println!();
    for size in [128, 1024, 64 * 1024] {
        records(size);
    }
}

fn row(what: &str, bytes: usize, limit: f64, ours: f64) {
    println!("{what:<28} {bytes:>7} {limit:>12.0} {ours:>12.0} {:>7.2}", limit / ours);
}

fn handshake() {
    let rng = &mut rand::rng();
    let identity = SigningKey::generate(rng);
    let keys = StaticKeys::generate(rng);
    let introduction = Introduction::sign(&identity, keys.public(), 0, u64::MAX);
    let read = Introduction::read(&introduction).unwrap();
    let begin = || Initiator::start(&mut rand::rng(), &read.keys, &introduction).unwrap();
    let (_, initiate) = begin();

    let primitives = Primitives::measure(&identity);
    let Primitives { generate, encapsulate, decapsulate, ephemeral, agree, verify } = primitives;
    let check = nanoseconds(|| Introduction::read(&introduction).unwrap());
    row("client: introduction", introduction.len(), verify, check);
    let start = nanoseconds(begin);
    row("client: Initiate", initiate.len(), generate + encapsulate + ephemeral + agree, start);
    // `finish` uses its state up, so each call begins anew; what that costs is taken off.
    let (answers, limit) = (nanoseconds(|| respond(rng, &keys, &introduction, &initiate).unwrap()), generate);
    row("server: respond", initiate.len(), decapsulate + encapsulate + limit + ephemeral + 2.0 * agree, answers);
    let both = nanoseconds(|| {
        let (initiator, initiate) = begin();
        let (answer, _) = respond(&mut rand::rng(), &keys, &introduction, &initiate).unwrap();
        initiator.finish(&answer).unwrap()
    });
    let finish = both - start - answers;
    row("client: finish", initiate.len(), decapsulate + agree, finish);
    println!("\nclient in all: {:.2} ms", (check + start + finish) / 1e6);
    println!("server: {:.0} handshakes per second and core; ML-KEM is {:.0} % of each", 1e9 / answers, {
        100.0 * (generate + encapsulate + decapsulate) / answers
    });
}

/// The bare operations, in nanoseconds.
struct Primitives {
    generate: f64,
    encapsulate: f64,
    decapsulate: f64,
    ephemeral: f64,
    agree: f64,
    /// Reading the identity's key and the static keys, and the signature.
    verify: f64,
}

impl Primitives {
    fn measure(identity: &SigningKey) -> Self {
        let key = DecapsulationKey1024::from_seed(Seed::default());
        let public = key.encapsulation_key().clone();
        let (ciphertext, _) = public.encapsulate_deterministic(&B32::default());
        let theirs = PublicKey::from(&StaticSecret::from([5; 32]));
        let (verifier, message) = (identity.verifying_key(), [7; 4000]);
        let encoded = verifier.to_bytes();
        let keys = StaticKeys::generate(&mut rand::rng()).public().to_bytes().try_into().unwrap();
        let signature = identity.sign("a measurement", &message);
        Self {
            generate: nanoseconds(|| DecapsulationKey1024::from_seed(Seed::default())),
            encapsulate: nanoseconds(|| public.encapsulate_deterministic(&B32::default())),
            decapsulate: nanoseconds(|| key.decapsulate(&ciphertext)),
            ephemeral: nanoseconds(|| PublicKey::from(&StaticSecret::from([6; 32]))),
            agree: nanoseconds(|| StaticSecret::from([6; 32]).diffie_hellman(&theirs)),
            verify: nanoseconds(|| VerifyingKey::from_bytes(&encoded).unwrap())
                + nanoseconds(|| verifier.verify("a measurement", &message, &signature).unwrap())
                + nanoseconds(|| StaticPublic::from_bytes(&keys).unwrap()),
        }
    }
}

fn records(size: usize) {
    let frame = vec![3; size];
    let cipher = Aes256Gcm::new(&[1; 32].into());
    let mut text = frame.clone();
    let bare = nanoseconds(|| cipher.encrypt_inout_detached(&[4; 12].into(), b"", text.as_mut_slice().into()).unwrap());
    let (mut client, _) = established();
    row("record seal", size, bare, nanoseconds(|| client.sealer.seal(&frame, Duration::ZERO).unwrap()));

    // Each record opens once, in its order, so they are sealed beforehand.
    let (mut client, mut server) = established();
    let count = if size > 10_000 { 2_000 } else { 40_000 };
    let records: Vec<Vec<u8>> = (0..count).map(|_| client.sealer.seal(&frame, Duration::ZERO).unwrap()).collect();
    let begun = endtoend_benches::Stopwatch::start();
    for record in &records {
        std::hint::black_box(server.opener.open(record).unwrap());
    }
    row("record open", size, bare, begun.elapsed().as_nanos() as f64 / f64::from(count));
}

fn established() -> (Channel, Channel) {
    let rng = &mut rand::rng();
    let keys = StaticKeys::generate(rng);
    let (initiator, initiate) = Initiator::start(rng, keys.public(), b"").unwrap();
    let (answer, server) = respond(rng, &keys, b"", &initiate).unwrap();
    (initiator.finish(&answer).unwrap(), server)
}
