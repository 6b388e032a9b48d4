//! Rules: what the fields say, read.

use std::path::PathBuf;

use endtoend_client::address::{Host, ServerAddress};
use endtoend_client::handle::Handle;
use endtoend_client::transport::NetworkSettings;
use endtoend_protocol::InviteCode;

use super::{FirstRun, Way};
use crate::failure::Failure;
use crate::order::{Arrival, Entry, Restoring, Ticket};
use crate::secret::Secret;
use crate::strength::Strength;

/// Nothing where nothing was typed.
fn unless_empty<T>(text: &str, read: impl FnOnce(&str) -> Result<T, Failure>) -> Result<Option<T>, Failure> {
    if text.trim().is_empty() { Ok(None) } else { read(text.trim()).map(Some) }
}

impl FirstRun {
    pub(super) fn server(&self) -> Result<ServerAddress, Failure> {
        Ok(self.address.parse::<ServerAddress>()?)
    }

    /// Which way leads to the server.
    pub(super) fn chosen_way(&self) -> Result<NetworkSettings, Failure> {
        self.network.settings(self.host().as_ref())
    }

    /// Of the server, where it is known before it is asked for.
    pub(super) fn host(&self) -> Option<Host> {
        match self.way {
            // It is in the backup.
            Way::Restore => None,
            Way::Create | Way::Link | Way::Recover => self.server().ok().map(|server| server.host),
        }
    }

    /// Where the backup lies, and what opens it.
    pub(super) fn backup(&self) -> Result<(PathBuf, Secret), Failure> {
        let path = self.path.trim();
        match path.is_empty() || self.passphrase.is_empty() {
            true => Err(Failure::new("backup-missing")),
            false => Ok((PathBuf::from(path), self.passphrase.clone())),
        }
    }

    pub(super) fn who(&self) -> Result<Handle, Failure> {
        Ok(self.handle.trim().parse::<Handle>()?)
    }

    pub(super) fn invite(&self) -> Result<Option<InviteCode>, Failure> {
        unless_empty(&self.invite, |text| text.parse().map_err(|_| Failure::new("invite-form")))
    }

    /// How long the password stands that was typed.
    pub(super) fn strength(&self) -> Strength {
        Strength::of(self.password.as_str(), &[self.handle.trim()])
    }

    /// Whether the password is made here, and not one that exists already.
    pub(super) fn is_new_password(&self) -> bool {
        self.way == Way::Create && !self.profile
    }

    pub(super) fn entry(&self) -> Result<Entry, Failure> {
        if self.is_new_password() {
            if self.strength() < Strength::LEAST {
                return Err(Failure::new("password-weak"));
            }
            if self.password != self.again {
                return Err(Failure::new("password-differs"));
            }
        } else if self.password.is_empty() {
            return Err(Failure::new("password-missing"));
        }
        let network = self.network_chosen.then(|| self.chosen_way()).transpose()?;
        let server_password = Some(self.server_password.clone()).filter(|password| !password.is_empty());
        if self.way == Way::Restore {
            let (path, passphrase) = self.backup()?;
            let password = self.password.clone();
            return Ok(Entry::Restore(Restoring { path, passphrase, server_password, password, network }));
        }
        let arrival = Arrival { server: self.server()?, server_password, password: self.password.clone(), network };
        Ok(match self.way {
            Way::Link => Entry::Link(arrival),
            Way::Create => Entry::Register(Ticket { handle: self.who()?, arrival }, self.invite()?),
            // It is returned above.
            Way::Restore | Way::Recover => Entry::Recover(Ticket { handle: self.who()?, arrival }),
        })
    }
}
