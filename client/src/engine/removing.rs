//! A conversation goes as a whole, here and on the own other devices, and with it perhaps whom it was with. The other side is not told, and
//! keeps what it has.

use endtoend_protocol::OwnNews;

use super::command::{RemoveError, Removing, VerifyError};
use super::event::{Change, Event};
use super::repair::settle_for_own_devices;
use super::run::Runner;
use crate::clock;
use crate::database::{Extent, PeerDevice, Standing};
use crate::handle::Handle;

impl Runner {
    /// Says how many messages went that were to be seen.
    pub(super) fn remove_conversation(&mut self, Removing { with, contact }: &Removing) -> Result<u64, RemoveError> {
        let unknown = || RemoveError::Unknown(with.clone());
        if *contact && self.is_own(with) {
            return Err(RemoveError::Oneself);
        }
        let (alone, now) = (self.alone, clock::now());
        let (tag, gone, queued) = self.database().write(|store| {
            let tag = store.peer_of(with)?.ok_or_else(unknown)?;
            if *contact && store.contact(tag)?.is_some_and(|contact| contact.standing == Standing::Blocked) {
                return Err(RemoveError::Blocked(with.clone()));
            }
            // What stands in for an account means nothing to the other devices.
            let alone = alone || store.is_unaddressed(tag)?;
            let news = OwnNews::Removed { with: tag, contact: *contact };
            let at = store.settles(&news, now)?;
            let gone = store.remove_conversation(tag, Extent::Everything)?;
            if *contact {
                store.remove_contact(tag, true, at)?;
            }
            let queued = settle_for_own_devices(store, news, alone, at)?;
            Ok::<_, RemoveError>((tag, gone, queued))
        })?;
        self.queued(queued);
        if *contact {
            (self.decided, self.owes_faces) = (true, true);
            self.outbox.unblock(tag);
        }
        self.files_may_go();
        self.tell(Event::Changed { with: Some(with.clone()), id: None, change: Change::Removed });
        self.sweep_files()?;
        self.look_at_lives()?;
        self.database().empty_log()?;
        Ok(gone)
    }

    /// The devices of somebody, as they are known here.
    pub(super) fn devices_of(&mut self, of: &Handle) -> Result<Vec<PeerDevice>, VerifyError> {
        let store = self.database().read();
        let tag = store.tag_of(of)?.ok_or_else(|| VerifyError::Unknown(of.clone()))?;
        Ok(store.peer_devices(tag)?)
    }
}
