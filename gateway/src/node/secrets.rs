//! Where a node's secrets live: in the environment, in systemd's credentials, or in files of the data directory, looked
//! for in this order. What comes from outside is never written.
//!
//! A new secret is a constant here and a line in [`SECRETS`], or in [`OWN`] if the nodes of a cluster do not share it; from there it
//! is found in all three places, told by `endtoend config check`, and part of a backup.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use endtoend_crypto_core::signature::SEED_BYTES;
use zeroize::Zeroizing;

use super::data_dir::{DataDirError, has_store};
use super::member::is_member;
use crate::config::nearest;
use crate::onion::KEY_BYTES;

/// `ENDTOEND_SECRET_IDENTITY` holds `identity.key`, in hexadecimal digits.
const VARIABLE_PREFIX: &str = "ENDTOEND_SECRET_";
/// Set by systemd for units with `LoadCredential=` or `LoadCredentialEncrypted=`.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// `$CREDENTIALS_DIRECTORY/endtoend-identity` holds the bytes of `identity.key`.
const CREDENTIAL_PREFIX: &str = "endtoend-";
/// No secret is longer.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// A secret of the node, by the name of its file.
#[derive(Debug, PartialEq, Eq)]
pub struct Secret {
    /// `NAME.key`
    pub file: &'static str,
    /// What its loss means to the users of the node.
    pub loss: &'static str,
    /// Lengths that it can have.
    bytes: RangeInclusive<usize>,
}

/// Key of the node's certificate authority, PKCS #8.
pub(super) const CA_KEY: Secret = Secret {
    file: "ca.key",
    loss: "clients pin it: without it every client refuses the server until its users type a new address",
    bytes: 32..=4096,
};
/// Seed of the server's identity.
pub(super) const IDENTITY_KEY: Secret = Secret {
    file: "identity.key",
    loss: "clients pin it: without it every client refuses the server until its users type a new address",
    bytes: SEED_BYTES..=SEED_BYTES,
};
/// OPAQUE server setup.
pub(super) const OPAQUE_SETUP: Secret = Secret {
    file: "opaque.key",
    loss: "every password record depends on it: without it nobody can log in, and every account must be made anew",
    bytes: 32..=1024,
};
/// Seed of the key that signs access tokens.
pub(super) const TOKEN_KEY: Secret = Secret {
    file: "token.key",
    loss: "it signs access tokens: without it they end, and devices go on with their refresh tokens",
    bytes: SEED_BYTES..=SEED_BYTES,
};

/// Key of the oblivious function that turns handles into accounts.
pub(super) const OPRF_KEY: Secret = Secret {
    file: "oprf.key",
    loss: "accounts are found by it: without it no handle leads to its account any more",
    bytes: 32..=32,
};
/// Key of the hashes that the store holds instead of tokens, invitations and relations.
pub(super) const STORE_KEY: Secret = Secret {
    file: "store.key",
    loss: "the store's hashes depend on it: without it every device must log in again with its password, invitations and \
           blocks are forgotten, and the audit cannot be verified",
    bytes: 32..=32,
};

/// Seed of the key of the node's onion service. Made when `[onion]` is switched on.
pub(crate) const ONION_KEY: Secret = Secret {
    file: "onion.key",
    loss: "it is the node's address in the Tor network: without it the node gets another one, and whoever has the old one has to be \
           told",
    bytes: KEY_BYTES..=KEY_BYTES,
};

/// Secrets of one node, which no other has, in a cluster neither. Not every node has them.
pub static OWN: [&Secret; 1] = [&ONION_KEY];
/// All other secrets.
pub static SECRETS: [&Secret; 6] = [&CA_KEY, &IDENTITY_KEY, &OPAQUE_SETUP, &TOKEN_KEY, &OPRF_KEY, &STORE_KEY];

impl Secret {
    /// That of its file without `.key`.
    pub(crate) fn name(&self) -> &'static str {
        self.file.trim_end_matches(".key")
    }

    /// The environment variable that may hold it.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name().to_uppercase())
    }

    /// The name of the systemd credential that may hold it.
    pub fn credential(&self) -> String {
        format!("{CREDENTIAL_PREFIX}{}", self.name())
    }

    pub(super) fn fits(&self, bytes: &[u8]) -> bool {
        self.bytes.contains(&bytes.len())
    }
}

/// Where a secret was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOrigin {
    Variable(String),
    Credential(PathBuf),
    File(PathBuf),
}

impl SecretOrigin {
    /// The name of the variable, or the path.
    pub fn place(&self) -> String {
        match self {
            Self::Variable(name) => name.clone(),
            Self::Credential(path) | Self::File(path) => path.display().to_string(),
        }
    }
}

impl fmt::Display for SecretOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Credential(path) => write!(f, "systemd credential {}", path.display()),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

/// What is wrong with a secret from outside. Nothing of its value is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutsideFault {
    #[error("is not an even number of hexadecimal digits: write it with `od -An -v -tx1 FILE | tr -d ' \\n'`")]
    NotHex,
    #[error("has {found} bytes instead of {wanted}")]
    Length { found: usize, wanted: String },
    #[error("cannot be read ({0}): give it to the user that runs the node")]
    Unreadable(io::ErrorKind),
    #[error("names no secret of this program: {0}")]
    Unknown(String),
}

pub(super) struct Found {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) origin: SecretOrigin,
}

/// What the surroundings hold of secrets, read once by `main`. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Outside {
    variables: BTreeMap<String, Zeroizing<String>>,
    credentials: Option<PathBuf>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.keys().collect();
        f.debug_struct("Outside").field("variables", &names).field("credentials", &self.credentials).finish()
    }
}

impl Outside {
    /// Takes from the environment what is about secrets.
    ///
    /// # Errors
    /// `Outside` when a variable or a credential has a name that looks like a secret's and is none: otherwise a typing
    /// error would end in a new secret.
    pub fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, DataDirError> {
        let mut outside = Self::default();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(VARIABLE_PREFIX) {
                known(name.to_owned(), name, &all().map(Secret::variable).collect::<Vec<_>>())?;
                // What is not UTF-8 is no hexadecimal text either, and is refused as such.
                outside.variables.insert(name.to_owned(), Zeroizing::new(value.to_string_lossy().into_owned()));
            } else if name == CREDENTIALS_DIRECTORY && !value.is_empty() {
                outside.credentials = Some(value.into());
            }
        }
        if let Some(folder) = &outside.credentials {
            let unreadable = |error: io::Error| {
                fault(&SecretOrigin::Credential(folder.clone()), OutsideFault::Unreadable(error.kind()))
            };
            for entry in fs::read_dir(folder).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with(CREDENTIAL_PREFIX) {
                    let names: Vec<_> = all().map(Secret::credential).collect();
                    known(entry.path().display().to_string(), &name, &names)?;
                }
            }
        }
        Ok(outside)
    }

    /// The files that are not used because their secrets come from outside.
    pub(crate) fn files(&self) -> Vec<&'static str> {
        let here = |secret: &&Secret| {
            let credential = self.credentials.as_ref().is_some_and(|folder| folder.join(secret.credential()).exists());
            self.variables.contains_key(&secret.variable()) || credential
        };
        all().filter(here).map(|secret| secret.file).collect()
    }

    /// The secret as it comes from outside, if it does.
    pub(super) fn find(&self, secret: &Secret) -> Result<Option<Found>, DataDirError> {
        let found = match self.variables.get(&secret.variable()) {
            Some(text) => {
                let origin = SecretOrigin::Variable(secret.variable());
                let bytes = hex::decode(text.trim()).map_err(|_| fault(&origin, OutsideFault::NotHex))?;
                Found { bytes: Zeroizing::new(bytes), origin }
            }
            None => {
                let Some(folder) = &self.credentials else { return Ok(None) };
                let path = folder.join(secret.credential());
                let origin = SecretOrigin::Credential(path.clone());
                let unreadable = |error: io::Error| fault(&origin, OutsideFault::Unreadable(error.kind()));
                let Some(bytes) = read_file(&path).map_err(unreadable)? else { return Ok(None) };
                Found { bytes, origin }
            }
        };
        if secret.fits(&found.bytes) {
            return Ok(Some(found));
        }
        let wanted = match (secret.bytes.start(), secret.bytes.end()) {
            (min, max) if min == max => min.to_string(),
            (min, max) => format!("{min} to {max}"),
        };
        Err(fault(&found.origin, OutsideFault::Length { found: found.bytes.len(), wanted }))
    }
}

fn fault(origin: &SecretOrigin, fault: OutsideFault) -> DataDirError {
    DataDirError::Outside { place: origin.to_string(), fault }
}

/// Those of every node, and those of one.
pub(crate) fn all() -> impl Iterator<Item = &'static Secret> {
    SECRETS.into_iter().chain(OWN)
}

fn known(place: String, name: &str, names: &[String]) -> Result<(), DataDirError> {
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    let hint = match nearest(name, names.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("there are {}", names.join(", ")),
    };
    Err(DataDirError::Outside { place, fault: OutsideFault::Unknown(hint) })
}

/// `None` when there is no such file.
pub(super) fn read_file(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    match File::open(path) {
        Ok(file) => {
            // Room for all of it at once: a buffer that grows leaves copies behind.
            let mut bytes = Zeroizing::new(Vec::with_capacity(8 * 1024));
            file.take(SECRET_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// How a secret stands before a node is started.
#[derive(Debug)]
pub enum SecretState {
    /// It is there and has a length that it can have.
    Found(SecretOrigin),
    /// The nodes of the cluster share it: this node has it from them.
    Shared,
    /// The first start makes it.
    ToBeMade,
    /// A start will be refused for this reason.
    Refused(DataDirError),
}

/// How each secret stands. Takes no lock and changes nothing.
pub fn secret_states(data: &Path, outside: &Outside) -> Vec<(&'static Secret, SecretState)> {
    let state = |secret: &Secret| match find(data, outside, secret) {
        _ if is_member(data) => SecretState::Shared,
        Ok(Some(found)) => SecretState::Found(found.origin),
        Ok(None) if has_store(data) => {
            SecretState::Refused(DataDirError::Lost { path: data.join(secret.file), loss: secret.loss })
        }
        Ok(None) => SecretState::ToBeMade,
        Err(error) => SecretState::Refused(error),
    };
    let own = |secret: &'static Secret| match find(data, outside, secret) {
        Ok(None) => None,
        Ok(Some(found)) => Some((secret, SecretState::Found(found.origin))),
        Err(error) => Some((secret, SecretState::Refused(error))),
    };
    SECRETS.iter().map(|secret| (*secret, state(secret))).chain(OWN.into_iter().filter_map(own)).collect()
}

/// The secret from outside or from its file.
pub(super) fn find(data: &Path, outside: &Outside, secret: &Secret) -> Result<Option<Found>, DataDirError> {
    if let Some(found) = outside.find(secret)? {
        return Ok(Some(found));
    }
    let path = data.join(secret.file);
    let unreadable = |source| DataDirError::Unreadable { path: path.clone(), source };
    match read_file(&path).map_err(unreadable)? {
        Some(bytes) if secret.fits(&bytes) => Ok(Some(Found { bytes, origin: SecretOrigin::File(path) })),
        Some(_) => Err(DataDirError::Damaged { path }),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::DataDir;

    fn outside(variables: &[(&str, &str)]) -> Result<Outside, DataDirError> {
        Outside::read(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
    }

    fn hex_of(byte: u8) -> String {
        hex::encode([byte; SEED_BYTES])
    }

    fn no_new_one() -> Zeroizing<Vec<u8>> {
        panic!("a secret was made though there is one")
    }

    #[test]
    fn the_environment_comes_before_credentials_and_these_before_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (data, credentials) = (dir.path().join("data"), dir.path().join("credentials"));
        fs::create_dir(&data).unwrap();
        fs::create_dir(&credentials).unwrap();
        let place = credentials.to_str().unwrap();
        let read = |variables: &[(&str, &str)]| {
            let data = DataDir::open(&data).unwrap().with_outside(outside(variables).unwrap());
            data.secret(&TOKEN_KEY, no_new_one).unwrap()[0]
        };
        fs::write(data.join("token.key"), [1; SEED_BYTES]).unwrap();
        assert_eq!(read(&[("CREDENTIALS_DIRECTORY", place)]), 1);
        fs::write(credentials.join("endtoend-token"), [2; SEED_BYTES]).unwrap();
        assert_eq!(read(&[("CREDENTIALS_DIRECTORY", place)]), 2);
        let variable = ("ENDTOEND_SECRET_TOKEN", &*hex_of(3));
        assert_eq!(read(&[("CREDENTIALS_DIRECTORY", place), variable]), 3);
        let padded = format!(" {}\n", hex_of(4).to_uppercase());
        assert_eq!(read(&[("ENDTOEND_SECRET_TOKEN", &padded)]), 4);
    }

    #[test]
    fn what_comes_from_outside_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let outside = outside(&[("ENDTOEND_SECRET_TOKEN", &hex_of(3))]).unwrap();
        let data = DataDir::open(dir.path()).unwrap().with_outside(outside.clone());
        data.secret(&TOKEN_KEY, no_new_one).unwrap();
        assert!(!dir.path().join("token.key").exists());
        fs::write(data.database(), b"rows").unwrap();
        assert!(data.secret(&TOKEN_KEY, no_new_one).is_ok(), "it is not lost either");
        let states = secret_states(dir.path(), &outside);
        for (secret, state) in states {
            match state {
                SecretState::Found(origin) => {
                    assert_eq!(origin, SecretOrigin::Variable("ENDTOEND_SECRET_TOKEN".to_owned()));
                    assert_eq!(*secret, TOKEN_KEY);
                }
                SecretState::Refused(DataDirError::Lost { loss, .. }) => assert_eq!(loss, secret.loss),
                state => panic!("{secret:?}: {state:?}"),
            }
        }
    }

    #[test]
    fn a_bad_secret_from_outside_is_refused_and_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        DataDir::open(&data).unwrap().secret(&TOKEN_KEY, || Zeroizing::new(vec![1; SEED_BYTES])).unwrap();
        let refused = |text: &str| {
            let outside = outside(&[("ENDTOEND_SECRET_TOKEN", text)]).unwrap();
            let data = DataDir::open(&data).unwrap().with_outside(outside);
            match data.secret(&TOKEN_KEY, no_new_one) {
                Err(DataDirError::Outside { fault, .. }) => fault,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused("the secret is no hex text"), OutsideFault::NotHex);
        assert_eq!(refused(&hex_of(3)[1..]), OutsideFault::NotHex);
        let length = |found| OutsideFault::Length { found, wanted: "64".to_owned() };
        assert_eq!(refused(&hex_of(3)[2..]), length(63));
        assert_eq!(refused(""), length(0));
        assert_eq!(refused(&"ab".repeat(100_000)), length(100_000));
        let credentials = dir.path().join("credentials");
        fs::create_dir(&credentials).unwrap();
        fs::write(credentials.join("endtoend-token"), hex_of(3)).unwrap();
        let outside = outside(&[("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap())]).unwrap();
        assert!(matches!(outside.find(&TOKEN_KEY), Err(DataDirError::Outside { fault, .. }) if fault == length(128)));
    }

    #[test]
    fn a_name_that_is_no_secrets_is_refused_with_the_one_that_was_meant() {
        let error = outside(&[("ENDTOEND_SECRET_OPAQE", "00")]).unwrap_err().to_string();
        assert!(error.contains("did you mean ENDTOEND_SECRET_OPAQUE?"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("endtoend-tokn"), []).unwrap();
        fs::write(dir.path().join("of-another-program"), []).unwrap();
        let error = outside(&[("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap())]).unwrap_err().to_string();
        assert!(error.contains("did you mean endtoend-token?"), "{error}");
    }

    #[test]
    fn no_secret_is_printed() {
        let marker = "5ec2e75ec2e7";
        let outside = outside(&[("ENDTOEND_SECRET_TOKEN", marker), ("ENDTOEND_SECRET_CA", "not hex 5ec2e75ec2e7")]);
        let outside = outside.unwrap();
        let mut said = format!("{outside:?}");
        for secret in [&TOKEN_KEY, &CA_KEY] {
            let error = outside.find(secret).map(|_| ()).unwrap_err();
            said += &format!("{error} {error:?}");
        }
        assert!(said.contains("ENDTOEND_SECRET_TOKEN") && !said.contains(marker), "{said}");
    }

    #[test]
    fn every_secret_has_a_name_of_its_own_and_says_what_its_loss_means() {
        let names: std::collections::BTreeSet<_> = all().map(|secret| secret.file).collect();
        assert_eq!(names.len(), SECRETS.len() + OWN.len());
        for secret in all() {
            assert!(secret.file.ends_with(".key") && secret.loss.contains("without it"), "{secret:?}");
        }
    }
}
