//! Envelopes that wait for their device, in SQLite.

use std::collections::HashMap;

use async_trait::async_trait;
use endtoend_protocol::{Address, EnvelopeId, UnixMillis};
use sqlx::SqliteConnection;

use super::{Sqlite, device_row};
use crate::columns::{time, to_column};
use crate::{
    Append, AppendOutcome, Page, PageLimits, QueueBatch, QueueStore, Queued, Seq, StoreError, StoreLimits, Tray,
};

#[async_trait]
impl QueueStore for Sqlite {
    async fn commit(&self, batch: QueueBatch) -> Result<Vec<AppendOutcome>, StoreError> {
        let mut transaction = self.begin().await?;
        let outcomes = write(transaction.connection(), batch, &self.limits).await?;
        transaction.commit().await?;
        Ok(outcomes)
    }

    async fn load(&self, to: Address, after: Seq, limits: PageLimits, now: UnixMillis) -> Result<Page, StoreError> {
        let mut connection = self.readers.acquire().await?;
        let Some(device) = device_row(&mut connection, to).await? else { return Ok(Page::default()) };
        let Some((last, more)) = page_end(&mut connection, device, after, limits, now).await? else {
            return Ok(Page::default());
        };
        let rows: Vec<(i64, Vec<u8>, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT seq, envelope_id, accepted_at, body FROM queue
             WHERE device_row = ?1 AND seq > ?2 AND seq <= ?3 AND expires_at > ?4 ORDER BY seq",
        )
        .bind(device)
        .bind(after.0)
        .bind(last)
        .bind(to_column(now))
        .fetch_all(&mut *connection)
        .await?;
        let rows = rows.into_iter().map(queued).collect::<Result<_, _>>()?;
        Ok(Page { rows, more })
    }

    async fn delete_expired(&self, now: UnixMillis, rows_max: u32) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let rows: Vec<(i64, u32)> = sqlx::query_as(
            "DELETE FROM queue WHERE seq IN
                 (SELECT seq FROM queue WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
             RETURNING device_row, tray",
        )
        .bind(to_column(now))
        .bind(rows_max)
        .fetch_all(transaction.connection())
        .await?;
        let mut gone: HashMap<i64, (u32, u32)> = HashMap::new();
        for (device, tray) in &rows {
            let (all, requests) = gone.entry(*device).or_default();
            *all += 1;
            *requests += tray;
        }
        for (device, (all, requests)) in gone {
            sqlx::query(
                "UPDATE devices SET queue_depth = queue_depth - ?2, request_depth = request_depth - ?3 WHERE id = ?1",
            )
            .bind(device)
            .bind(all)
            .bind(requests)
            .execute(transaction.connection())
            .await?;
        }
        transaction.commit().await?;
        Ok(rows.len() as u64)
    }
}

/// How much waits for a device: in all, and in the tray for requests.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Depth {
    all: u32,
    requests: u32,
}

/// A device that a batch touches: read once, its depth written once.
struct Touched {
    row: i64,
    before: Depth,
    depth: Depth,
}

/// Devices of one batch; `None` for those that do not exist.
#[derive(Default)]
struct Devices(HashMap<Address, Option<Touched>>);

impl Devices {
    async fn find(
        &mut self,
        connection: &mut SqliteConnection,
        device: Address,
    ) -> Result<Option<&mut Touched>, StoreError> {
        use std::collections::hash_map::Entry;
        let touched = match self.0.entry(device) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(touch(connection, device).await?),
        };
        Ok(touched.as_mut())
    }
}

async fn touch(connection: &mut SqliteConnection, device: Address) -> Result<Option<Touched>, StoreError> {
    let found: Option<(i64, u32, u32)> =
        sqlx::query_as("SELECT id, queue_depth, request_depth FROM devices WHERE tag = ?1 AND device = ?2")
            .bind(device.account.as_bytes().to_vec())
            .bind(device.device.get())
            .fetch_optional(connection)
            .await?;
    Ok(found.map(|(row, all, requests)| {
        let depth = Depth { all, requests };
        Touched { row, before: depth, depth }
    }))
}

async fn write(
    connection: &mut SqliteConnection,
    batch: QueueBatch,
    limits: &StoreLimits,
) -> Result<Vec<AppendOutcome>, StoreError> {
    const DAMAGED: StoreError = StoreError::Damaged { what: "queue depth" };
    let mut devices = Devices::default();
    for (device, seq) in batch.deletes {
        let Some(device) = devices.find(connection, device).await? else { continue };
        let tray: Option<u32> =
            sqlx::query_scalar("DELETE FROM queue WHERE seq = ?1 AND device_row = ?2 RETURNING tray")
                .bind(seq.0)
                .bind(device.row)
                .fetch_optional(&mut *connection)
                .await?;
        if let Some(tray) = tray {
            device.depth.all = device.depth.all.checked_sub(1).ok_or(DAMAGED)?;
            device.depth.requests = device.depth.requests.checked_sub(tray).ok_or(DAMAGED)?;
        }
    }
    let mut outcomes = Vec::with_capacity(batch.appends.len());
    for append in batch.appends {
        outcomes.push(match devices.find(connection, append.to).await? {
            Some(device) => add(connection, device, append, limits).await?,
            None => AppendOutcome::UnknownDevice,
        });
    }
    for device in devices.0.into_values().flatten().filter(|device| device.depth != device.before) {
        sqlx::query("UPDATE devices SET queue_depth = ?2, request_depth = ?3 WHERE id = ?1")
            .bind(device.row)
            .bind(device.depth.all)
            .bind(device.depth.requests)
            .execute(&mut *connection)
            .await?;
    }
    Ok(outcomes)
}

/// A repeat is told before a full queue: the row that a repeat asks for is there, and stays as long as a new one would.
async fn add(
    connection: &mut SqliteConnection,
    device: &mut Touched,
    append: Append,
    limits: &StoreLimits,
) -> Result<AppendOutcome, StoreError> {
    let id = append.id.as_bytes().to_vec();
    let tray = u32::from(append.tray == Tray::Requests);
    let room = device.depth.all < limits.queue_envelopes_max
        && (append.tray == Tray::Contacts || device.depth.requests < limits.queue_requests_max);
    if room {
        let added: Option<i64> = sqlx::query_scalar(
            "INSERT INTO queue (device_row, envelope_id, accepted_at, expires_at, body, tray)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (device_row, envelope_id) DO NOTHING RETURNING seq",
        )
        .bind(device.row)
        .bind(id.clone())
        .bind(to_column(append.accepted_at))
        .bind(to_column(append.expires_at))
        .bind(Vec::from(append.body))
        .bind(tray)
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(seq) = added {
            device.depth.all += 1;
            device.depth.requests += tray;
            return Ok(AppendOutcome::Stored(Seq(seq)));
        }
    }
    let present: Option<i64> = sqlx::query_scalar(
        "UPDATE queue SET expires_at = max(expires_at, ?3) WHERE device_row = ?1 AND envelope_id = ?2 RETURNING seq",
    )
    .bind(device.row)
    .bind(id)
    .bind(to_column(append.expires_at))
    .fetch_optional(connection)
    .await?;
    Ok(present.map_or(AppendOutcome::Full, |seq| AppendOutcome::Repeat(Seq(seq))))
}

/// The last row of the page and whether there are more. Reads lengths only: bodies beyond the page stay on the disk.
async fn page_end(
    connection: &mut SqliteConnection,
    device: i64,
    after: Seq,
    limits: PageLimits,
    now: UnixMillis,
) -> Result<Option<(i64, bool)>, StoreError> {
    let rows_max = limits.rows.max(1);
    let sizes: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT seq, length(body) FROM queue
         WHERE device_row = ?1 AND seq > ?2 AND expires_at > ?3 ORDER BY seq LIMIT ?4",
    )
    .bind(device)
    .bind(after.0)
    .bind(to_column(now))
    .bind(i64::from(rows_max) + 1)
    .fetch_all(connection)
    .await?;

    let mut last = None;
    let mut bytes = 0_usize;
    for (row, (seq, size)) in (0..).zip(sizes) {
        let size = usize::try_from(size).map_err(|_| StoreError::Damaged { what: "queue row" })?;
        bytes = bytes.saturating_add(size);
        if let Some(end) = last
            && (row >= rows_max || bytes > limits.bytes)
        {
            return Ok(Some((end, true)));
        }
        last = Some(seq);
    }
    Ok(last.map(|end| (end, false)))
}

fn queued((seq, id, accepted_at, body): (i64, Vec<u8>, i64, Vec<u8>)) -> Result<Queued, StoreError> {
    let id = EnvelopeId::from_slice(&id).map_err(|_| StoreError::Damaged { what: "envelope id" })?;
    Ok(Queued { seq: Seq(seq), id, accepted_at: time(accepted_at)?, body: body.into() })
}
