//! A profile with a long history, to see and measure what a window does with one.
//!
//! `cargo run -p endtoend-client --example populated -- HOME PASSWORD_FILE [CONVERSATIONS] [MESSAGES]`, by default 1,000 and 100,000.
//! Where there is a profile it is filled, and its account stays; else one is made, whose server answers nobody. The same numbers give
//! the same people and words; the last message is of this moment. One conversation has a fifth of all messages.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use endtoend_client::clock;
use endtoend_client::database::{
    Account, AccountState, Body, Database, DatabaseError, Direction, Marks, MessageState, Standing, StoredMessage,
};
use endtoend_client::handle::Handle;
use endtoend_client::profile::Profile;
use endtoend_protocol::{AccountTag, DeviceId, MessageId, Text, UnixMillis};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use zeroize::Zeroizing;

const BATCH: usize = 1_000;
/// Of this many people somebody has written what this person has not seen.
const UNREAD_EACH: usize = 40;

const FIRST: [&str; 20] = [
    "anna", "bjorn", "carla", "dmitri", "elena", "farid", "greta", "hugo", "ines", "jonas", "katja", "lars", "mira",
    "nadia", "oskar", "paula", "rosa", "stefan", "tilda", "yusuf",
];
const SAID: [&str; 20] = [
    "Good morning",
    "The ferry leaves at half past seven, from the northern berth this time.",
    "Did you see the harbour plans? The eastern pier is fine, but the crane needs another week.",
    "Yes",
    "I will ask them tomorrow and let you know.",
    "Wonderful, thank you",
    "Somebody has left a long ladder at the gate. Is it yours? It has been standing there since Tuesday, and the rain does it no good.",
    "До завтра, спокойной ночи",
    "Καλημέρα, τα λέμε αργότερα",
    "مرحبا، كيف حالك اليوم؟",
    "שלום, נדבר מחר",
    "明日の朝、駅で会いましょう",
    "好的，明天见",
    "That is a good idea ❤️",
    "😂",
    "Can you bring two spare keys and the blue folder?",
    "Not before noon, I am afraid.",
    "https://harbour.example.org/plans/3",
    "Two things. First, the tide table in the shed is last year's. Second, whoever borrowed the small boat has not filled the tank.",
    "See you there",
];

type Failed = Box<dyn Error>;

fn account(database: &mut Database) -> Result<(), DatabaseError> {
    database.write(|store| {
        let server = format!("endtoend://127.0.0.1:1/#pin={}", "5f".repeat(64));
        store.put_account(&Account {
            server: server.parse().map_err(|_| DatabaseError::Invalid("server"))?,
            handle: "alice".parse().map_err(|_| DatabaseError::Invalid("handle"))?,
            tag: Some(AccountTag::new([1; 32])),
            oprf_key: Some([2; 32]),
            server_password: None,
            device: DeviceId::FIRST,
            state: AccountState::Registered,
            seed: Box::new(Zeroizing::new([3; 64])),
        })
    })
}

fn person(number: usize) -> Result<(AccountTag, Handle), Failed> {
    let mut tag = [9; 32];
    tag.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
    let first = FIRST.get(number % FIRST.len()).ok_or("no name")?;
    let name = if number < FIRST.len() { (*first).to_owned() } else { format!("{first}.{}", number / FIRST.len()) };
    Ok((AccountTag::new(tag), name.parse()?))
}

/// With whom the message of this number is: a fifth with the first, the others with all in turn, the last ones in the order of people.
fn with(number: usize, people: usize, messages: usize) -> usize {
    let left = messages - number;
    if left <= people {
        left - 1
    } else if number.is_multiple_of(5) {
        0
    } else {
        number % people
    }
}

fn message(
    number: usize,
    people: usize,
    messages: usize,
    now: UnixMillis,
    rng: &mut StdRng,
) -> Result<StoredMessage, Failed> {
    let peer = with(number, people, messages);
    let left = u64::try_from(messages - number)?;
    let at = UnixMillis::new(now.get().saturating_sub(left * 97_000));
    let inward = rng.random_bool(0.5) || messages - number <= people;
    let said = SAID.get(rng.random_range(0..SAID.len())).ok_or("nothing said")?;
    Ok(StoredMessage {
        seq: 0,
        peer: person(peer)?.0,
        handle: None,
        direction: if inward { Direction::In } else { Direction::Out },
        id: MessageId::new(at, rng.random()),
        state: if inward { MessageState::Received } else { MessageState::Read },
        body: Body::Text(Text::new((*said).to_owned())?),
        sent_at: at,
        accepted_at: Some(at),
        received_at: Some(at),
        wire_bytes: Some(4_000),
        shown: !(inward && messages - number <= people && peer % UNREAD_EACH == 3),
        marks: Marks::default(),
    })
}

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: usize| arguments.get(at).map_or(Ok(usual), |text| text.parse());
    let (Some(home), Some(password)) = (arguments.first(), arguments.get(1)) else {
        return Err("populated HOME PASSWORD_FILE [CONVERSATIONS] [MESSAGES]".into());
    };
    let (people, messages) = (number(2, 1_000)?, number(3, 100_000)?);
    if people == 0 || messages < people {
        return Err("there must be people, and a message for each".into());
    }
    let password = Zeroizing::new(std::fs::read_to_string(password)?);
    let password = password.trim_end_matches(['\n', '\r']).as_bytes();
    let home = Path::new(home);
    let mut profile = match Profile::exists(home) {
        true => Profile::open(home, password)?,
        false => {
            let mut profile = Profile::create(home, password)?;
            account(profile.database())?;
            profile
        }
    };
    let (began, now) = (clock::monotonic(), clock::now());
    let database = profile.database();
    let all: Vec<(AccountTag, Handle)> = (0..people).map(person).collect::<Result<_, _>>()?;
    database.write(|store| {
        all.iter().try_for_each(|(tag, handle)| {
            store.put_contact(*tag, Some(handle))?;
            store.decide(*tag, Standing::Accepted, now).map(|_| ())
        })
    })?;
    let mut rng = StdRng::seed_from_u64(1);
    for first in (0..messages).step_by(BATCH) {
        let batch: Vec<StoredMessage> = (first..messages.min(first + BATCH))
            .map(|number| message(number, people, messages, now, &mut rng))
            .collect::<Result<_, _>>()?;
        database.write(|store| batch.iter().try_for_each(|message| store.put_message(message).map(|_| ())))?;
    }
    let took = Duration::as_secs_f64(&(clock::monotonic() - began));
    println!("{people} conversations and {messages} messages in {took:.1} s");
    Ok(())
}
