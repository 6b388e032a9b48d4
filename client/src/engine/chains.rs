//! Each message has a place in its sender's chain: given when it is sealed, judged when it is opened, told when something is
//! missing. All of it inside the transaction of the message.

use std::num::NonZeroU64;
use std::time::Duration;

use endtoend_crypto_e2e::{chain_head, chain_start};
use endtoend_protocol::{Address, ChainId, MessageId, Parcel, Place, UnixMillis, limits};
use rand::RngExt as _;
use zeroize::Zeroizing;

use crate::chain::{Finding, Incoming};
use crate::database::{DatabaseError, Notice, NoticeKind, Store};

/// What is missing because it did not open, and was asked for again, is told when it has not come within this time. That it
/// did not open was told at once.
pub(super) const REPAIR_GRACE: Duration = Duration::from_secs(24 * 3600);

/// A message as it goes into the ratchet for one device.
pub(super) struct Placed {
    /// What is sealed.
    pub(super) parcel: Zeroizing<Vec<u8>>,
    /// Where it stands.
    pub(super) place: Place,
    /// What comes after it, when it has taken the chain's next place.
    next: Option<Place>,
}

/// Gives a message its place among all that is said to a device: the one that it had when it was sealed for it before, or the
/// next one. Changes nothing: [`Placed::keep`] does.
pub(super) fn place(
    store: &Store<'_>,
    own: Address,
    to: Address,
    message: MessageId,
    content: &[u8],
) -> Result<Placed, DatabaseError> {
    let next = match store.next_place(to)? {
        Some(next) => next,
        None => {
            let chain = ChainId(rand::rng().random());
            Place { chain, number: NonZeroU64::MIN, previous: chain_start(chain, own, to) }
        }
    };
    let before = store.place_of(message, to)?.filter(|place| place.chain == next.chain);
    let place = before.unwrap_or(next);
    let after = Place { number: place.number.saturating_add(1), previous: chain_head(&place, content), ..place };
    let mut copies = store.copies(message, to)?;
    // There were that many before the last one that may be.
    copies.truncate(limits::COPIES_MAX.saturating_sub(1));
    let parcel = Parcel { place, copies, content: bytes::Bytes::copy_from_slice(content) };
    let parcel = Zeroizing::new(parcel.encode());
    Ok(Placed { parcel, place, next: before.is_none().then_some(after) })
}

impl Placed {
    /// It was sealed: what comes next has the next place.
    pub(super) fn keep(&self, store: &Store<'_>, to: Address) -> Result<(), DatabaseError> {
        self.next.as_ref().map_or(Ok(()), |next| store.set_next_place(to, next))
    }
}

/// A parcel of a sending device was opened: notes what it shows about those before it. `known` says that a message of its id is
/// stored already.
pub(super) fn hear(
    store: &Store<'_>,
    own: Address,
    from: Address,
    parcel: &Parcel,
    known: bool,
    now: UnixMillis,
) -> Result<(), DatabaseError> {
    let place = &parcel.place;
    let (start, head) = (chain_start(place.chain, from, own), chain_head(place, &parcel.content));
    let (mut chain, heard_at) = match store.heard_of(from)? {
        Some((chain, at)) => (chain, Some(at)),
        None => (Incoming::new(place.chain, start), None),
    };
    let findings = chain.hear(place, start, head, !parcel.copies.is_empty(), known);
    store.set_heard_of(from, &chain, now)?;
    findings.into_iter().try_for_each(|finding| note(store, from, place.chain, finding, heard_at, now))
}

fn note(
    store: &Store<'_>,
    from: Address,
    chain: ChainId,
    finding: Finding,
    heard_at: Option<UnixMillis>,
    now: UnixMillis,
) -> Result<(), DatabaseError> {
    let notice = |kind, first: u64, last| Notice {
        seq: 0,
        from,
        handle: None,
        own: false,
        kind,
        chain,
        first,
        last,
        missing: 0,
        may_have_expired: false,
        after: 0,
        at: now,
        due_at: now,
        shown: false,
    };
    match finding {
        Finding::Repeated => Ok(()),
        Finding::Missing { first, last } => {
            let missing = last.saturating_sub(first).saturating_add(1);
            let blocked = store.was_blocked_since(from.account, heard_at.unwrap_or_default())?;
            let kind = if blocked { NoticeKind::Blocked } else { NoticeKind::Missing };
            let asked = store.unopened_since(from.account, now.minus(REPAIR_GRACE))?;
            let awaited = store.awaited(from.account, now)?.saturating_add(missing);
            let due_at = if awaited <= asked { now.plus(REPAIR_GRACE) } else { now };
            let may_have_expired = heard_at.is_some_and(|at| now.since(at) > limits::QUEUE_AGE_MAX);
            store.put_notice(&Notice { missing, due_at, may_have_expired, ..notice(kind, first, last) })
        }
        Finding::Late { number } => match store.came_after_all(from, chain, number, true, now)? {
            true => Ok(()),
            false => store.put_notice(&notice(NoticeKind::Late, number, number)),
        },
        Finding::Mended { number } => store.came_after_all(from, chain, number, false, now).map(|_| ()),
        Finding::Forked { number } => store.put_notice(&notice(NoticeKind::Forked, number, number)),
        Finding::Restarted => store.put_notice(&notice(NoticeKind::Restarted, 1, 1)),
    }
}
