//! What an account has settled about somebody, as a whole: for a device that has come to it since.

use crate::codec::DecodeError;
use crate::ids::{AccountTag, UnixMillis};
use crate::own::{Arrangement, Comparison};
use crate::said::{Face, Lifetime, invalid, lifetime, seconds};
use crate::{limits, wire};

/// Something that was settled, and when; at 0 it never was, and says nothing. `Debug` shows when.
#[derive(Clone, PartialEq, Eq)]
pub struct Settled<T> {
    /// What.
    pub value: T,
    /// By the clock of the device on which it was settled.
    pub at: UnixMillis,
}

impl<T> std::fmt::Debug for Settled<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settled({})", self.at.get())
    }
}

/// What is known of somebody. `Debug` shows whom it is about.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub account: AccountTag,
    /// How he is called, at most [`limits::HANDLE_BYTES_MAX`] bytes; empty when that is not known.
    pub handle: String,
    /// The identity key that is trusted, if one is.
    pub identity: Option<[u8; limits::SIGNAL_PUBLIC_KEY_BYTES]>,
    /// What was decided about him, as the client names it.
    pub standing: Settled<String>,
    /// What he is called on the devices of this account; empty for his handle.
    pub nickname: Settled<String>,
    /// The identity key that a person has compared.
    pub compared: Settled<Option<Comparison>>,
    /// How the conversation is kept.
    pub arrangement: Settled<Arrangement>,
    /// How he shows himself, and since when by his own clock.
    pub face: Settled<Face>,
    /// How long messages live.
    pub timer: Settled<Option<Lifetime>>,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Person({:?})", self.account)
    }
}

impl From<&Person> for wire::Person {
    fn from(person: &Person) -> Self {
        let Person { account, handle, identity, standing, nickname, compared, arrangement, face, timer } = person;
        let copy = bytes::Bytes::copy_from_slice;
        let nothing = bytes::Bytes::new;
        // What was never settled takes no room.
        let told = |at: UnixMillis| at.get() > 0;
        Self {
            account: copy(account.as_bytes()),
            handle: handle.clone(),
            identity: identity.map(|key| copy(&key)).unwrap_or_default(),
            standing: standing.value.clone(),
            decided_at_ms: standing.at.get(),
            nickname: told(nickname.at).then(|| wire::Nickname { account: nothing(), name: nickname.value.clone() }),
            nickname_at_ms: nickname.at.get(),
            compared: told(compared.at).then(|| compared.value.as_ref().into()),
            compared_at_ms: compared.at.get(),
            arranged: told(arrangement.at).then(|| (&arrangement.value).into()),
            arranged_at_ms: arrangement.at.get(),
            face: told(face.at).then(|| (&face.value).into()),
            face_at_ms: face.at.get(),
            timer: told(timer.at).then(|| wire::Timer { lives_for_s: seconds(timer.value) }),
            timer_at_ms: timer.at.get(),
        }
    }
}

impl Person {
    /// Bytes that he takes in a message.
    pub fn bytes(&self) -> usize {
        prost::Message::encoded_len(&wire::Person::from(self))
    }

    pub(crate) fn check(wire: wire::Person) -> Result<Self, DecodeError> {
        let at = UnixMillis::new;
        let bounded = |text: String, field| match text.len() {
            0..=limits::HANDLE_BYTES_MAX => Ok(text),
            _ => Err(invalid(field)),
        };
        Ok(Self {
            account: AccountTag::from_slice(&wire.account).map_err(|_| invalid("account"))?,
            handle: bounded(wire.handle, "handle")?,
            identity: match wire.identity.len() {
                0 => None,
                _ => Some(wire.identity.as_ref().try_into().map_err(|_| invalid("identity"))?),
            },
            standing: Settled { value: bounded(wire.standing, "standing")?, at: at(wire.decided_at_ms) },
            nickname: Settled {
                value: bounded(wire.nickname.unwrap_or_default().name, "name")?,
                at: at(wire.nickname_at_ms),
            },
            compared: Settled {
                value: Comparison::check(&wire.compared.unwrap_or_default())?,
                at: at(wire.compared_at_ms),
            },
            arrangement: Settled { value: (&wire.arranged.unwrap_or_default()).into(), at: at(wire.arranged_at_ms) },
            face: Settled { value: wire.face.unwrap_or_default().try_into()?, at: at(wire.face_at_ms) },
            timer: Settled {
                value: lifetime(wire.timer.map_or(0, |timer| timer.lives_for_s))?,
                at: at(wire.timer_at_ms),
            },
        })
    }
}
