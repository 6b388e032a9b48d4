//! A sender, a server that lies, and a receiver who must notice it at the next message.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use endtoend_protocol::{ChainHead, ChainId, Place};
use proptest::prelude::*;

use super::{Finding, Incoming, MISSING_MAX, SEEN_MAX};

const START: ChainHead = ChainHead([9; 16]);
const CHAIN: ChainId = ChainId([1; 8]);

/// What stands for a message: its place, and the head after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Letter {
    place: Place,
    head: ChainHead,
}

impl Letter {
    fn number(&self) -> u64 {
        self.place.number.get()
    }
}

/// A sending device. A copy of it is what a restored backup brings back.
#[derive(Clone, Debug)]
struct Sender {
    next: Place,
}

impl Sender {
    fn new(chain: ChainId) -> Self {
        Self { next: Place { chain, number: NonZeroU64::MIN, previous: START } }
    }

    /// `content` tells messages of one number apart.
    fn say(&mut self, content: u64) -> Letter {
        let place = self.next;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&place.to_bytes()).update(&content.to_le_bytes());
        let mut head = [0; 16];
        hasher.finalize_xof().fill(&mut head);
        let head = ChainHead(head);
        self.next = Place { number: place.number.saturating_add(1), previous: head, ..place };
        Letter { place, head }
    }

    fn say_many(&mut self, count: u64, content: u64) -> Vec<Letter> {
        (0..count).map(|_| self.say(content)).collect()
    }
}

fn receiver() -> Incoming {
    Incoming::new(CHAIN, START)
}

fn hear(receiver: &mut Incoming, letter: &Letter, again: bool, known: bool) -> Vec<Finding> {
    let findings = receiver.hear(&letter.place, START, letter.head, again, known);
    receiver.check_invariants();
    assert_eq!(Incoming::from_bytes(&receiver.to_bytes()).as_ref(), Some(&*receiver));
    findings
}

fn hear_all<'a>(receiver: &mut Incoming, letters: impl IntoIterator<Item = &'a Letter>) -> Vec<Finding> {
    letters.into_iter().flat_map(|letter| hear(receiver, letter, false, false)).collect()
}

#[test]
fn everything_in_its_order_shows_nothing() {
    let letters = Sender::new(CHAIN).say_many(100, 0);
    let mut receiver = receiver();
    assert_eq!(hear_all(&mut receiver, &letters), []);
    assert_eq!(receiver.missing(), 0);
}

#[test]
fn what_was_dropped_is_missing_at_the_next_message() {
    let letters = Sender::new(CHAIN).say_many(9, 0);
    let mut receiver = receiver();
    assert_eq!(hear(&mut receiver, &letters[2], false, false), [Finding::Missing { first: 1, last: 2 }]);
    assert_eq!(hear(&mut receiver, &letters[3], false, false), []);
    assert_eq!(hear(&mut receiver, &letters[8], false, false), [Finding::Missing { first: 5, last: 8 }]);
    assert_eq!(receiver.missing(), 6);
}

#[test]
fn what_comes_after_all_is_late_or_mended() {
    let letters = Sender::new(CHAIN).say_many(5, 0);
    let mut receiver = receiver();
    hear_all(&mut receiver, [&letters[0], &letters[4]]);
    assert_eq!(hear(&mut receiver, &letters[2], false, false), [Finding::Late { number: 3 }]);
    assert_eq!(hear(&mut receiver, &letters[1], true, false), [Finding::Mended { number: 2 }]);
    assert_eq!(hear(&mut receiver, &letters[3], false, false), [Finding::Late { number: 4 }]);
    assert_eq!(receiver.missing(), 0);
    assert_eq!(hear(&mut receiver, &letters[2], false, false), [Finding::Repeated]);
}

#[test]
fn a_repeat_is_one_however_old_it_is() {
    let letters = Sender::new(CHAIN).say_many(2 * SEEN_MAX as u64, 0);
    let mut receiver = receiver();
    hear_all(&mut receiver, &letters);
    assert_eq!(hear(&mut receiver, &letters[2 * SEEN_MAX - 1], false, false), [Finding::Repeated]);
    assert_eq!(hear(&mut receiver, &letters[0], true, true), [Finding::Repeated], "known by its id");
}

#[test]
fn a_sender_who_went_back_is_noticed_once() {
    let mut sender = Sender::new(CHAIN);
    let mut letters = sender.say_many(10, 0);
    let mut restored = sender.clone();
    letters.extend(sender.say_many(10, 0));
    let mut receiver = receiver();
    assert_eq!(hear_all(&mut receiver, &letters), []);
    let others = restored.say_many(20, 1);
    assert_eq!(hear_all(&mut receiver, &others), [Finding::Forked { number: 11 }]);
    // The longer line is the chain now; what is dropped from it is noticed.
    restored.say(1);
    let next = restored.say(1);
    assert_eq!(hear(&mut receiver, &next, false, false), [Finding::Missing { first: 31, last: 31 }]);
}

#[test]
fn two_who_use_the_same_keys_are_noticed_once() {
    let mut sender = Sender::new(CHAIN);
    let first = sender.say_many(3, 0);
    let mut thief = sender.clone();
    let mut receiver = receiver();
    hear_all(&mut receiver, &first);
    let mut findings = Vec::new();
    for _ in 0..10 {
        findings.extend(hear(&mut receiver, &sender.say(0), false, false));
        findings.extend(hear(&mut receiver, &thief.say(1), false, false));
    }
    assert_eq!(findings, [Finding::Forked { number: 4 }]);
}

#[test]
fn another_message_in_the_place_of_a_missing_or_known_one_is_a_fork() {
    let mut sender = Sender::new(CHAIN);
    let mut letters = sender.say_many(1, 0);
    let mut thief = sender.clone();
    letters.extend(sender.say_many(3, 0));
    let mut receiver = receiver();
    hear_all(&mut receiver, [&letters[0], &letters[2]]);
    let forged = thief.say(1);
    assert_eq!(hear(&mut receiver, &forged, false, false), [Finding::Forked { number: 2 }]);
    assert_eq!(hear(&mut receiver, &letters[1], false, false), [Finding::Late { number: 2 }], "the right one");
    assert_eq!(hear(&mut receiver, &letters[3], false, false), []);
    // Under the id of the right one.
    let forged = thief.say(2);
    assert_eq!(hear(&mut receiver, &forged, false, true), []);
    let forged = Letter { head: ChainHead([3; 16]), ..letters[3] };
    assert_eq!(hear(&mut receiver, &forged, false, true), [Finding::Forked { number: 4 }]);
}

#[test]
fn a_chain_that_begins_anew_is_told_and_watched_from_its_first_message() {
    let old = Sender::new(CHAIN).say_many(3, 0);
    let new = Sender::new(ChainId([2; 8])).say_many(3, 0);
    let mut receiver = receiver();
    hear_all(&mut receiver, &old[..2]);
    assert_eq!(
        hear(&mut receiver, &new[1], false, false),
        [Finding::Restarted, Finding::Missing { first: 1, last: 1 }]
    );
    assert_eq!(hear(&mut receiver, &old[2], false, false), [], "still under way");
    assert_eq!(hear(&mut receiver, &new[2], false, false), []);
}

#[test]
fn a_chain_begins_with_its_own_start() {
    let mut receiver = receiver();
    let mut letter = Sender::new(CHAIN).say(0);
    letter.place.previous = ChainHead([0; 16]);
    assert_eq!(hear(&mut receiver, &letter, false, false), [Finding::Forked { number: 1 }]);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut sender = Sender::new(CHAIN);
    let letters = sender.say_many(400, 0);
    let mut receiver = receiver();
    hear_all(&mut receiver, letters.iter().skip(1).step_by(2));
    assert_eq!(receiver.missing(), MISSING_MAX as u64);
    assert_eq!(hear(&mut receiver, &letters[0], false, false), [Finding::Late { number: 1 }], "not judged");
    assert_eq!(hear(&mut receiver, &letters[398], false, false), [Finding::Late { number: 399 }]);
    assert!(receiver.to_bytes().len() < 4096);
}

#[test]
fn bent_bytes_are_another_state_or_none() {
    let mut receiver = receiver();
    let letters = Sender::new(CHAIN).say_many(9, 0);
    hear_all(&mut receiver, letters.iter().step_by(3));
    let bytes = receiver.to_bytes();
    for at in 0..bytes.len() {
        assert_eq!(Incoming::from_bytes(&bytes[..at]), None);
        let mut bent = bytes.clone();
        bent[at] ^= 0x40;
        assert_ne!(Incoming::from_bytes(&bent).as_ref(), Some(&receiver), "byte {at}");
    }
}

/// What a lying server does with the letters of a sender.
#[derive(Clone, Copy, Debug)]
enum Lie {
    Pass,
    Drop,
    /// It comes after so many more.
    Hold(usize),
    /// Delivered again is what was delivered so many letters ago.
    Replay(usize),
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        6 => Just(Lie::Pass),
        1 => Just(Lie::Drop),
        1 => (1..6_usize).prop_map(Lie::Hold),
        1 => (0..60_usize).prop_map(Lie::Replay),
    ]
}

/// What is delivered, in order.
fn lied(letters: &[Letter], lies: &[Lie]) -> Vec<Letter> {
    let (mut delivered, mut held): (Vec<Letter>, Vec<(usize, Letter)>) = (Vec::new(), Vec::new());
    for (at, (letter, lie)) in letters.iter().zip(lies).enumerate() {
        match lie {
            Lie::Pass => delivered.push(*letter),
            Lie::Drop => {}
            Lie::Hold(by) => held.push((at + by, *letter)),
            Lie::Replay(back) => {
                delivered.push(*letter);
                let old = delivered.len().checked_sub(1 + back).and_then(|old| delivered.get(old).copied());
                delivered.extend(old);
            }
        }
        delivered.extend(held.extract_if(.., |(until, _)| *until <= at).map(|(_, letter)| letter));
    }
    delivered
}

proptest! {
    /// The oracle knows what was delivered; each lie is noticed with the next message that shows it, and nothing else is.
    #[test]
    fn whatever_the_server_does_is_noticed_at_the_next_message(lies in prop::collection::vec(lie(), 1..120)) {
        let letters = Sender::new(CHAIN).say_many(lies.len() as u64, 0);
        let (mut receiver, mut heard, mut last) = (receiver(), BTreeSet::new(), 0);
        for letter in lied(&letters, &lies) {
            let number = letter.number();
            let known = heard.contains(&number);
            let expected = match number {
                _ if known => vec![Finding::Repeated],
                _ if number == last + 1 => vec![],
                _ if number > last => vec![Finding::Missing { first: last + 1, last: number - 1 }],
                _ => vec![Finding::Late { number }],
            };
            prop_assert_eq!(hear(&mut receiver, &letter, false, known), expected);
            heard.insert(number);
            last = last.max(number);
            prop_assert_eq!(receiver.missing(), (1..last).filter(|number| !heard.contains(number)).count() as u64);
        }
    }

    /// A sender who goes back to an older state is noticed when he has said something that was heard otherwise.
    #[test]
    fn a_fork_is_noticed_wherever_it_is(before in 1..30_u64, back in 1..30_u64, after in 1..40_u64, gaps in prop::collection::vec(any::<bool>(), 40)) {
        let mut sender = Sender::new(CHAIN);
        let mut letters = Vec::new();
        let mut backups = vec![sender.clone()];
        for _ in 0..before {
            letters.push(sender.say(0));
            backups.push(sender.clone());
        }
        let back = back.min(before);
        let mut restored = backups[(before - back) as usize].clone();
        let mut receiver = receiver();
        prop_assert_eq!(hear_all(&mut receiver, &letters), []);
        let heard: Vec<Letter> = restored.say_many(after, 1).into_iter().zip(gaps).filter(|(_, gap)| !gap).map(|(letter, _)| letter).collect();
        let findings = hear_all(&mut receiver, &heard);
        let notable = |finding: &Finding| matches!(finding, Finding::Forked { .. } | Finding::Missing { .. });
        prop_assert_eq!(findings.iter().any(notable), !heard.is_empty());
        let forked = findings.iter().any(|finding| matches!(finding, Finding::Forked { .. }));
        prop_assert_eq!(forked, heard.iter().any(|letter| letter.number() <= before + 1), "{:?}", findings);
    }

    /// A sender may say what he likes: what is known of him stays within its bounds.
    #[test]
    fn whatever_a_sender_says_is_judged(said in prop::collection::vec(
        (prop_oneof![1..80_u64, u64::MAX - 3..=u64::MAX], 0..3_u8, 0..3_u8, 0..2_u8, any::<[bool; 2]>()), 1..200,
    )) {
        let mut receiver = receiver();
        for (number, previous, head, chain, [again, known]) in said {
            let number = NonZeroU64::new(number).unwrap();
            let place = Place { chain: ChainId([chain; 8]), number, previous: ChainHead([previous; 16]) };
            let letter = Letter { place, head: ChainHead([head; 16]) };
            let findings = hear(&mut receiver, &letter, again, known);
            prop_assert!(findings.len() <= 2);
        }
    }

    #[test]
    fn any_bytes_are_a_chain_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Some(chain) = Incoming::from_bytes(&bytes) {
            prop_assert_eq!(chain.to_bytes(), bytes);
        }
    }
}
