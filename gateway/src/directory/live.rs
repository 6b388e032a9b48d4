//! The rules of the directory: who has a mailbox, when one is started, when it may stop.

use std::collections::HashMap;

use endtoend_protocol::AccountTag;

/// The mailboxes that live, one for each user at most. `H` is the way to one.
///
/// A mailbox that says it is idle is let go only if nothing was sent to it that it does not know of, and by then
/// nothing follows: the next attachment starts another. Each has a generation, which grows with each that is started.
#[derive(Debug)]
pub(crate) struct LiveMailboxes<H> {
    live: HashMap<AccountTag, Live<H>>,
    generations: u64,
}

#[derive(Debug)]
struct Live<H> {
    generation: u64,
    /// Attachments that were sent to it.
    attaches: u64,
    mailbox: H,
}

impl<H> Default for LiveMailboxes<H> {
    fn default() -> Self {
        Self { live: HashMap::new(), generations: 0 }
    }
}

impl<H> LiveMailboxes<H> {
    /// The mailbox that an attachment goes to. One that is gone, or never was, is started with a new generation;
    /// `None` when it cannot be started.
    pub(crate) fn attach(
        &mut self,
        account: AccountTag,
        is_gone: impl FnOnce(&H) -> bool,
        start: impl FnOnce(u64) -> Option<H>,
    ) -> Option<&H> {
        if self.live.get(&account).is_none_or(|live| is_gone(&live.mailbox)) {
            let generation = self.generations + 1;
            let mailbox = start(generation)?;
            self.generations = generation;
            self.live.insert(account, Live { generation, attaches: 0, mailbox });
        }
        let live = self.live.get_mut(&account)?;
        live.attaches += 1;
        Some(&live.mailbox)
    }

    /// Whether nobody has one.
    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The mailbox of a user, if he has one.
    pub(crate) fn get(&self, account: AccountTag) -> Option<&H> {
        self.live.get(&account).map(|live| &live.mailbox)
    }

    /// A mailbox was idle when it had handled so many attachments. Gives it back when it may stop.
    pub(crate) fn idle(&mut self, account: AccountTag, generation: u64, attaches: u64) -> Option<H> {
        let live = self.live.get(&account)?;
        if live.generation != generation || live.attaches != attaches {
            return None;
        }
        self.live.remove(&account).map(|live| live.mailbox)
    }

    /// A mailbox has stopped. News of an older life does not take the newer one out.
    pub(crate) fn stopped(&mut self, account: AccountTag, generation: u64) {
        if self.live.get(&account).is_some_and(|live| live.generation == generation) {
            self.live.remove(&account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: AccountTag = AccountTag::new([1; 32]);

    fn attach(live: &mut LiveMailboxes<u64>) -> Option<u64> {
        live.attach(ACCOUNT, |_| false, Some).copied()
    }

    #[test]
    fn a_user_has_one_mailbox_until_it_stops() {
        let mut live = LiveMailboxes::default();
        assert_eq!((attach(&mut live), attach(&mut live)), (Some(1), Some(1)));
        live.stopped(ACCOUNT, 1);
        assert_eq!(live.get(ACCOUNT), None);
        assert_eq!(attach(&mut live), Some(2));
        live.stopped(ACCOUNT, 1);
        assert_eq!(live.get(ACCOUNT), Some(&2), "news of an older life");
    }

    #[test]
    fn a_mailbox_that_is_gone_is_replaced_before_the_news_of_it_arrive() {
        let mut live = LiveMailboxes::default();
        attach(&mut live);
        assert_eq!(live.attach(ACCOUNT, |_| true, Some), Some(&2));
        assert_eq!(live.attach(ACCOUNT, |_| true, |_| None), None, "it cannot be started");
    }

    #[test]
    fn an_idle_mailbox_stops_only_when_it_knows_of_every_attachment() {
        let mut live = LiveMailboxes::default();
        attach(&mut live);
        attach(&mut live);
        assert_eq!(live.idle(ACCOUNT, 1, 1), None, "another attachment is on its way");
        assert_eq!(live.idle(ACCOUNT, 2, 2), None, "not this one");
        assert_eq!(live.idle(ACCOUNT, 1, 2), Some(1));
        assert_eq!(attach(&mut live), Some(2));
    }
}
