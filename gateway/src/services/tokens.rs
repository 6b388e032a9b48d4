//! Tokens: what a device shows instead of the password, and what becomes of a refresh token that is shown.

use bytes::Bytes;
use endtoend_crypto_core::proof::Purpose;
use endtoend_crypto_core::refresh::RefreshToken;
use endtoend_crypto_core::signature::SigningKey;
use endtoend_crypto_core::token;
use endtoend_protocol::{AccountTag, Address, Answer, DeviceId, Refusal, RefusalCode, UnixMillis, limits};
use endtoend_storage::{Family, FamilyId};
use subtle::ConstantTimeEq as _;

use super::audit::{Event, Outcome};
use super::guest::Guest;
use super::{Answered, Login, Services, off_thread, unavailable};
use crate::limits::{Operation, Subject};

/// What becomes of a refresh token whose device has proved itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The present one: another takes its place.
    Rotate(Family),
    /// The one before, and the present one was never used: its device has crashed before it could store that. Once.
    Recover(Family),
    /// An older one, or one that was made up: somebody has a copy.
    Reuse,
    /// Too old.
    Expired,
}

/// In constant time.
fn same_hash(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.ct_eq(b).into()
}

/// `shown` and `next` are the generation of the token that was shown with its hash, and the hash of the one to come.
pub(super) fn judge(family: &Family, shown: (u32, [u8; 32]), next: [u8; 32], now: UnixMillis) -> Verdict {
    if now >= family.expires_at {
        return Verdict::Expired;
    }
    let (generation, hash) = shown;
    let after = |previous_hash| Family {
        generation: family.generation.saturating_add(1),
        token_hash: next,
        previous_hash,
        refreshed_at: now,
        expires_at: now.plus(limits::REFRESH_TOKEN_LIFE),
        ..family.clone()
    };
    if generation == family.generation && same_hash(&hash, &family.token_hash) {
        return Verdict::Rotate(after(Some(hash)));
    }
    match &family.previous_hash {
        Some(previous) if generation.checked_add(1) == Some(family.generation) && same_hash(&hash, previous) => {
            Verdict::Recover(after(None))
        }
        _ => Verdict::Reuse,
    }
}

impl Services {
    /// The key of access tokens was replaced, here and on all nodes.
    pub(crate) fn replace_token_key(&self, key: SigningKey) {
        self.secrets.replace_token_key(key);
    }

    /// A new family for a device that has just logged in, and both tokens.
    pub(super) async fn begin_family(&self, device: Address, now: UnixMillis) -> Answered<(Login, Answer)> {
        let refresh = RefreshToken::first(&mut rand::rng());
        let family = Family {
            id: FamilyId(refresh.family),
            device,
            generation: 0,
            token_hash: self.secrets.refresh.hash(&refresh),
            previous_hash: None,
            created_at: now,
            refreshed_at: now,
            expires_at: now.plus(limits::REFRESH_TOKEN_LIFE),
        };
        let id = family.id;
        match self.store.put_family(family).await {
            Ok(true) => {}
            Ok(false) => return Err(RefusalCode::BadCredentials.into()),
            Err(error) => return Err(unavailable(&error)),
        }
        // Whoever goes on with the family before is not this login.
        self.sessions.end_device(device);
        self.authenticated(device, id, Some(&refresh), now).await
    }

    /// Goes on with a refresh token.
    pub(crate) async fn refresh(
        &self,
        token: &[u8],
        proof: Bytes,
        guest: &mut Guest,
        now: UnixMillis,
    ) -> Answered<(Login, Answer)> {
        self.admit(Operation::Login, guest).await?;
        let bad = || Refusal::from(RefusalCode::BadCredentials);
        let token = RefreshToken::from_bytes(token).map_err(|_| bad())?;
        let id = FamilyId(token.family);
        let family = self.store.family(id).await.map_err(|error| unavailable(&error))?.ok_or_else(bad)?;
        let device = family.device;
        self.check_refreshes(device, now).await?;
        let purpose = Purpose::Refresh { family: token.family, generation: token.generation };
        if let Err(refusal) = self.check_device(device, purpose, proof, guest, now).await {
            // A token without its device: it was stolen, and is of no use. The family goes on.
            self.audit.note(Event::TokenRefresh, Outcome::Refused, Some(device), &["no_proof"], now);
            return Err(refusal);
        }
        let shown = (token.generation, self.secrets.refresh.hash(&token));
        let mut next = token.next(&mut rand::rng()).ok_or_else(bad)?;
        next.generation = family.generation.saturating_add(1);
        match judge(&family, shown, self.secrets.refresh.hash(&next), now) {
            Verdict::Rotate(after) | Verdict::Recover(after) => {
                let swapped = self.store.swap_family(&family, &after).await.map_err(|error| unavailable(&error))?;
                if !swapped {
                    // Somebody has shown the same token at the same moment. One of the two was told another.
                    return Err(Refusal { retry_after_ms: std::num::NonZeroU64::new(200), ..RefusalCode::Busy.into() });
                }
                let recovered: &[&str] = if after.previous_hash.is_none() { &["recovered"] } else { &[] };
                self.audit.note(Event::TokenRefresh, Outcome::Ok, Some(device), recovered, now);
                self.authenticated(device, id, Some(&next), now).await
            }
            Verdict::Expired => Err(bad()),
            Verdict::Reuse => {
                self.store.remove_family(id).await.map_err(|error| unavailable(&error))?;
                self.sessions.end_family(device.account, id);
                self.audit.note(Event::TokenRefresh, Outcome::Refused, Some(device), &["reuse"], now);
                Err(bad())
            }
        }
    }

    /// Goes on with an access token. It is given back as it is: only a login and a refresh make a new one.
    pub(crate) async fn resume(
        &self,
        token: Bytes,
        proof: Bytes,
        guest: &mut Guest,
        now: UnixMillis,
    ) -> Answered<(Login, Answer)> {
        self.admit(Operation::Login, guest).await?;
        let bad = || Refusal::from(RefusalCode::BadCredentials);
        let (verifier, bytes) = (self.secrets.token().verifying, token.clone());
        let skew = u64::try_from(limits::CLOCK_SKEW_MAX.as_millis()).unwrap_or_default();
        let claims = off_thread(move || token::verify(&verifier, &bytes, now.get(), skew)).await?.map_err(|_| bad())?;
        let device = DeviceId::new(claims.device.into()).map_err(|_| bad())?;
        let address = Address { account: AccountTag::new(claims.account), device };
        self.check_refreshes(address, now).await?;
        // The token names its family. One that is gone was revoked.
        let id = FamilyId(claims.token_id);
        let family = self.store.family(id).await.map_err(|error| unavailable(&error))?;
        if family.is_none_or(|family| family.device != address) {
            return Err(bad());
        }
        self.check_device(address, Purpose::Resume { token_id: claims.token_id }, proof, guest, now).await?;
        self.answer(address, id, token, UnixMillis::new(claims.expires_ms), None).await
    }

    async fn check_refreshes(&self, device: Address, now: UnixMillis) -> Answered<()> {
        let (operation, subject) = (Operation::Refresh, Subject::Device(device));
        let Err(too_many) = self.limits.check(operation, subject).await else { return Ok(()) };
        if self.limits.is_news(operation, subject) {
            self.audit.note(Event::TokenRefresh, Outcome::Refused, Some(device), &["many"], now);
        }
        Err(too_many.into())
    }

    /// Ends the family of a login, or all of its account. The connections of the others end.
    pub(crate) async fn logout(&self, login: Login, everywhere: bool, now: UnixMillis) -> Answered<Answer> {
        let account = login.device.account;
        if everywhere {
            self.store.remove_families(account, None).await.map_err(|error| unavailable(&error))?;
            self.sessions.end_account(account, Some(login.family));
        } else {
            self.store.remove_family(login.family).await.map_err(|error| unavailable(&error))?;
        }
        let signals: &[&str] = if everywhere { &["everywhere"] } else { &[] };
        self.audit.note(Event::Logout, Outcome::Ok, Some(login.device), signals, now);
        Ok(Answer::Done)
    }

    async fn authenticated(
        &self,
        device: Address,
        family: FamilyId,
        refresh: Option<&RefreshToken>,
        now: UnixMillis,
    ) -> Answered<(Login, Answer)> {
        let expires = now.plus(limits::ACCESS_TOKEN_LIFE);
        let key = self.secrets.token().signing;
        let token = off_thread(move || {
            let account = device.account.as_bytes();
            token::issue(&key, account, device.device.get(), &family.0, now.get(), expires.get())
        })
        .await?;
        let refresh = refresh.map(|token| Bytes::copy_from_slice(&*token.to_bytes()));
        self.answer(device, family, token.into(), expires, refresh).await
    }

    async fn answer(
        &self,
        address: Address,
        family: FamilyId,
        token: Bytes,
        token_expires: UnixMillis,
        refresh_token: Option<Bytes>,
    ) -> Answered<(Login, Answer)> {
        let keys = self.store.key_counts(address).await.map_err(|error| unavailable(&error))?;
        let (_, devices_version) = self.store.devices(address.account).await.map_err(|error| unavailable(&error))?;
        let login = Login { device: address, family };
        Ok((login, Answer::Authenticated { address, token, token_expires, keys, refresh_token, devices_version }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

    fn family() -> Family {
        let device = Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST };
        Family {
            id: FamilyId([2; 16]),
            device,
            generation: 0,
            token_hash: [0; 32],
            previous_hash: None,
            created_at: NOW,
            refreshed_at: NOW,
            expires_at: NOW.plus(limits::REFRESH_TOKEN_LIFE),
        }
    }

    /// A device that shows tokens by their number, and a server that gives number n the hash [n; 32].
    struct Server {
        family: Option<Family>,
        given: u8,
    }

    impl Server {
        /// The number of the next token, if there is one.
        fn show(&mut self, (generation, number): (u32, u8)) -> Option<(u32, u8)> {
            let family = self.family.clone()?;
            let next = self.given + 1;
            match judge(&family, (generation, [number; 32]), [next; 32], NOW) {
                Verdict::Rotate(after) | Verdict::Recover(after) => {
                    self.given = next;
                    let generation = after.generation;
                    self.family = Some(after);
                    Some((generation, next))
                }
                Verdict::Reuse => {
                    self.family = None;
                    None
                }
                Verdict::Expired => None,
            }
        }
    }

    fn server() -> Server {
        Server { family: Some(family()), given: 0 }
    }

    #[test]
    fn each_token_leads_to_the_next() {
        let (mut server, mut token) = (server(), (0, 0));
        for _ in 0..5 {
            token = server.show(token).unwrap();
        }
        assert_eq!(token, (5, 5));
    }

    #[test]
    fn a_device_that_lost_the_answer_recovers_once() {
        let mut server = server();
        let lost = server.show((0, 0)).unwrap();
        let again = server.show((0, 0)).unwrap();
        assert_ne!(again, lost);
        let next = server.show(again).unwrap();
        // Whoever has found the lost one has found nothing, and ends the family.
        assert_eq!(server.show(lost), None);
        assert_eq!(server.show(next), None);
    }

    #[test]
    fn a_device_that_loses_two_answers_in_a_row_has_to_log_in() {
        let mut server = server();
        server.show((0, 0)).unwrap();
        server.show((0, 0)).unwrap();
        assert_eq!(server.show((0, 0)), None);
    }

    #[test]
    fn an_older_token_ends_the_family() {
        let mut server = server();
        let first = server.show((0, 0)).unwrap();
        let second = server.show(first).unwrap();
        assert_eq!(server.show((0, 0)), None);
        assert_eq!(server.show(second), None, "for the device too: somebody has its tokens");
    }

    #[test]
    fn a_token_that_was_made_up_ends_the_family_too() {
        for token in [(0, 9), (1, 0), (u32::MAX, 0)] {
            let mut server = server();
            assert_eq!(server.show(token), None);
            assert!(server.family.is_none());
        }
    }

    #[test]
    fn a_token_lives_for_thirty_days_from_its_issue() {
        let family = family();
        let at = |now| judge(&family, (0, [0; 32]), [1; 32], now);
        assert!(matches!(
            at(NOW.plus(limits::REFRESH_TOKEN_LIFE - std::time::Duration::from_millis(1))),
            Verdict::Rotate(_)
        ));
        assert_eq!(at(NOW.plus(limits::REFRESH_TOKEN_LIFE)), Verdict::Expired);
        let Verdict::Rotate(after) = at(NOW.plus(std::time::Duration::from_secs(1))) else { panic!("not rotated") };
        assert_eq!(after.expires_at, NOW.plus(std::time::Duration::from_secs(1)).plus(limits::REFRESH_TOKEN_LIFE));
    }
}
