//! The post-quantum primitives that we use, beside other implementations of them that are in our tree anyway: would
//! another choice matter to anybody?
#![expect(clippy::unwrap_used, reason = "a measurement that fails should stop")]

use aws_lc_rs::agreement;
use aws_lc_rs::kem;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair as _, ML_DSA_87, ML_DSA_87_SIGNING, PqdsaKeyPair, UnparsedPublicKey};
use endtoend_benches::nanoseconds;
use libcrux_ml_kem::mlkem1024 as libcrux;
use ml_dsa::MlDsa87;
use ml_kem::kem::Decapsulate as _;
use ml_kem::{B32, DecapsulationKey1024, Seed};
use x25519_dalek::{PublicKey, StaticSecret};

fn main() {
    println!("median of 41 batches of 4 ms each, one thread; microseconds; ours is the first\n");
    println!("{:<28} {:>12} {:>12} {:>12}", "what", "RustCrypto", "libcrux", "aws-lc");
    ml_kem_1024();
    ml_dsa_87();
    x25519();
}

fn row(what: &str, times: [Option<f64>; 3]) {
    let [ours, libcrux, aws] = times.map(|ns| ns.map_or_else(|| "-".to_owned(), |ns| format!("{:.1}", ns / 1e3)));
    println!("{what:<28} {ours:>12} {libcrux:>12} {aws:>12}");
}

fn ml_kem_1024() {
    let key = DecapsulationKey1024::from_seed(Seed::default());
    let public = key.encapsulation_key().clone();
    let (ciphertext, _) = public.encapsulate_deterministic(&B32::default());
    let pair = libcrux::generate_key_pair([0; 64]);
    let (theirs, _) = libcrux::encapsulate(pair.public_key(), [0; 32]);
    let aws = kem::DecapsulationKey::generate(&kem::ML_KEM_1024).unwrap();
    let aws_public = aws.encapsulation_key().unwrap();
    let (aws_ciphertext, _) = aws_public.encapsulate().unwrap();
    row(
        "ML-KEM-1024 key generation",
        [
            Some(nanoseconds(|| DecapsulationKey1024::from_seed(Seed::default()))),
            Some(nanoseconds(|| libcrux::generate_key_pair([0; 64]))),
            Some(nanoseconds(|| kem::DecapsulationKey::generate(&kem::ML_KEM_1024).unwrap())),
        ],
    );
    row(
        "ML-KEM-1024 encapsulation",
        [
            Some(nanoseconds(|| public.encapsulate_deterministic(&B32::default()))),
            Some(nanoseconds(|| libcrux::encapsulate(pair.public_key(), [0; 32]))),
            Some(nanoseconds(|| aws_public.encapsulate().unwrap())),
        ],
    );
    row(
        "ML-KEM-1024 decapsulation",
        [
            Some(nanoseconds(|| key.decapsulate(&ciphertext))),
            Some(nanoseconds(|| libcrux::decapsulate(pair.private_key(), &theirs))),
            Some(nanoseconds(|| aws.decapsulate(aws_ciphertext.as_ref().into()).unwrap())),
        ],
    );
}

fn ml_dsa_87() {
    let message = [7; 114];
    let key = ml_dsa::SigningKey::<MlDsa87>::from_seed(&[1; 32].into());
    let public = ml_dsa::Keypair::verifying_key(&key);
    let signature = key.expanded_key().sign_deterministic(&message, b"context").unwrap();
    let aws = PqdsaKeyPair::generate(&ML_DSA_87_SIGNING).unwrap();
    let mut theirs = vec![0; ML_DSA_87_SIGNING.signature_len()];
    let length = aws.sign(&message, &mut theirs).unwrap();
    theirs.truncate(length);
    let aws_public = UnparsedPublicKey::new(&ML_DSA_87, aws.public_key().as_ref().to_vec());
    row(
        "ML-DSA-87 key generation",
        [
            Some(nanoseconds(|| ml_dsa::SigningKey::<MlDsa87>::from_seed(&[1; 32].into()))),
            None,
            Some(nanoseconds(|| PqdsaKeyPair::generate(&ML_DSA_87_SIGNING).unwrap())),
        ],
    );
    // Signing rejects and repeats as the message falls, so many messages are signed.
    let mut number = 0_u64;
    let mut next = || {
        number += 1;
        number.to_le_bytes()
    };
    row(
        "ML-DSA-87 signature",
        [
            Some(nanoseconds(|| key.expanded_key().sign_deterministic(&next(), b"context").unwrap())),
            None,
            Some(nanoseconds(|| aws.sign(&next(), &mut vec![0; length]).unwrap())),
        ],
    );
    row(
        "ML-DSA-87 verification",
        [
            Some(nanoseconds(|| public.verify_with_context(&message, b"context", &signature))),
            None,
            Some(nanoseconds(|| aws_public.verify(&message, &theirs).unwrap())),
        ],
    );
}

fn x25519() {
    let theirs = PublicKey::from(&StaticSecret::from([5; 32]));
    let random = SystemRandom::new();
    let peer = agreement::UnparsedPublicKey::new(&agreement::X25519, theirs.to_bytes());
    row(
        "X25519 key and agreement",
        [
            Some(nanoseconds(|| {
                let secret = StaticSecret::from(rand::random::<[u8; 32]>());
                (PublicKey::from(&secret), secret.diffie_hellman(&theirs))
            })),
            None,
            Some(nanoseconds(|| {
                let secret = agreement::EphemeralPrivateKey::generate(&agreement::X25519, &random).unwrap();
                let public = secret.compute_public_key().unwrap();
                let shared = agreement::agree_ephemeral(secret, peer, aws_lc_rs::error::Unspecified, |key| {
                    Ok(<[u8; 32]>::try_from(key).unwrap())
                });
                (public, shared.unwrap())
            })),
        ],
    );
}
