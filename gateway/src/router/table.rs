//! The rules of the table of mailboxes.

use std::collections::HashMap;

use endtoend_protocol::AccountTag;

/// The mailbox of each user who has one here. `H` is the way to it.
///
/// A mailbox is named by its generation, which grows with each that is started: what an older one does late means nothing.
#[derive(Debug)]
pub(crate) struct Table<H>(HashMap<AccountTag, (u64, H)>);

impl<H> Default for Table<H> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<H> Table<H> {
    /// Enters a mailbox, unless a newer one is there.
    pub(crate) fn insert(&mut self, account: AccountTag, generation: u64, mailbox: H) {
        if self.0.get(&account).is_none_or(|(current, _)| *current <= generation) {
            self.0.insert(account, (generation, mailbox));
        }
    }

    /// Takes a mailbox out, unless a newer one has taken its place.
    pub(crate) fn remove(&mut self, account: AccountTag, generation: u64) {
        if self.0.get(&account).is_some_and(|(current, _)| *current == generation) {
            self.0.remove(&account);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The mailbox of a user, and its generation.
    pub(crate) fn get(&self, account: AccountTag) -> Option<(u64, &H)> {
        self.0.get(&account).map(|(generation, mailbox)| (*generation, mailbox))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_mailbox_neither_displaces_nor_removes_a_newer_one() {
        let account = AccountTag::new([1; 32]);
        let mut table = Table::default();
        table.insert(account, 2, "newer");
        table.insert(account, 1, "older");
        table.remove(account, 1);
        assert_eq!((table.get(account), table.len()), (Some((2, &"newer")), 1));
        table.insert(account, 3, "newest");
        table.remove(account, 2);
        assert_eq!(table.get(account), Some((3, &"newest")));
        table.remove(account, 3);
        assert_eq!((table.get(account), table.len()), (None, 0));
    }
}
