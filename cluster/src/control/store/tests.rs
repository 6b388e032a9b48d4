//! The file: openraft's own suite, kills, cuts and damage.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use openraft::storage::{RaftLogStorage as _, RaftStateMachine as _};
use openraft::testing::{StoreBuilder, Suite, log_id};
use openraft::{EntryPayload, RaftLogReader as _, RaftSnapshotBuilder as _};
use tempfile::TempDir;

use super::*;
use crate::NodeId;
use crate::control::command::{Command as Change, Proposal};
use crate::control::raft::{Encoded, Entry, StorageError, Types, Vote};

const NODE: NodeId = NodeId::new(7);
/// Set for the process that is to be killed.
const CHILD: &str = "ENDTOEND_TEST_CONTROL_CHILD";

struct Builder;

impl StoreBuilder<Types, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let file = Arc::new(ControlFile::open(&dir.path().join("control.db"), NODE).await.unwrap());
        Ok((dir, LogStore::new(Arc::clone(&file)), Machine::restore(file).await?))
    }
}

#[test]
fn it_is_the_storage_that_raft_wants() {
    Suite::test_all(Builder).unwrap();
}

fn entry(index: u64) -> Entry {
    let command = Change::RevokeToken { id: [index as u8; 16] };
    let proposal = Proposal { at: endtoend_protocol::UnixMillis::new(index), fence: None, command };
    Entry {
        log_id: log_id(1 + index / 10, 7, index),
        payload: EntryPayload::Normal(Encoded(proposal.encode().unwrap())),
    }
}

async fn open(path: &Path) -> Result<ControlFile, OpenError> {
    ControlFile::open(path, NODE).await
}

/// What the log has, which must be the entries of the test from `from` on.
async fn length(file: &ControlFile, from: u64) -> u64 {
    let entries = file.entries(from, i64::MAX as u64, u64::MAX).await.unwrap();
    for (at, found) in entries.iter().enumerate() {
        assert_eq!(*found, entry(from + at as u64));
    }
    entries.len() as u64
}

#[tokio::test]
async fn what_was_written_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.db");
    let file = Arc::new(open(&path).await.unwrap());
    let mut log = LogStore::new(Arc::clone(&file));
    file.append((0..50).map(entry).collect()).await.unwrap();
    log.save_vote(&Vote::new_committed(6, 7)).await.unwrap();
    log.save_committed(Some(log_id(5, 7, 45))).await.unwrap();
    let mut machine = Machine::restore(Arc::clone(&file)).await.unwrap();
    machine.apply((0..=20).map(entry)).await.unwrap();
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    log.purge(log_id(1, 7, 9)).await.unwrap();
    let bytes = file.log_bytes();
    drop((log, machine));
    file.close().await;

    let file = Arc::new(open(&path).await.unwrap());
    let mut log = LogStore::new(Arc::clone(&file));
    assert_eq!((length(&file, 10).await, file.log_bytes()), (40, bytes));
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new_committed(6, 7)));
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(5, 7, 45)));
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(1, 7, 9)), Some(log_id(5, 7, 49))));
    assert_eq!(Machine::restore(file).await.unwrap().applied_state().await.unwrap().0, Some(log_id(3, 7, 20)));
}

#[tokio::test]
async fn entries_are_read_in_pieces_that_fit_into_a_call() {
    let dir = tempfile::tempdir().unwrap();
    let file = Arc::new(open(&dir.path().join("control.db")).await.unwrap());
    let mut log = LogStore::new(Arc::clone(&file));
    let big = |index| Entry { log_id: log_id(1, 7, index), payload: EntryPayload::Normal(Encoded(vec![7; 300_000])) };
    file.append((0..4).map(big).collect()).await.unwrap();
    assert_eq!(log.limited_get_log_entries(0, 4).await.unwrap().len(), 1, "one in any case, and two are too many");
    assert_eq!(log.try_get_log_entries(1..4).await.unwrap().len(), 3);
    let before = file.log_bytes();
    log.truncate(log_id(1, 7, 2)).await.unwrap();
    assert_eq!(file.log_bytes(), before / 2);
}

#[tokio::test]
async fn a_command_that_this_program_does_not_know_is_kept_and_stops_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.db");
    let file = Arc::new(open(&path).await.unwrap());
    let newer = Entry { log_id: log_id(1, 7, 0), payload: EntryPayload::Normal(Encoded(vec![2, 0])) };
    file.append(vec![newer.clone()]).await.unwrap();
    let mut machine = Machine::restore(Arc::clone(&file)).await.unwrap();
    let refused = machine.apply([newer.clone()]).await.unwrap_err().to_string();
    assert!(refused.contains("run the newer program"), "{refused}");
    assert_eq!(machine.applied_state().await.unwrap().0, None);
    assert_eq!(file.entries(0, 1, u64::MAX).await.unwrap(), [newer]);
}

#[tokio::test]
async fn only_the_node_that_wrote_the_file_opens_it_and_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.db");
    let file = open(&path).await.unwrap();
    file.append(vec![entry(0)]).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).busy_timeout(std::time::Duration::ZERO);
    let other = sqlx::ConnectOptions::connect(&options).await;
    let other = match other {
        Ok(mut other) => sqlx::query("SELECT * FROM log").fetch_all(&mut other).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(super::file::refusal(&path, other.unwrap_err()), OpenError::Locked { .. }));
    file.close().await;
    let node = NodeId::new(8);
    let refused = ControlFile::open(&path, node).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, OpenError::OtherNode { found: NODE, node: asked, .. } if asked == node), "{refused}");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

/// Not a test by itself: what the next one kills.
#[tokio::test]
async fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let file = Arc::new(open(Path::new(&path)).await.unwrap());
    let mut log = LogStore::new(Arc::clone(&file));
    for index in 0.. {
        file.append(vec![entry(index)]).await.unwrap();
        log.save_vote(&Vote::new(index, 7)).await.unwrap();
        log.save_committed(Some(entry(index).log_id)).await.unwrap();
        println!("\nwritten {index}");
    }
}

#[tokio::test]
async fn nothing_that_was_written_is_lost_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    for kill in 0..4_u64 {
        let path = dir.path().join(format!("control-{kill}.db"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "control::store::tests::child_that_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let heard = lines.map_while(Result::ok).find_map(|line| {
            let index = line.strip_prefix("written ")?.parse::<u64>().ok()?;
            (index >= 7 * kill + 3).then_some(index)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let heard = heard.expect("the child has written");
        let file = Arc::new(open(&path).await.unwrap());
        let mut log = LogStore::new(Arc::clone(&file));
        let length = length(&file, 0).await;
        assert!(length > heard, "{heard} was written, there are {length}");
        let vote = log.read_vote().await.unwrap().unwrap();
        assert!(vote.leader_id().term >= heard && vote.leader_id().term < length);
        assert!(log.read_committed().await.unwrap().unwrap().index >= heard);
    }
}

#[tokio::test]
async fn a_file_that_was_cut_anywhere_in_its_last_writes_is_a_beginning_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.db");
    let file = open(&path).await.unwrap();
    file.append((0..3).map(entry).collect()).await.unwrap();
    for index in 3..8 {
        file.append(vec![entry(index)]).await.unwrap();
    }
    let wal = |path: &Path| path.with_extension("db-wal");
    let (database, written) = (std::fs::read(&path).unwrap(), std::fs::read(wal(&path)).unwrap());
    assert!(!written.is_empty());
    let mut lengths = std::collections::BTreeSet::new();
    for cut in (0..written.len()).step_by(written.len() / 40) {
        let torn = dir.path().join("torn.db");
        std::fs::write(&torn, &database).unwrap();
        std::fs::write(wal(&torn), &written[..cut]).unwrap();
        let file = open(&torn).await.unwrap();
        lengths.insert(length(&file, 0).await);
        file.close().await;
    }
    file.close().await;
    assert!(lengths.len() > 3 && lengths.iter().all(|length| *length <= 8), "{lengths:?}");
}

#[tokio::test]
async fn a_damaged_file_is_refused_or_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.db");
    let file = Arc::new(open(&path).await.unwrap());
    file.append((0..40).map(entry).collect()).await.unwrap();
    LogStore::new(Arc::clone(&file)).save_vote(&Vote::new(5, 7)).await.unwrap();
    file.close().await;
    let whole = std::fs::read(&path).unwrap();
    let (mut refused, mut same) = (0, 0);
    let bent = dir.path().join("bent.db");
    for at in (0..whole.len()).step_by(whole.len() / 200) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&bent, &bytes).unwrap();
        match open(&bent).await {
            Ok(file) => {
                let file = Arc::new(file);
                assert_eq!(length(&file, 0).await, 40, "byte {at}");
                assert_eq!(LogStore::new(Arc::clone(&file)).read_vote().await.unwrap(), Some(Vote::new(5, 7)));
                file.close().await;
                same += 1;
            }
            Err(OpenError::Damaged { .. } | OpenError::Newer { .. } | OpenError::OtherNode { .. }) => refused += 1,
            Err(other) => panic!("byte {at}: {other}: {:?}", std::error::Error::source(&other)),
        }
        let _ = std::fs::remove_file(bent.with_extension("db-wal"));
        let _ = std::fs::remove_file(bent.with_extension("db-journal"));
    }
    // Most of the file's bytes are in no use.
    assert!(refused > 20, "{refused} refused, {same} the same");
    std::fs::write(&bent, b"not a database, and long enough to be looked at as one by everybody").unwrap();
    let found = open(&bent).await.map(|_| ()).unwrap_err();
    assert!(matches!(found, OpenError::Damaged { .. }), "{found}");
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut other = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query("CREATE TABLE log (place INTEGER PRIMARY KEY, record BLOB NOT NULL)")
        .execute(&mut other)
        .await
        .unwrap();
    sqlx::Connection::close(other).await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let found = open(&path).await.map(|_| ()).unwrap_err();
    assert!(matches!(found, OpenError::Damaged { .. }), "{found}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// What stands in a recorded log: entries as they lie on disk, what came of them, and the state that they lead to.
#[derive(PartialEq, Debug, Default)]
struct Recorded {
    records: Vec<Vec<u8>>,
    outcomes: Vec<String>,
    state: Vec<u8>,
}

impl Recorded {
    fn write(&self) -> String {
        let lines =
            |word: &str, values: Vec<String>| values.into_iter().map(|value| format!("{word} {value}\n")).collect();
        let records: String = lines("record", self.records.iter().map(hex::encode).collect());
        let outcomes: String = lines("outcome", self.outcomes.clone());
        format!("{records}{outcomes}state {}\n", hex::encode(&self.state))
    }

    fn read(text: &str) -> Self {
        let mut recorded = Self::default();
        for (word, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match word {
                "record" => recorded.records.push(hex::decode(value).unwrap()),
                "outcome" => recorded.outcomes.push(value.to_owned()),
                _ => recorded.state = hex::decode(value).unwrap(),
            }
        }
        recorded
    }
}

/// A log of all that there is, by this program.
fn record_log() -> Recorded {
    let at = endtoend_protocol::UnixMillis::new(1_800_000_000_000);
    let proposals = crate::control::state::random::every_command(at);
    let leader = proposals.iter().find_map(|proposal| proposal.fence).unwrap().leader.get();
    let (halves, nodes) =
        (vec![[leader].into(), [leader, 5].into()], [(leader, Default::default()), (5, Default::default())]);
    let membership = openraft::Membership::new(halves, std::collections::BTreeMap::from(nodes));
    let mut payloads = vec![EntryPayload::Membership(membership), EntryPayload::Blank];
    payloads.extend(proposals.iter().map(|proposal| EntryPayload::Normal(Encoded(proposal.encode().unwrap()))));
    let records = payloads.into_iter().enumerate().map(|(index, payload)| {
        // The terms that the fences of the test are for; the two entries before the commands have that of the first.
        let term = 1 + index.saturating_sub(2) as u64 / 10;
        let entry = Entry { log_id: log_id(term, leader, index as u64), payload };
        record::encode(&format!("log {index}"), &record::Logged::from(&entry)).unwrap()
    });
    Recorded { records: records.collect(), ..Recorded::default() }
}

#[tokio::test]
async fn a_log_of_each_version_leads_to_the_state_that_it_led_to() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    // A log is recorded once for each version and never again: what is in somebody's file stays as it is.
    let this_version = folder.join("control-log-2.txt");
    if std::env::var_os("BLESS").is_some() && !this_version.exists() {
        let mut recorded = record_log();
        (recorded.outcomes, recorded.state) = replay(&recorded.records).await;
        std::fs::write(&this_version, recorded.write()).unwrap();
    }
    let mut logs = 0;
    for file in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if !file.file_name().to_string_lossy().starts_with("control-log-") {
            continue;
        }
        let recorded = Recorded::read(&std::fs::read_to_string(file.path()).unwrap());
        let (outcomes, state) = replay(&recorded.records).await;
        assert_eq!(outcomes, recorded.outcomes);
        assert_eq!(hex::encode(state), hex::encode(recorded.state));
        logs += 1;
    }
    assert!(logs >= 2);
}

/// Puts records into a file as they are, opens it as any other, and applies them.
async fn replay(records: &[Vec<u8>]) -> (Vec<String>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.db");
    open(&path).await.unwrap().close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut raw = sqlx::ConnectOptions::connect(&options).await.unwrap();
    for (index, record) in records.iter().enumerate() {
        let insert = sqlx::query("INSERT INTO log (place, record) VALUES (?, ?)").bind(index as i64).bind(record);
        insert.execute(&mut raw).await.unwrap();
    }
    sqlx::Connection::close(raw).await.unwrap();
    let file = Arc::new(open(&path).await.unwrap());
    let mut machine = Machine::restore(Arc::clone(&file)).await.unwrap();
    let entries = file.entries(0, i64::MAX as u64, u64::MAX).await.unwrap();
    assert_eq!(entries.len(), records.len());
    let outcomes = machine.apply(entries).await.unwrap();
    let state = machine.known().borrow().state.encode().unwrap();
    file.close().await;
    (outcomes.iter().map(|outcome| format!("{outcome:?}")).collect(), state)
}

#[tokio::test]
async fn every_command_stands_in_the_recorded_log_both_done_and_refused() {
    let (outcomes, _) = replay(&record_log().records).await;
    let done = outcomes.iter().filter(|outcome| outcome.contains("changed: true")).count();
    let refused = outcomes.iter().filter(|outcome| outcome.contains("Err(")).count();
    assert!(done >= 26 && refused >= 14, "{outcomes:#?}");
}
