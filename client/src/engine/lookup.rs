//! Handles whose accounts are not known yet: the server is asked, without being told the handle.

use endtoend_crypto_core::oprf::Blinding;
use endtoend_protocol::{AccountTag, MessageId};

use super::command::Command;
use crate::handle::Handle;

/// Questions that may wait.
pub(super) const LOOKUPS_MAX: usize = 64;

/// Why a handle is looked up.
#[derive(Debug)]
pub(super) enum Reason {
    /// This command is about it: it is carried out when the account is known.
    Command(Box<Command>),
    /// Messages wait for whoever has it.
    Address,
    /// Somebody goes by it. These messages are announced when it is known whether by right.
    Claim { tag: AccountTag, messages: Vec<MessageId> },
}

/// A handle to look up.
#[derive(Debug)]
struct Lookup {
    handle: Handle,
    reason: Reason,
    /// On the present connection.
    asked: bool,
}

/// Everything that waits for the account of a handle. Bounded by [`LOOKUPS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Lookups(Vec<Lookup>);

impl Lookups {
    /// # Errors
    /// Gives the reason back when there are too many.
    pub(super) fn want(&mut self, handle: Handle, reason: Reason) -> Result<(), Reason> {
        if let Reason::Claim { tag, messages } = &reason
            && let Some(known) = self.claim_of(*tag)
        {
            known.extend(messages);
            return Ok(());
        }
        if let Reason::Address = reason
            && self.0.iter().any(|other| other.handle == handle && matches!(other.reason, Reason::Address))
        {
            return Ok(());
        }
        if self.0.len() >= LOOKUPS_MAX {
            return Err(reason);
        }
        let asked = self.0.iter().any(|other| other.asked && other.handle == handle);
        self.0.push(Lookup { handle, reason, asked });
        Ok(())
    }

    fn claim_of(&mut self, of: AccountTag) -> Option<&mut Vec<MessageId>> {
        self.0.iter_mut().find_map(|lookup| match &mut lookup.reason {
            Reason::Claim { tag, messages } if *tag == of => Some(messages),
            Reason::Claim { .. } | Reason::Command(_) | Reason::Address => None,
        })
    }

    /// The next handle to ask about.
    pub(super) fn next(&mut self) -> Option<Handle> {
        let handle = self.0.iter().find(|lookup| !lookup.asked)?.handle.clone();
        self.0.iter_mut().filter(|lookup| lookup.handle == handle).for_each(|lookup| lookup.asked = true);
        Some(handle)
    }

    /// What waited for this handle.
    pub(super) fn answered(&mut self, handle: &Handle) -> Vec<Reason> {
        let (done, waiting) = std::mem::take(&mut self.0).into_iter().partition(|lookup| lookup.handle == *handle);
        self.0 = waiting;
        let done: Vec<Lookup> = done;
        done.into_iter().map(|lookup| lookup.reason).collect()
    }

    /// The connection is over: what was asked is asked again on the next.
    pub(super) fn disconnected(&mut self) {
        self.0.iter_mut().for_each(|lookup| lookup.asked = false);
    }

    /// Nobody will be asked: what waits.
    pub(super) fn give_up(&mut self) -> Vec<(Handle, Reason)> {
        std::mem::take(&mut self.0).into_iter().map(|lookup| (lookup.handle, lookup.reason)).collect()
    }
}

/// A question that is under way.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) handle: Handle,
    pub(super) blinding: Blinding,
}

#[cfg(test)]
mod tests {
    use super::*;
    use endtoend_protocol::UnixMillis;

    fn claim(byte: u8, number: u64) -> Reason {
        let messages = vec![MessageId::new(UnixMillis::new(number), [0; 10])];
        Reason::Claim { tag: AccountTag::new([byte; 32]), messages }
    }

    #[test]
    fn a_handle_is_asked_about_once_on_a_connection() {
        let mut lookups = Lookups::default();
        let [alice, bob]: [Handle; 2] = ["alice", "bob"].map(|handle| handle.parse().unwrap());
        lookups.want(alice.clone(), claim(1, 1)).unwrap();
        lookups.want(alice.clone(), claim(2, 1)).unwrap();
        lookups.want(bob.clone(), claim(3, 1)).unwrap();
        assert_eq!([lookups.next(), lookups.next(), lookups.next()], [Some(alice.clone()), Some(bob), None]);
        lookups.want(alice.clone(), claim(4, 1)).unwrap();
        assert_eq!(lookups.next(), None, "it is under way");
        lookups.disconnected();
        assert_eq!(lookups.next(), Some(alice.clone()));
        assert_eq!(lookups.answered(&alice).len(), 3);
        assert_eq!(lookups.answered(&alice).len(), 0);
        assert_eq!(lookups.give_up().len(), 1);
    }

    #[test]
    fn messages_of_one_person_wait_together_and_lookups_are_bounded() {
        let mut lookups = Lookups::default();
        let alice: Handle = "alice".parse().unwrap();
        for number in 0..1_000 {
            lookups.want(alice.clone(), claim(1, number)).unwrap();
        }
        let Some(Reason::Claim { messages, .. }) = lookups.answered(&alice).pop() else { panic!("no claim") };
        assert_eq!(messages.len(), 1_000);
        for byte in 0..u8::try_from(LOOKUPS_MAX).unwrap() {
            lookups.want(alice.clone(), claim(byte, 1)).unwrap();
        }
        assert!(lookups.want(alice, claim(255, 1)).is_err());
    }
}
