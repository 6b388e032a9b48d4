//! How long does a search take among 100,000 messages, and a page of a history of that length?
//!
//! `cargo run --release -p endtoend-client --example search`. Makes a profile in a temporary folder, fills it with messages of words
//! drawn by Zipf's law from 5,000, and prints the time of each question: the median and the longest of 21.

use std::error::Error;
use std::time::Duration;

use endtoend_client::clock;
use endtoend_client::database::{
    Body, Database, DatabaseError, Direction, Marks, MessageState, Page, Question, StoredMessage,
};
use endtoend_client::profile::Profile;
use endtoend_protocol::{AccountTag, MessageId, Text, UnixMillis};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const MESSAGES: u32 = 100_000;
const WORDS: u32 = 5_000;
const BATCH: u32 = 1_000;
const RUNS: usize = 21;
const PEER: AccountTag = AccountTag::new([2; 32]);

/// One of the words; the first are in most messages, the last in few.
fn word(rng: &mut StdRng) -> String {
    let uniform: f64 = rng.random();
    format!("w{}", f64::from(WORDS).powf(uniform) as u32)
}

fn message(n: u32, rng: &mut StdRng) -> Result<StoredMessage, Box<dyn Error>> {
    let words: Vec<String> = (0..rng.random_range(4..20)).map(|_| word(rng)).collect();
    let at = UnixMillis::new(1_700_000_000_000 + u64::from(n) * 60_000);
    Ok(StoredMessage {
        seq: 0,
        peer: PEER,
        handle: None,
        direction: if n.is_multiple_of(2) { Direction::In } else { Direction::Out },
        id: MessageId::new(at, rng.random()),
        state: if n.is_multiple_of(2) { MessageState::Received } else { MessageState::Accepted },
        body: Body::Text(Text::new(words.join(" "))?),
        sent_at: at,
        accepted_at: Some(at),
        received_at: Some(at),
        wire_bytes: Some(4_000),
        shown: true,
        marks: Marks::default(),
    })
}

fn measure(
    what: &str,
    database: &Database,
    ask: impl Fn(&Database) -> Result<usize, DatabaseError>,
) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..RUNS {
        let began = clock::monotonic();
        found = ask(database)?;
        times.push(clock::monotonic() - began);
    }
    times.sort();
    let at = |place: usize| times.get(place).copied().unwrap_or(Duration::ZERO).as_secs_f64() * 1e3;
    println!("{what:<44} {found:>5} found  {:>8.2} ms median  {:>8.2} ms longest", at(RUNS / 2), at(RUNS - 1));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let home = folder.path().join("profile");
    let mut profile = Profile::create(&home, b"a password")?;
    let database = profile.database();
    let mut rng = StdRng::seed_from_u64(1);
    let began = clock::monotonic();
    let mut middle = None;
    for first in (0..MESSAGES).step_by(BATCH as usize) {
        let batch: Vec<StoredMessage> =
            (first..first + BATCH).map(|n| message(n, &mut rng)).collect::<Result<_, _>>()?;
        middle = middle.or_else(|| batch.first().filter(|_| first >= MESSAGES / 2).map(|message| message.id));
        database.write(|store| batch.iter().try_for_each(|message| store.put_message(message).map(|_| ())))?;
    }
    println!("{MESSAGES} messages stored in {:.1} s", (clock::monotonic() - began).as_secs_f64());
    let middle = middle.ok_or("no message")?;
    let page = |page| move |database: &Database| database.read().history_page(PEER, page, 50).map(|page| page.len());
    measure("the last 50 of the history", database, page(Page::Last))?;
    measure("50 before its middle", database, page(Page::Before(middle)))?;
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
        measure(what, database, |database| database.read().search(&question, 20).map(|found| found.len()))?;
    }
    let since = Some(UnixMillis::new(1_700_000_000_000 + 90_000 * 60_000));
    let question = Question { words: "w1".to_owned(), with: Some(PEER), since, ..Question::default() };
    measure("the most frequent, of one month and person", database, |database| {
        database.read().search(&question, 20).map(|found| found.len())
    })
}
