//! Envelopes that wait for their device, in PostgreSQL.
//!
//! A commit is the same few statements whatever it holds: it locks the devices, deletes, looks for repeats, inserts, and
//! is done. The devices are locked first and until the end, in the order of their rows. Places are given while a device
//! is locked, so for one device their order is the order of the commits, and a reader that has seen a place has missed
//! none below it.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use endtoend_protocol::{Address, UnixMillis};

use super::{Connection, Postgres, lock_devices};
use crate::batch::{self, CountColumns, Depth, DeviceColumns, Devices, FoundDevices, Name, Planned, decide};
use crate::columns::{number, time, to_column};
use crate::{
    Append, AppendOutcome, Newer, Page, PageLimits, QueueBatch, QueueStore, Queued, Seq, StoreError, StoreLimits,
};

/// A server that is gone without a word is noticed here; one that is merely slow ends the statement itself before.
const DEADLINE: Duration = Duration::from_secs(60);

#[async_trait]
impl QueueStore for Postgres {
    async fn commit(&self, batch: QueueBatch) -> Result<Vec<AppendOutcome>, StoreError> {
        within_deadline(async {
            let mut transaction = self.begin().await?;
            let outcomes = write(transaction.connection(), batch, &self.limits).await?;
            transaction.commit().await?;
            Ok(outcomes)
        })
        .await
    }

    async fn load(&self, to: Address, after: Seq, limits: PageLimits, now: UnixMillis) -> Result<Page, StoreError> {
        let rows_max = i64::from(limits.rows.max(1));
        // A body is read only where it is part of the page: its length is known without it.
        let rows: Vec<(i64, Vec<u8>, i64, Option<Vec<u8>>)> = within_deadline(async {
            let rows = sqlx::query_as(
                "SELECT seq, envelope_id, accepted_at,
                     CASE WHEN place = 1 OR (place <= $5 AND bytes <= $6) THEN body END
                 FROM (SELECT *, row_number() OVER by_seq AS place, sum(length(body)) OVER by_seq AS bytes
                       FROM (SELECT q.* FROM queue q JOIN devices d ON d.id = q.device_row
                             WHERE d.tag = $1 AND d.device = $2 AND q.seq > $3 AND q.expires_at > $4
                             ORDER BY q.seq LIMIT $5 + 1) AS oldest
                       WINDOW by_seq AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)) AS sized
                 ORDER BY seq",
            )
            .bind(to.account.as_bytes().to_vec())
            .bind(i64::from(to.device.get()))
            .bind(after.0)
            .bind(to_column(now))
            .bind(rows_max)
            .bind(i64::try_from(limits.bytes).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await?;
            Ok(rows)
        })
        .await?;
        let found = rows.len();
        let page = rows.into_iter().map_while(|(seq, id, accepted_at, body)| Some((seq, id, accepted_at, body?)));
        let rows = page.map(queued).collect::<Result<Vec<_>, _>>()?;
        Ok(Page { more: rows.len() < found, rows })
    }

    async fn newer(&self, after: &[(Address, Seq)]) -> Result<Vec<Newer>, StoreError> {
        let (tags, numbers) = (
            after.iter().map(|(to, _)| to.account.as_bytes().to_vec()).collect::<Vec<_>>(),
            after.iter().map(|(to, _)| i64::from(to.device.get())).collect::<Vec<_>>(),
        );
        let rows: Vec<(i64, i64)> = within_deadline(async {
            let rows = sqlx::query_as(
                "SELECT named.place, ends.last
                 FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) WITH ORDINALITY
                     AS named (tag, device, seq, place)
                 JOIN devices d ON d.tag = named.tag AND d.device = named.device
                 CROSS JOIN LATERAL (
                     SELECT max(q.seq) AS last FROM queue q
                     WHERE q.device_row = d.id AND q.seq > named.seq) AS ends
                 WHERE ends.last IS NOT NULL",
            )
            .bind(tags)
            .bind(numbers)
            .bind(after.iter().map(|(_, seq)| seq.0).collect::<Vec<_>>())
            .fetch_all(&self.readers)
            .await?;
            Ok(rows)
        })
        .await?;
        let found = rows.into_iter().filter_map(|(place, last)| {
            let (to, _) = after.get(usize::try_from(place).ok()?.checked_sub(1)?)?;
            Some(Newer { to: *to, last: Seq(last) })
        });
        Ok(found.collect())
    }

    async fn delete_expired(&self, now: UnixMillis, rows_max: u32) -> Result<u64, StoreError> {
        within_deadline(async {
            let mut transaction = self.begin().await?;
            let connection = transaction.connection();
            let devices: Vec<i64> = sqlx::query_scalar(
                "SELECT DISTINCT device_row
                 FROM (SELECT device_row FROM queue WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2) AS oldest",
            )
            .bind(to_column(now))
            .bind(i64::from(rows_max))
            .fetch_all(&mut *connection)
            .await?;
            if devices.is_empty() {
                transaction.roll_back().await?;
                return Ok(0);
            }
            lock_devices(connection, &devices).await?;
            let gone: i64 = sqlx::query_scalar(
                "WITH gone AS (
                     DELETE FROM queue WHERE seq IN (
                         SELECT seq FROM queue WHERE expires_at <= $1 AND device_row = ANY($3)
                         ORDER BY expires_at LIMIT $2)
                     RETURNING device_row),
                 forgotten AS (
                     -- What is left is counted when something comes.
                     DELETE FROM queue_depths WHERE device_row IN (SELECT device_row FROM gone))
                 SELECT count(*) FROM gone",
            )
            .bind(to_column(now))
            .bind(i64::from(rows_max))
            .bind(devices)
            .fetch_one(connection)
            .await?;
            transaction.commit().await?;
            number(gone, "count of rows")
        })
        .await
    }
}

/// What is dropped at the deadline gives up its connection.
pub(super) async fn within_deadline<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(done) => done,
        Err(elapsed) => Err(StoreError::Unavailable(elapsed.into())),
    }
}

async fn write(
    connection: &mut Connection,
    batch: QueueBatch,
    limits: &StoreLimits,
) -> Result<Vec<AppendOutcome>, StoreError> {
    let mut found = lock(connection, &batch::named(&batch)).await?;
    let QueueBatch { deletes, appends } = batch;
    delete(connection, &mut found, &deletes).await?;
    let present = look(connection, &mut found, &appends).await?;
    let counts = count(connection, batch::uncounted(&found)).await?;
    let mut devices = batch::touched(found, counts)?;
    let (decisions, planned) = decide(&mut devices, &present, &appends, limits);
    let seqs = insert(connection, &devices, &planned).await?;
    decisions.into_iter().map(|decision| decision.outcome(&seqs)).collect()
}

/// Locks the devices in the order of their rows, so that two batches never wait for each other. The lock leaves room for
/// keys and tokens that are added to the device meanwhile. What this statement sees beside the locked rows may be of before
/// the lock, so the depths are read by the next one.
async fn lock(connection: &mut Connection, named: &[Address]) -> Result<FoundDevices, StoreError> {
    let (tags, numbers): (Vec<Vec<u8>>, Vec<i64>) =
        named.iter().map(|device| (device.account.as_bytes().to_vec(), i64::from(device.device.get()))).unzip();
    let rows: Vec<DeviceColumns> = sqlx::query_as(
        "SELECT d.id, d.tag, d.device
         FROM unnest($1::bytea[], $2::bigint[]) AS named (tag, device)
         JOIN devices d ON d.tag = named.tag AND d.device = named.device
         ORDER BY d.id FOR NO KEY UPDATE OF d",
    )
    .bind(tags)
    .bind(numbers)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| batch::found(row, None)).collect()
}

async fn delete(
    connection: &mut Connection,
    devices: &mut FoundDevices,
    deletes: &[(Address, Seq)],
) -> Result<(), StoreError> {
    let (rows, seqs): (Vec<i64>, Vec<i64>) = batch::deletions(devices, deletes).into_iter().unzip();
    if rows.is_empty() {
        return Ok(());
    }
    let gone: Vec<(i64, i64)> = sqlx::query_as(
        "DELETE FROM queue USING unnest($1::bigint[], $2::bigint[]) AS had (device_row, seq)
         WHERE queue.seq = had.seq AND queue.device_row = had.device_row RETURNING queue.device_row, queue.tray",
    )
    .bind(rows)
    .bind(seqs)
    .fetch_all(connection)
    .await?;
    let gone = gone.into_iter().map(|(row, tray)| Ok((row, number(tray, "tray")?)));
    batch::deleted(devices, gone.collect::<Result<_, StoreError>>()?);
    Ok(())
}

/// Reads the depths, and which of the appends are in the queue already, and where. These stay as long as new ones would.
/// Nobody adds to a locked device's.
async fn look(
    connection: &mut Connection,
    devices: &mut FoundDevices,
    appends: &[Append],
) -> Result<HashMap<Name, Seq>, StoreError> {
    if devices.is_empty() {
        return Ok(HashMap::new());
    }
    // An UPDATE takes one line for a row, whichever: each row is named once, with the latest times.
    let mut named: HashMap<Name, (UnixMillis, UnixMillis)> = HashMap::with_capacity(appends.len());
    for append in appends {
        if let Some(device) = devices.get(&append.to) {
            let times = named.entry((device.row, append.id)).or_default();
            *times = (times.0.max(append.accepted_at), times.1.max(append.expires_at));
        }
    }
    let (mut rows, mut ids, mut times, mut expiries) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((row, id), (accepted_at, expires_at)) in named {
        rows.push(row);
        ids.push(id.as_bytes().to_vec());
        times.push(to_column(accepted_at));
        expiries.push(to_column(expires_at));
    }
    // An envelope that is there has an id and a place, a depth has two numbers.
    let seen: Vec<(i64, Option<Vec<u8>>, i64, i64)> = sqlx::query_as(
        "WITH present AS (
             UPDATE queue q SET expires_at = greatest(q.expires_at, named.expires_at),
                 accepted_at = greatest(q.accepted_at, named.accepted_at)
             FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $5::bigint[])
                 AS named (device_row, envelope_id, expires_at, accepted_at)
             WHERE q.device_row = named.device_row AND q.envelope_id = named.envelope_id
             RETURNING q.device_row, q.envelope_id, q.seq)
         SELECT device_row, envelope_id, seq, 0::bigint FROM present
         UNION ALL
         SELECT device_row, NULL, queue_depth, request_depth FROM queue_depths WHERE device_row = ANY($4)",
    )
    .bind(rows)
    .bind(ids)
    .bind(expiries)
    .bind(devices.values().map(|device| device.row).collect::<Vec<_>>())
    .bind(times)
    .fetch_all(connection)
    .await?;
    let mut present = HashMap::new();
    let mut written = HashMap::new();
    for (row, id, first, second) in seen {
        match id {
            Some(id) => present.extend([batch::present((row, id, first))?]),
            None => written.extend([(row, Depth::from_columns(first, second))]),
        }
    }
    for device in devices.values_mut() {
        device.written = written.get(&device.row).copied().flatten();
    }
    Ok(present)
}

/// Rarely more than none: a device that was written to for the first time, or after a sweep.
async fn count(connection: &mut Connection, devices: Vec<i64>) -> Result<Vec<CountColumns>, StoreError> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    let counts = sqlx::query_as(
        "SELECT device_row, count(*), sum(tray)::bigint FROM queue WHERE device_row = ANY($1) GROUP BY device_row",
    )
    .bind(devices)
    .fetch_all(connection)
    .await?;
    Ok(counts)
}

/// Adds the rows, writes the depths, and gives the places in the order of the rows.
///
/// A row that is there after all breaks the whole statement: it was looked for under the lock.
async fn insert(
    connection: &mut Connection,
    devices: &Devices,
    planned: &[Planned<'_>],
) -> Result<Vec<Seq>, StoreError> {
    let changed = batch::changed(devices);
    if changed.is_empty() && planned.is_empty() {
        return Ok(Vec::new());
    }
    let depths = |of: fn(Depth) -> u32| changed.iter().map(|device| i64::from(of(device.depth))).collect::<Vec<_>>();
    let times = |of: fn(&Planned<'_>) -> UnixMillis| planned.iter().map(|p| to_column(of(p))).collect::<Vec<_>>();
    let mut seqs: Vec<i64> = sqlx::query_scalar(
        "WITH changed AS (
             INSERT INTO queue_depths (device_row, queue_depth, request_depth)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
             ON CONFLICT (device_row) DO UPDATE
             SET queue_depth = excluded.queue_depth, request_depth = excluded.request_depth)
         INSERT INTO queue (device_row, envelope_id, accepted_at, expires_at, body, tray)
         SELECT device_row, envelope_id, accepted_at, expires_at, body, tray
         FROM unnest($4::bigint[], $5::bytea[], $6::bigint[], $7::bigint[], $8::bytea[], $9::bigint[])
             WITH ORDINALITY AS planned (device_row, envelope_id, accepted_at, expires_at, body, tray, place)
         ORDER BY place RETURNING seq",
    )
    .bind(changed.iter().map(|device| device.row).collect::<Vec<_>>())
    .bind(depths(|depth| depth.all))
    .bind(depths(|depth| depth.requests))
    .bind(planned.iter().map(|planned| planned.device_row).collect::<Vec<_>>())
    .bind(planned.iter().map(|planned| planned.append.id.as_bytes().to_vec()).collect::<Vec<_>>())
    .bind(times(|planned| planned.accepted_at))
    .bind(times(|planned| planned.expires_at))
    .bind(planned.iter().map(|planned| &planned.append.body[..]).collect::<Vec<_>>())
    .bind(planned.iter().map(|planned| i64::from(planned.tray())).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    // Places were given in the order of the rows, so sorted they are in it.
    seqs.sort_unstable();
    Ok(seqs.into_iter().map(Seq).collect())
}

fn queued((seq, id, accepted_at, body): (i64, Vec<u8>, i64, Vec<u8>)) -> Result<Queued, StoreError> {
    Ok(Queued { seq: Seq(seq), id: batch::envelope_id(&id)?, accepted_at: time(accepted_at)?, body: body.into() })
}
