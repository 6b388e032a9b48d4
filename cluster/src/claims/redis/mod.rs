//! The directory of claims in Redis: one script for each question, so that each happens at one moment.
//!
//! Redis learns hashes, names of nodes and moments. The scripts reach keys that they find in others: one primary has them all, also
//! of a Redis Cluster. One that has taken another's place may have lost what was written last, which is why its directory begins
//! anew.

mod answer;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{RedisError, Script, Value};
use async_trait::async_trait;

use self::answer::{Answer, Field};
use super::directory::{Before, ClaimDirectory, ClaimsError, Found, Kept, Lost, Renewed, Stamp, Swept, Taken};
use super::names::{DeviceName, Epoch, Incarnation};
use super::{CLAIM_LIFE, CLAIMS_MAX};
use crate::ClusterId;
use crate::redis::{Greeting, NotGreeted, RedisAt, Seeker, SharedRedis};

/// An answer that takes longer is not waited for: the node goes on as if Redis were away.
pub const DEADLINE: Duration = Duration::from_millis(250);
/// What every entry in Redis begins with, for access rules and for people who look there. What is in braces decides which node of a
/// Redis Cluster has it.
pub const PREFIX: &str = "endtoend:{claims}:";
/// Says whose directory it is, and since when it remembers.
const ABOUT: &str = "endtoend:{claims}:about";
/// Entries that one step of a sweep looks at.
const SWEEP_STEP: usize = 500;

const COMMON: &str = include_str!("common.lua");

struct Scripts {
    greet: Script,
    renew: Script,
    take: Script,
    keep: Script,
    release: Script,
    find: Script,
    leave: Script,
    sweep: Script,
}

impl Scripts {
    fn new() -> Self {
        let script = |rest: &str| Script::new(&format!("{COMMON}{rest}"));
        Self {
            greet: script(include_str!("greet.lua")),
            renew: script(include_str!("renew.lua")),
            take: script(include_str!("take.lua")),
            keep: script(include_str!("keep.lua")),
            release: script(include_str!("release.lua")),
            find: script(include_str!("find.lua")),
            leave: script(include_str!("leave.lua")),
            sweep: script(include_str!("sweep.lua")),
        }
    }
}

/// What all scripts are told.
struct Asking {
    cluster: ClusterId,
    lease: Duration,
    guard: Duration,
    scripts: Scripts,
    /// Whose directory it is, when it is another cluster's.
    foreign: Mutex<Option<String>>,
}

impl Asking {
    fn new(at: &RedisAt, cluster: ClusterId, lease: Duration) -> Self {
        Self { cluster, lease, guard: at.guard(), scripts: Scripts::new(), foreign: Mutex::default() }
    }
}

/// The directory of claims in Redis. Tries to reach it for as long as this lives.
pub struct RedisClaims {
    redis: SharedRedis,
    asking: Arc<Asking>,
}

impl std::fmt::Debug for RedisClaims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisClaims").field("redis", &self.redis).finish_non_exhaustive()
    }
}

impl RedisClaims {
    /// Begins to connect. `lease` is the same for all nodes of the cluster. Within a tokio runtime.
    pub fn start(at: &RedisAt, cluster: ClusterId, lease: Duration, deadline: Duration) -> Self {
        let asking = Arc::new(Asking::new(at, cluster, lease));
        let redis = SharedRedis::start(at, ABOUT, deadline, Greeter(Arc::clone(&asking)));
        Self { redis, asking }
    }

    /// Whose this Redis is: asked once, on a connection of its own, before a node starts.
    ///
    /// # Errors
    /// `Foreign` when another cluster uses it: the node must not start. `Away` when it does not answer within five seconds:
    /// whoever starts all the same is told later, and goes without it until then.
    pub async fn check(at: &RedisAt, cluster: ClusterId, lease: Duration) -> Result<(), ClaimsError> {
        let asking = Asking::new(at, cluster, lease);
        let check = async {
            let mut reached = Seeker::new(at).reach(ABOUT).await.map_err(|_| ClaimsError::Away)?;
            asking.greet(&mut reached.connection).await.map_err(|_| ClaimsError::Away)?
        };
        tokio::time::timeout(Duration::from_secs(5), check).await.unwrap_or(Err(ClaimsError::Away))
    }

    /// Whether it is asked at the moment.
    pub fn answers(&self) -> bool {
        self.redis.answers()
    }

    async fn ask(&self, script: &Script, arguments: impl IntoIterator<Item = String>) -> Result<Answer, ClaimsError> {
        let arguments: Vec<_> = arguments.into_iter().collect();
        let asked = self.redis.ask(async |connection| self.asking.run(script, &arguments, connection).await).await;
        match asked {
            Ok(answer) => self.asking.judge(answer),
            Err(_away) => Err(self.asking.is_foreign().map_or(ClaimsError::Away, |theirs| self.asking.foreign(theirs))),
        }
    }
}

impl Asking {
    async fn run(
        &self,
        script: &Script,
        arguments: &[String],
        connection: &mut MultiplexedConnection,
    ) -> Result<Value, RedisError> {
        let mut invocation = script.key(ABOUT);
        invocation
            .arg(self.cluster.to_string())
            .arg(self.lease.as_micros().to_string())
            .arg(CLAIM_LIFE.as_millis().to_string())
            .arg(self.guard.as_micros().to_string());
        for argument in arguments {
            invocation.arg(argument);
        }
        invocation.invoke_async(connection).await
    }

    /// What the status at the beginning of an answer means.
    fn judge(&self, answer: Value) -> Result<Answer, ClaimsError> {
        let mut answer = Answer::new(answer);
        match answer.next() {
            Some(Field::Number(0)) => Ok(answer),
            Some(Field::Text(status)) if status == "no lease" => Err(ClaimsError::NoLease),
            Some(Field::Text(status)) if status == "foreign" => {
                let theirs = answer.text().unwrap_or_default();
                *self.foreign.lock().unwrap_or_else(PoisonError::into_inner) = Some(theirs.clone());
                Err(self.foreign(theirs))
            }
            // Nothing that a script of ours says.
            _ => Err(ClaimsError::Away),
        }
    }

    fn foreign(&self, theirs: String) -> ClaimsError {
        ClaimsError::Foreign { theirs, ours: self.cluster }
    }

    fn is_foreign(&self) -> Option<String> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn greet(&self, connection: &mut MultiplexedConnection) -> Result<Result<(), ClaimsError>, RedisError> {
        let about: String = ::redis::cmd("INFO").arg("server").query_async(connection).await?;
        let run = about.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default().trim().to_owned();
        let greeted = self.run(&self.scripts.greet, &[run], connection).await?;
        let greeted = self.judge(greeted).map(|_| ());
        if greeted.is_ok() {
            *self.foreign.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Ok(greeted)
    }
}

struct Greeter(Arc<Asking>);

#[async_trait]
impl Greeting for Greeter {
    async fn greet(&self, connection: &mut MultiplexedConnection) -> Result<(), NotGreeted> {
        self.0.greet(connection).await?.map_err(|error| NotGreeted::Wrong(error.to_string()))
    }
    fn is_back(&self) {
        tracing::info!("who is connected where is known through Redis");
    }
    fn is_lost(&self, reason: &str) {
        tracing::warn!(
            reason,
            "Redis is away: messages go through the store, all nodes are told, and it is tried again"
        );
    }
}

fn claims(claims: &[(DeviceName, Epoch)]) -> impl Iterator<Item = String> {
    claims.iter().take(CLAIMS_MAX).flat_map(|(device, epoch)| [name(device), epoch.0.to_string()])
}

fn name(device: &DeviceName) -> String {
    hex::encode(device.0)
}

/// An answer that is none of ours counts as none.
const STRANGE: ClaimsError = ClaimsError::Away;

#[async_trait]
impl ClaimDirectory for RedisClaims {
    async fn renew(&self, by: Incarnation, handled: &[Lost]) -> Result<Renewed, ClaimsError> {
        let handled = handled.iter().take(CLAIMS_MAX).flat_map(|lost| [name(&lost.device), lost.epoch.0.to_string()]);
        let arguments = [by.to_string(), CLAIMS_MAX.to_string()].into_iter().chain(handled);
        let mut answer = self.ask(&self.asking.scripts.renew, arguments).await?;
        let stamp = answer.text().and_then(|stamp| stamp.parse().ok()).map(Stamp).ok_or(STRANGE)?;
        let more = answer.number().ok_or(STRANGE)? == 1;
        let mut list = answer.list().ok_or(STRANGE)?;
        let mut lost = Vec::new();
        while let Some(device) = list.text() {
            let device = answer::device(&device).ok_or(STRANGE)?;
            lost.push(Lost { device, epoch: list.epoch().ok_or(STRANGE)? });
        }
        let young_for = answer.number().and_then(|us| u64::try_from(us).ok()).map(Duration::from_micros);
        Ok(Renewed { stamp, lost, more, young_for: young_for.ok_or(STRANGE)? })
    }

    async fn take(&self, by: Incarnation, device: DeviceName) -> Result<Taken, ClaimsError> {
        let mut answer = self.ask(&self.asking.scripts.take, [by.to_string(), name(&device)]).await?;
        let epoch = answer.epoch().ok_or(STRANGE)?;
        let before = match answer.text().ok_or(STRANGE)?.as_str() {
            "-" => Before::Nobody,
            "?" => Before::Somebody,
            holder => Before::Holder(holder.parse().map_err(|_| STRANGE)?),
        };
        Ok(Taken { epoch, before })
    }

    async fn keep(&self, by: Incarnation, kept: &[(DeviceName, Epoch)]) -> Result<Vec<Kept>, ClaimsError> {
        let arguments = [by.to_string()].into_iter().chain(claims(kept));
        let mut answer = self.ask(&self.asking.scripts.keep, arguments).await?;
        let letters = answer.text().ok_or(STRANGE)?;
        let kept = letters.chars().map(|letter| match letter {
            's' => Ok(Kept::Stands),
            'u' => Ok(Kept::Unclear),
            'l' => Ok(Kept::Lost),
            _ => Err(STRANGE),
        });
        kept.collect()
    }

    async fn release(&self, by: Incarnation, released: &[(DeviceName, Epoch)]) -> Result<(), ClaimsError> {
        let arguments = [by.to_string()].into_iter().chain(claims(released));
        self.ask(&self.asking.scripts.release, arguments).await.map(|_| ())
    }

    async fn find(&self, devices: &[DeviceName]) -> Result<Vec<Found>, ClaimsError> {
        let mut answer = self.ask(&self.asking.scripts.find, devices.iter().take(CLAIMS_MAX).map(name)).await?;
        let mut list = answer.list().ok_or(STRANGE)?;
        let mut found = Vec::new();
        while let Some(text) = list.text() {
            let holder = text.trim_end_matches('?');
            let unclear = holder.len() < text.len();
            let holder = match holder {
                "-" => None,
                holder => Some(holder.parse().map_err(|_| STRANGE)?),
            };
            found.push(Found { holder, unclear });
        }
        Ok(found)
    }

    async fn leave(&self, by: Incarnation) -> Result<(), ClaimsError> {
        self.ask(&self.asking.scripts.leave, [by.to_string()]).await.map(|_| ())
    }

    async fn sweep(&self, dead: &BTreeSet<Incarnation>) -> Result<Swept, ClaimsError> {
        let (mut cursor, mut swept) = ("0".to_owned(), Swept::default());
        loop {
            let step = [cursor, SWEEP_STEP.to_string()].into_iter().chain(dead.iter().map(ToString::to_string));
            let mut answer = self.ask(&self.asking.scripts.sweep, step).await?;
            cursor = answer.text().ok_or(STRANGE)?;
            swept.removed += answer.number().and_then(|removed| u64::try_from(removed).ok()).ok_or(STRANGE)?;
            let mut found = answer.list().ok_or(STRANGE)?;
            while let Some(run) = found.text() {
                swept.dead.insert(run.parse().map_err(|_| STRANGE)?);
            }
            if cursor == "0" {
                return Ok(swept);
            }
        }
    }
}
