//! A profile that is locked while its engine runs.

use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroizing;

use super::node::Node;
use super::wiring::{FAST, PASSWORD, PATIENCE, Person};
use crate::database::DatabaseError;
use crate::engine::account::prepare_registration;
use crate::engine::{ConnectionState, Engine, OfflineReason, Options, Stopped, UnlockError};
use crate::profile::{Profile, ProfileError};

fn password(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

async fn until_locked(person: &Person) {
    let mut connection = person.engine.connection();
    let locked = connection
        .wait_for(|state| matches!(state, ConnectionState::Offline { why: OfflineReason::Locked, retry_at: None }));
    timeout(PATIENCE, locked).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_locked_profile_is_closed_until_its_password_comes() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let handle = alice.engine.handle();
    let open = handle.unlock(password(PASSWORD)).await;
    assert!(matches!(open, Err(UnlockError::NotLocked)), "{open:?}");
    handle.lock().await.unwrap();
    until_locked(&alice).await;
    handle.lock().await.unwrap();
    assert!(matches!(handle.status().await, Err(DatabaseError::Stopped)));
    // Another program may use it meanwhile.
    let elsewhere = Profile::open(alice.home(), PASSWORD.as_bytes()).unwrap();
    let used = handle.unlock(password(PASSWORD)).await;
    assert!(matches!(used, Err(UnlockError::Profile(ProfileError::Locked(_)))), "{used:?}");
    drop(elsewhere);
    let id = bob.send("alice", "while you were away").await;
    bob.settled(id).await;
    let wrong = handle.unlock(password("wrong horse")).await;
    assert!(matches!(wrong, Err(UnlockError::Profile(ProfileError::WrongPassword))), "{wrong:?}");
    until_locked(&alice).await;
    handle.unlock(password(PASSWORD)).await.unwrap();
    alice.until_online().await;
    assert_eq!(alice.unread(1).await, ["while you were away"]);
    handle.lock().await.unwrap();
    alice.engine.stop().await;
    assert_eq!(handle.lock().await, Err(Stopped));
}

#[tokio::test]
async fn a_profile_locks_itself_when_nobody_is_there() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await;
    let handle = alice.engine.handle();
    assert_eq!(handle.lock_after().await.unwrap(), None);
    let second = Some(Duration::from_secs(1));
    handle.set_lock_after(second).await.unwrap();
    // Online, and once more without a connection after a restart, which remembers it.
    handle.active().await;
    until_locked(&alice).await;
    let alice = alice.restarted(false).await;
    let handle = alice.engine.handle();
    assert_eq!(handle.lock_after().await.unwrap(), second);
    handle.active().await;
    until_locked(&alice).await;
}

/// So that what is looked for is not found in the hands of whoever looks.
const MASK: u8 = 0xa5;

fn masked(secret: &[u8]) -> Vec<u8> {
    secret.iter().map(|byte| byte ^ MASK).collect()
}

/// How often these bytes, given masked, are in what this process may write: heap, stacks, and what was mapped without a file.
#[cfg(target_os = "linux")]
fn in_memory(masked: &[u8]) -> usize {
    use std::os::unix::fs::FileExt as _;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    // What was looked at is not left behind for the next look.
    let (first, mut buffer, mut found) = (masked[0] ^ MASK, Zeroizing::new(vec![0; 1 << 20]), 0);
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let (mut at, end) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            // What was unmapped meanwhile, or is the kernel's, is not there.
            let Ok(read) = memory.read_at(&mut buffer[..most], at) else { break };
            if read < masked.len() {
                break;
            }
            let mut rest = &buffer[..read];
            while let Some(place) = rest.iter().position(|byte| *byte == first) {
                rest = &rest[place..];
                found += usize::from(
                    rest.len() >= masked.len() && rest.iter().zip(masked).all(|(byte, masked)| *byte == masked ^ MASK),
                );
                rest = &rest[1..];
            }
            // What lies across two reads is in the next one whole.
            at += (read - (masked.len() - 1)) as u64;
        }
    }
    found
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_password_and_no_key_stay_in_memory_when_it_is_locked() {
    let home = tempfile::tempdir().unwrap();
    let hidden: [u8; 16] = rand::random();
    let secret = || -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(32));
        hidden.iter().for_each(|byte| text.extend([char::from(b'a' + (byte >> 4)), char::from(b'a' + (byte & 15))]));
        text
    };
    let password = masked(secret().as_bytes());
    let mut profile = Profile::create_with(home.path(), secret().as_bytes(), FAST).unwrap();
    let key = masked(profile.key_of_test());
    let server = format!("endtoend://127.0.0.1:1/#pin={}", "00".repeat(64)).parse().unwrap();
    let made = prepare_registration(profile.database(), server, None, "alice".parse().unwrap()).unwrap();
    let seed = masked(made.0.seed.as_slice());
    drop(made);
    let options = Options { password: secret(), online: false, connect_timeout: PATIENCE };
    let engine = Engine::start(profile, options).unwrap();
    let handle = engine.handle();
    handle.lock_after().await.unwrap();
    let secrets = [&password, &key, &seed];
    assert!(secrets.iter().all(|secret| in_memory(secret) > 0), "whoever looks finds what is there");
    handle.lock().await.unwrap();
    assert_eq!(secrets.map(|secret| in_memory(secret)), [0; 3]);
}
