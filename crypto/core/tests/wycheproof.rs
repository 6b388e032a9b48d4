//! Project Wycheproof's vectors over the primitives below us: FIPS 203 and 204, RFC 7748, 8032, 5869, AES-GCM and
//! ChaCha20-Poly1305, with the wrong turns that implementations have taken before. Each test says how many cases it saw,
//! so that an empty set is no success.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use aes_gcm::aead::{KeyInit, Payload};
use ml_dsa::MlDsa87;
use ml_kem::array::Array;
use ml_kem::kem::{Decapsulate as _, KeyExport as _};
use ml_kem::{DecapsulationKey1024, EncapsulationKey1024, Seed};
use wycheproof::{ByteString, TestResult};

fn bytes(field: &Option<ByteString>) -> Option<&[u8]> {
    field.as_ref().map(|bytes| &bytes[..])
}

fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// `ours` must succeed for what is valid and fail for what is not; either is right for what is merely acceptable.
fn judge(result: TestResult, ours: bool, what: &dyn std::fmt::Debug) {
    match result {
        TestResult::Valid => assert!(ours, "refused: {what:?}"),
        TestResult::Invalid => assert!(!ours, "accepted: {what:?}"),
        TestResult::Acceptable => {}
    }
}

fn decapsulation_key(seed: &[u8]) -> Option<DecapsulationKey1024> {
    Some(DecapsulationKey1024::from_seed(Seed::try_from(seed).ok()?))
}

#[test]
fn ml_kem_1024() {
    use wycheproof::mlkem::{TestName, TestSet};
    let tests =
        |name| TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests).collect::<Vec<_>>();
    let mut seen = 0;
    for test in tests(TestName::MlKem1024KeyGenSeed) {
        let key = bytes(&test.seed).and_then(decapsulation_key);
        let public = key.map(|key| key.encapsulation_key().to_bytes().to_vec());
        judge(test.result, public.as_deref() == bytes(&test.encaps_key), &test.tc_id);
        seen += 1;
    }
    for test in tests(TestName::MlKem1024Encaps) {
        let key = bytes(&test.encaps_key).and_then(|key| Array::try_from(key).ok());
        let key = key.and_then(|key| EncapsulationKey1024::new(&key).ok());
        let message = bytes(&test.msg).and_then(array::<32>);
        let sealed = key.zip(message).map(|(key, message)| key.encapsulate_deterministic(&message.into()));
        let same = sealed.is_some_and(|(ciphertext, shared)| {
            Some(&*ciphertext) == bytes(&test.ct) && Some(&*shared) == bytes(&test.shared_secret)
        });
        judge(test.result, same, &test.tc_id);
        seen += 1;
    }
    for test in tests(TestName::MlKem1024) {
        let key = bytes(&test.seed).and_then(decapsulation_key);
        let ciphertext = bytes(&test.ct).and_then(|ciphertext| Array::try_from(ciphertext).ok());
        let shared = key.zip(ciphertext).map(|(key, ciphertext)| key.decapsulate(&ciphertext).to_vec());
        let same = shared.is_some() && shared.as_deref() == bytes(&test.shared_secret);
        judge(test.result, same, &test.tc_id);
        seen += 1;
    }
    println!("ML-KEM-1024: {seen} cases");
    assert!(seen > 300, "{seen}");
}

#[test]
fn ml_dsa_87() {
    let mut seen = 0;
    use wycheproof::{mldsa_sign, mldsa_verify};
    for group in mldsa_sign::TestSet::load(mldsa_sign::TestName::MlDsa87SignSeed).unwrap().test_groups {
        let seed = bytes(&group.privseed).and_then(array::<32>);
        for test in group.tests {
            // Ours signs whole messages, deterministically.
            let Some(message) = bytes(&test.msg) else { continue };
            if test.rnd.is_some_and(|rnd| rnd.iter().any(|byte| *byte != 0)) {
                continue;
            }
            let context = bytes(&test.ctx).unwrap_or_default();
            let key = seed.map(|seed| ml_dsa::SigningKey::<MlDsa87>::from_seed(&seed.into()));
            let signed = key.and_then(|key| key.expanded_key().sign_deterministic(message, context).ok());
            let same = signed.is_some_and(|signature| signature.encode()[..] == test.sig[..]);
            judge(test.result, same, &test.tc_id);
            seen += 1;
        }
    }
    for group in mldsa_verify::TestSet::load(mldsa_verify::TestName::MlDsa87Verify).unwrap().test_groups {
        let key = group.pubkey[..].try_into().ok().map(ml_dsa::VerifyingKey::<MlDsa87>::decode);
        for test in group.tests {
            let signature = ml_dsa::Signature::<MlDsa87>::try_from(&test.sig[..]).ok();
            let context = bytes(&test.ctx).unwrap_or_default();
            let good = key.as_ref().zip(signature);
            let good = good.is_some_and(|(key, signature)| key.verify_with_context(&test.msg, context, &signature));
            judge(test.result, good, &test.tc_id);
            seen += 1;
        }
    }
    println!("ML-DSA-87: {seen} cases");
    assert!(seen > 200, "{seen}");
}

#[test]
fn ed25519_strictly() {
    use wycheproof::eddsa::{TestName, TestSet};
    let mut seen = 0;
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        let key = array(&group.key.pk).and_then(|key| ed25519_dalek::VerifyingKey::from_bytes(&key).ok());
        for test in group.tests {
            let signature = array(&test.sig).map(|signature| ed25519_dalek::Signature::from_bytes(&signature));
            let good =
                key.zip(signature).is_some_and(|(key, signature)| key.verify_strict(&test.msg, &signature).is_ok());
            judge(test.result, good, &test.tc_id);
            seen += 1;
        }
    }
    println!("Ed25519: {seen} cases");
    assert!(seen > 100, "{seen}");
}

#[test]
fn x25519() {
    use wycheproof::xdh::{TestName, TestSet};
    let mut seen = 0;
    for test in TestSet::load(TestName::X25519).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
        let (Some(secret), Some(public)) = (array(&test.private_key), array(&test.public_key)) else { continue };
        let shared = x25519_dalek::x25519(secret, public);
        judge(test.result, shared[..] == test.shared_secret[..], &test.tc_id);
        seen += 1;
    }
    println!("X25519: {seen} cases");
    assert!(seen > 400, "{seen}");
}

#[test]
fn hkdf_sha_512() {
    use wycheproof::hkdf::{TestName, TestSet};
    let mut seen = 0;
    for test in TestSet::load(TestName::HkdfSha512).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
        let mut output = vec![0; test.size];
        let derived = hkdf::Hkdf::<sha2::Sha512>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut output);
        judge(test.result, derived.is_ok() && output == test.okm[..], &test.tc_id);
        seen += 1;
    }
    println!("HKDF-SHA-512: {seen} cases");
    assert!(seen > 50, "{seen}");
}

/// All cases for the one key and nonce size that we use.
fn aead<C: KeyInit + aes_gcm::aead::Aead>(name: wycheproof::aead::TestName, nonce_bytes: usize) {
    let mut seen = 0;
    for group in wycheproof::aead::TestSet::load(name).unwrap().test_groups {
        if group.key_size != 256 || group.nonce_size != 8 * nonce_bytes || group.tag_size != 128 {
            continue;
        }
        for test in group.tests {
            let cipher = C::new_from_slice(&test.key).unwrap();
            let nonce = aes_gcm::aead::Nonce::<C>::try_from(&test.nonce[..]).unwrap();
            let sealed = [&test.ct[..], &test.tag].concat();
            let opened = cipher.decrypt(&nonce, Payload { msg: &sealed, aad: &test.aad });
            judge(test.result, opened.is_ok_and(|text| text == test.pt[..]), &test.tc_id);
            if test.result == TestResult::Valid {
                assert_eq!(cipher.encrypt(&nonce, Payload { msg: &test.pt, aad: &test.aad }).unwrap(), sealed);
            }
            seen += 1;
        }
    }
    println!("{name:?}: {seen} cases");
    assert!(seen > 50, "{seen}");
}

#[test]
fn aes_256_gcm() {
    aead::<aes_gcm::Aes256Gcm>(wycheproof::aead::TestName::AesGcm, 12);
}

#[test]
fn xchacha20_poly1305() {
    aead::<chacha20poly1305::XChaCha20Poly1305>(wycheproof::aead::TestName::XChaCha20Poly1305, 24);
}
