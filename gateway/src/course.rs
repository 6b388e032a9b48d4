//! Rule: what follows an envelope that is to come again is to come again, too.
//!
//! A client sends many envelopes before it hears of the first. One that finds no room is answered `Retry`; the next one, a moment
//! later, finds some, and would be shown before it. So from the moment at which one is refused nothing that was sent after it,
//! from the same place to the same device, takes effect before its sender has said that he knows: he sends it first then.
//!
//! The refusal may be anywhere on the way: at the door, in a mailbox, by the store. So each envelope carries its [`Turn`] along,
//! whoever refuses one says so there, and whoever is about to push or to write one asks there. As long as nothing is refused
//! that is one load of an atomic.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use endtoend_protocol::{Address, limits};

/// Devices to which something is to come again that are told apart, of one sender. Beyond, all devices wait for the rest of them
/// together.
const CLOSED_MAX: usize = 64;
/// With more on their way than there are places, one refusal would close all devices for as long as envelopes come steadily.
const _: () = assert!(CLOSED_MAX >= limits::SEND_WINDOW as usize, "a sender may have no more on their way");

/// The envelopes of one sender's connection, or of one life of a link, in the order in which they came.
///
/// Shared by all who have one of them in hand.
#[derive(Debug)]
pub(crate) struct Course {
    /// Whether anything is closed: what is read for each envelope.
    is_closed: AtomicBool,
    closed: Mutex<Closed>,
    /// Refusals that were said to the sender, who counts them, too.
    told: AtomicU64,
    devices_max: usize,
}

/// What is closed.
#[derive(Debug, Default)]
struct Closed {
    devices: BTreeMap<Address, Lane>,
    /// For every device, as some were refused that found no place among these.
    all: Option<Lane>,
    /// Envelopes that came in since each device was looked at.
    since: usize,
}

/// A way on which an envelope is to come again.
#[derive(Debug, Default)]
struct Lane {
    /// The first that was refused.
    from: u64,
    /// Refusals that are on their way to the sender's connection.
    untold: usize,
    /// How many refusals the sender had been told with the last one that is waited for here.
    told: u64,
}

impl Closed {
    fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.all.is_none()
    }

    /// What a device waits for.
    fn of(&self, to: Address) -> impl Iterator<Item = &Lane> {
        self.devices.get(&to).into_iter().chain(&self.all)
    }

    /// Where a refusal is counted. As soon as there is a place for the device it gets one, also when everything is closed: a
    /// steady stream of envelopes that are refused for that would keep it so.
    fn close(&mut self, to: Address, n: u64, devices_max: usize) -> &mut Lane {
        let has_place = self.devices.contains_key(&to) || self.devices.len() < devices_max;
        let new = || Lane { from: n, ..Lane::default() };
        let lane =
            if has_place { self.devices.entry(to).or_insert_with(new) } else { self.all.get_or_insert_with(new) };
        lane.from = lane.from.min(n);
        lane
    }

    /// Whose refusals are told. It may be said of one that was counted for all that it was counted for the device, if both have some
    /// on their way: the device waits until both have none.
    fn told(&mut self, to: Address) -> Option<&mut Lane> {
        let all = self.all.as_mut();
        match self.devices.get_mut(&to) {
            Some(lane) if lane.untold > 0 || all.is_none() => Some(lane),
            _ => all,
        }
    }
}

impl Default for Course {
    fn default() -> Self {
        Self::after(0)
    }
}

impl Course {
    /// Of a sender who has been told so many refusals before.
    pub(crate) fn after(told: u64) -> Self {
        let (is_closed, closed) = (AtomicBool::new(false), Mutex::default());
        Self { is_closed, closed, told: AtomicU64::new(told), devices_max: CLOSED_MAX }
    }

    /// The same, of which it is not known for which devices they were: everything waits until he has heard of them. So many devices
    /// are told apart.
    pub(crate) fn closed_after(told: u64, devices_max: usize) -> Self {
        let course = Self { devices_max, ..Self::after(told) };
        if told > 0 {
            course.closed().all = Some(Lane { told, ..Lane::default() });
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
        let waits = |to, lane: &Lane| lane.untold > 0 || heard < lane.told || is_under_way(to, lane.from);
        closed.all.take_if(|lane| !waits(None, lane));
        closed.since += 1;
        // One device for each envelope, on average: what many wait for is not looked at for each of them.
        if closed.since >= closed.devices.len() {
            closed.since = 0;
            closed.devices.retain(|to, lane| waits(Some(*to), lane));
        } else if closed.devices.get(&to).is_some_and(|lane| !waits(Some(to), lane)) {
            closed.devices.remove(&to);
        }
        self.is_closed.store(!closed.is_empty(), Ordering::Release);
        closed.of(to).next().is_none()
    }

    /// An envelope is refused at the door: what came after it is, too. It is the next refusal that the sender is told of, and
    /// counted at once: closed and not counted, it could be taken for one that he has heard of.
    pub(crate) fn refuse(&self, to: Address, n: u64) {
        self.close(to, n, |lane| lane.told = self.told.fetch_add(1, Ordering::AcqRel) + 1);
    }

    /// The sender is told of a refusal that came by a receipt; `is_to_come_again`: one that has closed the way. One that has not is
    /// counted, as the sender counts it, and nothing waits for it.
    pub(crate) fn tell(&self, to: Address, is_to_come_again: bool) {
        let told = self.told.fetch_add(1, Ordering::AcqRel) + 1;
        if is_to_come_again
            && self.is_closed.load(Ordering::Acquire)
            && let Some(lane) = self.closed().told(to)
        {
            lane.untold = lane.untold.saturating_sub(1);
            lane.told = told;
        }
    }

    fn close(&self, to: Address, n: u64, count: impl FnOnce(&mut Lane)) {
        let mut closed = self.closed();
        count(closed.close(to, n, self.devices_max));
        self.is_closed.store(true, Ordering::Release);
    }

    // A panic while the lock was held cannot have left anything in between: every change is one call.
    fn closed(&self) -> MutexGuard<'_, Closed> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What must hold after every step.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let closed = self.closed();
        assert!(closed.devices.len() <= self.devices_max, "bounded");
        assert_eq!(self.is_closed.load(Ordering::Acquire), !closed.is_empty());
    }
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
        self.course.is_closed.load(Ordering::Acquire) && self.course.closed().of(to).any(|lane| lane.from < self.n)
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
        self.course.close(to, self.n, |_| {});
    }

    /// Its receipt, which is on its way to the sender's connection, says that it is to come again.
    pub(crate) fn refused(&self, to: Address) {
        self.course.close(to, self.n, |lane| lane.untold += 1);
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
        assert!(!course.lets_in(to(1), 0, NOTHING), "its sender may have sent this before he heard");
        assert!(course.lets_in(to(2), 0, NOTHING), "another device has nothing to do with it");
        course.refuse(to(1), 2);
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
    fn a_refusal_that_closes_nothing_keeps_nothing_closed() {
        let course = Arc::new(Course::default());
        Turn::new(Arc::clone(&course), 1).refused(to(1));
        course.tell(to(1), true);
        course.tell(to(1), false);
        assert!(course.lets_in(to(1), 1, NOTHING), "its sender has heard the one that closed it");
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
        assert!(!course.lets_in(to(1), 5, NOTHING));
        assert!(course.lets_in(to(1), 6, NOTHING));
    }

    #[test]
    fn after_refusals_that_nobody_remembers_everything_waits_until_they_were_heard() {
        assert!(Course::closed_after(0, 64).lets_in(to(1), 0, NOTHING));
        let course = Course::closed_after(3, 64);
        assert!(!course.lets_in(to(1), 2, NOTHING), "this may have been sent after one of them");
        course.check_invariants();
        assert!(course.lets_in(to(1), 3, NOTHING));
        course.refuse(to(1), 9);
        assert!(!course.lets_in(to(1), 3, NOTHING), "it is the fourth");
        assert!(course.lets_in(to(1), 4, NOTHING));
    }

    /// In each step one comes in, to a device of its own, and it takes so many steps until its sender knows of a refusal. How many
    /// of so many are let in.
    fn let_in_of(steps: u32, late: usize, course: &Course) -> usize {
        let device = |n: u32| {
            let mut tag = [0; 32];
            tag[..4].copy_from_slice(&n.to_be_bytes());
            Address { account: AccountTag::new(tag), device: DeviceId::FIRST }
        };
        let (mut heard, mut let_in) = (std::collections::VecDeque::from(vec![0; late]), 0);
        for n in 0..steps {
            match course.lets_in(device(n), heard.pop_front().unwrap(), NOTHING) {
                true => let_in += 1,
                false => course.refuse(device(n), n.into()),
            }
            heard.push_back(course.told.load(Ordering::Relaxed));
            course.check_invariants();
        }
        let_in
    }

    #[test]
    fn all_devices_do_not_wait_for_what_is_refused_because_they_wait() {
        let course = Course::closed_after(1, 64);
        assert_eq!(let_in_of(1_000, 40, &course), 1_000 - 40, "all that came when the one refusal was known");
        // As many refusals that nobody knows of as there are places, and one.
        let course = Course::after(0);
        (0..=64).for_each(|n| course.refuse(to(n), 0));
        assert!(let_in_of(1_000, 40, &course) > 1_000 - 40 - 100, "and those that came until there were places again");
        let course = Course::closed_after(1, 64);
        assert_eq!(let_in_of(5_000, 64, &course), 5_000 - 64, "as many as may be on their way");
        let course = Course::closed_after(1, 1_024);
        assert_eq!(let_in_of(5_000, 900, &course), 5_000 - 900, "a link has many");
    }

    #[test]
    fn a_device_waits_for_its_own_refusals_wherever_they_are_counted() {
        let course = Arc::new(Course::closed_after(1, 1));
        let turn = |n| Turn::new(Arc::clone(&course), n);
        course.refuse(to(9), 1);
        turn(2).refused(to(1));
        turn(3).refused(to(2));
        assert!(!course.lets_in(to(9), 2, NOTHING));
        // There is a place now.
        turn(4).refused(to(1));
        course.tell(to(1), true);
        course.tell(to(2), true);
        assert!(
            !course.lets_in(to(9), 4, NOTHING),
            "one of the first device is on its way, and was perhaps counted for all"
        );
        turn(5).refused(to(1));
        course.tell(to(1), true);
        course.tell(to(1), true);
        assert!(
            !course.lets_in(to(1), 5, NOTHING) && course.lets_in(to(1), 6, NOTHING),
            "its sender knows of all three"
        );
        assert!(course.lets_in(to(9), 6, NOTHING));
        course.check_invariants();
    }

    #[test]
    fn whoever_is_refused_at_every_device_costs_so_much_and_no_more() {
        let course = Course::default();
        for n in 0..200 {
            course.refuse(to(n), u64::from(n));
            course.check_invariants();
        }
        assert!(!course.lets_in(to(250), 199, NOTHING), "beyond the bound all devices wait");
        assert!(course.lets_in(to(250), 200, NOTHING));
        course.check_invariants();
    }
}
