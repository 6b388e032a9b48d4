//! The rules after a commit for a device that is not exclusively here: whom to tell, and when the sender may hear of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use endtoend_cluster::claims::{CLAIMS_MAX, DeviceName, FENCE, Found, Incarnation};
use endtoend_cluster::peers::{LinkLife, PeerLink};
use endtoend_protocol::Address;
use endtoend_storage::Seq;

/// Whom nobody could tell is looked for again after this.
const AGAIN: Duration = Duration::from_millis(500);

/// What the rules ask for. `T` is what follows when it is done.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// Tell the node at the other end. `n` grows by one with each over a link.
    Wake { over: LinkLife, n: u64, to: Address, seq: Seq },
    /// The device was found at the other end of that link, for certain.
    Saw { device: DeviceName, over: LinkLife },
    /// Everybody knows who has to.
    Done(T),
}

/// Rows that were committed, and that somebody elsewhere may have to know of before their senders hear of it.
///
/// Invariant 4 across nodes: commit first, look the claim up second. Whoever is found is told; whoever cannot be told, or found,
/// is tried again, until [`FENCE`] has passed since the commit: then nobody has the device for himself who has not swept since.
#[derive(Debug)]
pub(crate) struct Unwoken<T> {
    me: Incarnation,
    rows: BTreeMap<u64, Row<T>>,
    last_row: u64,
    /// The last wake-up over each link.
    last: BTreeMap<LinkLife, u64>,
    /// Rows that wait for the next look-up, those of the one that is under way, and those that were found.
    waiting: BTreeSet<u64>,
    looking: Vec<u64>,
    /// Which row a wake-up over a link is for.
    asked: BTreeMap<(LinkLife, u64), u64>,
    again: BTreeMap<Instant, Vec<u64>>,
}

#[derive(Debug)]
struct Row<T> {
    to: Address,
    device: DeviceName,
    seq: Seq,
    then: T,
    until: Instant,
    /// Questions without answer.
    open: usize,
    /// Somebody could not be asked.
    is_incomplete: bool,
}

impl<T> Unwoken<T> {
    pub(crate) fn new(me: Incarnation) -> Self {
        Self {
            me,
            rows: BTreeMap::new(),
            last_row: 0,
            last: BTreeMap::new(),
            waiting: BTreeSet::new(),
            looking: Vec::new(),
            asked: BTreeMap::new(),
            again: BTreeMap::new(),
        }
    }

    /// A row was committed; the mailbox here, if there is one, was told.
    pub(crate) fn committed(&mut self, to: Address, device: DeviceName, seq: Seq, then: T, now: Instant) {
        self.last_row += 1;
        let row = Row { to, device, seq, then, until: now + FENCE, open: 0, is_incomplete: false };
        self.rows.insert(self.last_row, row);
        self.waiting.insert(self.last_row);
    }

    /// Whether something is to be looked up now.
    #[cfg(test)]
    pub(crate) fn has_next(&self) -> bool {
        self.looking.is_empty() && !self.waiting.is_empty()
    }

    /// What to look up now, if something waits and nothing is being looked up.
    pub(crate) fn next(&mut self) -> Option<Vec<DeviceName>> {
        if !self.looking.is_empty() || self.waiting.is_empty() {
            return None;
        }
        while self.looking.len() < CLAIMS_MAX {
            let Some(row) = self.waiting.pop_first() else { break };
            self.looking.push(row);
        }
        Some(self.looking.iter().filter_map(|row| Some(self.rows.get(row)?.device)).collect())
    }

    /// What the directory said of them; none: it does not answer. `links`: over which somebody can be told; `is_complete`: and
    /// nobody else is there.
    pub(crate) fn looked(
        &mut self,
        found: Option<&[Found]>,
        links: &[PeerLink],
        is_complete: bool,
        now: Instant,
        out: &mut Vec<Step<T>>,
    ) {
        for (at, number) in std::mem::take(&mut self.looking).into_iter().enumerate() {
            let Some(row) = self.rows.get_mut(&number) else { continue };
            // An answer that is too short leaves the rest unclear.
            let nothing = Found { holder: None, unclear: true };
            let Found { holder, unclear } = found.and_then(|found| found.get(at).copied()).unwrap_or(nothing);
            row.is_incomplete = unclear && !is_complete;
            let holder = holder.filter(|holder| *holder != self.me && !unclear);
            let told = links.iter().filter(|link| unclear || holder == Some(link.run));
            for link in told {
                row.open += 1;
                let n = self.last.entry(link.life).or_default();
                *n += 1;
                self.asked.insert((link.life, *n), number);
                if !unclear {
                    out.push(Step::Saw { device: row.device, over: link.life });
                }
                out.push(Step::Wake { over: link.life, n: *n, to: row.to, seq: row.seq });
            }
            // It is there, and there is no way to it.
            row.is_incomplete |= holder.is_some() && row.open == 0;
            self.conclude(number, now, out);
        }
    }

    /// The other side has told its mailboxes of everything up to there.
    pub(crate) fn woken(&mut self, over: LinkLife, up_to: u64, now: Instant, out: &mut Vec<Step<T>>) {
        while let Some((key, row)) = self.asked.range((over, 0)..=(over, up_to)).next().map(|(key, row)| (*key, *row)) {
            self.asked.remove(&key);
            self.answered(row, true, now, out);
        }
    }

    /// A wake-up was not sent, and its number not used.
    pub(crate) fn not_sent(&mut self, over: LinkLife, n: u64, now: Instant, out: &mut Vec<Step<T>>) {
        if let Some(last) = self.last.get_mut(&over)
            && *last == n
        {
            *last -= 1;
        }
        if let Some(row) = self.asked.remove(&(over, n)) {
            self.answered(row, false, now, out);
        }
    }

    /// Nothing is answered over that link any more.
    pub(crate) fn broke(&mut self, link: LinkLife, now: Instant, out: &mut Vec<Step<T>>) {
        self.last.remove(&link);
        let open = self.asked.range((link, 0)..=(link, u64::MAX)).map(|(key, row)| (*key, *row)).collect::<Vec<_>>();
        for (key, row) in open {
            self.asked.remove(&key);
            self.answered(row, false, now, out);
        }
    }

    /// When there is something to do without news.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let again = self.again.first_key_value().map(|(at, _)| *at);
        // Rows come in the order of time.
        let fence = self.rows.first_key_value().map(|(_, row)| row.until);
        again.into_iter().chain(fence).min()
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Vec<Step<T>>) {
        while let Some(first) = self.rows.first_entry()
            && first.get().until <= now
        {
            let (number, row) = first.remove_entry();
            self.waiting.remove(&number);
            out.push(Step::Done(row.then));
        }
        while let Some(first) = self.again.first_entry()
            && *first.key() <= now
        {
            self.waiting.extend(first.remove().into_iter().filter(|row| self.rows.contains_key(row)));
        }
    }

    /// Rows that wait for somebody to be told.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    fn answered(&mut self, number: u64, told: bool, now: Instant, out: &mut Vec<Step<T>>) {
        let Some(row) = self.rows.get_mut(&number) else { return };
        row.open -= 1;
        row.is_incomplete |= !told;
        self.conclude(number, now, out);
    }

    fn conclude(&mut self, number: u64, now: Instant, out: &mut Vec<Step<T>>) {
        let Some(row) = self.rows.get(&number).filter(|row| row.open == 0) else { return };
        if row.is_incomplete {
            self.again.entry(now + AGAIN).or_default().push(number);
        } else if let Some(row) = self.rows.remove(&number) {
            out.push(Step::Done(row.then));
        }
    }

    /// What must hold after every step.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let again: BTreeSet<_> = self.again.values().flatten().filter(|row| self.rows.contains_key(row)).collect();
        let looking: BTreeSet<_> = self.looking.iter().collect();
        let mut asked: BTreeMap<u64, usize> = BTreeMap::new();
        self.asked.values().for_each(|row| *asked.entry(*row).or_default() += 1);
        for (number, row) in &self.rows {
            let asked = asked.get(number).copied().unwrap_or_default();
            assert_eq!(asked, row.open, "a question for each answer that is awaited");
            let waits = usize::from(self.waiting.contains(number))
                + usize::from(looking.contains(number))
                + usize::from(again.contains(number))
                + usize::from(row.open > 0);
            assert_eq!(waits, 1, "a row waits for one thing");
        }
        assert!(self.looking.len() <= CLAIMS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use endtoend_cluster::NodeId;
    use endtoend_protocol::{AccountTag, DeviceId};

    use super::*;
    use crate::clock;

    const BOB: Address = Address { account: AccountTag::new([2; 32]), device: DeviceId::FIRST };
    const NOBODY: Found = Found { holder: None, unclear: false };
    const UNCLEAR: Found = Found { holder: None, unclear: true };

    fn run(n: u64) -> Incarnation {
        Incarnation { node: NodeId::new(n), run: 7 }
    }

    /// Links to the nodes 2 and 3.
    fn links() -> [PeerLink; 2] {
        [2, 3].map(|n| PeerLink { life: LinkLife(n), run: run(n) })
    }

    /// One row was committed at `now`, and the directory says this of its device.
    fn looked(found: Option<Found>, is_complete: bool, now: Instant) -> (Unwoken<()>, Vec<Step<()>>) {
        let (mut rules, mut out) = (Unwoken::new(run(1)), Vec::new());
        rules.committed(BOB, DeviceName([2; 16]), Seq(9), (), now);
        assert!(rules.next().is_some_and(|devices| devices.len() == 1));
        rules.looked(found.as_slice().first().map(std::slice::from_ref), &links(), is_complete, now, &mut out);
        rules.check_invariants();
        (rules, out)
    }

    /// Over which links somebody is told.
    fn woken(out: &[Step<()>]) -> Vec<u64> {
        let over = out.iter().filter_map(|step| match step {
            Step::Wake { over, .. } => Some(over.0),
            Step::Saw { .. } | Step::Done(()) => None,
        });
        over.collect()
    }

    fn is_done(out: &[Step<()>]) -> bool {
        out.iter().any(|step| matches!(step, Step::Done(())))
    }

    #[test]
    fn a_device_that_nobody_has_is_waited_for_by_nobody_and_one_that_somebody_has_until_he_knows() {
        let now = clock::monotonic();
        let (rules, out) = looked(Some(NOBODY), true, now);
        assert!(woken(&out).is_empty() && is_done(&out) && rules.len() == 0);
        let (mut rules, mut out) = looked(Some(Found { holder: Some(run(3)), unclear: false }), true, now);
        assert_eq!((woken(&out), is_done(&out)), (vec![3], false));
        rules.woken(LinkLife(3), 1, now, &mut out);
        assert!(is_done(&out));
    }

    #[test]
    fn a_device_of_which_the_directory_is_not_sure_may_be_with_anybody() {
        let now = clock::monotonic();
        // Without an answer nothing is sure either.
        for found in [Some(UNCLEAR), None] {
            let (mut rules, mut out) = looked(found, true, now);
            assert_eq!((woken(&out), is_done(&out)), (vec![2, 3], false));
            rules.woken(LinkLife(2), 1, now, &mut out);
            assert!(!is_done(&out), "it may be with the other one");
            rules.woken(LinkLife(3), 1, now, &mut out);
            assert!(is_done(&out));
        }
    }

    #[test]
    fn whom_nobody_can_tell_is_waited_for_until_he_has_nothing_for_himself_that_he_did_not_look_for() {
        let now = clock::monotonic();
        let (mut rules, mut out) = looked(Some(Found { holder: Some(run(4)), unclear: false }), true, now);
        assert!(woken(&out).is_empty() && !is_done(&out), "there is no link to him");
        rules.tick(now + FENCE - Duration::from_millis(1), &mut out);
        assert!(!is_done(&out) && rules.next().is_some(), "he is looked for again");
        rules.tick(now + FENCE, &mut out);
        assert!(is_done(&out) && rules.len() == 0);
        // Somebody has no link: all others may know, and he does not.
        let (mut rules, mut out) = looked(Some(UNCLEAR), false, now);
        [2, 3].into_iter().for_each(|link| rules.woken(LinkLife(link), 1, now, &mut out));
        assert!(!is_done(&out));
        rules.tick(now + FENCE, &mut out);
        assert!(is_done(&out));
    }
}
