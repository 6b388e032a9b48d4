//! Published vectors of the primitives below us, so that an update of a crate cannot change what we compose.
//!
//! `crypto/vectors/primitives.json` is copied from the documents that each case names, never made from our code.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use aes_gcm::aead::{Aead as _, KeyInit, Payload};
use ed25519_dalek::Signer as _;
use serde_json::Value;

fn check(algorithm: &str, rule: impl Fn(&dyn Fn(&str) -> Vec<u8>, &Value)) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/primitives.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = file.get(algorithm).and_then(Value::as_array).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        rule(&|name| hex::decode(case.get(name).and_then(Value::as_str).unwrap()).unwrap(), case);
    }
}

fn array<const N: usize>(bytes: Vec<u8>) -> [u8; N] {
    bytes.try_into().unwrap()
}

#[test]
fn ed25519() {
    check("ed25519", |bytes, _| {
        let key = ed25519_dalek::SigningKey::from_bytes(&array(bytes("secret")));
        let signature = key.sign(&bytes("message"));
        assert_eq!(key.verifying_key().to_bytes(), array(bytes("public")));
        assert_eq!(signature.to_bytes(), array(bytes("signature")));
        key.verifying_key().verify_strict(&bytes("message"), &signature).unwrap();
    });
}

#[test]
fn x25519() {
    check("x25519", |bytes, _| {
        assert_eq!(x25519_dalek::x25519(array(bytes("scalar")), array(bytes("point"))), array(bytes("shared")));
    });
}

#[test]
fn blake3_derives_and_authenticates() {
    check("blake3_derive_key", |bytes, case| {
        let mut output = vec![0; bytes("output").len()];
        let context = case.get("context").and_then(Value::as_str).unwrap();
        blake3::Hasher::new_derive_key(context).update(&bytes("input")).finalize_xof().fill(&mut output);
        assert_eq!(output, bytes("output"));
    });
    check("blake3_keyed_hash", |bytes, _| {
        assert_eq!(blake3::keyed_hash(&array(bytes("key")), &bytes("input")).as_bytes(), &array(bytes("output")));
    });
}

#[test]
fn aes_256_gcm() {
    check("aes_256_gcm", |bytes, _| {
        let cipher = aes_gcm::Aes256Gcm::new(&array(bytes("key")).into());
        let (msg, aad) = (&bytes("plaintext")[..], &bytes("ad")[..]);
        let sealed = cipher.encrypt(&array(bytes("nonce")).into(), Payload { msg, aad }).unwrap();
        assert_eq!(sealed, [bytes("ciphertext"), bytes("tag")].concat());
    });
}

#[test]
fn xchacha20_poly1305() {
    check("xchacha20_poly1305", |bytes, _| {
        let cipher = chacha20poly1305::XChaCha20Poly1305::new(&array(bytes("key")).into());
        let (msg, aad) = (&bytes("plaintext")[..], &bytes("ad")[..]);
        let sealed = cipher.encrypt(&array(bytes("nonce")).into(), Payload { msg, aad }).unwrap();
        assert_eq!(sealed, [bytes("ciphertext"), bytes("tag")].concat());
    });
}

#[test]
fn argon2id() {
    check("argon2id", |bytes, case| {
        let of = |name| u32::try_from(case.get(name).and_then(Value::as_u64).unwrap()).unwrap();
        let params = argon2::ParamsBuilder::new()
            .m_cost(of("memory_kib"))
            .t_cost(of("passes"))
            .p_cost(of("lanes"))
            .data(argon2::AssociatedData::new(&bytes("ad")).unwrap())
            .build()
            .unwrap();
        let secret = bytes("secret");
        let (algorithm, version) = (argon2::Algorithm::Argon2id, argon2::Version::V0x13);
        let argon2 = argon2::Argon2::new_with_secret(&secret, algorithm, version, params).unwrap();
        let mut tag = [0; 32];
        argon2.hash_password_into(&bytes("password"), &bytes("salt"), &mut tag).unwrap();
        assert_eq!(tag, array(bytes("tag")));
    });
}

/// RFC 9497, A.1.1: OPRF(ristretto255, SHA-512), which OPAQUE is built upon.
#[test]
fn oprf_ristretto255() {
    check("oprf_ristretto255", |bytes, _| {
        let server = voprf::OprfServer::<voprf::Ristretto255>::new_with_key(&bytes("key")).unwrap();
        assert_eq!(server.evaluate(&bytes("input")).unwrap().to_vec(), bytes("output"));
    });
}
