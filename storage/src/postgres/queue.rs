//! Envelopes that wait for their device, in PostgreSQL.
//!
//! A commit is the same few statements whatever it holds: it locks the devices, deletes, looks for repeats, inserts, and
//! is done. The devices are locked first and until the end, in the order of their rows. Places are given while a device
//! is locked, so for one device their order is the order of the commits, and a reader that has seen a place has missed
//! none below it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use endtoend_protocol::{AccountTag, Address, DeviceId, EnvelopeId, UnixMillis};

use super::{Connection, Postgres, lock_devices};
use crate::columns::{array, number, time, to_column};
use crate::{
    Append, AppendOutcome, Page, PageLimits, QueueBatch, QueueStore, Queued, Seq, StoreError, StoreLimits, Tray,
};

/// A server that is gone without a word is noticed here; one that is merely slow ends the statement itself before.
const DEADLINE: Duration = Duration::from_secs(60);
const DAMAGED_DEPTH: StoreError = StoreError::Damaged { what: "queue depth" };

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
                     RETURNING device_row, tray),
                 counted AS (SELECT device_row, count(*) AS rows, sum(tray) AS requests FROM gone GROUP BY device_row),
                 changed AS (
                     UPDATE devices SET queue_depth = queue_depth - rows, request_depth = request_depth - requests
                     FROM counted WHERE id = device_row)
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
async fn within_deadline<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
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
    let QueueBatch { deletes, appends } = batch;
    let named = deletes.iter().map(|(device, _)| *device).chain(appends.iter().map(|append| append.to));
    let mut devices = lock(connection, named).await?;
    delete(connection, &mut devices, &deletes).await?;
    let present = find_present(connection, &devices, &appends).await?;
    let (decisions, planned) = decide(&mut devices, &present, &appends, limits);
    let seqs = insert(connection, &devices, &planned).await?;
    decisions.into_iter().map(|decision| decision.outcome(&seqs)).collect()
}

/// How much waits for a device: in all, and in the tray for requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Depth {
    all: u32,
    requests: u32,
}

/// A device that a batch touches, locked.
#[derive(Debug)]
struct Touched {
    row: i64,
    before: Depth,
    depth: Depth,
}

/// Devices of one batch that exist.
type Devices = HashMap<Address, Touched>;

/// Locks the devices in the order of their rows, so that two batches never wait for each other. The lock leaves room for
/// keys and tokens that are added to the device meanwhile.
async fn lock(connection: &mut Connection, named: impl Iterator<Item = Address>) -> Result<Devices, StoreError> {
    let named: BTreeMap<([u8; 32], u8), ()> =
        named.map(|device| ((*device.account.as_bytes(), device.device.get()), ())).collect();
    let (tags, numbers): (Vec<Vec<u8>>, Vec<i64>) =
        named.into_keys().map(|(tag, number)| (tag.to_vec(), i64::from(number))).unzip();
    let rows: Vec<(i64, Vec<u8>, i64, i64, i64)> = sqlx::query_as(
        "SELECT d.id, d.tag, d.device, d.queue_depth, d.request_depth
         FROM unnest($1::bytea[], $2::bigint[]) AS named (tag, device)
         JOIN devices d ON d.tag = named.tag AND d.device = named.device
         ORDER BY d.id FOR NO KEY UPDATE OF d",
    )
    .bind(tags)
    .bind(numbers)
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|(row, tag, device, all, requests)| {
            let device = DeviceId::new(number(device, "device number")?)
                .map_err(|_| StoreError::Damaged { what: "device number" })?;
            let address = Address { account: AccountTag::new(array(&tag, "tag")?), device };
            let depth = Depth { all: number(all, "queue depth")?, requests: number(requests, "queue depth")? };
            Ok((address, Touched { row, before: depth, depth }))
        })
        .collect()
}

async fn delete(
    connection: &mut Connection,
    devices: &mut Devices,
    deletes: &[(Address, Seq)],
) -> Result<(), StoreError> {
    let (rows, seqs): (Vec<i64>, Vec<i64>) =
        deletes.iter().filter_map(|(device, seq)| Some((devices.get(device)?.row, seq.0))).unzip();
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
    let mut by_row: HashMap<i64, &mut Depth> =
        devices.values_mut().map(|device| (device.row, &mut device.depth)).collect();
    for (row, tray) in gone {
        let depth = by_row.get_mut(&row).ok_or(DAMAGED_DEPTH)?;
        depth.all = depth.all.checked_sub(1).ok_or(DAMAGED_DEPTH)?;
        depth.requests = depth.requests.checked_sub(number(tray, "tray")?).ok_or(DAMAGED_DEPTH)?;
    }
    Ok(())
}

/// What names an envelope: the row of its device, and its id.
type Name = (i64, EnvelopeId);

/// Which of the appends are in the queue already, and where. They stay as long as new ones would. Nobody adds to a locked
/// device's.
async fn find_present(
    connection: &mut Connection,
    devices: &Devices,
    appends: &[Append],
) -> Result<HashMap<Name, Seq>, StoreError> {
    let (mut rows, mut ids, mut expiries) = (Vec::new(), Vec::new(), Vec::new());
    for append in appends {
        if let Some(device) = devices.get(&append.to) {
            rows.push(device.row);
            ids.push(append.id.as_bytes().to_vec());
            expiries.push(to_column(append.expires_at));
        }
    }
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let present: Vec<(i64, Vec<u8>, i64)> = sqlx::query_as(
        "UPDATE queue q SET expires_at = greatest(q.expires_at, named.expires_at)
         FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS named (device_row, envelope_id, expires_at)
         WHERE q.device_row = named.device_row AND q.envelope_id = named.envelope_id
         RETURNING q.device_row, q.envelope_id, q.seq",
    )
    .bind(rows)
    .bind(ids)
    .bind(expiries)
    .fetch_all(connection)
    .await?;
    present.into_iter().map(|(row, id, seq)| Ok(((row, envelope_id(&id)?), Seq(seq)))).collect()
}

/// What becomes of an append, once the planned ones have their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// The planned append of that number.
    Store(usize),
    /// The same envelope as it.
    RepeatOfPlanned(usize),
    /// What is known without.
    Known(AppendOutcome),
}

impl Decision {
    fn outcome(self, seqs: &[Seq]) -> Result<AppendOutcome, StoreError> {
        let place = |number: usize| seqs.get(number).copied().ok_or(StoreError::Damaged { what: "queue" });
        match self {
            Self::Store(number) => place(number).map(AppendOutcome::Stored),
            Self::RepeatOfPlanned(number) => place(number).map(AppendOutcome::Repeat),
            Self::Known(outcome) => Ok(outcome),
        }
    }
}

/// In the order of the appends. A repeat is told before a full queue: the row that a repeat asks for is there.
fn decide<'a>(
    devices: &mut Devices,
    present: &HashMap<Name, Seq>,
    appends: &'a [Append],
    limits: &StoreLimits,
) -> (Vec<Decision>, Vec<(i64, &'a Append)>) {
    let mut planned: Vec<(i64, &Append)> = Vec::with_capacity(appends.len());
    let mut planned_names: HashMap<Name, usize> = HashMap::with_capacity(appends.len());
    let mut decide_one = |append: &'a Append| {
        let Some(device) = devices.get_mut(&append.to) else {
            return Decision::Known(AppendOutcome::UnknownDevice);
        };
        let name = (device.row, append.id);
        if let Some(seq) = present.get(&name) {
            return Decision::Known(AppendOutcome::Repeat(*seq));
        }
        if let Some(number) = planned_names.get(&name) {
            return Decision::RepeatOfPlanned(*number);
        }
        let depth = &mut device.depth;
        let room = depth.all < limits.queue_envelopes_max
            && (append.tray == Tray::Contacts || depth.requests < limits.queue_requests_max);
        if !room {
            return Decision::Known(AppendOutcome::Full);
        }
        depth.all += 1;
        depth.requests += u32::from(append.tray == Tray::Requests);
        planned_names.insert(name, planned.len());
        planned.push((device.row, append));
        Decision::Store(planned.len() - 1)
    };
    let decisions = appends.iter().map(&mut decide_one).collect();
    (decisions, planned)
}

/// Adds the rows, writes the depths, and gives the places in the order of the rows.
///
/// A row that is there after all breaks the whole statement: it was looked for under the lock.
async fn insert(
    connection: &mut Connection,
    devices: &Devices,
    planned: &[(i64, &Append)],
) -> Result<Vec<Seq>, StoreError> {
    let changed: Vec<&Touched> = devices.values().filter(|device| device.depth != device.before).collect();
    if changed.is_empty() && planned.is_empty() {
        return Ok(Vec::new());
    }
    let depths = |of: fn(Depth) -> u32| changed.iter().map(|device| i64::from(of(device.depth))).collect::<Vec<_>>();
    let times = |of: fn(&Append) -> UnixMillis| planned.iter().map(|(_, a)| to_column(of(a))).collect::<Vec<_>>();
    let mut seqs: Vec<i64> = sqlx::query_scalar(
        "WITH changed AS (
             UPDATE devices SET queue_depth = depth.rows, request_depth = depth.requests
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS depth (id, rows, requests)
             WHERE devices.id = depth.id)
         INSERT INTO queue (device_row, envelope_id, accepted_at, expires_at, body, tray)
         SELECT device_row, envelope_id, accepted_at, expires_at, body, tray
         FROM unnest($4::bigint[], $5::bytea[], $6::bigint[], $7::bigint[], $8::bytea[], $9::bigint[])
             WITH ORDINALITY AS planned (device_row, envelope_id, accepted_at, expires_at, body, tray, place)
         ORDER BY place RETURNING seq",
    )
    .bind(changed.iter().map(|device| device.row).collect::<Vec<_>>())
    .bind(depths(|depth| depth.all))
    .bind(depths(|depth| depth.requests))
    .bind(planned.iter().map(|(row, _)| *row).collect::<Vec<_>>())
    .bind(planned.iter().map(|(_, append)| append.id.as_bytes().to_vec()).collect::<Vec<_>>())
    .bind(times(|append| append.accepted_at))
    .bind(times(|append| append.expires_at))
    .bind(planned.iter().map(|(_, append)| &append.body[..]).collect::<Vec<_>>())
    .bind(planned.iter().map(|(_, append)| i64::from(append.tray == Tray::Requests)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    // Places were given in the order of the rows, so sorted they are in it.
    seqs.sort_unstable();
    Ok(seqs.into_iter().map(Seq).collect())
}

fn envelope_id(column: &[u8]) -> Result<EnvelopeId, StoreError> {
    EnvelopeId::from_slice(column).map_err(|_| StoreError::Damaged { what: "envelope id" })
}

fn queued((seq, id, accepted_at, body): (i64, Vec<u8>, i64, Vec<u8>)) -> Result<Queued, StoreError> {
    Ok(Queued { seq: Seq(seq), id: envelope_id(&id)?, accepted_at: time(accepted_at)?, body: body.into() })
}
