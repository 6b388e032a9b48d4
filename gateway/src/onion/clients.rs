//! Who may find the service: tor(1), "CLIENT AUTHORIZATION". With none named, everybody who knows the address.

use std::fmt;
use std::str::FromStr;

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::key::{base32, from_base32};

const PREFIX: &str = "descriptor:x25519:";

/// The public key of a client, as `tor` writes it: `descriptor:x25519:` and 52 letters of base32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientKey([u8; 32]);

/// What is no `ClientKey`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a client's public key: write it like \"descriptor:x25519:\" and 52 letters, as `endtoend onion client-key` prints it"
)]
pub struct NoClientKey;

impl FromStr for ClientKey {
    type Err = NoClientKey;

    fn from_str(text: &str) -> Result<Self, NoClientKey> {
        text.strip_prefix(PREFIX).and_then(from_base32).map(Self).ok_or(NoClientKey)
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", base32(&self.0).to_uppercase())
    }
}

/// A new pair: what the service is told, and the line that the client keeps, `descriptor:x25519:` and the secret key.
pub(crate) fn new_client() -> (ClientKey, Zeroizing<String>) {
    let secret = Zeroizing::new(rand::random::<[u8; 32]>());
    let key = StaticSecret::from(*secret);
    let public = PublicKey::from(&key).to_bytes();
    (ClientKey(public), Zeroizing::new(format!("{PREFIX}{}", base32(key.as_bytes()).to_uppercase())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_written_as_tor_writes_it() {
        let (key, secret) = new_client();
        let text = key.to_string();
        assert_eq!((text.len(), text.parse()), (70, Ok(key)));
        let secret: [u8; 32] = from_base32(secret.strip_prefix(PREFIX).unwrap()).unwrap();
        assert_eq!(PublicKey::from(&StaticSecret::from(secret)).to_bytes(), key.0);
        for wrong in ["", "descriptor:x25519:", &text[1..], &text[..69], &text.replace("x25519", "ed25519")] {
            assert_eq!(wrong.parse::<ClientKey>(), Err(NoClientKey), "{wrong}");
        }
    }
}
