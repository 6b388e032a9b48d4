//! Sessions that break are mended without a person, and nothing is lost or shown twice.

use std::collections::VecDeque;
use std::time::Duration;

use endtoend_crypto_e2e::{RecordKey, Records as _};
use endtoend_protocol::{AccountTag, Envelope, MessageId, UnixMillis};
use proptest::prelude::*;

use super::messages::Device;
use crate::clock;
use crate::database::{NoticeKind, OUTBOX_MAX, Store};
use crate::engine::receive::{Arrival, receive};
use crate::engine::repair::{Queued, RESET_PAUSE, send_again};
use crate::engine::seal::Sealed;

/// Two devices, and what is on its way to each.
struct Pair {
    devices: [Device; 2],
    rows: [VecDeque<Queued>; 2],
    mail: [VecDeque<Envelope>; 2],
    said: [Vec<String>; 2],
    now: UnixMillis,
}

impl Pair {
    fn new() -> Self {
        let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
        alice.introduce(&bob);
        bob.introduce(&alice);
        let mut pair = Self {
            devices: [alice, bob],
            rows: Default::default(),
            mail: Default::default(),
            said: Default::default(),
            now: clock::now(),
        };
        pair.say(0);
        pair.settle();
        pair.say(1);
        pair.settle();
        pair
    }

    fn tag(&self, who: usize) -> AccountTag {
        self.devices[who].own.account
    }

    fn say(&mut self, who: usize) {
        let text = format!("message {} of {who}", self.said[who].len());
        let to = self.tag(1 - who);
        let seq = self.devices[who].queue(to, &text);
        self.rows[who].push_back((seq, to));
        self.said[who].push(text);
    }

    /// Seals what waits at one and puts it on its way.
    fn send(&mut self, who: usize) {
        while let Some((seq, to)) = self.rows[who].pop_front() {
            loop {
                match self.devices[who].seal(seq, to) {
                    Sealed::Ready { envelope, .. } => {
                        self.devices[who].database.write(|store| store.accepted(seq, self.now, None)).unwrap();
                        self.mail[1 - who].push_back(envelope);
                        break;
                    }
                    Sealed::NoKeys => {
                        let [alice, bob] = &mut self.devices;
                        let (own, peer) = if who == 0 { (alice, bob) } else { (bob, alice) };
                        own.meet(peer);
                        peer.spend_one_time_keys();
                    }
                    Sealed::StaleKeys => panic!("no week passes here"),
                    Sealed::Settled => break,
                }
            }
        }
    }

    /// One takes the next envelope that is there for him.
    fn take(&mut self, who: usize) {
        let Some(envelope) = self.mail[who].pop_front() else { return };
        let (own, now) = (self.devices[who].own, self.now);
        let envelope = super::messages::arrived(&envelope);
        let arrival = self.devices[who].database.write(|store| receive(store, own, &envelope, now)).unwrap();
        match arrival {
            Arrival::Unreadable { asked: Some(row), .. } | Arrival::Unseen { queued: Some(row), .. } => {
                self.rows[who].push_back(row);
            }
            Arrival::Unreadable { reason, asked: None } => panic!("lost: {reason}"),
            _ => {}
        }
    }

    /// Until nothing is on its way.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 200, "the two do not come to rest");
            for who in [0, 1] {
                self.send(who);
            }
            if self.mail.iter().all(VecDeque::is_empty) {
                return;
            }
            for who in [0, 1] {
                while !self.mail[who].is_empty() {
                    self.take(who);
                }
            }
        }
    }

    fn session(&self, who: usize) -> RecordKey {
        RecordKey::Session(self.devices[1 - who].own)
    }

    /// The session is lost.
    fn forget(&mut self, who: usize) {
        let session = self.session(who);
        self.devices[who].database.write(|store| store.replace_record(&session, None)).unwrap();
    }

    fn remembered(&self, who: usize) -> Vec<u8> {
        self.devices[who].database.read().get(&self.session(who)).unwrap().unwrap().to_vec()
    }

    /// The session is an older one, from a backup.
    fn go_back(&mut self, who: usize, to: &[u8]) {
        let session = self.session(who);
        self.devices[who].database.write(|store| store.replace_record(&session, Some(to))).unwrap();
    }

    /// Each has heard everything once; what came again may have come late.
    fn assert_all_heard(&self) {
        for who in [0, 1] {
            let mut heard: Vec<String> = self.devices[who].texts().into_iter().map(|(_, text)| text).collect();
            let mut said = self.said[1 - who].clone();
            heard.sort();
            said.sort();
            assert_eq!(heard, said, "at {who}");
            let store = self.devices[who].database.read();
            assert_eq!(store.unreadable().unwrap(), [], "noted as lost at {who}");
            // Nothing was kept back here, and nobody has gone back further than his session.
            let told = store.unseen_notices(None, self.now.plus(Duration::from_secs(99 * 24 * 3600)), 99).unwrap();
            assert!(told.iter().all(|notice| notice.kind == NoticeKind::Late), "at {who}: {told:?}");
        }
    }

    fn ten_minutes_pass(&mut self) {
        self.now = self.now.plus(RESET_PAUSE);
    }
}

#[test]
fn a_lost_session_is_mended_and_what_was_under_way_comes_again() {
    for loser in [0, 1] {
        let mut pair = Pair::new();
        for _ in 0..3 {
            pair.say(0);
            pair.say(1);
        }
        pair.send(0);
        pair.send(1);
        pair.forget(loser);
        pair.settle();
        pair.assert_all_heard();
        pair.say(0);
        pair.say(1);
        pair.settle();
        pair.assert_all_heard();
    }
}

#[test]
fn both_may_lose_the_session_at_once() {
    let mut pair = Pair::new();
    for _ in 0..3 {
        pair.say(0);
        pair.say(1);
    }
    pair.send(0);
    pair.send(1);
    pair.forget(0);
    pair.forget(1);
    pair.settle();
    pair.assert_all_heard();
}

#[test]
fn a_session_from_a_backup_is_noticed_by_whoever_hears_of_it_first() {
    for (returning, speaker) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut pair = Pair::new();
        let old = pair.remembered(returning);
        for _ in 0..3 {
            pair.say(0);
            pair.settle();
            pair.say(1);
            pair.settle();
        }
        pair.go_back(returning, &old);
        pair.say(speaker);
        pair.settle();
        pair.say(1 - speaker);
        pair.settle();
        pair.assert_all_heard();
    }
}

#[test]
fn a_question_looks_like_a_short_text() {
    let mut pair = Pair::new();
    pair.say(0);
    pair.send(0);
    pair.forget(1);
    pair.take(1);
    pair.say(1);
    pair.send(1);
    let sizes: Vec<usize> = pair.mail[0].iter().map(|envelope| envelope.body.len()).collect();
    assert_eq!(sizes.len(), 2);
    assert_eq!(sizes[0], sizes[1]);
}

#[test]
fn a_forger_cannot_make_us_ask_for_ever() {
    let mut pair = Pair::new();
    let mut asked = 0;
    for _ in 0..100 {
        pair.say(0);
        pair.send(0);
        pair.forget(1);
        let envelope = super::messages::arrived(&pair.mail[1].pop_front().unwrap());
        let (own, now) = (pair.devices[1].own, pair.now);
        let arrival = pair.devices[1].database.write(|store| receive(store, own, &envelope, now)).unwrap();
        asked += usize::from(matches!(arrival, Arrival::Unreadable { asked: Some(_), .. }));
    }
    assert_eq!(asked, 64);
}

#[test]
fn a_full_outbox_keeps_nobody_from_getting_a_message_again() {
    let mut pair = Pair::new();
    pair.say(0);
    pair.send(0);
    pair.forget(1);
    for device in &mut pair.devices {
        let (id, blocked) = (MessageId::new(pair.now, [8; 10]), AccountTag::new([9; 32]));
        let fill = |store: &Store<'_>| {
            let left = OUTBOX_MAX - store.outbox()?.len();
            (0..left).try_for_each(|_| store.enqueue(id, blocked, b"waits").map(drop))
        };
        device.database.write(fill).unwrap();
    }
    pair.settle();
    pair.assert_all_heard();
}

#[test]
fn only_the_one_it_was_for_gets_a_message_again_and_not_for_ever() {
    let mut pair = Pair::new();
    pair.say(0);
    pair.send(0);
    let envelope = pair.mail[1].pop_front().unwrap();
    let carol = Device::new("carol").own.account;
    let bob = pair.tag(1);
    let again =
        |pair: &mut Pair, asker| pair.devices[0].database.write(|store| send_again(store, asker, envelope.id)).unwrap();
    assert_eq!(again(&mut pair, carol), None);
    for _ in 0..3 {
        let row = again(&mut pair, bob).unwrap();
        pair.rows[0].push_back(row);
        pair.send(0);
    }
    assert_eq!(again(&mut pair, bob), None);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Say(usize),
    Send(usize),
    Take(usize),
    Swap(usize),
    Repeat(usize),
    Forget(usize),
    Remember(usize),
    GoBack(usize),
    TenMinutes,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..2_usize;
    prop_oneof![
        6 => who.clone().prop_map(Step::Say),
        6 => who.clone().prop_map(Step::Send),
        8 => who.clone().prop_map(Step::Take),
        2 => who.clone().prop_map(Step::Swap),
        2 => who.clone().prop_map(Step::Repeat),
        1 => who.clone().prop_map(Step::Forget),
        1 => who.clone().prop_map(Step::Remember),
        1 => who.prop_map(Step::GoBack),
        1 => Just(Step::TenMinutes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_to_sessions_everything_is_heard_once(steps in prop::collection::vec(step(), 1..40)) {
        let mut pair = Pair::new();
        let mut backups = [pair.remembered(0), pair.remembered(1)];
        for step in steps {
            match step {
                Step::Say(who) => pair.say(who),
                Step::Send(who) => pair.send(who),
                Step::Take(who) => pair.take(who),
                Step::Swap(who) => pair.mail[who].rotate_left(usize::from(!pair.mail[who].is_empty())),
                Step::Repeat(who) => pair.mail[who].extend(pair.mail[who].front().cloned()),
                Step::Forget(who) => {
                    pair.ten_minutes_pass();
                    pair.forget(who);
                }
                Step::Remember(who) => {
                    if pair.devices[who].database.read().get(&pair.session(who)).unwrap().is_some() {
                        backups[who] = pair.remembered(who);
                    }
                }
                Step::GoBack(who) => {
                    pair.ten_minutes_pass();
                    let old = backups[who].clone();
                    pair.go_back(who, &old);
                }
                Step::TenMinutes => pair.ten_minutes_pass(),
            }
        }
        // One more message each way shows a break that nobody has noticed yet.
        for _ in 0..2 {
            for who in [0, 1] {
                pair.ten_minutes_pass();
                pair.say(who);
                pair.settle();
            }
        }
        pair.assert_all_heard();
    }
}
