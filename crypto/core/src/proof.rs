//! Device proofs: a device shows on one connection that it holds its key.

use crate::signature::{BadSignature, SigningKey, VerifyingKey};

const DOMAIN: &str = "endtoend 2026-11 device proof v2";

/// What a proof is for: one for a purpose is none for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To register the account and this first device.
    Register,
    /// To log in with the password.
    Login,
    /// To go on with an access token.
    Resume {
        /// Of the token.
        token_id: [u8; 16],
    },
    /// To go on with a refresh token.
    Refresh {
        /// Of the token.
        family: [u8; 16],
        /// Of the token.
        generation: u32,
    },
    /// To add a device to an account; the statement's device number is 0.
    AddDevice,
}

/// What a device signs.
#[derive(Clone, Copy, Debug)]
pub struct DeviceStatement<'a> {
    /// From the server, fresh for each connection.
    pub challenge: &'a [u8; 32],
    /// Known to the two ends of this connection only.
    pub channel_binding: &'a [u8; 32],
    /// The account's tag.
    pub account: &'a [u8; 32],
    /// The device's number.
    pub device: u8,
    /// What the proof is for.
    pub purpose: Purpose,
}

impl DeviceStatement<'_> {
    /// `purpose(1) || token(16) || challenge(32) || channel_binding(32) || account(32) || device(1) || le32(generation)`,
    /// where `token` and `generation` are zero for purposes that have none.
    fn to_bytes(self) -> [u8; 118] {
        let (purpose, token, generation) = match self.purpose {
            Purpose::Register => (1, [0; 16], 0),
            Purpose::Login => (2, [0; 16], 0),
            Purpose::Resume { token_id } => (3, token_id, 0),
            Purpose::Refresh { family, generation } => (4, family, generation),
            Purpose::AddDevice => (5, [0; 16], 0),
        };
        let mut bytes = [0; 118];
        let generation = generation.to_le_bytes();
        let fields =
            [&[purpose], &token[..], self.challenge, self.channel_binding, self.account, &[self.device], &generation];
        for (to, from) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }
}

/// Signs a statement: a hybrid signature of 4691 bytes.
pub fn sign_device_proof(key: &SigningKey, statement: &DeviceStatement<'_>) -> Vec<u8> {
    key.sign(DOMAIN, &statement.to_bytes())
}

/// # Errors
/// Unless the proof is by this key over this statement.
pub fn verify_device_proof(
    key: &VerifyingKey,
    statement: &DeviceStatement<'_>,
    proof: &[u8],
) -> Result<(), BadSignature> {
    key.verify(DOMAIN, &statement.to_bytes(), proof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_statement_only() {
        let key = SigningKey::from_seed(&[1; 64]);
        let verifier = key.verifying_key();
        let statement = DeviceStatement {
            challenge: &[1; 32],
            channel_binding: &[2; 32],
            account: &[3; 32],
            device: 1,
            purpose: Purpose::Resume { token_id: [4; 16] },
        };
        let proof = sign_device_proof(&key, &statement);
        assert_eq!(verify_device_proof(&verifier, &statement, &proof), Ok(()));
        let others = [
            DeviceStatement { challenge: &[9; 32], ..statement },
            DeviceStatement { channel_binding: &[9; 32], ..statement },
            DeviceStatement { account: &[9; 32], ..statement },
            DeviceStatement { device: 2, ..statement },
            DeviceStatement { purpose: Purpose::Resume { token_id: [9; 16] }, ..statement },
            DeviceStatement { purpose: Purpose::Register, ..statement },
            DeviceStatement { purpose: Purpose::Login, ..statement },
            DeviceStatement { purpose: Purpose::AddDevice, ..statement },
            DeviceStatement { purpose: Purpose::Refresh { family: [4; 16], generation: 0 }, ..statement },
        ];
        for other in others {
            assert_eq!(verify_device_proof(&verifier, &other, &proof), Err(BadSignature), "{other:?}");
        }
        let another = SigningKey::from_seed(&[2; 64]).verifying_key();
        assert_eq!(verify_device_proof(&another, &statement, &proof), Err(BadSignature));
        assert_eq!(verify_device_proof(&verifier, &statement, &proof[1..]), Err(BadSignature));
    }

    #[test]
    fn the_layout_has_no_gap() {
        let statement = DeviceStatement {
            challenge: &[1; 32],
            channel_binding: &[2; 32],
            account: &[3; 32],
            device: 5,
            purpose: Purpose::Refresh { family: [4; 16], generation: 0x0403_0201 },
        };
        let expected = [&[4][..], &[4; 16], &[1; 32], &[2; 32], &[3; 32], &[5], &[1, 2, 3, 4]].concat();
        assert_eq!(statement.to_bytes()[..], expected);
    }
}
