//! Which envelopes a device has had lately.

use std::collections::{HashSet, VecDeque};

use endtoend_protocol::EnvelopeId;

/// Remembers the last [`RepeatWindow::LEN_MAX`] ids; forgets the oldest first.
///
/// Behind it stand two more: the store keeps an id once while it waits, and the device remembers what it has stored.
#[derive(Debug, Default)]
pub(super) struct RepeatWindow {
    order: VecDeque<EnvelopeId>,
    ids: HashSet<EnvelopeId>,
}

impl RepeatWindow {
    /// Many times the window of one sender, which is what can be repeated after one lost connection.
    pub(super) const LEN_MAX: usize = 1024;

    pub(super) fn insert(&mut self, id: EnvelopeId) {
        if self.ids.insert(id) {
            self.order.push_back(id);
            if self.order.len() > Self::LEN_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.ids.remove(&oldest);
            }
        }
    }
    pub(super) fn contains(&self, id: &EnvelopeId) -> bool {
        self.ids.contains(id)
    }
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use endtoend_protocol::UnixMillis;

    #[test]
    fn the_oldest_id_is_forgotten_first_and_the_window_stays_bounded() {
        let id = |n: usize| EnvelopeId::new(UnixMillis::new(n as u64), [0; 10]);
        let mut window = RepeatWindow::default();
        for n in 0..=RepeatWindow::LEN_MAX {
            window.insert(id(n));
            window.insert(id(n));
        }
        assert!(!window.contains(&id(0)));
        assert!(window.contains(&id(1)) && window.contains(&id(RepeatWindow::LEN_MAX)));
        assert_eq!((window.len(), window.ids.len()), (RepeatWindow::LEN_MAX, RepeatWindow::LEN_MAX));
    }
}
