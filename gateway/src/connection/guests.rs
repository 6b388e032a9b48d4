//! Rule: how many connections may be here that have not logged in.
//!
//! They cost their maker little and have a minute, so without a bound of their own a few machines that connect and say
//! nothing would take every place of the node. Beyond the bound the oldest one goes: whoever wants to log in does it in a
//! second or two, and whoever only holds a place has held it longest. No address is counted, so people behind one address
//! translation or Tor exit are as good as others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Every guest of the node, by the order of arrival. `N` is how one is told to go.
#[derive(Debug)]
pub(crate) struct Guests<N> {
    guests_max: usize,
    here: Mutex<Here<N>>,
}

#[derive(Debug)]
struct Here<N> {
    arrivals: u64,
    guests: BTreeMap<u64, N>,
}

/// The place of one guest: given back when it is dropped.
#[derive(Debug)]
pub(crate) struct GuestPlace<N> {
    guests: Arc<Guests<N>>,
    arrival: u64,
}

impl<N> Guests<N> {
    pub(crate) fn new(guests_max: usize) -> Arc<Self> {
        Arc::new(Self { guests_max, here: Mutex::new(Here { arrivals: 0, guests: BTreeMap::new() }) })
    }

    /// One more; and the one that has to go for it.
    pub(crate) fn enter(self: &Arc<Self>, guest: N) -> (GuestPlace<N>, Option<N>) {
        let mut here = self.here();
        let arrival = here.arrivals;
        here.arrivals += 1;
        here.guests.insert(arrival, guest);
        let crowded = here.guests.len() > self.guests_max;
        let goes = if crowded { here.guests.pop_first().map(|(_, guest)| guest) } else { None };
        (GuestPlace { guests: Arc::clone(self), arrival }, goes)
    }

    fn here(&self) -> MutexGuard<'_, Here<N>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<N> Drop for GuestPlace<N> {
    fn drop(&mut self) {
        self.guests.here().guests.remove(&self.arrival);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_guest_goes_when_there_are_too_many() {
        let guests = Guests::new(2);
        let (_first, none) = guests.enter("first");
        let (second, still_none) = guests.enter("second");
        assert_eq!((none, still_none), (None, None));
        let (_third, goes) = guests.enter("third");
        assert_eq!(goes, Some("first"));
        // Whoever logs in or leaves makes room.
        drop(second);
        let (_fourth, none) = guests.enter("fourth");
        assert_eq!(none, None);
        assert_eq!(guests.enter("fifth").1, Some("third"));
        assert!(guests.here().guests.len() <= 2);
    }
}
