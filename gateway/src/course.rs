//! Rule: what follows an envelope that is to come again is to come again, too.
//!
//! A client sends many envelopes before it hears of the first. One that finds no room is answered `Retry`; the next one, a moment
//! later, finds some, and would be shown before it. So from the moment at which one is refused nothing that was sent after it,
//! from the same place to the same device, takes effect before its sender has said that he knows: he sends it first then.
//!
//! The refusal may be anywhere on the way: at the door, in a mailbox, by the store. So each envelope carries its [`Turn`] along,
//! whoever refuses one says so there, and whoever is about to push or to write one asks there. As long as nothing is refused
//! that is one load of an atomic.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use endtoend_protocol::{Address, RetryReason};

use crate::receipt::Outcome;

/// Devices to which something is to come again that are told apart. Beyond, all devices wait for the rest of them together.
const CLOSED_MAX: usize = 64;

/// The envelopes of one sender's connection, or of one life of a link, in the order in which they came.
///
/// Shared by all who have one of them in hand.
#[derive(Debug, Default)]
pub(crate) struct Course {
    /// Whether anything is closed: what is read for each envelope.
    is_closed: AtomicBool,
    closed: Mutex<Vec<Closed>>,
    /// Refusals that were said to the sender, who counts them, too.
    told: AtomicU64,
}

/// A device, or all but those that have an entry of their own, to which an envelope is to come again.
#[derive(Debug)]
struct Closed {
    to: Option<Address>,
    /// The first that was refused.
    from: u64,
    /// Refusals that are on their way to the sender's connection.
    untold: usize,
    /// How many refusals the sender had been told with the last one for this device.
    told: u64,
}

impl Closed {
    fn is_for(&self, to: Address) -> bool {
        self.to.is_none_or(|device| device == to)
    }
}

/// Whether the sender is to send the same envelope again, in its place. One for other devices is sealed anew.
pub(crate) const fn is_to_come_again(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Retry(RetryReason::Devices)
        | Outcome::Superseded
        | Outcome::Accepted { .. }
        | Outcome::Rejected(_) => false,
        Outcome::Retry(_) | Outcome::Limited { .. } => true,
    }
}

impl Course {
    /// Of a sender who has been told so many refusals before.
    pub(crate) fn after(told: u64) -> Self {
        Self { told: AtomicU64::new(told), ..Self::default() }
    }

    /// The same, of which it is not known for which devices they were: everything waits until he has heard of them.
    pub(crate) fn closed_after(told: u64) -> Self {
        let course = Self::after(told);
        if told > 0 {
            course.closed().push(Closed { to: None, from: 0, untold: 0, told });
            course.is_closed.store(true, Ordering::Release);
        }
        course
    }

    /// Whether an envelope may be let in whose sender has heard so many refusals. `is_under_way` says whether one to this device
    /// (to any, for `None`), from that number on, is not answered.
    pub(crate) fn lets_in(&self, to: Address, heard: u64, is_under_way: impl Fn(Option<Address>, u64) -> bool) -> bool {
        if !self.is_closed.load(Ordering::Acquire) {
            return true;
        }
        let mut closed = self.closed();
        // Whoever knows of all that was refused sends in order from here on, whatever he has decided to send.
        closed.retain(|lane| lane.untold > 0 || heard < lane.told || is_under_way(lane.to, lane.from));
        self.is_closed.store(!closed.is_empty(), Ordering::Release);
        !closed.iter().any(|lane| lane.is_for(to))
    }

    /// An envelope is refused at the door: what came after it is, too.
    pub(crate) fn refuse(&self, to: Address, n: u64) {
        self.close(to, n, 0);
    }

    /// The sender is told of a refusal; `of_receipt`: one that came by a receipt.
    pub(crate) fn tell(&self, to: Address, of_receipt: bool) {
        let told = self.told.fetch_add(1, Ordering::AcqRel) + 1;
        if self.is_closed.load(Ordering::Acquire)
            && let Some(lane) = find(&mut self.closed(), to)
        {
            lane.untold = lane.untold.saturating_sub(usize::from(of_receipt));
            lane.told = told;
        }
    }

    fn close(&self, to: Address, n: u64, untold: usize) {
        let mut closed = self.closed();
        let known = find(&mut closed, to).map(|lane| {
            lane.from = lane.from.min(n);
            lane.untold += untold;
        });
        if known.is_none() {
            let to = (closed.len() < CLOSED_MAX).then_some(to);
            closed.push(Closed { to, from: n, untold, told: 0 });
        }
        self.is_closed.store(true, Ordering::Release);
    }

    // A panic while the lock was held cannot have left anything in between: every change is one call.
    fn closed(&self) -> MutexGuard<'_, Vec<Closed>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What must hold after every step.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let closed = self.closed();
        assert!(closed.len() <= CLOSED_MAX + 1, "bounded");
        assert_eq!(self.is_closed.load(Ordering::Acquire), !closed.is_empty());
        assert!(closed.iter().filter(|lane| lane.to.is_none()).count() <= 1);
    }
}

/// The entry of a device, or that of all others.
fn find(closed: &mut [Closed], to: Address) -> Option<&mut Closed> {
    let at = closed.iter().position(|lane| lane.to == Some(to)).or(closed.iter().position(|lane| lane.to.is_none()))?;
    closed.get_mut(at)
}

/// Where an envelope stands among those of its sender. Goes with it wherever it goes.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    course: Arc<Course>,
    n: u64,
}

impl Turn {
    /// `n` grows with each envelope of the course.
    pub(crate) const fn new(course: Arc<Course>, n: u64) -> Self {
        Self { course, n }
    }

    /// Whether one before it, to the same device, is to come again: then this one is, and takes no effect.
    pub(crate) fn overtakes(&self, to: Address) -> bool {
        self.course.is_closed.load(Ordering::Acquire)
            && self.course.closed().iter().any(|lane| lane.is_for(to) && lane.from < self.n)
    }

    /// Whether both are of one sender's connection.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.course, &other.course)
    }

    /// Names the course as long as somebody has one of its turns.
    pub(crate) fn course(&self) -> usize {
        Arc::as_ptr(&self.course).addr()
    }

    /// It is to come again; its sender will hear so by its receipt.
    pub(crate) fn refuse(&self, to: Address) {
        self.course.close(to, self.n, 0);
    }

    /// Its receipt, which is on its way to the sender's connection, says that it is to come again.
    pub(crate) fn refused(&self, to: Address) {
        self.course.close(to, self.n, 1);
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.n == other.n && Arc::ptr_eq(&self.course, &other.course)
    }
}
impl Eq for Turn {}

#[cfg(test)]
mod tests {
    use endtoend_protocol::{AccountTag, DeviceId};

    use super::*;

    fn to(account: u8) -> Address {
        Address { account: AccountTag::new([account; 32]), device: DeviceId::FIRST }
    }
    const NOTHING: fn(Option<Address>, u64) -> bool = |_, _| false;

    #[test]
    fn what_follows_a_refused_envelope_waits_until_its_sender_has_heard_so() {
        let course = Course::default();
        assert!(course.lets_in(to(1), 0, NOTHING));
        course.refuse(to(1), 1);
        course.tell(to(1), false);
        assert!(!course.lets_in(to(1), 0, NOTHING), "its sender may have sent this before he heard");
        assert!(course.lets_in(to(2), 0, NOTHING), "another device has nothing to do with it");
        course.refuse(to(1), 2);
        course.tell(to(1), false);
        assert!(!course.lets_in(to(1), 1, NOTHING), "he knows of the first, and may not have sent the second again");
        assert!(course.lets_in(to(1), 2, NOTHING), "whatever this is, he has decided that it comes first");
        course.check_invariants();
    }

    #[test]
    fn nothing_takes_effect_behind_one_that_was_refused_on_its_way() {
        let course = Arc::new(Course::default());
        let turn = |n| Turn::new(Arc::clone(&course), n);
        turn(2).refused(to(1));
        assert!(!turn(1).overtakes(to(1)) && !turn(2).overtakes(to(1)));
        assert!(turn(3).overtakes(to(1)) && !turn(3).overtakes(to(2)));
        assert!(!course.lets_in(to(1), 0, NOTHING), "its sender is not told yet");
        course.tell(to(1), true);
        assert!(!course.lets_in(to(1), 0, NOTHING));
        let third = |device: Option<Address>, from| device == Some(to(1)) && from <= 3;
        assert!(!course.lets_in(to(1), 1, third), "the third is on its way and must not get through any more");
        assert!(course.lets_in(to(1), 1, NOTHING));
        assert!(!turn(4).overtakes(to(1)));
    }

    #[test]
    fn an_earlier_one_that_is_refused_later_closes_it_again() {
        let course = Arc::new(Course::default());
        let turn = |n| Turn::new(Arc::clone(&course), n);
        turn(2).refused(to(1));
        turn(1).refused(to(1));
        course.tell(to(1), true);
        assert!(!course.lets_in(to(1), 1, NOTHING), "the other refusal is on its way");
        course.tell(to(1), true);
        assert!(turn(2).overtakes(to(1)));
        assert!(course.lets_in(to(1), 2, NOTHING));
    }

    #[test]
    fn who_has_heard_refusals_before_the_course_began_counts_them() {
        let course = Course::after(5);
        course.refuse(to(1), 1);
        course.tell(to(1), false);
        assert!(!course.lets_in(to(1), 5, NOTHING));
        assert!(course.lets_in(to(1), 6, NOTHING));
    }

    #[test]
    fn after_refusals_that_nobody_remembers_everything_waits_until_they_were_heard() {
        assert!(Course::closed_after(0).lets_in(to(1), 0, NOTHING));
        let course = Course::closed_after(3);
        assert!(!course.lets_in(to(1), 2, NOTHING), "this may have been sent after one of them");
        course.check_invariants();
        assert!(course.lets_in(to(1), 3, NOTHING));
        course.refuse(to(1), 9);
        course.tell(to(1), false);
        assert!(!course.lets_in(to(1), 3, NOTHING), "it is the fourth");
        assert!(course.lets_in(to(1), 4, NOTHING));
    }

    #[test]
    fn only_what_comes_again_as_it_is_is_waited_for() {
        use endtoend_protocol::{RejectReason, UnixMillis};
        let at = UnixMillis::new(1);
        assert!(is_to_come_again(Outcome::Retry(RetryReason::QueueFull)));
        assert!(is_to_come_again(Outcome::Limited { retry_after: std::time::Duration::from_secs(1) }));
        let never = Outcome::Rejected(RejectReason::UnknownRecipient);
        assert!(
            ![Outcome::Accepted { at }, never, Outcome::Retry(RetryReason::Devices)]
                .map(is_to_come_again)
                .contains(&true)
        );
    }

    #[test]
    fn whoever_is_refused_at_every_device_costs_so_much_and_no_more() {
        let course = Course::default();
        for n in 0..200 {
            course.refuse(to(n), u64::from(n));
            course.tell(to(n), false);
            course.check_invariants();
        }
        assert!(!course.lets_in(to(250), 199, NOTHING), "beyond the bound all devices wait");
        assert!(course.lets_in(to(250), 200, NOTHING));
        course.check_invariants();
    }
}
