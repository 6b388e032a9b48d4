//! A profile on a disk, without a server.

use std::fs;
use std::path::Path;

use endtoend_benches::{Stopwatch, median};
use endtoend_client::database::{
    Body, Database, Direction, Extent, Marks, MessageState, Page, Question, Store, StoredMessage,
};
use endtoend_client::profile::Profile;
use endtoend_crypto_core::passphrase::{Params, derive};
use endtoend_protocol::{AccountTag, MessageId, Text, UnixMillis};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rusqlite::{Connection, params};

use crate::{heading, row};

const PASSWORD: &[u8] = b"a password";
const SHORT: AccountTag = AccountTag::new([1; 32]);
const LONG: AccountTag = AccountTag::new([2; 32]);
/// Messages of the short conversation, and of a page.
const SHORT_MESSAGES: u32 = 100;
const PAGE: u32 = 50;
/// Frames that the engine stores together when many come.
const BATCH: u32 = 32;
const WORDS: u32 = 5_000;
const OPENINGS: usize = 5;
const QUESTIONS: usize = 101;

pub(crate) fn measure(folder: &Path, history: u32, stored: u32) {
    let home = folder.join("profile");
    let rng = &mut StdRng::seed_from_u64(1);
    let mut profile = Profile::create(&home, PASSWORD).expect("a profile");

    heading("storing messages of a hundred bytes, per second");
    for batch in [1, BATCH] {
        let limit = bare(&folder.join(format!("bare{batch}.db")), stored, batch, rng);
        let watch = Stopwatch::start();
        fill(profile.database(), AccountTag::new([3; 32]), stored, batch, rng);
        let ours = f64::from(stored) / watch.elapsed().as_secs_f64();
        row(&format!("in transactions of {batch}, beside a bare synced table"), limit, ours, "/s", ours / limit);
    }
    fill(profile.database(), SHORT, SHORT_MESSAGES, SHORT_MESSAGES, rng);
    fill(profile.database(), LONG, history, 1_000, rng);

    heading(&format!("the last {PAGE} messages, ms; the limit is the short conversation"));
    let page = |of: AccountTag| {
        time(|| {
            let page = profile.database().read().history_page(of, Page::Last, PAGE).expect("a page");
            assert_eq!(page.len(), PAGE as usize);
        })
    };
    let mut page = page;
    let (short, long) = (page(SHORT), page(LONG));
    row(&format!("of {SHORT_MESSAGES} and of {history} messages"), short.0, long.0, "ms", short.0 / long.0);

    println!("\n{:<58} {:>10} {:>10}", format!("searching {} messages, ms", history + 2 * stored), "median", "longest");
    for (what, words) in [
        ("a rare word", "w4999"),
        ("a word of some", "w500"),
        ("a frequent word", "w30"),
        ("the most frequent word", "w1"),
        ("two frequent words", "w1 w2"),
        ("the beginning of all words", "w"),
        ("no such word", "nothing"),
    ] {
        let question = Question { words: words.to_owned(), ..Question::default() };
        let (middle, longest) = time(|| drop(profile.database().read().search(&question, 20).expect("an answer")));
        println!("{what:<58} {middle:>10.2} {longest:>10.2}");
    }

    let watch = Stopwatch::start();
    let remove = |store: &Store<'_>| store.remove_conversation(LONG, Extent::Everything);
    assert_eq!(profile.database().write(remove).expect("removed"), u64::from(history));
    println!("{:<58} {:>10.0}", format!("\nremoving the {history} messages, ms"), watch.elapsed().as_secs_f64() * 1e3);

    drop(profile);
    let params = demanded(&home);
    let (mut alone, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..OPENINGS {
        let watch = Stopwatch::start();
        drop(derive(PASSWORD, &[7; 16], params).expect("a key"));
        alone.push(watch.elapsed().as_secs_f64() * 1e3);
        let watch = Stopwatch::start();
        drop(Profile::open(&home, PASSWORD).expect("it opens"));
        whole.push(watch.elapsed().as_secs_f64() * 1e3);
    }
    let (alone, whole) = (median(alone), median(whole));
    heading(&format!(
        "opening that profile, ms; Argon2id with {} MiB and {} passes alone",
        params.memory_kib / 1024,
        params.passes
    ));
    row("unlocked, database open and up to date", alone, whole, "ms", alone / whole);
}

/// What the vault demands of Argon2id: bytes 9 to 21, see `client::profile::vault`.
fn demanded(home: &Path) -> Params {
    let vault = fs::read(home.join("vault")).expect("a vault");
    let number = |at: usize| {
        let bytes = vault.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).expect("four bytes");
        u32::from_le_bytes(bytes)
    };
    Params { memory_kib: number(9), passes: number(13), lanes: number(17) }
}

/// Median and longest of some calls, in milliseconds.
fn time(mut call: impl FnMut()) -> (f64, f64) {
    let times: Vec<f64> = (0..QUESTIONS)
        .map(|_| {
            let watch = Stopwatch::start();
            call();
            watch.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let longest = times.iter().copied().fold(0.0, f64::max);
    (median(times), longest)
}

/// By Zipf's law: the first are in most messages, the last in few.
fn words(rng: &mut StdRng) -> String {
    let word = |rng: &mut StdRng| format!("w{}", f64::from(WORDS).powf(rng.random::<f64>()) as u32);
    (0..20).map(|_| word(rng)).collect::<Vec<_>>().join(" ")
}

fn message(peer: AccountTag, n: u32, rng: &mut StdRng) -> StoredMessage {
    let at = UnixMillis::new(1_700_000_000_000 + u64::from(n) * 60_000);
    StoredMessage {
        seq: 0,
        peer,
        handle: None,
        direction: Direction::In,
        id: MessageId::new(at, rng.random()),
        state: MessageState::Received,
        body: Body::Text(Text::new(words(rng)).expect("a text")),
        sent_at: at,
        accepted_at: Some(at),
        received_at: Some(at),
        wire_bytes: Some(4_000),
        shown: true,
        marks: Marks::default(),
    }
}

fn fill(database: &mut Database, peer: AccountTag, count: u32, batch: u32, rng: &mut StdRng) {
    for first in (0..count).step_by(batch as usize) {
        let messages: Vec<_> = (first..count.min(first + batch)).map(|n| message(peer, n, rng)).collect();
        database
            .write(|store| messages.iter().try_for_each(|message| store.put_message(message).map(drop)))
            .expect("stored");
    }
}

/// Messages per second into one table without cipher, seals, words and indexes, synced with each transaction.
fn bare(path: &Path, count: u32, batch: u32, rng: &mut StdRng) -> f64 {
    let mut connection = Connection::open(path).expect("a file");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE messages (seq INTEGER PRIMARY KEY, peer BLOB, id BLOB, at INTEGER, body TEXT)",
        )
        .expect("a table");
    let watch = Stopwatch::start();
    for first in (0..count).step_by(batch as usize) {
        let transaction = connection.transaction().expect("begun");
        for n in first..count.min(first + batch) {
            transaction
                .prepare_cached("INSERT INTO messages (peer, id, at, body) VALUES (?, ?, ?, ?)")
                .expect("understood")
                .execute(params![LONG.as_bytes(), n.to_le_bytes(), n, words(rng)])
                .expect("stored");
        }
        transaction.commit().expect("synced");
    }
    f64::from(count) / watch.elapsed().as_secs_f64()
}
