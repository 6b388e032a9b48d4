//! A message leaves: sealed once for each device of its recipient, and kept until the server has accepted it.

use endtoend_crypto_e2e::{PEER_KEYS_AGE_MAX, SealError, SessionError, seal, start_session};
use endtoend_protocol::{AccountTag, Address, Bundles, Envelope, EnvelopeId, MessageId, UnixMillis};
use rand::RngExt as _;

use super::chains::place;
use super::repair::content_again;
use super::rotation::is_late;
use crate::database::{DatabaseError, SealedItem, Store};

/// What row of the outbox to send.
#[derive(Debug)]
pub(super) enum Sealed {
    /// This envelope, which carries `message`. `others` are rows that came to be for further devices.
    Ready { envelope: Envelope, message: MessageId, others: Vec<(i64, EnvelopeId)> },
    /// The recipient's keys are needed first.
    NoKeys,
    /// It is not certain that the recipient still has the envelope keys that are known here.
    StaleKeys,
    /// The row is gone.
    Settled,
}

/// What a fetched bundle led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// There is a session with every device.
    Ready,
    /// The account has another identity than the one trusted so far: noted.
    IdentityChanged,
    /// The keys contradict each other. Nothing was stored.
    BadKeys,
}

/// The envelope of row `seq`: made now, or when it was first asked for unless its keys may be gone before it arrives. Runs
/// inside a transaction.
pub(super) fn seal_row(
    store: &Store<'_>,
    own: Address,
    seq: i64,
    to: AccountTag,
    now: UnixMillis,
) -> Result<Sealed, DatabaseError> {
    let (message, content) = match store.outbox_item(seq)? {
        None => return Ok(Sealed::Settled),
        Some(SealedItem::Sealed { message, envelope }) => {
            // A repeat under another envelope is shown once: the message id is the same. What was sealed before there were chains
            // is understood by nobody any more.
            let old = is_late(store.sealed_at(envelope.id)?, now) || store.place_of(message, envelope.to)?.is_none();
            let again = match old {
                true => content_again(store, to, message)?,
                false => None,
            };
            let Some(content) = again else {
                let envelope = Envelope { devices_version: store.devices_version(to)?, ..envelope };
                return Ok(Sealed::Ready { envelope, message, others: Vec::new() });
            };
            store.reopen(seq, message, to, &content)?;
            (message, content)
        }
        Some(SealedItem::Open { message, content }) => (message, content),
    };
    let devices_version = store.devices_version(to)?;
    // Some of them may have written to us, and be all that we know of.
    let devices = if devices_version == 0 { Vec::new() } else { store.devices(to)? };
    // A moment in the future is of a clock that has been set back since.
    let fresh = store.keys_at(to)?.is_some_and(|at| at <= now && now.since(at) < PEER_KEYS_AGE_MAX);
    if !devices.is_empty() && !fresh {
        return Ok(Sealed::StaleKeys);
    }
    let rng = &mut rand::rng();
    let mut envelopes = Vec::new();
    for device in devices {
        let to = Address { account: to, device };
        let id = EnvelopeId::new(now, rng.random());
        let placed = place(store, own, to, message, &content)?;
        match seal(store, rng, own, to, id, &placed.parcel, now) {
            Ok((body, changes)) => envelopes.push((Envelope { id, to, body, devices_version }, placed, changes)),
            Err(error) => {
                no_session(error)?;
                store.forget_devices(to.account)?;
                return Ok(Sealed::NoKeys);
            }
        }
    }
    for (envelope, placed, changes) in &envelopes {
        store.apply(changes)?;
        placed.keep(store, envelope.to)?;
        store.put_sent(envelope.id, message, envelope.to, &placed.place, now)?;
    }
    let envelopes: Vec<Envelope> = envelopes.into_iter().map(|(envelope, ..)| envelope).collect();
    if envelopes.is_empty() {
        return Ok(Sealed::NoKeys);
    }
    let rows = store.put_envelopes(seq, &envelopes)?;
    let mut envelopes = envelopes.into_iter();
    let Some(envelope) = envelopes.next() else { return Ok(Sealed::NoKeys) };
    let others = rows.into_iter().zip(envelopes.map(|other| other.id)).collect();
    Ok(Sealed::Ready { envelope, message, others })
}

/// Begins a session with every device of an account. Runs inside a transaction.
pub(super) fn open_sessions(
    store: &Store<'_>,
    own: Address,
    peer: AccountTag,
    bundles: &Bundles,
    now: UnixMillis,
) -> Result<Opened, DatabaseError> {
    let mut sessions = Vec::new();
    for bundle in &bundles.devices {
        let address = Address { account: peer, device: bundle.device };
        if address == own {
            continue;
        }
        match start_session(store, &mut rand::rng(), own, address, &bundles.identity_key, bundle, now) {
            Ok(changes) => sessions.push((bundle.device, changes)),
            Err(error) => return not_opened(store, own, peer, bundles, error),
        }
    }
    // Only now, with every device's keys verified. There are no others any more.
    store.forget_devices(peer)?;
    for (device, changes) in &sessions {
        store.apply(changes)?;
        store.put_device(peer, *device, now)?;
    }
    store.set_keys_at(peer, bundles.devices_version, now)?;
    Ok(Opened::Ready)
}

/// Why there is nothing to seal with. Anything but a broken database is mended by fetching keys anew.
fn no_session(error: SealError) -> Result<(), DatabaseError> {
    match error {
        SealError::Records(error) => Err(error.into()),
        _ => Ok(()),
    }
}

fn not_opened(
    store: &Store<'_>,
    own: Address,
    peer: AccountTag,
    bundles: &Bundles,
    error: SessionError,
) -> Result<Opened, DatabaseError> {
    match error {
        SessionError::Records(error) => Err(error.into()),
        // Nobody is ever asked to accept another identity of oneself.
        SessionError::IdentityChanged { .. } if peer != own.account => {
            store.set_changed_identity(peer, Some(&bundles.identity_key))?;
            Ok(Opened::IdentityChanged)
        }
        _ => Ok(Opened::BadKeys),
    }
}
