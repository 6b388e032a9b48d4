//! A profile: everything that one account's device keeps, in one folder.
//!
//! | file | what it is |
//! |---|---|
//! | `vault` | the database key, sealed under the password: see [`vault`] |
//! | `endtoend.db` | SQLCipher database: see [`crate::database`] |
//! | `files` | folder: files of messages, each sealed under its own key: see [`crate::files`] |
//! | `tor` | folder: what Tor keeps, once it was used: which relays there are and at which it begins |
//! | `lock` | held while a process uses the profile; empty |
//!
//! Further profiles of the same person lie side by side in the folder `profiles` of the first, each with a name, and know nothing
//! of each other.
//!
//! The vault is written last when a profile is made: a folder without one is no profile yet. A database that cannot be
//! read is reported and left alone.

mod cost;
mod files;
mod lock;
mod memory;
mod names;
pub mod vault;
mod wipe;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use endtoend_crypto_core::passphrase::Params;
use rand::Rng as _;
use zeroize::Zeroizing;

pub use names::{BadProfileName, ProfileName, profiles};
pub use wipe::{Wiped, wipe};

use crate::database::{Database, DatabaseError};
use crate::transport::Network;
#[cfg(feature = "tor")]
pub(crate) use files::private_folder;
pub use files::write_atomically;
use lock::ProfileLock;
use vault::{Vault, VaultError};

const VAULT_FILE: &str = "vault";
const DATABASE_FILE: &str = "endtoend.db";
const LOCK_FILE: &str = "lock";

/// The key of the database: 32 random bytes, overwritten when it is dropped. They stay where they are when it moves, so that no
/// copy is left behind. `Debug` shows none of them.
pub struct DatabaseKey(Box<Zeroizing<[u8; 32]>>);

impl DatabaseKey {
    /// The key with these bytes.
    pub(crate) fn of(bytes: &[u8; 32]) -> Self {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        key.copy_from_slice(bytes);
        Self(key)
    }

    /// The same once more, for who outlives this one.
    pub(crate) fn again(&self) -> Self {
        Self::of(&self.0)
    }
}

impl AsRef<[u8]> for DatabaseKey {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl std::fmt::Debug for DatabaseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseKey(..)")
    }
}

/// An open profile. Dropping it closes the database and lets other processes in.
#[derive(Debug)]
pub struct Profile {
    home: PathBuf,
    database: Database,
    _lock: ProfileLock,
}

/// Why a profile did not open. Nothing on disk was changed.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Make one with [`Profile::create`].
    #[error("there is no profile in {}", .0.display())]
    Missing(PathBuf),
    /// Open it instead.
    #[error("there is a profile in {} already", .0.display())]
    Exists(PathBuf),
    /// End the other process, or wait for it.
    #[error("the profile in {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// Ask again.
    #[error("wrong password")]
    WrongPassword,
    /// Restore the file from a backup.
    #[error("the vault {} is damaged", .0.display())]
    VaultDamaged(PathBuf),
    /// Use a newer program.
    #[error("the profile was written by a newer version of this program")]
    Newer,
    /// Restore the file from a backup.
    #[error("the database {} is missing", .0.display())]
    DatabaseMissing(PathBuf),
    /// Restore the file from a backup.
    #[error("the database {} cannot be read", path.display())]
    DatabaseDamaged {
        /// Which file.
        path: PathBuf,
        /// What was met.
        source: DatabaseError,
    },
    /// Argon2id refused, most likely for want of memory.
    #[error("the key could not be derived from the password")]
    Derive,
    /// The folder or a file in it can't be read or written.
    #[error("{} cannot be used", path.display())]
    Unusable {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Profile {
    /// Whether `home` holds a profile, readable or not.
    pub fn exists(home: &Path) -> bool {
        home.join(VAULT_FILE).exists()
    }

    /// Makes a profile in `home`, a folder that may be missing. Takes about a second: it measures what a guess of the
    /// password may cost here.
    ///
    /// A database without a vault, left by a creation that was cut short or by a lost vault, is set aside, not removed.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub fn create(home: &Path, password: &[u8]) -> Result<Self, ProfileError> {
        Self::create_with(home, password, cost::measured())
    }

    /// Makes a profile like [`Profile::create`], with what `fill` puts into its database: all of that, or there is no profile.
    ///
    /// # Errors
    /// Those of `fill`, and see [`ProfileError`].
    pub fn create_filled<T, E: From<ProfileError>>(
        home: &Path,
        password: &[u8],
        fill: impl FnOnce(&mut Database) -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        Self::create_filled_with(home, password, cost::measured(), fill)
    }

    pub(crate) fn create_with(home: &Path, password: &[u8], params: Params) -> Result<Self, ProfileError> {
        let (profile, ()) = Self::create_filled_with(home, password, params, |_| Ok::<_, ProfileError>(()))?;
        Ok(profile)
    }

    pub(crate) fn create_filled_with<T, E: From<ProfileError>>(
        home: &Path,
        password: &[u8],
        params: Params,
        fill: impl FnOnce(&mut Database) -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        memory::stays_in_memory();
        files::private_folder(home).map_err(unusable(home))?;
        let lock = ProfileLock::take(&home.join(LOCK_FILE))?;
        if Self::exists(home) {
            return Err(ProfileError::Exists(home.to_owned()).into());
        }
        let rng = &mut rand::rng();
        let (vault, key) = Vault::create(rng, password, params).map_err(|_| ProfileError::Derive)?;
        // The generator still has what it gave last.
        rng.fill_bytes(&mut [0; 1024]);
        let path = home.join(DATABASE_FILE);
        files::set_aside(&path).map_err(unusable(&path))?;
        files::private_file(&path).map_err(unusable(&path))?;
        let mut database = Database::create(&path, &key).map_err(|error| database_error(&path, error))?;
        let filled = match fill(&mut database) {
            Ok(filled) => filled,
            Err(error) => {
                drop(database);
                // Nobody has its key any more.
                files::remove_database(&path).map_err(unusable(&path))?;
                return Err(error);
            }
        };
        // From here on the folder is a profile.
        let path = home.join(VAULT_FILE);
        files::write_atomically(&path, &vault.to_bytes()).map_err(unusable(&path))?;
        Ok((Self { home: home.to_owned(), database, _lock: lock }, filled))
    }

    /// Opens the profile in `home`. A vault that costs a guess less than today's floor is sealed anew.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub fn open(home: &Path, password: &[u8]) -> Result<Self, ProfileError> {
        Self::open_with(home, password, Params::FLOOR)
    }

    pub(crate) fn open_with(home: &Path, password: &[u8], floor: Params) -> Result<Self, ProfileError> {
        if !Self::exists(home) {
            return Err(ProfileError::Missing(home.to_owned()));
        }
        memory::stays_in_memory();
        let lock = ProfileLock::take(&home.join(LOCK_FILE))?;
        let (vault, key) = unlock(home, password)?;
        let path = home.join(DATABASE_FILE);
        if !path.exists() {
            return Err(ProfileError::DatabaseMissing(path));
        }
        let database = Database::open(&path, &key).map_err(|error| database_error(&path, error))?;
        files::forget_unfinished(&home.join(VAULT_FILE)).map_err(unusable(home))?;
        if cost::is_cheaper_than(vault.params(), floor) {
            reseal(home, password, cost::measured(), &key)?;
        }
        Ok(Self { home: home.to_owned(), database, _lock: lock })
    }

    /// Seals the database's key under another password. The database itself is not touched.
    ///
    /// The password of the account on the server is another matter: until it can be changed too, nothing offers this to a
    /// person, who has one password for both.
    ///
    /// # Errors
    /// See [`ProfileError`]. The old password is good until this has returned.
    pub fn change_password(home: &Path, old: &[u8], new: &[u8]) -> Result<(), ProfileError> {
        Self::change_password_with(home, old, new, cost::measured())
    }

    pub(crate) fn change_password_with(
        home: &Path,
        old: &[u8],
        new: &[u8],
        params: Params,
    ) -> Result<(), ProfileError> {
        if !Self::exists(home) {
            return Err(ProfileError::Missing(home.to_owned()));
        }
        let _lock = ProfileLock::take(&home.join(LOCK_FILE))?;
        let (_, key) = unlock(home, old)?;
        reseal(home, new, params, &key)
    }

    /// To be looked for where it must not be.
    #[cfg(test)]
    pub(crate) fn key_of_test(&self) -> &[u8] {
        self.database.key_of_test()
    }

    /// Its folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Its way to the network, as it was chosen. Whoever asks for it closes it before the profile.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn network(&self) -> Result<Network, DatabaseError> {
        Ok(Network::new(self.database.read().network()?, &self.home))
    }

    /// The profile's database.
    pub fn database(&mut self) -> &mut Database {
        &mut self.database
    }
}

/// What a guess of a backup's passphrase is to cost, by a measurement that takes a moment.
pub(crate) fn backup_params() -> Params {
    cost::measured()
}

fn unlock(home: &Path, password: &[u8]) -> Result<(Vault, DatabaseKey), ProfileError> {
    let path = home.join(VAULT_FILE);
    let bytes = std::fs::read(&path).map_err(unusable(&path))?;
    let unlocked = Vault::from_bytes(&bytes).and_then(|vault| Ok((vault.clone(), vault.open(password)?)));
    unlocked.map_err(|error| match error {
        VaultError::Damaged => ProfileError::VaultDamaged(path),
        VaultError::Newer => ProfileError::Newer,
        VaultError::WrongPassword => ProfileError::WrongPassword,
        VaultError::Derive => ProfileError::Derive,
    })
}

/// Puts another vault around the same key in the old one's place: at each moment there is one good vault.
fn reseal(home: &Path, password: &[u8], params: Params, key: &DatabaseKey) -> Result<(), ProfileError> {
    let vault = Vault::seal(&mut rand::rng(), password, params, key).map_err(|_| ProfileError::Derive)?;
    let path = home.join(VAULT_FILE);
    files::write_atomically(&path, &vault.to_bytes()).map_err(unusable(&path))
}

fn unusable(path: &Path) -> impl FnOnce(std::io::Error) -> ProfileError {
    move |source| ProfileError::Unusable { path: path.to_owned(), source }
}

fn database_error(path: &Path, error: DatabaseError) -> ProfileError {
    match error {
        DatabaseError::Newer => ProfileError::Newer,
        source => ProfileError::DatabaseDamaged { path: path.to_owned(), source },
    }
}
