//! What was signed is refused as soon as one bit of it is another: every bit of what it says, and bits all through the
//! signatures, whose verification is too slow for each of their 37 528.
#![expect(clippy::indexing_slicing, reason = "test code: what fails here fails the test")]

use endtoend_crypto_core::proof::{DeviceStatement, Purpose, sign_device_proof, verify_device_proof};
use endtoend_crypto_core::signature::{SIGNATURE_BYTES, SigningKey};
use endtoend_crypto_core::token;

const NOW: u64 = 1_800_000_000_000;
const DOMAIN: &str = "endtoend 2026-11 test vector v1";

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 64])
}

/// All bits up to `dense` bytes, and every 61st after that; 61 shares no factor with 8, so each place of a byte is met.
fn bits(len: usize, dense: usize) -> impl Iterator<Item = usize> {
    (0..dense * 8).chain((dense * 8..len * 8).step_by(61)).chain([len * 8 - 1])
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bent = bytes.to_vec();
    bent[bit / 8] ^= 1 << (bit % 8);
    bent
}

#[test]
fn of_a_token() {
    let token = token::issue(&key(), &[1; 32], 1, &[2; 16], NOW, NOW + 1000);
    token::verify(&key().verifying_key(), &token, NOW, 0).unwrap();
    for bit in bits(token.len(), token.len() - SIGNATURE_BYTES) {
        assert!(token::verify(&key().verifying_key(), &flipped(&token, bit), NOW, 0).is_err(), "bit {bit}");
    }
    for len in [0, 1, 73, 74, 138, token.len() - 1] {
        assert!(token::verify(&key().verifying_key(), &token[..len], NOW, 0).is_err(), "{len} bytes");
    }
    assert!(token::verify(&key().verifying_key(), &[&token[..], &[0]].concat(), NOW, 0).is_err(), "one more");
}

#[test]
fn of_a_proof_and_of_what_it_states() {
    let verifier = key().verifying_key();
    let (challenge, channel_binding, account) = ([1; 32], [2; 32], [3; 32]);
    let purpose = Purpose::Resume { token_id: [4; 16] };
    let statement = DeviceStatement {
        challenge: &challenge,
        channel_binding: &channel_binding,
        account: &account,
        device: 1,
        purpose,
    };
    let proof = sign_device_proof(&key(), &statement);
    verify_device_proof(&verifier, &statement, &proof).unwrap();
    for bit in bits(proof.len(), 0) {
        assert!(verify_device_proof(&verifier, &statement, &flipped(&proof, bit)).is_err(), "bit {bit} of the proof");
    }
    let refused = |statement: &DeviceStatement<'_>| verify_device_proof(&verifier, statement, &proof).is_err();
    for bit in (0..256).step_by(5) {
        let bent = |bytes: &[u8; 32]| -> [u8; 32] { flipped(bytes, bit).try_into().unwrap() };
        assert!(refused(&DeviceStatement { challenge: &bent(&challenge), ..statement }), "challenge, bit {bit}");
        assert!(
            refused(&DeviceStatement { channel_binding: &bent(&channel_binding), ..statement }),
            "binding, bit {bit}"
        );
        assert!(refused(&DeviceStatement { account: &bent(&account), ..statement }), "account, bit {bit}");
    }
    for bit in 0..8 {
        assert!(refused(&DeviceStatement { device: 1 ^ (1 << bit), ..statement }), "device, bit {bit}");
    }
    for bit in 0..128 {
        let token_id = flipped(&[4; 16], bit).try_into().unwrap();
        assert!(refused(&DeviceStatement { purpose: Purpose::Resume { token_id }, ..statement }), "token, bit {bit}");
    }
    let refresh =
        |family, generation| DeviceStatement { purpose: Purpose::Refresh { family, generation }, ..statement };
    let proof = sign_device_proof(&key(), &refresh([4; 16], 5));
    verify_device_proof(&verifier, &refresh([4; 16], 5), &proof).unwrap();
    let refused = |statement: &DeviceStatement<'_>| verify_device_proof(&verifier, statement, &proof).is_err();
    for bit in 0..128 {
        let family = flipped(&[4; 16], bit).try_into().unwrap();
        assert!(refused(&refresh(family, 5)), "family, bit {bit}");
    }
    for bit in 0..32 {
        assert!(refused(&refresh([4; 16], 5 ^ (1 << bit))), "generation, bit {bit}");
    }
}

#[test]
fn of_a_signature_and_of_its_message() {
    let (verifier, message) = (key().verifying_key(), [0x55; 40]);
    let signature = key().sign(DOMAIN, &message);
    verifier.verify(DOMAIN, &message, &signature).unwrap();
    for bit in bits(signature.len(), 64) {
        assert!(verifier.verify(DOMAIN, &message, &flipped(&signature, bit)).is_err(), "bit {bit}");
    }
    for bit in 0..message.len() * 8 {
        assert!(verifier.verify(DOMAIN, &flipped(&message, bit), &signature).is_err(), "message, bit {bit}");
    }
}
