//! Rules: what the desktop is told beside the window, and when. A person who looks at a conversation hears nothing of it, a flood is
//! told once a second, and what was seen is withdrawn.

use std::collections::{BTreeMap, BTreeSet};

use endtoend_client::database::Conversation;
use endtoend_client::handle::Handle;

use super::{Notice, Order, Sign};

/// People about whom something may wait to be told. Whoever writes beyond that is in the list and in the number.
const WAITING_MAX: usize = 64;
/// Notifications at one time: with more, the list says it better.
const TOLD_MAX: usize = 8;

/// How far the window is with what it knows about somebody who has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Something came, and the list does not have it yet.
    NotYet,
    /// The list has it.
    Listed,
}

/// What the desktop knows.
#[derive(Debug, Default)]
pub struct Beside {
    waiting: BTreeMap<Handle, Known>,
    shown: BTreeSet<Handle>,
    sign: Option<Sign>,
}

impl Beside {
    /// Somebody has written.
    pub fn came(&mut self, from: Handle) {
        if self.waiting.len() < WAITING_MAX || self.waiting.contains_key(&from) {
            self.waiting.insert(from, Known::NotYet);
        }
    }

    /// The list has what was said with somebody. `unread` are those that nobody has seen.
    pub fn listed(&mut self, with: &Handle, unread: u64) -> Option<Order> {
        if unread == 0 {
            self.waiting.remove(with);
            return self.shown.remove(with).then(|| Order::Withdraw(with.to_string()));
        }
        if let Some(known) = self.waiting.get_mut(with) {
            *known = Known::Listed;
        }
        None
    }

    /// Time has passed: what is to be told now. `find` is the list, `say` what is said about a line of it, if anything.
    pub fn tell<'a>(
        &mut self,
        find: impl Fn(&Handle) -> Option<&'a Conversation>,
        say: impl Fn(&Conversation) -> Option<Notice>,
    ) -> Vec<Order> {
        let mut due: Vec<Handle> =
            self.waiting.iter().filter(|(_, known)| **known == Known::Listed).map(|(who, _)| who.clone()).collect();
        due.truncate(TOLD_MAX);
        let mut orders = Vec::new();
        for who in due {
            self.waiting.remove(&who);
            if let Some(notice) = find(&who).and_then(&say) {
                if self.shown.len() < WAITING_MAX {
                    self.shown.insert(who);
                }
                orders.push(Order::Notify(notice));
            }
        }
        orders
    }

    /// What stands in the tray, if it is otherwise than before.
    pub fn sign(&mut self, sign: Sign) -> Option<Order> {
        if self.sign.as_ref() == Some(&sign) {
            return None;
        }
        self.sign = Some(sign.clone());
        Some(Order::Sign(sign))
    }

    /// The profile is closed: nothing waits, and what was shown goes.
    pub fn close(&mut self) -> Vec<Order> {
        self.waiting.clear();
        std::mem::take(&mut self.shown).into_iter().map(|who| Order::Withdraw(who.to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use endtoend_client::database::Direction;

    use super::*;
    use crate::testing::{conversation, handle, message};

    fn said(name: &str) -> Conversation {
        conversation(name, Some(message(1, Direction::In, "hello")), 1)
    }

    fn say(about: &Conversation) -> Option<Notice> {
        let key = about.contact.handle.as_ref()?.to_string();
        Some(Notice { key, title: String::new(), body: String::new() })
    }

    #[test]
    fn it_is_told_once_when_the_list_has_it_and_withdrawn_when_it_was_seen() {
        let (mut beside, bob) = (Beside::default(), said("bob"));
        let find = |who: &Handle| (*who == handle("bob")).then_some(&bob);
        beside.came(handle("bob"));
        assert!(beside.tell(find, say).is_empty(), "the list has not even heard of it");
        // Three messages in a second are one notification.
        beside.came(handle("bob"));
        beside.came(handle("bob"));
        assert_eq!(beside.listed(&handle("bob"), 3), None);
        assert_eq!(beside.tell(find, say).len(), 1);
        assert!(beside.tell(find, say).is_empty());
        assert_eq!(beside.listed(&handle("bob"), 0), Some(Order::Withdraw("bob".to_owned())));
        assert_eq!(beside.listed(&handle("bob"), 0), None);
    }

    #[test]
    fn what_was_seen_before_it_was_told_is_not_told() {
        let (mut beside, bob) = (Beside::default(), said("bob"));
        beside.came(handle("bob"));
        beside.listed(&handle("bob"), 1);
        beside.listed(&handle("bob"), 0);
        assert!(beside.tell(|_| Some(&bob), say).is_empty());
    }

    #[test]
    fn a_flood_has_a_bound_and_a_locked_profile_leaves_nothing() {
        let (mut beside, bob) = (Beside::default(), said("bob"));
        for number in 0..1_000 {
            let who = handle(&format!("user{number}"));
            beside.came(who.clone());
            beside.listed(&who, 1);
        }
        assert_eq!(beside.waiting.len(), WAITING_MAX);
        assert_eq!(beside.tell(|_| Some(&bob), say).len(), TOLD_MAX);
        assert_eq!(beside.close().len(), TOLD_MAX);
        assert!(beside.tell(|_| Some(&bob), say).is_empty());
    }

    #[test]
    fn the_sign_is_told_when_it_changes() {
        let mut beside = Beside::default();
        let sign = |unread| Sign { unread, ..Sign::default() };
        assert_eq!(beside.sign(sign(1)), Some(Order::Sign(sign(1))));
        assert_eq!(beside.sign(sign(1)), None);
        assert!(beside.sign(sign(2)).is_some());
    }
}
