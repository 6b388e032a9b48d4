//! The rules of a directory of claims, as plain data. The scripts for Redis do the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::directory::{Before, ClaimsError, Found, Kept, Lost, Renewed, Stamp, Swept, Taken};
use super::names::{DeviceName, Epoch, Incarnation};
use super::{CLAIM_LIFE, CLAIMS_MAX};

/// A directory of claims in memory. Told the time, in microseconds of any clock that does not go back.
#[derive(Clone, Debug)]
pub struct ClaimTable {
    lease: u64,
    /// So long another one may be believed in whose place this one has taken.
    guard: u64,
    /// Since when it remembers. What was claimed before may be forgotten.
    born: Option<u64>,
    #[cfg(test)]
    is_old: bool,
    leases: BTreeMap<Incarnation, Leased>,
    lost: BTreeMap<Incarnation, BTreeMap<DeviceName, Epoch>>,
    claims: BTreeMap<DeviceName, Claim>,
}

#[derive(Clone, Copy, Debug)]
struct Leased {
    until: u64,
    stamp: Stamp,
    /// Which life of the directory has given it. What its run has claimed since an earlier one may be lost.
    of: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    /// None: released, while it was not clear yet who else had it.
    holder: Option<Incarnation>,
    epoch: Epoch,
    /// Until then, somebody other than the holder may have the device for itself.
    unclear_until: u64,
    expires_at: u64,
}

impl ClaimTable {
    /// An empty one.
    pub fn new(lease: Duration) -> Self {
        Self {
            lease: micros(lease),
            guard: 0,
            born: None,
            #[cfg(test)]
            is_old: false,
            leases: BTreeMap::new(),
            lost: BTreeMap::new(),
            claims: BTreeMap::new(),
        }
    }

    /// See [`ClaimDirectory`](super::ClaimDirectory).
    pub fn renew(&mut self, by: Incarnation, handled: &[Lost], now: u64) -> Renewed {
        self.forget(now);
        let born = *self.born.get_or_insert(now);
        let stamp = self.living(by).map_or(Stamp(now), |lease| lease.stamp);
        self.leases.insert(by, Leased { until: now + self.lease, stamp, of: self.born });
        let young_for = Duration::from_micros((born + self.lease + self.guard).saturating_sub(now));
        let Some(list) = self.lost.get_mut(&by) else { return Renewed { stamp, young_for, ..Renewed::default() } };
        for Lost { device, epoch } in handled {
            if list.get(device) == Some(epoch) {
                list.remove(device);
            }
        }
        let lost: Vec<_> =
            list.iter().take(CLAIMS_MAX).map(|(device, epoch)| Lost { device: *device, epoch: *epoch }).collect();
        let more = list.len() > lost.len();
        if list.is_empty() {
            self.lost.remove(&by);
        }
        Renewed { stamp, lost, more, young_for }
    }

    /// See [`ClaimDirectory`](super::ClaimDirectory).
    ///
    /// # Errors
    /// `NoLease`.
    pub fn take(&mut self, by: Incarnation, device: DeviceName, now: u64) -> Result<Taken, ClaimsError> {
        self.forget(now);
        self.must_have_lease(by)?;
        let young = self.is_young(now);
        let old = self.claims.get(&device).copied();
        let epoch = Epoch(old.map_or(0, |old| old.epoch.0 + 1).max(now));
        let before = match old {
            Some(old) if old.unclear_until > now => Before::Somebody,
            _ if young => Before::Somebody,
            Some(Claim { holder: Some(holder), .. }) if holder != by => Before::Holder(holder),
            _ => Before::Nobody,
        };
        if let Some(holder) = old.and_then(|old| old.holder).filter(|holder| *holder != by) {
            self.tell(holder, device, epoch);
        }
        let unclear_until = match before {
            Before::Nobody => 0,
            Before::Holder(_) | Before::Somebody => now + self.lease,
        };
        let expires_at = now + micros(CLAIM_LIFE);
        self.claims.insert(device, Claim { holder: Some(by), epoch, unclear_until, expires_at });
        Ok(Taken { epoch, before })
    }

    /// See [`ClaimDirectory`](super::ClaimDirectory).
    ///
    /// # Errors
    /// `NoLease`.
    pub fn keep(
        &mut self,
        by: Incarnation,
        claims: &[(DeviceName, Epoch)],
        now: u64,
    ) -> Result<Vec<Kept>, ClaimsError> {
        self.forget(now);
        self.must_have_lease(by)?;
        let kept = claims.iter().take(CLAIMS_MAX).map(|(device, epoch)| self.keep_one(by, *device, *epoch, now));
        Ok(kept.collect())
    }

    fn keep_one(&mut self, by: Incarnation, device: DeviceName, epoch: Epoch, now: u64) -> Kept {
        let expires_at = now + micros(CLAIM_LIFE);
        let old = self.claims.get(&device).copied();
        match old {
            Some(old) if old.holder == Some(by) && old.epoch == epoch => {
                self.claims.insert(device, Claim { expires_at, ..old });
                return if old.unclear_until > now { Kept::Unclear } else { Kept::Stands };
            }
            Some(old) if old.epoch >= epoch => return Kept::Lost,
            Some(Claim { holder: Some(holder), .. }) if holder != by => self.tell(holder, device, epoch),
            Some(_) | None => {}
        }
        let unclear_until = now + self.lease;
        self.claims.insert(device, Claim { holder: Some(by), epoch, unclear_until, expires_at });
        Kept::Unclear
    }

    /// See [`ClaimDirectory`](super::ClaimDirectory).
    pub fn release(&mut self, by: Incarnation, claims: &[(DeviceName, Epoch)], now: u64) {
        self.forget(now);
        for (device, epoch) in claims.iter().take(CLAIMS_MAX) {
            let Some(claim) = self.claims.get_mut(device) else { continue };
            if claim.holder != Some(by) || claim.epoch != *epoch {
                continue;
            }
            if claim.unclear_until > now {
                // Whoever had it before may still believe so.
                claim.holder = None;
                claim.expires_at = claim.unclear_until;
            } else {
                self.claims.remove(device);
            }
        }
    }

    /// See [`ClaimDirectory`](super::ClaimDirectory).
    pub fn find(&mut self, devices: &[DeviceName], now: u64) -> Vec<Found> {
        self.forget(now);
        let young = self.is_young(now);
        let found = devices.iter().take(CLAIMS_MAX).map(|device| {
            let Some(claim) = self.claims.get(device) else { return Found { holder: None, unclear: young } };
            let holder = claim.holder.filter(|holder| self.living(*holder).is_some());
            Found { holder, unclear: young || claim.unclear_until > now }
        });
        found.collect()
    }

    /// See [`ClaimDirectory`](super::ClaimDirectory).
    pub fn leave(&mut self, by: Incarnation) {
        self.leases.remove(&by);
        self.lost.remove(&by);
    }

    /// See [`ClaimDirectory`](super::ClaimDirectory).
    pub fn sweep(&mut self, dead: &BTreeSet<Incarnation>, now: u64) -> Swept {
        self.forget(now);
        let living: BTreeSet<_> = self.leases.keys().copied().filter(|run| self.living(*run).is_some()).collect();
        let mut swept = Swept::default();
        self.claims.retain(|_, claim| {
            let Some(holder) = claim.holder.filter(|holder| !living.contains(holder)) else { return true };
            let remove = dead.contains(&holder);
            if remove {
                swept.removed += 1;
            } else {
                swept.dead.insert(holder);
            }
            !remove
        });
        self.lost.retain(|run, _| living.contains(run));
        swept
    }

    /// Everything is forgotten, as by a restart of what keeps it.
    pub fn flush(&mut self) {
        *self = Self { lease: self.lease, guard: self.guard, ..Self::new(Duration::ZERO) };
    }

    /// It has taken the place of another one, with what it knew of it: what that one has heard last may be missing. Somebody may
    /// believe in the other for `guard` longer.
    pub fn succeed(&mut self, guard: Duration, now: u64) {
        (self.born, self.guard) = (Some(now), micros(guard));
    }

    fn tell(&mut self, holder: Incarnation, device: DeviceName, epoch: Epoch) {
        if self.living(holder).is_some() {
            self.lost.entry(holder).or_default().insert(device, epoch);
        }
    }

    fn must_have_lease(&self, by: Incarnation) -> Result<(), ClaimsError> {
        if self.living(by).is_some() { Ok(()) } else { Err(ClaimsError::NoLease) }
    }

    fn living(&self, run: Incarnation) -> Option<&Leased> {
        self.leases.get(&run).filter(|lease| lease.of == self.born)
    }

    fn is_young(&self, now: u64) -> bool {
        #[cfg(test)]
        if self.is_old {
            return false;
        }
        self.born.is_none_or(|born| now < born + self.lease + self.guard)
    }

    /// What has expired by now.
    fn forget(&mut self, now: u64) {
        self.leases.retain(|_, lease| lease.until > now);
        self.claims.retain(|_, claim| claim.expires_at > now);
    }

    #[cfg(test)]
    pub(crate) fn grow_up(&mut self) {
        // Moments begin with 1, and the time may be less than a lease.
        self.is_old = true;
    }

    /// What must hold after every step.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        for claim in self.claims.values() {
            assert!(claim.holder.is_some() || claim.unclear_until > 0, "what is released and clear is gone");
        }
        assert!(self.lost.values().all(|list| !list.is_empty()), "an empty list is gone");
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
