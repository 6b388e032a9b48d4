//! Our constructions from fixed inputs, as they were made once: crypto/vectors/*.json.
//!
//! A change that makes another byte is a change of protocol. Who means one writes the files anew with
//! `BLESS=1 cargo test -p endtoend-crypto-core --test vectors` and raises the version in the construction's domain.
//! The files are checked from both sides: the inputs make these bytes, and these bytes are accepted.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::path::PathBuf;

use endtoend_crypto_core::aead::{self, Key, Nonce};
use endtoend_crypto_core::proof::{DeviceStatement, Purpose, sign_device_proof, verify_device_proof};
use endtoend_crypto_core::signature::{SigningKey, VerifyingKey};
use endtoend_crypto_core::{account_tag, token};
use serde_json::{Value, json};

/// `N` bytes that count up from `first`.
fn counting<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|at| first.wrapping_add(at as u8))
}

/// Reads crypto/vectors/`name`; with BLESS=1 writes `made` there before.
fn vectors(name: &str, made: &Value) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(made).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(*made, kept, "{name}: the same inputs make other bytes now");
    kept
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    hex::decode(value[name].as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value, name: &str) -> [u8; N] {
    bytes(value, name).try_into().unwrap()
}

#[test]
fn the_aead_is_the_one_of_the_vectors() {
    let cases: [(&str, &[u8], Vec<u8>); 4] = [
        ("nothing", b"", Vec::new()),
        ("text and associated data", b"associated data", b"a text".to_vec()),
        ("associated data only", b"associated data", Vec::new()),
        ("more than one block of every primitive", b"", counting::<200>(0).to_vec()),
    ];
    let (key, nonce) = (counting::<32>(0), counting::<36>(0x80));
    let made: Vec<Value> = cases
        .iter()
        .map(|(name, ad, plaintext)| {
            json!({
                "name": name, "key": hex::encode(key), "nonce": hex::encode(nonce), "associated_data": hex::encode(ad),
                "plaintext": hex::encode(plaintext),
                "sealed": hex::encode(aead::seal(&Key::new(key), &nonce, ad, plaintext)),
            })
        })
        .collect();
    let kept = vectors("aead.json", &json!({ "construction": "PQ AEAD, version 1", "cases": made }));
    for case in kept["cases"].as_array().unwrap() {
        let (key, nonce): (_, Nonce) = (Key::new(array(case, "key")), array(case, "nonce"));
        let opened = aead::open(&key, &nonce, &bytes(case, "associated_data"), &bytes(case, "sealed")).unwrap();
        assert_eq!(*opened, bytes(case, "plaintext"));
    }
}

#[test]
fn the_signature_is_the_one_of_the_vectors() {
    const DOMAIN: &str = "endtoend 2026-11 test vector v1";
    let seed = counting::<64>(0);
    let key = SigningKey::from_seed(&seed);
    let message = b"a message";
    let made = json!({
        "construction": "hybrid signature, Ed25519 and ML-DSA-87",
        "seed": hex::encode(seed), "verifying_key": hex::encode(key.verifying_key().to_bytes()),
        "domain": DOMAIN, "message": hex::encode(message), "signature": hex::encode(key.sign(DOMAIN, message)),
    });
    let kept = vectors("signature.json", &made);
    let key = VerifyingKey::from_bytes(&bytes(&kept, "verifying_key")).unwrap();
    assert_eq!(kept["domain"], DOMAIN);
    assert_eq!(key.verify(DOMAIN, &bytes(&kept, "message"), &bytes(&kept, "signature")), Ok(()));
}

#[test]
fn the_device_proof_is_the_one_of_the_vectors() {
    let seed = counting::<64>(0);
    let key = SigningKey::from_seed(&seed);
    let (challenge, channel_binding, account) = (counting::<32>(1), counting::<32>(33), account_tag("alice"));
    let token_id = counting::<16>(65);
    let purposes =
        [("register", Purpose::Register), ("login", Purpose::Login), ("resume", Purpose::Resume { token_id })];
    let statement = |purpose| DeviceStatement {
        challenge: &challenge,
        channel_binding: &channel_binding,
        account: &account,
        device: 1,
        purpose,
    };
    let made: Vec<Value> = purposes
        .iter()
        .map(|(name, purpose)| {
            json!({
                "purpose": name, "token_id": hex::encode(if *name == "resume" { token_id } else { [0; 16] }),
                "proof": hex::encode(sign_device_proof(&key, &statement(*purpose))),
            })
        })
        .collect();
    let made = json!({
        "construction": "device proof, version 1", "seed": hex::encode(seed),
        "challenge": hex::encode(challenge), "channel_binding": hex::encode(channel_binding),
        "handle": "alice", "account": hex::encode(account), "device": 1, "cases": made,
    });
    let kept = vectors("device_proof.json", &made);
    for (case, (_, purpose)) in kept["cases"].as_array().unwrap().iter().zip(purposes) {
        let proof = bytes(case, "proof");
        assert_eq!(verify_device_proof(&key.verifying_key(), &statement(purpose), &proof), Ok(()));
    }
}

#[test]
fn the_access_token_is_the_one_of_the_vectors() {
    const ISSUED: u64 = 1_800_000_000_000;
    const EXPIRES: u64 = 1_800_000_900_000;
    let (seed, account, token_id) = (counting::<64>(0), account_tag("alice"), counting::<16>(65));
    let key = SigningKey::from_seed(&seed);
    let made = json!({
        "construction": "access token, version 1", "seed": hex::encode(seed), "token_id": hex::encode(token_id),
        "handle": "alice", "account": hex::encode(account), "device": 1, "issued_ms": ISSUED, "expires_ms": EXPIRES,
        "token": hex::encode(token::issue(&key, &account, 1, &token_id, ISSUED, EXPIRES)),
    });
    let kept = vectors("access_token.json", &made);
    let claims = token::verify(&key.verifying_key(), &bytes(&kept, "token"), ISSUED, 0).unwrap();
    assert_eq!((claims.account, claims.device, claims.token_id), (account, 1, token_id));
    assert_eq!((claims.issued_ms, claims.expires_ms), (ISSUED, EXPIRES));
}
