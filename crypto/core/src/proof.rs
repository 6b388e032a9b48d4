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
    /// To get a new access token for a refresh token.
    Refresh {
        /// Of the refresh token.
        family: [u8; 16],
        /// Of the refresh token.
        generation: u32,
    },
    /// To register this device as a further one of an account that there is.
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
    /// `purpose(1) || token_id(16) || challenge(32) || channel_binding(32) || account(32) || device(1) || generation(4, LE)`
    ///
    /// The id is the token's for Resume, the family for Refresh, else zero; the generation is zero unless Refresh. The
    /// purpose says which, and every field is always there.
    fn to_bytes(self) -> [u8; 118] {
        let (purpose, token_id, generation) = match self.purpose {
            Purpose::Register => (1, [0; 16], 0),
            Purpose::Login => (2, [0; 16], 0),
            Purpose::Resume { token_id } => (3, token_id, 0),
            Purpose::Refresh { family, generation } => (4, family, generation),
            Purpose::AddDevice => (5, [0; 16], 0),
        };
        let (device, generation) = ([self.device], generation.to_le_bytes());
        let fields =
            [&[purpose], &token_id[..], self.challenge, self.channel_binding, self.account, &device, &generation];
        let mut bytes = [0; 118];
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
            DeviceStatement { purpose: Purpose::Refresh { family: [4; 16], generation: 0 }, ..statement },
            DeviceStatement { purpose: Purpose::AddDevice, ..statement },
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
            purpose: Purpose::Resume { token_id: [4; 16] },
        };
        let expected = [&[3][..], &[4; 16], &[1; 32], &[2; 32], &[3; 32], &[5], &[0; 4]].concat();
        assert_eq!(statement.to_bytes()[..], expected);
        let purpose = Purpose::Refresh { family: [6; 16], generation: 0x0403_0201 };
        let expected = [&[4][..], &[6; 16], &[1; 32], &[2; 32], &[3; 32], &[5], &[1, 2, 3, 4]].concat();
        assert_eq!(DeviceStatement { purpose, ..statement }.to_bytes()[..], expected);
    }

    #[test]
    fn no_two_purposes_make_the_same_statement() {
        let of = |purpose| {
            let (challenge, channel_binding, account) = (&[1; 32], &[2; 32], &[3; 32]);
            DeviceStatement { challenge, channel_binding, account, device: 1, purpose }.to_bytes()
        };
        let (family, token_id) = ([0; 16], [0; 16]);
        let purposes = [
            Purpose::Register,
            Purpose::Login,
            Purpose::Resume { token_id },
            Purpose::Resume { token_id: [1; 16] },
            Purpose::Refresh { family, generation: 0 },
            Purpose::Refresh { family, generation: 1 },
            Purpose::Refresh { family, generation: u32::MAX },
            Purpose::Refresh { family: [1; 16], generation: 0 },
            Purpose::AddDevice,
        ];
        let statements: std::collections::BTreeSet<_> = purposes.into_iter().map(of).collect();
        assert_eq!(statements.len(), purposes.len());
    }
}
