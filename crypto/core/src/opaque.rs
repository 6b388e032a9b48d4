//! Passwords that the server never sees: OPAQUE (RFC 9807) with ristretto255, 3DH, SHA-512 and Argon2id.
//!
//! A thin layer over `opaque-ke` with bytes at its edge. One error for everything: what was wrong with a password, an
//! account or a message is nobody's business.

use std::fmt;

use generic_array::{ArrayLength, GenericArray};
use opaque_ke::errors::InternalError;
use opaque_ke::{
    CipherSuite, ClientLoginFinishParameters, ClientRegistrationFinishParameters, CredentialFinalization,
    CredentialRequest, CredentialResponse, Identifiers, RegistrationRequest, RegistrationResponse, RegistrationUpload,
    ServerLoginParameters, ServerRegistration,
};
use rand_core::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

use crate::passphrase::{Params, derive_into};
use crate::random::Rand08;

const CONTEXT: &[u8] = b"endtoend/1";
/// OPAQUE's own salt is inside its input; Argon2 wants one all the same.
const STRETCH_SALT: &[u8; 16] = b"endtoend OPAQUE1";

/// The messages do not fit together: a wrong password, an unknown account, or bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the password was not proved")]
pub struct OpaqueError;

struct Suite;

impl CipherSuite for Suite {
    type OprfCs = opaque_ke::Ristretto255;
    type KeyExchange = opaque_ke::TripleDh<opaque_ke::Ristretto255, sha2_10::Sha512>;
    type Ksf = Stretch;
}

/// Argon2id with [`Params::FLOOR`].
#[derive(Default)]
struct Stretch;

impl opaque_ke::ksf::Ksf for Stretch {
    fn hash<L: ArrayLength<u8>>(&self, input: GenericArray<u8, L>) -> Result<GenericArray<u8, L>, InternalError> {
        let mut output = GenericArray::default();
        derive_into(&input, STRETCH_SALT, Params::FLOOR, &mut output).map_err(|_| InternalError::KsfError)?;
        Ok(output)
    }
}

macro_rules! hidden {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}
hidden! { ClientRegistration RegistrationDone ClientLogin LoginDone ServerSetup ServerLogin }

/// A key of 64 bytes.
pub type SecretKey64 = Zeroizing<[u8; 64]>;

/// Takes a key out of what the library returned, which does not wipe it by itself.
fn secret(mut output: impl AsMut<[u8]>) -> Result<SecretKey64, OpaqueError> {
    let output = output.as_mut();
    let key = <&[u8; 64]>::try_from(&*output).map(|key| Zeroizing::new(*key)).map_err(|_| OpaqueError);
    output.zeroize();
    key
}

/// A client between the steps of a registration.
pub struct ClientRegistration(opaque_ke::ClientRegistration<Suite>);

/// What a registration ends with.
pub struct RegistrationDone {
    /// For the server.
    pub record: Vec<u8>,
    /// Stable over logins, known to the client only.
    pub export_key: SecretKey64,
}

impl ClientRegistration {
    /// First step: state and RegistrationRequest.
    ///
    /// # Errors
    /// When the library fails.
    pub fn start<R: CryptoRng + ?Sized>(rng: &mut R, password: &[u8]) -> Result<(Self, Vec<u8>), OpaqueError> {
        let start = opaque_ke::ClientRegistration::<Suite>::start(&mut Rand08(rng), password);
        let start = start.map_err(|_| OpaqueError)?;
        Ok((Self(start.state), start.message.serialize().to_vec()))
    }

    /// Last step, with the server's RegistrationResponse. Takes as long as Argon2id does.
    ///
    /// # Errors
    /// When the response is none.
    pub fn finish<R: CryptoRng + ?Sized>(
        self,
        rng: &mut R,
        password: &[u8],
        response: &[u8],
    ) -> Result<RegistrationDone, OpaqueError> {
        let response = RegistrationResponse::deserialize(response).map_err(|_| OpaqueError)?;
        let parameters = ClientRegistrationFinishParameters::new(Identifiers::default(), None);
        let done = self.0.finish(&mut Rand08(rng), password, response, parameters).map_err(|_| OpaqueError)?;
        Ok(RegistrationDone { record: done.message.serialize().to_vec(), export_key: secret(done.export_key)? })
    }
}

/// A client between the steps of a login.
pub struct ClientLogin(opaque_ke::ClientLogin<Suite>);

/// What a login ends with.
pub struct LoginDone {
    /// For the server.
    pub ke3: Vec<u8>,
    /// Shared with the server.
    pub session_key: SecretKey64,
    /// The one of the registration.
    pub export_key: SecretKey64,
}

impl ClientLogin {
    /// First step: state and KE1.
    ///
    /// # Errors
    /// When the library fails.
    pub fn start<R: CryptoRng + ?Sized>(rng: &mut R, password: &[u8]) -> Result<(Self, Vec<u8>), OpaqueError> {
        let start = opaque_ke::ClientLogin::<Suite>::start(&mut Rand08(rng), password).map_err(|_| OpaqueError)?;
        Ok((Self(start.state), start.message.serialize().to_vec()))
    }

    /// Last step, with the server's KE2. Takes as long as Argon2id does.
    ///
    /// # Errors
    /// When the password is wrong, the account unknown, or the server another one.
    pub fn finish<R: CryptoRng + ?Sized>(
        self,
        rng: &mut R,
        password: &[u8],
        ke2: &[u8],
    ) -> Result<LoginDone, OpaqueError> {
        let ke2 = CredentialResponse::deserialize(ke2).map_err(|_| OpaqueError)?;
        let parameters = ClientLoginFinishParameters::new(Some(CONTEXT), Identifiers::default(), None);
        let done = self.0.finish(&mut Rand08(rng), password, ke2, parameters).map_err(|_| OpaqueError)?;
        Ok(LoginDone {
            ke3: done.message.serialize().to_vec(),
            session_key: secret(done.session_key)?,
            export_key: secret(done.export_key)?,
        })
    }
}

/// The server's long-lived secrets: lose them and nobody can log in.
pub struct ServerSetup(opaque_ke::ServerSetup<Suite>);

impl ServerSetup {
    /// New secrets.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(opaque_ke::ServerSetup::new(&mut Rand08(rng)))
    }

    /// # Errors
    /// Unless [`ServerSetup::to_bytes`] made the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OpaqueError> {
        opaque_ke::ServerSetup::deserialize(bytes).map(Self).map_err(|_| OpaqueError)
    }

    /// All there is to keep.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = self.0.serialize();
        let kept = Zeroizing::new(bytes.to_vec());
        bytes.zeroize();
        kept
    }

    /// Answers a RegistrationRequest for the account with a RegistrationResponse. Keeps nothing.
    ///
    /// # Errors
    /// When the request is none.
    pub fn register(&self, account: &[u8; 32], request: &[u8]) -> Result<Vec<u8>, OpaqueError> {
        let request = RegistrationRequest::deserialize(request).map_err(|_| OpaqueError)?;
        let start = ServerRegistration::<Suite>::start(&self.0, request, account).map_err(|_| OpaqueError)?;
        Ok(start.message.serialize().to_vec())
    }

    /// Whether the bytes are a record that a later login can use.
    ///
    /// # Errors
    /// When they are not.
    pub fn check_record(&self, record: &[u8]) -> Result<(), OpaqueError> {
        RegistrationUpload::<Suite>::deserialize(record).map(|_| ()).map_err(|_| OpaqueError)
    }

    /// Answers a KE1 with a KE2. Without a record, for an unknown account, the answer is made up (RFC 9807, 6.3.2.2)
    /// and cannot be told from a real one.
    ///
    /// # Errors
    /// When KE1 or the record is none.
    pub fn login_start<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        record: Option<&[u8]>,
        account: &[u8; 32],
        ke1: &[u8],
    ) -> Result<(ServerLogin, Vec<u8>), OpaqueError> {
        let record = record.map(ServerRegistration::<Suite>::deserialize).transpose().map_err(|_| OpaqueError)?;
        let ke1 = CredentialRequest::deserialize(ke1).map_err(|_| OpaqueError)?;
        let start = opaque_ke::ServerLogin::start(&mut Rand08(rng), &self.0, record, ke1, account, parameters())
            .map_err(|_| OpaqueError)?;
        Ok((ServerLogin(start.state), start.message.serialize().to_vec()))
    }
}

/// A server between the steps of a login.
pub struct ServerLogin(opaque_ke::ServerLogin<Suite>);

impl ServerLogin {
    /// Checks KE3; gives the session key.
    ///
    /// # Errors
    /// When the client does not know the password, or there is no such account.
    pub fn finish(self, ke3: &[u8]) -> Result<SecretKey64, OpaqueError> {
        let ke3 = CredentialFinalization::deserialize(ke3).map_err(|_| OpaqueError)?;
        let done = self.0.finish(ke3, parameters()).map_err(|_| OpaqueError)?;
        secret(done.session_key)
    }
}

fn parameters() -> ServerLoginParameters<'static, 'static> {
    ServerLoginParameters { context: Some(CONTEXT), identifiers: Identifiers::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &[u8; 32] = &[1; 32];

    fn registered(setup: &ServerSetup, password: &[u8]) -> RegistrationDone {
        let rng = &mut rand::rng();
        let (client, request) = ClientRegistration::start(rng, password).unwrap();
        client.finish(rng, password, &setup.register(ACCOUNT, &request).unwrap()).unwrap()
    }

    fn login(setup: &ServerSetup, record: Option<&[u8]>, password: &[u8]) -> Result<LoginDone, OpaqueError> {
        let rng = &mut rand::rng();
        let (client, ke1) = ClientLogin::start(rng, password)?;
        let (server, ke2) = setup.login_start(rng, record, ACCOUNT, &ke1)?;
        let done = client.finish(rng, password, &ke2)?;
        assert_eq!(server.finish(&done.ke3)?, done.session_key);
        Ok(done)
    }

    #[test]
    fn the_right_password_logs_in_after_a_restart_and_gives_the_same_export_key() {
        let setup = ServerSetup::generate(&mut rand::rng());
        let registration = registered(&setup, b"correct horse");
        setup.check_record(&registration.record).unwrap();
        let setup = ServerSetup::from_bytes(&setup.to_bytes()).unwrap();
        let done = login(&setup, Some(&registration.record), b"correct horse").unwrap();
        assert_eq!(done.export_key, registration.export_key);
    }

    #[test]
    fn a_wrong_password_and_an_unknown_account_look_the_same() {
        let setup = ServerSetup::generate(&mut rand::rng());
        let record = registered(&setup, b"correct horse").record;
        assert_eq!(login(&setup, Some(&record), b"battery staple").unwrap_err(), OpaqueError);
        assert_eq!(login(&setup, None, b"correct horse").unwrap_err(), OpaqueError);
        let rng = &mut rand::rng();
        let (_, ke1) = ClientLogin::start(rng, b"x").unwrap();
        let real = setup.login_start(rng, Some(&record), ACCOUNT, &ke1).unwrap().1;
        let made_up = setup.login_start(rng, None, ACCOUNT, &ke1).unwrap().1;
        assert_eq!(real.len(), made_up.len());
    }

    #[test]
    fn a_record_is_of_no_use_at_another_server() {
        let (setup, other) = (ServerSetup::generate(&mut rand::rng()), ServerSetup::generate(&mut rand::rng()));
        let record = registered(&setup, b"correct horse").record;
        assert_eq!(login(&other, Some(&record), b"correct horse").unwrap_err(), OpaqueError);
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        let setup = ServerSetup::generate(&mut rand::rng());
        for len in [0, 1, 31, 32, 96, 192, 1_000] {
            let bytes = vec![0xff; len];
            assert!(setup.register(ACCOUNT, &bytes).is_err());
            assert!(setup.check_record(&bytes).is_err());
            assert!(setup.login_start(&mut rand::rng(), None, ACCOUNT, &bytes).is_err());
            assert!(ServerSetup::from_bytes(&bytes).is_err());
        }
    }

    #[test]
    fn the_last_message_of_another_login_is_refused() {
        let setup = ServerSetup::generate(&mut rand::rng());
        let record = registered(&setup, b"correct horse").record;
        let rng = &mut rand::rng();
        let mut begin = || {
            let (client, ke1) = ClientLogin::start(rng, b"correct horse").unwrap();
            let (server, ke2) = setup.login_start(rng, Some(&record), ACCOUNT, &ke1).unwrap();
            (server, client.finish(rng, b"correct horse", &ke2).unwrap())
        };
        let ((first, first_done), (second, second_done)) = (begin(), begin());
        assert_ne!(first_done.session_key, second_done.session_key);
        assert_eq!(first_done.export_key, second_done.export_key);
        assert_eq!(first.finish(&second_done.ke3).unwrap_err(), OpaqueError);
        assert_eq!(second.finish(&first_done.ke3[1..]).unwrap_err(), OpaqueError);
    }

    #[test]
    fn a_record_is_of_no_use_for_another_account() {
        let setup = ServerSetup::generate(&mut rand::rng());
        let record = registered(&setup, b"correct horse").record;
        let rng = &mut rand::rng();
        let (client, ke1) = ClientLogin::start(rng, b"correct horse").unwrap();
        let (_, ke2) = setup.login_start(rng, Some(&record), &[2; 32], &ke1).unwrap();
        assert_eq!(client.finish(rng, b"correct horse", &ke2).unwrap_err(), OpaqueError);
    }

    #[test]
    fn a_bent_answer_is_refused() {
        let setup = ServerSetup::generate(&mut rand::rng());
        let record = registered(&setup, b"p").record;
        let rng = &mut rand::rng();
        for part in 0..8 {
            let (client, ke1) = ClientLogin::start(rng, b"p").unwrap();
            let (_, mut ke2) = setup.login_start(rng, Some(&record), ACCOUNT, &ke1).unwrap();
            let at = part * ke2.len() / 8;
            ke2[at] ^= 1;
            assert_eq!(client.finish(rng, b"p", &ke2).unwrap_err(), OpaqueError, "byte {at}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let rng = &mut rand::rng();
        let setup = ServerSetup::generate(rng);
        assert_eq!(format!("{setup:?}"), "ServerSetup(..)");
        let (client, request) = ClientRegistration::start(rng, b"p").unwrap();
        assert_eq!(format!("{client:?}"), "ClientRegistration(..)");
        let done = client.finish(rng, b"p", &setup.register(ACCOUNT, &request).unwrap()).unwrap();
        assert_eq!(format!("{done:?}"), "RegistrationDone(..)");
        let (client, ke1) = ClientLogin::start(rng, b"p").unwrap();
        assert_eq!(format!("{client:?}"), "ClientLogin(..)");
        let (server, ke2) = setup.login_start(rng, Some(&done.record), ACCOUNT, &ke1).unwrap();
        assert_eq!(format!("{server:?}"), "ServerLogin(..)");
        assert_eq!(format!("{:?}", client.finish(rng, b"p", &ke2).unwrap()), "LoginDone(..)");
        assert_eq!(format!("{OpaqueError:?}"), "OpaqueError");
    }
}
