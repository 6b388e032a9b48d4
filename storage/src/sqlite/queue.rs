//! Envelopes that wait for their device, in SQLite.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use endtoend_protocol::{Address, UnixMillis};
use sqlx::{QueryBuilder, SqliteConnection};

use super::{Driver, Sqlite, device_row};
use crate::batch::{self, CountColumns, Depth, DeviceAndDepth, Devices, FoundDevices, Name, Planned, Touched, decide};
use crate::columns::{time, to_column};
use crate::{
    Append, AppendOutcome, Newer, Page, PageLimits, QueueBatch, QueueStore, Queued, Seq, StoreError, StoreLimits,
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

    async fn newer(&self, after: &[(Address, Seq)]) -> Result<Vec<Newer>, StoreError> {
        let mut connection = self.readers.acquire().await?;
        let mut found = Vec::new();
        for (to, seq) in after {
            let last: Option<i64> = sqlx::query_scalar(
                "SELECT max(seq) FROM queue
                 WHERE device_row = (SELECT id FROM devices WHERE tag = ?1 AND device = ?2) AND seq > ?3",
            )
            .bind(to.account.as_bytes().to_vec())
            .bind(to.device.get())
            .bind(seq.0)
            .fetch_one(&mut *connection)
            .await?;
            found.extend(last.map(|last| Newer { to: *to, last: Seq(last) }));
        }
        Ok(found)
    }

    async fn delete_expired(&self, now: UnixMillis, rows_max: u32) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let rows: Vec<i64> = sqlx::query_scalar(
            "DELETE FROM queue WHERE seq IN
                 (SELECT seq FROM queue WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
             RETURNING device_row",
        )
        .bind(to_column(now))
        .bind(rows_max)
        .fetch_all(transaction.connection())
        .await?;
        // What is left is counted when something comes.
        for device in rows.iter().collect::<BTreeSet<_>>() {
            sqlx::query("DELETE FROM queue_depths WHERE device_row = ?1")
                .bind(device)
                .execute(transaction.connection())
                .await?;
        }
        transaction.commit().await?;
        Ok(rows.len() as u64)
    }
}

async fn write(
    connection: &mut SqliteConnection,
    batch: QueueBatch,
    limits: &StoreLimits,
) -> Result<Vec<AppendOutcome>, StoreError> {
    let mut found = find(connection, &batch::named(&batch)).await?;
    let QueueBatch { deletes, appends } = batch;
    delete(connection, &mut found, &deletes).await?;
    let counts = count(connection, &batch::uncounted(&found)).await?;
    let mut devices = batch::touched(found, counts)?;
    let present = find_present(connection, &devices, &appends).await?;
    let (decisions, planned) = decide(&mut devices, &present, &appends, limits);
    let seqs = insert(connection, &planned).await?;
    write_depths(connection, &batch::changed(&devices)).await?;
    decisions.into_iter().map(|decision| decision.outcome(&seqs)).collect()
}

/// Pieces for one statement each. Their lengths come from a short list, so that few statements are prepared, once: to hand
/// a statement to the thread of the connection, and to run it, costs more than a row.
fn pieces<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    const LENGTHS: [usize; 4] = [64, 16, 4, 1];
    let mut rest = rows;
    std::iter::from_fn(move || {
        let length = LENGTHS.into_iter().find(|length| *length <= rest.len())?;
        let (piece, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(piece)
    })
}

async fn find(connection: &mut SqliteConnection, named: &[Address]) -> Result<FoundDevices, StoreError> {
    let mut devices = FoundDevices::with_capacity(named.len());
    for piece in pieces(named) {
        let mut query = QueryBuilder::<Driver>::new("WITH named (tag, device) AS (");
        query.push_values(piece, |mut values, device| {
            values.push_bind(device.account.as_bytes().to_vec()).push_bind(device.device.get());
        });
        // CROSS: each is looked for by the index, whatever the planner thinks of their number.
        query.push(
            ") SELECT d.id, d.tag, d.device, depth.queue_depth, depth.request_depth
               FROM named CROSS JOIN devices d ON d.tag = named.tag AND d.device = named.device
               LEFT JOIN queue_depths depth ON depth.device_row = d.id",
        );
        let rows: Vec<DeviceAndDepth> = query.build_query_as().fetch_all(&mut *connection).await?;
        for (row, tag, device, all, requests) in rows {
            let written = all.zip(requests).and_then(|(all, requests)| Depth::from_columns(all, requests));
            devices.extend([batch::found((row, tag, device), written)?]);
        }
    }
    Ok(devices)
}

/// Rarely more than none: a device that was written to for the first time, or after a sweep.
async fn count(connection: &mut SqliteConnection, devices: &[i64]) -> Result<Vec<CountColumns>, StoreError> {
    let mut counts = Vec::with_capacity(devices.len());
    for device in devices {
        let count = sqlx::query_as("SELECT ?1, count(*), coalesce(sum(tray), 0) FROM queue WHERE device_row = ?1")
            .bind(device)
            .fetch_one(&mut *connection)
            .await?;
        counts.push(count);
    }
    Ok(counts)
}

async fn delete(
    connection: &mut SqliteConnection,
    devices: &mut FoundDevices,
    deletes: &[(Address, Seq)],
) -> Result<(), StoreError> {
    for piece in pieces(&batch::deletions(devices, deletes)) {
        let mut query = QueryBuilder::<Driver>::new("WITH had (device_row, seq) AS (");
        query.push_values(piece, |mut values, (device, seq)| {
            values.push_bind(*device).push_bind(*seq);
        });
        query.push(
            ") DELETE FROM queue WHERE seq IN
                   (SELECT q.seq FROM had CROSS JOIN queue q ON q.seq = had.seq AND q.device_row = had.device_row)
               RETURNING device_row, tray",
        );
        let gone: Vec<(i64, u32)> = query.build_query_as().fetch_all(&mut *connection).await?;
        batch::deleted(devices, gone);
    }
    Ok(())
}

/// Which of the appends are in the queue already, and where. They stay as long as new ones would.
async fn find_present(
    connection: &mut SqliteConnection,
    devices: &Devices,
    appends: &[Append],
) -> Result<HashMap<Name, Seq>, StoreError> {
    let named: Vec<(Name, &Append)> =
        appends.iter().filter_map(|append| Some(((devices.get(&append.to)?.row, append.id), append))).collect();
    let mut found = HashMap::new();
    for piece in pieces(&named) {
        let mut query = QueryBuilder::<Driver>::new("WITH named (device_row, envelope_id) AS (");
        query.push_values(piece, |mut values, ((device, id), _)| {
            values.push_bind(*device).push_bind(id.as_bytes().to_vec());
        });
        query.push(
            ") SELECT q.device_row, q.envelope_id, q.seq FROM named
               CROSS JOIN queue q ON q.device_row = named.device_row AND q.envelope_id = named.envelope_id",
        );
        for row in query.build_query_as().fetch_all(&mut *connection).await? {
            found.extend([batch::present(row)?]);
        }
    }
    // These are few.
    for (name, append) in named {
        if let Some(seq) = found.get(&name) {
            sqlx::query(
                "UPDATE queue SET expires_at = max(expires_at, ?2), accepted_at = max(accepted_at, ?3) WHERE seq = ?1",
            )
            .bind(seq.0)
            .bind(to_column(append.expires_at))
            .bind(to_column(append.accepted_at))
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(found)
}

/// Adds the rows and gives their places, which follow each other: nobody else writes.
async fn insert(connection: &mut SqliteConnection, planned: &[Planned<'_>]) -> Result<Vec<Seq>, StoreError> {
    if planned.is_empty() {
        return Ok(Vec::new());
    }
    let last: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'queue'")
        .fetch_optional(&mut *connection)
        .await?;
    let seqs: Vec<Seq> = (1..).map(|place| Seq(last.unwrap_or(0) + place)).take(planned.len()).collect();
    let placed: Vec<(Seq, &Planned<'_>)> = seqs.iter().copied().zip(planned).collect();
    for piece in pieces(&placed) {
        let mut query = QueryBuilder::<Driver>::new(
            "INSERT INTO queue (seq, device_row, envelope_id, accepted_at, expires_at, body, tray) ",
        );
        query.push_values(piece, |mut values, (seq, planned)| {
            let append = planned.append;
            values
                .push_bind(seq.0)
                .push_bind(planned.device_row)
                .push_bind(append.id.as_bytes().to_vec())
                .push_bind(to_column(planned.accepted_at))
                .push_bind(to_column(planned.expires_at))
                .push_bind(append.body.to_vec())
                .push_bind(planned.tray());
        });
        query.build().execute(&mut *connection).await?;
    }
    Ok(seqs)
}

async fn write_depths(connection: &mut SqliteConnection, changed: &[&Touched]) -> Result<(), StoreError> {
    for piece in pieces(changed) {
        let mut query =
            QueryBuilder::<Driver>::new("INSERT INTO queue_depths (device_row, queue_depth, request_depth) ");
        query.push_values(piece, |mut values, device| {
            values.push_bind(device.row).push_bind(device.depth.all).push_bind(device.depth.requests);
        });
        query.push(
            " ON CONFLICT (device_row) DO UPDATE
              SET queue_depth = excluded.queue_depth, request_depth = excluded.request_depth",
        );
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
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
    Ok(Queued { seq: Seq(seq), id: batch::envelope_id(&id)?, accepted_at: time(accepted_at)?, body: body.into() })
}
