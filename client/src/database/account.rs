//! The account that this device belongs to.

use std::str::FromStr as _;

use endtoend_protocol::{AccountTag, Address, DeviceId, UnixMillis};
use rusqlite::{OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::{DatabaseError, Store, array, integer, unsigned};
use crate::address::ServerAddress;
use crate::handle::Handle;

const KIND: &str = "account";
const SEED: &[u8] = b"device seed";
const TOKEN: &[u8] = b"token";
const REFRESH: &[u8] = b"refresh";
const SERVER_PASSWORD: &[u8] = b"server password";

/// How far the registration has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    /// Keys are made. The server may have been told and may have created the account: its answer is not here.
    Submitted,
    /// The account exists.
    Registered,
}

impl AccountState {
    const ALL: [Self; 2] = [Self::Submitted, Self::Registered];
    const fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Registered => "registered",
        }
    }
}

/// Seed of a device's signing key. It stays where it is when its owner moves, so that no copy is left behind.
pub type Seed = Box<Zeroizing<[u8; 64]>>;

/// The account and this device's place in it.
#[derive(Clone)]
pub struct Account {
    /// Where the account lives.
    pub server: ServerAddress,
    /// Its name.
    pub handle: Handle,
    /// What the server knows it by; `None` until it has evaluated the handle.
    pub tag: Option<AccountTag>,
    /// Of the server's oblivious function; `None` until it was told.
    pub oprf_key: Option<[u8; 32]>,
    /// For a server that asks everybody for its password.
    pub server_password: Option<Zeroizing<Vec<u8>>>,
    /// This device's number.
    pub device: DeviceId,
    /// How far the registration has come.
    pub state: AccountState,
    /// Seed of the device's signing key.
    pub seed: Seed,
}

impl Account {
    /// Account and device, once the server has named the account.
    pub fn address(&self) -> Option<Address> {
        self.tag.map(|account| Address { account, device: self.device })
    }
}

/// An access token as the server gave it.
pub struct StoredToken {
    /// See [`endtoend_protocol::limits::ACCESS_TOKEN_BYTES`].
    pub bytes: Zeroizing<Vec<u8>>,
    /// End of its life, by the server's clock.
    pub expires: UnixMillis,
}

impl Store<'_> {
    /// The account, once a registration has begun.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn account(&self) -> Result<Option<Account>, DatabaseError> {
        type Row = (String, String, u32, String, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);
        let row: Option<Row> = self
            .connection
            .query_row(
                "SELECT server, handle, device, state, seed, tag, oprf_key, server_password FROM account",
                [],
                |row| {
                    Ok((
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                        row.get(5)?,
                        row.get(6)?,
                        row.get(7)?,
                    ))
                },
            )
            .optional()?;
        let Some((server, handle, device, state, seed, tag, oprf_key, password)) = row else { return Ok(None) };
        let opened = self.sealer.open(KIND, SEED, &seed)?;
        let mut seed: Seed = Box::new(Zeroizing::new([0; 64]));
        match opened.len() {
            64 => seed.copy_from_slice(&opened),
            _ => return Err(DatabaseError::Invalid("account.seed")),
        }
        Ok(Some(Account {
            server: ServerAddress::from_str(&server).map_err(|_| DatabaseError::Invalid("account.server"))?,
            handle: handle.parse().map_err(|_| DatabaseError::Invalid("account.handle"))?,
            device: DeviceId::new(device).map_err(|_| DatabaseError::Invalid("account.device"))?,
            tag: tag.map(|tag| array(&tag, "account.tag").map(AccountTag::new)).transpose()?,
            oprf_key: oprf_key.map(|key| array(&key, "account.oprf_key")).transpose()?,
            server_password: password.map(|sealed| self.sealer.open(KIND, SERVER_PASSWORD, &sealed)).transpose()?,
            state: AccountState::ALL
                .into_iter()
                .find(|known| known.as_str() == state)
                .ok_or(DatabaseError::Invalid("account.state"))?,
            seed,
        }))
    }

    /// Writes the account, in place of the one that is there. Its token is forgotten.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_account(&self, account: &Account) -> Result<(), DatabaseError> {
        self.connection.execute(
            "INSERT OR REPLACE INTO account (id, server, handle, device, state, seed, tag, oprf_key, server_password)
             VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                account.server.to_string(),
                account.handle.as_str(),
                account.device.get(),
                account.state.as_str(),
                self.sealer.seal(KIND, SEED, account.seed.as_slice()),
                account.tag.as_ref().map(AccountTag::as_bytes),
                account.oprf_key,
                account.server_password.as_ref().map(|password| self.sealer.seal(KIND, SERVER_PASSWORD, password)),
            ],
        )?;
        Ok(())
    }

    /// Notes how far the registration has come.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_account_state(&self, state: AccountState) -> Result<(), DatabaseError> {
        self.connection.execute("UPDATE account SET state = ?", [state.as_str()])?;
        Ok(())
    }

    /// Notes what the server has said about the account.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn name_account(&self, own: Address, oprf_key: &[u8; 32]) -> Result<(), DatabaseError> {
        self.connection.execute(
            "UPDATE account SET tag = ?, device = ?, oprf_key = ?",
            params![own.account.as_bytes(), own.device.get(), oprf_key],
        )?;
        Ok(())
    }

    /// The refresh token, if one is kept.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn refresh_token(&self) -> Result<Option<Zeroizing<Vec<u8>>>, DatabaseError> {
        let sealed: Option<Vec<u8>> = self
            .connection
            .query_row("SELECT refresh FROM account WHERE refresh IS NOT NULL", [], |row| row.get(0))
            .optional()?;
        sealed.map(|sealed| self.sealer.open(KIND, REFRESH, &sealed)).transpose()
    }

    /// Keeps a refresh token in place of the one that is there, or forgets that.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_refresh_token(&self, token: Option<&[u8]>) -> Result<(), DatabaseError> {
        let sealed = token.map(|token| self.sealer.seal(KIND, REFRESH, token));
        self.connection.execute("UPDATE account SET refresh = ?", [sealed])?;
        Ok(())
    }

    /// Remembers where the account lives now, if that is another place than before: a node may get another address.
    /// The tokens are forgotten, so that a server named by mistake is not shown them.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn move_to(&self, server: &ServerAddress) -> Result<(), DatabaseError> {
        let server = server.to_string();
        self.connection.execute(
            "UPDATE account SET server = ?1, token = NULL, token_expires = NULL, refresh = NULL WHERE server <> ?1",
            [server],
        )?;
        Ok(())
    }

    /// The access token, if one is kept.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn token(&self) -> Result<Option<StoredToken>, DatabaseError> {
        let row: Option<(Vec<u8>, i64)> = self
            .connection
            .query_row("SELECT token, token_expires FROM account WHERE token IS NOT NULL", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((sealed, expires)) = row else { return Ok(None) };
        Ok(Some(StoredToken {
            bytes: self.sealer.open(KIND, TOKEN, &sealed)?,
            expires: UnixMillis::new(unsigned(expires, "account.token_expires")?),
        }))
    }

    /// Keeps a token, or forgets the one that is there.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_token(&self, token: Option<(&[u8], UnixMillis)>) -> Result<(), DatabaseError> {
        let (sealed, expires) =
            token.map(|(bytes, at)| (self.sealer.seal(KIND, TOKEN, bytes), integer(at.get()))).unzip();
        self.connection.execute("UPDATE account SET token = ?, token_expires = ?", params![sealed, expires])?;
        Ok(())
    }
}
