//! Who may write to whom: what was decided, and what a connection remembers of it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use endtoend_cluster::link::wire::News;
use endtoend_protocol::{AccountTag, Answer, RefusalCode, Relation};
use endtoend_storage::{Relation as Stored, Standing};

use super::{Answered, Login, Services, unavailable};
use crate::elsewhere::FromPeer;
use crate::limits::{Operation, Subject, TooMany};

/// What a connection remembers is good for this long: on other nodes it may be changed without this one hearing of it.
const STANDING_LIFE: Duration = Duration::from_secs(10);
/// Accounts that a connection remembers. Beyond it, it begins anew.
const STANDINGS_MAX: usize = 1_024;

/// What one connection knows of those it writes to, so that the store is asked once and not for each envelope.
#[derive(Debug, Default)]
pub(crate) struct Standings {
    known: HashMap<AccountTag, (Option<Standing>, Instant, u64)>,
    /// Those who were written to as a stranger.
    strangers: HashSet<AccountTag>,
}

impl Standings {
    /// `None` when the store has to be asked. The inner value is `None` for an account that does not exist.
    pub(crate) fn get(&self, of: AccountTag, changes: u64, now: Instant) -> Option<Option<Standing>> {
        let (standing, at, seen) = self.known.get(&of)?;
        let fresh = *seen == changes && now.saturating_duration_since(*at) < STANDING_LIFE;
        fresh.then_some(*standing)
    }

    /// `changes` was read before the store was.
    pub(crate) fn put(&mut self, of: AccountTag, standing: Option<Standing>, changes: u64, now: Instant) {
        if self.known.len() >= STANDINGS_MAX {
            self.known.clear();
        }
        self.known.insert(of, (standing, now, changes));
    }

    /// Somebody is written to who has not accepted it. Says whether that is new.
    pub(crate) fn is_first_request(&mut self, of: AccountTag) -> bool {
        if self.strangers.len() >= STANDINGS_MAX {
            self.strangers.clear();
        }
        self.strangers.insert(of)
    }
}

impl Services {
    /// Counts changes that make what connections remember wrong.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Of this account, here and on other nodes.
    pub(super) fn changed(&self, account: AccountTag) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.sessions.tell(News::StandingChanged { account });
    }

    /// Another node has changed something, or ended somebody.
    pub(crate) fn heard_from_peer(&self, said: FromPeer) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        match said {
            FromPeer::News(News::StandingChanged { .. }) => {}
            FromPeer::News(News::DevicesChanged { account, version }) => {
                self.sessions.say_devices_changed(account, version);
            }
            FromPeer::News(
                revoked @ (News::DeviceRevoked { .. } | News::FamilyRevoked { .. } | News::AccountRevoked { .. }),
            ) => self.doubts.of(revoked),
            FromPeer::Missed => self.doubts.of_everybody(),
        }
    }

    /// How a recipient stands to a sender; `None` when there is no such account.
    pub(crate) async fn standing(&self, recipient: AccountTag, sender: AccountTag) -> Answered<Option<Standing>> {
        let pair = self.secrets.relation(recipient, sender);
        self.store.standing(recipient, pair).await.map_err(|error| unavailable(&error))
    }

    /// Whether a stranger may write once more. The first envelope to somebody counts for the sender too.
    pub(crate) async fn may_request(
        &self,
        recipient: AccountTag,
        sender: AccountTag,
        first: bool,
    ) -> Result<(), TooMany> {
        let pair = self.secrets.relation(recipient, sender);
        let request = (Operation::Request, Subject::Pair(&pair.0));
        if first {
            self.limits.check_all(&[(Operation::FirstContact, Subject::Account(sender)), request]).await
        } else {
            self.limits.check_all(&[request]).await
        }
    }

    pub(super) async fn accept_if_new(&self, owner: AccountTag, peer: AccountTag) -> Answered<()> {
        let pair = self.secrets.relation(owner, peer);
        if self.store.accept_if_new(owner, pair).await.map_err(|error| unavailable(&error))? {
            self.changed(owner);
        }
        Ok(())
    }

    /// Notes what an account has decided. Only for itself: nobody decides for another.
    pub(crate) async fn set_relation(
        &self,
        login: Login,
        peer: AccountTag,
        relation: Option<Relation>,
    ) -> Answered<Answer> {
        let owner = login.device.account;
        self.limits.check(Operation::Change, Subject::Account(owner)).await?;
        if owner == peer {
            return Err(RefusalCode::Invalid.into());
        }
        let relation = relation.map(|relation| match relation {
            Relation::Accepted => Stored::Accepted,
            Relation::Blocked => Stored::Blocked,
        });
        let pair = self.secrets.relation(owner, peer);
        let set = self.store.set_relation(owner, pair, relation).await.map_err(|error| unavailable(&error))?;
        self.changed(owner);
        if set { Ok(Answer::Done) } else { Err(RefusalCode::Rate.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn what_is_remembered_is_fresh_and_of_the_present() {
        let (now, tag) = (clock::monotonic(), AccountTag::new([1; 32]));
        let standing = Some(Standing { relation: Some(Stored::Blocked), devices_version: 3 });
        let mut standings = Standings::default();
        assert_eq!(standings.get(tag, 0, now), None);
        standings.put(tag, standing, 0, now);
        assert_eq!(standings.get(tag, 0, now), Some(standing));
        assert_eq!(standings.get(tag, 1, now), None, "something has changed");
        assert_eq!(standings.get(tag, 0, now + STANDING_LIFE), None, "too old");
        standings.put(tag, None, 1, now);
        assert_eq!(standings.get(tag, 1, now), Some(None));
    }

    #[test]
    fn a_connection_remembers_a_bounded_number() {
        let now = clock::monotonic();
        let mut standings = Standings::default();
        for number in 0..u32::try_from(STANDINGS_MAX).unwrap() * 2 {
            let mut tag = [0; 32];
            tag[..4].copy_from_slice(&number.to_le_bytes());
            standings.put(AccountTag::new(tag), None, 0, now);
            standings.is_first_request(AccountTag::new(tag));
            assert!(standings.known.len() <= STANDINGS_MAX && standings.strangers.len() <= STANDINGS_MAX);
        }
    }
}
