//! What happened to accounts: rows that are only ever added, each bound to the one before.
//!
//! A row names an account by a keyed pseudonym, so that a thief of the database learns no tag from it and a deleted account
//! leaves none. The chain is keyed too: who cannot read the key cannot change, drop or add a row unnoticed.

use std::fmt;

use async_trait::async_trait;
use endtoend_protocol::{AccountTag, DeviceId, UnixMillis};
use zeroize::Zeroizing;

use crate::StoreError;

const PSEUDONYM_CONTEXT: &str = "endtoend 2026-11 audit pseudonym v1";
const CHAIN_CONTEXT: &str = "endtoend 2026-11 audit chain v1";

/// Names an account in the audit: 16 bytes that lead to its tag only with the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pseudonym(pub [u8; 16]);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// By the node's clock.
    pub at: UnixMillis,
    /// Whose account, where there is one.
    pub account: Option<Pseudonym>,
    /// Which of its devices, where it was one.
    pub device: Option<DeviceId>,
    /// What, as `noun.verb`.
    pub event: String,
    /// How it ended.
    pub outcome: String,
    /// Risk signals, separated by spaces.
    pub signals: String,
}

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place, from 1.
    pub seq: u64,
    /// What happened.
    pub entry: AuditEntry,
    /// Binds it to all rows before.
    pub chain: [u8; 32],
}

/// Which rows.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Of this account.
    pub account: Option<Pseudonym>,
    /// Of events that begin so.
    pub event: Option<String>,
    /// Not before.
    pub since: UnixMillis,
    /// After this place.
    pub after: u64,
    /// At most so many; of more, the first ones.
    pub max: u32,
}

/// Where the chain begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEnds {
    /// The last row that was forgotten, and its chain; 0 and zeros when none was.
    pub before_first: (u64, [u8; 32]),
    /// The last row, and its chain.
    pub last: (u64, [u8; 32]),
}

/// The secret of the audit. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct AuditKey {
    pseudonym: Zeroizing<[u8; 32]>,
    chain: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(..)")
    }
}

impl AuditKey {
    /// From a secret of 32 bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        let derive = |context| Zeroizing::new(blake3::derive_key(context, secret));
        Self { pseudonym: derive(PSEUDONYM_CONTEXT), chain: derive(CHAIN_CONTEXT) }
    }

    /// `BLAKE3-keyed(tag)`, its first 16 bytes.
    pub fn pseudonym(&self, account: AccountTag) -> Pseudonym {
        let hash = blake3::keyed_hash(&self.pseudonym, account.as_bytes());
        let mut name = [0; 16];
        name.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        Pseudonym(name)
    }

    /// `BLAKE3-keyed(previous(32) || le64(seq) || le64(at) || account(16, zeros for none) || device(1, 0 for none) ||
    /// for event, outcome and signals: le32(length) || text)`
    pub fn link(&self, previous: &[u8; 32], seq: u64, entry: &AuditEntry) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.chain);
        hasher.update(previous).update(&seq.to_le_bytes()).update(&entry.at.get().to_le_bytes());
        hasher.update(&entry.account.map_or([0; 16], |name| name.0));
        hasher.update(&[entry.device.map_or(0, DeviceId::get)]);
        for text in [&entry.event, &entry.outcome, &entry.signals] {
            hasher.update(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes()).update(text.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

/// The audit. Every method is atomic and durable when it returns.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Adds rows, in their order.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn append_audit(&self, key: &AuditKey, entries: Vec<AuditEntry>) -> Result<(), StoreError>;

    /// Rows in their order.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError>;

    /// Where the chain begins and ends.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn audit_ends(&self) -> Result<AuditEnds, StoreError>;

    /// Forgets up to `max` of the oldest rows that are from before then; returns how many.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn prune_audit(&self, before: UnixMillis, max: u32) -> Result<u64, StoreError>;
}

/// What a check of the chain found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    /// So many rows, each bound to the one before.
    Intact {
        /// How many.
        rows: u64,
    },
    /// The first row that is changed, missing or added.
    Broken {
        /// Its place.
        seq: u64,
    },
}

/// Checks every row that is there.
///
/// # Errors
/// When the store does not answer.
pub async fn verify_audit(store: &dyn AuditStore, key: &AuditKey) -> Result<AuditVerdict, StoreError> {
    // The ends first: rows that are added meanwhile come after.
    let mut ends = store.audit_ends().await?;
    loop {
        let verdict = verify_between(store, key, &ends).await?;
        let now = store.audit_ends().await?;
        // Rows that were forgotten meanwhile are no gap.
        if matches!(verdict, AuditVerdict::Intact { .. }) || now.before_first.0 <= ends.before_first.0 {
            return Ok(verdict);
        }
        ends = now;
    }
}

async fn verify_between(store: &dyn AuditStore, key: &AuditKey, ends: &AuditEnds) -> Result<AuditVerdict, StoreError> {
    const PAGE: u32 = 1_000;
    let (mut seq, mut chain) = ends.before_first;
    let begin = seq;
    while seq < ends.last.0 {
        let rows = store.audit(&AuditQuery { after: seq, max: PAGE, ..AuditQuery::default() }).await?;
        if rows.is_empty() {
            return Ok(AuditVerdict::Broken { seq: seq + 1 });
        }
        for row in rows {
            let expected = key.link(&chain, seq + 1, &row.entry);
            if row.seq != seq + 1 || row.chain != expected {
                return Ok(AuditVerdict::Broken { seq: seq + 1 });
            }
            (seq, chain) = (row.seq, row.chain);
            if seq == ends.last.0 {
                break;
            }
        }
    }
    match (seq, chain) == ends.last {
        true => Ok(AuditVerdict::Intact { rows: seq - begin }),
        false => Ok(AuditVerdict::Broken { seq }),
    }
}
